"""The bulk of ftrace text on columns: blocks of whole lines → batches, without parsing line by line in Python.

Taken here are the register events that come by the million, behind a prefix as the kernel and trace-cmd print it; every
other line goes to `ftrace_lines`. A line is read from the right, first its fields, then, from the colon behind the
time, its prefix. What is left to Python is to keep each line's own bytes.
"""

from __future__ import annotations

from itertools import islice
from operator import ne

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.ftrace_events import TAKERS, Rows
from mmiotools.formats.ftrace_lines import BEGINNINGS, LONGEST, MAX_TASK, parse_line
from mmiotools.formats.ftrace_pairs import Marks, partners, safe_cut
from mmiotools.formats.line_columns import MARGIN, Lines, Place, Store
from mmiotools.formats.lines import Parsed, without_end
from mmiotools.formats.text_numbers import (
    BLANKS,
    Index,
    Mask,
    Words,
    blanks_before,
    characters,
    count_digits,
    decimal_behind,
    decimal_words,
    ends_with,
    hex_behind,
    last_place,
    u64,
)
from mmiotools.formats.text_numbers import LAST as LAST_CHARACTERS
from mmiotools.trace.arrays import append, distinct, flatnonzero
from mmiotools.trace.batch import EOL_CRLF, EOL_LF, MAX_EVENTS, Batch, Column, Regions, columnise
from mmiotools.typed import Any, Iterator, NDArray

#: Fewer lines of a kind than this are read one by one.
WORTHWHILE = 16
U64 = NDArray[np.uint64]
_COLON, _BLANK, _HASH = 0x3A, 0x20, 0x23
#: So far behind the colon of a line is looked at its name.
_AHEAD = 40
#: Characters of names.
_WORD = np.array([(chr(code).isalnum() and code < 128) or code == 0x5F for code in range(256)])
#: Names that are looked at in one block, and as many that are remembered.
_NEW_NAMES = 1000
_SECOND = u64(1_000_000_000)


