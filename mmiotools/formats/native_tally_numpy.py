"""What compiled/block_tally.c does, on numpy: the functions that `native_tally` calls."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.native_body import read_body
from mmiotools.formats.native_columns import Presence
from mmiotools.formats.native_decode import MAX_COLUMNS, dictionary
from mmiotools.formats.native_layout import EVENTS, FRAME_SIZE, unpack, unpack_frame
from mmiotools.formats.native_partial import StoredColumn
from mmiotools.formats.native_planes import Array
from mmiotools.formats.native_shared import SharedColumn, rows_of, stored_column
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import MAX_EVENTS
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH
from mmiotools.typed import Any, NamedTuple, NDArray

_ENTRIES = np.dtype(
    [("addr", "u8"), ("map", "i8"), ("counts", "u8", 3), ("width", "u1"), ("has", "u1"), ("spare", "V6")]
)
_RARE = np.dtype(
    [(name, "i8") for name in ("row", "time", "map")]
    + [("addr", "u8"), ("kind", "u1"), ("width", "u1"), ("has", "u1"), ("spare", "V5")]
)
_HAS_TIME = 16
#: The columns that are counted; a row of a tally holds values of one of them.
_COUNTED = (("addr", HAS_ADDR), ("map", HAS_MAP), ("width", HAS_WIDTH))
#: All that are looked at.
_READ = {"kind": np.uint8, "addr": np.uint64, "map": np.int64, "width": np.uint8, "time": np.int64}


class Tally:
    """Values with how many reads, writes and unknown accesses each has, (m,) and (m, 3), of each of _COUNTED."""

    def __init__(self) -> None:
        self.parts: list[list[tuple[NDArray[Any], NDArray[np.int64]]]] = [[] for _ in _COUNTED]
        self.kinds: NDArray[np.int64] = np.zeros(3, np.int64)
        self.size = 0


class Block(NamedTuple):
    """A native block of n events: its columns as they are stored, and the payload of its extras."""

    n: int
    names: list[str]
    columns: dict[str, StoredColumn]
    extras: bytes | None


def new_tally() -> Tally:
    """Counts over many blocks."""
    return Tally()


def read_block(data: Any, first: int, n: int, unit: int, expand: Any, crc32: Any) -> Block:
    """The block of the events from number `first` on that `data` is. Raises one of NONSENSE where it is damaged."""
    frame = unpack_frame(bytes(data[:FRAME_SIZE]))
    if frame is None or (frame.type, frame.first, frame.events) != (EVENTS, first, n):
        raise Corrupt("another frame")
    body = FRAME_SIZE + frame.head_length
    packed = data[FRAME_SIZE:body]
    if body + frame.body_length != len(data) or crc32(packed) != frame.head_crc:
        raise Corrupt("a damaged head")
    head = unpack(packed)
    if not 1 <= n <= MAX_EVENTS or head["n"] != n or len(head["columns"]) > MAX_COLUMNS:
        raise Corrupt("an impossible head")
    payloads, _, sound = read_body(head["columns"], data[body:])
    if not sound:
        raise Corrupt("a damaged body")
    addresses = dictionary(head, n)
    presence = Presence(head.get("present"))
    rows = rows_of(head["columns"], payloads, n)
    columns = {
        name: stored_column(head["columns"][name], payloads[name], n, addresses, presence, rows)
        for name in head["columns"].keys() & _READ
    }
    return Block(n, list(head["columns"]), columns, payloads.get("extras"))


def block_names(block: Block) -> list[str]:
    """The names of its columns."""
    return block.names


def block_extras(block: Block) -> bytes | None:
    """The payload of its extras; None where it has none."""
    return block.extras


def take_entries(tally: Tally) -> tuple[tuple[int, ...], bytes]:
    """What was counted: reads, writes and unknown accesses; entries of addresses alone, of maps alone and of widths
    alone. The tally is empty then.
    """
    parts, kinds = tally.parts, tuple(tally.kinds.tolist())
    tally.parts, tally.kinds, tally.size = [[] for _ in _COUNTED], np.zeros(3, np.int64), 0
    packed = []
    for (name, has), some in zip(_COUNTED, parts, strict=True):
        if not some:
            continue
        values, which = np.unique(np.concatenate([values for values, _ in some]), return_inverse=True)
        each = np.concatenate([counts for _, counts in some])
        entries = np.zeros(len(values), _ENTRIES)
        entries[name], entries["has"] = values, has | 1
        for kind in range(3):
            # Exact: no count comes near 2 to the 53rd.
            entries["counts"][:, kind] = np.bincount(which, each[:, kind], len(values))
        packed.append(entries.tobytes())
    return kinds, b"".join(packed)


def tally_block(tally: Tally, block: Block) -> tuple[Any, bytes, int] | None:
    """See compiled/block_tally.c. Raises Corrupt for what cannot be."""
    of_kind = block.columns.get("kind")
    if of_kind is None or any(column.dtype != _READ[name] for name, column in block.columns.items()):
        return None
    if not of_kind.present.all():
        return None
    rare = flatnonzero(of_kind.where(lambda kinds: kinds > Kind.UNKNOWN))
    told = np.zeros(len(rare), _RARE)
    told["row"], told["has"] = rare, 1
    if len(rare):
        taken = of_kind.take(rare)
        assert taken is not None, "all rows have a kind"
        if int(taken.data.max()) > max(Kind) or bool((taken.data == Kind.LOST).any()):
            return None
        told["kind"] = taken.data
    found: list[tuple[NDArray[Any], NDArray[np.int64]] | None] = []
    for name, has in _COUNTED:
        column = block.columns.get(name)
        if column is None:
            found.append(None)
            continue
        found.append(_counts(column, of_kind))
        _tell(told, name, has, column, rare)
    of_time = block.columns.get("time")
    times = None
    if of_time is not None:
        times = _times(of_time)
        _tell(told, "time", _HAS_TIME, of_time, rare)
    tally.kinds += _counts(of_kind, of_kind)[1].sum(axis=0)
    for parts, made in zip(tally.parts, found, strict=True):
        if made is not None:
            used = made[1].any(axis=1)
            parts.append((made[0][used], made[1][used]))
            tally.size += len(parts[-1][0])
    return times, told.tobytes(), tally.size


def _counts(column: StoredColumn, of_kind: StoredColumn) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values that a column has, and perhaps more, (m,), and how many accesses of each kind have them, (m, 3)."""
    if isinstance(column, SharedColumn) and isinstance(of_kind, SharedColumn):
        values, places = column.of_rows.coded()
        return values, _table(len(values), places, of_kind.of_rows.column().data, column.uses())
    values, places = column.coded()
    kinds = of_kind.column().data
    return values, _table(len(values), places, kinds if len(places) == len(kinds) else kinds[column.present])


