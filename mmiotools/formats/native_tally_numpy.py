"""What compiled/block_tally.c does, on numpy: the functions that `native_tally` calls."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.native_body import whole_block
from mmiotools.formats.native_columns import Presence
from mmiotools.formats.native_decode import dictionary
from mmiotools.formats.native_partial import StoredColumn
from mmiotools.formats.native_planes import Array
from mmiotools.formats.native_shared import DistinctRows, rows_of, stored_column
from mmiotools.trace.arrays import flatnonzero, repeated, run_starts
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH
from mmiotools.typed import Any, NamedTuple, NDArray, Self

_ENTRIES = np.dtype(
    [("addr", "u8"), ("map", "i8"), ("counts", "u8", 3), ("width", "u1"), ("has", "u1"), ("spare", "V6")]
)
_RARE = np.dtype(
    [(name, "i8") for name in ("row", "time", "map")]
    + [("addr", "u8"), ("kind", "u1"), ("width", "u1"), ("has", "u1"), ("spare", "V5")]
)
_HAS_TIME = 16
_NONE = np.zeros(0, np.intp)
#: Entries that are worth merging.
_MANY = 1 << 15
#: An odd number, the golden part of 2³², so that products differ in their high bits.
_MIXING = np.uint32(0x9E3779B1)
#: The columns that are counted; a row of a tally holds values of one of them.
_COUNTED = (("addr", HAS_ADDR), ("map", HAS_MAP), ("width", HAS_WIDTH))
#: All that are looked at.
_READ = {"kind": np.uint8, "addr": np.uint64, "map": np.int64, "width": np.uint8, "time": np.int64}


class Entries(NamedTuple):
    """Accesses that are alike in some columns, (m,) each: their addresses, their maps, what `_traits` makes of
    the rest, and how many they are.
    """

    addr: Array
    map: Array
    traits: NDArray[np.uint32]
    uses: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: dict[str, Array], traits: NDArray[np.uint32], uses: NDArray[np.int64]) -> Self:
        """Those that have addresses, or maps, or both."""
        addr, map_id = (numbers.get(name, repeated(0, _READ[name], len(traits))) for name in ("addr", "map"))
        return cls(addr, map_id, traits, uses)

    @property
    def kind(self) -> NDArray[np.uint32]:
        """Their kinds."""
        return self.traits >> np.uint32(16)


def _traits(kinds: Array, widths: Array | None, names: Any) -> NDArray[np.uint32]:
    """Kinds, (m,), with the widths where there are any, and with the bits of the columns of some names."""
    found = kinds.astype(np.uint32)
    found <<= 8
    if widths is not None:
        found |= widths
    found <<= 8
    found |= np.uint32(1 | sum(has for name, has in _COUNTED if name in names))
    return found


class Tally:
    """Entries, which may be alike, and how many reads, writes and unknown accesses there were, (3,)."""

    def __init__(self) -> None:
        self.entries: list[Entries] = []
        self.kinds: NDArray[np.int64] = np.zeros(3, np.int64)
        #: How many entries there are, and how many there were when they were last merged.
        self.size = self.merged = 0


class Block(NamedTuple):
    """A native block of n events: its columns as they are stored, its distinct rows where it has a list of them, and
    the payload of its extras.
    """

    n: int
    names: list[str]
    columns: dict[str, StoredColumn]
    rows: DistinctRows | None
    extras: bytes | None


def new_tally() -> Tally:
    """Counts over many blocks."""
    return Tally()


def read_block(data: Any, first: int, n: int, unit: int, expand: Any, crc32: Any) -> Block:
    """The block of the events from number `first` on that `data` is. Raises one of NONSENSE where it is damaged."""
    head, payloads = whole_block(data, first, n)
    addresses = dictionary(head, n)
    presence = Presence(head.get("present"))
    rows = rows_of(head["columns"], payloads, n)
    columns = {
        name: stored_column(head["columns"][name], payloads[name], n, addresses, presence, rows)
        for name in head["columns"].keys() & _READ
    }
    return Block(n, list(head["columns"]), columns, rows, payloads.get("extras"))


def block_names(block: Block) -> list[str]:
    """The names of its columns."""
    return block.names


def block_extras(block: Block) -> bytes | None:
    """The payload of its extras; None where it has none."""
    return block.extras


def take_entries(tally: Tally) -> tuple[tuple[int, ...], bytes]:
    """What was counted: reads, writes and unknown accesses; entries of the accesses, or of addresses alone, maps alone
    and widths alone. The tally is empty then.
    """
    parts, kinds = tally.entries, tuple(tally.kinds.tolist())
    tally.entries, tally.kinds, tally.size, tally.merged = [], np.zeros(3, np.int64), 0, 0
    if not parts:
        return kinds, b""
    found = _merged(parts)
    packed = np.zeros(len(found.traits), _ENTRIES)
    packed["addr"], packed["map"] = found.addr, found.map
    packed["width"], packed["has"] = found.traits >> 8 & 255, found.traits & 255
    packed["counts"][np.arange(len(packed)), found.kind] = found.uses
    return kinds, packed.tobytes()


def _merged(parts: list[Entries]) -> Entries:
    """All of them, most of those that are alike together."""
    every = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    addr, map_id, traits, _ = every
    # By address, and what has one address by some bits of all else. Blocks have them nearly in this order, which is
    # quick to sort, and what is left alike apart is no harm.
    mixed = (traits + (map_id.astype(np.uint32) << 3)) * _MIXING
    order = np.argsort(addr << 8 | mixed >> 24, kind="stable")
    *columns, uses = (data[order] for data in every)
    starts = run_starts(*columns)
    addr, map_id, traits = (data[starts] for data in columns)
    return Entries(addr, map_id, traits, np.add.reduceat(uses, starts))


def tally_block(tally: Tally, block: Block) -> tuple[Any, bytes, int] | None:
    """See compiled/block_tally.c. Raises Corrupt for what cannot be."""
    of_kind = block.columns.get("kind")
    if of_kind is None or any(column.dtype != _READ[name] for name, column in block.columns.items()):
        return None
    if not of_kind.has_all_but(_NONE):
        return None
    by_row = None if block.rows is None else of_kind.by_row(block.rows.size)
    rare = flatnonzero(of_kind.where(lambda kinds: kinds > Kind.UNKNOWN))
    told = np.zeros(len(rare), _RARE)
    told["row"], told["has"] = rare, 1
    if len(rare):
        taken = of_kind.take(rare)
        assert taken is not None, "all rows have a kind"
        if int(taken.data.max()) > max(Kind) or bool((taken.data == Kind.LOST).any()):
            return None
        told["kind"] = taken.data
    row_by_row = None if by_row is None else _by_row(block, by_row, rare)
    if row_by_row is None:
        found, kinds = _by_column(block, of_kind), np.bincount(of_kind.column().data, minlength=3)[:3]
    else:
        # Exact, though it counts in floats: no count comes near 2 to the 53rd.
        found, kinds = [row_by_row], np.bincount(row_by_row.kind, row_by_row.uses, 3).astype(np.int64)
    of_time = block.columns.get("time")
    times = None if of_time is None else _times(of_time)
    for name, has in (*_COUNTED, ("time", _HAS_TIME)):
        if name in block.columns:
            _tell(told, name, has, block.columns[name], rare)
    tally.kinds += kinds
    tally.entries += found
    tally.size += sum(len(entries.traits) for entries in found)
    if tally.size > max(_MANY, 2 * tally.merged):
        tally.entries = [_merged(tally.entries)]
        tally.size = tally.merged = len(tally.entries[0].traits)
    return times, told.tobytes(), tally.size


def _by_row(block: Block, kinds: Array, rare: NDArray[np.intp]) -> Entries | None:
    """The accesses by the block's distinct rows; None where these do not say it.

    kinds  those of the distinct rows
    rare   the rows that are no accesses, (m,)
    """
    assert block.rows is not None, "there are distinct rows"
    numbers: dict[str, Array] = {}
    for name, _ in _COUNTED:
        column = block.columns.get(name)
        if column is not None:
            found = column.by_row(block.rows.size) if column.has_all_but(rare) else None
            if found is None:
                return None
            numbers[name] = found
    traits = _traits(kinds, numbers.pop("width", None), block.columns)
    # Rows are sorted by what is counted, among others, so that those that are alike in it stand together, or nearly so.
    starts = run_starts(traits, *numbers.values())
    uses = np.add.reduceat(block.rows.uses, starts)
    accesses = (kinds[starts] <= Kind.UNKNOWN) & (uses > 0)
    starts = starts[accesses]
    return Entries.of({name: data[starts] for name, data in numbers.items()}, traits[starts], uses[accesses])


def _by_column(block: Block, of_kind: StoredColumn) -> list[Entries]:
    """The accesses by their addresses alone, by their maps alone and by their widths alone."""
    kinds = of_kind.column().data
    found = []
    for name, _ in _COUNTED:
        column = block.columns.get(name)
        if column is None:
            continue
        values, places = column.coded()
        of_these = kinds if len(places) == len(kinds) else kinds[column.present]
        uses = np.bincount(places.astype(np.intp) * 16 + of_these, minlength=len(values) * 16)
        codes = flatnonzero(uses)
        codes = codes[codes % 16 <= Kind.UNKNOWN]
        numbers = {name: values[codes // 16]}
        found.append(Entries.of(numbers, _traits(codes % 16, numbers.get("width"), numbers), uses[codes]))
    return found


def _tell(told: NDArray[Any], name: str, has: int, column: StoredColumn, rare: NDArray[np.intp]) -> None:
    """The numbers of a column to the rows that are no accesses."""
    taken = column.take(rare) if len(rare) else None
    if taken is not None:
        told[name] = taken.data
        told["has"] |= has if taken.present is None else np.where(taken.present, has, 0).astype(np.uint8)


def _times(column: StoredColumn) -> tuple[int, ...] | None:
    found = column.span()
    if found is None:
        return None
    first, last, least, most = found
    return first, last, *column.borders(), least, most
