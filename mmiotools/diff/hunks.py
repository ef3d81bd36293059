"""Hunks: the alignment of two recordings as insertions, deletions, changes and moves, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.pairing import Pairing, Side, pair_runs
from mmiotools.diff.pairs import Pairs, runs
from mmiotools.diff.runs import Runs
from mmiotools.trace.matching import Accesses, same

Indexes = NDArray[np.int64]
Reasons = NDArray[np.int32]

KINDS = ("insert", "delete", "change", "move")
INSERT, DELETE, CHANGE, MOVE = range(4)

#: What the driver does differently.
DRIVER = "driver"
#: What differs from run to run.
VOLATILE = "volatile"


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

    kind uint8 (index into KINDS), from and to (exclusive) on each side, int64, and why they are volatile: int32,
    index into `reasons`, 0 for what the driver does differently.
    """

    kind: NDArray[np.uint8]
    a_start: Indexes
    a_stop: Indexes
    b_start: Indexes
    b_stop: Indexes
    why: Reasons
    reasons: tuple[str, ...] = ("",)

    def __len__(self) -> int:
        return len(self.kind)

    def __iter__(self) -> Iterator[Hunk]:
        for low in range(0, len(self), 4096):
            part = slice(low, low + 4096)
            columns = (self.kind, self.why, self.a_start, self.a_stop, self.b_start, self.b_stop)
            for kind, why, *ends in zip(*(column[part].tolist() for column in columns), strict=True):
                a, b = range(ends[0], ends[1]), range(ends[2], ends[3])
                if why:
                    yield Hunk(KINDS[kind], a, b, VOLATILE, self.reasons[why])
                else:
                    yield Hunk(KINDS[kind], a, b, DRIVER, _reason(kind, a, b))

    def counts(self) -> dict[str, int]:
        """Number of hunks by class."""
        volatile = int(np.count_nonzero(self.why))
        return {DRIVER: len(self) - volatile, VOLATILE: volatile}


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


class Verdict(NamedTuple):
    """Why accesses that are no pair, or an unequal one, are volatile: (n,) and (m,) int32, index into `reasons`.

    0 is for what the driver does differently. Of a pair, what is said of the access of A counts.
    """

    a: Reasons
    b: Reasons
    reasons: tuple[str, ...]


def compare(a: Accesses, b: Accesses, name_a: str = "a", name_b: str = "b") -> Comparison:
    """Find what differs, as differences of class DRIVER. All hunks together turn a into b; every access is in one
    hunk at most. With the sides swapped the hunks are the same, mirrored.
    """
    found = pair_runs(Side(a, a.keys()), Side(b, b.keys()))
    hunks = _from_runs(found, len(a), len(b))
    return Comparison(a, b, hunks, found.same.total(), found.coarse, name_a, name_b)


def differ(a: Accesses, b: Accesses) -> bool:
    """Is there any difference? Quicker than `compare`, which would say where."""
    everything = slice(0, len(a))
    return len(a) != len(b) or not bool(same(a, everything, b, everything).all())


def assemble(
    a: Accesses, b: Accesses, pairs: Pairs, verdict: Verdict, name_a: str = "a", name_b: str = "b"
) -> Comparison:
    """The comparison that pairs and a verdict about the rest come to. Every pair of `partner` has to be the same."""
    hunks = _hunks(pairs, verdict)
    return Comparison(a, b, hunks, int(np.count_nonzero(pairs.partner >= 0)), pairs.coarse, name_a, name_b)


