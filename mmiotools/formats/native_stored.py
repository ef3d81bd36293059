"""A block of a native file for the compiled engine: its columns as they are stored, decompressed where asked for.

It is quick, and does without numpy. Whatever is unusual or wrong is `Unfit`: who reads blocks in earnest
(native_decode.py) knows what to do about it, and says it.
"""

from __future__ import annotations

import os
import zlib

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats import native_extras
from mmiotools.formats.native_zstd import DAMAGED, expand_planes, expand_whole
from mmiotools.small import array
from mmiotools.typed import Any, Callable, ModuleType, Self

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
#: What an event has, in its order, where a column has it; and any number.
_FIELDS = tuple(name if name in BITS else None for name in Event._fields[:-1])
_MAP = _FIELDS.index("map")
_ANY = [(0, (1 << 64) - 1, 0, array("Q", [0]), array("Q", [(1 << 64) - 1]))]
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
            return Rare(rows, [], extras)
        if not extras.keys() <= set(rows) or any(not extra.keys().isdisjoint(_SPELLED) for extra in extras.values()):
            raise Unfit
        fields = self._fast.take_rows(self._block, _FIELDS, rows)
        if max([row[0] for row in fields]) > max(Kind):
            raise Unfit
        if "opcode" in self.names and self._fast.take_rows(self._block, ("opcode",), rows) != [(None,)] * len(rows):
            raise Unfit
        if "cpu" in self.names:
            told = sum(kind == Kind.LOST and cpu is not None for kind, *_, cpu in fields)
            if len(self._fast.pick_rows(self._block, ("cpu",), _ANY, None)) != told * rows.itemsize:
                raise Unfit
        return Rare(rows, fields, extras)


_TAKEN = BITS.keys() | {"extras"}


def rare_rows(fast: Any, block: Any) -> Rows:
    """Which rows of a block are no accesses, ascending. Raises one of WRONG."""
    return memoryview(fast.pick_rows(block, ("kind",), _RARE, None)).cast("i")


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
    """The events of a block that are no accesses, ascending: their rows and kinds, and what `event` makes of them."""

    def __init__(self, rows: Rows, fields: list[Any], extras: native_extras.Extras) -> None:
        self.rows = rows
        self.kinds: list[int] = [row[0] for row in fields]
        self._fields = fields
        self._extras = extras

    def event(self, at: int) -> Event:
        """One of them, by its place among them."""
        kind, *fields = self._fields[at]
        return Event._make((Kind(kind), *fields, self._extras.get(self.rows[at], NOTHING)))

    def later(self, at: int) -> Callable[[], Event]:
        """What makes one of them."""
        return lambda: self.event(at)

    def map_id(self, at: int) -> int | None:
        """The map that one of them names."""
        found: int | None = self._fields[at][_MAP]
        return found
