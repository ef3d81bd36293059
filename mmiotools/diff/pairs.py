"""Which access of A goes with which of B, and how: the same, changed, or moved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.align import align
from mmiotools.diff.aligner import Aligner
from mmiotools.diff.moves import block_moves, single_moves
from mmiotools.trace.matching import Accesses, same, same_register

Keys = NDArray[np.uint64]
Keep = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: Shortest blocks that are moved as such, in the order in which they are looked for.
_BLOCKS = (16, 4)
#: What pairing changes may cost, see `Aligner`: in large gaps without likeness there is little to pair.
_BUDGET = 1 << 29


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

    In each gap of the alignment, a deleted and an inserted access of the same register are a change (in order, so
    that changes never cross); what is deleted at one place and inserted at another is a move, see `diff.moves`;
    without `singles` only blocks move. Accesses that are `apart`, (n,) and (m,), keep their place in no case.
    """
    alignment = align(a, b, keep_a, keep_b, apart)
    partner = alignment.partner
    free_a, free_b = partner < 0, _free(partner[partner >= 0], len(b))
    moved = np.full(len(a), -1, np.int64)
    changed = np.full(len(a), -1, np.int64)
    if free_a.any() and free_b.any():
        keys_a, keys_b = alignment.keys_a, alignment.keys_b
        for k in _BLOCKS:
            _settle(moved, a, b, keep_a, *block_moves(keys_a, keys_b, free_a, free_b, k))
        _find_changes(a, b, keep_a, free_a, free_b, partner, changed)
        left, right = chain(partner, changed)
        place = np.concatenate((right, [len(b)]))[np.searchsorted(left, np.arange(len(a)))]
        still_a = free_a & (partner < 0) & (changed < 0)
        still_b = free_b & _free(right, len(b))
        if singles:
            _settle(moved, a, b, keep_a, *single_moves(keys_a, keys_b, still_a, still_b, place))
    taken = np.concatenate((chain(partner, changed)[1], moved[moved >= 0]))
    free_b = _free(taken, len(b))
    return Pairs(partner, changed, moved, free_b, alignment.coarse, alignment.keys_a, alignment.keys_b)


def chain(partner: Indexes, changed: Indexes) -> tuple[Indexes, Indexes]:
    """What keeps its order: matched and changed accesses, as indexes in a and in b, both ascending."""
    both = np.maximum(partner, changed)
    left = np.flatnonzero(both >= 0)
    return left, both[left]


def runs(rows: Indexes, mates: Indexes | None = None) -> tuple[Indexes, Indexes]:
    """Runs of consecutive numbers (whose mates are consecutive too): first, and last + 1, of each."""
    split = np.diff(rows) != 1
    if mates is not None:
        split |= np.diff(mates) != 1
    cuts = np.flatnonzero(split) + 1
    if not len(rows):
        return rows, rows
    return rows[np.concatenate(([0], cuts))], rows[np.concatenate((cuts, [len(rows)])) - 1] + 1


def _settle(moved: Indexes, a: Accesses, b: Accesses, keep: Keep | None, left: Indexes, right: Indexes) -> None:
    """Note moves, those that are equal field by field."""
    true = same(a, left, b, right, keep)
    moved[left[true]] = right[true]


def _find_changes(
    a: Accesses, b: Accesses, keep: Keep | None, free_a: Mask, free_b: Mask, partner: Indexes, changed: Indexes
) -> None:
    """Pair what is free in the same gap by register. Pairs that turn out the same become partners."""
    left, right = np.flatnonzero(free_a), np.flatnonzero(free_b)
    if not len(left) or not len(right):
        return
    gap_a = np.cumsum(partner >= 0)[left]
    gap_b = np.cumsum(~_free(partner[partner >= 0], len(b)))[right]
    shared = np.intersect1d(gap_a, gap_b)
    ends = [np.searchsorted(gap, shared, way) for gap in (gap_a, gap_b) for way in ("left", "right")]
    aligner = Aligner(a.register_keys()[left], b.register_keys()[right], _BUDGET)
    aligner.solve(np.stack(ends, axis=1).astype(np.int64))
    found = np.flatnonzero(aligner.partner >= 0)
    left, right = left[found], right[aligner.partner[found]]
    true = same_register(a, left, b, right)
    left, right = left[true], right[true]
    equal = same(a, left, b, right, keep)
    partner[left[equal]] = right[equal]
    changed[left[~equal]] = right[~equal]


def _free(taken: Indexes, length: int) -> Mask:
    free = np.ones(length, np.bool_)
    free[taken] = False
    return free