def _from_runs(found: Pairing, length_a: int, length_b: int) -> Hunks:
    """The hunks of a pairing, all of class DRIVER."""
    chain = found.same.joined(found.changed)
    gaps = chain.gaps(length_a, length_b)
    moved = Runs.of_pairs(*found.moved)
    rows: list[tuple[int, Indexes, Indexes, Indexes, Indexes]] = []
    deleted = _stretches(gaps[:, 0], gaps[:, 1], found.moved[0])
    inserted = _stretches(gaps[:, 2], gaps[:, 3], found.moved[1])
    after = chain.places_in_b(deleted[0], length_b)[0]
    rows.append((DELETE, *deleted, after, after))
    before = chain.mirrored().places_in_b(inserted[0], length_a)[1]
    rows.append((INSERT, before, before, *inserted))
    for kind, paired in ((CHANGE, found.changed), (MOVE, moved)):
        rows.append((kind, paired.a, paired.a + paired.count, paired.b, paired.b + paired.count))
    kinds = np.concatenate([np.full(len(row[1]), row[0], np.uint8) for row in rows])
    ends = [np.concatenate([row[column] for row in rows]).astype(np.int64) for column in (1, 2, 3, 4)]
    order = np.lexsort((ends[2], ends[0]))
    a_start, a_stop, b_start, b_stop = (end[order] for end in ends)
    return Hunks(kinds[order], a_start, a_stop, b_start, b_stop, np.zeros(len(order), np.int32))


def _stretches(start: Indexes, stop: Indexes, taken: Indexes) -> tuple[Indexes, Indexes]:
    """The stretches start..stop-1 without the accesses in `taken`, each of which is in one of them: from and to."""
    begins = np.concatenate((start, taken + 1))
    ends = np.concatenate((stop, taken))
    begins.sort()
    ends.sort()
    some = begins < ends
    return begins[some], ends[some]


def _hunks(pairs: Pairs, verdict: Verdict) -> Hunks:
    chain_a, chain_b = pairs.chain
    rows: list[tuple[int, Indexes, Indexes, Indexes, Indexes]] = []

    start, stop = _alike(np.flatnonzero(pairs.free_a), verdict.a)
    place = np.concatenate(([-1], chain_b))[np.searchsorted(chain_a, start)] + 1
    rows.append((DELETE, start, stop, place, place))

    start, stop = _alike(np.flatnonzero(pairs.free_b), verdict.b)
    place = np.concatenate((chain_a, [len(pairs.partner)]))[np.searchsorted(chain_b, start)]
    rows.append((INSERT, place, place, start, stop))

    for kind, mate in ((CHANGE, pairs.changed), (MOVE, pairs.moved)):
        paired = np.flatnonzero(mate >= 0)
        start, stop = _alike(paired, verdict.a, mate[paired])
        rows.append((kind, start, stop, mate[start], mate[start] + stop - start))

    kinds = np.concatenate([np.full(len(row[1]), row[0], np.uint8) for row in rows])
    ends = [np.concatenate([row[column] for row in rows]).astype(np.int64) for column in (1, 2, 3, 4)]
    why = np.concatenate([(verdict.b[row[3]] if row[0] == INSERT else verdict.a[row[1]]) for row in rows])
    order = np.lexsort((ends[2], ends[0]))
    a_start, a_stop, b_start, b_stop = (end[order] for end in ends)
    return Hunks(kinds[order], a_start, a_stop, b_start, b_stop, why[order].astype(np.int32), verdict.reasons)


def _alike(rows: Indexes, why: Reasons, mates: Indexes | None = None) -> tuple[Indexes, Indexes]:
    """Runs of consecutive accesses (with consecutive mates) of which the same is said: first, last + 1."""
    step = np.cumsum(np.diff(why[rows], prepend=why[rows[:1]]) != 0) if len(rows) else rows
    # A change of the reason opens a hole in the numbers, which ends the run.
    start, stop = runs(rows + step, None if mates is None else mates + step)
    at = np.searchsorted(rows + step, start)
    return rows[at], rows[at] + stop - start


def _reason(kind: int, a: range, b: range) -> str:
    if kind == INSERT:
        return "only in B"
    if kind == DELETE:
        return "only in A"
    if kind == CHANGE:
        return "value differs" if len(a) == 1 else "values differ"
    return "done at another place"
