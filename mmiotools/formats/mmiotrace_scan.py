"""The bulk of mmiotrace text on columns: blocks of whole lines → batches, without Python per line.

A line is taken here only if it is spelled exactly as the kernel spells an R, W or UNKNOWN record; every other line
goes to `mmiotrace_lines`, and keeps its place. Lines are read from the right: only their ends are searched for, and
each field says where the one before it ends. Numbers are decoded eight characters at a time, as 64-bit words whose
lowest byte is the last character.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.formats.mmiotrace_lines import is_second_half, parse_line
from mmiotools.trace.batch import EOL_CRLF, EOL_LF, MAX_EVENTS, Batch, Column, Regions, columnise, pack_opcode

U64 = NDArray[np.uint64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


def _u(number: int) -> np.uint64:
    return np.uint64(number)


def _every(byte: int) -> np.uint64:
    return np.uint64(0x0101010101010101 * byte)


#: Masks of the last n characters, n = 0..8.
_LAST = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
#: The least number whose hexadecimal or decimal spelling has n digits; a smaller one was spelled with leading zeros.
_LEAST_HEX = np.array([0, 0] + [16 ** (n - 1) for n in range(2, 17)], np.uint64)
_LEAST_DECIMAL = np.array([0, 0] + [10 ** (n - 1) for n in range(2, 9)], np.uint64)

_B01, _B06, _B0F, _B20, _B30, _B70, _B76, _B78, _B7F, _B80 = map(
    _every, (0x01, 0x06, 0x0F, 0x20, 0x30, 0x70, 0x76, 0x78, 0x7F, 0x80)
)
_u4, _u6, _u7, _u8, _u9, _u16, _u32, _u39, _u48, _u64 = map(_u, (4, 6, 7, 8, 9, 16, 32, 39, 48, 64))
_EVEN_BYTES, _EVEN_PAIRS = _u(0x00FF00FF00FF00FF), _u(0x0000FFFF0000FFFF)
_LOW_HALF, _LOW_BYTE = _u(0xFFFFFFFF), _u(0xFF)

#: Fewer lines of a kind than this are read one by one.
_WORTHWHILE = 16
#: A line this far into a block may be looked at from the right without looking before the block.
_MARGIN = 96


def _characters(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "big"))


class Words:
    """A block's bytes, and the 8 or 16 before any position as words. A gather costs the same for either."""

    def __init__(self, block: bytes) -> None:
        self.bytes = np.frombuffer(block, np.uint8)
        self._eight: NDArray[Any] = np.ndarray((max(len(block) - 7, 0),), "V8", block, 0, (1,))
        self._sixteen: NDArray[Any] = np.ndarray((max(len(block) - 15, 0),), "V16", block, 0, (1,))

    def after(self, start: Index) -> U64:
        """The 8 bytes from each position on."""
        return self._eight[start].view(">u8").astype(np.uint64)

    def before(self, end: Index) -> U64:
        """The 8 bytes before each position."""
        return self._eight[end - 8].view(">u8").astype(np.uint64)

    def wide_before(self, end: Index) -> tuple[U64, U64]:
        """The 16 bytes before each position: the earlier 8, the later 8."""
        pairs = self._sixteen[end - 16].view(">u8").reshape(-1, 2)
        return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def _last_place(words: U64, character: np.uint64) -> U64:
    """The bit 0x80 of the last byte that is `character` (given in every byte), or 0 where none is."""
    x = words ^ character
    found = x - _B01
    np.invert(x, out=x)
    found &= x
    found &= _B80
    np.negative(found, out=x)
    found &= x
    return found


def _digits(place: U64) -> Index:
    """How many characters stand behind a place; 8 where it is 0."""
    count: Index = (np.bitwise_count(place - _u(1)) >> np.uint8(3)).astype(np.int64)
    return count


