"""Interrupts of the mock card: where the recording has a handler begin, and when the line goes up for it."""

from __future__ import annotations

import numpy as np
import pytest
from replay_helpers import CARD, Clock, chosen, do, flat, recorded, tape_of, tape_of_file, trace_of

from mmiotools.drivers import choose_driver
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.interface import Timed
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.regmaps import load_names
from mmiotools.replay import MockCard, Tape, load_tape, replay
from mmiotools.replay.entries import find_entries
from mmiotools.replay.settings import Settings, Timing

CAUSE, GO, OTHER = ("BAR0", 0xC0), ("BAR0", 0x10), ("BAR0", 0x8)
UNTIMED = Timing()
POLICY = pytest.mark.parametrize("policy", ["window", "strict", "queue"])
STEPS = (("W", GO, 4, 1), ("R", CAUSE, 4, 4), ("W", GO, 4, 2), ("R", OTHER, 4, 7), ("R", CAUSE, 4, 0))


def later(tape: Tape, position: int, nanoseconds: int) -> Tape:
    """The recording with a pause before an access."""
    tape.accesses.time[tape.rows[position] :] += nanoseconds
    return tape


def card_of(tape: Tape, policy: str = "window", timing: Timing = UNTIMED, *words: str) -> tuple[MockCard, Clock]:
    entries = find_entries(tape, words or ("BAR0+0xc0",))
    card, clock = MockCard(tape, policy, settings=Settings(timing=timing), irq=entries), Clock()
    card.attach(clock)
    return card, clock


# -- when the line goes up ------------------------------------------------------------------------------------------


@POLICY
def test_the_line_goes_up_after_the_access_before_and_down_with_the_handlers_first(policy):
    tape = flat(*STEPS)
    card, clock = card_of(tape, policy)
    assert isinstance(card, Timed)
    levels = []
    for position in range(len(tape)):
        do(card, tape.row(position))
        levels.append([level for _, level in clock.lines])
    assert levels == [[1], [1, 0], [1, 0], [1, 0], [1, 0]]
    assert card.interrupts == (1, 1, 0, "BAR0+0xc0")
    assert card.due() is None


def test_an_interrupt_that_came_late_comes_after_its_gap():
    card, clock = card_of(later(flat(*STEPS), 1, 5_000_000))
    card.write(*GO, 4, 1)
    assert (clock.lines, card.due()) == ([], 5_001_000)
    clock.time = 5_001_000
    card.tick()
    assert clock.lines == [(5_001_000, 1)]
    card.read(*CAUSE, 4)
    assert clock.lines[-1] == (5_001_000, 0)


@pytest.mark.parametrize(("scale", "due"), [(1.0, 1000), (3.0, 3000)])
def test_with_recorded_times_every_gap_counts(scale, due):
    card, clock = card_of(flat(*STEPS), "window", Timing(scale))
    card.write(*GO, 4, 1)
    assert (clock.lines, card.due()) == ([], due)
    clock.time = due
    card.tick()
    assert clock.lines == [(due, 1)]


def test_a_driver_that_waits_for_an_interrupt_gets_it():
    """Its last access was another than the one that the recording has before the handler."""
    card, clock = card_of(flat(*STEPS))
    card.write(*GO, 4, 9)
    card.read(*OTHER, 4)
    clock.lines.clear()
    tape = flat(("R", OTHER, 4, 7), *STEPS)
    card, clock = card_of(tape)
    card.read(*OTHER, 4)
    assert card.due() == 1_500_000_000
    clock.time = 1_499_999_999
    card.tick()
    assert clock.lines == []
    clock.time = 1_500_000_000
    card.tick()
    assert ([level for _, level in clock.lines], card.interrupts.idle) == ([1], 1)
    card.read(*CAUSE, 4)
    assert ([level for _, level in clock.lines], card.interrupts[:3]) == ([1, 0], (1, 1, 1))
    assert card.due() is None


def test_an_interrupt_far_ahead_does_not_come_to_an_idle_driver():
    tape = flat(*[("R", OTHER, 4, 7)] * 400, *STEPS)
    card, _ = card_of(tape)
    card.read(*OTHER, 4)
    assert card.due() is None


