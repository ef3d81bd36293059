"""The probes that are alive in a stream that names accesses by virtual address, and gives maps no number."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.trace.intervals import Interval, IntervalIndex
from mmiotools.typed import NDArray

_TOP = 1 << 64
#: With fewer addresses than one in so many probes, each is looked up alone.
_FEW = 16


class Probes:
    """Live probes by virtual address. They are numbered from 1 in the order of their records.

    Virtual ranges cannot overlap while both are mapped: a probe ends those that it lies over, whose own end was lost.
    """

    def __init__(self) -> None:
        self._index: IntervalIndex[tuple[int, int]] = IntervalIndex()
        self._by_start: dict[int, tuple[int, Interval[tuple[int, int]] | None]] = {}
        self._count = 0
        self._table: tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]] | None = None

    def change(self, event: Event) -> Event:
        """Take in a MAP or UNMAP event; the same with the number of its map, -1 where an UNMAP ends none."""
        virt = event.extra["virt"]
        if event.kind == Kind.MAP:
            self._count += 1
            self._begin(virt, event.addr or 0, event.extra["length"])
            return event._replace(map=self._count)
        number, interval = self._by_start.pop(virt, (-1, None))
        if interval is not None:
            self._index.remove(interval)
            self._table = None
        if number < 0:
            return event._replace(map=-1)
        return event._replace(map=number, extra={key: item for key, item in event.extra.items() if key != "virt"})

    def _begin(self, virt: int, phys: int, length: int) -> None:
        end = min(virt + length, _TOP)
        interval = None
        # A probe of no bytes is only known by where it starts.
        for old in list(self._index.overlapping(virt, max(end, virt + 1))):
            self._index.remove(old)
            self._by_start.pop(old.start, None)
        if end > virt:
            interval = self._index.insert(virt, end, (self._count, (phys - virt) % _TOP))
        self._by_start[virt] = (self._count, interval)
        self._table = None

    def look_up(self, virt: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Physical addresses (n,) and map numbers (n,), 0 where no probe is over an address."""
        if len(self._index) > _FEW * len(virt) and self._table is None:
            return self._one_by_one(virt)
        if self._table is None:
            rows = [(0, 0, 0)]
            for start, covering in self._index.segments():
                if start < _TOP:
                    number, shift = covering[0].value if covering else (0, 0)
                    rows.append((start, number, shift))
            columns = list(zip(*rows, strict=True))
            self._table = (
                np.array(columns[0], np.uint64),
                np.array(columns[1], np.int64),
                np.array(columns[2], np.uint64),
            )
        starts, numbers, shifts = self._table
        at = np.searchsorted(starts, virt, "right") - 1
        return virt + shifts[at], numbers[at]

    def _one_by_one(self, virt: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        found = [self._index.at(address) for address in virt.tolist()]
        numbers = np.array([0 if hit is None else hit.value[0] for hit in found], np.int64)
        shifts = np.array([0 if hit is None else hit.value[1] for hit in found], np.uint64)
        return virt + shifts, numbers
