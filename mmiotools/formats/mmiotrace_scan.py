"""The bulk of mmiotrace text on columns: blocks of whole lines → batches, without Python per line.

A line is taken here only if it is spelled exactly as the kernel spells an R, W or UNKNOWN record; every other line
goes to `mmiotrace_lines`, and keeps its place. Numbers are decoded eight characters at a time, as 64-bit words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Event, Kind
from mmiotools.formats.mmiotrace_lines import parse_line
from mmiotools.trace.batch import EOL_CRLF, EOL_LF, Batch, Column, Regions, columnise, pack_opcode

U64 = NDArray[np.uint64]
Index = NDArray[np.int64]


def _u(number: int) -> np.uint64:
    return np.uint64(number)


#: Masks that keep the last n characters of a word (a word's last character is its top byte), n = 0..8.
_KEEP = np.array([((1 << 64) - 1) ^ ((1 << (64 - 8 * n)) - 1) if n else 0 for n in range(9)], np.uint64)
#: "0" in the places that `_KEEP` drops.
_ZEROS = np.array([0x3030303030303030 & ~int(keep) for keep in _KEEP], np.uint64)
#: The least number whose hexadecimal or decimal spelling has n digits; a smaller one was spelled with leading zeros.
_LEAST_HEX = np.array([0, 0] + [16 ** (n - 1) for n in range(2, 17)], np.uint64)
_LEAST_DECIMAL = np.array([0, 0] + [10 ** (n - 1) for n in range(2, 9)], np.uint64)

_B0F, _B01, _B06, _B30, _B70, _B76, _B80 = (
    _u(0x0101010101010101 * byte) for byte in (0x0F, 0x01, 0x06, 0x30, 0x70, 0x76, 0x80)
)
_u4, _u6, _u8, _u9, _u16, _u32, _u39 = (_u(number) for number in (4, 6, 8, 9, 16, 32, 39))
_EVEN_BYTES, _EVEN_PAIRS = _u(0x00FF00FF00FF00FF), _u(0x0000FFFF0000FFFF)
_LOW_HALF, _LOW_BYTE = _u(0xFFFFFFFF), _u(0xFF)
_DECIMAL_STEPS = (
    (_u(10 * 256 + 1), _u8, _EVEN_BYTES),
    (_u(100 * 65536 + 1), _u16, _EVEN_PAIRS),
    (_u((10000 << 32) + 1), _u32, _LOW_HALF),
)
#: What every R, W and UNKNOWN line of a kernel without trace_pc ends with, as a word shifted down by one byte.
_TAIL = _u(int.from_bytes(b" 0x0 0", "little"))


class Words:
    """A block's bytes, and the 8 or 16 bytes before any position as words. A gather costs the same for either."""

    def __init__(self, block: bytes) -> None:
        self.bytes = np.frombuffer(block, np.uint8)
        self._eight: NDArray[Any] = np.ndarray((max(len(block) - 7, 0),), "V8", block, 0, (1,))
        self._sixteen: NDArray[Any] = np.ndarray((max(len(block) - 15, 0),), "V16", block, 0, (1,))

    def before(self, end: Index) -> U64:
        """The 8 bytes before each position (>= 8); the last of them is the word's top byte."""
        return self._eight[end - 8].view("<u8")

    def wide_before(self, end: Index) -> tuple[U64, U64]:
        """The 16 bytes before each position (>= 16): the earlier 8, the later 8."""
        pairs: U64 = self._sixteen[end - 16].view("<u8").reshape(-1, 2).T
        return pairs[0], pairs[1]


def _prefix_tables() -> tuple[U64, U64, U64, U64]:
    """For n hex digits at the end of 16 bytes: where "0x" must stand, as mask and pattern, earlier and later word."""
    rows = []
    for n in range(17):
        mask, pattern = bytearray(16), bytearray(16)
        for place, character in ((16 - n - 2, 0x30), (16 - n - 1, 0x78)):
            if place >= 0:
                mask[place], pattern[place] = 0xFF, character
        words = [int.from_bytes(part[at : at + 8], "little") for part in (mask, pattern) for at in (0, 8)]
        rows.append(words)
    table = np.array(rows, np.uint64).T.copy()
    return table[0], table[1], table[2], table[3]


