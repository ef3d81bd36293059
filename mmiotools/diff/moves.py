"""Moves: what was taken out at one place and put in at another.

Blocks come first, longest first; the block must be rare (at most four times on each side, equally often), and one key
again and again is no block. Then single accesses: one that is left over once on each side may move any distance, one
that is left over more often only to a near partner. A part of a poll run (the same access next to it) never moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.anchors import kgrams, ranked_pairs

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A block may occur so often among what is left over, on each side.
_OFTEN = 4
#: No more blocks than this are looked at, longest first: it bounds the time on hopelessly different traces.
_BLOCKS = 50_000
#: How far a single access that is left over more than once may move, in accesses.
_NEAR = 32


def block_moves(a: Keys, b: Keys, free_a: Mask, free_b: Mask, k: int) -> tuple[Indexes, Indexes]:
    """Pairs (i, j) of the free accesses in blocks of at least k that are equal on both sides. They stop being free:
    the masks are changed.
    """
    at_a, at_b = _free_runs(free_a, k), _free_runs(free_b, k)
    left, right = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(at_a) and len(at_b):
        left, right = ranked_pairs(kgrams(a, k)[at_a], kgrams(b, k)[at_b], _OFTEN)
        left, right = at_a[left], at_b[right]
    if not len(left):
        return left, right
    order = np.lexsort((left, right - left))
    left, right = left[order], right[order]
    split = np.flatnonzero((np.diff(right - left) != 0) | (np.diff(left) > k)) + 1
    first, last = np.concatenate(([0], split)), np.concatenate((split, [len(left)])) - 1
    size = left[last] + k - left[first]
    pairs_a, pairs_b = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for segment in np.argsort(-size, kind="stable")[:_BLOCKS].tolist():
        i, j, n = int(left[first[segment]]), int(right[first[segment]]), int(size[segment])
        i, j, n = _grow(a, b, free_a, free_b, i, j, n)
        if n < k or bool((a[i : i + n] == a[i]).all()):
            continue
        free_a[i : i + n] = free_b[j : j + n] = False
        pairs_a.append(np.arange(i, i + n))
        pairs_b.append(np.arange(j, j + n))
    return np.concatenate(pairs_a), np.concatenate(pairs_b)


def single_moves(a: Keys, b: Keys, free_a: Mask, free_b: Mask, place: Indexes) -> tuple[Indexes, Indexes]:
    """Pairs (i, j) of free accesses that moved alone. `place` (n,) says where in b each access of a would stand."""
    left, right = np.flatnonzero(free_a & ~_in_run(a)), np.flatnonzero(free_b & ~_in_run(b))
    left, right = left[np.isin(a[left], b[right])], right[np.isin(b[right], a[left])]
    once_a, once_b = ranked_pairs(a[left], b[right], 1)
    pairs_a, pairs_b = left[once_a].tolist(), right[once_b].tolist()
    left, right = np.delete(left, once_a), np.delete(right, once_b)
    keys = np.concatenate((a[left], b[right]))
    where = np.concatenate((place[left], right))
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


def _free_runs(free: Mask, k: int) -> Indexes:
    """Places from which k accesses on are all free."""
    if len(free) < k:
        return np.zeros(0, np.int64)
    count = np.concatenate(([0], np.cumsum(free)))
    return np.flatnonzero(count[k:] - count[:-k] == k)


def _in_run(keys: Keys) -> Mask:
    """Which accesses have one like them right before or after them."""
    again = np.zeros(len(keys) + 1, np.bool_)
    np.equal(keys[1:], keys[:-1], out=again[1:-1])
    return np.asarray(again[1:] | again[:-1], np.bool_)


def _grow(a: Keys, b: Keys, free_a: Mask, free_b: Mask, i: int, j: int, n: int) -> tuple[int, int, int]:
    """The longest stretch within a[i:i+n], b[j:j+n] that is free and equal, grown at both ends as far as it goes."""
    good = (a[i : i + n] == b[j : j + n]) & free_a[i : i + n] & free_b[j : j + n]
    if not good.all():
        bad = np.concatenate(([-1], np.flatnonzero(~good), [n]))
        widest = int(np.argmax(np.diff(bad)))
        start, stop = int(bad[widest]) + 1, int(bad[widest + 1])
        return i + start, j + start, stop - start
    room = min(len(a) - i, len(b) - j) - n
    n += _extent(a[i + n :], b[j + n :], free_a[i + n :], free_b[j + n :], room)
    back = _extent(a[:i][::-1], b[:j][::-1], free_a[:i][::-1], free_b[:j][::-1], min(i, j))
    return i - back, j - back, n + back


def _extent(a: Keys, b: Keys, free_a: Mask, free_b: Mask, room: int) -> int:
    at, size = 0, 64
    while at < room:
        part = slice(at, min(at + size, room))
        bad = (a[part] != b[part]) | ~free_a[part] | ~free_b[part]
        if bad.any():
            return at + int(np.argmax(bad))
        at += size
        size *= 2
    return max(room, 0)
