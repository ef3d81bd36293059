"""Hunks do not depend on which recording comes first, and loops are one hunk at a known place."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from diff_helpers import access_rows, edited_pairs, keys, patched, recording
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.diff import aligner as aligner_module
from mmiotools.diff import walking
from mmiotools.diff.hunks import Comparison, compare

Row = tuple[str, int, int | None]
MIRROR = {"insert": "delete", "delete": "insert", "change": "change", "move": "move"}


@st.composite
def loopy_pairs(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Few different accesses, in loops that go round more often on one side, with blocks moved and edits within."""
    rounds = draw(st.lists(st.lists(access_rows, min_size=1, max_size=3), min_size=1, max_size=4))
    sides: list[list[list[Row]]] = [[], []]
    for one in rounds:
        for side in sides:
            side.append(one * draw(st.integers(1, 30)))
    if draw(st.booleans()):
        sides[1].append(sides[1].pop(draw(st.integers(0, len(rounds) - 1))))
    a, b = ([row for part in side for row in part] for side in sides)
    for side in (a, b):
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(side)))
            side[at : at + draw(st.integers(0, 1))] = draw(st.lists(access_rows, max_size=2))
    return a, b


def spans(comparison: Comparison) -> Counter[tuple[str, range, range]]:
    return Counter((hunk.kind, hunk.a, hunk.b) for hunk in comparison.hunks)


def check(a: list[Row], b: list[Row]) -> None:
    there, back = compare(recording(a), recording(b)), compare(recording(b), recording(a))
    assert spans(back) == Counter((MIRROR[kind], y, x) for kind, x, y in spans(there).elements())
    assert (back.same, back.coarse) == (there.same, there.coarse)
    for comparison in (there, back):
        assert patched(comparison, comparison.hunks) == keys(comparison.b)


@settings(max_examples=200)
@given(edited_pairs())
def test_swapped_sides_mirror_the_hunks(pair: tuple[list[Row], list[Row]]) -> None:
    check(*pair)


@settings(max_examples=200)
@given(loopy_pairs())
def test_with_loops_and_moved_blocks(pair: tuple[list[Row], list[Row]]) -> None:
    check(*pair)


@settings(max_examples=150)
@given(st.one_of(loopy_pairs(), edited_pairs()), st.sampled_from([0, 100, 1 << 24]))
@example(([("R", 0, 2)] + [("R", 0, None)] * 3, [("R", 0, None)] * 37 + [("R", 0, 2)] + [("R", 0, None)] * 2), 100)
def test_with_everything_treated_as_too_large(pair: tuple[list[Row], list[Row]], budget: int) -> None:
    """The ways that large gaps go: anchors, folding, reduction to what both sides have, walking."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aligner_module, "_SMALL", 4)
        patch.setattr(aligner_module, "_LOOPS", 8)
        patch.setattr(aligner_module, "WHOLE_TABLE", 16)
        patch.setattr(aligner_module, "_PASSES", ((4, 1), (2, 1)))
        patch.setattr(aligner_module, "_BUDGET", budget)
        patch.setattr(walking, "WINDOW", 8)
        patch.setattr(walking, "_SURE", 3)
        check(*pair)


def test_a_loop_that_went_round_more_often_is_left_over_at_its_end() -> None:
    before, after = [("W", i, 1) for i in range(20)], [("W", i, 2) for i in range(20)]
    for loop in ([("R", 8, 0)], [("R", 8, 0), ("R", 4, 1)], [("R", 8, 0), ("W", 4, 1), ("R", 9, 0)]):
        short, long = before + loop * 40 + after, before + loop * 90 + after
        (hunk,) = compare(recording(short), recording(long)).hunks
        end = 20 + 90 * len(loop)
        assert (hunk.kind, hunk.a.start, hunk.b) == ("insert", 20 + 40 * len(loop), range(end - 50 * len(loop), end))
        (hunk,) = compare(recording(long), recording(short)).hunks
        assert (hunk.kind, hunk.a, hunk.b.start) == ("delete", range(end - 50 * len(loop), end), 20 + 40 * len(loop))


@pytest.mark.parametrize("period", [1, 3])
def test_one_endless_loop_with_scattered_edits(period: int) -> None:
    """Too large for an exact answer by far, and nothing in it is unique: still an edit is a hunk or two."""
    loop: list[Row] = [("R", 8 + i, i) for i in range(period)]
    rng = np.random.default_rng(8)
    a, b = loop * (60_000 // period), loop * (61_000 // period)
    for number, at in enumerate(sorted(rng.choice(50_000, 60, replace=False).tolist(), reverse=True)):
        side = a if number % 2 else b
        side[at : at + 1] = ([], [side[at]] * 2, [(*side[at][:2], 99)])[number % 3]
    comparison = compare(recording(a), recording(b))
    assert patched(comparison, comparison.hunks) == keys(comparison.b)
    assert len(comparison.hunks) < 200
    assert comparison.same > 60_000 - 400
