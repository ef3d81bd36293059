"""The index in the footer of a native file, for those who can seek: what every block holds, without reading it."""

from __future__ import annotations

import os
import zlib

import numpy as np

from mmiotools.formats.native_columns import unpack_planes
from mmiotools.formats.native_layout import (
    END,
    EVENTS,
    FOOTER,
    FRAME_SIZE,
    MAX_ROWS,
    TRAILER,
    Frame,
    unpack,
    unpack_frame,
)
from mmiotools.formats.native_stream import Stream
from mmiotools.formats.native_table import read_table
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.formats.source import Extent
from mmiotools.trace.zones import Zones
from mmiotools.typed import Any, NamedTuple, NDArray

_TYPES = {"q": np.int64, "Q": np.uint64}


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
        skipped = 1
        if frame is not None and frame.type != EVENTS:
            whole = FRAME_SIZE + frame.head_length + frame.body_length
            data = stream.peek(whole)
            head = _head(data, frame) if len(data) == whole else None
            if head is not None and frame.type == FOOTER:
                return Footer(frame, head, stream.offset - start)
            # What lies in a block that is passed over is none of the file's.
            skipped = 1 if head is None else whole
        stream.skip(skipped)
    return None


def _head(block: bytes, frame: Frame) -> dict[str, Any] | None:
    packed = block[FRAME_SIZE : FRAME_SIZE + frame.head_length]
    if zlib.crc32(packed) != frame.head_crc:
        return None
    try:
        head = unpack(packed)
    except ValueError:
        return None
    return head if isinstance(head, dict) else None


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
    table = read_table(descriptor, size)
    columns: dict[str, Any] = {
        name: np.frombuffer(column, _TYPES[column.typecode]) for name, column in table.columns.items()
    }
    zones = Zones(**columns, pages=table.pages)
    return Index(zones, table.end, None if table.context is None else _context(table.context, table.events))


def _context(packed: Any, events: int) -> Context:
    count, planes = packed["rows"]
    if not 0 < count <= min(MAX_ROWS, events):
        raise Corrupt("an impossible number of rows")
    rows = np.cumsum(unpack_planes(planes, count), dtype=np.uint64).view(np.int64)
    if rows[0] < 0 or bool((np.diff(rows) <= 0).any()) or rows[-1] >= events:
        raise Corrupt("rows out of order")
    head = unpack(packed["head"])
    if head["n"] != count:
        raise Corrupt("another number of rows")
    return Context(rows, head, packed["body"])
