"""Habits: an access that one version always makes right after, or right before, a certain other one.

A version that has lost or gained a habit was changed, also where interrupts make everything else come and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]

#: An access has to occur so often for what stands beside it to be a habit, or the lack of one.
_OFTEN = 3
#: A habit is kept in at least this share of the cases, and given up where it is kept in at most that one.
_KEPT, _GIVEN_UP = 0.7, 0.3


class _Counts(NamedTuple):
    """Sorted keys of one recording, and of its neighbours."""

    keys: Keys
    couples: Keys

    def share(self, own: Keys, couples: Keys) -> NDArray[np.float64]:
        """Of each key, in what share of its occurrences it stands in that couple; nan where it occurs too seldom."""
        often = _count(self.keys, own)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(often >= _OFTEN, _count(self.couples, couples) / often, np.nan)


class Habits:
    """What belongs together in the recordings of each version, given as keys; the first of each are compared."""

    def __init__(self, group_a: Sequence[Keys], group_b: Sequence[Keys]) -> None:
        self._groups = ([_counts(keys) for keys in group_a], [_counts(keys) for keys in group_b])
        self._keys = group_a[0], group_b[0]

    def broken(self, lost: bool) -> Mask:
        """For each access of A if `lost`, else of B: does it belong to the one before or behind it, in every
        recording of its version, and in no recording of the other one? (n,) or (m,)
        """
        keys, (own, other) = self._keys[not lost], self._groups if lost else self._groups[::-1]
        found = np.zeros(len(keys), np.bool_)
        couples = _couple(keys[:-1], keys[1:])
        for mine, beside in ((found[1:], keys[:-1]), (found[:-1], keys[1:])):
            kept = np.min([counts.share(beside, couples) for counts in own], axis=0)
            given_up = np.max([counts.share(beside, couples) for counts in other], axis=0)
            # Where it occurs far less often, it may be that only those are left that never had the habit.
            often = np.max([_count(counts.keys, beside) for counts in own], axis=0)
            left = np.min([_count(counts.keys, beside) for counts in other], axis=0)
            mine |= (kept >= _KEPT) & (given_up <= _GIVEN_UP) & (2 * left >= often)
        return found


def _counts(keys: Keys) -> _Counts:
    return _Counts(np.sort(keys), np.sort(_couple(keys[:-1], keys[1:])))


def _couple(first: Keys, second: Keys) -> Keys:
    return first * np.uint64(0x9E3779B97F4A7C15) ^ second


def _count(ordered: Keys, keys: Keys) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(ordered, keys, "right") - np.searchsorted(ordered, keys, "left"), np.int64)