_MASK_EARLY, _MASK_LATE, _0X_EARLY, _0X_LATE = _prefix_tables()


def _hex_words(words: U64, keep: Any, zeros: Any) -> tuple[U64, NDArray[np.bool_]]:
    """The kept characters of each word as hexadecimal numbers; and which words are not lower-case hex.

    In place where it can be: what counts here is how much memory is touched.
    """
    x = words & keep
    x |= zeros
    letter = x >> _u6
    letter &= _B01
    nibbles = x & _B0F
    letter *= _u9
    nibbles += letter
    spelled = nibbles + _B06
    spelled >>= _u4
    spelled &= _B01
    spelled *= _u39
    spelled += nibbles
    spelled += _B30
    spelled ^= x
    np.add(nibbles, _B70, out=x)
    x &= _B80
    spelled |= x
    wrong = spelled != 0
    for left, right, mask in ((_u4, _u8, _EVEN_BYTES), (_u8, _u16, _EVEN_PAIRS), (_u16, _u32, _LOW_HALF)):
        np.right_shift(nibbles, right, out=x)
        nibbles <<= left
        nibbles |= x
        nibbles &= mask
    return nibbles, wrong


def parse_hex(words: Words, start: Index, end: Index) -> tuple[U64, NDArray[np.bool_]]:
    """Numbers spelled 0x… in [start, end), and which of them are well and canonically spelled. `end` >= 16."""
    digits = end - start
    digits -= 2
    least, most = int(digits.min()), int(digits.max())
    good: Any = True
    if least < 1 or most > 16:
        good = (digits >= 1) & (digits <= 16)
        digits = np.where(good, digits, 1)
        least, most = int(digits.min()), int(digits.max())
    n: Any = least if least == most else digits  # one number indexes the tables once for all
    early, late = words.wide_before(end)
    good &= late & _MASK_LATE[n] == _0X_LATE[n]
    if most > 6:
        good &= early & _MASK_EARLY[n] == _0X_EARLY[n]
    short = np.minimum(n, 8)
    value, wrong = _hex_words(late, _KEEP[short], _ZEROS[short])
    if most > 8:
        long = np.flatnonzero(digits > 8)
        more = digits[long] - 8
        high, wrong_high = _hex_words(early[long], _KEEP[more], _ZEROS[more])
        high <<= _u32
        value[long] |= high
        wrong[long] |= wrong_high
        longest = np.flatnonzero(digits > 14)  # their 0x lies before the 16 bytes
        at = start[longest]
        good[longest] &= (words.bytes[at] == 0x30) & (words.bytes[at + 1] == 0x78)
    good &= value >= _LEAST_HEX[n]
    good &= ~wrong
    return value, good


def _decimal_words(words: U64) -> tuple[U64, NDArray[np.bool_]]:
    """Eight decimal digits each as numbers, and which words hold anything else."""
    x = words ^ _B30
    beyond = x + _B76
    beyond |= x
    beyond &= _B80
    for factor, shift, mask in _DECIMAL_STEPS:
        x *= factor
        x >>= shift
        x &= mask
    return x, beyond != 0


def parse_decimal(words: Words, start: Index, end: Index) -> tuple[U64, NDArray[np.bool_]]:
    """Unsigned decimals of up to 8 digits in [start, end), and which are well and canonically spelled."""
    digits = end - start
    if int(digits.min()) == int(digits.max()) == 1:
        figure = words.bytes[start] ^ np.uint8(0x30)
        return figure.astype(np.uint64), figure <= 9
    return _short_decimal(words.before(end), digits)


def _short_decimal(word: U64, digits: Index) -> tuple[U64, NDArray[np.bool_]]:
    """The last `digits` characters of each word as a decimal of 1 to 8 digits."""
    good = (digits >= 1) & (digits <= 8)
    if not good.all():
        digits = np.where(good, digits, 1)
    value, wrong = _decimal_words((word & _KEEP[digits]) | _ZEROS[digits])
    return value, good & ~wrong & (value >= _LEAST_DECIMAL[digits])


