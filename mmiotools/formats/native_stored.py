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
from mmiotools.formats.native_zstd import DAMAGED, expand_planes, expand_whole

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
#: Nanoseconds that a time of a line of mmiotrace text is a multiple of.
_UNIT = 1000
#: An expression about kinds: those that are no accesses; and extras that change how an event is spelled.
_RARE = [(0, 255, 0, array("Q", [Kind.UNKNOWN + 1]), array("Q", [255]))]
_SPELLED = frozenset({"value", "eol", "raw"})
#: Columns of accesses in regions that the format named.
_REGIONS = frozenset({"region", "offset"})
#: What the engine says where it has too little room.
_NO_ROOM = -2
#: What may be wrong with a block.
WRONG = (ValueError, TypeError, LookupError, AttributeError, OverflowError, *DAMAGED)


def joined(fast: ModuleType, planes: Any, count: int) -> array[int]:
    """The numbers behind packed planes. Raises Corrupt, or another error of unpacking."""
    out = array("Q", bytes(8 * count))
    fast.join(expand_planes(planes, count), count, None, False, 8, out)
    return out


#: Numbers of rows, "i".
Rows = memoryview


class Unfit(Exception):
    """Not to be read in the quick way."""


class Stored:
    """A block of n events. Times that a line of mmiotrace text has no room for, and columns that it does not know, make
    it unfit.

    Raises Unfit, as all of its methods do.
    """

    def __init__(self, fast: ModuleType, n: int, block: Any) -> None:
        self.n = n
        self._fast = fast
        self._block = block
        self.names = frozenset(fast.block_names(block))
        if not self.names <= _TAKEN:
            raise Unfit

    @classmethod
    def at(cls, fast: ModuleType, descriptor: int, start: int, stop: int, first: int, events: int) -> Self:
        """The block at start..stop-1 of an open file, which has the events from number `first` on."""
        try:
            data = os.pread(descriptor, stop - start, start)
            return cls(fast, events, fast.read_block(data, first, events, _UNIT, expand_whole, zlib.crc32))
        except WRONG as error:
            raise Unfit from error

    @classmethod
    def of(cls, fast: ModuleType, head: Any, body: Any, events: int) -> Self:
        """The block that has this head and this body."""
        try:
            return cls(fast, events, fast.read_parts(head, body, events, _UNIT, expand_whole, zlib.crc32))
        except WRONG as error:
            raise Unfit from error

    @property
    def addresses(self) -> memoryview | None:
        """The distinct addresses, ascending; None where the block has no list of them."""
        try:
            packed = self._fast.block_addresses(self._block)
        except WRONG as error:
            raise Unfit from error
        return None if packed is None else memoryview(packed).cast("Q")

    def pick(self, names: tuple[str, ...], steps: list[Any], within: Any = None) -> Rows:
        """The rows that an expression selects, ascending: `steps` as compiled/rows.c takes them, on columns of these
        names; of the rows with a byte that is not 0 in `within`.
        """
        try:
            return memoryview(self._fast.pick_rows(self._block, names, steps, within)).cast("i")
        except WRONG as error:
            raise Unfit from error

    def within(self, low: int, high: int, inside: bool) -> tuple[bytearray, bool]:
        """Which rows lie in a range of times, a byte each, and whether the last one does: the first ones that have no
        time of their own are `inside` or not.
        """
        found = bytearray(self.n)
        try:
            return found, self._fast.rows_within(self._block, low, high, inside, found)
        except WRONG as error:
            raise Unfit from error

    def print(self, rows: Rows, between: array[int], lines: list[bytes], room: memoryview) -> int | None:
        """Put the lines of rows that are accesses into some memory, and `lines` for the rows `between`; how many bytes
        it was, None where it is too little. LINE_MOST bytes for each row, and those of the lines, are enough.
        """
        try:
            written: int = self._fast.print_picked(self._block, rows, len(rows), between, lines, room)
        except WRONG as error:
            raise Unfit from error
        if written == _NO_ROOM:
            return None
        if written < 0:
            raise Unfit
        return written

    def _numbers(self, name: str, rows: Rows | None = None) -> tuple[memoryview, bytearray]:
        return numbers_of(self._fast, self._block, name, rows, self.n if rows is None else len(rows))

    def rare(self) -> Rare:
        """The events that are no accesses. Raises Unfit for kinds that are not known, too, and where an access has
        something that no column holds, or a processor.
        """
        try:
            return self._rare(rare_rows(self._fast, self._block))
        except WRONG as error:
            raise Unfit from error

    def _rare(self, rows: Rows) -> Rare:
        extras = extras_of(self._fast, self._block, self.n)
        if not rows:
            if extras or "cpu" in self.names:
                raise Unfit
            return Rare(self, rows, [], extras)
        if not extras.keys() <= set(rows) or any(not extra.keys().isdisjoint(_SPELLED) for extra in extras.values()):
            raise Unfit
        kinds = self._numbers("kind", rows)[0].tolist()
        if max(kinds) > max(Kind) or ("opcode" in self.names and any(self._numbers("opcode", rows)[1])):
            raise Unfit
        if "cpu" in self.names:
            have = self._numbers("cpu", rows)[1]
            told = sum(has and kind == Kind.LOST for has, kind in zip(have, kinds, strict=True))
            if self._numbers("cpu")[1].count(1) != told:
                raise Unfit
        return Rare(self, rows, kinds, extras)

    def columns(self, rows: Rows) -> dict[str, tuple[memoryview, bytearray]]:
        """The numbers of all columns but kinds and opcodes in some rows, and whether each row has one."""
        try:
            return {name: self._numbers(name, rows) for name in self.names - _APART}
        except WRONG as error:
            raise Unfit from error


