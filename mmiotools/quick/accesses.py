"""All accesses of a file as columns that another process can map, each with its hash: what `trace.collect` gathers."""

from __future__ import annotations

import mmap
import os
import sys

from mmiotools.events import NOTHING, Event, Kind, is_damage
from mmiotools.formats import FORMATS, detect
from mmiotools.formats.lines import blocks
from mmiotools.formats.native_counting import read_blocks
from mmiotools.formats.native_layout import UNKNOWN_COUNT
from mmiotools.formats.native_stored import WRONG, Unfit, countable, extras_of, rare_rows
from mmiotools.formats.native_table import Table, read_table, sound_header
from mmiotools.formats.source import ByteSource, open_source
from mmiotools.small import array
from mmiotools.speed import compiled
from mmiotools.trace.address_space import AddressSpace, Segments
from mmiotools.trace.memory import keep_freed_memory
from mmiotools.trace.shared import APART, Description, Place, Same
from mmiotools.trace.stable import stable_hash
from mmiotools.typed import Any, Callable, Iterator, ModuleType, TypeAlias

#: The columns that are taken, with their types, and the size of an item.
_COLUMNS = {"op": ("u1", 1), "width": ("i2", 2), "region": ("i4", 4), "offset": ("u8", 8), "value": ("u8", 8)}
_MADE = {"hashes": ("u8", 8), "identity": ("i4", 4), "codes": ("i4", 4)}
#: Rows that are taken at once.
_MOST = 1 << 16
#: No line of an access is shorter.
_SHORTEST = len(b"R 1 0.000000 0 0x0 0x0 0x0 0\n")
#: Bytes an item of the columns of `scan_lines`, in its order.
_SCANNED = (1, 1, 1, 8, 8, 8, 8, 8, 8, 8, 8, 8)
_KIND, _WIDTH, _START, _END, _ADDR, _VALUE = 0, 1, 6, 7, 8, 9
_OTHER = 255
#: A block is looked at once more for each device in it, so more of them would take long.
_DEVICES = 256
_LAST = max(Kind)
#: Of the kinds that are no accesses, those that say what lies where.
_MAPPING = frozenset({Kind.MAP, Kind.UNMAP, Kind.DEVICE})
#: put(segments, their table, hashes of regions, columns, base, codes) puts accesses into columns, the last of which is
#: for their hashes: one row for each or, where `codes` is no None, for all that are alike; then that becomes the number
#: of the row of each, the first new one being `base`. It returns how many accesses there were, and how many rows.
_Put: TypeAlias = Callable[..., tuple[int, int]]
#: Stand for a presence of all, and for a value of which every bit counts.
_ALL, _EVERY = b"\1", array("Q", [(1 << 64) - 1])


def share_accesses(
    path: str, format_name: str | None, columns: int, told: Callable[[int], object]
) -> Description:
    """Put the accesses of a native file or of mmiotrace text into the file `columns`, an empty one without a name, and
    say now and then how many bytes were read.

    Raises Unfit, or an error of reading, where there is anything that needs more than this: another format, damage,
    an access outside the BARs of the devices, one without a value.
    """
    fast = compiled()
    if fast is None:
        raise Unfit
    keep_freed_memory()
    source = open_source(path)
    found = detect(source) if format_name is None else FORMATS.get(format_name)
    file = source.whole_file()
    if file is None or found.name not in ("native", "mmiotrace"):
        raise Unfit
    try:
        if found.name == "native":
            return _native(fast, *file, columns, told)
        return _text(fast, source, file[1], columns, told)
    except (OSError, *WRONG) as error:
        raise Unfit from error


class _Various(Exception):
    """Too few accesses are alike for a table of them."""


class _Taker:
    """Takes accesses, in order, and the events between them that say what lies where.

    coded  those that are alike are a row of a table
    """

    def __init__(self, fast: ModuleType, columns: int, room: int, *, coded: bool = False) -> None:
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

    def take(self, most: int, put: _Put) -> None:
        """Take at most so many accesses. Raises _Various where too few are alike."""
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
        if self._coded and self._rows > self._count // 2 + _MOST:
            raise _Various

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
            self._room = memoryview(mmap.mmap(-1, _MOST * self._size))
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
        for low in range(0, count, _MOST):
            size = min(_MOST, count - low) * self._size
            part = os.pread(self._file, size, self._at + low * self._size)
            if len(part) != size:
                raise Unfit
            to._write(low, part.translate(table))
        return Place(self._dtype, to._at, count)

    def _write_same(self, count: int) -> None:
        """Write the rows so far, as one is not like the others."""
        for low in range(0, count, _MOST):
            self._write(low, (self._same or b"") * min(_MOST, count - low))
        self._same = None

    def _write(self, row: int, part: bytes | memoryview) -> None:
        left, at = memoryview(part), self._at + row * self._size
        while left:
            written = os.pwrite(self._file, left, at)
            left, at = left[written:], at + written