def parse_time(words: Words, start: Index, end: Index) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """`seconds.microseconds` in [start, end) as nanoseconds, and which are canonically spelled. `end` >= 16."""
    early, late = words.wide_before(end)
    time, good = _decimal_words((late & _KEEP[6]) | _ZEROS[6])
    np.logical_not(good, out=good)
    good &= late & _u(0xFF00) == 0x2E00
    # The last digit of the seconds is the first of the later 8 bytes: put it behind the earlier ones.
    word = early >> _u8
    word |= late << _u(56)
    digits = end - start
    digits -= 7
    usable = (digits >= 1) & (digits <= 8)
    if not usable.all():
        good &= usable
        digits = np.where(usable, digits, 1)
    word &= _KEEP[digits]
    # Seconds change seldom from line to line: one decoding for each run of equal ones.
    changes = np.flatnonzero(word[1:] != word[:-1])
    firsts = np.empty(len(changes) + 1, np.int64)
    firsts[0] = 0
    firsts[1:] = changes
    firsts[1:] += 1
    runs = np.diff(firsts, append=len(word))
    seconds, fine = _short_decimal(word[firsts], digits[firsts])
    seconds *= _u(1_000_000)
    time += np.repeat(seconds, runs)
    time *= _u(1000)
    if not fine.all():
        good &= np.repeat(fine, runs)
    return time.view(np.int64), good


class _Fields(NamedTuple):
    """Columns of the lines taken, and which of them are good."""

    good: NDArray[np.bool_]
    kind: NDArray[np.uint8]
    columns: dict[str, Any]

    def only_good(self) -> _Fields:
        """The same without the lines that are not."""
        good = self.good
        columns = {name: values[good] for name, values in self.columns.items()}
        return _Fields(good[good], self.kind[good], columns)


def _accesses(words: Words, starts: Index, marks: Index) -> _Fields:
    """R and W lines: `marks` (n, 8) are the positions of the blanks after each field; the 8th ends the line."""
    first = words.bytes[starts]
    width = words.bytes[starts + 2] - np.uint8(0x30)
    good = ((first == 0x52) | (first == 0x57)) & (marks[:, 0] - starts == 1) & (marks[:, 1] - starts == 3)
    good &= width <= 9
    time, fine = parse_time(words, marks[:, 1] + 1, marks[:, 2])
    good &= fine
    unsigned, fine = parse_decimal(words, marks[:, 2] + 1, marks[:, 3])
    number = unsigned.view(np.int64)
    good &= fine
    addr, fine = parse_hex(words, marks[:, 3] + 1, marks[:, 4])
    good &= fine
    value, fine = parse_hex(words, marks[:, 4] + 1, marks[:, 5])
    good &= fine
    pc, pid, fine = _tail(words, marks[:, 5], marks[:, 6], marks[:, 7])
    good &= fine
    columns = {"width": width, "time": time, "map": number, "addr": addr, "value": value, "pc": pc, "pid": pid}
    return _Fields(good, (first == 0x57).astype(np.uint8), columns)


def _unknowns(words: Words, starts: Index, marks: Index) -> _Fields:
    """UNKNOWN lines with three opcode bytes: `marks` (n, 7)."""
    good = (marks[:, 0] - starts == 7) & (marks[:, 4] - marks[:, 3] == 9)
    for place, character in enumerate(b"UNKNOWN"):
        good &= words.bytes[starts + place] == character
    time, fine = parse_time(words, marks[:, 0] + 1, marks[:, 1])
    good &= fine
    number, fine = parse_decimal(words, marks[:, 1] + 1, marks[:, 2])
    good &= fine
    addr, fine = parse_hex(words, marks[:, 2] + 1, marks[:, 3])
    good &= fine
    text = words.before(marks[:, 4])  # "b0,b1,b2": commas in bytes 2 and 5
    good &= (text & _u(0x0000FF0000FF0000)) == 0x00002C00002C0000
    opcode = np.full(len(starts), pack_opcode(bytes(3)), np.uint64)
    for shift, place in ((16, 48), (8, 24), (0, 0)):  # each byte's two digits moved to the word's top
        byte, wrong = _hex_words(text << _u(place), _KEEP[2], _ZEROS[2])
        good &= ~wrong
        opcode |= byte << _u(shift)
    pc, pid, fine = _tail(words, marks[:, 4], marks[:, 5], marks[:, 6])
    good &= fine
    kind = np.full(len(starts), Kind.UNKNOWN, np.uint8)
    columns = {"time": time, "map": number.view(np.int64), "addr": addr, "opcode": opcode, "pc": pc, "pid": pid}
    return _Fields(good, kind, columns)


