"""What counts as a move, and what does not."""

from __future__ import annotations

import numpy as np
from diff_helpers import keys, patched, recording

from mmiotools.diff.hunks import compare


def steady(n: int, start: int = 0) -> list[tuple[str, int, int | None]]:
    """n different accesses."""
    return [("W", 8 + i % 40, 1000 + start + i) for i in range(n)]


def kinds(a: list, b: list) -> list[tuple[str, int]]:
    comparison = compare(recording(a), recording(b))
    assert patched(comparison, comparison.hunks) == keys(comparison.b)
    return [(hunk.kind, max(len(hunk.a), len(hunk.b))) for hunk in comparison.hunks]


def test_blocks_move_any_distance() -> None:
    rows = steady(3000)
    assert kinds(rows, rows[100:120] + rows[:100] + rows[120:]) == [("move", 20)]
    assert kinds(rows, rows[:50] + rows[500:] + rows[50:500]) == [("move", 450)]


def test_several_blocks() -> None:
    rows = steady(3000)
    moved = rows[100:120] + rows[:100] + rows[120:1000] + rows[1040:2000] + rows[1000:1040] + rows[2000:]
    assert kinds(rows, moved) == [("move", 20), ("move", 40)]


def test_a_single_access_that_is_the_only_one_of_its_kind_moves_any_distance() -> None:
    rows = steady(3000)
    assert kinds(rows, [*rows[:10], *rows[11:2500], rows[10], *rows[2500:]]) == [("move", 1)]


def test_one_of_many_moves_only_nearby() -> None:
    common = ("R", 4, 7)
    near_a, near_b = list(steady(400)), list(steady(400))
    for at in (300, 100):
        near_a.insert(at, common)
        near_b.insert(at + 5, common)
    assert kinds(near_a, near_b) == [("move", 1), ("move", 1)]
    far_a, far_b = list(steady(400)), list(steady(400))
    for at in (300, 100):
        far_a.insert(at, common)
        far_b.insert(at - 90, common)
    assert sorted(kinds(far_a, far_b)) == [("delete", 1), ("delete", 1), ("insert", 1), ("insert", 1)]


def test_the_nearest_partner_is_taken() -> None:
    common = ("R", 4, 7)
    a, b = steady(200), steady(200)
    a.insert(100, common)
    b.insert(130, common)
    b.insert(95, common)
    (move,) = (hunk for hunk in compare(recording(a), recording(b)).hunks if hunk.kind == "move")
    assert (list(move.a), list(move.b)) == ([100], [95])


def test_parts_of_poll_loops_do_not_move() -> None:
    poll, rows = [("R", 4, 0)], steady(60)
    a = rows[:20] + poll * 30 + rows[20:40] + poll * 10 + rows[40:]
    b = rows[:20] + poll * 10 + rows[20:40] + poll * 30 + rows[40:]
    assert kinds(a, b) == [("delete", 20), ("insert", 20)]


def test_a_moved_block_beats_changes_of_its_registers() -> None:
    """Two blocks over the same registers swap places around a longer one: no access has a new value."""
    first = [("W", i, 100 + i) for i in range(20)]
    second = [("W", i, 200 + i) for i in range(20)]
    middle = steady(60)
    found = kinds(first + middle + second, second + middle + first)
    assert found == [("move", 20), ("move", 20)]


def test_many_moves_at_once_stay_right() -> None:
    rows = steady(2000)
    order = np.random.default_rng(6).permutation(500)
    found = kinds(rows, [row for block in order.tolist() for row in rows[block * 4 : block * 4 + 4]])
    assert {kind for kind, _ in found} == {"move"}
