"""Whole runs at random: every kind of instruction, machine, page, directory, and part of a mapping."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_card import BAR0
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from strategies import VERBS, Action, Mapping, Place, Run, carry_out, owed, recorded, runs

from mmiotools.engine.kmmio import POLICIES
from mmiotools.engine.setup import Setup
from mmiotools.events import Kind

FEW = settings(max_examples=400, database=None, deadline=None)


@settings(max_examples=150)
@given(runs())
def test_whatever_runs_is_recorded_as_the_card_saw_it(run: Run) -> None:
    outcome, events, _ = carry_out(run)
    assert recorded(events) == owed(outcome, run.setup)
    times: dict[int | None, list[int]] = {}
    for event in events:
        if event.kind in (Kind.READ, Kind.WRITE):
            times.setdefault(event.cpu, []).append(event.time)
    assert all(ours == sorted(ours) for ours in times.values())


@settings(max_examples=80)
@given(runs(cpus=1))
def test_registers_card_memory_and_clock_end_as_without_an_engine(run: Run) -> None:
    outcome, _, state = carry_out(run)
    plain, events, expected = carry_out(run._replace(setup=replace(run.setup, engine="off", only=())))
    assert events == []
    assert plain.faults == 0 or run.setup.directories == "lazy"
    assert (state, outcome.seen, outcome.accesses) == (expected, plain.seen, plain.accesses)


@settings(max_examples=40)
@given(runs(), st.sampled_from(POLICIES))
def test_a_policy_changes_nothing_but_the_way(run: Run, policy: str) -> None:
    one = run._replace(setup=replace(run.setup, cpus=1), programs=run.programs[:1])
    results = [carry_out(one._replace(setup=replace(one.setup, engine=engine))) for engine in (policy, "emulate")]
    first, second = ([event for event in events] for _, events, _ in results)
    assert first == second
    assert results[0][2] == results[1][2]


@pytest.mark.parametrize("verb", VERBS)
def test_every_kind_of_access_is_recorded(verb: str) -> None:
    place, other = Place(0, 0x120, 0), Place(0, 0x230, 0)
    actions = tuple(Action(verb, place, other, 4, value) for value in range(9))
    run = Run(Setup(cpus=2, machine="x86_64"), (Mapping(BAR0, 0x2000),), ((), actions), [])
    outcome, events, _ = carry_out(run)
    assert recorded(events) == owed(outcome, run.setup)
    assert bool(recorded(events)) == (verb != "delay")


def test_the_strategy_makes_a_run_that_shows_a_loss() -> None:
    def loses(run: Run) -> bool:
        outcome, events, _ = carry_out(run)
        return recorded(events) != owed(outcome, run.setup)

    without_shrinking = settings(FEW, phases=[Phase.generate])
    bad = find(runs(cpus=1, quirks=("last-page-missed",)), loses, settings=without_shrinking)
    assert any(bad.programs)
    assert not loses(bad._replace(setup=replace(bad.setup, quirks=())))
