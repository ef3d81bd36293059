"""Joining insertions, and deletions, that a repetition has split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_lcs import found

from mmiotools.diff.runs import Runs
from mmiotools.diff.sliding import join


def keys(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(np.uint64)


def runs(partner: list[int]) -> Runs:
    left = np.flatnonzero(np.array(partner, np.int64) >= 0)
    return Runs.of_pairs(left, np.array(partner, np.int64)[left])


@pytest.mark.parametrize(
    ("a", "b", "partner", "expected"),
    [
        ("xx", "xxxxx", [2, 3], [0, 1]),
        ("axxb", "axxxb", [0, 2, 3, 4], [0, 2, 3, 4]),  # one insertion stays where it is
        ("axxb", "axxxxb", [0, 2, 4, 5], [0, 1, 4, 5]),
        ("axxb", "axxxxxb", [0, 2, 4, 6], [0, 1, 2, 6]),
        ("xyxy", "xyxyxyxyxy", [2, 3, 6, 7], [0, 1, 2, 3]),
        ("xxxxx", "xx", [-1, 0, -1, 1, -1], [0, 1, -1, -1, -1]),
        ("aza", "azaza", [2, 3, 4], [2, 3, 4]),
    ],
)
def test_join(a: str, b: str, partner: list[int], expected: list[int]) -> None:
    assert join(runs(partner), keys(a), keys(b)).partner(len(a)).tolist() == expected


@given(st.text("xy", max_size=14), st.text("xy", max_size=14))
def test_as_many_matches_and_all_right(a: str, b: str) -> None:
    partner = np.full(len(a), -1)
    for i, j in found(list(a.encode()), list(b.encode())):
        partner[i] = j
    before = runs(partner.tolist())
    after = join(before, keys(a), keys(b))
    joined = after.partner(len(a))
    matched = np.flatnonzero(joined >= 0)
    assert len(matched) == (partner >= 0).sum()
    assert (np.diff(joined[matched]) > 0).all()
    assert all(a[i] == b[joined[i]] for i in matched.tolist())
    assert len(after.gaps(len(a), len(b))) <= len(before.gaps(len(a), len(b)))
