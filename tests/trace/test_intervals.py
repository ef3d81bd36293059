"""The interval index: random operations against a plain list, with the invariants checked after each."""

from __future__ import annotations

import random

import pytest

from mmiotools.trace.intervals import Interval, IntervalIndex, OverlapError


@pytest.mark.parametrize("overlaps", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_random_operations_agree_with_a_list(overlaps: bool, seed: int) -> None:
    rng = random.Random(seed)
    index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
    live: list[Interval[int]] = []
    refused = 0
    for step in range(600):
        if rng.random() < 0.6 or not live:
            start = rng.randrange(60)
            end = start + rng.randrange(1, 20)
            clash = [i for i in live if i.start < end and i.end > start]
            try:
                live.append(index.insert(start, end, step))
                assert overlaps or not clash
            except OverlapError as error:
                assert not overlaps and error.other in clash
                refused += 1
        else:
            index.remove(live.pop(rng.randrange(len(live))))
        index.check()
        assert len(index) == len(live)
        address, length = rng.randrange(80), rng.randrange(1, 9)
        assert [i.value for i in index.stab(address)] == [i.value for i in live if i.start <= address < i.end]
        expected = sorted(i.value for i in live if i.start < address + length and i.end > address)
        assert sorted(i.value for i in index.overlapping(address, address + length)) == expected
    assert overlaps or refused
    assert [i.start for i in index] == sorted(i.start for i in live)


def test_ends_are_outside() -> None:
    index: IntervalIndex[str] = IntervalIndex()
    index.insert(0x1000, 0x2000, "a")
    index.insert(0x2000, 0x3000, "b")
    assert [i.value for i in index.stab(0x1FFF)] == ["a"]
    assert [i.value for i in index.stab(0x2000)] == ["b"]
    assert index.stab(0xFFF) == () and index.stab(0x3000) == ()


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, 3)])
def test_empty_and_negative_intervals_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="empty or negative"):
        IntervalIndex[int]().insert(start, end, 0)


def test_removing_what_is_not_there() -> None:
    index: IntervalIndex[int] = IntervalIndex(overlaps=True)
    kept = index.insert(1, 5, 1)
    with pytest.raises(KeyError):
        index.remove(Interval(1, 5, 1))
    index.remove(kept)
    with pytest.raises(KeyError):
        index.remove(kept)
