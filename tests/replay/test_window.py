"""The policy window: what it makes of drivers that keep to the recording, nearly do, and do not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_helpers import Clock, chosen, do, drive, flat, recorded, tape_of_file

from mmiotools.drivers import choose_driver
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.errors import UsageError
from mmiotools.replay import MockCard, Tape, replay
from mmiotools.replay.ledger import Ledger
from mmiotools.replay.settings import Settings, Timing, parse_timing
from mmiotools.trace.tape import Row

A, B, C, D = (("BAR0", offset) for offset in (0, 4, 8, 12))
REGISTER = st.sampled_from([A, B, C, ("BAR2", 0)])
ACCESS = st.one_of(
    st.tuples(st.just("R"), REGISTER, st.sampled_from([1, 4]), st.integers(0, 2)),
    st.tuples(st.just("W"), REGISTER, st.sampled_from([1, 4]), st.integers(0, 2)),
)


def rows(*accesses: tuple) -> list[Row]:
    return [Row(op, *place, width, value) for op, place, width, value in accesses]


def run(tape: Tape, accesses: list[Row], **settings) -> tuple[list[int], Ledger]:
    card = MockCard(tape, "window", settings=Settings(**settings))
    values = [value for row in accesses if (value := do(card, row)) is not None]
    return values, card.finish()


def counts(ledger: Ledger) -> tuple[int, int, int, int]:
    return ledger.matched, ledger.extra_count, ledger.missed_count, ledger.differing_count


@given(st.lists(ACCESS, min_size=1, max_size=60), st.integers(1, 8))
def test_a_recording_against_itself_is_itself(accesses, window):
    """Whatever it is, however small the window: strict while the driver is."""
    tape = flat(*accesses)
    values, ledger = run(tape, rows(*accesses), window=window)
    assert counts(ledger) == (len(tape), 0, 0, 0)
    assert (ledger.in_order, ledger.polls_more, ledger.polls_fewer, ledger.first) == (len(tape), 0, 0, None)
    assert values == [value for op, _, _, value in accesses if op == "R"]


@given(st.lists(ACCESS, min_size=1, max_size=40), st.lists(ACCESS, max_size=60), st.integers(1, 8))
def test_every_access_is_in_the_books_once(accesses, done, window):
    tape = flat(*accesses)
    _, ledger = run(tape, rows(*done), window=window)
    met = ledger.matched + ledger.differing_count
    assert met + ledger.missed_count + ledger.polls_fewer == len(tape)
    assert met + ledger.extra_count + ledger.polls_more == len(done)
    assert ledger.in_order <= ledger.matched
    assert (ledger.first is None) == (ledger.extra_count + ledger.missed_count + ledger.differing_count == 0)


def ladder(n: int) -> list[tuple]:
    """Writes of n registers, each its own."""
    return [("W", ("BAR0", 4 * number), 4, number) for number in range(n)]


def test_what_comes_early_and_late_is_matched_and_told():
    steps = ladder(12)
    _, ledger = run(flat(*steps), rows(*steps[:3], steps[6], *steps[3:6], *steps[7:]))
    assert counts(ledger) == (12, 0, 0, 0)
    assert (ledger.in_order, ledger.first) == (11, None)


def test_what_is_left_out_is_missed_at_its_place():
    steps = ladder(12)
    _, ledger = run(flat(*steps), rows(*steps[:4], *steps[6:]))
    assert counts(ledger) == (10, 0, 2, 0)
    assert (ledger.missed(), ledger.first.kind, ledger.first.position) == ([4, 5], "missed", 4)


def test_a_recorded_access_drops_out_when_a_window_of_others_is_done():
    steps = ladder(12)
    last = rows(steps[0])
    assert counts(run(flat(*steps), rows(*steps[1:4]) + last, window=4)[1])[:2] == (4, 0)
    assert counts(run(flat(*steps), rows(*steps[1:5]) + last, window=4)[1])[:2] == (4, 1)


def test_another_value_is_one_difference_wherever_the_window_finds_it_out():
    steps = ladder(20)
    changed = [*steps[:5], ("W", steps[5][1], 4, 99), *steps[6:]]
    for window in (3, 300):
        _, ledger = run(flat(*steps), rows(*changed), window=window)
        assert counts(ledger) == (19, 0, 0, 1)
        position, done = ledger.differing[0]
        assert (position, done.number, done.value) == (5, 5, 99)
        assert (ledger.first.kind, ledger.first.position) == ("differing", 5)


def test_a_write_that_was_put_in_before_one_of_its_register_is_extra():
    tape = flat(("W", A, 4, 1), ("W", B, 4, 7), ("R", A, 4, 1))
    _, ledger = run(tape, rows(("W", A, 4, 1), ("W", B, 4, 5), ("W", B, 4, 7), ("R", A, 4, 1)))
    assert counts(ledger) == (3, 1, 0, 0)
    assert ledger.extra[0][1:] == ("W", *B, 4, 5)


def test_a_read_without_counterpart_gets_the_last_value():
    tape = flat(("R", A, 4, 5), ("W", B, 4, 6))
    values, ledger = run(tape, rows(("R", A, 4, 0), ("R", A, 4, 0), ("W", B, 4, 6), ("R", B, 4, 0), ("R", C, 1, 0)))
    assert values == [5, 5, 6, 0xFF]
    assert counts(ledger) == (2, 3, 0, 0)


def test_a_command_that_was_put_in_does_not_take_the_answer_to_a_later_one():
    """As an e1000 driver with its PHY: a command is written, and its end is read."""
    command = [("W", A, 4, 0x10), ("R", A, 4, 0x1000_0010)]
    between = [step for step in ladder(40) if step[1] != A][:20]
    later = [("W", A, 4, 0x20), ("R", A, 4, 0x1000_0020)]
    put_in = [("W", A, 4, 0x30), ("R", A, 4, 0)]
    values, ledger = run(flat(*command, *between, *later), rows(*command, *put_in, *between, *later))
    assert values == [0x1000_0010, 0x1000_0020, 0x1000_0020]
    assert counts(ledger) == (len(between) + 4, 2, 0, 0)


def test_a_driver_that_leaves_out_more_than_the_window_is_found_again():
    rng = random.Random(1)
    steps = [("W", ("BAR0", 4 * rng.randrange(40)), 4, rng.randrange(1 << 16)) for _ in range(2000)]
    _, ledger = run(flat(*steps), rows(*steps[:500], *steps[1500:]))
    assert ledger.missed_count == 1000
    assert ledger.matched == 1000
    assert ledger.first.position == 500


def test_polling_on_does_not_take_the_recording_away():
    steps = [step for n in range(200) for step in (("R", A, 4, 1), ("W", B, 4, n))]
    _, ledger = run(flat(*steps), rows(*[("R", A, 4, 0)] * 5000, *steps), window=20)
    assert (ledger.matched, ledger.missed_count) == (400, 0)
    assert ledger.extra_count == 5000


# -- waits ----------------------------------------------------------------------------------------------------------

START, GO_ON = ("W", B, 4, 1), ("W", C, 4, 2)
BUSY, READY = ("R", A, 4, 0), ("R", A, 4, 0x80)
POLLED = (START, BUSY, BUSY, BUSY, READY, GO_ON, START, BUSY, BUSY, READY, GO_ON)


def test_a_wait_ends_after_as_many_reads_as_recorded():
    values, ledger = run(flat(*POLLED), rows(*POLLED))
    assert values == [0, 0, 0, 0x80, 0, 0, 0x80]
    assert counts(ledger) == (11, 0, 0, 0)


def test_a_driver_that_polls_more_or_less_often_has_not_parted():
    more = (START, *[BUSY] * 6, GO_ON, START, *[BUSY] * 3, GO_ON)
    values, ledger = run(flat(*POLLED), rows(*more))
    assert values == [0, 0, 0, 0x80, 0x80, 0x80, 0, 0, 0x80]
    assert (counts(ledger), ledger.polls_more, ledger.polls_fewer) == ((11, 0, 0, 0), 2, 0)
    fewer = (START, BUSY, GO_ON, START, *[BUSY] * 3, GO_ON)
    values, ledger = run(flat(*POLLED), rows(*fewer))
    assert values == [0, 0, 0, 0x80]
    assert (counts(ledger), ledger.polls_more, ledger.polls_fewer) == ((8, 0, 0, 0), 0, 3)


def test_a_wait_that_the_driver_leaves_out_is_missed():
    _, ledger = run(flat(*POLLED), rows(START, GO_ON, *POLLED[6:]))
    assert (counts(ledger), ledger.polls_fewer) == ((7, 0, 4, 0), 0)


@pytest.mark.parametrize(("scale", "ready_at"), [(1.0, 2000), (2.0, 4000), (0.5, 1000)])
def test_a_wait_ends_at_its_time(scale, ready_at):
    """Accesses are a microsecond apart in the recording, whose times have a precision of one."""
    tape = flat(*POLLED)
    card, clock = MockCard(tape, "window", settings=Settings(timing=Timing(scale))), Clock()
    card.attach(clock)
    clock.time = 50_000
    do(card, rows(START)[0])
    found = []
    while clock.time < 70_000:
        value = card.read(*A, 4)
        if value:
            break
        found.append(clock.time)
        clock.time += 500
    assert clock.time == 50_000 + ready_at
    do(card, rows(GO_ON)[0])
    for row in rows(*POLLED[6:8]):
        do(card, row)
    clock.time += 1_000_000
    assert card.read(*A, 4) == 0x80
    ledger = card.finish()
    assert (ledger.extra_count, ledger.missed_count) == (0, 1)


def test_timings_are_parsed():
    assert (parse_timing("none"), parse_timing("recorded"), parse_timing("scaled=0.5")) == (
        Timing(),
        Timing(1.0),
        Timing(0.5),
    )
    for text in ("", "scaled", "scaled=0", "scaled=-1", "scaled=inf", "scaled=x", "recorded=2", "none=1", "nan"):
        with pytest.raises(UsageError, match="--timing is none, recorded or scaled=X"):
            parse_timing(text)


# -- recordings against each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        # Ring addresses differ from load to load, in all of them.
        ("base-1", (0, 0, {0x3800, 0x2800})),
        ("order-1", (0, 0, {0x3800, 0x2800})),
        ("value-1", (0, 0, {0x3800, 0x2800, 0x410, 0x2820})),
        ("drop-1", (0, 18, {0x3800, 0x2800})),
        ("add-1", (41, 0, {0x3800, 0x2800})),
    ],
)
def test_a_driver_of_one_version_against_another_run_of_another(driver, expected, samples):
    """Soft interrupts come in another order each time: that is no difference, and what the versions differ in is."""
    tape = tape_of_file(samples / "versions/e1000/base-2.mmio")
    card = MockCard(tape)
    drive(card, tape_of_file(samples / f"versions/e1000/{driver}.mmio"))
    ledger = card.finish()
    offsets = {done.offset for _, done in ledger.differing}
    assert (ledger.extra_count, ledger.missed_count, offsets) == expected
    assert ledger.matched - ledger.in_order < 200
    if driver == "add-1":
        assert sorted({(done.op, done.offset) for done in ledger.extra}) == [("R", 0x8), ("W", 0x170)]
    if driver == "drop-1":
        rows_ = [tape.row(position) for position in ledger.missed()]
        assert sorted({(row.op, row.offset) for row in rows_}) == [("R", 0x8), ("W", 0x282C)]


# -- drivers --------------------------------------------------------------------------------------------------------


def test_version_2_of_the_network_driver_against_version_1_differs_by_what_was_changed():
    report = replay(recorded("nic-init@1"), choose_driver("nic-init@2")).report.to_json()
    assert [(entry["offset"], entry["value"], entry["got"]) for entry in report["differing"]] == [
        ("0x2808", "0x80", "0x100"),
        ("0x2818", "0x7", "0xf"),
        ("0x100", "0x4008042", "0x40080c2"),
    ]
    assert [(entry["op"], entry["offset"]) for entry in report["extra"]] == [("W", "0x20"), ("R", "0x20")]
    assert [(entry["op"], entry["offset"]) for entry in report["missed"]] == [("W", "0x3818"), ("R", "0xc0")] * 3
    assert (report["matched"], report["in_order"], report["out_of_order"]) == (409, 406, 3)


@pytest.mark.parametrize("word", ["nv-test", "nv-init", "uart-hello", "nic-init", "block-init"])
def test_version_2_against_version_1_comes_to_its_end(word):
    done = replay(recorded(f"{word}@1"), choose_driver(f"{word}@2"))
    assert done.outcome.error is None
    assert (done.report.diverged, done.report.ledger.first is None) == (True, False)


def test_a_removed_card_under_the_window():
    done = replay(recorded("nv-init@1"), choose_driver("nv-init@1"), rules=parse_rules(["remove after 20"]))
    assert (done.report.ledger.matched, done.report.ledger.extra_count) == (20, 0)
    assert done.outcome.returned == -5


def test_a_driver_that_waits_by_time():
    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        kernel.writel(1, base + 4)
        for _ in range(100):
            if kernel.readl(base):
                break
            kernel.udelay(1)
        kernel.writel(2, base + 8)
        return 0

    for timing, polls in ((Timing(), 0), (Timing(10.0), 10)):
        report = replay(flat(*POLLED[:6]), chosen(probe), settings=Settings(timing=timing)).report
        assert (report.verdict, report.ledger.extra_count) == ("completed", 0)
        assert (report.ledger.polls_more > polls // 2) == bool(polls)
