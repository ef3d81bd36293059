"""Lines in which numbers differ and little else, on columns: what lies around the numbers is parsed once for all lines
that have it.

A format says what its commonest lines look like: a pattern of their canonical spelling, in which numbers that differ
from line to line are named groups. Lines of one length whose ends are alike, any digit for any other, are thought to
have their numbers at the same places, and one of them tells where that is. Then the numbers are blotted out, and of
lines that are the same in all else one is parsed. A line that turns out to be otherwise is left to who parses it alone.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import NUMERIC_FIELDS, Event, Kind
from mmiotools.formats.alike import alike, spread, text_words
from mmiotools.formats.line_columns import Lines
from mmiotools.formats.text_numbers import U64, Index, Mask, Words, numbers_at
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import DTYPES, EOL_CRLF, Regions
from mmiotools.typed import Any, Callable, Mapping, NamedTuple, NDArray, Sequence

#: Fewer lines than this are parsed one by one.
_WORTHWHILE = 16
#: The longest line that is looked at, a multiple of 8, and the shortest.
_LONGEST, _SHORTEST = 256, 24
#: So many lines are looked at together, so that their characters stay in the cache; no more than `alike` tells apart.
_TOGETHER = 1 << 12
#: Any digit for any other.
_ANY_DIGIT = bytes.maketrans(b"123456789abcdefABCDEF", b"0" * 21)

Parse = Callable[[bytes, Regions], Event | str | None]


class Taken(NamedTuple):
    """Lines taken in bulk: kinds (n,), columns (n,) by name with which rows have them (None: all), extras or None."""

    kind: NDArray[np.uint8]
    columns: dict[str, tuple[NDArray[Any], Mask | None]]
    extras: Sequence[dict[str, Any]] | None = None


class Hole(NamedTuple):
    """How a number is spelled: with `least` digits, or with as many as it needs beyond them, 16 at most; letters are
    `upper` case or lower.
    """

    least: int = 1
    base: int = 16
    upper: bool = False


class Numbers(NamedTuple):
    """The numbers of one hole: which rows have it, what it is, 0 where it is not, and its digits, (n,) each."""

    present: Mask
    value: U64
    digits: Index


class Shape(NamedTuple):
    """What lines look like.

    pattern  of a whole line without its end; a number that is a named group has no say in the rest of the event
    holes    how these are spelled, by name: that of a column, of one of the extras, or of what `fields` makes those of
    fields   changes numbers by name into those of columns and extras, in place, and says which rows are right, (n,)
    """

    pattern: bytes
    holes: Mapping[str, Hole]
    fields: Callable[[dict[str, Numbers]], Mask] | None = None


def scan(lines: Lines, shape: Shape, parse: Parse, regions: Regions) -> list[tuple[Index, Taken]]:
    """The rows of those lines that are of a shape, and what they are; rows ascend."""
    size = lines.text_ends - lines.starts
    # All that is looked at of a line, as far to the left as of the longest, lies in the block.
    rows = flatnonzero((lines.text_ends >= _LONGEST) & (size >= _SHORTEST) & (size <= _LONGEST))
    if len(rows) < _WORTHWHILE:
        return []
    any_digit = Words(lines.block.translate(_ANY_DIGIT))
    pieces = (_Piece(lines, shape, rows[at : at + _TOGETHER]) for at in range(0, len(rows), _TOGETHER))
    return [found for piece in pieces if (found := piece.taken(any_digit, parse, regions)) is not None]


class _Piece:
    """Some lines, (n,), of a block, fewer as it is found that they are of no shape."""

    def __init__(self, lines: Lines, shape: Shape, rows: Index) -> None:
        self._lines, self._shape, self._rows = lines, shape, rows
        self._pattern = re.compile(shape.pattern)
        self._start, self._end = lines.starts[rows], lines.text_ends[rows]
        #: Of each layout and hole, the characters of the line behind it, and its digits, 0 for none.
        self._behind = self._digits = np.zeros((0, len(shape.holes)), np.int64)
        #: Which layout a line has.
        self._layout = rows

    def taken(self, any_digit: Words, parse: Parse, regions: Regions) -> tuple[Index, Taken] | None:
        self._lay_out(any_digit)
        numbers = self._numbers()
        if not len(self._rows):
            return None
        words = self._lines.words
        text = text_words(words, self._start, self._end)
        text &= self._around(text.shape[1] * 8)[self._layout]
        which, examples = alike([text])
        table = [self._template(row, parse, regions) for row in examples.tolist()]
        usable = np.array([*(event is not None for event in table), False])[which]
        usable &= self._layout == np.array([*self._layout[examples], -1])[which]
        self._keep(usable, numbers)
        if not len(self._rows):
            return None
        known = [event or Event(Kind.NOTE) for event in table]
        return self._rows, self._events(known, which[usable], numbers, regions)

    def _keep(self, good: Mask, numbers: dict[str, Numbers]) -> None:
        """Lines that are good alone."""
        if good.all():
            return
        self._rows, self._start, self._end = self._rows[good], self._start[good], self._end[good]
        self._layout = self._layout[good]
        for name, column in numbers.items():
            numbers[name] = Numbers(column.present[good], column.value[good], column.digits[good])

    def _line(self, row: int) -> bytes:
        return self._lines.block[self._start[row] : self._end[row]]

    def _lay_out(self, any_digit: Words) -> None:
        """Where lines have their numbers, as far as one can tell by their ends."""
        size = self._end - self._start
        self._layout, examples = alike([any_digit.before_wide(self._end, _SHORTEST), size.view(np.uint64)[:, None]])
        spans = [self._spans(self._line(row)) for row in examples.tolist()]
        self._keep(np.array([*(one is not None for one in spans), False])[self._layout], {})
        nowhere = [(0, 0)] * len(self._shape.holes)
        places = np.array([one or nowhere for one in spans], np.int64).reshape(len(spans), len(nowhere), 2)
        self._behind, self._digits = places[:, :, 0], places[:, :, 1]

    def _spans(self, line: bytes) -> list[tuple[int, int]] | None:
        """Of each hole, the characters behind it, and its digits."""
        match = self._pattern.fullmatch(line)
        if match is None:
            return None
        ends = [match.span(name) for name in self._shape.holes]
        return [(len(line) - end, end - start) if end > start else (0, 0) for start, end in ends]

    def _numbers(self) -> dict[str, Numbers]:
        """The numbers by name, and only the lines left in which all are spelled as they should be."""
        n = len(self._rows)
        good = np.ones(n, np.bool_)
        numbers: dict[str, Numbers] = {}
        for at, (name, hole) in enumerate(self._shape.holes.items()):
            digits = self._digits[:, at][self._layout]
            present = digits > 0
            rows: Any = slice(None) if present.all() else flatnonzero(present)
            value, count = np.zeros(n, np.uint64), digits[rows]
            end = self._end[rows] - self._behind[:, at][self._layout[rows]]
            value[rows], wrong = numbers_at(self._lines.words, end, count, hole.base, upper=hole.upper)
            if hole.least < 16:
                needless = np.array([0] * (hole.least + 1) + [hole.base**d for d in range(hole.least, 16)], np.uint64)
                wrong |= value[rows] < needless[count]
            good[rows] &= ~wrong
            numbers[name] = Numbers(present, value, digits)
        if self._shape.fields is not None:
            good &= self._shape.fields(numbers)
        self._keep(good, numbers)
        return numbers

    def _around(self, width: int) -> U64:
        """Masks (layouts, w) of what is no number, of the last `width` characters of a line."""
        place = np.arange(width, 0, -1)
        keep = np.ones((len(self._behind), width), np.bool_)
        for behind, digits in zip(self._behind.T, self._digits.T, strict=True):
            keep &= (place <= behind[:, None]) | (place > (behind + digits)[:, None])
        return (keep * np.uint8(255)).view(np.uint64)

    def _template(self, row: int, parse: Parse, regions: Regions) -> Event | None:
        """The event of a line; None where it is no access, or has its numbers elsewhere."""
        line, layout = self._line(row), self._layout[row]
        there = zip(self._behind[layout].tolist(), self._digits[layout].tolist(), strict=True)
        if self._spans(line) != list(there):
            return None
        event = parse(line, regions)
        return event if isinstance(event, Event) and event.kind <= Kind.WRITE else None

    def _events(self, table: list[Event], which: Index, numbers: dict[str, Numbers], regions: Regions) -> Taken:
        columns: dict[str, tuple[NDArray[Any], Mask | None]] = {}
        for name in NUMERIC_FIELDS:
            if name in numbers:
                present, value, _ = numbers[name]
                if present.any():
                    columns[name] = value.astype(DTYPES[name]), None if present.all() else present
            elif found := spread([getattr(event, name) for event in table], DTYPES[name], which):
                columns[name] = found
        codes = [None if event.region is None else regions.code(event.region) for event in table]
        if found := spread(codes, DTYPES["region"], which):
            columns["region"] = found
        crlf = self._lines.crlf
        if crlf is not None and (returns := crlf[self._rows]).any():
            columns["eol"] = np.full(len(which), EOL_CRLF, DTYPES["eol"]), returns
        kind = np.array([event.kind for event in table], np.uint8)[which]
        return Taken(kind, columns, _extras(table, which, numbers))


def _extras(table: list[Event], which: Index, numbers: dict[str, Numbers]) -> list[dict[str, Any]] | None:
    """What templates say beside fields, with each line's own numbers."""
    own = [(name, column) for name, column in numbers.items() if name not in DTYPES and column.present.any()]
    said = [dict(event.extra) for event in table]
    if not own:
        return [said[at] for at in which.tolist()] if any(said) else None
    extras = [{**said[at]} for at in which.tolist()]
    for name, (present, value, _) in own:
        rows = range(len(extras)) if present.all() else flatnonzero(present).tolist()
        for row, number in zip(rows, value[present].tolist(), strict=True):
            extras[row][name] = number
    return extras
