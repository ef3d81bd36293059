"""Hunks: the alignment of two recordings as insertions, deletions, changes and moves, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.align import align
from mmiotools.diff.aligner import Aligner
from mmiotools.diff.moves import block_moves, single_moves
from mmiotools.trace.matching import Accesses, same, same_register

Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

KINDS = ("insert", "delete", "change", "move")
INSERT, DELETE, CHANGE, MOVE = range(4)

#: What the driver does differently.
DRIVER = "driver"
#: What differs from run to run.
VOLATILE = "volatile"

#: Shortest blocks that are moved as such, in the order in which they are looked for.
_BLOCKS = (16, 4)
#: What pairing changes may cost, see `Aligner`: in large gaps without likeness there is little to pair.
_BUDGET = 1 << 29


class Hunk(NamedTuple):
    """One difference of one kind.

    a, b      indexes of the accesses on each side. The empty range of an insertion's `a` or a deletion's `b` begins
              where the accesses would stand. In a change or a move a[i] belongs to b[i].
    category  DRIVER or VOLATILE
    reason    a short sentence
    """

    kind: str
    a: range
    b: range
    category: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hunks:
    """All hunks as columns, (h,) each, ordered by place in a, then in b; iterate for `Hunk`s.

    kind uint8 (index into KINDS), and from and to (exclusive) on each side, int64.
    """

    kind: NDArray[np.uint8]
    a_start: Indexes
    a_stop: Indexes
    b_start: Indexes
    b_stop: Indexes

    def __len__(self) -> int:
        return len(self.kind)

    def __iter__(self) -> Iterator[Hunk]:
        for low in range(0, len(self), 4096):
            part = slice(low, low + 4096)
            columns = (self.kind, self.a_start, self.a_stop, self.b_start, self.b_stop)
            for kind, *ends in zip(*(column[part].tolist() for column in columns), strict=True):
                a, b = range(ends[0], ends[1]), range(ends[2], ends[3])
                yield Hunk(KINDS[kind], a, b, DRIVER, _reason(kind, a, b))

    def counts(self) -> dict[str, int]:
        """Number of hunks by class."""
        return {DRIVER: len(self), VOLATILE: 0}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two recordings and what differs between them.

    same    pairs of accesses that are the same
    coarse  accesses (both sides) in stretches whose hunks are right, but perhaps not the fewest
    """

    a: Accesses
    b: Accesses
    hunks: Hunks
    same: int
    coarse: int
    name_a: str = "a"
    name_b: str = "b"


def compare(a: Accesses, b: Accesses, name_a: str = "a", name_b: str = "b") -> Comparison:
    """Find what differs. All hunks together turn a into b; every access is in one hunk at most.

    In each gap of the alignment, a deleted and an inserted access of the same register are a change (in order, so
    that changes never cross); what is deleted at one place and inserted at another is a move, see `diff.moves`.
    """
    alignment = align(a, b)
    partner = alignment.partner
    free_a, free_b = partner < 0, _free(partner[partner >= 0], len(b))
    moved = np.full(len(a), -1, np.int64)
    changed = np.full(len(a), -1, np.int64)
    if free_a.any() and free_b.any():
        keys_a, keys_b = alignment.keys_a, alignment.keys_b
        for k in _BLOCKS:
            _settle(moved, a, b, *block_moves(keys_a, keys_b, free_a, free_b, k))
        _find_changes(a, b, free_a, free_b, partner, changed)
        chain = _chain(partner, changed)
        place = np.concatenate((chain[1], [len(b)]))[np.searchsorted(chain[0], np.arange(len(a)))]
        still_a = free_a & (partner < 0) & (changed < 0)
        still_b = free_b & _free(chain[1], len(b))
        _settle(moved, a, b, *single_moves(keys_a, keys_b, still_a, still_b, place))
    return Comparison(
        a, b, _hunks(partner, changed, moved, len(b)), int((partner >= 0).sum()), alignment.coarse, name_a, name_b
    )


def differ(a: Accesses, b: Accesses) -> bool:
    """Is there any difference? Quicker than `compare`, which would say where."""
    rows = np.arange(len(a))
    return len(a) != len(b) or not bool(same(a, rows, b, rows).all())


def _settle(moved: Indexes, a: Accesses, b: Accesses, left: Indexes, right: Indexes) -> None:
    """Note moves, those that are equal field by field."""
    true = same(a, left, b, right)
    moved[left[true]] = right[true]


def _find_changes(a: Accesses, b: Accesses, free_a: Mask, free_b: Mask, partner: Indexes, changed: Indexes) -> None:
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
    equal = same(a, left, b, right)
    partner[left[equal]] = right[equal]
    changed[left[~equal]] = right[~equal]


def _chain(partner: Indexes, changed: Indexes) -> tuple[Indexes, Indexes]:
    """What keeps its order: matched and changed accesses, as indexes in a and in b, both ascending."""
    both = np.maximum(partner, changed)
    left = np.flatnonzero(both >= 0)
    return left, both[left]


def _free(taken: Indexes, length: int) -> Mask:
    free = np.ones(length, np.bool_)
    free[taken] = False
    return free


def _hunks(partner: Indexes, changed: Indexes, moved: Indexes, length: int) -> Hunks:
    chain_a, chain_b = _chain(partner, changed)
    rows: list[tuple[int, Indexes, Indexes, Indexes, Indexes]] = []

    deleted = np.flatnonzero((partner < 0) & (changed < 0) & (moved < 0))
    start, stop = _runs(deleted)
    place = np.concatenate(([-1], chain_b))[np.searchsorted(chain_a, start)] + 1
    rows.append((DELETE, start, stop, place, place))

    inserted = np.flatnonzero(_free(np.concatenate((chain_b, moved[moved >= 0])), length))
    start, stop = _runs(inserted)
    place = np.concatenate((chain_a, [len(partner)]))[np.searchsorted(chain_b, start)]
    rows.append((INSERT, place, place, start, stop))

    for kind, mate in ((CHANGE, changed), (MOVE, moved)):
        paired = np.flatnonzero(mate >= 0)
        start, stop = _runs(paired, mate[paired])
        rows.append((kind, start, stop, mate[start], mate[start] + stop - start))

    kinds = np.concatenate([np.full(len(row[1]), row[0], np.uint8) for row in rows])
    ends = [np.concatenate([row[column] for row in rows]).astype(np.int64) for column in (1, 2, 3, 4)]
    order = np.lexsort((ends[2], ends[0]))
    return Hunks(kinds[order], *(end[order] for end in ends))


def _runs(rows: Indexes, mates: Indexes | None = None) -> tuple[Indexes, Indexes]:
    """Runs of consecutive numbers (whose mates are consecutive too): first, and last + 1, of each."""
    split = np.diff(rows) != 1
    if mates is not None:
        split |= np.diff(mates) != 1
    cuts = np.flatnonzero(split) + 1
    if not len(rows):
        return rows, rows
    return rows[np.concatenate(([0], cuts))], rows[np.concatenate((cuts, [len(rows)])) - 1] + 1


def _reason(kind: int, a: range, b: range) -> str:
    if kind == INSERT:
        return "only in B"
    if kind == DELETE:
        return "only in A"
    if kind == CHANGE:
        return "value differs" if len(a) == 1 else "values differ"
    return "done at another place"
