"""The exact subsequence against the textbook table."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.diff import lcs

short = st.lists(st.integers(0, 4), max_size=30)


def textbook(a: list[int], b: list[int]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        new = [0]
        for j, y in enumerate(b):
            new.append(max(new[-1], row[j + 1], row[j] + (x == y)))
        row = new
    return row[-1]


def found(a: list[int], b: list[int]) -> list[tuple[int, int]]:
    left, right = lcs.common_subsequence(np.array(a, np.uint64), np.array(b, np.uint64))
    return list(zip(left.tolist(), right.tolist(), strict=True))


@given(short, short)
def test_length_is_the_textbook_one(a: list[int], b: list[int]) -> None:
    pairs = found(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in itertools.pairwise(pairs))
    assert len(pairs) == textbook(a, b)


@given(a=short, b=short)
@pytest.mark.parametrize("mask_bytes", [0, 1 << 20])
def test_divided_is_as_long(mask_bytes: int, a: list[int], b: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lcs, "WHOLE_TABLE", 6)
        patch.setattr(lcs, "_MASK_BYTES", mask_bytes)
        pairs = found(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in itertools.pairwise(pairs))
    assert len(pairs) == textbook(a, b)


def test_of_repetitions_the_last_is_left_over() -> None:
    assert found([5, 5, 5], [5, 5]) == [(0, 0), (1, 1)]
    assert found([1, 2, 1, 2, 9], [1, 2, 9]) == [(0, 0), (1, 1), (4, 2)]