_TAKEN = BITS.keys() | {"extras"}
#: Columns that an event that is no access has not, or has otherwise.
_APART = frozenset({"kind", "opcode", "extras"})


def rare_rows(fast: Any, block: Any) -> Rows:
    """Which rows of a block are no accesses, ascending. Raises one of WRONG."""
    return memoryview(fast.pick_rows(block, ("kind",), _RARE, None)).cast("i")


def numbers_of(fast: Any, block: Any, name: str, rows: Rows | None, count: int) -> tuple[memoryview, bytearray]:
    """The numbers of a column of a block in `count` rows, ascending, None for all, and a byte each: whether the row has
    one. Raises one of WRONG.
    """
    numbers, has = memoryview(bytearray(8 * count)), bytearray(count)
    fast.unpack_rows(block, name, rows, count, numbers, has)
    return numbers.cast("q" if BITS[name] < 0 else "Q"), has


def countable(fast: Any, data: Any, first: int, n: int) -> Any:
    """The block of n events, from number `first` on, that `data` is, where no access of it lies in a region that the
    format named. Raises one of WRONG, or Unfit.
    """
    block = fast.read_block(data, first, n, 1, expand_whole, zlib.crc32)
    if not _REGIONS.isdisjoint(fast.block_names(block)):
        raise Unfit
    return block


def extras_of(fast: Any, block: Any, n: int) -> native_extras.Extras:
    """What is rare in a block of n events, by row. Raises one of WRONG."""
    payload = fast.block_extras(block)
    return {} if payload is None else native_extras.decode(payload, n)


class Rare:
    """The events of a block that are no accesses, ascending: their rows and kinds, and what `event` makes them of.

    May raise Unfit.
    """

    def __init__(self, stored: Stored, rows: Rows, kinds: list[int], extras: native_extras.Extras) -> None:
        self.rows = rows
        self.kinds = kinds
        self._stored = stored
        self._extras = extras

    @cached_property
    def _columns(self) -> dict[str, list[int | None]]:
        return {
            name: [number if there else None for number, there in zip(numbers.tolist(), has, strict=True)]
            for name, (numbers, has) in self._stored.columns(self.rows).items()
        }

    @cached_property
    def _fields(self) -> list[tuple[int | None, ...]]:
        """Of each event, all but its kind and what is extra, in the order of Event."""
        missing = [None] * len(self.rows)
        return list(zip(*[self._columns.get(name, missing) for name in Event._fields[1:-1]], strict=True))

    def event(self, at: int) -> Event:
        """One of them, by its place among them."""
        extra = self._extras.get(self.rows[at], NOTHING)
        return Event._make((Kind(self.kinds[at]), *self._fields[at], extra))

    def map_id(self, at: int) -> int | None:
        """The map that one of them names."""
        maps = self._columns.get("map")
        return None if maps is None else maps[at]