def _tail(words: Words, before_pc: Index, before_pid: Index, end: Index) -> tuple[Any, Any, NDArray[np.bool_]]:
    """The last two fields, pc and pid; nearly always `0x0 0`."""
    usual = (words.before(end) >> _u16) == _TAIL
    if usual.all():
        return np.zeros(len(end), np.uint64), np.zeros(len(end), np.int64), usual
    pc, fine = parse_hex(words, before_pc + 1, before_pid)
    pid, fine_too = parse_decimal(words, before_pid + 1, end)
    return pc, pid.view(np.int64), fine & fine_too


def scan(block: bytes, first_line: int, regions: Regions) -> Batch:
    """The events of a block of whole lines, each with its line end; one event a line. `first_line` counts from 1."""
    lines = _Lines(block)
    kind = np.full(lines.n, Kind.NOTE, np.uint8)
    store = _Store(lines.n)
    done = np.zeros(lines.n, np.bool_)
    for shape, take in ((8, _accesses), (7, _unknowns)):
        rows = lines.of_shape(shape)
        if not len(rows):
            continue
        fields = take(lines.words, lines.starts[rows], lines.marks(rows, shape))
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
        events: list[Event] = [parse_line(block[start:end], first_line + row) for row, start, end in spans]
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


class _Lines:
    """Where the lines of a block are, and where their blanks.

    starts, text_ends   (n,) first byte of each line, and the byte after its last one, line end not counted
    crlf                (n,) which lines end in CR LF, or None when none does
    """

    def __init__(self, block: bytes) -> None:
        self.words = Words(block)
        data = self.words.bytes
        blanks = np.flatnonzero(data <= 32)
        characters = data[blanks]
        newline = characters == 10
        ends = blanks[np.flatnonzero(newline)]
        self.n = n = len(ends)
        self._odd: Index | None = None
        self.crlf: NDArray[np.bool_] | None = None
        if np.count_nonzero(characters == 32) + n != len(blanks):
            returns = characters == 13
            returns[:-1] &= newline[1:] & (blanks[1:] - blanks[:-1] == 1)
            returns[-1] = False
            if returns.any():
                self.crlf = np.zeros(n, np.bool_)
                self.crlf[np.searchsorted(ends, blanks[returns])] = True
                keep = ~returns
                blanks, characters, newline = blanks[keep], characters[keep], newline[keep]
            self._odd = np.searchsorted(ends, blanks[(characters != 32) & ~newline])
        self._blanks = blanks
        self._last = np.flatnonzero(newline)
        self._count = np.diff(self._last, prepend=-1)
        self.starts = np.empty(n, np.int64)
        self.starts[0] = 0
        self.starts[1:] = ends[:-1] + 1
        self.text_ends = ends if self.crlf is None else ends - self.crlf

    def of_shape(self, shape: int) -> Index:
        """Lines of `shape` fields parted by single blanks, long enough for the words' 16 bytes."""
        fits = self._count == shape
        fits &= (self.starts >= 16) & (self.text_ends - self.starts >= 16)
        if self._odd is not None:
            fits[self._odd] = False
        return np.flatnonzero(fits)

    def marks(self, rows: Index, shape: int) -> Index:
        """(len(rows), shape): positions of the blank after each field; for the last field, where the text ends."""
        if len(rows) * 16 > self.n * 15:
            # Nearly every line: the blanks between the others, put together, are one matrix as they lie.
            others = np.ones(self.n, np.bool_)
            others[rows] = False
            pieces, at = [], 0
            for row in np.flatnonzero(others).tolist():
                last = int(self._last[row])
                pieces.append(self._blanks[at : last + 1 - int(self._count[row])])
                at = last + 1
            pieces.append(self._blanks[at : int(self._last[-1]) + 1])
            marks = np.concatenate(pieces).reshape(-1, shape)
        else:
            marks = self._blanks[(self._last[rows] - shape + 1)[:, None] + np.arange(shape)]
        if self.crlf is not None:
            marks[:, -1] = self.text_ends[rows]
        return marks


class _Place:
    """Row numbers that values go to: as runs where there are few, which is several times faster."""

    def __init__(self, rows: Index) -> None:
        self._rows = rows
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        self._runs: list[tuple[int, int, int]] | None = None
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
