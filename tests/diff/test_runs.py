"""Runs and the gaps between them."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.runs import Runs, ranges


def runs(*rows: tuple[int, int, int]) -> Runs:
    return Runs.of([tuple(np.array([number]) for number in row) for row in rows])


def test_what_adjoins_on_both_sides_is_one_run() -> None:
    found = runs((3, 4, 2), (0, 1, 3), (5, 9, 1), (6, 10, 0))
    assert [column.tolist() for column in found.rows()] == [[0, 5], [1, 9], [5, 1]]
    assert found.total() == 6
    assert found.partner(7).tolist() == [1, 2, 3, 4, 5, 9, -1]


def test_gaps() -> None:
    assert runs((0, 1, 1), (2, 2, 1), (3, 5, 1)).gaps(4, 7).tolist() == [
        [0, 0, 0, 1],
        [1, 2, 2, 2],
        [3, 3, 3, 5],
        [4, 4, 6, 7],
    ]
    assert runs((0, 0, 4)).gaps(4, 4).tolist() == []
    assert runs().gaps(2, 0).tolist() == [[0, 2, 0, 0]]


def test_places() -> None:
    after, before = runs((1, 2, 2), (5, 8, 1)).places_in_b(np.array([0, 3, 4, 6]), 20)
    assert (after.tolist(), before.tolist()) == ([0, 4, 4, 9], [2, 8, 8, 20])


def test_ranges() -> None:
    assert ranges(np.array([5, 1, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
