"""Names and bits of registers: which register of the loaded maps an offset is, and where a name lies.

One `Names` serves a whole run. Of several maps that hold in a region the earlier one wins. Bulk work asks for a
`Table` of a region once and looks up whole columns in it.
"""

from __future__ import annotations

import numpy as np

from mmiotools.trace.address_space import Region
from mmiotools.trace.regmap import MAX_WIDTH, Field, Register, RegisterMap
from mmiotools.typed import Any, Iterable, NamedTuple, NDArray, Sequence

_U64 = NDArray[np.uint64]
#: How many registers that begin before an offset are asked whether they reach it: registers that overlap are rare.
_OVERLAPS = 4
#: Answers of `find` that are kept.
_REMEMBERED = 1 << 16


class Found(NamedTuple):
    """What lies at an offset: a register, the element of an array, and how many bytes into it the offset is."""

    map: RegisterMap
    register: Register
    element: int
    distance: int

    @property
    def name(self) -> str:
        """The register's name, with its subscript."""
        return self.register.element(self.element)

    @property
    def text(self) -> str:
        """The name as an address: NAME, or NAME+2 for its third byte."""
        return f"{self.name}+{self.distance}" if self.distance else self.name


class Place(NamedTuple):
    """What a name stands for: a register of a map, one element of an array or all (None), one field or none."""

    map: RegisterMap
    register: Register
    element: int | None
    field: Field | None


class Change(NamedTuple):
    """A field that two values of a register differ in; `old` and `new` are what it holds, as text."""

    name: str
    old: str
    new: str


class Table:
    """Every register of one region, sorted by offset: `starts` (n,), `ends` (n,), and what begins there."""

    def __init__(self, parts: Sequence[tuple[RegisterMap, int]]) -> None:
        self._registers = [(regmap, register) for regmap, _ in parts for register in regmap.registers]
        starts, ends, which, element = [], [], [], []
        number = 0
        for regmap, shift in parts:
            for register in regmap.registers:
                index, at = _spread(register, shift, regmap)
                starts.append(at)
                ends.append(at + np.uint64(register.width))
                which.append(np.full(len(at), number, np.int32))
                element.append(index)
                number += 1
        joined = np.concatenate(starts) if starts else np.zeros(0, np.uint64)
        order = np.argsort(joined, kind="stable")
        self.starts: _U64 = joined[order]
        self.ends: _U64 = np.concatenate(ends)[order] if ends else joined
        self._which: NDArray[np.int32] = np.concatenate(which)[order] if which else np.zeros(0, np.int32)
        self._element: NDArray[np.int64] = np.concatenate(element)[order] if element else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def look_up(self, offsets: _U64) -> NDArray[np.int64]:
        """Row of the table for each offset (n,), -1 where there is no register. A register that begins at the offset
        goes before one that reaches it, and of those that begin there the first of the first map wins.
        """
        if not len(self.starts):
            return np.full(len(offsets), -1, np.int64)
        at = np.searchsorted(self.starts, offsets, "left").astype(np.int64)
        inside = np.minimum(at, len(self.starts) - 1)
        found = np.where(self.starts[inside] == offsets, inside, np.int64(-1))
        for back in range(1, _OVERLAPS + 1):
            before = at - back
            rows = np.maximum(before, 0)
            reaches = (before >= 0) & (found < 0) & (offsets < self.ends[rows])
            found = np.where(reaches, rows, found)
        return found

    def found(self, row: int, offset: int) -> Found:
        """What row `row` of the table is, seen from an offset in it."""
        regmap, register = self._registers[int(self._which[row])]
        return Found(regmap, register, int(self._element[row]), offset - int(self.starts[row]))


