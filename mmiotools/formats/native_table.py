"""The index in the footer of a native file as plain numbers; native_index.py has it as columns of numpy."""

from __future__ import annotations

import os
import sys
import zlib
from itertools import accumulate, repeat

from mmiotools.formats.native_layout import (
    END,
    FILE_HEADER_SIZE,
    FOOTER,
    FRAME_SIZE,
    MAJOR,
    MAX_HEAD,
    TRAILER,
    FileHeader,
    unpack,
    unpack_file_header,
    unpack_frame,
)
from mmiotools.formats.native_zstd import Corrupt, expand
from mmiotools.small import array, operator
from mmiotools.speed import compiled
from mmiotools.trace.blocks import Pages, Zone
from mmiotools.typed import Any, Iterator, NamedTuple

#: A block takes at least so many bytes: its frame, a head and a body.
_LEAST = FRAME_SIZE + 2
#: Most pages of a file, and bytes of the sets of all its blocks. The writer makes a quarter of either.
MAX_PAGES, MAX_SEEN = 1 << 14, 1 << 24
#: The fields that every index has; and those that are signed.
STORED = Zone._fields[: Zone._fields.index("pages")]
_SIGNED = frozenset({"offset", "first", "events", "time_min", "time_max", "kinds"})


class Table(NamedTuple):
    """What a footer says.

    columns  of the blocks: the fields of STORED; "q" or "Q", (blocks,) each
    pages    None where it says nothing of them
    end      where the blocks end, bytes from the file's beginning
    events   in the file
    context  its events that are no accesses, once more, still packed; None where it has none
    """

    columns: dict[str, array[int]]
    pages: Pages | None
    end: int
    events: int
    context: Any

    def zones(self) -> Iterator[Zone]:
        """Block by block."""
        columns = [self.columns[name] for name in STORED]
        pages = repeat(None, len(columns[0])) if self.pages is None else self.pages.sets()
        return map(Zone, *columns, pages)


def sound_header(descriptor: int) -> FileHeader | None:
    """The header of an open file, where it and its map are whole and of a version that is known; else None."""
    header = unpack_file_header(os.pread(descriptor, FILE_HEADER_SIZE, 0))
    if header is None or header.major > MAJOR or header.map_length > MAX_HEAD:
        return None
    packed = os.pread(descriptor, header.map_length, FILE_HEADER_SIZE)
    return header if zlib.crc32(packed) == header.map_crc else None


def read_table(descriptor: int, size: int) -> Table:
    """The index of an open file of `size` bytes.

    Raises Corrupt, or another error of unpacking, where the footer is missing or damaged, or is that of one of several
    files that were joined, so that the file has to be read from its beginning.
    """
    at, end = TRAILER.unpack(os.pread(descriptor, TRAILER.size, max(size - TRAILER.size, 0)))
    length = size - TRAILER.size - at
    if end != END or not FRAME_SIZE < length <= FRAME_SIZE + MAX_HEAD + 1:
        raise Corrupt("no trailer")
    data = os.pread(descriptor, length, at)
    frame = unpack_frame(data)
    if frame is None or frame.type != FOOTER or FRAME_SIZE + frame.head_length + frame.body_length != len(data):
        raise Corrupt("no footer")
    if frame.events:
        raise Corrupt("a footer that promises events")
    packed = data[FRAME_SIZE : FRAME_SIZE + frame.head_length]
    if zlib.crc32(packed) != frame.head_crc:
        raise Corrupt("the footer is damaged")
    head = unpack(packed)
    blocks, fields = head["blocks"], head["fields"]
    if type(blocks) is not int or not 0 <= blocks <= at // _LEAST or len(set(fields)) != len(fields):
        raise Corrupt("an impossible number of blocks")
    index = expand(head["index"], 8 * blocks * len(fields))
    columns = {}
    for name in STORED:
        place = 8 * blocks * fields.index(name)
        columns[name] = running_sums(little_endian(index[place : place + 8 * blocks]), "q" if name in _SIGNED else "Q")
    _check(columns, at, frame.first)
    header = unpack_file_header(os.pread(descriptor, FILE_HEADER_SIZE, 0))
    if header is not None and blocks and columns["offset"][0] != FILE_HEADER_SIZE + header.map_length:
        raise Corrupt("the first block is elsewhere")
    pages = _pages(head["pages"], head["seen"], blocks) if "pages" in head else None
    return Table(columns, pages, at, frame.first, head.get("context"))


def _pages(described: Any, seen: Any, blocks: int) -> Pages:
    shift, count, numbers = described
    if type(shift) is not int or not 0 <= shift < 64 or type(count) is not int or not 0 < count <= MAX_PAGES:
        raise Corrupt("impossible pages")
    size = blocks * -(-count // 8)
    if size > MAX_SEEN:
        raise Corrupt("an impossible number of pages")
    pages = running_sums(little_endian(expand(numbers, 8 * count)))
    if not all(map(operator.lt, pages, pages[1:])):
        raise Corrupt("pages out of order")
    return Pages(shift, pages, expand(seen, size))


def little_endian(data: bytes | bytearray) -> array[int]:
    """The 64-bit numbers that bytes are, "Q"."""
    found = array("Q", data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def running_sums(numbers: array[int], typecode: str = "Q") -> array[int]:
    """The sums of the numbers up to each, modulo 2⁶⁴."""
    fast = compiled()
    if fast is None:
        sums = array("Q", [number & (1 << 64) - 1 for number in accumulate(numbers)])
    else:
        sums = array("Q", numbers)
        fast.sums(sums)
    return sums if typecode == "Q" else array(typecode, sums.tobytes())


def _check(columns: dict[str, array[int]], end: int, events: int) -> None:
    """Raises Corrupt where the blocks do not follow each other from the file's beginning to its footer."""
    offsets, firsts, counts = columns["offset"], columns["first"], columns["events"]
    if offsets and offsets[0] < FILE_HEADER_SIZE:
        raise Corrupt("blocks overlap")
    if any(after - before < _LEAST for before, after in zip(offsets, [*offsets[1:], end], strict=True)):
        raise Corrupt("blocks overlap")
    if any(count < 1 for count in counts) or list(accumulate(counts, initial=0)) != [*firsts, events]:
        raise Corrupt("blocks are missing")
