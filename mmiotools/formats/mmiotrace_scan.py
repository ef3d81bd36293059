"""The bulk of mmiotrace text on columns: blocks of whole lines → batches, without Python per line.

A line is taken here only if it is spelled exactly as the kernel spells an R, W or UNKNOWN record; every other line
goes to `mmiotrace_lines`, and keeps its place. Lines are read from the right: only their ends are searched for, and
each field says where the one before it ends. Numbers are decoded eight characters at a time, as 64-bit words whose
lowest byte is the last character.
"""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.line_columns import Lines, Place, Store
from mmiotools.formats.mmiotrace_lines import parse_alone
from mmiotools.formats.text_numbers import (
    BLANKS,
    LAST,
    LEAST_DECIMAL,
    LOW_BYTE,
    U7,
    U8,
    U16,
    U32,
    U64_BITS,
    Index,
    Mask,
    Words,
    characters,
    count_digits,
    decimal_before,
    decimal_words,
    hex_before,
    hex_words,
    last_place,
    u64,
)
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import EOL_CRLF, EOL_LF, MAX_EVENTS, Batch, Column, Regions, columnise, pack_opcode
from mmiotools.typed import Any, Iterator, NamedTuple, NDArray

#: Fewer lines of a kind than this are read one by one.
_WORTHWHILE = 16


class _Stamp(NamedTuple):
    """Time and map id of each line, and which are canonically spelled."""

    time: NDArray[np.int64]
    map: NDArray[np.int64]
    good: Mask


def _time_and_map(words: Words, start: Index, end: Index) -> _Stamp:
    """`seconds.microseconds id` in [start, end): nanoseconds and id."""
    early, late = words.wide_before(end)
    if (late & u64(0xFF00) == 0x2000).all():
        number = (late & LOW_BYTE) ^ u64(0x30)
        good = number <= 9
        digits: Any = 1
        back: Any = U16
    else:
        place = last_place(late, BLANKS)
        digits = count_digits(place)
        number, bad = decimal_words(late, (place >> U7) - u64(1))
        good = ~bad & (digits > 0) & (digits < 6) & (number >= LEAST_DECIMAL[digits])
        digits = np.where(good, digits, 1)
        back = (digits.view(np.uint64) + u64(1)) * U8
    late >>= back
    late |= early << (U64_BITS - back)
    micro, bad = decimal_words(late, LAST[6])
    np.logical_not(bad, out=bad)
    good &= bad
    good &= late & u64(0xFF << 48) == 0x2E << 48
    early >>= back - U8
    # Seconds change seldom from line to line: one decoding for each run of equal ones.
    figures = end - start
    figures -= digits + 8
    usable = (figures >= 1) & (figures <= 8 - digits)
    if not usable.all():
        good &= usable
        figures = np.where(usable, figures, 1)
    early &= LAST[figures]
    early |= figures.view(np.uint64) << u64(56)  # at most 7: a NUL before the same seconds is no equal text
    changes = flatnonzero(early[1:] != early[:-1])
    changes += 1
    firsts = np.concatenate([_FIRST, changes])
    runs = np.diff(firsts, append=len(early))
    few = figures[firsts]
    seconds, bad = decimal_words(early[firsts], LAST[few])
    fine = ~bad & (seconds >= LEAST_DECIMAL[few])
    seconds *= u64(1_000_000)
    micro += np.repeat(seconds, runs)
    micro *= u64(1000)
    if not fine.all():
        good &= np.repeat(fine, runs)
    return _Stamp(micro.view(np.int64), number.view(np.int64), good)


_FIRST = np.zeros(1, np.int64)


class _Fields(NamedTuple):
    """Columns of the lines taken, and which of them are good."""

    good: Mask
    kind: NDArray[np.uint8]
    columns: dict[str, Any]

    def only_good(self) -> _Fields:
        """The same without the lines that are not."""
        good = self.good
        columns = {name: values[good] for name, values in self.columns.items()}
        return _Fields(good[good], self.kind[good], columns)


def _accesses(words: Words, start: Index, end: Index) -> _Fields:
    """R and W lines in [start, end)."""
    first = words.after(start)
    first >>= U32
    good = first & u64(0xFFFF00FF) == 0x52200020
    writes = first & u64(0xFFFF00FF) == 0x57200020
    good |= writes
    width = ((first >> U8 & LOW_BYTE) ^ u64(0x30)).astype(np.uint8)
    good &= width <= 9
    pc, pid, at = _tail(words, end, good)
    value = hex_before(words, at)
    good &= value.good
    addr = hex_before(words, value.blank)
    good &= addr.good
    stamp = _time_and_map(words, start + 4, addr.blank)
    good &= stamp.good
    columns = {
        "width": width,
        "time": stamp.time,
        "map": stamp.map,
        "addr": addr.value,
        "value": value.value,
        "pc": pc,
        "pid": pid,
    }
    return _Fields(good, writes.astype(np.uint8), columns)


