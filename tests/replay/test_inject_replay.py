"""Faults between a driver and the mock card, and recordings that were made with faults."""

from __future__ import annotations

import pytest
from replay_helpers import chosen, recorded, tape_of, trace_of

from mmiotools.devices.nv_card import NvCard
from mmiotools.drivers import choose_driver
from mmiotools.drivers.nv_init import probe_1 as nv_init
from mmiotools.engine.inject import Injector
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.session import run_driver
from mmiotools.errors import ExpressionError
from mmiotools.events import ACCESSES, Event, Kind
from mmiotools.replay import Replayed, Tape, load_tape, replay
from mmiotools.trace.batch import Batch

POLICY = pytest.mark.parametrize("policy", ["window", "strict", "queue"])


def replayed(tape: Tape, word: str, *texts: str, **options) -> tuple[Replayed, list[Event]]:
    """A replay under rules, and the events of its trace."""
    batches: list[Batch] = []
    done = replay(tape, choose_driver(word), rules=parse_rules(texts), sink=batches.append, **options)
    return done, [batch.event(row) for batch in batches for row in range(len(batch))]


def accesses(events: list[Event]) -> list[tuple]:
    return [(event.kind, event.addr, event.width, event.value) for event in events if event.kind in ACCESSES]


def marks(events: list[Event]) -> list[str]:
    texts = [event.extra["text"].decode() for event in events if event.kind == Kind.MARK]
    return [text for text in texts if text.startswith("inject: ")]


@POLICY
def test_a_read_that_is_changed_on_its_way_still_matches(policy):
    tape = recorded("nv-test@1")
    done, events = replayed(tape, "nv-test@1", "read BAR0+0x101000 -> 0xffffffff", policy=policy)
    assert done.report.verdict == "completed"
    assert "read ffffffff from 0x101000" in "\n".join(done.outcome.log)
    assert len(marks(events)) == 1
    assert done.tally[0][1:] == (1, 1)


@POLICY
def test_a_write_that_is_dropped_is_missed_and_one_that_is_changed_differs(policy):
    tape = recorded("nv-test@1")
    report = replayed(tape, "nv-test@1", "write BAR0+0x600140 drop", policy=policy)[0].report.to_json()
    assert (report["matched"], report["missed_count"], report["verdict"]) == (1, 1, "diverged")
    assert report["missed"][0]["offset"] == "0x600140"
    report = replayed(tape, "nv-test@1", "write BAR0+0x600140 flip bit 4", policy=policy)[0].report.to_json()
    assert [(entry["value"], entry["got"]) for entry in report["differing"]] == [("0x0", "0x10")]


def test_a_card_that_is_removed_misses_the_rest_of_the_recording():
    tape = recorded("nv-init@1")
    done, events = replayed(tape, "nv-init@1", "remove after 20")
    report = done.report.to_json()
    assert (report["matched"], report["missed_count"], report["extra_count"]) == (20, len(tape) - 20, 0)
    assert done.outcome.returned == -5
    assert {value for _, _, width, value in accesses(events)[20:] if value == (1 << 8 * width) - 1}
    assert marks(events)[0].startswith("inject: card removed at ")


def test_a_driver_may_never_reach_its_end():
    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        for _ in range(3):
            if kernel.readl(base) & 1:
                return 0
        return -110

    done = replay(tape_of(("R", "BAR0", 0, 4, 1)), chosen(probe), rules=parse_rules(["read BAR0+0x0 stuck bit 0 = 0"]))
    assert done.outcome.returned == -110
    assert done.report.ledger.extra_count == 2


def test_spurious_interrupts_reach_the_driver():
    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        calls: list[int] = []
        kernel.request_irq(lambda: calls.append(kernel.readl(base)))
        for _ in range(4):
            kernel.readl(base + 4)
        return len(calls)

    tape = tape_of(*[("R", "BAR0", 4, 4, 1)] * 4)
    done = replay(tape, chosen(probe), "queue", rules=parse_rules(["irq spurious at 2", "irq drop"]))
    assert done.outcome.returned == 1
    assert [irq.level for irq in done.outcome.irqs] == [1, 0]
    assert done.report.interrupts.delivered == 0  # they are not the card's
    assert [tally.acted for tally in done.tally] == [1, 0]


def test_the_same_again_and_another_seed():
    tape = recorded("nv-init@1")
    rules = ("read BAR1 flip 0.3", "write BAR1 drop 0.3")
    first, second, other = (replayed(tape, "nv-init@1", *rules, seed=seed)[1] for seed in (7, 7, 8))
    assert first == second
    assert len(marks(first)) > 3
    assert marks(first) != marks(other)


@pytest.mark.parametrize(
    "rules",
    [
        ("read BAR1 flip 0.5", "read BAR0+0x101000 -> 0x1 at 2"),
        ("read BAR0+0x300000 -> 0x0",),
        ("read BAR0+0x6013d5 flip 0.5",),
    ],
)
def test_record_and_replay_inject_the_same(rules):
    """On the model, and on the mock card of a recording without faults: as long as the driver stays on its way."""
    events: list[Event] = []
    run_driver(nv_init, Injector(NvCard(), parse_rules(rules), 2), emit=events.append)
    _, again = replayed(recorded("nv-init@1"), "nv-init@1", *rules, seed=2)
    assert accesses(events) == accesses(again)
    assert marks(events) == marks(again) != []


def test_a_recording_with_faults_is_replayed_without_them():
    rules = parse_rules(["read BAR1 flip 0.5", "write BAR0 drop 0.3", "remove after 70"])
    events: list[Event] = []
    outcome = run_driver(nv_init, Injector(NvCard(), rules, 3), emit=events.append)
    assert outcome.returned == -5
    tape = load_tape(trace_of(events, {"options": {"inject": [rule.text for rule in rules]}, "seed": 3}))
    done, again = replayed(tape, "nv-init@1")
    assert done.report.verdict == "completed"
    assert done.tally == ()
    assert accesses(again) == accesses(events)
    assert marks(again) == []
    assert "inject" not in next(event for event in again if "meta" in event.extra).extra["meta"]["options"]


def test_the_header_names_the_rules():
    _, events = replayed(recorded("nv-test@1"), "nv-test@1", " remove   after 1 ", seed=5)
    meta = next(event for event in events if "meta" in event.extra).extra["meta"]
    assert (meta["options"]["inject"], meta["seed"]) == (["remove after 1"], 5)


def test_a_rule_that_does_not_fit_the_card():
    with pytest.raises(ExpressionError, match="has no region 'BAR4'"):
        replayed(recorded("nv-test@1"), "nv-test@1", "read BAR4 drop")
