"""All accesses of a file as columns that another process can map, each with its hash: what `trace.collect` gathers."""

from __future__ import annotations

import mmap
import os

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats import FORMATS, detect
from mmiotools.formats.lines import MAX_LINE
from mmiotools.formats.native_counting import read_blocks
from mmiotools.formats.native_layout import UNKNOWN_COUNT
from mmiotools.formats.native_stored import WRONG, Unfit, countable, extras_of, rare_rows
from mmiotools.formats.native_table import read_table, sound_header
from mmiotools.formats.source import open_source
from mmiotools.quick.taking import MOST, Taker, Various
from mmiotools.small import array
from mmiotools.speed import compiled
from mmiotools.trace.memory import keep_freed_memory
from mmiotools.trace.shared import Description
from mmiotools.typed import Any, Callable, Iterator, ModuleType

#: No line of an access is shorter.
_SHORTEST = len(b"R 1 0.000000 0 0x0 0x0 0x0 0\n")
#: Bytes an item of the columns of `scan_lines`, in its order.
_SCANNED = (1, 1, 1, 8, 8, 8, 8, 8, 8, 8, 8, 8)
_KIND, _WIDTH, _START, _END, _ADDR, _VALUE = 0, 1, 6, 7, 8, 9
_OTHER = bytes([255])
#: A block is looked at once more for each device in it, so more of them would take long.
_DEVICES = 256
_LAST = max(Kind)
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
    read = _native if found.name == "native" else _text
    try:
        try:
            return read(fast, *file, columns, told, coded=True)
        except Various:
            os.ftruncate(columns, 0)
            return read(fast, *file, columns, told, coded=False)
    except (OSError, *WRONG) as error:
        raise Unfit from error


# -- native files ----------------------------------------------------------------------------------------------


def _native(
    fast: ModuleType, descriptor: int, size: int, columns: int, told: Callable[[int], object], *, coded: bool
) -> Description:
    header = sound_header(descriptor)
    if header is None:
        raise Unfit
    table = read_table(descriptor, size)
    if header.events not in (UNKNOWN_COUNT, table.events):
        raise Unfit
    taker = Taker(fast, columns, table.events, coded=coded)
    offsets, firsts = [*table.columns["offset"], table.end], [*table.columns["first"], table.events]
    for at, data in read_blocks(descriptor, offsets):
        if len(data) != offsets[at + 1] - offsets[at]:
            raise Unfit
        _take_block(fast, taker, data, firsts[at], firsts[at + 1] - firsts[at])
        told(offsets[at + 1])
    return taker.finish()


def _take_block(fast: ModuleType, taker: Taker, data: Any, first: int, n: int) -> None:
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
    fast: ModuleType, descriptor: int, size: int, columns: int, told: Callable[[int], object], *, coded: bool
) -> Description:
    taker = Taker(fast, columns, size // _SHORTEST + 1, coded=coded)
    room = [mmap.mmap(-1, MOST * size) for size in _SCANNED]
    # A line that it has no room for is too long for others, too.
    text = mmap.mmap(-1, MAX_LINE)
    view = memoryview(text)
    line, done, left = 1, 0, 0
    while done < size:
        count = os.preadv(descriptor, [view[left : left + size - done]], done)
        done, left = done + count, left + count
        end = text.rfind(b"\n", 0, left) + 1
        if not count or not end:
            raise Unfit
        at = 0
        while at < end:
            rows, at = fast.scan_lines(view[:end], at, MOST, *room)
            _take_lines(fast, taker, text, room, rows, line)
            line += rows
        left -= end
        text.move(0, end, left)
        told(done - left)
    if left:
        raise Unfit
    return taker.finish()


def _take_lines(
    fast: ModuleType, taker: Taker, text: mmap.mmap, room: list[mmap.mmap], rows: int, line: int
) -> None:
    """The accesses among some lines, of which `scan_lines` has filled columns."""
    kind = room[_KIND]
    if kind.find(bytes([Kind.UNKNOWN]), 0, rows) >= 0:
        raise Unfit
    start = 0

    def take(stop: int) -> None:
        def part(column: int) -> memoryview:
            size = _SCANNED[column]
            return memoryview(room[column])[start * size : stop * size]

        def put(
            segments: int, table: tuple[Any, ...], hashes: array[int], out: tuple[Any, ...], base: int, codes: Any
        ) -> tuple[int, int]:
            columns = (part(_KIND), part(_WIDTH), _ALL, part(_ADDR), _ALL, part(_VALUE), _ALL)
            taken: int = fast.take_accesses(stop - start, segments, columns, table, 0, out[:-1])
            made = taken if codes is None or taken < 0 else fast.number_alike(taken, out[:-1], base, codes)
            if made > 0:
                fast.hash_accesses(made, (*out[:-1], _ALL), _EVERY, hashes, out[-1])
            return taken, made

        taker.take(stop - start, put)

    from mmiotools.formats.mmiotrace_lines import parse_alone  # takes a while

    spans = list(_others(room, rows))
    for (row, _, _), event in zip(spans, parse_alone(text, spans, line), strict=True):
        if event.kind == Kind.DEVICE:
            take(row)
            start = row
        taker.follow(event)
    take(rows)


def _others(room: list[mmap.mmap], rows: int) -> Iterator[tuple[int, int, int]]:
    """The lines that were not read: the number of each, and where its text begins and ends."""
    starts, ends = (memoryview(room[column]).cast("q") for column in (_START, _END))
    row = room[_KIND].find(_OTHER, 0, rows)
    while row >= 0:
        yield row, starts[row], ends[row]
        row = room[_KIND].find(_OTHER, row + 1, rows)
