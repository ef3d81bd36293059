"""What the formats for viewers have in common: a time for every event, and numbers for regions and registers."""

from __future__ import annotations

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.formats.base import Sniff, Writer
from mmiotools.formats.source import ByteSource
from mmiotools.trace.address_space import Region
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.names import Names
from mmiotools.typed import BinaryIO, Callable, Iterator, NamedTuple, NDArray

#: Registers that are told apart; accesses to more are counted, and shown at their region alone.
MAX_REGISTERS = 1 << 16


class Clock:
    """Gives each event a time. One without takes that of the event before it, or of the first that has one; in a trace
    whose first access has no time, nor anything before it, the number of the event is its time (`ordinal`).
    """

    def __init__(self) -> None:
        self.ordinal: bool | None = None
        self._latest: int | None = None
        self._events = 0

    def times(self, batch: Batch) -> NDArray[np.int64]:
        """Nanoseconds, or numbers of events, (n,). A LOST, whose time may be a mere 0, counts as one without."""
        timed = batch.timed
        if self.ordinal is None:
            telling = flatnonzero(timed | batch.accesses)
            self.ordinal = not timed[telling[0]] if len(telling) else None
        if self.ordinal:
            first = self._events
            self._events += len(batch)
            return np.arange(first, self._events, dtype=np.int64)
        self._events += len(batch)
        if self._latest is None and not timed.any():
            return np.zeros(len(batch), np.int64)
        data = batch.data("time")
        before = int(data[timed][0]) if self._latest is None else self._latest
        latest = np.maximum.accumulate(np.where(timed, np.arange(len(batch)), -1))
        found = np.where(latest >= 0, data[latest], before)
        self._latest = int(found[-1])
        return found


class Register(NamedTuple):
    """What a value is shown of: offset and width in a region (by number). `offset` None: its region knows no more."""

    region: int
    offset: int
    width: int


class Places:
    """Numbers for the regions and registers of a stream, in order of appearance. Region None is memory by address."""

    def __init__(self) -> None:
        self.regions: list[Region | None] = []
        self.registers: list[Register] = []
        self._addresses = AddressMap()
        self._numbers: dict[int, int] = {}
        self._known: dict[Register, int] = {}

    def of(
        self, batch: Batch, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """Region and register of some rows, their accesses, and the offset: (m,) each. The register is -1 where there
        is no offset or address, or where there are too many. To be called with every batch.
        """
        resolved = self._addresses.resolve(batch)
        codes = resolved.region[rows]
        known, first, back = np.unique(codes, return_index=True, return_inverse=True)
        table = np.zeros(len(known), np.int64)
        for at in np.argsort(first).tolist():
            table[at] = self._number(int(known[at]))
        region = table[back]
        offset = resolved.offset[rows]
        there = np.where(
            codes >= 0, batch.present("offset")[rows] | batch.present("addr")[rows], batch.present("addr")[rows]
        )
        width = batch.data("width")[rows].astype(np.int64)
        at = np.unique(offset, return_inverse=True)[1]
        mixed = (at * (len(self.regions) + 1) + region) * 256 + width
        _, first, which = np.unique(mixed, return_index=True, return_inverse=True)
        table = np.full(len(first), -1, np.int64)
        for at in np.argsort(first).tolist():
            row = first[at]
            if there[row]:
                table[at] = self._register(Register(int(region[row]), int(offset[row]), int(width[row])))
        return region, np.where(there, table[which], -1), offset

    def _number(self, code: int) -> int:
        if code not in self._numbers:
            self._numbers[code] = len(self.regions)
            self.regions.append(self._addresses.regions[code] if code >= 0 else None)
        return self._numbers[code]

    def _register(self, register: Register) -> int:
        number = self._known.get(register)
        if number is None:
            if len(self.registers) >= MAX_REGISTERS:
                return -1
            number = self._known[register] = len(self.registers)
            self.registers.append(register)
        return number

    def region_name(self, number: int) -> str:
        """What a region is called."""
        region = self.regions[number]
        return "memory" if region is None else region.name

    def register_name(self, register: Register, names: Names) -> str:
        """The name of a register, else its offset."""
        found = names.find(self.regions[register.region], register.offset)
        return f"{register.offset:#x}" if found is None else found.text


class ViewFormat:
    """The plug-in object of a format that is written for a viewer."""

    api = 1
    binary = False
    readable = False
    writable = True
    names_registers = True

    def __init__(
        self,
        name: str,
        title: str,
        suffixes: tuple[str, ...],
        keeps: frozenset[str],
        writer: Callable[[BinaryIO, TraceHeader], Writer],
    ) -> None:
        self.name = name
        self.title = title
        self.suffixes = suffixes
        self.keeps = keeps
        self._writer = writer

    def sniff(self, head: bytes) -> Sniff:
        """NO: what is made for viewers is not read."""
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Raises UsageError: it is written only."""
        raise UsageError(f"format '{self.name}' can be written but not read")

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """A writer, whose `names` may be set before the first batch."""
        return self._writer(out, header)


def values_of(batch: Batch, rows: NDArray[np.intp]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], dict[int, int]]:
    """Values of some rows and whether they have one, (m,) each; and those of more than 8 bytes by place in `rows`."""
    wide: dict[int, int] = {}
    if batch.extras:
        wide = {row: extra["value"] for row, extra in batch.extras.items() if isinstance(extra.get("value"), int)}
        places = {int(row): at for at, row in enumerate(rows.tolist()) if row in wide} if wide else {}
        wide = {places[row]: value for row, value in wide.items() if row in places}
    return batch.data("value")[rows], batch.present("value")[rows], wide
