"""The interval index against a plain list, with the invariants checked after each step."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.trace import intervals
from mmiotools.trace.intervals import Interval, IntervalIndex, OverlapError

#: One step: where, how long, and what to do. Few addresses, so that intervals touch and overlap.
STEPS = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(st.integers(1, 12), st.just(70)), st.sampled_from("iiiirll")),
    max_size=60,
)


class Model:
    """The index and what a list says about the same intervals."""

    def __init__(self, overlaps: bool) -> None:
        self.overlaps = overlaps
        self.index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
        #: In the order of insertion.
        self.live: list[Interval[int]] = []
        self.refused = 0

    def insert(self, start: int, end: int, value: int) -> None:
        clash = [i for i in self.live if i.start < end and i.end > start]
        try:
            self.live.append(self.index.insert(start, end, value))
            assert self.overlaps or not clash
        except OverlapError as error:
            assert not self.overlaps and error.other is min(clash)
            self.refused += 1

    def remove(self, place: int) -> None:
        self.index.remove(self.live.pop(place))

    def lookup(self, start: int, end: int) -> None:
        """Ask everything about [start, end)."""
        index, live = self.index, self.live
        over = [i for i in live if i.start <= start < i.end]
        stabbed = index.stab(start)
        assert len(stabbed) == len(over) and all(a is b for a, b in zip(stabbed, over, strict=True))
        assert index.at(start) is (over[0] if over else None)
        # An empty range shares no address with anything.
        meeting = [i for i in live if max(i.start, start) < min(i.end, end)]
        meeting.sort(key=lambda i: i.start)
        found = list(index.overlapping(start, end))
        assert len(found) == len(meeting) and all(a is b for a, b in zip(found, meeting, strict=True))
        assert index.any_overlap(start, end) == bool(meeting)
        bare = [a for a in range(start, end) if not any(i.start <= a < i.end for i in live)]
        gaps = list(index.gaps(start, end))
        assert [a for gap in gaps for a in range(*gap)] == bare
        assert all(a[1] < b[0] for a, b in pairwise(gaps))
        assert index.covers(start, end) == (not bare)

    def whole(self) -> None:
        """Ask for everything in order."""
        index, live = self.index, self.live
        index.check()
        assert len(index) == len(live)
        ordered = sorted(live, key=lambda i: i.start)
        assert all(a is b for a, b in zip(index, ordered, strict=True))
        borders = sorted({i.start for i in live} | {i.end for i in live})
        expected = [(border, tuple(i for i in live if i.start <= border < i.end)) for border in borders]
        assert list(index.segments()) == expected


@pytest.mark.parametrize("overlaps", [True, False])
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_any_program_agrees_with_a_list(overlaps: bool, steps: list[tuple[int, int, str]]) -> None:
    model = Model(overlaps)
    for number, (start, length, what) in enumerate(steps):
        if what == "i":
            model.insert(start, start + length, number)
        elif what == "r" and model.live:
            model.remove(start % len(model.live))
        else:
            model.lookup(start, start + length)
        model.index.check()
    model.whole()
    for address in range(-1, 75):
        model.lookup(address, address + 1)
    model.whole()


@pytest.mark.parametrize("overlaps", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_long_random_programs_agree_with_a_list(overlaps: bool, seed: int) -> None:
    rng = random.Random(seed)
    model = Model(overlaps)
    for step in range(500):
        if rng.random() < 0.6 or not model.live:
            start = rng.randrange(600)
            model.insert(start, start + rng.choice((1, 2, 4, 4, 7, 30)), step)
        else:
            model.remove(rng.randrange(len(model.live)))
        # Now and then a run of lookups, long enough for a snapshot that the next change has to drop.
        for _ in range(1 if step % 50 else 200):
            address = rng.randrange(-2, 640)
            model.lookup(address, address + rng.randrange(9))
        model.index.check()
    model.whole()
    assert overlaps or model.refused


@pytest.mark.parametrize("overlaps", [True, False])
@pytest.mark.parametrize("base", [0x1000, (1 << 64) - 4 * 8_000, (1 << 70)])
def test_many_intervals(overlaps: bool, base: int) -> None:
    # Enough for packed words; the last of them ends where the address space does, or lies beyond it.
    count = 4_000
    index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
    order = list(range(count))
    random.Random(1).shuffle(order)
    for number in order:
        index.insert(base + 8 * number + 4, base + 8 * number + 8, number)
    for lap in range(2):
        for number in range(count):
            assert index.stab(base + 8 * number + 3) == ()
            for at in (4, 7):
                (found,) = index.stab(base + 8 * number + at)
                assert found.value == number
        index.check()
        if lap == 0:
            assert [i.value for i in index.overlapping(base + 4, base + 8 * 300)] == list(range(300))
            assert index.covers(base + 4, base + 8) and not index.covers(base + 4, base + 9)
            index.remove(index.stab(base + 4)[0])
            index.insert(base + 4, base + 8, 0)
    assert index.stab(base) == index.stab(base - 1) == index.stab(base + 8 * count) == index.stab(1 << 80) == ()


def test_a_nest_of_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    index: IntervalIndex[int] = IntervalIndex(overlaps=True)
    nest = [index.insert(number, 4_096 - number, number) for number in range(1_000)]
    for _ in range(3):
        assert [i.value for i in index.stab(2_000)] == list(range(1_000))
        assert [i.value for i in index.stab(4_000)] == list(range(96))
        # What is asked again is kept: the deep answers are made once.
        assert index._covers is None or index.stab(2_000) is index.stab(2_000)
    assert index._covers is not None
    index.check()
    for interval in nest[::-1]:
        index.remove(interval)
    index.check()
    assert list(index) == [] and list(index.segments()) == [] and index.stab(5) == ()
    # But no more than there is room for.
    monkeypatch.setattr(intervals, "_KEEP", 1_500)
    for number in range(1_000):
        index.insert(number, 4_096 - number, number)
    for address in range(4_100):
        assert len(index.stab(address)) == max(0, min(address + 1, 1_000, 4_096 - address))
    index.check()
    assert index._covers is not None
    assert 500 < sum(len(covering) for covering in index._covers if covering is not None) <= 1_500


class Counted(int):
    """An address that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < other

    def __gt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) > other


