"""What is learned from repeats, on recordings made for it; and what holds whatever is learned."""

from __future__ import annotations

from diff_helpers import access_rows, keys, patched, recording
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.groups import Group, compare_groups, group_lines
from mmiotools.diff.hunks import DRIVER
from mmiotools.diff.learn import Noise, learn

Rows = list[tuple[str, int, int | None]]

SETUP: Rows = [("W", 0x10, 1), ("W", 0x14, 2), ("W", 0x18, 0x80), ("R", 0x1C, 3)]
WORK: Rows = [("W", 0x40 + 4 * n, n) for n in range(40)]
HANDLER: Rows = [("R", 0x80, 1), ("W", 0x84, 1), ("R", 0x88, 0)]


def interrupted(*places: int, handler: Rows = HANDLER) -> Rows:
    return SETUP + [row for at, row in enumerate(WORK) for row in [*(handler if at in places else []), row]]


def driver(a: list[Rows], b: list[Rows]) -> list[tuple[str, int, int]]:
    """Kind and sizes of the hunks of class driver, without rules."""
    groups = [[recording(rows) for rows in side] for side in (a, b)]
    hunks = compare_noisy(*groups, learn(groups), ()).hunks
    return [(hunk.kind, len(hunk.a), len(hunk.b)) for hunk in hunks if hunk.category == DRIVER]


def test_an_interrupt_comes_where_it_wants() -> None:
    assert driver([interrupted(5), interrupted(9)], [interrupted(20)]) == []
    assert driver([interrupted(5), interrupted(9)], [interrupted(3, 20, 30)]) == []
    assert driver([interrupted(5)], [interrupted(20)]) != [], "nothing was learned"


def test_what_the_handler_does_is_not_noise() -> None:
    longer = [*HANDLER, ("W", 0x8C, 1)]
    found = driver([interrupted(5, 9, 30), interrupted(7, 9, 30)], [interrupted(5, 12, 30, handler=longer)])
    assert sum(b for kind, _, b in found if kind == "insert") >= 3


def test_a_value_that_varies_does_so_in_its_place_alone() -> None:
    def run(first: int, second: int) -> Rows:
        return [("W", 8, first), *SETUP, ("W", 8, second), *WORK]

    assert driver([run(0, 0x51), run(0, 0x72)], [run(0, 0x93)]) == []
    assert driver([run(0, 0x51), run(0, 0x72)], [run(1, 0x93)]) == [("change", 1, 1)]


def test_flags_vary_in_the_bits_that_were_seen_to() -> None:
    def run(flags: int) -> Rows:
        return [*SETUP, ("W", 8, flags), *WORK]

    assert driver([run(0x101), run(0x103)], [run(0x101)]) == []
    assert driver([run(0x101), run(0x103)], [run(0x181)]) == [("change", 1, 1)]


def test_repeats_of_the_other_version_teach_as_well() -> None:
    assert driver([interrupted(5)], [interrupted(20), interrupted(11)]) == []


runs = st.lists(access_rows, max_size=24)


@given(runs, runs, runs, runs)
def test_the_hunks_turn_a_into_b_whatever_was_learned(a: Rows, again: Rows, b: Rows, more: Rows) -> None:
    groups = [[recording(a), recording(again)], [recording(b), recording(more)]]
    comparison = compare_noisy(*groups, learn(groups))
    assert patched(comparison, comparison.hunks) == keys(comparison.b)


@given(runs, runs)
def test_a_recording_against_itself_has_no_hunk(a: Rows, again: Rows) -> None:
    groups = [[recording(a), recording(again)], [recording(a)]]
    assert len(compare_noisy(*groups, learn(groups)).hunks) == 0


def test_the_odd_one_out() -> None:
    plain, odd = SETUP + WORK, SETUP + WORK[:20] + [("W", 0x200, 5)] + WORK[20:]
    groups = [Group(name, [recording(rows)]) for name, rows in (("x", plain), ("y", odd), ("z", plain))]
    found = compare_groups(groups, Noise(), ())
    assert (found.names[found.odd], found.core, found.oddity is not None) == ("y", len(plain), True)
    assert found.distance.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert "odd one out: y" in "\n".join(group_lines(found))
    alike = compare_groups([groups[0], groups[2], groups[0]], Noise(), ())
    assert (alike.odd, alike.oddity) == (-1, None)
    assert "none, all are the same" in "\n".join(group_lines(alike))


def test_a_run_that_took_less_time_lacks_a_stretch_of_restless_work() -> None:
    def run(*ticks: int) -> Rows:
        rows: Rows = list(SETUP)
        for tick in ticks:
            # Work whose values differ each time, with an interrupt now and then.
            rows += [*HANDLER, *(("R", 0x40 + 4 * n, 100 * tick + n) for n in range(12))]
            rows += [("W", 0x14, tick), *(HANDLER if tick % 3 else [])]
        return rows + WORK[12:]

    long, longer, short = run(1, 2, 4, 5, 7), run(1, 2, 3, 5, 7), run(1, 7)
    assert driver([long, longer], [long]) == []
    assert [kind for kind, *_ in driver([long, longer], [short]) if kind != "change"] == []
    without_handler = [row for row in short if row not in HANDLER]
    assert driver([long, longer], [without_handler]) != []


def test_a_habit_counts_where_the_access_still_occurs_often() -> None:
    def run(flush: bool, rounds: int) -> Rows:
        rows: Rows = list(SETUP)
        for at in range(rounds):
            rows += [("W", 0xD0, 1), *([("R", 0x8, 0)] if flush else []), ("W", 0x200 + 4 * at, at)]
        return rows

    found = driver([run(True, 6), run(True, 6)], [run(False, 6)])
    assert found == [("delete", 1, 0)] * 6