def test_a_write_with_another_value_before_the_handler_will_do():
    card, clock = card_of(flat(*STEPS))
    card.write(*GO, 4, 0x1234)
    assert [level for _, level in clock.lines] == [1]


def test_a_handler_that_begins_with_something_not_recorded_lowers_the_line():
    tape = flat(("W", GO, 4, 1), ("R", CAUSE, 4, 4), ("W", GO, 4, 2), ("R", CAUSE, 4, 8))
    card, clock = card_of(tape, "strict")
    card.write(*GO, 4, 1)
    card.read(*OTHER, 4)
    assert [level for _, level in clock.lines] == [1]
    card.read(*CAUSE, 4)
    card.read(*CAUSE, 4)
    card.write(*GO, 4, 2)
    card.read(*CAUSE, 4)
    assert [level for _, level in clock.lines] == [1, 0, 1, 0]


def test_a_state_that_is_restored_has_its_line():
    tape = flat(*STEPS)
    card, clock = card_of(tape)
    before = card.snapshot()
    card.write(*GO, 4, 1)
    during = card.snapshot()
    card.read(*CAUSE, 4)
    assert [level for _, level in clock.lines] == [1, 0]
    card.restore(during)
    assert [level for _, level in clock.lines] == [1, 0, 1]
    card.restore(before)
    assert [level for _, level in clock.lines] == [1, 0, 1, 0]
    card.restore(during)
    for position in range(1, len(tape)):
        do(card, tape.row(position))
    assert (card.finish().matched, card.interrupts.delivered) == (len(tape), 1)
    assert [level for _, level in clock.lines][-1] == 0


# -- where handlers begin -------------------------------------------------------------------------------------------


def places(tape: Tape, *words: str) -> list[int]:
    return find_entries(tape, words or ("auto",)).places.tolist()


def test_registers_are_named_by_place_by_name_and_with_a_condition():
    tape = flat(("R", CAUSE, 4, 4), ("R", CAUSE, 4, 0), ("R", CAUSE, 4, 3), ("W", CAUSE, 4, 0), ("R", OTHER, 1, 2))
    assert places(tape, "BAR0+0xc0") == [0, 2]
    assert places(tape, "BAR0+0xc0 & 4") == [0]
    assert places(tape, "BAR0+0xc0 & 0x4 == 0") == [1, 2]
    assert places(tape, "BAR0+0xc0&1==1") == [2]
    assert places(tape, "write BAR0+0xc0") == [3]
    assert places(tape, "BAR0+0x8-0xc0") == [0, 2, 4]
    assert places(tape, "BAR0+0xc0 & 4", "write BAR0+0xc0") == [0, 3]
    assert places(tape, "none") == []
    names = load_names(["e1000@1234:5678"], lambda line: None)
    assert find_entries(tape, ["ICR"], names).places.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["BAR0+0x99"], "the recording has no such access to 00:03.0"),
        (["NONESUCH"], "no such access to 00:03.0; names of registers need --regs"),
        (["BAR0+"], "is no register or range"),
        (["BAR0+0xc0 & x"], "give REGISTER, REGISTER & MASK"),
        (["BAR0+0xc0 == 1"], "give REGISTER, REGISTER & MASK"),
        ([""], "give REGISTER"),
        (["auto", "BAR0+0xc0"], "goes with no other --irq"),
    ],
)
def test_registers_that_are_none(words, message):
    with pytest.raises(UsageError, match=message):
        find_entries(flat(*STEPS), words)


def test_the_cause_register_of_a_recording_is_found(samples):
    for name, source, count in (
        ("versions/e1000/base-1.mmio", "BAR0+0xc0, by what it looks like", 16),
        ("mmiotrace/hda-linux6.1.mmiotrace", "BAR0+0x24, by what it looks like", 18),
        ("mmiotrace/xhci-linux6.1.mmiotrace", "BAR0+0x44, by what it looks like", 118),
        # Its handlers read nothing.
        ("mmiotrace/nvme-linux6.1.mmiotrace", "none", 0),
        ("mmiotrace/nv-init-1.mmiotrace", "none", 0),
    ):
        entries = find_entries(tape_of_file(samples / name))
        assert (entries.source, len(entries.places)) == (source, count)