def compared(work: Callable[[], object]) -> int:
    """Comparisons of Counted addresses that `work` makes."""
    Counted.compared = 0
    work()
    return Counted.compared


def test_lookups_between_changes_do_not_rebuild() -> None:
    """What alternating changes and lookups cost does not grow with the index; counted, not timed."""

    def one_turn(index: IntervalIndex[int]) -> None:
        index.stab(5)
        index.remove(index.insert(0, 4, -1))

    for overlaps in (True, False):
        index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
        for number in range(1, 2_001):
            index.insert(16 * number, 16 * number + 4, number)
        for _ in range(500):
            one_turn(index)
            assert index._covers is None
        for _ in range(500):
            index.stab(20)
        assert index._covers is not None
        index.insert(0, 4, -1)
        assert index._covers is None


@pytest.mark.parametrize("lookups", [0, 3_000])
def test_a_stab_compares_as_often_as_a_binary_search(lookups: int) -> None:
    index: IntervalIndex[int] = IntervalIndex()
    for number in range(10_000):
        index.insert(16 * number, 16 * number + 4, number)
    for _ in range(lookups):
        index.stab(7)
    assert (index._covers is not None) == bool(lookups)
    address = Counted(16 * 7_777 + 2)
    assert compared(lambda: index.stab(address)) <= (4 if lookups else 25)


