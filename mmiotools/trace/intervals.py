"""An interval index on sortedcontainers: half-open intervals, found by address or by range, walked in order.

The truth is a SortedDict: a change costs O(log n), also when an interval is huge or thousands lie in one page. In
front of it stands a snapshot for lookups: all borders in order, what covers each segment between two of them, and a
table by the leading bits of an address that says among which few borders to search. Every change drops the snapshot.
It is made again, in O(n log n), after a run of lookups without a change that together cost about as much as making
it: lookups that take turns with changes never pay for it, and the worst run costs a few times what it has to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from heapq import merge
from itertools import accumulate, chain, repeat
from operator import attrgetter

from sortedcontainers import SortedDict

from mmiotools.small import array
from mmiotools.typed import Any, Generic, Iterator, NamedTuple, Sequence, TypeVar

V = TypeVar("V")

#: Borders that a place in the table by leading bits stands for, on average, where they are spread evenly. In clusters
#: that lie far apart the places have more: with all in one, a lookup is a binary search among them.
_SPREAD = 2
#: More borders than these are kept as packed 64-bit words: slower to compare than int objects, but 4 bytes in 5 are
#: saved of what has to come from memory.
_PACK = 4096
#: What a lookup without a snapshot costs, in the time that making one takes for each interval.
_LOOKUP = 5
#: Overlapping intervals: a snapshot keeps answers of so many intervals in all (8 bytes each), or deep nests would fill
#: the memory.
_KEEP = 1 << 20

_by_start = attrgetter("start")


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
    stops at the first interval that settles it. Equal intervals may then be in the index several times, in the order
    of their insertion. The first range of several segments after a change costs O(n) once there is a snapshot.
    The index must not change while one iterates over it or over what a method gives.
    """

    def __init__(self, *, overlaps: bool = False) -> None:
        self._store: _Disjoint[V] | _Layered[V] = _Layered() if overlaps else _Disjoint()
        self._allow = overlaps
        self._count = 0
        #: What lookups without a snapshot have cost since the last change, see _LOOKUP.
        self._spent = 0
        self._room = _KEEP
        #: The snapshot: segment i ends at `_borders[i]`, and `_covers[i]` is over it, None where it is not known yet.
        #: The first and the last, which have no beginning and no end, are empty.
        self._covers: list[tuple[Interval[V], ...] | None] | None = None
        self._borders: Sequence[int] = ()
        #: All intervals by start, and how many of them begin at or before the beginning of each segment; empty until
        #: somebody asks for a range of several segments.
        self._ordered: list[Interval[V]] = []
        self._begun: Sequence[int] = ()
        #: The table: with p = (address >> _shift) - _first, an address is in one of the segments from `_table[p]` to
        #: `_table[p + 1]`; outside the table it is in no interval.
        self._table: list[int] = []
        self._shift = self._first = self._places = 0

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
        place = (address >> self._shift) - self._first
        if not 0 <= place < self._places:
            return ()
        table = self._table
        segment = bisect_right(self._borders, address, table[place], table[place + 1])
        covering = covers[segment]
        return self._learn(segment) if covering is None else covering

    def at(self, address: int) -> Interval[V] | None:
        """The interval that covers `address`, the oldest if there are several."""
        covering = self.stab(address)
        return covering[0] if covering else None

    def overlapping(self, start: int, end: int) -> Iterator[Interval[V]]:
        """The intervals that share an address with [start, end), by start, then oldest first, each once."""
        if end <= start:
            return iter(())
        if self._covers is None and self._waits():
            return iter(self._store.meeting(start, end))
        assert self._covers is not None
        first, last = self._segment(start), self._segment(end - 1)
        found = self._covers[first]
        if found is None:
            found = self._learn(first)
        if len(found) > 1:
            # From oldest first; among those that begin together this order stays.
            found = tuple(sorted(found, key=_by_start))
        if first == last:
            return iter(found)
        if not self._begun:
            self._ordered = list(self._store)
            begin = Counter(map(_by_start, self._ordered))
            self._begun = array("L", accumulate(map(begin.get, self._borders, repeat(0)), initial=0))
        return chain(found, self._ordered[self._begun[first] : self._begun[last]])

    def any_overlap(self, start: int, end: int) -> bool:
        """Whether an interval shares an address with [start, end)."""
        if end <= start:
            return False
        if self._covers is None and self._waits():
            return self._store.clash(start, end) is not None
        # Of two segments side by side one is covered: else there would be no border between them.
        if self._segment(start) != self._segment(end - 1):
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
        borders, covers = self._store.flat()
        for border, covering in zip(borders, covers, strict=True):
            yield border, self._store.covering(border) if covering is None else covering

    def check(self) -> None:
        """Assert the invariants; for tests."""
        self._store.check()
        intervals = list(self)
        assert len(intervals) == self._count
        assert [i.start for i in intervals] == sorted(i.start for i in intervals)
        if self._covers is None:
            assert not self._borders and not self._table and not self._ordered and not self._begun
            return
        covers, borders = self._covers, list(self._borders)
        assert borders == sorted({i.start for i in intervals} | {i.end for i in intervals})
        assert len(covers) == len(borders) + 1 and covers[0] == covers[-1] == ()
        for border, covering in zip(borders, covers[1:], strict=True):
            assert covering is not None or self._allow
            assert covering is None or _same(covering, self._store.covering(border)), (border, covering)
        assert len(self._table) == self._places + 1 <= len(borders) + 3
        if self._begun:
            starts = [i.start for i in intervals]
            assert list(self._begun) == [0, *(bisect_right(starts, border) for border in borders)]
            assert _same(self._ordered, intervals)
        for place, segment in enumerate(self._table):
            assert segment == bisect_left(borders, place + self._first << self._shift)

    # -- the snapshot -------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._spent = 0
        if self._covers is not None:
            self._covers, self._borders, self._ordered, self._begun, self._table = None, (), [], (), []

    def _waits(self) -> bool:
        """Count a lookup without a snapshot; make one, and return False, when it begins to pay."""
        self._spent += _LOOKUP
        if self._spent <= self._count:
            return True
        borders, covers = self._store.flat()
        self._make_table(borders)
        self._borders = borders
        if len(borders) > _PACK:
            try:
                self._borders = array("Q", borders)
            except OverflowError:
                # An address beyond 64 bits, such as the end of the address space.
                pass
        self._covers = [(), *covers]
        self._room = _KEEP
        return False

    def _make_table(self, borders: list[int]) -> None:
        low, high = (borders[0], borders[-1]) if borders else (0, 0)
        self._shift = shift = max(1, (high - low) * _SPREAD // max(1, len(borders))).bit_length() - 1
        self._first = low >> shift
        self._places = (high >> shift) - self._first + 1
        counts = Counter([border >> shift for border in borders])
        wanted = range(self._first, self._first + self._places)
        self._table = list(accumulate(map(counts.get, wanted, repeat(0)), initial=0))

    def _segment(self, address: int) -> int:
        """The segment of `address` in the snapshot. `stab` has the same in it, for speed."""
        place = (address >> self._shift) - self._first
        if not 0 <= place < self._places:
            return 0 if place < 0 else len(self._borders)
        return bisect_right(self._borders, address, self._table[place], self._table[place + 1])

    def _learn(self, segment: int) -> tuple[Interval[V], ...]:
        """What covers a segment, asked for the first time."""
        covering = self._store.covering(self._borders[segment - 1])
        if self._covers is not None and len(covering) <= self._room:
            self._room -= len(covering)
            self._covers[segment] = covering
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
