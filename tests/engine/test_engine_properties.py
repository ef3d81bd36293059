"""Random programs on the traced machine: what is recorded is what the card saw, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from engine_card import BAR0, BAR0_SIZE, BAR1, BAR1_SIZE, Rig, accesses, run
from hypothesis import find, given, settings
from hypothesis import strategies as st
from strategies import schedules

from mmiotools.engine.cpu import IF, TF, Cpu
from mmiotools.engine.instructions import Load, Store
from mmiotools.engine.kmmio import POLICIES
from mmiotools.engine.machine import Steps
from mmiotools.engine.schedule import Script
from mmiotools.engine.setup import Setup
from mmiotools.engine.truth import Checker, compare
from mmiotools.events import Kind

#: (verb, which live mapping, offset in it, width, value); a mapping is (bar, offset, length).
Action = tuple[str, int, int, int, int]

actions = st.tuples(
    st.sampled_from(["read", "write", "read", "write", "immediate", "copy", "or", "map", "unmap", "delay"]),
    st.integers(0, 9),
    st.one_of(st.integers(0, 0x4000), st.sampled_from([0, 0xFFD, 0xFFE, 0xFFF, 0x1000, 0x1FF9])),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, (1 << 64) - 1),
)
programs = st.lists(actions, max_size=40)


class Program:
    """Runs actions on a kernel, keeping every access inside a mapping."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.maps: list[tuple[int, int]] = []
        self.read: list[int] = []

    def step(self, action: Action) -> None:
        verb, which, offset, width, value = action
        if verb == "map" or not self.maps:
            base, size = ((BAR0, BAR0_SIZE), (BAR1, BAR1_SIZE))[value & 1]
            start = offset % (size - 16)
            length = 16 + value % (size - start - 15)
            self.maps.append((self.kernel.ioremap(base + start, length), length))
            return
        virt, length = self.maps[which % len(self.maps)]
        at = virt + offset % (length - width + 1)
        if verb == "read":
            self.read.append(self.kernel.read(at, width))
        elif verb == "write":
            self.kernel.write(at, width, value)
        elif verb == "immediate":
            self.kernel.write_immediate(at, width, value >> 33)
        elif verb == "copy":
            other, other_length = self.maps[value % len(self.maps)]
            self.kernel.copy(other + value % (other_length - width + 1), at, width)
        elif verb == "or":
            self.kernel.set_bits(at, width, value)
        elif verb == "delay":
            self.kernel.udelay(which)
        else:
            self.kernel.iounmap(virt)
            self.maps.pop(which % len(self.maps))


@settings(max_examples=200)
@given(programs, st.sampled_from(POLICIES))
def test_recorded_is_seen_and_the_machine_is_as_before(program: list[Action], policy: str) -> None:
    rig = Rig(policy)
    runner = Program(rig.kernel)
    for n, action in enumerate(program):
        flags = 0 if n & 1 else IF
        rig.cpu.flags = flags
        runner.step(action)
        assert rig.cpu.flags == flags
        for virt, length in runner.maps:
            for page in range(virt >> 12, (virt + length - 1 >> 12) + 1):
                assert rig.kmmio.probes.armed(page)
                assert not rig.machine.init_mm.entry(page).present
                assert page not in rig.cpu.tlb
        assert not rig.cpu.tlb.private
    truth = compare(rig.events, rig.card.seen, rig.card.pci)
    assert truth.clean, truth
    assert not truth.elsewhere
    assert rig.kmmio.missed == rig.kmmio.aborted == rig.machine.stray_steps == 0
    assert rig.machine.faults == rig.machine.retired
    assert rig.machine.steps <= rig.machine.retired
    for virt, _ in runner.maps:
        rig.kernel.iounmap(virt)
    assert not rig.kmmio.active


@settings(max_examples=80)
@given(programs.map(lambda p: [a for a in p if a[0] in ("read", "write", "immediate", "map", "unmap", "delay")]))
def test_plain_moves_are_recorded_value_by_value_in_order(program: list[Action]) -> None:
    rig = Rig()
    runner = Program(rig.kernel)
    for action in program:
        runner.step(action)
    base = {"BAR0": BAR0, "BAR1": BAR1}
    assert rig.accesses() == [(s.op, base[s.region] + s.offset, s.width, s.value) for s in rig.card.seen]
    assert [e.value for e in rig.events if e.kind == Kind.READ] == runner.read
    ids = [e.map for e in rig.events if e.kind == Kind.MAP]
    assert ids == list(range(1, len(ids) + 1))