@pytest.mark.parametrize("overlaps", [True, False])
@pytest.mark.parametrize("gap", [1 << 20, 1 << 40, 1 << 60])
def test_clusters_far_apart(overlaps: bool, gap: int) -> None:
    """The table by leading bits is of no use there, and a binary search is left."""
    index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
    for number in range(2_000):
        index.insert(gap * (number & 1) + 16 * number, gap * (number & 1) + 16 * number + 4, number)
    for _ in range(1_000):
        index.stab(7)
    index.check()
    assert index._covers is not None and index._places <= len(index._borders) + 2
    for number in range(2_000):
        address = gap * (number & 1) + 16 * number
        assert [i.value for i in index.stab(address + 3)] == [number]
        assert index.stab(address + 4) == ()
        assert [i.value for i in index.overlapping(address + 3, address + 4)] == [number]
    assert [i.value for i in index.overlapping(0, 2 * gap)] == [*range(0, 2_000, 2), *range(1, 2_000, 2)]
    assert compared(lambda: index.stab(Counted(gap + 16 * 777 + 2))) <= 16
    assert index.stab(gap // 2) == index.stab(1 << 70) == ()


def test_ranges_of_overlapping_intervals_do_not_walk_them_all() -> None:
    index: IntervalIndex[int] = IntervalIndex(overlaps=True)
    for number in range(10_000):
        index.insert(16 * number, 16 * number + (4, 40, 400)[number % 3], number)
    for _ in range(2):
        # First without a snapshot.
        start, end = Counted(16 * 7_777 + 8), Counted(16 * 7_779)
        found: list[Interval[int]] = []
        assert compared(lambda: found.extend(index.overlapping(start, end))) <= 250  # noqa: B023 - called at once
        expected = [n for n in range(10_000) if 16 * n < end and 16 * n + (4, 40, 400)[n % 3] > start]
        assert [i.value for i in found] == expected
        for _ in range(2_000):
            index.stab(7)
    assert index._covers is not None


def test_ends_are_outside() -> None:
    index: IntervalIndex[str] = IntervalIndex()
    index.insert(0x1000, 0x2000, "a")
    index.insert(0x2000, 0x3000, "b")
    assert [i.value for i in index.stab(0x1FFF)] == ["a"]
    assert [i.value for i in index.stab(0x2000)] == ["b"]
    assert index.stab(0xFFF) == () and index.stab(0x3000) == ()
    assert index.at(0x3000) is None


def test_empty_ranges_and_an_empty_index() -> None:
    index: IntervalIndex[str] = IntervalIndex()
    for _ in range(2):
        assert index.stab(0) == () and list(index) == []
        assert not index.any_overlap(0, 100) and not index.covers(0, 1)
        index.check()
    index.insert(0, 10, "a")
    for _ in range(2):
        assert list(index.overlapping(5, 5)) == [] and not index.any_overlap(5, 5) and index.covers(5, 5)


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, 3)])
def test_empty_and_negative_intervals_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="empty or negative"):
        IntervalIndex[int]().insert(start, end, 0)


@pytest.mark.parametrize("overlaps", [True, False])
def test_removing_what_is_not_there(overlaps: bool) -> None:
    index: IntervalIndex[int] = IntervalIndex(overlaps=overlaps)
    kept = index.insert(1, 5, 1)
    for other in (Interval(1, 5, 1), Interval(1, 4, 1), Interval(2, 100, 1)):
        with pytest.raises(KeyError):
            index.remove(other)
    assert len(index) == 1
    index.remove(kept)
    with pytest.raises(KeyError):
        index.remove(kept)


def test_the_checker_sees_damage() -> None:
    index: IntervalIndex[int] = IntervalIndex()
    index.insert(0, 4, 1)
    index.insert(8, 12, 2)
    index.stab(0)
    index.check()
    assert index._covers is not None
    index._covers[1], index._covers[3] = index._covers[3], index._covers[1]
    with pytest.raises(AssertionError):
        index.check()
    index._changed()
    index.check()
    index._count = 3
    with pytest.raises(AssertionError):
        index.check()
