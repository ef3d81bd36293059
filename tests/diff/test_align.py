"""Alignment of accesses: never fooled by a hash, by an absent value or by a wide one."""

from __future__ import annotations

import numpy as np
import pytest
from diff_helpers import recording, writes

from mmiotools.diff.align import align
from mmiotools.trace.accesses import Accesses


def partners(a: Accesses, b: Accesses) -> list[int]:
    return align(a, b, a.keys(), b.keys()).runs.partner(len(a)).tolist()


def test_equal_hashes_of_different_accesses_do_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accesses, "keys", lambda self, keep=None: np.zeros(len(self), np.uint64))
    assert partners(writes("abcd"), writes("axcd")) == [0, -1, 2, 3]


def test_absent_and_wide_values_are_not_zero() -> None:
    a = recording([("R", 0, None), ("R", 0, 1 << 70), ("R", 0, None), ("R", 0, 1 << 70)])
    b = recording([("R", 0, 0), ("R", 0, (1 << 70) + 1), ("R", 0, None), ("R", 0, 1 << 70)])
    assert partners(a, b) == [-1, -1, 2, 3]
