"""Moves: what was taken out at one place and put in at another.

Blocks come first, longest first; the block must be rare (at most four times on each side, equally often), and one key
again and again is no block. Then single accesses: one that is left over once on each side may move any distance, one
that is left over more often only to a near partner. A part of a poll run (the same access next to it) never moves.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.anchors import kgrams, ranked_pairs, shared_places
from mmiotools.diff.runs import Rows, ranges
from mmiotools.speed import compiled
from mmiotools.trace.arrays import flatnonzero, steps, without
from mmiotools.typed import NDArray, Record

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A block may occur so often among what is left over, on each side.
_OFTEN = 4
#: No more blocks than this are looked at, longest first: it bounds the time on hopelessly different traces.
_BLOCKS = 50_000
#: How far a single access that is left over more than once may move, in accesses.
_NEAR = 32


class Left(Record):
    """What is left over on one side: `rows` (n,), ascending, with their keys, and a mask of those still free."""

    rows: Indexes
    keys: Keys
    free: Mask

    @classmethod
    def of(cls, rows: Indexes, keys: Keys) -> Left:
        """The rows of a side whose keys are (m,)."""
        return cls(rows, keys[rows], np.ones(len(rows), np.bool_))

    def stretches(self, k: int) -> Indexes:
        """Places from which k rows on follow each other and are all free."""
        if len(self.rows) < k:
            return np.zeros(0, np.int64)
        count = np.zeros(len(self.rows) + 1, np.int64)
        np.cumsum(self.free, out=count[1:])
        follows = self.rows[k - 1 :] - self.rows[: len(self.rows) - k + 1] == k - 1
        return flatnonzero((count[k:] - count[:-k] == k) & follows)


def block_moves(a: Left, b: Left, k: int) -> tuple[Indexes, Indexes]:
    """Pairs (i, j) of places in blocks of at least k that are equal on both sides. They stop being free."""
    at_a, at_b = a.stretches(k), b.stretches(k)
    none = np.zeros(0, np.int64)
    if not len(at_a) or not len(at_b):
        return none, none
    left, right = ranked_pairs(kgrams(a.keys, k)[at_a], kgrams(b.keys, k)[at_b], _OFTEN)
    left, right = at_a[left], at_b[right]
    if not len(left):
        return none, none
    order = np.lexsort((left, right - left))
    left, right = left[order], right[order]
    split = flatnonzero((steps(right - left) != 0) | (steps(left) > k)) + 1
    first, last = np.concatenate(([0], split)), np.concatenate((split, [len(left)])) - 1
    size = left[last] + k - left[first]
    longest = np.argsort(-size, kind="stable")[:_BLOCKS]
    left, right, size = _grown(a, b, (left[first[longest]], right[first[longest]], size[longest]), k)
    return ranges(left, size), ranges(right, size)


def _grown(a: Left, b: Left, stretches: Rows, k: int) -> Rows:
    """Of each stretch in order (places from and to, and how many) the block of at least k that it grows to, if there is
    one. They stop being free.
    """
    engine = compiled()
    if engine is not None:
        sides = tuple((np.ascontiguousarray(side.rows), side.keys, side.free) for side in (a, b))
        count = engine.grow_blocks(*sides, stretches, k)
        return stretches[0][:count], stretches[1][:count], stretches[2][:count]
    found = []
    for stretch in zip(*(column.tolist() for column in stretches), strict=True):
        i, j, n = _grow(a, b, *stretch)
        if n < k or bool((a.keys[i : i + n] == a.keys[i]).all()):
            continue
        a.free[i : i + n] = b.free[j : j + n] = False
        found.append((i, j, n))
    rows = np.array(found, np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def single_moves(a: Left, b: Left, alone_a: Mask, alone_b: Mask, place: Indexes) -> tuple[Indexes, Indexes]:
    """Pairs (i, j) of free places that moved alone, where `alone` allows it: see `in_run`. `place` (n,) says before
    which row of b each row of a would stand.
    """
    left, right = flatnonzero(a.free & alone_a), flatnonzero(b.free & alone_b)
    keep_a, keep_b = shared_places(a.keys[left], b.keys[right])
    left, right = left[keep_a], right[keep_b]
    once_a, once_b = ranked_pairs(a.keys[left], b.keys[right], 1)
    pairs_a, pairs_b = left[once_a].tolist(), right[once_b].tolist()
    left, right = without(left, once_a), without(right, once_b)
    keys = np.concatenate((a.keys[left], b.keys[right]))
    where = np.concatenate((place[left], b.rows[right]))
    index = np.concatenate((left, right))
    side = np.arange(len(index)) >= len(left)
    order = np.lexsort((side, where, keys))
    waiting: list[tuple[int, int]] = []  # (place, index) on one side, of the key at hand, nearest last
    waiting_side, waiting_key = False, -1
    rows = zip(*(column[order].tolist() for column in (keys, where, index, side)), strict=True)
    for key, at, number, on_b in rows:
        if key != waiting_key:
            waiting, waiting_key = [], key
        if waiting and waiting_side != on_b and at - waiting[-1][0] <= _NEAR:
            other = waiting.pop()[1]
            pairs_a.append(other if on_b else number)
            pairs_b.append(number if on_b else other)
            continue
        if waiting_side != on_b:
            waiting, waiting_side = [], on_b  # those that still wait are too far away for anything that follows
        waiting.append((at, number))
    return np.array(pairs_a, np.int64), np.array(pairs_b, np.int64)


def not_in_run(rows: Indexes, keys: Keys) -> Mask:
    """Which of some rows of a side have no access like them right before or after them."""
    before, after = np.maximum(rows - 1, 0), np.minimum(rows + 1, len(keys) - 1)
    own = keys[rows]
    again = (keys[before] == own) & (before != rows) | (keys[after] == own) & (after != rows)
    return np.asarray(~again, np.bool_)


def _grow(a: Left, b: Left, i: int, j: int, n: int) -> tuple[int, int, int]:
    """The longest stretch within places i.. and j.. (n of them) that is free and equal, grown at both ends as far as
    it goes; it never leaves its gap.
    """
    good = _good(a, b, i, j, n)
    good[1:] &= (a.rows[i + 1 : i + n] - a.rows[i : i + n - 1] == 1) & (
        b.rows[j + 1 : j + n] - b.rows[j : j + n - 1] == 1
    )
    if not good.all():
        bad = np.concatenate(([-1], flatnonzero(~good), [n]))
        widest = int(np.argmax(steps(bad)))
        start, stop = int(bad[widest]) + 1, int(bad[widest + 1])
        return i + start, j + start, stop - start
    room = min(_adjoining(a.rows, i + n - 1, 1), _adjoining(b.rows, j + n - 1, 1))
    n += _extent(a, b, i + n, j + n, room, 1)
    room = min(_adjoining(a.rows, i, -1), _adjoining(b.rows, j, -1))
    back = _extent(a, b, i - 1, j - 1, room, -1)
    return i - back, j - back, n + back


def _good(a: Left, b: Left, i: int, j: int, n: int) -> Mask:
    equal = a.keys[i : i + n] == b.keys[j : j + n]
    return np.asarray(equal & a.free[i : i + n] & b.free[j : j + n], np.bool_)


def _adjoining(rows: Indexes, at: int, way: int) -> int:
    """How many rows follow the one at `at` without a break, forwards or backwards. Rows ascend, so this bisects."""
    low, high = 0, len(rows) - 1 - at if way > 0 else at
    while low < high:
        middle = (low + high + 1) // 2
        if abs(int(rows[at + way * middle]) - int(rows[at])) == middle:
            low = middle
        else:
            high = middle - 1
    return low


def _extent(a: Left, b: Left, i: int, j: int, room: int, way: int) -> int:
    """How many places from i and j on, forwards or backwards, are equal and free."""
    at, size = 0, 64
    while at < room:
        n = min(size, room - at)
        low = at if way > 0 else -(at + n - 1)
        good = _good(a, b, i + low, j + low, n)[::way]
        if not good.all():
            return at + int(np.argmin(good))
        at += n
        size *= 2
    return room