def _hex_words(words: U64, keep: Any) -> tuple[U64, Mask]:
    """The kept characters of each word as hexadecimal numbers; and which words hold other than 0-9a-f there.

    In place where it can be: what counts here is how much memory is touched.
    """
    x = words ^ _B30
    x &= keep
    x ^= _B30  # the characters, "0" where none is kept
    letter = x >> _u6
    letter &= _B01
    nibbles = x & _B0F
    letter *= _u9
    nibbles += letter
    np.add(nibbles, _B06, out=letter)
    letter >>= _u4
    letter &= _B01
    letter *= _u39
    letter += nibbles
    letter += _B30
    letter ^= x
    np.add(nibbles, _B70, out=x)
    x &= _B80
    letter |= x
    wrong = letter != 0
    for shift, mask in ((_u4, _EVEN_BYTES), (_u8, _EVEN_PAIRS), (_u16, _LOW_HALF)):
        np.right_shift(nibbles, shift, out=x)
        nibbles |= x
        nibbles &= mask
    return nibbles, wrong


def _decimal_words(words: U64, keep: Any) -> tuple[U64, Mask]:
    """The kept characters of each word as decimal numbers, and which words hold anything but digits there."""
    x = words ^ _B30
    x &= keep
    beyond = x + _B76
    beyond |= x
    beyond &= _B80
    wrong = beyond != 0
    for shift, factor, mask in ((_u8, _u(10), _EVEN_BYTES), (_u16, _u(100), _EVEN_PAIRS), (_u32, _u(10000), _LOW_HALF)):
        np.right_shift(x, shift, out=beyond)
        beyond *= factor
        x += beyond
        x &= mask
    return x, wrong


class _Field(NamedTuple):
    """A field read from its end: the numbers, where the blank before it is, and which are canonically spelled."""

    value: U64
    blank: Index
    good: Mask


def hex_before(words: Words, end: Index) -> _Field:
    """` 0x…` that ends before each position."""
    early, late = words.wide_before(end)
    place = _last_place(late, _B78)
    digits = _digits(place)
    place >>= _u7
    place -= _u(1)
    value, wrong = _hex_words(late, place)
    shift = digits.view(np.uint64) + _u(1)
    shift *= _u8
    late >>= shift
    np.subtract(_u64, shift, out=shift)
    shift &= _u(127)
    np.left_shift(early, shift, out=shift)
    late |= shift
    late &= _u(0xFFFF)
    good = late == 0x2030  # " 0" before the x
    full = digits == 8
    if full.all():
        good = early & _u(0xFFFFFF) == 0x203078  # the x is the last of the earlier characters
    elif full.any():
        good |= full & (early & _u(0xFFFFFF) == 0x203078)
    longer = full & ~good
    if longer.any():
        _longer_hex(words, end, early, np.flatnonzero(longer), value, digits, good, wrong)
    good &= digits > 0
    good &= value >= _LEAST_HEX[digits]
    np.logical_not(wrong, out=wrong)
    good &= wrong
    return _Field(value, end - digits - 3, good)


def _longer_hex(
    words: Words, end: Index, early: U64, rows: Index, value: U64, digits: Index, good: Mask, wrong: Mask
) -> None:
    """Nine to sixteen digits: the rest of the number is in the earlier word."""
    upper = early[rows]
    place = _last_place(upper, _B78)
    more = _digits(place)
    high, bad = _hex_words(upper, (place >> _u7) - _u(1))
    value[rows] |= high << _u32
    wrong[rows] |= bad
    digits[rows] += more
    at = end[rows] - digits[rows]
    prefix = words.before(at) & _u(0xFFFFFF)
    good[rows] = prefix == _characters(b" 0x")


def decimal_before(words: Words, end: Index) -> _Field:
    """A blank and up to 7 decimal digits that end before each position."""
    word = words.before(end)
    place = _last_place(word, _B20)
    digits = _digits(place)
    value, wrong = _decimal_words(word, (place >> _u7) - _u(1))
    good = ~wrong & (digits > 0) & (digits < 8)
    good &= value >= _LEAST_DECIMAL[digits]
    return _Field(value, end - digits - 1, good)


class _Stamp(NamedTuple):
    """Time and map id of each line, and which are canonically spelled."""

    time: NDArray[np.int64]
    map: NDArray[np.int64]
    good: Mask


