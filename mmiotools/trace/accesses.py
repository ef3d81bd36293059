"""All accesses of a trace as columns: where each is, what it did, and a hash of what counts when two are compared."""

from __future__ import annotations

from itertools import repeat

import numpy as np

from mmiotools.events import Kind
from mmiotools.speed import compiled
from mmiotools.trace.address_space import Region
from mmiotools.trace.arrays import append, repeated
from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.hashing import HASHED, add_value, finish, place_sums, register_sums
from mmiotools.trace.stable import stable_hash
from mmiotools.typed import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterator,
    NamedTuple,
    NDArray,
    Record,
    Sequence,
    TypeAlias,
    TypeVar,
)

OP_LETTERS = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}
#: Every bit of a value counts.
ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
#: The same as a column, for all accesses.
EVERY = np.array([ALL_BITS])
#: Numbers of some accesses, or a stretch of them.
Rows = NDArray[np.intp] | slice
_Row: TypeAlias = tuple[int, int, int, int, int, bool, int, bool, int]
#: Texts that `spelled` keeps.
_SPELLED = 1 << 16
_Item = TypeVar("_Item", bound=np.generic)
_LETTERS = {int(kind): letter for kind, letter in OP_LETTERS.items()}


class Access(NamedTuple):
    """One canonical access. `identity` is the region's, the same in another recording; `region` is for display."""

    index: int  # type: ignore[assignment] # of tuples, which nobody asks for
    op: str
    width: int | None
    region: str | None
    identity: tuple[Any, ...]
    offset: int
    address: int | None
    value: int | None

    @property
    def register(self) -> tuple[tuple[Any, ...], int]:
        """What names the register in any recording of the same hardware."""
        return self.identity, self.offset

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for accesses that are the same."""
        return (self.op, self.width, self.identity, self.offset, self.value)


class Accesses(Record):
    """All accesses of a trace as columns, (n,) each. -1 in `identity` stands for "no region".

    op        uint8, Kind.READ, WRITE or UNKNOWN
    width     int16, -1 where absent
    identity  int32, index into `identities`
    offset    uint64
    value     uint64, with `has_value` bool (n,)
    address   uint64, with `has_address` bool (n,); None where it is that of the region plus the offset: ask `addresses`
    region    int32, index into `regions` (display), -1 for none
    time      int64 nanoseconds, with `has_time` bool (n,)
    wide      values of more than 8 bytes, by position
    hashes    `keys()`, where they are known already
    number    int64, (n + 1,): what each access is called, counted in its whole trace, and then what the end is called;
              None where nothing was left out, so that position and number are the same
    codes     int32, and `table`: see `coded`; None where each access has a row of its own
    """

    op: NDArray[np.uint8]
    width: NDArray[np.int16]
    identity: NDArray[np.int32]
    offset: NDArray[np.uint64]
    value: NDArray[np.uint64]
    has_value: NDArray[np.bool_]
    address: NDArray[np.uint64] | None
    has_address: NDArray[np.bool_] | None
    region: NDArray[np.int32]
    time: NDArray[np.int64]
    has_time: NDArray[np.bool_]
    identities: list[tuple[Any, ...]]
    regions: list[Region]
    wide: dict[int, int]
    number: NDArray[np.int64] | None = None
    hashes: NDArray[np.uint64] | None = None
    codes: NDArray[np.int32] | None = None
    table: Accesses | None = None

    @classmethod
    def coded(cls, codes: NDArray[np.int32], table: Accesses) -> Accesses:
        """Accesses of which many are alike: of each its row, (n,), in a table of those that there are, of which each is
        there, with their `hashes`. The table has no wide values, and no addresses but those of the regions. Columns are
        made as they are asked for, and kept.
        """
        made = cls.__new__(cls)
        object.__setattr__(made, "codes", codes)
        object.__setattr__(made, "table", table)
        return made

    if not TYPE_CHECKING:

        def _replace(self, **changes: Any) -> Accesses:
            # What has a row of its own in each column has no codes.
            return super()._replace(**changes, codes=None, table=None)

        def __reduce__(self) -> tuple[Any, ...]:
            return (Accesses.coded, (self.codes, self.table)) if self.table is not None else super().__reduce__()

        def __getattr__(self, field: str) -> Any:
            # Of those that are coded: whatever is not there yet.
            if field not in self._fields:
                raise AttributeError(field)
            value = getattr(self.table, field)
            if isinstance(value, np.ndarray):
                value = self._looked_up(value)
            object.__setattr__(self, field, value)
            return value

    def __len__(self) -> int:
        return len(self.op if self.codes is None else self.codes)

    def lookup(self) -> tuple[NDArray[np.int32] | None, Accesses]:
        """Which row of some accesses each of these is, (n,), None where it is the one in its place; and those, each of
        which is among these.
        """
        return (None, self) if self.table is None else (self.codes, self.table)

    def picked(self, rows: Rows, *names: str) -> list[NDArray[Any]]:
        """Some rows of columns of these names, which are there. It is quick for few rows."""
        if self.table is None or self.codes is None:
            return [getattr(self, name)[rows] for name in names]
        codes = self.codes[rows]
        return [_of_codes(getattr(self.table, name), codes) for name in names]

    def _looked_up(self, column: NDArray[_Item]) -> NDArray[_Item]:
        """One of the rows that `lookup` gives, as one of these."""
        return column if self.codes is None else _of_codes(column, self.codes)

    def access(self, index: int) -> Access:
        """The access at position `index`, counted from 0."""
        return next(self.span(index, index + 1))

    def numbered(self, position: int) -> int:
        """The number of the access at a position, or of the end at position n."""
        return position if self.number is None else int(self.number[position])

    def position(self, number: int) -> int:
        """How many of these accesses come before the one of this number in the whole trace."""
        return min(number, len(self)) if self.number is None else int(np.searchsorted(self.number[:-1], number))

    def take(self, rows: NDArray[np.intp]) -> Accesses:
        """The accesses at these positions, ascending; they keep their numbers."""
        number = np.arange(len(self) + 1) if self.number is None else self.number
        known = [name for name in COLUMNS if getattr(self.lookup()[1], name) is not None]
        columns = dict.fromkeys(COLUMNS) | dict(zip(known, self.picked(rows, *known), strict=True))
        wide = {int(np.searchsorted(rows, row)): value for row, value in self.wide.items() if row in rows}
        kept = append(number[rows], number[-1])
        return Accesses(**columns, identities=self.identities, regions=self.regions, wide=wide, number=kept)

    def span(self, start: int, stop: int) -> Iterator[Access]:
        """The accesses at positions start..stop-1, in order; quicker than one `access` each."""
        numbers = None if self.number is None else self.number[start:stop].tolist()
        for position, row in enumerate(self._rows(start, stop), start):
            yield self._access(position if numbers is None else numbers[position - start], position, row)

    def spelled(self, start: int, stop: int, spell: Callable[[Access], str]) -> Iterator[str]:
        """What `spell` makes of each of the accesses at start..stop-1. It is asked once for those that differ in
        nothing but their number, which it must not look at.
        """
        if self.wide:
            # A row does not hold a wide value.
            return map(spell, self.span(start, stop))
        known = _Texts(lambda row: spell(self._access(start, start, row)))
        return map(known.__getitem__, self._rows(start, stop))

    def _rows(self, start: int, stop: int) -> Iterator[_Row]:
        for low in range(start, stop, 4096):
            part = slice(low, min(low + 4096, stop))
            *numbers, region = [column.tolist() for column in self.picked(part, *COMPARED, "region")]
            known = (self.address, self.has_address)
            place = [repeat(0, part.stop - low) if column is None else column[part].tolist() for column in known]
            yield from zip(*numbers, *place, region, strict=True)

    def _access(self, number: int, position: int, row: _Row) -> Access:
        op, width, identity, offset, value, has_value, address, has_address, code = row
        if self.address is None:
            base = self.regions[code].base if code >= 0 else 0
            address, has_address = (offset + (base or 0)) % (1 << 64), True
        return Access(
            number,
            _LETTERS[op],
            width if width >= 0 else None,
            self.regions[code].name if code >= 0 else None,
            self.identities[identity] if identity >= 0 else (),
            offset,
            address if has_address else None,
            value if has_value else self.wide.get(position),
        )

    def addresses(self, rows: Rows = slice(None)) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Absolute addresses of all or some, and which of these have one; (n,) each."""
        if self.address is not None and self.has_address is not None:
            return self.address[rows], self.has_address[rows]
        region, offset = self.picked(rows, "region", "offset")
        return base_addresses(self.regions, region) + offset, np.ones(len(region), np.bool_)

    def register_keys(self, rows: Rows | None = None) -> NDArray[np.uint64]:
        """One 64-bit hash an access of what it touches: operation, width, region identity, offset; of all (n,), or
        of some rows.
        """
        if rows is not None:
            return finish(self._register_sums(rows))
        _, table = self.lookup()
        return self._looked_up(finish(table._register_sums(slice(None))))

    def place_keys(self) -> NDArray[np.uint64]:
        """One 64-bit hash an access of where it is: region identity and offset; (n,)."""
        _, table = self.lookup()
        return self._looked_up(finish(place_sums(table._regions(table.identity), table.offset)))

    def keys(self, keep: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
        """One 64-bit hash an access of all that must agree; (n,). Equal keys are compared by field before use.

        keep   (n,), the bits of each value that count; of a value of more than 8 bytes all count, or none
        """
        if keep is None and self.hashes is not None:
            return self.hashes
        keys = np.empty(len(self), np.uint64)
        for low in range(0, len(self), HASHED):
            part = slice(low, min(low + HASHED, len(self)))
            self._hash(part, keep, keys[part])
        return keys

    def hashed(self, column: GrowingColumn) -> Accesses:
        """The same, with their `hashes`, which are put into an empty column."""
        for low in range(0, len(self), HASHED):
            part = slice(low, min(low + HASHED, len(self)))
            keys = np.empty(part.stop - low, np.uint64)
            self._hash(part, None, keys)
            column.add(keys, len(keys))
        return self._replace(hashes=column.whole())

    def _hash(self, part: slice, keep: NDArray[np.uint64] | None, out: NDArray[np.uint64]) -> None:
        """The keys of a few accesses."""
        engine = compiled()
        if engine is not None and not self.wide:
            kept = EVERY if keep is None else flat(keep[part])
            engine.hash_accesses(len(out), self.compared(part), kept, self._hashes_of_regions(), out)
            return
        value = self.value[part] if keep is None else self.value[part] & keep[part]
        if self.wide:
            value = value.copy()
            for index, wide in self.wide.items():
                if part.start <= index < part.stop and (keep is None or keep[index] == ALL_BITS):
                    value[index - part.start] = stable_hash(("wide", wide))
        out[:] = finish(add_value(self._register_sums(part), value, self.has_value[part]))

    def compared(self, part: slice = slice(None)) -> tuple[NDArray[Any], ...]:
        """The columns that tell whether two accesses are the same, as the compiled engine takes them."""
        return tuple(map(flat, self.picked(part, *COMPARED)))

    def _register_sums(self, rows: Rows) -> NDArray[np.uint64]:
        identity, offset, op, width = self.picked(rows, "identity", "offset", "op", "width")
        return register_sums(self._regions(identity), offset, op, width)

    def _regions(self, identity: NDArray[np.int32]) -> NDArray[np.uint64]:
        return np.asarray(self._hashes_of_regions()[identity], np.uint64)

    def _hashes_of_regions(self) -> NDArray[np.uint64]:
        return np.array([*map(stable_hash, self.identities), 0], np.uint64)


class _Texts(dict[_Row, str]):
    """The texts of rows, each made when it is asked for; not all are kept."""

    def __init__(self, spell: Callable[[_Row], str]) -> None:
        super().__init__()
        self._spell = spell

    def __missing__(self, row: _Row) -> str:
        text = self._spell(row)
        if len(self) < _SPELLED:
            self[row] = text
        return text


def access_json(access: Access, side: str | None = None, register: str | None = None) -> dict[str, Any]:
    """An access as diff and replay print it; missing things are null. `side` is "a" or "b" in a diff."""
    head: dict[str, Any] = {} if side is None else {"side": side}
    return head | {
        "index": access.index,
        "op": access.op,
        "width": access.width,
        "region": access.region,
        "offset": f"{access.offset:#x}",
        "address": None if access.address is None else f"{access.address:#x}",
        "value": None if access.value is None else f"{access.value:#x}",
        "register": register,
    }


#: The columns that tell whether two accesses are the same, as the compiled engine takes them.
COMPARED = ("op", "width", "identity", "offset", "value", "has_value")
#: The columns of `Accesses` and their types.
COLUMNS = {
    "op": "u1",
    "width": "i2",
    "identity": "i4",
    "offset": "u8",
    "value": "u8",
    "has_value": "?",
    "address": "u8",
    "has_address": "?",
    "region": "i4",
    "time": "i8",
    "has_time": "?",
}


def accesses_of(rows: Sequence[tuple[Kind, int | None, tuple[Any, ...], int, int | None]]) -> Accesses:
    """Accesses without a recording, from operation, width, region identity, offset, value."""
    identities = list(dict.fromkeys(row[2] for row in rows))
    columns = {name: np.zeros(len(rows), dtype) for name, dtype in COLUMNS.items()}
    columns["region"][:] = -1
    wide = {}
    for at, (op, width, identity, offset, value) in enumerate(rows):
        columns["op"][at], columns["width"][at] = op, -1 if width is None else width
        columns["identity"][at] = identities.index(identity) if identity else -1
        columns["offset"][at] = offset
        if value is not None and value >> 64:
            wide[at] = value
        elif value is not None:
            columns["value"][at], columns["has_value"][at] = value, True
    made: dict[str, Any] = {**columns, "identities": identities, "regions": [], "wide": wide}
    return Accesses(**made)


def base_addresses(regions: Sequence[Region], codes: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The address at which each region begins, by code; 0 for none, as for the code -1."""
    table = np.zeros(len(regions) + 1, np.uint64)
    # Of very many regions only those that are asked for are looked at.
    for code in set(codes.tolist()) if len(codes) < len(regions) else range(len(regions)):
        if code >= 0:
            table[code] = regions[code].base or 0
    return np.asarray(table[codes], np.uint64)


def flat(column: NDArray[Any]) -> NDArray[Any]:
    """The column as the compiled engine takes it: in one piece, and one item where that stands for all."""
    return np.ascontiguousarray(column) if column.strides[0] else column[:1]


def _of_codes(column: NDArray[_Item], codes: NDArray[np.int32]) -> NDArray[_Item]:
    """The items of these numbers of a column of one or more."""
    if not column.strides[0]:
        return repeated(column[0], column.dtype, len(codes))
    engine = compiled()
    if engine is None:
        return column.take(codes)
    found = np.empty(len(codes), column.dtype)
    engine.look_up(column, column.itemsize, codes, found)
    return found
