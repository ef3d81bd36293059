"""Accesses, taken some at a time into columns of a file that two processes have open, with their hashes."""

from __future__ import annotations

import mmap
import os
import sys

from mmiotools.events import Event, Kind, is_damage
from mmiotools.formats.native_stored import Unfit
from mmiotools.small import array
from mmiotools.trace.address_space import AddressSpace, Segments
from mmiotools.trace.shared import APART, Description, Place, Same
from mmiotools.trace.stable import stable_hash
from mmiotools.typed import Any, Callable, ModuleType, TypeAlias

#: The columns that are taken, with their types, and the size of an item.
_COLUMNS = {"op": ("u1", 1), "width": ("i2", 2), "region": ("i4", 4), "offset": ("u8", 8), "value": ("u8", 8)}
_MADE = {"hashes": ("u8", 8), "identity": ("i4", 4), "codes": ("i4", 4)}
#: Rows that are taken at once.
MOST = 1 << 16
#: Of the kinds that are no accesses, those that say what lies where.
_MAPPING = frozenset({Kind.MAP, Kind.UNMAP, Kind.DEVICE})
#: put(segments, their table, hashes of regions, columns, base, codes) puts accesses into columns, the last of which is
#: for their hashes: one row for each or, where `codes` is not None, for all that are alike, and then that becomes the
#: number of the row of each, the first new one being `base`. It returns how many accesses and how many rows there were.
Put: TypeAlias = Callable[..., tuple[int, int]]


class Various(Exception):
    """Too few accesses are alike for a table of them."""


class Taker:
    """Takes accesses, in order, and the events between them that say what lies where.

    coded  those that are alike are a row of a table
    """

    def __init__(self, fast: ModuleType, columns: int, room: int, *, coded: bool) -> None:
        self._fast = fast
        self._room = room
        self._coded = coded
        self._count = self._rows = 0
        self._space = AddressSpace()
        self._segments: Segments | None = None
        self._table: tuple[Any, Any, Any] = (b"", b"", b"")
        self._hashes = array("Q", [0])
        self._columns = {
            name: _Column(fast, columns, at * APART, dtype, size)
            for at, (name, (dtype, size)) in enumerate((_COLUMNS | _MADE).items())
        }

    def follow(self, event: Event) -> None:
        """A MAP, UNMAP or DEVICE event. Raises Unfit for damage and for an access."""
        if event.kind <= Kind.UNKNOWN or is_damage(event.kind, event.extra):
            raise Unfit
        if event.kind in _MAPPING:
            self._space.take_in(event)
            # Regions get their numbers in this order.
            self._space.segments("mem")

    def take(self, most: int, put: Put) -> None:
        """Take at most so many accesses. Raises Various where too few are alike."""
        if not most:
            return
        if self._count + most > self._room:
            raise Unfit
        segments = self._space.segments("mem")
        if segments is not self._segments:
            self._segments = segments
            starts, codes, bases = segments
            self._table = array("Q", starts), array("i", codes), array("Q", bases)
            self._hashes = array("Q", [*(stable_hash(region.identity) for region in self._space.regions), 0])
        out = tuple(self._columns[name].room for name in (*_COLUMNS, "hashes"))
        places = self._columns["codes"].room if self._coded else None
        taken, rows = put(len(segments.starts), self._table, self._hashes, out, self._rows, places)
        if taken < 0:
            raise Unfit
        if not taken:
            return
        for name in (*_COLUMNS, "hashes") if rows else ():
            self._columns[name].took(self._rows, rows)
        if self._coded:
            self._columns["codes"].took(self._count, taken)
        self._rows += rows
        self._count += taken
        if self._coded and self._rows > self._count // 4 + MOST:
            raise Various

    def finish(self) -> Description:
        """Where all of it is."""
        if not self._count:
            raise Unfit
        regions = self._space.regions
        identities: dict[tuple[Any, ...], int] = {}
        codes = [identities.setdefault(region.identity, len(identities)) for region in regions]
        found: dict[str, Any] = {name: column.place(self._rows) for name, column in self._columns.items()}
        # Mostly each region has an identity of its own, and one column does for both.
        found["identity"] = found["region"]
        if codes != list(range(len(codes))):
            found["identity"] = self._columns["region"].coded(self._rows, codes, self._columns["identity"])
        del found["codes"]
        found |= {"identities": list(identities), "regions": regions, "wide": {}, "number": None}
        found |= {"has_value": Same("?", True), "time": Same("i8", 0), "has_time": Same("?", False)}
        found |= {"address": None, "has_address": None}
        return Description(self._rows, found, self._columns["codes"].written(self._count) if self._coded else None)


class _Column:
    """A column of the file. Of one that has the same in every row nothing is written."""

    def __init__(self, fast: ModuleType, file: int, at: int, dtype: str, size: int) -> None:
        self._alike = fast.alike
        self._file, self._at, self._dtype, self._size = file, at, dtype, size
        self._room: memoryview | None = None
        #: What all rows are so far; None where they are not the same.
        self._same: bytes | None = b""

    @property
    def room(self) -> memoryview:
        """Where rows are put first: memory that is at hand, and takes none where no row is put. Each page of the file
        is a new one, and takes twice as long to get when it is mapped as when it is written.
        """
        if self._room is None:
            self._room = memoryview(mmap.mmap(-1, MOST * self._size))
        return self._room

    def took(self, row: int, count: int) -> None:
        """So many rows from `row` on are there."""
        part = self.room[: count * self._size]
        if self._same is not None:
            item = bytes(part[: self._size])
            if self._same in (b"", item) and self._alike(part, self._size):
                self._same = item
                return
            self._write_same(row)
        self._write(row, part)

    def written(self, count: int) -> Place:
        """Where its rows are, written even if they are the same."""
        if self._same is not None:
            self._write_same(count)
        return Place(self._dtype, self._at, count)

    def place(self, count: int) -> Place | Same:
        """Where its rows are."""
        if self._same is not None:
            return Same(self._dtype, int.from_bytes(self._same, sys.byteorder, signed=self._dtype[0] == "i"))
        return Place(self._dtype, self._at, count)

    def coded(self, count: int, codes: list[int], to: _Column) -> Place | Same:
        """The column in which each of its numbers is another one. The first number stays: so do bytes that are 0."""
        if self._same is not None:
            return Same(self._dtype, codes[int.from_bytes(self._same, sys.byteorder)])
        if len(codes) > 256:
            raise Unfit
        table = bytes(codes).ljust(256, b"\0")
        for low in range(0, count, MOST):
            size = min(MOST, count - low) * self._size
            part = os.pread(self._file, size, self._at + low * self._size)
            if len(part) != size:
                raise Unfit
            to._write(low, part.translate(table))
        return Place(self._dtype, to._at, count)

    def _write_same(self, count: int) -> None:
        """Write the rows so far, as one is not like the others."""
        for low in range(0, count, MOST):
            self._write(low, (self._same or b"") * min(MOST, count - low))
        self._same = None

    def _write(self, row: int, part: bytes | memoryview) -> None:
        left, at = memoryview(part), self._at + row * self._size
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written