def _spread(register: Register, shift: int, regmap: RegisterMap) -> tuple[NDArray[np.int64], _U64]:
    """Numbers and offsets in the region of the elements that lie in it."""
    first = register.offset - shift
    index = np.arange(register.count, dtype=np.int64)
    address = regmap.binding.address
    if address is not None and address[1] is not None and address[1] > 0:
        # A map of a window says nothing about what lies behind it.
        room = address[1] - register.offset
        index = index[: 0 if room <= 0 else (room - 1) // register.stride + 1 if register.stride else 1]
    if first < 0:
        # Part of an array may still lie in the region.
        skipped = len(index) if not register.stride else -(first // register.stride)
        index = index[skipped:]
        if not len(index):
            return index, np.zeros(0, np.uint64)
        first += skipped * register.stride
    return index, np.arange(len(index), dtype=np.uint64) * np.uint64(register.stride) + np.uint64(first)


class Names:
    """Register maps, the earlier ones first. `bool()` says whether there are any."""

    def __init__(self, maps: Iterable[RegisterMap] = ()) -> None:
        self.maps = tuple(maps)
        self._tables: dict[tuple[Any, ...], Table] = {}
        self._found: dict[tuple[int, int], Found | None] = {}
        self._by_name: dict[str, list[Place]] | None = None

    def __bool__(self) -> bool:
        return bool(self.maps)

    # -- from offsets to registers ------------------------------------------------------------------------

    def table(self, region: Region | None) -> Table:
        """The registers of a region; of everything, by address, for None."""
        key = (None,) if region is None else (region.name, *region.identity, region.space, region.base)
        table = self._tables.get(key)
        if table is None:
            held = [(regmap, regmap.binding.shift(region)) for regmap in self.maps]
            table = Table([(regmap, shift) for regmap, shift in held if shift is not None])
            self._tables[key] = table
        return table

    def find(self, region: Region | None, offset: int) -> Found | None:
        """The register at an offset of a region, or at an address where `region` is None; None if it has no name."""
        table = self.table(region)
        if not 0 <= offset < 1 << 64 or not len(table):
            return None
        key = (id(table), offset)
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            row = int(table.look_up(np.array([offset], np.uint64))[0])
            self._found[key] = table.found(row, offset) if row >= 0 else None
        return self._found[key]

    def named(self, region: Region | None, offsets: _U64) -> NDArray[np.bool_]:
        """Which offsets of a region have a register, (n,) bool."""
        return np.asarray(self.table(region).look_up(offsets) >= 0, np.bool_)

    # -- from names to offsets ----------------------------------------------------------------------------

    def places(self, name: str) -> list[Place]:
        """What `NAME`, `NAME[3]`, `NAME.FIELD` or `NAME[3].FIELD` stands for, in every map that knows it; an array
        without a subscript stands for all of it. Empty when no map knows the name.
        """
        known = self._index()
        found = _elements(known, name)
        if found:
            return found
        head, dot, tail = name.rpartition(".")
        if not dot:
            return []
        fields = ((place, place.register.field(tail)) for place in _elements(known, head))
        return [place._replace(field=item) for place, item in fields if item is not None]

    def words(self) -> list[str]:
        """Every name of a register, for messages and completion."""
        return list(self._index())

    def near(self, text: str) -> list[str]:
        """The name that a text may be meant for, if any: in another case, or with a slip."""
        import difflib

        words = {word.lower(): word for word in self.words()}
        return [words[word] for word in difflib.get_close_matches(text.lower(), words, 1)]

    def _index(self) -> dict[str, list[Place]]:
        if self._by_name is None:
            self._by_name = {}
            for regmap in self.maps:
                for register in regmap.registers:
                    name = register.name.replace("[]", "", 1)
                    self._by_name.setdefault(name, []).append(Place(regmap, register, None, None))
        return self._by_name

    @staticmethod
    def starts(place: Place, region: Region | None) -> _U64:
        """Offsets in a region at which the registers of a place begin, ascending; empty where its map does not hold."""
        shift = place.map.binding.shift(region)
        if shift is None:
            return np.zeros(0, np.uint64)
        index, at = _spread(place.register, shift, place.map)
        return at if place.element is None else at[index == place.element]

    # -- bits ---------------------------------------------------------------------------------------------

    @staticmethod
    def changed_fields(
        register: Register, old: int, new: int, distance: int = 0, width: int | None = None
    ) -> list[Change]:
        """The fields that differ between two values, highest first. `distance` is where in the register the values
        were seen, `width` how many bytes were: fields that lie outside are not told.
        """
        old, new = old << 8 * distance, new << 8 * distance
        return [
            Change(item.name, item.text(item.get(old)), item.text(item.get(new)))
            for item in _seen(register, distance, width)
            if (old ^ new) & item.mask
        ]

    @staticmethod
    def describe(register: Register, value: int, distance: int = 0, width: int | None = None) -> str:
        """The fields that are not 0, or whose 0 has a name, highest first: "RST SPEED=1000 FD". A single bit that is
        set is told by its name alone. Empty when there are none.
        """
        value <<= 8 * distance
        words = []
        for item in _seen(register, distance, width):
            number = item.get(value)
            if number in item.values:
                words.append(f"{item.name}={item.values[number]}")
            elif number:
                words.append(item.name if item.high == item.low else f"{item.name}={item.text(number)}")
        return " ".join(words)


def _elements(known: dict[str, list[Place]], name: str) -> list[Place]:
    """Places of a name that may have one number in brackets; further brackets are part of the name itself."""
    if name in known:
        return known[name]
    at = -1
    while (at := name.find("[", at + 1)) >= 0:
        inner, closed, tail = name[at + 1 :].partition("]")
        if not closed:
            break
        if inner and not (inner.isascii() and inner.isdecimal() and len(inner) < 10):
            continue
        held = known.get(name[:at] + tail, ())
        places = [place for place in held if place.register.is_array]
        if inner:
            number = int(inner)
            places = [p._replace(element=number) for p in places if number < p.register.count]
        if places:
            return places
    return []


def _seen(register: Register, distance: int, width: int | None) -> list[Field]:
    """The fields that an access shows whole, highest first."""
    low, high = 8 * distance, 8 * (MAX_WIDTH if width is None else distance + width)
    fields = [item for item in register.fields if low <= item.low and item.high < high]
    return sorted(fields, key=lambda item: -item.high)


__all__ = ["Change", "Found", "Names", "Place", "Table"]