def _table(size: int, places: Array, kinds: NDArray[np.uint8], uses: Array | None = None) -> NDArray[np.int64]:
    """Accesses by value and kind, (size, 3): as many as `uses` says for each, or one."""
    codes = places.astype(np.intp) * 16 + kinds
    # Exact, though it counts in floats: no count comes near 2 to the 53rd.
    counts = np.bincount(codes, uses, size * 16).reshape(-1, 16)[:, :3]
    return counts.astype(np.int64, copy=False)


def _tell(told: NDArray[Any], name: str, has: int, column: StoredColumn, rare: NDArray[np.intp]) -> None:
    """The numbers of a column to the rows that are no accesses."""
    taken = column.take(rare) if len(rare) else None
    if taken is not None:
        told[name] = taken.data
        told["has"] |= has if taken.present is None else np.where(taken.present, has, 0).astype(np.uint8)


def _times(column: StoredColumn) -> tuple[int, ...] | None:
    # Decoded as a whole, it is not decoded once more for some rows.
    data, present = column.column()
    times = data if present is None else data[present]
    if not len(times):
        return None
    borders = (0, len(data) - 1) if present is None else flatnonzero(present)[[0, -1]].tolist()
    return int(times[0]), int(times[-1]), *borders, int(times.min()), int(times.max())
