"""An interval index on sortedcontainers: half-open intervals, found by address or by range, walked in order.

Overlapping intervals are legal where the caller says so. The index is cut into elementary segments at every
start and end, each with the intervals that cover it, so that a stab is one binary search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from sortedcontainers import SortedDict

V = TypeVar("V")


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

    With n intervals and k answers: `stab` O(log n + k), `overlapping` O(log n + segments in the range),
    `insert` and `remove` O(log n + segments that the interval covers). Equal intervals may be in it several times,
    in the order of their insertion.
    """

    def __init__(self, *, overlaps: bool = False) -> None:
        self._allow = overlaps
        #: start of a segment → intervals covering [start, next start); the gaps have an empty tuple.
        self._segments: SortedDict[int, tuple[Interval[V], ...]] = SortedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def insert(self, start: int, end: int, value: V) -> Interval[V]:
        """Add [start, end). Raises ValueError when it is empty, OverlapError when it overlaps and may not."""
        if start < 0 or end <= start:
            raise ValueError(f"empty or negative interval [{start:#x}, {end:#x})")
        if not self._allow:
            for other in self.overlapping(start, end):
                raise OverlapError(other)
        new = Interval(start, end, value)
        self._cut(start)
        self._cut(end)
        for key in list(self._segments.irange(start, end, (True, False))):
            self._segments[key] = (*self._segments[key], new)
        self._count += 1
        return new

    def remove(self, interval: Interval[V]) -> None:
        """Take out one interval that `insert` returned. Raises KeyError when it is not in the index."""
        keys = list(self._segments.irange(interval.start, interval.end, (True, False)))
        if not keys or keys[0] != interval.start or not any(i is interval for i in self._segments[keys[0]]):
            raise KeyError(interval)
        for key in keys:
            self._segments[key] = tuple(i for i in self._segments[key] if i is not interval)
        self._count -= 1
        for key in (interval.end, interval.start):
            self._heal(key)

    def stab(self, address: int) -> tuple[Interval[V], ...]:
        """The intervals that cover `address`, oldest first."""
        at = self._segments.bisect_right(address) - 1
        return self._segments.peekitem(at)[1] if at >= 0 else ()

    def overlapping(self, start: int, end: int) -> Iterator[Interval[V]]:
        """The intervals that share an address with [start, end), by start, each once."""
        first = self._segments.bisect_right(start) - 1
        seen: set[int] = set()
        for key in self._segments.islice(max(first, 0)):
            if key >= end:
                return
            for interval in self._segments[key]:
                if interval.end > start and id(interval) not in seen:
                    seen.add(id(interval))
                    yield interval

    def __iter__(self) -> Iterator[Interval[V]]:
        for start, covering in self._segments.items():
            for interval in covering:
                if interval.start == start:
                    yield interval

    def segments(self) -> Iterator[tuple[int, tuple[Interval[V], ...]]]:
        """The elementary segments in order: where each starts, and what covers it up to the next."""
        return iter(self._segments.items())

    def check(self) -> None:
        """Assert the invariants; for tests."""
        intervals = list(self)
        assert len(intervals) == self._count
        for index, (start, covering) in enumerate(self._segments.items()):
            expected = {id(i) for i in intervals if i.start <= start < i.end}
            assert {id(i) for i in covering} == expected, (start, covering)
            previous: tuple[Interval[V], ...] = self._segments.peekitem(index - 1)[1] if index else ()
            borders = {id(i) for i in previous} != {id(i) for i in covering}
            assert borders, f"needless border at {start:#x}"
            assert self._allow or len(covering) <= 1

    def _cut(self, address: int) -> None:
        if address not in self._segments:
            self._segments[address] = self.stab(address)

    def _heal(self, address: int) -> None:
        """Drop the border at `address` if both sides hold the same intervals."""
        at = self._segments.index(address)
        before = self._segments.peekitem(at - 1)[1] if at else ()
        here = self._segments.peekitem(at)[1]
        if len(before) == len(here) and all(a is b for a, b in zip(before, here, strict=True)):
            del self._segments[address]