class Scanner:
    """The parser of blocks. `spelled`: whether the lines themselves are wanted, which costs as much as all else."""

    def __init__(self) -> None:
        self.spelled = True

    def only(self, columns: frozenset[str]) -> None:
        """Leave out what is not among these columns, where that is quicker."""
        self.spelled = "raw" in columns

    def __call__(self, block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
        """The events of a block: one a line, but for accesses of two lines one after the other, which are one."""
        if not block.endswith(b"\n"):
            event = parse_line(block, line, regions, ended=False).event
            yield Parsed(Batch.from_events([without_end(event)], regions), 1)
            return
        yield from _Block(block, line, regions, self.spelled).batches()


class _Block:
    def __init__(self, block: bytes, first_line: int, regions: Regions, spelled: bool) -> None:
        self._first = first_line
        self._regions = regions
        self._spelled = spelled
        data = np.frombuffer(block, np.uint8)
        self._lines = Lines(block, flatnonzero(data == 10))
        n = self._lines.n
        self._kind = np.full(n, Kind.NOTE, np.uint8)
        self._role = np.zeros(n, np.uint8)
        self._done = np.zeros(n, np.bool_)
        self._store = Store(n)
        self._extras: dict[int, dict[str, Any]] = {}

    def batches(self) -> Iterator[Parsed]:
        """Everything there is in the block."""
        self._take_all()
        columns = self._store.columns()
        joined, noted = partners(Marks(self._role, self._kind, columns, self._lines.starts))
        self._kind[noted] = Kind.NOTE
        yield from self._cut_up(columns, joined, noted)

    def waiting(self) -> int:
        """How many of the last bytes are not to be read without what follows."""
        self._take_all()
        marks = Marks(self._role, self._kind, self._store.columns(), self._lines.starts)
        end = len(self._lines.block)
        return end - safe_cut(marks, end)

    def _take_all(self) -> None:
        rows, names = self._named_rows()
        self._take_usual(rows, names)
        self._pass_notes(rows, names)
        self._take_others()

    def _take_usual(self, rows: Rows, names: U64) -> None:
        for beginnings, take in TAKERS:
            mine = flatnonzero(np.logical_or.reduce([names == characters(name) for name in beginnings]))
            if len(mine) < WORTHWHILE:
                continue
            some = Rows(*(column[mine] for column in rows))
            taken = take(self._lines, some, self._regions)
            time, pid, cpu, good = _prefix(self._lines.words, some)
            good &= taken.good & (self._times_within(some) == 1)
            place = Place(some.number[good])
            place.into(self._done, np.True_)
            place.into(self._kind, taken.kind[good])
            if taken.role is not None:
                place.into(self._role, taken.role[good])
            for key, values in {**taken.columns, "time": time, "pid": pid, "cpu": cpu}.items():
                if key == "value" and taken.valued is not None:
                    valued = good & taken.valued
                    self._store.put(key, Place(some.number[valued]), values[valued])
                else:
                    self._store.put(key, place, values[good])

    def _named_rows(self) -> tuple[Rows, U64]:
        """Lines with a colon and a blank, and the eight characters behind their first."""
        lines = self._lines
        data = lines.words.bytes
        colons = flatnonzero(data == _COLON)
        colons = colons[data[np.minimum(colons + 1, len(data) - 1)] == _BLANK]
        self._colons = colons[colons > 0]
        at = np.searchsorted(colons, lines.starts)
        found = append(colons, len(data))[at]
        fits = (found < lines.text_ends) & (found + _AHEAD <= len(data)) & (lines.starts >= MARGIN)
        fits &= (lines.text_ends - lines.starts <= LONGEST) & (data[lines.starts] != _HASH)
        number = flatnonzero(fits)
        rows = Rows(number, lines.starts[number], lines.text_ends[number], found[number])
        return rows, lines.words.after(rows.colon + 2)

    def _pass_notes(self, rows: Rows, names: U64) -> None:
        """Events of other kinds: behind a good prefix, of another name, and nothing in them looks like one of ours."""
        other = ~self._done[rows.number] & _HARMLESS.among(names)
        if np.count_nonzero(other) < WORTHWHILE:
            return
        some, words = Rows(*(column[other] for column in rows)), self._lines.words
        *_, good = _prefix(words, some)
        good &= self._has_name(some)
        last = hex_behind(words, some.end, b"=")
        good &= ~(last.good & ends_with(words, last.blank, b" addr"))
        last = hex_behind(words, some.end, b" ")
        good &= ~(last.good & ends_with(words, last.blank, b" val"))
        good &= self._times_within(some) == 1
        self._done[some.number[good]] = True

    def _has_name(self, rows: Rows) -> Mask:
        """Whether a name of letters, digits and underscores, not too long, and a colon stand behind the blank."""
        words, start = self._lines.words, rows.colon + 2
        parts = np.empty((len(start), (_AHEAD - 8) // 8), ">u8")
        for part in range(parts.shape[1]):
            parts[:, part] = words.after(start + 8 * part)
        length = np.argmin(_WORD[parts.view(np.uint8)], axis=1)  # 0, too, where there is nothing but letters
        end, data = start + length, words.bytes
        good: Mask = (length > 0) & (data[end] == _COLON) & ((data[end + 1] == _BLANK) | (end + 1 == rows.end))
        return good

    def _times_within(self, rows: Rows) -> Index:
        """How many colons stand between a digit and a blank: two or more, and another line may have run into this."""
        data = self._lines.words.bytes
        behind = self._colons - 1
        stamps = self._colons[(data[behind] >= 0x30) & (data[behind] <= 0x39)]
        found: Index = np.searchsorted(stamps, rows.end) - np.searchsorted(stamps, rows.start)
        return found

    def _take_others(self) -> None:
        lines = self._lines
        others = flatnonzero(~self._done)
        block, starts, ends = lines.block, lines.starts[others].tolist(), lines.text_ends[others].tolist()
        rows: list[int] = []
        events: list[Event] = []
        roles: list[int] = []
        for row, start, end in zip(others.tolist(), starts, ends, strict=True):
            text = block[start:end]
            event, role = parse_line(text, self._first + row, self._regions)
            if event.kind == Kind.NOTE:
                self._extras[row] = dict(event.extra)
                continue
            rows.append(row)
            events.append(event)
            roles.append(role)
        if not rows:
            return
        slow = columnise(events, self._regions)
        where = np.array(rows)
        self._kind[where] = slow.kind
        self._role[where] = roles
        for name, column in slow.columns.items():
            present = slice(None) if column.present is None else column.present
            self._store.put(name, Place(where[present]), column.data[present])
        for at, extra in slow.extras.items():
            self._extras[rows[at]] = extra

    def _cut_up(self, columns: dict[str, Column], joined: Mask, noted: Mask) -> Iterator[Parsed]:
        """Batches of the rows; `joined` are dropped, as the line behind each has them in its own bytes."""
        lines = self._lines
        if lines.crlf is not None:
            columns["eol"] = Column(np.where(lines.crlf, np.uint8(EOL_CRLF), np.uint8(EOL_LF)))
        kept = flatnonzero(~joined)
        for first in range(0, len(kept), MAX_EVENTS):
            rows = kept[first : first + MAX_EVENTS]
            last = first + MAX_EVENTS >= len(kept)
            # The lines of a batch are up to the first line of the next one, with those that were joined to that.
            begin = 0 if not first else int(kept[first - 1]) + 1
            count = (lines.n if last else int(rows[-1]) + 1) - begin
            yield Parsed(self._batch(rows, columns, joined, noted), count)

    def _batch(self, rows: Index, columns: dict[str, Column], joined: Mask, noted: Mask) -> Batch:
        picked: dict[str, Column] = {}
        blank = noted[rows]
        for name, column in columns.items():
            present = None if column.present is None else column.present[rows]
            if blank.any() and name != "eol":
                present = ~blank if present is None else present & ~blank
            if present is not None and present.all():
                present = None
            data = column.data[rows]
            if present is None:
                picked[name] = Column(data)
            elif present.any():
                picked[name] = Column(np.where(present, data, data.dtype.type(0)), present)
        kind = self._kind[rows]
        return Batch(kind, picked, self._texts(rows, kind, joined, noted), self._regions)

    def _texts(self, rows: Index, kind: NDArray[np.uint8], joined: Mask, noted: Mask) -> dict[int, dict[str, Any]]:
        """Extras of the rows: what was read of unusual lines, and the lines themselves where they are wanted."""
        lines, block = self._lines, self._lines.block
        extras: dict[int, dict[str, Any]] = {}
        known = np.array([row for row in self._extras if rows[0] <= row <= rows[-1]], np.intp)
        known = known[~(joined | noted)[known]]
        for at, row in zip(np.searchsorted(rows, known).tolist(), known.tolist(), strict=True):
            extras[at] = self._extras[row]
        if not self._spelled:
            return {at: {name: item for name, item in extra.items() if name != "raw"} for at, extra in extras.items()}
        begin = lines.starts[rows - joined[rows - 1] * (rows > 0)]  # a joined line is the one before
        plain = np.ones(len(rows), np.bool_)
        plain[[at for at in extras if kind[at] > Kind.UNKNOWN]] = False
        for name, which in (("raw", kind <= Kind.UNKNOWN), ("text", (kind == Kind.NOTE) & plain)):
            at = flatnonzero(which)
            spans = (at.tolist(), begin[at].tolist(), lines.text_ends[rows[at]].tolist())
            extras |= {row: {name: block[start:end]} for row, start, end in zip(*spans, strict=True)}
        return extras


class _Harmless:
    """Beginnings of names, eight characters, that are neither those of a register event nor nearly so."""

    def __init__(self) -> None:
        self._known: U64 = np.zeros(1, np.uint64)

    def among(self, names: U64) -> Mask:
        """Which are harmless. Where there are very many that were never seen, some are said not to be."""
        found = self._look(names)
        if not found.all():
            others = islice(set(names[~found].tolist()), _NEW_NAMES)
            new = [name for name in others if not _is_like_ours(name.to_bytes(8, "big"))]
            known = self._known if len(self._known) < _NEW_NAMES else self._known[:1]
            if new:
                self._known = distinct(np.concatenate((known, np.array(new, np.uint64))))
                found = self._look(names)
        return found

    def _look(self, names: U64) -> Mask:
        at = np.minimum(np.searchsorted(self._known, names), len(self._known) - 1)
        found: Mask = self._known[at] == names
        return found


def _is_like_ours(name: bytes) -> bool:
    return name.startswith(b"print") or any(sum(map(ne, name, one)) <= 1 for one in BEGINNINGS)


_HARMLESS = _Harmless()


def _prefix(words: Words, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], Mask]:
    """`comm-pid (tgid) [cpu] flags time` before the colon: time in ns, pid, cpu, and where that is what is there."""
    late = words.before(rows.colon)
    digits = np.where(late >> u64(48) & u64(0xFF) == 0x2E, 6, 9)
    micro, wrong = decimal_words(late, LAST_CHARACTERS[np.minimum(digits, 8)])
    fraction = micro * u64(1000)
    at = rows.colon - digits
    fine = flatnonzero(digits == 9)
    if len(fine):
        upper = words.before(rows.colon[fine] - 8)
        first = upper & u64(0xFF)
        wrong[fine] |= (upper & u64(0xFF00) != 0x2E00) | (first < 0x30) | (first > 0x39)
        fraction[fine] = micro[fine] + (first - u64(0x30)) * u64(100_000_000)
    seconds = decimal_behind(words, at - 1, b" ")
    good = seconds.good & ~wrong
    time = (seconds.value * _SECOND + fraction).view(np.int64)
    at = seconds.blank + 1
    blanks = blanks_before(words, at)
    at = at - blanks
    good &= blanks < 8
    flags = words.bytes[at - 1] != 0x5D  # "]"
    if flags.any():
        length = count_digits(last_place(words.before(at), BLANKS))
        good &= ~flags | (length >= 4) & (length < 8)
        at = np.where(flags, at - length, at)
        blanks = blanks_before(words, at)
        good &= ~flags | (blanks > 0) & (blanks < 8)
        at = np.where(flags, at - blanks, at)
        good &= words.bytes[at - 1] == 0x5D
    cpu = decimal_behind(words, at - 1, b"[")
    good &= cpu.good & (at - cpu.blank <= 8)
    at = cpu.blank
    blanks = blanks_before(words, at)
    good &= (blanks > 0) & (blanks < 8)
    at = at - blanks
    group = words.bytes[at - 1] == 0x29  # ")"
    if group.any():
        length = count_digits(last_place(words.before(at - 1), u64(0x2828282828282828)))
        good &= ~group | (length > 0) & (length < 8)
        at = np.where(group, at - length - 2, at)
        blanks = blanks_before(words, at)
        good &= ~group | (blanks > 0) & (blanks < 8)
        at = np.where(group, at - blanks, at)
    pid = decimal_behind(words, at, b"-")
    good &= pid.good & (pid.blank >= rows.start) & (pid.blank - rows.start <= MAX_TASK)
    return time, pid.value.view(np.int64), cpu.value.astype(np.int32), good


def open_at_the_end(text: bytes) -> int:
    """How many of the last bytes of these whole lines are not to be read without what follows."""
    if b"rwmmio_" in text or b"unsatisfied-read" in text:
        return _Block(text, 0, Regions(), False).waiting()
    return 0
