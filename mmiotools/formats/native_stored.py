"""A block of a native file for the compiled engine: its columns as they are stored, decompressed where asked for.

It is quick, and does without numpy. Whatever is unusual or wrong is `Unfit`: who reads blocks in earnest
(native_decode.py) knows what to do about it, and says it.
"""

from __future__ import annotations

import os
import zlib
from array import array
from functools import cached_property
from types import ModuleType
from typing import Any, Self

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats import native_extras
from mmiotools.formats.native_layout import (
    ADDRESS,
    CONSTANT,
    DELTA,
    DICTIONARY,
    ESCAPE,
    EVENTS,
    FRAME_SIZE,
    PLAIN,
    unpack,
    unpack_frame,
)
from mmiotools.formats.native_table import running_sums
from mmiotools.formats.native_zstd import expand, expand_planes
from mmiotools.tuples import NamedTuple

#: The columns that are taken, with the bits of their types; any other makes a block unfit.
BITS = {
    "kind": 8,
    "time": -64,
    "width": 8,
    "map": -64,
    "addr": 64,
    "value": 64,
    "pc": 64,
    "pid": -64,
    "opcode": 64,
    "cpu": -32,
}
_MOST_EVENTS = 1 << 16
#: What is no number of 64 bits, with a sign.
_TOP = 1 << 63
#: Kinds that are no accesses, as ranges of an expression; and extras that change how an event is spelled.
_RARE_FROM, _RARE_TO = array("Q", [Kind.UNKNOWN + 1]), array("Q", [255])
_SPELLED = frozenset({"value", "eol", "raw"})
#: What may be wrong with a block.
_WRONG = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


def joined(fast: ModuleType, planes: Any, count: int, zigzag: bool = False) -> array[int]:
    """The numbers behind packed planes. Raises Corrupt, or another error of unpacking."""
    out = array("Q", bytes(8 * count))
    fast.join(expand_planes(planes, count), count, None, zigzag, 8, out)
    return out


class Unfit(Exception):
    """Not to be read in the quick way."""


