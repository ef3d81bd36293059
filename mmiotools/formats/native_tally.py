"""Counts of the accesses of native blocks without their columns. A block that is out of the
ordinary is left to who decodes it, who also says what is wrong with one that is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from types import ModuleType
from typing import Any

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats.native_stored import Stored, Unfit
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH, Counted, Times

#: A row that is no access: its number, time, map, address, kind, width, and which of these it has.
_RARE = Struct("=qqqQBBB5x")
_HAS_TIME = 16
#: Most columns of a block; entries that a tally is emptied at.
_MOST_COLUMNS, _MOST_ENTRIES = 256, 1 << 16
_COLUMNS = ("kind", "addr", "map", "width", "time")


class Countable(Stored):
    """A block whose accesses can be counted: they lie in no region that the format named."""

    unit = 1
    without = frozenset({"region", "offset"})

    def columns(self) -> tuple[Any, ...]:
        """What `tally_block` takes. All that is looked at when the block is decoded is looked at here, too."""
        if len(self.names) > _MOST_COLUMNS:
            raise Unfit
        _ = self.addresses
        return tuple(map(self.column, _COLUMNS))


class BlockTally:
    """Counts over blocks that follow each other."""

    def __init__(self, fast: ModuleType) -> None:
        self._fast = fast
        self._tally = fast.new_tally()
        self._events = 0
        self._times: Times | None = None
        self._rare: list[Event] = []
        self._rows: list[int] = []
        #: Whether it is time to take what was counted.
        self.full = False

    def add(self, block: Countable) -> None:
        """Count a block. Raises Unfit, and counts nothing, where it is to be decoded."""
        columns, extras = block.columns(), block.extras()
        block.check()
        try:
            told = self._fast.tally_block(self._tally, block.n, columns)
        except (ValueError, TypeError) as error:
            raise Unfit from error
        if told is None:
            raise Unfit
        times, rare, entries = told
        if times is not None:
            self._add_times(Times(*times))
        for row, time, map_id, addr, kind, width, has in _RARE.iter_unpack(rare):
            self._rows.append(self._events + row)
            self._rare.append(
                Event(
                    Kind(kind),
                    time if has & _HAS_TIME else None,
                    width if has & HAS_WIDTH else None,
                    map_id if has & HAS_MAP else None,
                    addr if has & HAS_ADDR else None,
                    extra=extras.get(row, NOTHING),
                )
            )
        self._events += block.n
        self.full = entries >= _MOST_ENTRIES

    def _add_times(self, times: Times) -> None:
        before = self._events
        moved = times._replace(first_row=times.first_row + before, last_row=times.last_row + before)
        self._times = moved.along(self._times)

    def taken(self) -> Iterator[Counted]:
        """What was counted since the last time, if there is any."""
        if self._events:
            kinds, entries = self._fast.take_entries(self._tally)
            yield Counted(self._events, kinds, entries, self._times, self._rare, self._rows)
            self._events, self._times, self._rare, self._rows, self.full = 0, None, [], [], False