@settings(max_examples=60)
@given(programs)
def test_the_engine_changes_nothing_for_driver_and_card(program: list[Action]) -> None:
    results = []
    for trace in (True, False):
        read: list[int] = []

        def probe(kernel: Any, read: list[int] = read) -> int:
            runner = Program(kernel)
            for action in program:
                runner.step(action)
            read += runner.read
            return kernel.now()

        outcome, events, card = run(probe, trace=trace)
        assert outcome.error is None
        results.append((outcome.returned, outcome.seen, outcome.accesses, read, card.snapshot()))
        assert bool(accesses(events)) == (trace and bool(card.seen))
    assert results[0] == results[1]


@settings(max_examples=60)
@given(programs, st.sampled_from(POLICIES))
def test_somebody_else_s_single_stepping_survives(program: list[Action], policy: str) -> None:
    rig = Rig(policy)
    steps = 0

    def debugger(cpu: Cpu) -> Steps[bool]:
        nonlocal steps
        steps += 1
        return True
        yield None

    rig.machine.debug_handlers.append(debugger)
    rig.cpu.flags |= TF
    runner = Program(rig.kernel)
    for action in program:
        runner.step(action)
    assert rig.cpu.flags == TF | IF
    assert steps == rig.machine.retired
    assert compare(rig.events, rig.card.seen, rig.card.pci).clean


def hammer(kernel: Any) -> Any:
    """Every CPU makes a few accesses to one page, every fifth of them over a page border."""

    def poke(base: int, number: int) -> Any:
        for turn in range(4):
            at = base + 0xFFE if turn == 3 else base + 0x100 + 16 * number
            yield Store(at, 4, turn)
            yield Load(at, 4)

    base = kernel.ioremap(BAR0, 0x2000)
    others = [kernel.start(number, poke(base, number)) for number in range(1, kernel.cpus)]
    yield from poke(base, 0)
    for task in others:
        yield task.done
    return 0


def lost(setup: Setup, choices: list[int] | None = None, seed: int = 0) -> int:
    """Accesses that are not recorded as the card saw them, whatever ended the run."""
    chooser = None if choices is None else Script(choices)
    outcome, events, card = run(hammer, setup=setup, seed=seed, chooser=chooser, watch=True)
    checker = Checker(card.pci)
    for event in events:
        checker.add(event)
    verdicts = checker.verdict_by_cpu(outcome.seen, outcome.initiators)
    missing = sum(len(truth.lost) for truth in verdicts.values())
    wrong = sum(len(truth.wrong) + len(truth.invented) for truth in verdicts.values())
    assert wrong == 0
    return missing


@settings(max_examples=80)
@given(st.lists(st.integers(0, 3), max_size=200), st.sampled_from(POLICIES), st.integers(2, 4))
def test_several_cpus_lose_nothing_in_any_schedule(choices: list[int], policy: str, cpus: int) -> None:
    assert lost(Setup(cpus=cpus, engine=policy), choices) == 0


def test_a_bad_schedule_is_found_for_the_old_engines_and_shrunk() -> None:
    setup = Setup(cpus=2, quirks=("page-open-to-others",), engine="step")
    bad = find(st.lists(st.integers(0, 1), max_size=40), lambda choices: lost(setup, choices) > 0)
    assert len(bad) <= 6


def test_the_kernel_s_way_is_caught_by_a_schedule_of_few_choices() -> None:
    setup = Setup(cpus=2, compat="mainline", engine="step")
    assert lost(setup, []) == 0, "one CPU after the other loses nothing"
    bad = find(
        schedules(), lambda choices: lost(setup, choices) > 0, settings=settings(max_examples=400, database=None)
    )
    assert 1 <= len(bad) <= 8
    assert lost(setup, bad) > 0
    assert not any(lost(Setup(cpus=2, engine=policy), bad) for policy in POLICIES)


@pytest.mark.parametrize("compat", ["seed", "mainline"])
def test_four_cpus_on_one_page_lose_events_under_the_old_engines(compat: str) -> None:
    assert any(lost(Setup(cpus=4, compat=compat), seed=seed) for seed in range(5))
    for policy in POLICIES:
        assert not any(lost(Setup(cpus=4, engine=policy), seed=seed) for seed in range(5))
