"""Anchors: short stretches of keys that name their place, found by hash, and the heaviest chain of them in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from mmiotools.speed import compiled
from mmiotools.trace.arrays import append, flatnonzero, in_order, steps
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
#: Stretches that there is room for beyond those that are to be expected.
_MORE = 1 << 10
#: Keys that are hashed at a time: what is being computed stays in the processor's cache.
_BLOCK = 1 << 15


def kgrams(keys: Keys, k: int) -> Keys:
    """A hash of the k keys from each place on, (n - k + 1,); k is a power of two. Empty if there are fewer than k."""
    if len(keys) < k:
        return keys[:0]
    hashes, length, factor = keys, 1, _BASE
    while length < k:
        following = hashes[length:]
        hashes = hashes[:-length] * np.uint64(factor)
        hashes += following
        factor = factor * factor & _WORD
        length *= 2
    return hashes


def sampled_kgrams(keys: Keys, k: int, one_in: int) -> tuple[Indexes, Keys]:
    """Places and hashes of about one stretch of k keys in `one_in` (a power of two): the same stretches whatever
    sequence they are in.
    """
    if one_in <= 1:
        hashes = kgrams(keys, k)
        return np.arange(len(hashes)), hashes
    limit = np.uint64((1 << 64) // one_in)
    places, found = [np.zeros(0, np.int64)], [keys[:0]]
    engine = compiled()
    if engine is not None:
        start, size = 0, len(keys) // one_in + _MORE
        while start <= len(keys) - k:
            at, hashes = np.empty(size, np.int64), np.empty(size, np.uint64)
            count, start = engine.sample_kgrams(keys, k, _BASE, int(limit) - 1, start, at, hashes)
            places.append(at[:count])
            found.append(hashes[:count])
        return np.concatenate(places), np.concatenate(found)
    for start in range(0, len(keys) - k + 1, _BLOCK):
        hashes = kgrams(keys[start : start + _BLOCK + k - 1], k)
        chosen = flatnonzero(hashes < limit)
        places.append(chosen + start)
        found.append(hashes[chosen])
    return np.concatenate(places), np.concatenate(found)


def unique_pairs(a: Keys, b: Keys) -> tuple[Indexes, Indexes]:
    """Places (i, j) of the hashes that occur once in a (n,) and once in b (m,); i ascends."""
    if compiled() is not None:
        return ranked_pairs(a, b, 1)
    order_a, order_b = _once(a), _once(b)
    at_a, at_b = _shared(a[order_a], b[order_b])
    return _by_left(order_a[at_a], order_b[at_b])


def ranked_pairs(a: Keys, b: Keys, limit: int | None = None) -> tuple[Indexes, Indexes]:
    """Places (i, j) of hashes paired by rank: the first with the first, the second with the second; i ascends.

    With `limit`, only hashes that occur equally often on both sides, and at most `limit` times.
    """
    engine = compiled()
    if engine is not None and limit is not None:
        places = np.empty((2, min(len(a), len(b))), np.int64)
        found = engine.rank_pairs(np.ascontiguousarray(a), np.ascontiguousarray(b), limit, *places)
        return places[0, :found], places[1, :found]
    order_a, keys_a, first_a, count_a = _grouped(a)
    order_b, keys_b, first_b, count_b = _grouped(b)
    at_a, at_b = _shared(keys_a, keys_b)
    if limit is not None:
        fair = (count_a[at_a] == count_b[at_b]) & (count_a[at_a] <= limit)
        at_a, at_b = at_a[fair], at_b[fair]
    count = np.minimum(count_a[at_a], count_b[at_b])
    rank = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return _by_left(order_a[np.repeat(first_a[at_a], count) + rank], order_b[np.repeat(first_b[at_b], count) + rank])


def shared_places(a: Keys, b: Keys) -> tuple[Indexes, Indexes]:
    """Places, ascending, of the keys of a that occur in b at all, and of those of b that occur in a."""
    order_a, keys_a, _, count_a = _grouped(a)
    order_b, keys_b, _, count_b = _grouped(b)
    at_a, at_b = _shared(keys_a, keys_b)
    return _places_of(order_a, count_a, at_a), _places_of(order_b, count_b, at_b)


def diagonals(left: Indexes, right: Indexes) -> tuple[Indexes, Indexes]:
    """Runs of pairs on one diagonal, in the order of `left`: index of the first pair of each, and of the last."""
    shift = right - left
    cuts = flatnonzero(shift[1:] != shift[:-1]) + 1
    return np.concatenate(([0], cuts)), np.concatenate((cuts, [len(left)])) - 1


def heaviest_chain(first: Indexes, last: Indexes, weight: Indexes) -> Indexes:
    """The heaviest choice of intervals first..last (on the right side, given in the order of the left side) in which
    each begins after the one before it ended; their numbers, ascending.
    """
    if len(first) < 2 or bool((first[1:] > last[:-1]).all()):
        return np.arange(len(first))
    ends: list[int] = []  # of the best chains so far, ascending, with their weights ascending too
    weights: list[int] = []
    owners: list[int] = []
    before = []
    for number, (start, end, mass) in enumerate(zip(first.tolist(), last.tolist(), weight.tolist(), strict=True)):
        at = bisect_left(ends, start)
        before.append(owners[at - 1] if at else -1)
        total = mass + (weights[at - 1] if at else 0)
        at = stop = bisect_right(ends, end, at)
        if at and weights[at - 1] >= total:
            continue  # a chain as heavy ends no later
        if at and ends[at - 1] == end:
            at -= 1
        while stop < len(ends) and weights[stop] <= total:
            stop += 1
        ends[at:stop], weights[at:stop], owners[at:stop] = [end], [total], [number]
    chosen = []
    number = owners[-1]
    while number >= 0:
        chosen.append(number)
        number = before[number]
    return np.array(chosen[::-1], np.int64)


def _once(hashes: Keys) -> Indexes:
    """Places of the hashes that occur once, in the order of the hashes."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    fresh = np.ones(len(order) + 1, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:-1])
    return np.asarray(order[fresh[1:] & fresh[:-1]], np.int64)


def _grouped(hashes: Keys) -> tuple[Indexes, Keys, Indexes, Indexes]:
    """Places in the order of the hashes, those of one hash ascending; the distinct hashes, where each begins in that
    order, and how often it occurs.
    """
    order, ordered, fresh = in_order(hashes)
    first = flatnonzero(fresh)
    return order, ordered[first], first, steps(append(first, len(order)))


def _places_of(order: Indexes, count: Indexes, groups: Indexes) -> Indexes:
    """Places, ascending, of everything in some of the groups that `_grouped` found."""
    mask = np.zeros(len(count), np.bool_)
    mask[groups] = True
    return np.sort(order[np.repeat(mask, count)])


def _shared(a: Keys, b: Keys) -> tuple[Indexes, Indexes]:
    """Where the numbers are that two ascending sequences without repetition have in common."""
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.searchsorted(b, a)
    at[at == len(b)] = 0
    hit = flatnonzero(b[at] == a)
    return hit, at[hit]


def _by_left(left: Indexes, right: Indexes) -> tuple[Indexes, Indexes]:
    order = np.argsort(left, kind="stable")
    return left[order], right[order]
