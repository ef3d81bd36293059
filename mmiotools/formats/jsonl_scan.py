"""The bulk of JSON Lines on columns: accesses as the writer spells them, without Python per line.

A line is cut at its commas. What its keys are, one line says for all that have as many; of each line it is then checked
that the same keys stand at the same places, and only numbers, kinds and names of regions differ.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.alike import alike, text_words
from mmiotools.formats.line_columns import MARGIN
from mmiotools.formats.text_numbers import LAST, Index, Mask, Words, characters, decimal_words, hex_before, u64
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import DTYPES, Regions
from mmiotools.typed import Any, Iterable, NamedTuple, NDArray

#: Fewer lines than this are read one by one.
_WORTHWHILE = 64
#: Sets of keys that are tried in one batch.
_SETS = 12
#: Longest name of a region, with its quotes.
_LONGEST = 88
#: Longest text before the first comma.
_LONGEST_KIND = 16
_KINDS = {b'{"kind":"%s"' % kind.name.encode(): kind for kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN)}
_DECIMALS = {"time_ns": "time", "width": "width", "map": "map", "pid": "pid", "cpu": "cpu"}
_HEXES = ("addr", "offset", "value", "pc", "mr")
_NAME = rb'"[ !#-\[\]-~]*"'
_LINE = re.compile(
    rb'\{"kind":"[A-Z]{1,9}"((?:,"(?:time_ns|width|map|pid|cpu)":-?\d+|,"(?:addr|offset|value|pc|mr)":"0x[0-9a-f]+"'
    rb'|,"(?:region|space)":' + _NAME + rb")+)\}"
)
_KEY = re.compile(rb',"([a-z_]+)":')


class Scanned(NamedTuple):
    """Lines that were read: their rows (k,), kinds (k,), and columns by name, each with which of the rows have it."""

    rows: Index
    kinds: NDArray[np.uint8]
    columns: list[tuple[str, Index, NDArray[Any]]]


def scan(lines: list[bytes], regions: Regions) -> Scanned:
    """Those of some lines, given without line ends, that are accesses in the writer's spelling."""
    found = Scanned(np.zeros(0, np.int64), np.zeros(0, np.uint8), [])
    if len(lines) < _WORTHWHILE:
        return found
    block = b"\n".join([*lines, b""])
    sizes = np.fromiter(map(len, lines), np.int64, len(lines))
    ends = np.cumsum(sizes + 1) - 1
    text = _Text(block, ends - sizes, ends)
    left = text.accesses()
    parts = []
    for _ in range(_SETS):
        if len(left) < _WORTHWHILE:
            break
        example = int(left[0])
        match = _LINE.fullmatch(lines[example])
        keys = [] if match is None else [key.decode() for key in _KEY.findall(match[1])]
        rows = left[text.commas[left] == len(keys)] if _usable(keys) else left[:0]
        part = text.take(rows, keys, regions) if len(rows) else None
        done = left == example  # whatever became of it, it is no example again
        if part is not None:
            parts.append(part)
            done[np.searchsorted(left, part.rows)] = True
        left = left[~done]
    if not parts:
        return found
    columns = [column for part in parts for column in part.columns]
    return Scanned(
        np.concatenate([part.rows for part in parts]), np.concatenate([part.kinds for part in parts]), columns
    )


def _usable(keys: Iterable[str]) -> bool:
    """Whether keys are some that a line may have, none twice, and a space only behind its region."""
    held = list(keys)
    return bool(held) and len(set(held)) == len(held) and ("space" not in held or _follows(held, "region", "space"))


def _follows(held: list[str], first: str, second: str) -> bool:
    return first in held and held.index(second) == held.index(first) + 1