def _time_and_map(words: Words, start: Index, end: Index) -> _Stamp:
    """`seconds.microseconds id` in [start, end): nanoseconds and id."""
    early, late = words.wide_before(end)
    if (late & _u(0xFF00) == 0x2000).all():
        number = (late & _LOW_BYTE) ^ _u(0x30)
        good = number <= 9
        digits: Any = 1
        back: Any = _u16
    else:
        place = _last_place(late, _B20)
        digits = _digits(place)
        number, bad = _decimal_words(late, (place >> _u7) - _u(1))
        good = ~bad & (digits > 0) & (digits < 6) & (number >= _LEAST_DECIMAL[digits])
        digits = np.where(good, digits, 1)
        back = (digits.view(np.uint64) + _u(1)) * _u8
    late >>= back
    late |= early << (_u64 - back)
    micro, bad = _decimal_words(late, _LAST[6])
    np.logical_not(bad, out=bad)
    good &= bad
    good &= late & _u(0xFF << 48) == 0x2E << 48
    early >>= back - _u8
    # Seconds change seldom from line to line: one decoding for each run of equal ones.
    figures = end - start
    figures -= digits + 8
    usable = (figures >= 1) & (figures <= 8 - digits)
    if not usable.all():
        good &= usable
        figures = np.where(usable, figures, 1)
    early &= _LAST[figures]
    changes = np.flatnonzero(early[1:] != early[:-1])
    changes += 1
    firsts = np.concatenate([_FIRST, changes])
    runs = np.diff(firsts, append=len(early))
    few = figures[firsts]
    seconds, bad = _decimal_words(early[firsts], _LAST[few])
    fine = ~bad & (seconds >= _LEAST_DECIMAL[few])
    seconds *= _u(1_000_000)
    micro += np.repeat(seconds, runs)
    micro *= _u(1000)
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
    first >>= _u32
    good = first & _u(0xFFFF00FF) == 0x52200020
    writes = first & _u(0xFFFF00FF) == 0x57200020
    good |= writes
    width = ((first >> _u8 & _LOW_BYTE) ^ _u(0x30)).astype(np.uint8)
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
    good = words.after(start) == _characters(b"UNKNOWN ")
    pc, pid, at = _tail(words, end, good)
    text = words.before(at)  # "b0,b1,b2"
    good &= text & _u(0x0000FF0000FF0000) == 0x00002C00002C0000
    opcode = np.full(len(start), pack_opcode(bytes(3)), np.uint64)
    for place, shift in ((0, 0), (24, 8), (48, 16)):
        byte, wrong = _hex_words(text >> _u(place), _LAST[2])
        good &= ~wrong
        opcode |= byte << _u(shift)
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
_USUAL_TAIL = _characters(b" 0x0 0")


def _tail(words: Words, end: Index, good: Mask) -> tuple[Any, Any, Index]:
    """The last two fields, pc and pid, nearly always `0x0 0`; and where the blank before them is.

    Clears `good` where they are not canonically spelled.
    """
    usual = words.before(end) & _LAST[6] == _USUAL_TAIL
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
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
    start = 0
    while len(ends) > MAX_EVENTS:
        stop = int(ends[MAX_EVENTS - 1]) + 1
        yield _scan(_Lines(block[start:stop], ends[:MAX_EVENTS] - start), first_line, regions)
        ends = ends[MAX_EVENTS:]
        first_line += MAX_EVENTS
        start = stop
    if start:
        block, ends = block[start:], ends - start
    yield _scan(_Lines(block, ends), first_line, regions)


