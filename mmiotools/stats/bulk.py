"""Batches as the entries that a summary adds up, and sums of many entries."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.speed import compiled
from mmiotools.stats.register_table import RegisterTable
from mmiotools.trace.arrays import added_up, flatnonzero
from mmiotools.trace.batch import Array, Batch
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH, Times
from mmiotools.typed import Any, ModuleType, NamedTuple

#: What `trace.tally.ENTRY` packs.
ENTRIES = np.dtype(
    [("addr", "u8"), ("map", "i8"), ("counts", "u8", 3), ("width", "u1"), ("has", "u1"), ("spare", "V6")]
)


class Bulk(NamedTuple):
    """What most rows of a batch have.

    kinds      events by Kind number
    entries    the accesses, as ENTRY packs them; one may be in several, for its address, its map and its width
    by_region  whether addresses are left out of these, as some accesses lie in regions that the format named
    """

    kinds: list[int]
    entries: bytes
    by_region: bool
    times: Times | None


def bulk_of(batch: Batch) -> Bulk:
    """See `Bulk`."""
    kinds = np.bincount(batch.kind, minlength=len(Kind)).tolist()
    accesses, by_region = sum(kinds[:3]), "region" in batch.columns
    entries = b""
    if accesses:
        fast = compiled()
        entries = _projected(batch, by_region) if fast is None else _tally(fast, batch, by_region)
    return Bulk(kinds, entries, bool(accesses) and by_region, _times(batch, bool(kinds[Kind.LOST])))


def _times(batch: Batch, has_lost: bool) -> Times | None:
    column = batch.columns.get("time")
    if column is None:
        return None
    times = column.data
    if column.present is not None or has_lost:
        times = times[batch.timed]
    if not len(times):
        return None
    return Times(int(times[0]), int(times[-1]), 0, 0, int(times.min()), int(times.max()))


def _tally(fast: ModuleType, batch: Batch, by_region: bool) -> bytes:
    columns: list[Any] = []
    for name in ("addr", "map", "width"):
        column = None if by_region and name == "addr" else batch.columns.get(name)
        columns.append(None if column is None else np.ascontiguousarray(column.data))
        columns.append(None if column is None or column.present is None else np.ascontiguousarray(column.present))
    found: bytes = fast.tally_rows(len(batch), np.ascontiguousarray(batch.kind), *columns)
    return found


def _projected(batch: Batch, by_region: bool) -> bytes:
    """Entries of the addresses alone, the maps alone and the widths alone."""
    parts = []
    for name, has in (("addr", HAS_ADDR), ("map", HAS_MAP), ("width", HAS_WIDTH)):
        if by_region and name == "addr":
            continue
        kinds, values = _of_accesses(batch, name)
        for kind in range(3):
            found, counts = _runs(values[kinds == kind])
            entries = np.zeros(len(found), ENTRIES)
            entries[name], entries["has"] = found, has
            entries["counts"][:, kind] = counts
            parts.append(entries.tobytes())
    return b"".join(parts)


def _runs(values: Array) -> tuple[Array, Array]:
    """The distinct values, and how often each is there."""
    if values.dtype == np.uint8:
        counts = np.bincount(values, minlength=1)
        found = flatnonzero(counts)
        return found, counts[found]
    if len(values) and bool((values[0] == values).all()):
        return values[:1], np.array([len(values)])
    found, counts = np.unique(values, return_counts=True)
    return found, counts


def _of_accesses(batch: Batch, name: str) -> tuple[Array, Array]:
    """Kind and value of a column, for the accesses that have it; the arrays themselves where all rows do."""
    column = batch.columns.get(name)
    if column is None:
        return batch.kind[:0], batch.data(name)[:0]
    rows = batch.accesses
    if column.present is not None:
        rows = rows & column.present
    return (batch.kind, column.data) if rows.all() else (batch.kind[rows], column.data[rows])


class Sums(NamedTuple):
    """Accesses by kind << 8 | width, and by map."""

    by_width: dict[int, int]
    by_map: dict[int, int]


def sums(packed: bytes, registers: RegisterTable) -> Sums:
    """Adds up entries: addresses go to a table of registers."""
    entries = np.frombuffer(packed, ENTRIES)
    addr, width, has = (np.ascontiguousarray(entries[name]) for name in ("addr", "width", "has"))
    by_width: dict[int, int] = {}
    total = np.zeros(len(entries), np.int64)
    for kind in range(3):
        number = entries["counts"][:, kind].astype(np.int64)
        total += number
        wide = (number > 0) & (has & HAS_WIDTH != 0)
        # Exact, though it counts in floats: no count comes near 2 to the 53rd.
        each = np.bincount(width[wide], number[wide]).astype(np.int64)
        by_width.update((kind << 8 | size, int(each[size])) for size in flatnonzero(each).tolist())
        placed = (number > 0) & (has & HAS_ADDR != 0)
        if placed.any():
            registers.put(addr[placed], kind, number[placed])
    mapped = has & HAS_MAP != 0
    ids, each = added_up(entries["map"][mapped], total[mapped])
    return Sums(by_width, dict(zip(ids.tolist(), each.tolist(), strict=True)))
