"""An interval index on sortedcontainers: half-open intervals, found by address or by range, walked in order.

The truth is a SortedDict: a change costs O(log n), also when an interval is huge or thousands lie in one page. In
front of it stands a snapshot for lookups: all borders in order and what covers each segment between two of them, so
that a lookup is two binary searches in plain sequences. Every change drops the snapshot. It is made again, in O(n),
after a run of lookups without a change that together cost about as much as making it: changes and lookups in turn
therefore never pay for it, and a lookup costs at most about twice what the better of the two ways would have.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Any, Generic, NamedTuple, TypeVar

from sortedcontainers import SortedDict

V = TypeVar("V")

#: Borders in a leaf of the snapshot. One leaf is a few cache lines; the first border of each is kept apart and close
#: together, which is what makes random lookups among 100,000 intervals bearable.
_LEAF = 64
#: More borders than these are kept as packed 64-bit words: slower to compare than int objects, but 4 bytes in 5 are
#: saved of what has to come from memory.
_PACK = 4096
#: What a lookup without a snapshot costs, in the time that making one takes for each interval.
_LOOKUP = 8
#: Overlapping intervals: a snapshot keeps answers of so many intervals in all (8 bytes each), or deep nests would fill
#: the memory.
_KEEP = 1 << 20


class Interval(NamedTuple, Generic[V]):
    """[start, end) with what it stands for."""

    start: int
    end: int
    value: V


class OverlapError(ValueError):
    """The new interval overlaps `other` in an index that does not allow it."""

    def __init__(self, other: Interval[Any]) -> None:
        super().__init__(f"overlaps [{other.start:#x}, {other.end:#x})")
        self.other = other


class IntervalIndex(Generic[V]):
    """Intervals by address.

    With n intervals and k answers, costs are

    - `insert`, `remove`: O(log n), and O(snapshot) once to drop it;
    - `stab`, `at`, `any_overlap`: O(log n + k), with or without the snapshot;
    - `overlapping`, `gaps`, `covers`: O(log n + k); walking all: O(n).

    With `overlaps`, lookups cost O(c (log n + d) + k) the first time that they meet a segment, where d is the largest
    number of intervals over one address and c the number of different bit lengths among their lengths; `any_overlap`
    and `covers` stop at the first interval that settles it. Equal intervals may then be in the index several times, in
    the order of their insertion.
    The index must not change while one iterates over it or over what a method gives.
    """

    def __init__(self, *, overlaps: bool = False) -> None:
        self._store: _Disjoint[V] | _Layered[V] = _Layered() if overlaps else _Disjoint()
        self._allow = overlaps
        self._count = 0
        #: What lookups without a snapshot have cost since the last change, see _LOOKUP.
        self._spent = 0
        self._room = _KEEP
        #: The snapshot: `_covers[i]` is over [_borders[i], _borders[i + 1]), None where it is not known yet. The last
        #: is always empty, and it is also what index -1, of an address below all borders, finds. Filled up to whole
        #: leaves with more of the last border. `_tops` are the first borders of all leaves but the first.
        self._covers: list[tuple[Interval[V], ...] | None] | None = None
        self._borders: Sequence[int] = ()
        self._tops: list[int] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Interval[V]]:
        """By start, then in the order of insertion."""
        return iter(self._store)

    def insert(self, start: int, end: int, value: V) -> Interval[V]:
        """Add [start, end). Raises ValueError when it is empty, OverlapError when it overlaps and may not."""
        if start < 0 or end <= start:
            raise ValueError(f"empty or negative interval [{start:#x}, {end:#x})")
        if not self._allow:
            other = self._store.clash(start, end)
            if other is not None:
                raise OverlapError(other)
        new = Interval(start, end, value)
        self._store.add(new)
        self._count += 1
        self._changed()
        return new

    def remove(self, interval: Interval[V]) -> None:
        """Take out one interval that `insert` returned. Raises KeyError when it is not in the index."""
        self._store.remove(interval)
        self._count -= 1
        self._changed()

    def stab(self, address: int) -> tuple[Interval[V], ...]:
        """The intervals that cover `address`, oldest first."""
        covers = self._covers
        if covers is None:
            if not self._waits():
                return self.stab(address)
            found = self._store.covering(address)
            self._spent += len(found)
            return found
        low = bisect_right(self._tops, address) * _LEAF
        place = bisect_right(self._borders, address, low, low + _LEAF) - 1
        covering = covers[place]
        return self._learn(place) if covering is None else covering

    def at(self, address: int) -> Interval[V] | None:
        """The interval that covers `address`, the oldest if there are several."""
        covering = self.stab(address)
        return covering[0] if covering else None

    def overlapping(self, start: int, end: int) -> Iterator[Interval[V]]:
        """The intervals that share an address with [start, end), by start, then oldest first, each once."""
        if end <= start:
            return iter(())
        if self._allow or (self._covers is None and self._waits()):
            return iter(self._store.meeting(start, end))
        # Without overlaps an interval is one segment and all segments are known.
        assert self._covers is not None
        first, last = self._place(start), self._place(end - 1)
        if first == last:
            return iter(self._covers[first] or ())
        return iter([i for covering in self._covers[max(first, 0) : last + 1] for i in covering or ()])

    def any_overlap(self, start: int, end: int) -> bool:
        """Whether an interval shares an address with [start, end)."""
        if end <= start:
            return False
        if self._covers is None and self._waits():
            return self._store.clash(start, end) is not None
        # Of two segments side by side one is covered: else there would be no border between them.
        if self._place(start) != self._place(end - 1):
            return True
        return self._store.clash(start, end) is not None if self._allow else bool(self.stab(start))

    def covers(self, start: int, end: int) -> bool:
        """Whether every address of [start, end) is in some interval; True of an empty range."""
        return next(self.gaps(start, end), None) is None

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs of [start, end) that no interval covers, as (start, end) in order."""
        for interval in self.overlapping(start, end):
            if interval.start > start:
                yield start, interval.start
            start = max(start, interval.end)
            if start >= end:
                return
        if start < end:
            yield start, end

    def segments(self) -> Iterator[tuple[int, tuple[Interval[V], ...]]]:
        """The elementary segments in order: where each starts, and what covers it up to the next, oldest first.

        The last one is the gap behind all intervals; an empty index has none.
        """
        for border, covering in zip(*self._store.flat(), strict=True):
            yield border, self._store.covering(border) if covering is None else covering

    def check(self) -> None:
        """Assert the invariants; for tests."""
        self._store.check()
        intervals = list(self)
        assert len(intervals) == self._count
        assert [i.start for i in intervals] == sorted(i.start for i in intervals)
        if self._covers is None:
            assert not self._borders and not self._tops
            return
        covers, borders = self._covers, list(self._borders)
        assert len(borders) == len(covers) and len(borders) % _LEAF == 0 and self._tops == borders[_LEAF::_LEAF]
        real = sorted({i.start for i in intervals} | {i.end for i in intervals}) or [0]
        assert borders == real + [real[-1]] * (len(borders) - len(real)) and len(borders) - len(real) < _LEAF
        for place, (border, covering) in enumerate(zip(borders, covers, strict=True)):
            if covering is not None:
                assert _same(covering, self._store.covering(border)), (border, covering)
            else:
                assert self._allow and place < len(real) - 1

    # -- the snapshot -------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._spent = 0
        if self._covers is not None:
            self._covers, self._borders, self._tops = None, (), []

    def _waits(self) -> bool:
        """Count a lookup without a snapshot; make one, and return False, when it begins to pay."""
        self._spent += _LOOKUP
        if self._spent <= self._count:
            return True
        borders, covers = self._store.flat()
        if not borders:
            borders, covers = [0], [()]
        more = -len(borders) % _LEAF
        borders += [borders[-1]] * more
        covers += [()] * more
        self._tops = borders[_LEAF::_LEAF]
        self._borders = borders
        if len(borders) > _PACK:
            try:
                self._borders = array("Q", borders)
                # New int objects lie side by side; those of the intervals are scattered.
                self._tops = list(self._borders[_LEAF::_LEAF])
            except OverflowError:
                # An address beyond 64 bits, such as the end of the address space.
                pass
        self._covers = covers
        self._room = _KEEP
        return False

    def _place(self, address: int) -> int:
        """The segment of `address` in the snapshot, -1 below all. `stab` has the same in it, for speed."""
        low = bisect_right(self._tops, address) * _LEAF
        return bisect_right(self._borders, address, low, low + _LEAF) - 1

    def _learn(self, place: int) -> tuple[Interval[V], ...]:
        """What covers a segment, asked for the first time."""
        covering = self._store.covering(self._borders[place])
        if self._covers is not None and len(covering) <= self._room:
            self._room -= len(covering)
            self._covers[place] = covering
        return covering