def _scan(lines: _Lines, first_line: int, regions: Regions) -> Batch:
    kind = np.full(lines.n, Kind.NOTE, np.uint8)
    store = _Store(lines.n)
    done = np.zeros(lines.n, np.bool_)
    for letters, take in ((b"RW", _accesses), (b"U", _unknowns)):
        rows = lines.beginning_with(letters)
        if len(rows) < _WORTHWHILE:
            continue
        fields = take(lines.words, lines.starts[rows], lines.text_ends[rows])
        if not fields.good.all():
            rows = rows[fields.good]
            fields = fields.only_good()
        place = _Place(rows)
        place.into(done, np.True_)
        place.into(kind, fields.kind)
        for name, values in fields.columns.items():
            store.put(name, place, values)
    extras: dict[int, dict[str, Any]] = {}
    others = np.flatnonzero(~done)
    if len(others):
        spans = zip(others.tolist(), lines.starts[others].tolist(), lines.text_ends[others].tolist(), strict=True)
        events: list[Event] = [parse_line(lines.block[start:end], first_line + row) for row, start, end in spans]
        _join_halves(events, others, first_line)
        slow = columnise(events, regions)
        kind[others] = slow.kind
        for name, column in slow.columns.items():
            present = slice(None) if column.present is None else column.present
            store.put(name, _Place(others[present]), column.data[present])
        extras = {int(others[row]): extra for row, extra in slow.extras.items()}
    columns = store.columns()
    if lines.crlf is not None:
        columns["eol"] = Column(np.where(lines.crlf, np.uint8(EOL_CRLF), np.uint8(EOL_LF)))
    return Batch(kind, columns, extras, regions)


def _join_halves(events: list[Event], rows: Index, first_line: int) -> None:
    """A record that a stray line end cut in two is one loss, not two."""
    for at in (np.flatnonzero(np.diff(rows) == 1) + 1).tolist():
        if is_second_half(events[at - 1], events[at]):
            text, line = events[at].extra["text"], first_line + int(rows[at])
            events[at] = damaged("the rest of the record before it", text=text, events=0, line=line)


class _Lines:
    """Where the lines of a block are.

    starts, text_ends   (n,) first byte of each line, and the byte after its last one, line end not counted
    crlf                (n,) which lines end in CR LF, or None when none does
    """

    def __init__(self, block: bytes, ends: Index) -> None:
        self.block = block
        self.words = Words(block)
        data = self.words.bytes
        self.n = len(ends)
        self.starts = np.empty(self.n, np.int64)
        self.starts[0] = 0
        self.starts[1:] = ends[:-1]
        self.starts[1:] += 1
        self.crlf: Mask | None = None
        self.text_ends = ends
        returns = data[np.maximum(ends - 1, 0)] == 13
        if returns.any():
            returns &= ends > self.starts
            self.crlf = returns
            self.text_ends = ends - returns

    def beginning_with(self, letters: bytes) -> Index:
        """Lines that begin with one of these letters, far enough into the block to be read from the right."""
        first = self.words.bytes[self.starts]
        fits = first == letters[0]
        for letter in letters[1:]:
            fits |= first == letter
        fits &= self.starts >= _MARGIN
        return np.flatnonzero(fits)


class _Place:
    """Row numbers, ascending, that values go to: as runs where there are few, which is several times faster."""

    def __init__(self, rows: Index) -> None:
        self._rows = rows
        self._runs: list[tuple[int, int, int]] | None = None
        breaks = np.flatnonzero(rows[1:] - rows[:-1] != 1) + 1
        if len(rows) and len(breaks) < 32:
            firsts = [0, *breaks.tolist()]
            self._runs = [
                (int(rows[first]), first, last) for first, last in zip(firsts, [*firsts[1:], len(rows)], strict=True)
            ]

    def into(self, target: NDArray[Any], values: Any) -> None:
        """target[rows] = values, an array (len(rows),) or one value for all."""
        if self._runs is None:
            target[self._rows] = values
            return
        for row, first, last in self._runs:
            target[row : row + last - first] = values if np.ndim(values) == 0 else values[first:last]


class _Store:
    """Columns in the making: data and presence of n rows."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._columns: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}

    def put(self, name: str, place: _Place, values: NDArray[Any]) -> None:
        """Give rows their value of a column."""
        if not len(values):
            return
        if name not in self._columns:
            self._columns[name] = (np.zeros(self._n, values.dtype), np.zeros(self._n, np.bool_))
        data, present = self._columns[name]
        place.into(data, values)
        place.into(present, np.True_)

    def columns(self) -> dict[str, Column]:
        """The columns; absent rows hold 0."""
        return {name: Column(data, None if here.all() else here) for name, (data, here) in self._columns.items()}
