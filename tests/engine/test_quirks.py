"""Every quirk shows its defect when it is on, and not when it is off; every mode has the quirks that it should have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import quirk_scenes as scenes
from quirk_helpers import NAMES
from quirk_scenes import TAIL

from mmiotools.engine.quirks import QUIRKS, Quirks, choose_quirks
from mmiotools.errors import UsageError

OPEN = "page-open-to-others"


class Row(NamedTuple):
    """What a scene gives under the step policy with a quirk and those that it needs, and with the latter only."""

    quirk: str
    needs: tuple[str, ...]
    scene: Callable[..., Any]
    with_it: Any
    without: Any


ROWS = (
    Row("inclusive-end", (), scenes.next_page, "EEXIST", "ok"),
    Row("count-before-check", (), scenes.counted, (7, True), (4, False)),
    Row("overlap-start-only", (), scenes.enclosing, "ok", "EEXIST"),
    Row("probe-per-page", (), scenes.same_page, "EEXIST", "ok"),
    Row("last-page-missed", (), scenes.unaligned, 5, 6),
    Row("page-base-lookup", (), scenes.unaligned, 1, 6),
    # A page that only the stepping CPU sees need not be armed again.
    Row("rearm-after-unregister", (OPEN,), scenes.gone_in_between, {"ok", "Oops"}, {"ok"}),
    Row("global-context", (), scenes.two_reads, {"ok", "lost"}, {"ok"}),
    # The lock alone is harmless: it takes a second fault in one step.
    Row("lock-across-step", ("one-page-context",), scenes.straddle, "Deadlock", "Oops"),
    Row("refault-resteps", ("one-page-context",), scenes.forgotten_step, ("lost", 1, False), ("Oops", 0, True)),
    Row("refault-resteps", ("fault-before-sync", OPEN), scenes.lagging_directory, ("RecursiveFault", 51), ("ok", 2)),
    # With a view of its own the engine needs no directory of the process.
    Row("fault-before-sync", ("refault-resteps", OPEN), scenes.lagging_directory, ("RecursiveFault", 51), ("ok", 2)),
    Row(OPEN, (), scenes.two_reads, {"ok", "lost"}, {"ok"}),
    # Of 21 reads of the second CPU one may come while the page is open; that the others are lost is the stale entry.
    Row("local-flush", (OPEN,), scenes.sticky, 21, 1),
    # Both CPUs have to step: who looks at the page first finds it present, and makes the access unseen.
    Row("double-arm", (OPEN, "fault-before-sync"), scenes.two_reads, {"ok", "lost", "Oops"}, {"ok", "lost"}),
    Row("one-page-context", (), scenes.straddle, "Oops", "ok"),
    Row("one-page-context", ("old-decoder",), scenes.page_to_page, "Oops", "ok"),
    Row("large-page-bug", (), scenes.huge, "Oops", []),
    Row("large-page-stride", (), scenes.huge, list(TAIL), []),
    # True is the defect: the other CPU's change of the entry is undone.
    Row("pte-nonatomic", (OPEN,), scenes.made_read_only, {True, False}, {False}),
    Row("late-flush", (), scenes.known_elsewhere, 1, 0),
    Row("no-register-flush", (), scenes.known_before, 0, 2),
    Row("any-debug-trap", (), scenes.breakpoint, (0, 2), (1, 2)),
    # Without the old decoder a popf is carried out and not stepped over.
    Row("flags-or", ("old-decoder",), scenes.popf, True, False),
    # What takes the fault for its own has to step again to go wrong.
    Row("ignore-error-code", ("refault-resteps",), scenes.read_only, "RecursiveFault", "DriverError"),
    Row("partial-registration", (), scenes.short_of_memory, (1, False), (0, True)),
    Row("silent-drop", (), scenes.outside, 0, 1),
    Row("invert-map-no-flush", (), scenes.inverted, 0x10, 0x5010),
    Row("old-decoder", (), scenes.rep_movs, "UUUUUUUU", "WWWWWWWW"),
    Row("late-timestamp", (), scenes.stamp, True, False),
    Row("any-range", (), scenes.no_length, "ok", "EINVAL"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.quirk}-{row.scene.__name__}")
def test_defect_shows_with_the_quirk_only(row: Row) -> None:
    assert row.scene(engine="step", quirks=(*row.needs, row.quirk)) == row.with_it
    assert row.scene(engine="step", quirks=row.needs) == row.without


def test_every_quirk_has_a_row() -> None:
    assert {row.quirk for row in ROWS} == set(NAMES)


#: Scene → what it gives with compat seed, mainline and fixed.
MODES: dict[Callable[..., Any], tuple[Any, Any, Any]] = {
    scenes.next_page: ("EEXIST", "ok", "ok"),
    scenes.counted: ((7, True), (4, False), (4, False)),
    scenes.enclosing: ("ok", "ok", "EEXIST"),
    scenes.same_page: ("ok", "EEXIST", "ok"),
    scenes.unaligned: (5, 1, 6),
    scenes.gone_in_between: ({"ok", "Oops"}, {"ok"}, {"ok"}),
    scenes.straddle: ("Deadlock", "Oops", "ok"),
    scenes.page_to_page: ("Deadlock", "Oops", "ok"),
    scenes.forgotten_step: (("lost", 1, False), ("Oops", 0, True), ("ok", 0, True)),
    scenes.lagging_directory: (("RecursiveFault", 51), ("ok", 2), ("ok", 2)),
    scenes.two_reads: ({"ok", "lost"}, {"ok", "lost", "Oops"}, {"ok"}),
    scenes.sticky: (21, 21, 0),
    scenes.huge: ("Oops", list(TAIL), []),
    scenes.made_read_only: ({True, False}, {False}, {False}),
    scenes.known_before: (2, 0, 2),
    scenes.known_elsewhere: (1, 1, 0),
    scenes.breakpoint: ((0, 2), (1, 2), (1, 2)),
    scenes.popf: (True, True, False),
    scenes.read_only: ("RecursiveFault", "DriverError", "DriverError"),
    scenes.short_of_memory: ((1, False), (1, False), (0, True)),
    scenes.outside: (0, 0, 1),
    scenes.inverted: (0x10, 0x5010, 0x5010),
    scenes.rep_movs: ("UUUUUUUU", "UUUUUUUU", "WWWWWWWW"),
    scenes.stamp: (True, True, False),
    scenes.no_length: ("ok", "ok", "EINVAL"),
}


@pytest.mark.parametrize("scene", MODES, ids=lambda scene: scene.__name__)
def test_compatibility_modes(scene: Callable[..., Any]) -> None:
    seed, mainline, fixed = MODES[scene]
    assert scene(compat="seed") == seed
    assert scene(compat="mainline") == mainline
    for policy in ("emulate", "step", "stop-the-world"):
        assert scene(compat="fixed", engine=policy) == fixed


def test_every_scene_of_a_row_is_held_against_the_modes() -> None:
    assert {row.scene for row in ROWS} == set(MODES)


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_a_quirk_is_in_its_modes_and_can_be_switched(quirk: Any) -> None:
    for compat in ("seed", "mainline", "fixed"):
        usual = choose_quirks(compat)
        assert (quirk.name in usual) == (compat in quirk.compats)
        assert set(choose_quirks(compat, on=[quirk.name])) == {*usual, quirk.name}
        assert set(choose_quirks(compat, off=[quirk.name])) == {*usual} - {quirk.name}


def test_quirks_are_attributes() -> None:
    declared = [name for name in Quirks.__annotations__ if not name.startswith("_")]
    assert declared == [name.replace("-", "_") for name in NAMES]
    assert [name for name in declared if getattr(Quirks(["flags-or"]), name)] == ["flags_or"]


@pytest.mark.parametrize(
    "compat, on, off, told",
    [
        ("fixed", ["nonsense"], [], "no quirk is called 'nonsense'"),
        ("fixed", [], ["nonsense"], "no quirk is called 'nonsense'"),
        ("broken", [], [], "no compatibility mode is called 'broken'"),
        ("seed", ["flags-or"], ["flags-or"], "switched both on and off"),
    ],
)
def test_unknown_and_contradictory_choices(compat: str, on: list[str], off: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        choose_quirks(compat, on, off)


def test_titles_are_single_sentences() -> None:
    for quirk in QUIRKS:
        assert re.fullmatch(r"[A-Z][^\n]*\.", quirk.title), quirk.name
