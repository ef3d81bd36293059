"""Hunks: the alignment of two recordings as insertions, deletions, changes and moves, in order."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.pairing import Pairing, Side, pair_runs
from mmiotools.diff.runs import Runs, ranges
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import append, flatnonzero, steps
from mmiotools.trace.matching import all_same, same
from mmiotools.typed import Iterator, NamedTuple, NDArray, Record

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


class Hunks(Record):
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


class Comparison(Record):
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


def volatile_hunks(hunks: Hunks) -> NDArray[np.bool_]:
    """Which hunks are volatile, (h,)."""
    return np.asarray(hunks.why != 0, np.bool_)


def volatile_accesses(comparison: Comparison) -> int:
    """Accesses in volatile hunks; the two of a change or a move count once."""
    hunks = comparison.hunks
    sizes = np.maximum(hunks.a_stop - hunks.a_start, hunks.b_stop - hunks.b_start)
    return int(sizes[volatile_hunks(hunks)].sum())


class Verdict(NamedTuple):
    """Why accesses that are no pair, or an unequal one, are volatile: (n,) and (m,) int32, index into `reasons`.

    0 is for what the driver does differently. Of a pair, what is said of the access of A counts.
    """

    a: Reasons
    b: Reasons
    reasons: tuple[str, ...]


class ReasonTable:
    """Texts by number; 0 is none."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        """The number of a text, a new one if it has none."""
        return self._numbers.setdefault(text, len(self._numbers))

    def texts(self) -> tuple[str, ...]:
        """All texts, by number."""
        return tuple(self._numbers)


def compare(a: Accesses, b: Accesses, name_a: str = "a", name_b: str = "b") -> Comparison:
    """Find what differs, as differences of class DRIVER. All hunks together turn a into b; every access is in one
    hunk at most. With the sides swapped the hunks are the same, mirrored.
    """
    return assemble(a, b, pair_runs(Side(a, a.keys()), Side(b, b.keys())), None, name_a, name_b)


def differ(a: Accesses, b: Accesses) -> bool:
    """Is there any difference? Quicker than `compare`, which would say where."""
    if len(a) != len(b):
        return True
    everything = slice(0, len(a))
    alike = all_same(a, b, (np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([len(a)])))
    return not (bool(same(a, everything, b, everything).all()) if alike is None else alike)


def assemble(
    a: Accesses, b: Accesses, found: Pairing, verdict: Verdict | None, name_a: str = "a", name_b: str = "b"
) -> Comparison:
    """The comparison that a pairing and a verdict about what differs come to. What is paired as the same has to be."""
    hunks = _hunks(found, len(a), len(b), verdict)
    return Comparison(a, b, hunks, found.same.total(), found.coarse, name_a, name_b)


def _hunks(found: Pairing, length_a: int, length_b: int, verdict: Verdict | None) -> Hunks:
    chain = found.chain()
    moved = Runs.of_pairs(*found.moved)
    deleted, inserted = found.free_stretches(length_a, length_b)
    after = chain.places_in_b(deleted[0], length_b)[0]
    before = chain.mirrored().places_in_b(inserted[0], length_a)[1]
    parts = [
        _split(DELETE, *deleted, after, after, None if verdict is None else verdict.a),
        _split(INSERT, before, before, *inserted, None if verdict is None else verdict.b),
    ]
    for kind, paired in ((CHANGE, found.changed), (MOVE, moved)):
        ends = paired.a, paired.a + paired.count, paired.b, paired.b + paired.count
        parts.append(_split(kind, *ends, None if verdict is None else verdict.a))
    kinds, a_start, a_stop, b_start, b_stop, why = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((b_start, a_start))
    reasons = ("",) if verdict is None else verdict.reasons
    return Hunks(kinds[order], a_start[order], a_stop[order], b_start[order], b_stop[order], why[order], reasons)


def _split(
    kind: int, a_start: Indexes, a_stop: Indexes, b_start: Indexes, b_stop: Indexes, why: Reasons | None
) -> tuple[NDArray[np.uint8], Indexes, Indexes, Indexes, Indexes, Reasons]:
    """Columns of `Hunks`: these hunks, divided where another reason is given for what is in them. `why` is that of
    the accesses of b for an insertion, else of those of a.
    """
    start, stop = (b_start, b_stop) if kind == INSERT else (a_start, a_stop)
    count = stop - start
    if why is None or not len(start):
        return np.full(len(start), kind, np.uint8), a_start, a_stop, b_start, b_stop, np.zeros(len(start), np.int32)
    owner = np.repeat(np.arange(len(start)), count)
    rows = ranges(start, count)
    given = why[rows]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = (owner[1:] != owner[:-1]) | (given[1:] != given[:-1])
    first = flatnonzero(fresh)
    size, own, ahead = steps(append(first, len(rows))), owner[first], rows[first] - start[owner[first]]
    ends = []
    for low, high in ((a_start, a_stop), (b_start, b_stop)):
        # The empty side of an insertion or a deletion stays where it is.
        some = (high > low)[own]
        begin = low[own] + np.where(some, ahead, 0)
        ends += [begin, begin + np.where(some, size, 0)]
    return np.full(len(first), kind, np.uint8), ends[0], ends[1], ends[2], ends[3], given[first]


def _reason(kind: int, a: range, b: range) -> str:
    if kind == INSERT:
        return "only in B"
    if kind == DELETE:
        return "only in A"
    if kind == CHANGE:
        return "value differs" if len(a) == 1 else "values differ"
    return "done at another place"