class _Disjoint(Generic[V]):
    """Intervals that do not overlap."""

    def __init__(self) -> None:
        #: start → (the interval,): the tuple is the answer of every stab that finds it.
        self._by_start: SortedDict[int, tuple[Interval[V]]] = SortedDict()

    def __iter__(self) -> Iterator[Interval[V]]:
        return (interval for (interval,) in self._by_start.values())

    def add(self, interval: Interval[V]) -> None:
        self._by_start[interval.start] = (interval,)

    def remove(self, interval: Interval[V]) -> None:
        found: tuple[Interval[V], ...] = self._by_start.get(interval.start, ())
        if not found or found[0] is not interval:
            raise KeyError(interval)
        del self._by_start[interval.start]

    def covering(self, address: int) -> tuple[Interval[V], ...]:
        at = self._by_start.bisect_right(address) - 1
        if at < 0:
            return ()
        found: tuple[Interval[V]] = self._by_start.peekitem(at)[1]
        return found if found[0].end > address else ()

    def clash(self, start: int, end: int) -> Interval[V] | None:
        """The first that shares an address with [start, end)."""
        at = self._by_start.bisect_left(end) - 1
        if at < 0:
            return None
        last: Interval[V] = self._by_start.peekitem(at)[1][0]
        if last.end <= start:
            return None
        if last.start <= start:
            return last
        before = self.covering(start)
        return before[0] if before else self._by_start[next(self._by_start.irange(start))][0]

    def meeting(self, start: int, end: int) -> list[Interval[V]]:
        """By start."""
        found = list(self.covering(start))
        starts = self._by_start.irange(start, end, (False, False))
        found += [self._by_start[key][0] for key in starts]
        return found

    def flat(self) -> tuple[list[int], list[tuple[Interval[V], ...] | None]]:
        """Every border, and what covers the segment from there."""
        borders: list[int] = []
        covers: list[tuple[Interval[V], ...] | None] = []
        reach = -1
        for start, found in self._by_start.items():
            if start != reach >= 0:
                borders.append(reach)
                covers.append(())
            borders.append(start)
            covers.append(found)
            reach = found[0].end
        if reach >= 0:
            borders.append(reach)
            covers.append(())
        return borders, covers

    def check(self) -> None:
        reach = 0
        for start, (interval,) in self._by_start.items():
            assert start == interval.start and reach <= start < interval.end, interval
            reach = interval.end