def test_recorded_interrupts_go_before_a_guess():
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    for time, (op, (_, offset), width, value) in enumerate(STEPS):
        kind = Kind.READ if op == "R" else Kind.WRITE
        events.append(Event(kind, time, width, 1, 0xE0000000 + offset, value=value))
    events.insert(4, Event(Kind.IRQ, 2, extra={"vector": 11}))
    events.append(Event(Kind.IRQ, 9, extra={"vector": 11}))
    tape = load_tape(trace_of(events))
    assert (tape.irqs, find_entries(tape)) == (2, (pytest.approx(np.array([3])), "recorded"))


# -- under a driver -------------------------------------------------------------------------------------------------


@POLICY
def test_a_driver_takes_its_interrupts_while_it_runs_and_while_it_waits(policy):
    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        seen: list[int] = []
        kernel.request_irq(lambda: seen.append(kernel.readl(base + 0xC0)))
        kernel.writel(1, base + 0x10)
        assert seen == [4]
        kernel.writel(2, base + 0x10)
        assert seen == [4]
        kernel.udelay(4_000)
        assert seen == [4]
        kernel.udelay(2_000)
        assert seen == [4, 5]
        return kernel.readl(base + 8)

    tape = flat(*STEPS[:3], ("R", CAUSE, 4, 5), ("R", OTHER, 4, 7))
    done = replay(later(tape, 3, 5_000_000), chosen(probe), policy, irq=["BAR0+0xc0"])
    assert (done.outcome.returned, done.report.verdict) == (7, "completed")
    assert done.report.to_json()["interrupts"] == {"recorded": 2, "delivered": 2, "idle": 0, "source": "BAR0+0xc0"}
    assert "  interrupts (BAR0+0xc0): 2 recorded, 2 delivered" in done.report.lines()


@POLICY
@pytest.mark.parametrize(("word", "register"), [("nic-init", "BAR0+0xc0"), ("uart-hello@2", "BAR0+2 & 1 == 0")])
def test_the_rule_does_for_bundled_drivers(word, register, policy):
    report = replay(recorded(word), choose_driver(word), policy, irq=[register]).report
    assert report.verdict == "completed"
    assert report.interrupts.recorded == report.interrupts.delivered > 3


@POLICY
@pytest.mark.parametrize("rule", ["irq drop after 2", "irq delay 300us after 1", "write BAR0+0x3818 drop at 3"])
def test_a_recording_with_faults_of_interrupts_and_memory_is_replayed_as_it_was(rule, policy):
    """The model beside the mock card has the faults that the recorded card had."""
    tape = recorded("nic-init", inject=[rule])
    plain = recorded("nic-init")
    assert len(tape) != len(plain) or (tape.value != plain.value).any() or rule.startswith("irq delay")
    done = replay(tape, choose_driver("nic-init"), policy)
    assert (done.report.verdict, done.report.ledger.matched) == ("completed", len(tape))


def test_interrupts_of_the_mock_card_can_be_injected_upon():
    done = replay(recorded("nic-init"), choose_driver("nic-init"), irq=["BAR0+0xc0"], rules=parse_rules(["irq drop"]))
    assert done.report.diverged
    assert done.tally[0].acted > 0
    assert done.outcome.irqs == [irq for irq in done.outcome.irqs if not irq.level]


def test_without_model_and_rule_the_report_says_how_to_name_the_register():
    tape = recorded("block-init")
    del tape.meta["card"]
    report = replay(tape, choose_driver("block-init")).report.to_json()
    assert (report["model"], report["interrupts"]["source"]) == (None, "none")
    assert any("--irq REGISTER" in line for line in report["limits"])


def test_a_model_of_another_card_is_not_put_beside_the_mock_card():
    tape = tape_of(("R", "BAR0", 0, 4, 0))
    tape.meta = {"card": "nic"}
    assert replay(tape, choose_driver("nv-test")).report.model is None