def _unknowns(words: Words, start: Index, end: Index) -> _Fields:
    """UNKNOWN lines with three opcode bytes in [start, end)."""
    good = words.after(start) == characters(b"UNKNOWN ")
    pc, pid, at = _tail(words, end, good)
    text = words.before(at)  # "b0,b1,b2"
    good &= text & u64(0x0000FF0000FF0000) == 0x00002C00002C0000
    opcode = np.full(len(start), pack_opcode(bytes(3)), np.uint64)
    for place, shift in ((0, 0), (24, 8), (48, 16)):
        byte, wrong = hex_words(text >> u64(place), LAST[2])
        good &= ~wrong
        opcode |= byte << u64(shift)
    at = at - 9
    good &= words.bytes[at] == 0x20
    addr = hex_before(words, at)
    good &= addr.good
    stamp = _time_and_map(words, start + 8, addr.blank)
    good &= stamp.good
    kind = np.full(len(start), Kind.UNKNOWN, np.uint8)
    columns = {"time": stamp.time, "map": stamp.map, "addr": addr.value, "opcode": opcode, "pc": pc, "pid": pid}
    return _Fields(good, kind, columns)


#: What every R, W and UNKNOWN line of a kernel without trace_pc ends with.
_USUAL_TAIL = characters(b" 0x0 0")


def _tail(words: Words, end: Index, good: Mask) -> tuple[Any, Any, Index]:
    """The last two fields, pc and pid, nearly always `0x0 0`; and where the blank before them is.

    Clears `good` where they are not canonically spelled.
    """
    usual = words.before(end) & LAST[6] == _USUAL_TAIL
    if usual.all():
        return np.zeros(len(end), np.uint64), np.zeros(len(end), np.int64), end - 6
    pid = decimal_before(words, end)
    pc = hex_before(words, pid.blank)
    good &= pid.good
    good &= pc.good
    return pc.value, pid.value.view(np.int64), pc.blank


def scan(block: bytes, first_line: int, regions: Regions) -> Iterator[Batch]:
    """The events of a block of whole lines, each with its line end; one event a line, in batches of at most
    MAX_EVENTS. `first_line` counts from 1.
    """
    ends = flatnonzero(np.frombuffer(block, np.uint8) == 10)
    start = 0
    while len(ends) > MAX_EVENTS:
        stop = int(ends[MAX_EVENTS - 1]) + 1
        yield _scan(Lines(block[start:stop], ends[:MAX_EVENTS] - start), first_line, regions)
        ends = ends[MAX_EVENTS:]
        first_line += MAX_EVENTS
        start = stop
    if start:
        block, ends = block[start:], ends - start
    yield _scan(Lines(block, ends), first_line, regions)


def _scan(lines: Lines, first_line: int, regions: Regions) -> Batch:
    kind = np.full(lines.n, Kind.NOTE, np.uint8)
    store = Store(lines.n)
    done = np.zeros(lines.n, np.bool_)
    for letters, take in ((b"RW", _accesses), (b"U", _unknowns)):
        rows = lines.beginning_with(letters)
        if len(rows) < _WORTHWHILE:
            continue
        fields = take(lines.words, lines.starts[rows], lines.text_ends[rows])
        if not fields.good.all():
            rows = rows[fields.good]
            fields = fields.only_good()
        place = Place(rows)
        place.into(done, np.True_)
        place.into(kind, fields.kind)
        for name, values in fields.columns.items():
            store.put(name, place, values)
    extras: dict[int, dict[str, Any]] = {}
    others = flatnonzero(~done)
    if len(others):
        extras = complete(lines.block, others, lines.starts, lines.text_ends, first_line, regions, kind, store)
    columns = store.columns()
    if lines.crlf is not None:
        columns["eol"] = Column(np.where(lines.crlf, np.uint8(EOL_CRLF), np.uint8(EOL_LF)))
    return Batch(kind, columns, extras, regions)


def complete(
    block: bytes,
    others: Index,
    starts: Index,
    ends: Index,
    first_line: int,
    regions: Regions,
    kind: NDArray[np.uint8],
    store: Store,
) -> dict[int, dict[str, Any]]:
    """Read the lines that no scanner took one by one; their kinds and columns go to their rows, their extras are
    returned by row.
    """
    spans = zip(others.tolist(), starts[others].tolist(), ends[others].tolist(), strict=True)
    events = parse_alone(block, list(spans), first_line)
    slow = columnise(events, regions)
    kind[others] = slow.kind
    for name, column in slow.columns.items():
        present = slice(None) if column.present is None else column.present
        store.put(name, Place(others[present]), column.data[present])
    return {int(others[row]): extra for row, extra in slow.extras.items()}