class _Layered(Generic[V]):
    """Intervals that may overlap, in layers of similar length.

    With lengths below L, what covers an address starts less than L before it, so the search looks only at those. As
    no length is below L / 2, whichever of them do not cover the address cover the one L / 2 before it: in each layer
    the search looks at no more than twice the largest number of intervals over one address.
    """

    def __init__(self) -> None:
        #: bit length of the length → (start, serial number) → interval.
        self._layers: dict[int, SortedDict[tuple[int, int], Interval[V]]] = {}
        #: id of an interval → its key.
        self._keys: dict[int, tuple[int, int]] = {}
        self._serial = 0

    def __iter__(self) -> Iterator[Interval[V]]:
        return (interval for _, interval in merge(*(layer.items() for layer in self._layers.values())))

    def add(self, interval: Interval[V]) -> None:
        number = (interval.end - interval.start).bit_length()
        layer = self._layers.get(number)
        if layer is None:
            layer = self._layers[number] = SortedDict()
        key = self._keys[id(interval)] = interval.start, self._serial
        layer[key] = interval
        self._serial += 1

    def remove(self, interval: Interval[V]) -> None:
        key = self._keys.pop(id(interval), None)
        if key is None:
            raise KeyError(interval)
        number = (interval.end - interval.start).bit_length()
        layer = self._layers[number]
        del layer[key]
        if not layer:
            del self._layers[number]

    def covering(self, address: int) -> tuple[Interval[V], ...]:
        """Oldest first."""
        found = [item for number in self._layers for item in self._within(number, address, address + 1)]
        found.sort(key=_serial)
        return tuple(interval for _, interval in found)

    def clash(self, start: int, end: int) -> Interval[V] | None:
        """One that shares an address with [start, end)."""
        return next((i for number in self._layers for _, i in self._within(number, start, end)), None)

    def meeting(self, start: int, end: int) -> Iterator[Interval[V]]:
        """By start, then oldest first."""
        return (interval for _, interval in merge(*(self._within(number, start, end) for number in self._layers)))

    def _within(self, number: int, start: int, end: int) -> Iterator[tuple[tuple[int, int], Interval[V]]]:
        """Of one layer those that share an address with [start, end), with their keys, in order."""
        layer = self._layers[number]
        for key in layer.irange((start + 1 - (1 << number),), (end,)):
            interval = layer[key]
            if interval.end > start:
                yield key, interval

    def flat(self) -> tuple[list[int], list[tuple[Interval[V], ...] | None]]:
        """Every border; what covers the segments is left open, as it may be O(n) for each, but for the last."""
        intervals = [interval for layer in self._layers.values() for interval in layer.values()]
        borders = sorted({i.start for i in intervals} | {i.end for i in intervals})
        covers: list[tuple[Interval[V], ...] | None] = [None] * len(borders)
        covers[-1:] = [()] if borders else []
        return borders, covers

    def check(self) -> None:
        serials = set()
        for number, layer in self._layers.items():
            assert layer
            for (start, serial), interval in layer.items():
                assert start == interval.start and (interval.end - start).bit_length() == number, interval
                assert self._keys[id(interval)] == (start, serial)
                serials.add(serial)
        assert len(serials) == len(self._keys) == sum(map(len, self._layers.values()))
        assert all(serial < self._serial for serial in serials)


def _serial(item: tuple[tuple[int, int], Any]) -> int:
    return item[0][1]


def _same(a: Sequence[object], b: Sequence[object]) -> bool:
    """The very same objects in the same order."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
