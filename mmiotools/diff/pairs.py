"""Which access of A goes with which of B, and how: the same, changed, or moved."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.pairing import Pairing, Side, pair_runs
from mmiotools.diff.runs import Runs
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero, steps
from mmiotools.typed import NamedTuple, NDArray

Keys = NDArray[np.uint64]
Keep = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Pairs(NamedTuple):
    """For each access of A the index of its partner in B, -1 for none; (n,) int64 each. An access has one at most.

    partner   the two are the same, as far as their values count
    changed   the same register in the same place, but another value; together with `partner` this ascends
    moved     the same access in another place
    free_b    (m,) bool: accesses of B that are nobody's partner
    coarse    accesses (both sides) in stretches whose answer is right, but perhaps not the shortest
    keys_a, keys_b   what was aligned
    """

    partner: Indexes
    changed: Indexes
    moved: Indexes
    free_b: Mask
    coarse: int
    keys_a: Keys
    keys_b: Keys

    @property
    def free_a(self) -> Mask:
        """(n,) bool: accesses of A that are nobody's partner."""
        return (self.partner < 0) & (self.changed < 0) & (self.moved < 0)

    def pairing(self) -> Pairing:
        """The same as runs."""
        left, moved = (flatnonzero(mate >= 0) for mate in (self.changed, self.moved))
        same = flatnonzero(self.partner >= 0)
        return Pairing(
            Runs.of_pairs(same, self.partner[same]),
            Runs.of_pairs(left, self.changed[left]),
            (moved, self.moved[moved]),
            self.coarse,
            self.keys_a,
            self.keys_b,
        )

    @property
    def chain(self) -> tuple[Indexes, Indexes]:
        """What keeps its order, as indexes in A and in B, both ascending."""
        return chain(self.partner, self.changed)


def pair(
    a: Accesses,
    b: Accesses,
    keep_a: Keep | None = None,
    keep_b: Keep | None = None,
    *,
    apart: tuple[Mask, Mask] | None = None,
    singles: bool = True,
) -> Pairs:
    """Pair two recordings, field by field. `keep_a` and `keep_b` say which bits of values count, (n,) and (m,).

    Without `singles` only blocks move. Accesses that are `apart`, (n,) and (m,), keep their place in no case. How it
    is done is in `diff.pairing`.
    """
    apart_a, apart_b = (None, None) if apart is None else apart
    left, right = Side(a, a.keys(keep_a), keep_a, apart_a), Side(b, b.keys(keep_b), keep_b, apart_b)
    found = pair_runs(left, right, singles=singles)
    moved = np.full(len(a), -1, np.int64)
    moved[found.moved[0]] = found.moved[1]
    partner, changed = found.same.partner(len(a)), found.changed.partner(len(a))
    free_b = np.ones(len(b), np.bool_)
    free_b[found.moved[1]] = False
    for paired in (found.same, found.changed):
        free_b[paired.pairs()[1]] = False
    return Pairs(partner, changed, moved, free_b, found.coarse, found.keys_a, found.keys_b)


def chain(partner: Indexes, changed: Indexes) -> tuple[Indexes, Indexes]:
    """What keeps its order: matched and changed accesses, as indexes in a and in b, both ascending."""
    both = np.maximum(partner, changed)
    left = flatnonzero(both >= 0)
    return left, both[left]


def runs(rows: Indexes, mates: Indexes | None = None) -> tuple[Indexes, Indexes]:
    """Runs of consecutive numbers (whose mates are consecutive too): first, and last + 1, of each."""
    split = steps(rows) != 1
    if mates is not None:
        split |= steps(mates) != 1
    cuts = flatnonzero(split) + 1
    if not len(rows):
        return rows, rows
    return rows[np.concatenate(([0], cuts))], rows[np.concatenate((cuts, [len(rows)])) - 1] + 1
