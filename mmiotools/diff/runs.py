"""Runs: stretches of one side that stand for equally long stretches of the other, and the gaps between them."""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import NDArray, Record, Sequence

Indexes = NDArray[np.int64]
Rows = tuple[Indexes, Indexes, Indexes]


class Runs(Record):
    """Accesses a[i]..a[i] + count[i] - 1 belong to b[i]..b[i] + count[i] - 1; (r,) each. Ascending in both sides."""

    a: Indexes
    b: Indexes
    count: Indexes

    @classmethod
    def of(cls, rows: Sequence[Rows]) -> Runs:
        """From (a, b, count) in any order; what adjoins on both sides becomes one run. Those that cross, as moves do,
        ascend in a only.
        """
        if not rows:
            return cls(*(np.zeros(0, np.int64) for _ in range(3)))
        a, b, count = (np.concatenate(column).astype(np.int64, copy=False) for column in zip(*rows, strict=True))
        if not bool((a[1:] >= a[:-1]).all()):
            order = np.argsort(a, kind="stable")  # of a few sequences that ascend
            a, b, count = a[order], b[order], count[order]
        some = count > 0
        if not some.all():
            a, b, count = a[some], b[some], count[some]
        if not len(a):
            return cls(a, b, count)
        fresh = np.ones(len(a), np.bool_)
        np.logical_or(a[1:] != a[:-1] + count[:-1], b[1:] != b[:-1] + count[:-1], out=fresh[1:])
        first = flatnonzero(fresh)
        return cls(a[first], b[first], np.add.reduceat(count, first))

    @classmethod
    def of_pairs(cls, left: Indexes, right: Indexes) -> Runs:
        """From pairs, in any order."""
        return cls.of([(left, right, np.ones(len(left), np.int64))])

    def __len__(self) -> int:
        return len(self.a)

    def rows(self) -> Rows:
        """The columns."""
        return self.a, self.b, self.count

    def total(self) -> int:
        """Pairs."""
        return int(self.count.sum())

    def pairs(self) -> tuple[Indexes, Indexes]:
        """Every pair by itself."""
        return ranges(self.a, self.count), ranges(self.b, self.count)

    def partner(self, length: int) -> Indexes:
        """For each of the `length` accesses of a its partner in b, -1 for none."""
        partner = np.full(length, -1, np.int64)
        left, right = self.pairs()
        partner[left] = right
        return partner

    def mirrored(self) -> Runs:
        """The same with the sides swapped."""
        return Runs(self.b, self.a, self.count)

    def joined(self, other: Runs) -> Runs:
        """Both together; they must not cross."""
        return Runs.of([self.rows(), other.rows()]) if len(other) else self

    def gaps(self, length_a: int, length_b: int) -> Indexes:
        """The gaps between runs, (g, 4): from and to in a, from and to in b."""
        found = np.empty((len(self) + 1, 4), np.int64)
        found[0, 0] = found[0, 2] = 0
        found[1:, 0], found[1:, 2] = self.a + self.count, self.b + self.count
        found[:-1, 1], found[:-1, 3] = self.a, self.b
        found[-1, 1], found[-1, 3] = length_a, length_b
        return found[(found[:, 1] > found[:, 0]) | (found[:, 3] > found[:, 2])]

    def places_in_b(self, rows: Indexes, length_b: int) -> tuple[Indexes, Indexes]:
        """Where accesses of a that are in no run would stand in b: after the run before, and before the run after."""
        ends = np.concatenate((np.zeros(1, np.int64), self.b + self.count))
        starts = append(self.b, length_b)
        at = np.searchsorted(self.a, rows)
        return ends[at], starts[at]


def ranges(start: Indexes, count: Indexes) -> Indexes:
    """start[0], start[0] + 1, … (count[0] of them), start[1], …"""
    return np.asarray(np.repeat(start - np.cumsum(count) + count, count) + np.arange(int(count.sum())), np.int64)


def gaps(partner: Indexes, length: int) -> Indexes:
    """The gaps between matches, as `Runs.gaps`, from the partner of each access of a; `length` is that of b."""
    left = flatnonzero(partner >= 0)
    return Runs.of_pairs(left, partner[left]).gaps(len(partner), length)