class _Text:
    """Lines of a block: where they begin and end (n,), and how many commas each has."""

    def __init__(self, block: bytes, starts: Index, ends: Index) -> None:
        self._block = block
        self._words = Words(block)
        self._starts, self._ends = starts, ends
        self._marks = flatnonzero(self._words.bytes == ord(","))
        self._first_marks = np.searchsorted(self._marks, starts)
        self.commas = np.diff(self._first_marks, append=len(self._marks))

    def accesses(self) -> Index:
        """Rows that begin as accesses do, far enough into the block to be looked at from the right."""
        rows = flatnonzero((self._starts >= MARGIN) & (self.commas > 0) & (self._ends - self._starts > 16))
        begins = self._words.after(self._starts[rows]) == characters(b'{"kind":')
        letters = self._words.after(self._starts[rows] + 8) >> u64(32)
        fits: Mask = np.zeros(len(rows), np.bool_)
        for kind in (b'"REA', b'"WRI', b'"UNK'):
            fits |= letters == characters(kind)
        found: Index = rows[begins & fits]
        return found

    def take(self, rows: Index, keys: list[str], regions: Regions) -> Scanned | None:
        """Of rows that have as many fields as there are keys, those that have these keys."""
        words = self._words
        rows = rows[words.bytes[self._ends[rows] - 1] == ord("}")]
        if not len(rows):
            return None
        cuts = [self._marks[self._first_marks[rows] + at] for at in range(len(keys))]
        cuts.append(self._ends[rows] - 1)
        good = cuts[0] - self._starts[rows] <= _LONGEST_KIND
        values: dict[str, Any] = {}
        texts: dict[str, tuple[Index, Index]] = {}
        for at, key in enumerate(keys):
            end = cuts[at + 1]
            begin = np.minimum(cuts[at] + len(key) + 4, end)
            good &= end > begin
            good &= self._has(begin, b',"%s":' % key.encode())
            if key in _HEXES:
                hexes = hex_before(words, end - 1, b'"')
                good &= hexes.good & (hexes.blank == begin) & (words.bytes[end - 1] == ord('"'))
                values[key] = hexes.value
            elif key in _DECIMALS:
                numbers, right = _decimals(words, begin, end, DTYPES[_DECIMALS[key]])
                good &= right
                values[_DECIMALS[key]] = numbers
            else:
                good &= end - begin <= _LONGEST
                texts[key] = (begin, end)
        rows, good_rows = rows[good], flatnonzero(good)
        if not len(rows):
            return None
        which, table = self._texts(self._starts[rows], cuts[0][good_rows])
        kinds = np.array([*(_KINDS.get(word, 255) for word in table), 255], np.uint8)[which]
        keep = kinds < 255
        codes = None
        if texts:
            codes = self._regions(texts, good_rows, regions)
            keep &= codes >= 0
        rows, kinds, good_rows = rows[keep], kinds[keep], good_rows[keep]
        columns = [(name, rows, data[good_rows]) for name, data in values.items()]
        if codes is not None:
            columns.append(("region", rows, codes[keep].astype(np.uint32)))
        return Scanned(rows, kinds, columns)

    def _has(self, end: Index, text: bytes) -> Mask:
        """Where this text, of up to 16 characters, stands before places."""
        right: Mask = self._words.before(end) & LAST[min(8, len(text))] == characters(text[-8:])
        if len(text) > 8:
            right &= self._words.before(end - 8) & LAST[len(text) - 8] == characters(text[:-8])
        return right

    def _texts(self, first: Index, last: Index) -> tuple[Index, list[bytes]]:
        """Texts of rows: the number of each in the list, or -1; in the order in which they come."""
        which, examples = alike([text_words(self._words, first, last)])
        order = np.argsort(examples, kind="stable")
        number = np.empty(len(order) + 1, np.int64)
        number[order] = np.arange(len(order))
        number[-1] = -1
        examples = examples[order]
        spans = zip(first[examples].tolist(), last[examples].tolist(), strict=True)
        return number[which], [self._block[start:end] for start, end in spans]

    def _regions(self, texts: dict[str, tuple[Index, Index]], rows: Index, regions: Regions) -> Index:
        """The codes of regions by where their names, and perhaps spaces, are; -1 where one is no plain name."""
        first, last = texts["region"]
        which, table = self._texts(first[rows], last[rows])
        spaces, space_table = np.zeros(len(which), np.int64), [b'"mem"']
        if "space" in texts:
            first, last = texts["space"]
            spaces, space_table = self._texts(first[rows], last[rows])
        pairs = np.where((which < 0) | (spaces < 0), -1, which * len(space_table) + spaces)
        codes = np.full(len(table) * len(space_table) + 1, -1, np.int64)
        for pair in distinct(pairs[pairs >= 0]).tolist():
            name, space = table[pair // len(space_table)], space_table[pair % len(space_table)]
            if re.fullmatch(_NAME, name) and re.fullmatch(_NAME, space):
                codes[pair] = regions.code(name[1:-1].decode(), space[1:-1].decode() or "mem")
        found: Index = codes[pairs]
        return found


def _decimals(words: Words, begin: Index, end: Index, dtype: Any) -> tuple[NDArray[Any], Mask]:
    """Integers of up to 19 digits in [begin, end), and which are such, spelled without need of a second look."""
    first = words.bytes[np.minimum(begin, len(words.bytes) - 1)]
    minus = first == ord("-")
    begin = begin + minus
    count = end - begin
    good = (count > 0) & (count <= 19)
    first = words.bytes[np.minimum(begin, len(words.bytes) - 1)]
    good &= (first != ord("0")) | ((count == 1) & ~minus)
    total, wrong = decimal_words(words.before(end), LAST[np.clip(count, 0, 8)])
    for done, factor in ((8, 10**8), (16, 10**16)):
        if not (count > done).any():
            break
        more, bad = decimal_words(words.before(end - done), LAST[np.clip(count - done, 0, 8)])
        total = total + more * u64(factor)
        wrong |= bad
    good &= total >> u64(63) == 0
    limit = np.iinfo(dtype)
    numbers = np.where(minus, -total.view(np.int64), total.view(np.int64))
    good &= ~wrong & (numbers >= limit.min) & (numbers <= limit.max)
    return numbers.astype(dtype), good
