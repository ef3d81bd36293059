"""Folding loops: what stays is in step with what was there."""

from __future__ import annotations

import numpy as np
import pytest

from mmiotools.diff.folding import KEPT, LONGEST_ROUND, fold


@pytest.mark.parametrize("period", range(1, LONGEST_ROUND + 1))
def test_rounds_beyond_the_first_are_left_out(period: int) -> None:
    before, after = list(range(100, 120)), list(range(200, 220))
    loop = list(range(period))
    short = np.array(before + loop * 40 + after, np.uint64)
    long = np.array(before + loop * 5000 + after, np.uint64)
    kept_short, kept_long = fold(short), fold(long)
    assert kept_short is not None and kept_long is not None
    assert short[kept_short].tolist() == long[kept_long].tolist()
    assert len(kept_long) < len(before) + len(after) + KEPT + 3 * period
    assert (np.diff(kept_long) > 0).all()


def test_nothing_to_fold() -> None:
    assert fold(np.arange(1000, dtype=np.uint64)) is None
    assert fold(np.zeros(KEPT, np.uint64)) is None
    assert fold(np.zeros(0, np.uint64)) is None
