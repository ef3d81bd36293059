"""Anchors and chains against plain reckoning."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.diff.anchors import (
    diagonals,
    heaviest_chain,
    kgrams,
    ranked_pairs,
    sampled_kgrams,
    shared_places,
    unique_pairs,
)

hashes = st.lists(st.integers(0, 8), max_size=20)


def array(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint64)


@given(st.lists(st.integers(0, 2), max_size=30), st.sampled_from([1, 2, 4, 8]))
def test_kgrams_are_equal_where_the_keys_are(values: list[int], k: int) -> None:
    found = kgrams(array(values), k).tolist()
    windows = [tuple(values[i : i + k]) for i in range(len(values) - k + 1)]
    assert len(found) == len(windows)
    assert len(set(zip(windows, found, strict=True))) == len(set(windows)) == len(set(found))


@given(hashes, hashes)
def test_unique_pairs(a: list[int], b: list[int]) -> None:
    left, right = unique_pairs(array(a), array(b))
    expected = [(a.index(x), b.index(x)) for x in set(a) if a.count(x) == b.count(x) == 1]
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == sorted(expected)


@given(hashes, hashes, st.sampled_from([None, 1, 2]))
def test_ranked_pairs(a: list[int], b: list[int], limit: int | None) -> None:
    expected = []
    for x in set(a) & set(b):
        places = [[i for i, y in enumerate(side) if y == x] for side in (a, b)]
        if limit is None or len(places[0]) == len(places[1]) <= limit:
            expected += list(zip(*places, strict=False))
    left, right = ranked_pairs(array(a), array(b), limit)
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == sorted(expected)


def test_sampling_chooses_the_same_stretches_wherever_they_are() -> None:
    values = np.random.default_rng(1).integers(0, 1 << 64, 90_000, dtype=np.uint64)
    places, found = sampled_kgrams(values, 4, 8)
    everything = kgrams(values, 4)
    assert 10_500 < len(places) < 12_000
    assert (everything[places] == found).all() and (np.diff(places) > 0).all()
    later, again = sampled_kgrams(values[1000:], 4, 8)
    assert (later + 1000).tolist() == places[places >= 1000].tolist() and again.tolist() == found[
        -len(later) :
    ].tolist()
    assert len(sampled_kgrams(values, 4, 1)[0]) == len(everything)
    assert [len(column) for column in sampled_kgrams(values[:3], 4, 8)] == [0, 0]


@given(hashes, hashes)
def test_shared_places(a: list[int], b: list[int]) -> None:
    left, right = shared_places(array(a), array(b))
    assert left.tolist() == [i for i, x in enumerate(a) if x in b]
    assert right.tolist() == [j for j, x in enumerate(b) if x in a]


def test_diagonals() -> None:
    first, last = diagonals(np.array([0, 1, 5, 6, 9]), np.array([2, 3, 4, 5, 8]))
    assert (first.tolist(), last.tolist()) == ([0, 2], [1, 4])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=9))
def test_heaviest_chain(intervals: list[tuple[int, int, int]]) -> None:
    first = np.array([start for start, _, _ in intervals])
    last = first + np.array([length for _, length, _ in intervals])
    weight = np.array([mass for _, _, mass in intervals])

    def fits(chosen: tuple[int, ...]) -> bool:
        return all(last[x] < first[y] for x, y in pairwise(chosen))

    rows = range(len(intervals))
    best = max(weight[list(c)].sum() for n in rows for c in combinations(rows, n + 1) if fits(c))
    chosen = heaviest_chain(first, last, weight)
    assert fits(tuple(chosen.tolist()))
    # Where all fit they are all taken; weights are positive, so that is the heaviest too.
    assert weight[chosen].sum() == best
