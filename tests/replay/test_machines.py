"""Replay in the machine of the recording, and what no recording holds."""

from __future__ import annotations

import numpy as np
import pytest
from replay_helpers import recorded, tape_of

from mmiotools.drivers import choose_driver
from mmiotools.errors import RecursiveFault, UsageError
from mmiotools.record import make_plan, record_to, trace_header
from mmiotools.replay import MockCard, Tape, load_tape, replay
from mmiotools.replay.run import replay_header
from mmiotools.trace.header import Trace

POLICY = pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])


def recorded_with(word: str, **options) -> Tape:
    batches: list = []
    plan = make_plan(word, options=options)
    record_to(batches.append, plan)
    return load_tape(Trace(trace_header(plan), iter(batches), "test"))


@POLICY
@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 4},
        {"cpus": 3, "machine": "i386"},
        {"cpus": 4, "engine": "step"},
        {"cpus": 4, "engine": "stop-the-world"},
        {"cpus": 2, "engine": "step", "quirks": ["late-timestamp", "flags-or"]},
    ],
)
def test_a_recording_of_several_cpus_completes(options, policy):
    tape = recorded_with("nv-smp", **options)
    assert set(tape.cpu.tolist()) == set(range(options["cpus"]))
    done = replay(tape, choose_driver("nv-smp"), policy)
    assert (done.report.verdict, done.report.ledger.matched) == ("completed", 300 * options["cpus"])
    assert done.outcome.returned == 0
    assert done.outcome.log[-1] == f"{options['cpus']} CPUs, 0 wrong values"
    assert done.report.limits == []


def test_another_seed_is_another_order_between_cpus_and_none_on_each():
    tape = recorded_with("nv-smp", cpus=3)
    same, other = (replay(tape, choose_driver("nv-smp"), "strict", seed=seed) for seed in (0, 1))
    assert same.outcome.initiators == tape.cpu.tolist() != other.outcome.initiators
    assert other.report.verdict == "completed"


def test_an_order_that_is_wrong_on_one_cpu_is_found():
    tape = recorded_with("nv-smp", cpus=2)
    of_cpu_1 = [n for n, cpu in enumerate(tape.cpu.tolist()) if cpu == 1]
    first, second = of_cpu_1[30:32]
    for column in (tape.op, tape.offset, tape.value):
        column[[first, second]] = column[[second, first]]
    report = replay(tape, choose_driver("nv-smp"), "strict").report
    assert report.diverged
    assert (report.ledger.first.kind, report.ledger.first.position) == ("extra", first)


@POLICY
def test_the_mock_card_goes_back_to_a_state_with_several_cpus(policy):
    tape = recorded_with("nv-smp", cpus=2)
    card = MockCard(tape, policy)
    rows = [(tape.row(n), cpu) for n, cpu in enumerate(tape.cpu.tolist())]
    at = [0]
    card.initiator = lambda: at[0]

    def do(part):
        for row, at[0] in part:
            if row.op == "R":
                card.read(row.bar, row.offset, row.width)
            else:
                card.write(row.bar, row.offset, row.width, row.value)

    do(rows[:200])
    state = card.snapshot()
    do(rows[200:250])
    card.restore(state)
    do(rows[200:])
    ledger = card.finish()
    assert (ledger.matched, ledger.first) == (len(tape), None)


@pytest.mark.parametrize("compat", ["seed", "mainline"])
@pytest.mark.parametrize("word", ["nv-test@2", "nv-init@1", "uart-hello"])
def test_recordings_of_old_engines_complete(word, compat):
    tape = recorded_with(word, compat=compat)
    done = replay(tape, choose_driver(word))
    assert (done.report.verdict, done.report.limits, done.outcome.error) == ("completed", [], None)
    assert done.outcome.steps > 0


def test_a_recursive_fault_comes_again():
    tape = recorded_with("nv-test", compat="seed", machine="i386", directories="lazy")
    done = replay(tape, choose_driver("nv-test"))
    assert isinstance(done.outcome.error, RecursiveFault)
    assert (done.report.verdict, done.report.ledger.matched) == ("completed", 1)
    assert sum("did not come to its end" in line for line in done.report.lines()) == 1
    assert not any("\n" in line for line in done.report.lines())


def test_what_a_defective_engine_let_through_is_extra_and_the_report_says_why():
    tape = recorded_with("nv-smp", cpus=4, compat="mainline")
    report = replay(tape, choose_driver("nv-smp")).report
    assert report.ledger.missed_count == report.ledger.differing_count == 0
    assert report.ledger.extra_count > 0
    assert report.to_json()["limits"] == [
        "the recording was made with defects (--compat mainline): accesses that were let through are extra here"
    ]


def test_the_trace_of_a_replay_names_the_machine():
    tape = recorded_with("nv-smp", cpus=2, machine="i386")
    options = replay_header(tape, choose_driver("nv-smp"), "strict").meta["options"]
    assert (options["cpus"], options["machine"], "engine" in options) == (2, "i386", False)


@pytest.mark.parametrize("options", [{"machine": "vax"}, {"cpus": 0}, {"cpus": "four"}, {"quirks": ["none such"]}])
def test_a_machine_that_there_is_not(options):
    tape = tape_of(("R", "BAR0", 0, 4, 0))
    tape.meta = {"options": options}
    with pytest.raises(UsageError, match="the recording: cannot be replayed: "):
        replay(tape, choose_driver("nv-test"))


def test_a_recording_of_several_cpus_by_others_is_one_sequence():
    """It names CPUs, but not how many the machine shall have: its driver ran where it was put."""
    tape = recorded("nv-test@1")
    tape.cpu = np.array([3, 1], np.int32)
    assert replay(tape, choose_driver("nv-test")).report.verdict == "completed"


# -- what a trace does not hold -----------------------------------------------------------------------------


@POLICY
@pytest.mark.parametrize("word", ["nic-init", "block-init"])
def test_memory_and_interrupts_are_named_as_limits(word, policy):
    tape = recorded(word)
    tape.meta["card"] = "a card of somebody's"
    done = replay(tape, choose_driver(word), policy, irq=["none"])
    assert done.report.diverged
    dma, irq = done.report.to_json()["limits"]
    assert dma.startswith("the driver shares memory with the card: a trace does not hold")
    assert irq.startswith("the driver has an interrupt handler, and nothing says when")
    assert {f"  {dma}", f"  {irq}"} <= set(done.report.lines())


def test_a_driver_without_them_has_no_limits():
    assert replay(recorded("nv-init@1"), choose_driver("nv-init@1")).report.to_json()["limits"] == []


def test_ranges_that_were_not_probed_are_named():
    batches: list = []
    plan = make_plan("nv-test", probe=["BAR0+0x600100-0x6001ff"])
    record_to(batches.append, plan)
    report = replay(load_tape(Trace(trace_header(plan), iter(batches), "test")), choose_driver("nv-test")).report
    assert (report.ledger.matched, report.ledger.extra_count) == (1, 1)
    assert report.limits == ["only BAR0+0x600100-0x6001ff was recorded: what the driver did elsewhere is extra here"]
