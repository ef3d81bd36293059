"""Counts of the accesses of native blocks without their columns. A block that is out of the
ordinary is left to who decodes it, who also says what is wrong with one that is damaged.
"""

from __future__ import annotations

from struct import Struct

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats.native_stored import WRONG, Unfit, countable, extras_of
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH, Counted, Times
from mmiotools.typed import Any, Iterator, ModuleType

#: A row that is no access: its number, time, map, address, kind, width, and which of these it has.
_RARE = Struct("=qqqQBBB5x")
_HAS_TIME = 16
#: Entries that a tally is emptied at.
_MOST_ENTRIES = 1 << 16


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

    def add(self, data: Any, first: int, n: int) -> None:
        """Count the block of n events, from number `first` on, that `data` is. Raises Unfit, and counts nothing, where
        it is to be decoded.
        """
        try:
            block = countable(self._fast, data, first, n)
            extras = extras_of(self._fast, block, n)
            told = self._fast.tally_block(self._tally, block)
        except WRONG as error:
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
        self._events += n
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
