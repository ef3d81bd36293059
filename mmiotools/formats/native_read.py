"""A native file, or pipe, or what is left of one → batches. Every block that checks out is used, before and after
any damage; how many events lie in a gap is known from the numbers that the blocks around it carry.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmiotools.errors import FormatError
from mmiotools.events import Kind
from mmiotools.formats import native_extras
from mmiotools.formats.base import damaged
from mmiotools.formats.native_columns import Corrupt, Presence, check, decode, unpack_planes
from mmiotools.formats.native_index import read_index
from mmiotools.formats.native_layout import (
    END,
    EVENTS,
    FILE_HEADER,
    FILE_HEADER_SIZE,
    FOOTER,
    FOOTER_FOLLOWS,
    FRAME_SIZE,
    MAGIC,
    MAJOR,
    MAX_HEAD,
    SYNC,
    TRAILER,
    UNKNOWN_COUNT,
    Frame,
    unpack,
    unpack_frame,
)
from mmiotools.formats.source import ByteSource, Extent
from mmiotools.trace.batch import DTYPES, EOL_NONE, MAX_EVENTS, Batch, Column, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.polls import stretches
from mmiotools.trace.zones import Choice, Zones

#: Most columns of a block: each may be a few bytes in the file and half a megabyte here.
MAX_COLUMNS = 256
#: Columns without which a batch is none.
_ALWAYS = ("kind", "extras")
#: What a block that checks out may still raise when it says nonsense.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
#: Where a block or a file may begin.
_MARK = re.compile(re.escape(SYNC) + b"|" + re.escape(MAGIC))
#: Bytes that are searched for marks at once.
_WINDOW = 1 << 20


class _Stream:
    """Bytes ahead of the reading position, with its offset in the (decompressed) input."""

    def __init__(self, read: Callable[[], bytes], offset: int = 0) -> None:
        self._read = read
        self._data = b""
        self._at = 0
        self.offset = offset

    def peek(self, n: int) -> bytes:
        """The next n bytes, fewer at the end of the input."""
        if len(self._data) - self._at < n:
            parts = [self._data[self._at :]]
            have = len(parts[0])
            while have < n and (more := self._read()):
                parts.append(more)
                have += len(more)
            self._data, self._at = b"".join(parts), 0
        return self._data[self._at : self._at + n]

    def skip(self, n: int) -> None:
        """Go on by n bytes that were peeked."""
        self._at += n
        self.offset += n

    def take(self, n: int) -> bytes:
        """Peek and skip."""
        data = self.peek(n)
        self.skip(len(data))
        return data

    def seek_mark(self) -> bool:
        """Go on to the next block frame or file header that checks out; False at the end of the input."""
        while True:
            window = self.peek(_WINDOW)
            last = len(window) < _WINDOW
            onward = len(window) if last else len(window) - len(SYNC) + 1
            for mark in _MARK.finditer(window):
                ahead = window[mark.start() : mark.start() + FRAME_SIZE]
                if unpack_frame(ahead) is not None or parse_file_header(ahead[:FILE_HEADER_SIZE]) is not None:
                    self.skip(mark.start())
                    return True
                if len(ahead) < FRAME_SIZE and not last:
                    onward = mark.start()
                    break
            self.skip(onward)
            if last:
                return False


def parse_file_header(data: bytes) -> Any:
    """The fixed file header, or None when it is none or its checksum is wrong."""
    if len(data) < FILE_HEADER_SIZE or not data.startswith(MAGIC):
        return None
    fixed = FILE_HEADER.parse(data)
    return fixed if fixed.crc == zlib.crc32(data[:-4]) else None


class NativeBatches:
    """The batches of a reader, as an iterator. `only` may be called before the first."""

    def __init__(self, reader: NativeReader) -> None:
        self._reader = reader
        self._batches = reader.batches()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    @property
    def told(self) -> int | None:
        """How many events the header says there are, None where it does not."""
        return self._reader.told

    def only(self, columns: frozenset[str]) -> None:
        """Leave out all other columns: their checksums are looked at, no more."""
        self._reader.wanted = columns

    def choose(self, chosen: Choice) -> None:
        """Leave out the other blocks: of a file with an index, they are not even read."""
        self._reader.chosen = chosen


class NativeReader:
    """Reads one input, which may be several files one after the other. `wanted`: the columns to read, None for all."""

    def __init__(self, source: ByteSource) -> None:
        self.header = TraceHeader()
        self.wanted: frozenset[str] | None = None
        self.chosen: Choice | None = None
        self._source = source
        self._stream = _Stream(source.read)
        self._name = source.name
        self._regions = Regions()
        self._expected = 0
        self._told = 0
        self._total: int | None = None
        self._footer_due = False
        self._gap: tuple[int, str] | None = None
        self._unknown: set[object] = set()
        self._file_header()

    @property
    def told(self) -> int | None:
        """See `NativeBatches.told`."""
        return self._total

    # -- headers ------------------------------------------------------------------------------------------

    def _file_header(self) -> None:
        """Read a file header here, or note that it is damaged. Raises FormatError for a newer major version."""
        self._start = self._stream.offset
        data = self._stream.peek(FILE_HEADER_SIZE)
        fixed = parse_file_header(data)
        self._expected = self._told = 0
        self._total = None
        self._footer_due = False
        if fixed is None:
            self._damage("the file header is damaged")
            self._stream.skip(min(len(data), 1))
            return
        if fixed.major > MAJOR:
            raise FormatError(
                f"{self._name}: is native format version {fixed.major}, this mmiotools reads up to {MAJOR}: update it"
            )
        self._stream.skip(FILE_HEADER_SIZE)
        self._total = None if fixed.events == UNKNOWN_COUNT else fixed.events
        self._footer_due = bool(fixed.flags & FOOTER_FOLLOWS)
        if fixed.map_length > MAX_HEAD:
            self._damage("the header map has an impossible length")
            return
        start = self._stream.offset
        packed = self._stream.take(fixed.map_length)
        if zlib.crc32(packed) != fixed.map_crc:
            self._damage("the header map is damaged", start)
            return
        try:
            self._take_header(unpack(packed))
        except ValueError:
            self._damage("the header map is no msgpack", start)

    def _take_header(self, content: Any) -> None:
        if not isinstance(content, dict):
            return
        header = self.header
        for name, kind in (("format", str), ("clock", str), ("time_digits", int), ("meta", dict)):
            if isinstance(content.get(name), kind):
                setattr(header, name, content[name])
        header.time_digits = min(max(header.time_digits, 0), 9)

    # -- damage -------------------------------------------------------------------------------------------

    def _damage(self, reason: str, offset: int | None = None) -> None:
        """From here on events may be missing; the first reason is the one that is told."""
        if self._gap is None:
            self._gap = (self._stream.offset if offset is None else offset, reason)

    def _close_gap(self, first: int) -> Iterator[Batch]:
        """The next event is number `first`: report what is missing before it."""
        if first > self._expected:
            self._damage("blocks are missing")
        if self._gap is not None:
            offset, reason = self._gap
            self._gap = None
            note = damaged(reason, events=max(first - self._expected, 0), offset=offset)
            yield Batch.from_events([note], self._regions)
        self._expected = max(first, self._expected)

    # -- blocks -------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """One batch a block; damage as NOTE events in its place."""
        file = self._source.whole_file()
        index = None if file is None or self.chosen is None or self._gap is not None else read_index(*file)
        if file is not None and index is not None and self.chosen is not None:
            yield from self._chosen_blocks(file[0], *index, self.chosen.blocks(index[0]))
            return
        yield from self._blocks()
        yield from self._end_of_file()

    def _chosen_blocks(self, descriptor: int, zones: Zones, end: int, chosen: NDArray[np.bool_]) -> Iterator[Batch]:
        """Only these blocks, stretch by stretch."""
        offsets = [*zones.offset.tolist(), end]
        firsts = [*zones.first.tolist(), int(zones.events.sum())]
        for start, stop in stretches(chosen).tolist():
            extent = Extent(descriptor, offsets[start], offsets[stop])
            chunks = extent.chunks()
            self._stream = _Stream(partial(next, chunks, b""), extent.start)
            self._expected = self._told = firsts[start]
            yield from self._blocks()
            yield from self._close_gap(firsts[stop])

    def _blocks(self) -> Iterator[Batch]:
        """The blocks to the end of the stream."""
        while True:
            stream = self._stream
            ahead = stream.peek(FRAME_SIZE)
            if not ahead:
                break
            if ahead.startswith(MAGIC) and parse_file_header(ahead[:FILE_HEADER_SIZE]) is not None:
                yield from self._end_of_file()
                self._file_header()
                continue
            frame = unpack_frame(ahead)
            if frame is None:
                cut = len(ahead) < FRAME_SIZE and SYNC.startswith(ahead[: len(SYNC)])
                self._damage("the file ends inside a block" if cut else "no block where one should be")
                if not stream.seek_mark():
                    break
                continue
            yield from self._block(frame)

    def _end_of_file(self) -> Iterator[Batch]:
        if self._footer_due:
            self._damage("the file was cut off: its end is missing")
        yield from self._close_gap(max(self._told, self._total or 0, self._expected))

    def _block(self, frame: Frame) -> Iterator[Batch]:
        stream = self._stream
        start = stream.offset
        size = FRAME_SIZE + frame.head_length + frame.body_length
        data = stream.peek(size)
        self._told = max(self._told, frame.first + frame.events)
        if len(data) < size:
            self._damage("the file ends inside a block")
            stream.skip(1)
            stream.seek_mark()
            return
        head_bytes = data[FRAME_SIZE : FRAME_SIZE + frame.head_length]
        if zlib.crc32(head_bytes) != frame.head_crc:
            # The lengths are good, but a block that was cut and written over would end earlier: look for it.
            self._damage("the head of a block is damaged")
            stream.skip(1)
            stream.seek_mark()
            return
        try:
            head = unpack(head_bytes)
            if not isinstance(head, dict):
                raise Corrupt("its head is no map")
            batch = None
            if frame.type == EVENTS:
                batch = self._decode(frame, head, data[FRAME_SIZE + frame.head_length :])
        except _NONSENSE as error:
            self._damage(f"a block of {frame.events} events is damaged: {error}", start)
            stream.skip(1)
            stream.seek_mark()
            return
        stream.skip(size)
        yield from self._close_gap(frame.first)
        if batch is not None:
            self._expected += len(batch)
            yield batch
        elif frame.type == EVENTS:
            self._expected += frame.events
        elif frame.type == FOOTER:
            yield from self._footer(head, start)

    def _footer(self, head: dict[str, Any], at: int) -> Iterator[Batch]:
        self._footer_due = False
        if not self.header.format:
            self._take_header(head.get("header"))
        start = self._stream.offset
        trailer = self._stream.peek(TRAILER.size)
        if trailer == TRAILER.pack(at - self._start, END):
            self._stream.skip(TRAILER.size)
        else:
            self._damage("the file's last bytes are damaged", start)
            self._stream.seek_mark()
        yield from self._close_gap(self._expected)

    def _decode(self, frame: Frame, head: dict[str, Any], body_bytes: bytes) -> Batch | None:
        """The batch; None for a block that nobody wants to see."""
        n = frame.events
        if not 1 <= n <= MAX_EVENTS or head["n"] != n:
            raise Corrupt("its number of events is impossible")
        addresses = None
        if "addresses" in head:
            size, planes = head["addresses"]
            if not 0 < size <= n:
                raise Corrupt("its address dictionary has an impossible size")
            addresses = np.cumsum(unpack_planes(planes, size), dtype=np.uint64)
        body = unpack(body_bytes)
        choice = None if self.chosen is None else self.chosen.block
        if choice is not None and not choice(_zone(head["zone"], n, addresses)):
            for name, entry in head["columns"].items():
                check(entry, body.get(name, b""))
            return None
        presence = Presence(head.get("present"))
        columns: dict[str, Column] = {}
        extras: dict[int, dict[str, Any]] = {}
        if len(head["columns"]) > MAX_COLUMNS:
            raise Corrupt("it has too many columns")
        for name, entry in head["columns"].items():
            payload = body.get(name, b"")
            try:
                if self.wanted is not None and name not in self.wanted and name not in _ALWAYS:
                    check(entry, payload)
                    continue
                if name == "extras":
                    extras = native_extras.decode(entry, payload, n)
                    continue
                column = decode(entry, payload, n, addresses, presence)
                if column is not None and name in DTYPES:
                    column = _as_expected(name, column)
            except _NONSENSE as error:
                raise Corrupt(f"column '{name}': {error}") from error
            if column is None:
                if name not in self._unknown:
                    self._damage(f"column '{name}' has an encoding that this mmiotools does not know: update it")
                self._unknown.add(name)
            else:
                columns[str(name)] = column
        kind = columns.pop("kind").data
        if kind.dtype != np.uint8 or int(kind.max()) > max(Kind):
            raise Corrupt("it holds kinds of events that this version does not know")
        if "region" in columns:
            columns["region"] = self._translate(columns["region"], head["regions"])
        return Batch(kind, columns, extras, self._regions)

    def _translate(self, column: Column, names: dict[int, list[str]]) -> Column:
        """Region codes of the file as codes of this stream."""
        data = column.data.copy()
        for code, (name, space) in names.items():
            data[column.data == code] = self._regions.code(str(name), str(space))
        known = np.isin(column.data, np.fromiter(names, np.int64, len(names)))
        if not known[column.present if column.present is not None else slice(None)].all():
            raise Corrupt("a region has no name")
        if column.present is not None:
            data[~column.present] = 0
        return Column(data, column.present)


def _zone(zone: dict[str, Any], events: int, addresses: NDArray[np.uint64] | None) -> Zones:
    """What the head of a block says about it."""
    times, places = zone.get("time", (0, -1)), zone.get("addr", (0, 0))
    offset, first, count, least, most, kinds = (
        np.array([number], np.int64) for number in (0, 0, events, *times, zone["kinds"])
    )
    low, high = (np.array([number], np.uint64) for number in places)
    return Zones(offset, first, count, least, most, low, high, kinds, addresses)


def _as_expected(name: str, column: Column) -> Column:
    """A well-known column with the type that everybody relies on. Raises Corrupt when a value does not fit."""
    data, present = column
    wanted = DTYPES[name]
    if data.dtype != wanted:
        cast = data.astype(wanted)
        if not np.array_equal(cast, data):
            raise Corrupt("a value is beyond its type")
        data = cast
    if name == "eol" and int(data.max()) > EOL_NONE:
        raise Corrupt("a line end that is none")
    if name == "opcode" and int(data.max()) >> 56 > 7:
        raise Corrupt("an opcode is too long")
    return Column(data, present)
