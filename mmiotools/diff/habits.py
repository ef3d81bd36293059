"""Habits: an access that one version always makes right after, or right before, a certain other one.

A version that has lost or gained a habit was changed, also where interrupts make everything else come and go.
"""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import split
from mmiotools.typed import Any, NDArray, Sequence

Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]

#: An access has to occur so often for what stands beside it to be a habit, or the lack of one.
_OFTEN = 3
#: A habit is kept in at least this share of the cases, and given up where it is kept in at most that one.
_KEPT, _GIVEN_UP = 0.7, 0.3


class Habits:
    """What belongs together in the recordings of each version, given as keys; the first of each are compared."""

    def __init__(self, group_a: Sequence[Keys], group_b: Sequence[Keys]) -> None:
        self._split = len(group_a)
        codes, kinds = _coded([*group_a, *group_b])
        pairs, couples = _coded([code[:-1] * np.int64(kinds) + code[1:] for code in codes])
        #: Of each recording, how often each key is there, (r, k), and each couple of neighbours, (r, c).
        self._keys = np.stack([np.bincount(code, minlength=kinds) for code in codes])
        self._couples = np.stack([np.bincount(code, minlength=couples) for code in pairs])
        self._first, self._second = np.zeros((2, couples), np.int64)
        for code, pair in zip(codes, pairs, strict=True):
            self._first[pair], self._second[pair] = code[:-1], code[1:]
        self._compared = pairs[0], pairs[self._split]

    def broken(self, lost: bool) -> Mask:
        """For each access of A if `lost`, else of B: does it belong to the one before or behind it, in every
        recording of its version, and in no recording of the other one? (n,) or (m,)
        """
        own, other = slice(None, self._split), slice(self._split, None)
        if not lost:
            own, other = other, own
        pairs = self._compared[not lost]
        # An empty recording has no couple either.
        found = np.zeros(len(pairs) + 1, np.bool_)
        for mine, beside in ((found[1:], self._first), (found[:-1], self._second)):
            often = self._keys[:, beside]
            # In what share of its occurrences a key stands in the couple; nan where it occurs too seldom.
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(often >= _OFTEN, self._couples / often, np.nan)
            kept, given_up = share[own].min(axis=0), share[other].max(axis=0)
            # Where it occurs far less often, it may be that only those are left that never had the habit.
            enough = 2 * often[other].min(axis=0) >= often[own].max(axis=0)
            mine |= ((kept >= _KEPT) & (given_up <= _GIVEN_UP) & enough)[pairs]
        return found


def _coded(groups: Sequence[NDArray[Any]]) -> tuple[list[NDArray[np.int64]], int]:
    """The same with small numbers for the keys, equal ones for equal keys; and how many there are."""
    keys = np.concatenate(groups)
    order = np.argsort(keys)
    ordered = keys[order]
    fresh = np.zeros(len(keys), np.int64)
    fresh[1:] = ordered[1:] != ordered[:-1]
    codes = np.empty(len(keys), np.int64)
    codes[order] = np.cumsum(fresh)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return split(codes, ends), int(codes.max(initial=-1)) + 1