class Stored:
    """A block of n events. Times that a line of mmiotrace text has no room for, and columns that it does not know, make
    it unfit; a class derived from this one may see it differently.

    Raises Unfit, as all of its methods do.
    """

    #: Nanoseconds that a time is a multiple of.
    unit = 1000
    #: Columns that are not to be there; None: all but those of BITS.
    without: frozenset[str] | None = None

    def __init__(self, fast: ModuleType, n: int, head: Any, body: Any) -> None:
        self._fast = fast
        self.n = n
        self._columns: dict[str, Any] = {}
        self._unpacked: dict[Any, tuple[bytes, int]] = {}
        try:
            if not 1 <= n <= _MOST_EVENTS or head["n"] != n:
                raise Unfit
            self._directory = head["columns"]
            self._body = unpack(body)
            self._bitmaps = head.get("present")
            self._head = head
            names = self._directory.keys()
            strange = names - BITS.keys() - {"extras"} if self.without is None else names & self.without
            if strange or "kind" not in names:
                raise Unfit
        except _WRONG as error:
            raise Unfit from error
        self._unread = set(names)

    @classmethod
    def at(cls, fast: ModuleType, descriptor: int, start: int, stop: int, first: int, events: int) -> Self:
        """The block at start..stop-1 of an open file, which has the events from number `first` on."""
        return cls.of(fast, os.pread(descriptor, stop - start, start), stop - start, first, events)

    @classmethod
    def of(cls, fast: ModuleType, data: Any, size: int, first: int, events: int) -> Self:
        """The block that these bytes are, if they are `size`."""
        frame = unpack_frame(bytes(data[:FRAME_SIZE]))
        if frame is None or (frame.type, frame.first, frame.events) != (EVENTS, first, events):
            raise Unfit
        body = FRAME_SIZE + frame.head_length
        packed = data[FRAME_SIZE:body]
        if len(data) != size or body + frame.body_length != size or zlib.crc32(packed) != frame.head_crc:
            raise Unfit
        try:
            head = unpack(packed)
        except ValueError as error:
            raise Unfit from error
        return cls(fast, events, head, data[body:])

    @property
    def names(self) -> Any:
        """Of its columns."""
        return self._directory.keys()

    def column(self, name: str) -> Any:
        """A column as compiled/rows.c takes it: (bits, zigzag, planes or a constant, words, bitmap, steps); None where
        the block has none of that name.
        """
        try:
            return self._columns[name]
        except KeyError:
            pass
        try:
            found = self._read(name) if name in self._directory else None
        except _WRONG as error:
            raise Unfit from error
        self._columns[name] = found
        return found

    def _payload(self, name: str) -> Any:
        payload, entry = self._body.get(name, b""), self._directory[name]
        if len(payload) != entry[2] or zlib.crc32(payload) != entry[3]:
            raise Unfit
        self._unread.discard(name)
        return payload

    def _read(self, name: str) -> Any:
        encoding, bits, _, _, parameter, *bitmap = self._directory[name]
        payload = self._payload(name)
        if bits != BITS[name]:
            raise Unfit
        present, count = None, self.n
        if bitmap:
            present, count = self._bitmap(bitmap[0])
        if name == "time" and encoding not in (CONSTANT, DELTA):
            raise Unfit
        if encoding == CONSTANT:
            low = -1 << -bits - 1 if bits < 0 else 0
            if type(parameter) is not int or not low <= parameter < low + (1 << abs(bits)):
                raise Unfit
            if name == "time" and parameter % self.unit:
                raise Unfit
            return bits, 0, parameter, None, present, None
        parts = unpack(payload)
        if encoding == DELTA:
            first, unit = parameter
            if bits != -64 or type(first) is not int or type(unit) is not int or unit % self.unit:
                raise Unfit
            if not (-_TOP <= first < _TOP and -_TOP <= unit < _TOP):
                raise Unfit
            small = expand(parts["v"], count)
            large: Any = b""
            escaped = small.count(ESCAPE)
            if escaped:
                large = joined(self._fast, parts["x"] if "x" in parts else parts["z"], escaped, "x" not in parts)
            return bits, 0, [small], None, present, (first, unit, large)
        if encoding not in (PLAIN, DICTIONARY, ADDRESS):
            raise Unfit
        words, zigzag = None, int(bits < 0)
        if encoding == ADDRESS:
            words, zigzag = self.addresses, 0
            if words is None:
                raise Unfit
        elif encoding == DICTIONARY:
            size, packed = parts["k"]
            if type(size) is not int or not 0 < size <= max(count, 1):
                raise Unfit
            words = joined(self._fast, packed, size)
        return bits, zigzag, expand_planes(parts["v"], count), words, present, None

    def _bitmap(self, number: Any) -> tuple[bytes, int]:
        """A bitmap, and how many rows of the block have their bits set."""
        if number not in self._unpacked:
            bits = expand(self._bitmaps[number], (self.n + 7) // 8)
            count = (int.from_bytes(bits, "little") & (1 << self.n) - 1).bit_count()
            self._unpacked[number] = (bits, count)
        return self._unpacked[number]

    @cached_property
    def addresses(self) -> array[int] | None:
        """The distinct addresses, ascending; None where the block has no list of them."""
        if "addresses" not in self._head:
            return None
        try:
            size, planes = self._head["addresses"]
            if type(size) is not int or not 0 < size <= self.n:
                raise Unfit
            return running_sums(joined(self._fast, planes, size))
        except _WRONG as error:
            raise Unfit from error

    def check(self) -> None:
        """Look at the checksums of what was not read."""
        try:
            for name in tuple(self._unread):
                self._payload(name)
        except _WRONG as error:
            raise Unfit from error

    def numbers(self, name: str, rows: array[int] | None = None) -> tuple[memoryview, bytearray]:
        """The numbers of a column that is there in some rows, ascending, None for all, and a byte each: whether the row
        has one.
        """
        count = self.n if rows is None else len(rows)
        numbers, has = memoryview(bytearray(8 * count)), bytearray(count)
        try:
            self._fast.unpack_rows(self.n, self.column(name), rows, count, numbers, has)
        except _WRONG as error:
            raise Unfit from error
        return numbers.cast("q" if BITS[name] < 0 else "Q"), has

    def pick(self, names: tuple[str, ...], steps: list[Any], within: Any = None) -> array[int]:
        """The rows that an expression selects, ascending: `steps` as compiled/rows.c takes them, on columns of these
        names; of the rows with a byte that is not 0 in `within`.
        """
        rows = array("i", bytes(4 * self.n))
        try:
            count = self._fast.pick_rows(self.n, tuple(map(self.column, names)), steps, within, rows)
        except _WRONG as error:
            raise Unfit from error
        del rows[count:]
        return rows

    def extras(self) -> native_extras.Extras:
        """What is rare, by row."""
        if "extras" not in self.names:
            return {}
        try:
            return native_extras.decode(self._payload("extras"), self.n)
        except _WRONG as error:
            raise Unfit from error

    def rare(self) -> Rare:
        """The events that are no accesses. Raises Unfit for kinds that are not known, too, and where an access has
        something that no column holds, or a processor.
        """
        rows = self.pick(("kind",), [(0, 255, 0, _RARE_FROM, _RARE_TO)])
        extras = self.extras()
        if not rows:
            if extras or "cpu" in self.names:
                raise Unfit
            return _NOTHING_RARE
        if not extras.keys() <= set(rows) or any(not extra.keys().isdisjoint(_SPELLED) for extra in extras.values()):
            raise Unfit
        columns = {name: self.numbers(name, rows) for name in self.names if name not in ("kind", "extras")}
        kinds = self.numbers("kind", rows)[0].tolist()
        if max(kinds) > max(Kind) or any(columns.pop("opcode", (b"", b""))[1]):
            raise Unfit
        if "cpu" in columns:
            told = sum(has and kind == Kind.LOST for has, kind in zip(columns["cpu"][1], kinds, strict=True))
            if self.numbers("cpu")[1].count(1) != told:
                raise Unfit
        return Rare(rows, kinds, columns, extras)


class Rare(NamedTuple):
    """The events of a block that are no accesses, ascending: their rows and kinds, and what `event` makes them of."""

    rows: array[int]
    kinds: list[int]
    columns: dict[str, tuple[memoryview, bytearray]]
    extras: dict[int, Any]

    def event(self, at: int) -> Event:
        """One of them, by its place among them."""
        fields: dict[str, Any] = {name: numbers[at] for name, (numbers, has) in self.columns.items() if has[at]}
        return Event(Kind(self.kinds[at]), extra=self.extras.get(self.rows[at], NOTHING), **fields)

    def map_id(self, at: int) -> int | None:
        """The map that one of them names."""
        numbers, has = self.columns.get("map", ((), b""))
        return numbers[at] if has and has[at] else None


_NOTHING_RARE = Rare(array("i"), [], {}, {})
