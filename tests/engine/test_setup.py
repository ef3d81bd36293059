"""Setups: what they imply, what they refuse, and their way through the header of a trace."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.engine.kmmio import EMULATE, POLICIES, STEP, STOP_THE_WORLD
from mmiotools.engine.quirks import COMPATS, QUIRKS
from mmiotools.engine.setup import ENGINES, MAX_CPUS, OPTIONS, SHORT, Setup
from mmiotools.errors import UsageError


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    names = draw(st.lists(st.sampled_from([quirk.name for quirk in QUIRKS]), unique=True, max_size=6))
    cut = draw(st.integers(0, len(names)))
    return Setup(
        machine=draw(st.sampled_from([None, "i386", "x86_64"])),
        cpus=draw(st.integers(1, MAX_CPUS)),
        engine=draw(st.sampled_from([None, *ENGINES, *SHORT])),
        compat=draw(st.sampled_from(COMPATS)),
        quirks=tuple(names[:cut]),
        no_quirks=tuple(names[cut:]),
        directories=draw(st.sampled_from(["synced", "lazy"])),
        large_pages=draw(st.sampled_from([None, False, True])),
    )


@settings(max_examples=200)
@given(setups())
def test_a_setup_survives_the_header_of_a_trace(setup: Setup) -> None:
    told = json.loads(json.dumps(setup.meta()))
    assert Setup.from_options(told) == setup
    # What is as it is by default is not told.
    assert {name for name in OPTIONS if getattr(setup, name) != getattr(Setup(), name)} == set(told)


def test_the_default_tells_nothing() -> None:
    assert Setup().meta() == {}
    assert Setup.from_options({}) == Setup()


def test_every_field_but_one_can_be_said_by_name() -> None:
    assert {field.name for field in fields(Setup)} - set(OPTIONS) == {"only"}
    assert "only" not in Setup(only=((0, 15),)).meta()


def test_other_keys_and_nothing_said_are_passed_over() -> None:
    assert Setup.from_options({"driver": 7, "cpus": None, "only": "x", "engine": "step"}) == Setup(engine="step")


@pytest.mark.parametrize(
    ("compat", "kind", "policy", "large"),
    [("fixed", "x86_64", EMULATE, True), ("mainline", "x86_64", STEP, True), ("seed", "i386", STEP, False)],
)
def test_what_a_compatibility_mode_implies(compat: str, kind: str, policy: str, large: bool) -> None:
    setup = Setup(compat=compat)
    assert (setup.kind, setup.policy, setup.large, setup.paging.name) == (kind, policy, large, kind)
    assert set(setup.chosen_quirks()) == {quirk.name for quirk in QUIRKS if compat in quirk.compats}


def test_what_is_said_goes_before_what_is_implied() -> None:
    setup = Setup(compat="seed", machine="x86_64", engine="stw", large_pages=False, no_quirks=("late-flush",))
    assert (setup.kind, setup.policy, setup.large) == ("x86_64", STOP_THE_WORLD, False)
    assert "late-flush" not in setup.chosen_quirks()
    assert "late-timestamp" in Setup(quirks=("late-timestamp",)).chosen_quirks()
    assert Setup(machine="i386", large_pages=True).large


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"machine": "sparc"}, "no machine is called 'sparc'; there are: .*i386"),
        ({"engine": "magic"}, f"no engine is called 'magic'; there are: {', '.join(POLICIES)}, off"),
        ({"compat": "2.6"}, "no compatibility mode is called '2.6'; there are: seed, mainline, fixed"),
        ({"directories": "late"}, "directories are 'synced' or 'lazy', not 'late'"),
        ({"cpus": 0}, "1 to 64 CPUs, not 0"),
        ({"cpus": 65}, "1 to 64 CPUs, not 65"),
        ({"quirks": ["no-such"]}, "no quirk is called 'no-such'"),
        ({"no_quirks": ["no-such"]}, "no quirk is called 'no-such'"),
        ({"quirks": ["late-flush"], "no_quirks": ["late-flush"]}, "'late-flush' is switched both on and off"),
        ({"machine": 386}, "key 'machine' must be a string"),
        ({"cpus": "2"}, "key 'cpus' must be a whole number"),
        ({"cpus": 2.0}, "key 'cpus' must be a whole number"),
        ({"cpus": True}, "key 'cpus' must be a whole number"),
        ({"quirks": "late-flush"}, "key 'quirks' must be a list of strings"),
        ({"no_quirks": ["late-flush", 3]}, "key 'no_quirks' must be a list of strings"),
        ({"large_pages": 1}, "key 'large_pages' must be true or false"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        Setup.from_options(options)
    assert "\n" not in str(caught.value)