# -- native files ----------------------------------------------------------------------------------------------


def _native(
    fast: ModuleType, descriptor: int, size: int, columns: int, told: Callable[[int], object]
) -> Description:
    header = sound_header(descriptor)
    if header is None:
        raise Unfit
    table = read_table(descriptor, size)
    if header.events not in (UNKNOWN_COUNT, table.events):
        raise Unfit
    try:
        return _blocks(fast, descriptor, table, _Taker(fast, columns, table.events, coded=True), told)
    except _Various:
        os.ftruncate(columns, 0)
        return _blocks(fast, descriptor, table, _Taker(fast, columns, table.events), told)


def _blocks(
    fast: ModuleType, descriptor: int, table: Table, taker: _Taker, told: Callable[[int], object]
) -> Description:
    offsets, firsts = [*table.columns["offset"], table.end], [*table.columns["first"], table.events]
    for at, data in read_blocks(descriptor, offsets):
        if len(data) != offsets[at + 1] - offsets[at]:
            raise Unfit
        _take_block(fast, taker, data, firsts[at], firsts[at + 1] - firsts[at])
        told(offsets[at + 1])
    return taker.finish()


def _take_block(fast: ModuleType, taker: _Taker, data: Any, first: int, n: int) -> None:
    block = countable(fast, data, first, n)
    start = devices = 0

    def take(stop: int) -> None:
        def put(*to: Any) -> tuple[int, int]:
            taken: tuple[int, int] = fast.take_stored(block, start, stop, *to)
            return taken

        taker.take(stop - start, put)

    for row, event in _rare(fast, block, n):
        if event.kind == Kind.DEVICE:
            devices += 1
            if devices > _DEVICES:
                raise Unfit
            take(row)
            start = row + 1
        taker.follow(event)
    take(n)


def _rare(fast: ModuleType, block: object, n: int) -> Iterator[tuple[int, Event]]:
    """The events of a block that are no accesses, with their rows; of maps and notes what is needed."""
    extras = extras_of(fast, block, n)
    rows = rare_rows(fast, block)
    if not rows:
        return
    for row, (kind, map_id, addr) in zip(rows, fast.take_rows(block, ("kind", "map", "addr"), rows), strict=True):
        if kind > _LAST:
            raise Unfit
        yield row, Event(Kind(kind), map=map_id, addr=addr, extra=extras.get(row, NOTHING))


# -- text ------------------------------------------------------------------------------------------------------


def _text(
    fast: ModuleType, source: ByteSource, size: int, columns: int, told: Callable[[int], object]
) -> Description:
    taker = _Taker(fast, columns, size // _SHORTEST + 1)
    room = [bytearray(_MOST * size) for size in _SCANNED]
    line, done = 1, 0
    for block in blocks(source.chunks()):
        if not block.endswith(b"\n"):
            raise Unfit
        at = 0
        while at < len(block):
            rows, at = fast.scan_lines(block, at, _MOST, *room)
            _take_lines(fast, taker, block, room, rows, line)
            line += rows
        done += len(block)
        told(done)
    return taker.finish()


def _take_lines(
    fast: ModuleType, taker: _Taker, block: bytes, room: list[bytearray], rows: int, line: int
) -> None:
    """The accesses among some lines, of which `scan_lines` has filled columns."""
    kind = room[_KIND]
    if kind.find(Kind.UNKNOWN, 0, rows) >= 0:
        raise Unfit
    start = 0

    def take(stop: int) -> None:
        def part(column: int) -> memoryview:
            size = _SCANNED[column]
            return memoryview(room[column])[start * size : stop * size]

        def put(
            segments: int, table: tuple[Any, ...], hashes: array[int], out: tuple[Any, ...], base: int, codes: None
        ) -> tuple[int, int]:
            columns = (part(_KIND), part(_WIDTH), _ALL, part(_ADDR), _ALL, part(_VALUE), _ALL)
            taken: int = fast.take_accesses(stop - start, segments, columns, table, 0, out[:-1])
            if taken > 0:
                fast.hash_accesses(taken, (*out[:-1], _ALL), _EVERY, hashes, out[-1])
            return taken, taken

        taker.take(stop - start, put)

    from mmiotools.formats.mmiotrace_lines import parse_alone  # takes a while

    spans = list(_others(room, rows))
    for (row, _, _), event in zip(spans, parse_alone(block, spans, line), strict=True):
        if event.kind == Kind.DEVICE:
            take(row)
            start = row
        taker.follow(event)
    take(rows)


def _others(room: list[bytearray], rows: int) -> Iterator[tuple[int, int, int]]:
    """The lines that were not read: the number of each, and where its text begins and ends."""
    starts, ends = (memoryview(room[column]).cast("q") for column in (_START, _END))
    row = room[_KIND].find(_OTHER, 0, rows)
    while row >= 0:
        yield row, starts[row], ends[row]
        row = room[_KIND].find(_OTHER, row + 1, rows)
