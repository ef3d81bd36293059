"""Counts of the accesses of native blocks without their columns, on the compiled engine. A block that is out of the
ordinary is left to who decodes it, who also says what is wrong with one that is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from types import ModuleType
from typing import Any, NamedTuple

from mmiotools.events import NOTHING, Event, Kind
from mmiotools.formats import native_extras
from mmiotools.formats.native_columns import (
    ADDRESS,
    CONSTANT,
    DELTA,
    DICTIONARY,
    PLAIN,
    Corrupt,
    _planes,
    check,
    expand,
)
from mmiotools.formats.native_layout import unpack
from mmiotools.formats.native_planes import ESCAPE
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH, Counted, Times

#: What a block may raise that says nonsense, here as when it is decoded.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
#: A row that is no access: its number, time, map, address, kind, width, and which of these it has.
_RARE = Struct("=qqqQBBB5x")
_HAS_TIME = 16
#: Most rows of a block, and columns.
_MOST_ROWS, _MOST_COLUMNS = 1 << 16, 256
#: Entries that a tally is emptied at.
_MOST_ENTRIES = 1 << 16
#: The column, its type, and what it may be encoded as.
_TYPES = {
    "kind": (8, (CONSTANT, PLAIN)),
    "addr": (64, (CONSTANT, PLAIN, DICTIONARY, ADDRESS)),
    "map": (-64, (CONSTANT, PLAIN, DICTIONARY)),
    "width": (8, (CONSTANT, PLAIN)),
    "time": (-64, (CONSTANT, DELTA)),
}
_COUNTED = ("addr", "map", "width", "time")
_NAMED = ("region", "offset")


class _Block(NamedTuple):
    """What the columns of a block share: its rows, its addresses, its bitmaps with how many rows each has."""

    rows: int
    addresses: bytearray | None
    present: list[Any]
    bitmaps: dict[int, tuple[bytes, int]]


class BlockTally:
    """Counts over blocks that follow each other."""

    def __init__(self, fast: ModuleType) -> None:
        self._fast = fast
        self._tally = fast.new_tally()
        self._events = 0
        self._times: Times | None = None
        self._rare: list[Event] = []
        self._rows: list[int] = []
        self._full = False

    def add(self, n: int, head: Any, packed: Any) -> bool:
        """Count a block of n events; False, and nothing is counted, where it is to be decoded."""
        try:
            return self._add(n, head, packed)
        except _NONSENSE:
            return False

    def _add(self, n: int, head: Any, packed: Any) -> bool:
        if not 1 <= n <= _MOST_ROWS or head["n"] != n:
            return False
        directory, body = head["columns"], unpack(packed)
        if len(directory) > _MOST_COLUMNS or any(name in directory for name in _NAMED):
            return False
        addresses = None
        if "addresses" in head:
            size, planes = head["addresses"]
            if not 0 < size <= n:
                return False
            addresses = self._words(planes, size)
            self._fast.sums(addresses)
        block = _Block(n, addresses, head.get("present") or [], {})
        for name, entry in directory.items():
            check(entry, body.get(name, b""))
        columns: dict[str, Any] = dict.fromkeys(_COUNTED)
        steps = None
        for name in columns:
            if name in directory:
                columns[name], of_steps = self._column(name, directory[name], body.get(name), block)
                steps = of_steps or steps
        kind, _ = self._column("kind", directory["kind"], body.get("kind"), block)
        if len(directory["kind"]) > 5 or len(kind[0]) > 1:
            return False
        kinds = kind[0][0] if kind[0] else bytes([kind[1]]) * n
        extras = {}
        if "extras" in directory:
            extras = native_extras.decode(directory["extras"], body.get("extras", b""), n)
        told = self._fast.tally_block(self._tally, n, kinds, *columns.values(), steps)
        if told is None:
            return False
        times, rare, entries = told
        if times is not None:
            self._add_times(Times(*times))
        for row, time, map_id, addr, kind, width, has in _RARE.iter_unpack(rare):
            self._rows.append(self._events + row)
            self._rare.append(
                Event(
                    Kind(kind),
                    time if has & _HAS_TIME else None,
                    width if has & HAS_WIDTH else None,
                    map_id if has & HAS_MAP else None,
                    addr if has & HAS_ADDR else None,
                    extra=extras.get(row, NOTHING),
                )
            )
        self._events += n
        self._full = entries >= _MOST_ENTRIES
        return True

    def _add_times(self, times: Times) -> None:
        before = self._events
        moved = times._replace(first_row=times.first_row + before, last_row=times.last_row + before)
        self._times = moved.along(self._times)

    @property
    def full(self) -> bool:
        """Whether it is time to take what was counted."""
        return self._full

    def taken(self) -> Iterator[Counted]:
        """What was counted since the last time, if there is any."""
        if self._events:
            yield Counted(self._events, self._fast.take_entries(self._tally), self._times, self._rare, self._rows)
            self._events, self._times, self._rare, self._rows, self._full = 0, None, [], [], False

    # -- columns ------------------------------------------------------------------------------------------

    def _column(self, name: str, entry: Any, payload: Any, block: _Block) -> tuple[Any, Any]:
        """What `tally_block` takes as a column, and as steps. Raises one of _NONSENSE."""
        encoding, bits, _, _, parameter, *bitmap = entry
        wanted, encodings = _TYPES[name]
        if bits != wanted or encoding not in encodings:
            raise Corrupt("another type or encoding")
        rows, held = None, block.rows
        if bitmap:
            rows, held = _bitmap(bitmap[0], block)
        if encoding == CONSTANT:
            low, high = (-1 << 63, 1 << 63) if bits < 0 else (0, 1 << bits)
            if type(parameter) is not int or not low <= parameter < high:
                raise Corrupt("a value is beyond its type")
            return ([], parameter & (1 << 64) - 1, None, rows), None
        parts = unpack(payload)
        if encoding == DELTA:
            first, unit = parameter
            if type(first) is not int or type(unit) is not int:
                raise Corrupt("its times begin nowhere")
            small = expand(parts["v"], held)
            escaped = small.count(ESCAPE)
            return ([small], 0, None, rows), (first, unit, self._large(parts, escaped))
        planes = _planes(parts["v"], held)
        if bits == 8 and len(planes) > 1:
            raise Corrupt("more planes than its type has")
        words = None
        if encoding == ADDRESS:
            if block.addresses is None:
                raise Corrupt("the address dictionary is missing")
            words = block.addresses
        elif encoding == DICTIONARY:
            size, packed = parts["k"]
            if not 0 < size <= max(held, 1):
                raise Corrupt("its dictionary has an impossible size")
            words = self._words(packed, size)
        return (planes, 0, words, rows), None

    def _words(self, planes: Any, n: int) -> bytearray:
        """The numbers behind byte planes, as words of 8 bytes."""
        out = bytearray(8 * n)
        self._fast.join(_planes(planes, n), n, None, False, 8, out)
        return out

    def _large(self, parts: dict[str, Any], escaped: int) -> bytearray:
        """The steps that do not fit a byte."""
        if not escaped:
            return bytearray()
        if "x" in parts:
            return self._words(parts["x"], escaped)
        out = bytearray(8 * escaped)
        self._fast.join(_planes(parts["z"], escaped), escaped, None, True, 8, out)
        return out


def _bitmap(number: Any, block: _Block) -> tuple[bytes, int]:
    """The bits of that number, and how many rows have theirs set."""
    found = block.bitmaps.get(number)
    if found is None:
        bits = expand(block.present[number], (block.rows + 7) // 8)
        held = (int.from_bytes(bits, "little") & (1 << block.rows) - 1).bit_count()
        found = block.bitmaps[number] = (bits, held)
    return found
