"""Stretches of two key sequences compared key by key: runs of equal keys on diagonals, and what gaps begin or end with.

A gap is a row (from and to in a, from and to in b) of a (g, 4) array.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.runs import Rows, ranges
from mmiotools.diff.walking import leading
from mmiotools.speed import compiled
from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

#: Stretches on a diagonal that are longer than this are compared one by one, shorter ones all at once.
_LONG = 256
#: Keys of each gap that are compared together with those of all others.
_AT_ONCE = 16


def equal_runs(a: Keys, b: Keys, stretches: Rows, shortest: int) -> Rows:
    """Runs of at least `shortest` equal keys along diagonals: start in a, length and shift of each, ascending.

    stretches   where to look: the same three columns, ascending, none of which overlap
    """
    start, count, shift = stretches
    engine = compiled()
    if engine is not None:
        # Behind each run there is a key that differs, or the end.
        room = int(((count + 1) // (shortest + 1)).sum())
        out = np.empty((3, room), np.int64)
        columns = tuple(map(np.ascontiguousarray, stretches))
        found = engine.equal_runs(a, b, len(start), *columns, shortest, *out)
        return out[0, :found], out[1, :found], out[2, :found]
    parts = [_equal_short(a, b, *(column[count <= _LONG] for column in stretches))]
    for at in flatnonzero(count > _LONG).tolist():
        low, n, by = int(start[at]), int(count[at]), int(shift[at])
        differs = flatnonzero(a[low : low + n] != b[low + by : low + by + n])
        begins = np.concatenate((np.zeros(1, np.int64), differs + 1))
        size = append(differs, n) - begins
        parts.append((begins + low, size, np.full(len(size), by)))
    starts, counts, shifts = (np.concatenate(column) for column in zip(*parts, strict=True))
    long = counts >= shortest
    starts, counts, shifts = starts[long], counts[long], shifts[long]
    order = np.argsort(starts)
    return starts[order], counts[order], shifts[order]


def _equal_short(a: Keys, b: Keys, start: Indexes, count: Indexes, shift: Indexes) -> Rows:
    rows = ranges(start, count)
    owner = np.repeat(np.arange(len(start)), count)
    equal = a[rows] == b[rows + shift[owner]]
    begins = equal.copy()
    begins[1:] &= ~equal[:-1] | (owner[1:] != owner[:-1])
    ends = equal.copy()
    ends[:-1] &= ~equal[1:] | (owner[1:] != owner[:-1])
    first, last = flatnonzero(begins), flatnonzero(ends)
    return rows[first], last - first + 1, shift[owner[first]]


def common_ends(a: Keys, b: Keys, gaps: Indexes, end: bool) -> Indexes:
    """How many keys the two sides of each gap, neither of them empty, share at their beginnings or, with `end`, at
    their ends; (g,).
    """
    count = np.zeros(len(gaps), np.int64)
    engine = compiled()
    if engine is not None:
        engine.common_ends(a, b, len(gaps), np.ascontiguousarray(gaps), end, count)
        return count
    room = np.minimum(gaps[:, 1] - gaps[:, 0], gaps[:, 3] - gaps[:, 2])
    step = -1 if end else 1
    left, right = (gaps[:, 1] - 1, gaps[:, 3] - 1) if end else (gaps[:, 0], gaps[:, 2])
    active = np.arange(len(gaps))
    for done in range(_AT_ONCE):
        active = active[a[left[active] + step * done] == b[right[active] + step * done]]
        count[active] += 1
        active = active[room[active] > done + 1]
        if not len(active):
            return count
    for gap in active.tolist():
        alo, ahi, blo, bhi = gaps[gap].tolist()
        n = int(room[gap])
        if end:
            count[gap] = leading(a[ahi - n : ahi][::-1], b[bhi - n : bhi][::-1])
        else:
            count[gap] = leading(a[alo : alo + n], b[blo : blo + n])
    return count
