"""The index in the footer of a native file, for those who can seek: what every block holds, without reading it."""

from __future__ import annotations

import os
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.formats.native_columns import unpack_planes
from mmiotools.formats.native_layout import (
    END,
    FILE_HEADER_SIZE,
    FOOTER,
    FRAME_SIZE,
    MAX_HEAD,
    TRAILER,
    Frame,
    unpack,
    unpack_frame,
)
from mmiotools.formats.native_stream import Stream
from mmiotools.formats.native_zstd import Corrupt, expand
from mmiotools.formats.source import Extent
from mmiotools.trace.batch import MAX_EVENTS
from mmiotools.trace.zones import Zones

#: A block takes at least so many bytes: its frame, a head and a body.
_LEAST = FRAME_SIZE + 2
#: Fields that hold the four words of `Zones.pages`; older files lack them.
PAGES = ("pages0", "pages1", "pages2", "pages3")
#: How many fields of Zones every index has; and those that are signed.
_STORED = Zones._fields.index("pages")
_SIGNED = frozenset({"offset", "first", "events", "time_min", "time_max", "kinds"})


class Context(NamedTuple):
    """The events of a file that are no accesses, once more: a block of them alone.

    rows  the number of each in the file, ascending, (n,)
    """

    rows: NDArray[np.int64]
    head: dict[str, Any]
    body: bytes


class Index(NamedTuple):
    """What the footer says: the blocks, where they end, and the context where it has any."""

    zones: Zones
    end: int
    context: Context | None

    def borders(self) -> tuple[list[int], list[int]]:
        """Where each block begins, and where the last one ends: bytes, and numbers of events."""
        zones = self.zones
        return [*zones.offset.tolist(), self.end], [*zones.first.tolist(), int(zones.events.sum())]


def read_index(descriptor: int, size: int) -> Index | None:
    """The index of an open file of `size` bytes.

    None where the footer is missing or damaged, or is that of one of several files that were joined, so that the file
    has to be read from its beginning.
    """
    try:
        return _read(descriptor, size)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return None


class Footer(NamedTuple):
    """The footer of a file that may be damaged: its frame, its head, and how far from the file's first byte it is."""

    frame: Frame
    head: dict[str, Any]
    at: int


def find_footer(descriptor: int, size: int, start: int = 0) -> Footer | None:
    """The footer of the file that begins at byte `start` of an open file of `size` bytes, wherever it lies now.

    None where there is none that checks out before another file begins.
    """
    stream = Stream.of_extent(Extent(descriptor, start, size))
    while stream.seek_mark():
        frame = unpack_frame(stream.peek(FRAME_SIZE))
        if frame is None and stream.offset > start:
            return None
        if frame is not None and frame.type == FOOTER:
            whole = FRAME_SIZE + frame.head_length + frame.body_length
            data = stream.peek(whole)
            packed = data[FRAME_SIZE : FRAME_SIZE + frame.head_length]
            if len(data) == whole and zlib.crc32(packed) == frame.head_crc:
                try:
                    head = unpack(packed)
                except ValueError:
                    return None
                return Footer(frame, head, stream.offset - start) if isinstance(head, dict) else None
        stream.skip(1)
    return None


def find_context(descriptor: int, size: int, start: int, events: int | None) -> Context | None:
    """What the footer has of the events that are no accesses, for when blocks are damaged; `events` is how many the
    header says there are. None where it is not sure that the footer belongs to the file that begins at `start`.
    """
    try:
        footer = find_footer(descriptor, size, start)
        if footer is None or "context" not in footer.head:
            return None
        frame = footer.frame
        end = start + footer.at + FRAME_SIZE + frame.head_length + frame.body_length
        trailer = os.pread(descriptor, TRAILER.size, end)
        if frame.first != events and trailer != TRAILER.pack(footer.at, END):
            return None
        return _context(footer.head["context"], frame.first)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        return None


def _read(descriptor: int, size: int) -> Index:
    at, end = TRAILER.unpack(os.pread(descriptor, TRAILER.size, max(size - TRAILER.size, 0)))
    length = size - TRAILER.size - at
    if end != END or not FRAME_SIZE < length <= FRAME_SIZE + MAX_HEAD + 1:
        raise Corrupt("no trailer")
    data = os.pread(descriptor, length, at)
    frame = unpack_frame(data)
    if frame is None or frame.type != FOOTER or FRAME_SIZE + frame.head_length + frame.body_length != len(data):
        raise Corrupt("no footer")
    packed = data[FRAME_SIZE : FRAME_SIZE + frame.head_length]
    if zlib.crc32(packed) != frame.head_crc:
        raise Corrupt("the footer is damaged")
    head = unpack(packed)
    blocks, fields = head["blocks"], head["fields"]
    if type(blocks) is not int or not 0 <= blocks <= at // _LEAST or len(set(fields)) != len(fields):
        raise Corrupt("an impossible number of blocks")
    table = np.frombuffer(expand(head["index"], 8 * blocks * len(fields)), "<u8").reshape(len(fields), blocks)
    columns: dict[str, Any] = {}
    for name in Zones._fields[:_STORED]:
        column = np.cumsum(table[fields.index(name)], dtype=np.uint64)
        columns[name] = column.view(np.int64) if name in _SIGNED else column
    if set(PAGES) <= set(fields):
        columns["pages"] = np.stack([np.cumsum(table[fields.index(name)], dtype=np.uint64) for name in PAGES], axis=1)
    zones = Zones(**columns)
    _check(zones, at, frame.first)
    return Index(zones, at, _context(head["context"], frame.first) if "context" in head else None)


def _context(packed: Any, events: int) -> Context:
    count, planes = packed["rows"]
    if not 0 < count <= min(MAX_EVENTS, events):
        raise Corrupt("an impossible number of rows")
    rows = np.cumsum(unpack_planes(planes, count), dtype=np.uint64).view(np.int64)
    if rows[0] < 0 or bool((np.diff(rows) <= 0).any()) or rows[-1] >= events:
        raise Corrupt("rows out of order")
    head = unpack(packed["head"])
    if head["n"] != count:
        raise Corrupt("another number of rows")
    return Context(rows, head, packed["body"])


def _check(zones: Zones, end: int, events: int) -> None:
    """Raises Corrupt where the blocks do not follow each other from the file's beginning to its footer."""
    ends = np.append(zones.offset[1:], end)
    if len(zones.offset) and (zones.offset[0] < FILE_HEADER_SIZE or bool((ends - zones.offset < _LEAST).any())):
        raise Corrupt("blocks overlap")
    if bool((zones.events < 1).any()) or not np.array_equal(zones.first, np.cumsum(zones.events) - zones.events):
        raise Corrupt("blocks are missing")
    if int(zones.events.sum()) != events:
        raise Corrupt("blocks are missing")
