"""A block of a native file: what it says about itself, and the block as it is, so that it can be put into another file
without being made anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.formats.native_columns import Corrupt, unpack_planes
from mmiotools.formats.native_index import PAGES
from mmiotools.trace.batch import DTYPES, EOL_NONE, Array, Batch, Column
from mmiotools.trace.hashing import distinct
from mmiotools.trace.zones import Zones, page_set

#: Of what a block says about itself without its columns: the least and the most of each, in the order of the index.
_RANGES = {"time": (0, -1), "addr": (0, 0)}


class Encoded(NamedTuple):
    """A block before its place in the file is known: packed head and body, its line of the footer's index, what it
    could not hold, and its events that are no accesses with their rows.
    """

    events: int
    head: bytes
    body: bytes
    entry: tuple[int, ...]
    lost: Counter[str]
    rare: tuple[Any, Batch] | None


@dataclass(slots=True)
class BlockBatch(Batch):
    """A batch and the block that it was read from. A batch that is made of this one has no block."""

    block: Encoded | None = None


class Harmless(Batch):
    """Damage in a place where nothing is missing, as the blocks around it show: a file made anew is without it."""


def values(batch: Batch, name: str) -> Array:
    """The values of a column in the rows that have it."""
    data, present = batch.columns[name]
    return data if present is None else data[present]


def zone_of(batch: Batch, addresses: NDArray[np.uint64] | None) -> dict[str, Any]:
    """The zone map of a batch whose distinct addresses are these, ascending."""
    zone: dict[str, Any] = {"kinds": int(np.bitwise_or.reduce(np.int64(1) << batch.kind.astype(np.int64)))}
    if addresses is not None:
        zone["addr"] = [int(addresses[0]), int(addresses[-1])]
    if "time" in batch.columns:
        times = values(batch, "time")
        zone["time"] = [int(times.min()), int(times.max())]
    return zone


def entry_of(zone: dict[str, Any], addresses: NDArray[np.uint64] | None) -> tuple[int, ...]:
    """A block's line of the index, from its zone map and its distinct addresses."""
    ranges = [number for name, none in _RANGES.items() for number in zone.get(name, none)]
    pages = [0] * len(PAGES) if addresses is None else page_set(addresses).tolist()
    return (*ranges, zone["kinds"], *pages)


def rare_of(batch: Batch) -> tuple[Any, Batch] | None:
    """The rows of a batch that are no accesses, and what is in them."""
    rows = np.flatnonzero(batch.kind > Kind.UNKNOWN)
    return (rows, batch.take(rows)) if len(rows) else None


def taken_over(batch: Batch, head: dict[str, Any], packed: bytes, body: bytes) -> Batch:
    """A batch with the block that it was decoded from, if that says the truth about what is in it: else whoever seeks
    by what it says would pass it over.
    """
    # Of a column in an encoding that is not known here nothing can be said, but it is not to be lost.
    unread = [name for name in _RANGES if name in head["columns"] and name not in batch.columns]
    try:
        zone = head["zone"]
        addresses = None
        if "addresses" in head:
            size, planes = head["addresses"]
            addresses = np.cumsum(unpack_planes(planes, size), dtype=np.uint64)
        there = None if "addr" not in batch.columns else distinct(values(batch, "addr"))
        said = {name: zone[name] for name in (*_RANGES, "kinds") if name in zone}
        true = said == zone_of(batch, there) | {name: zone[name] for name in unread}
        true &= "addr" in unread or _same(addresses, there)
        entry = entry_of(zone, addresses)
        true &= len(entry) == 5 + len(PAGES) and all(type(number) is int for number in entry)
    except (ValueError, TypeError, LookupError):
        return batch
    if not true:
        return batch
    block = Encoded(len(batch), packed, body, entry, Counter(), rare_of(batch))
    return BlockBatch(batch.kind, batch.columns, batch.extras, batch.regions, block)


def _same(some: NDArray[np.uint64] | None, others: NDArray[np.uint64] | None) -> bool:
    return some is others if some is None or others is None else np.array_equal(some, others)


def zone_as_zones(zone: dict[str, Any], events: int, addresses: NDArray[np.uint64] | None) -> Zones:
    """What the head of a block says about it."""
    times, places = zone.get("time", (0, -1)), zone.get("addr", (0, 0))
    offset, first, count, least, most, kinds = (
        np.array([number], np.int64) for number in (0, 0, events, *times, zone["kinds"])
    )
    low, high = (np.array([number], np.uint64) for number in places)
    return Zones(offset, first, count, least, most, low, high, kinds, addresses=addresses)


def as_expected(name: str, column: Column) -> Column:
    """A well-known column with the type that everybody relies on. Raises Corrupt when a value does not fit."""
    data, present = column
    wanted = DTYPES[name]
    if data.dtype != wanted:
        cast = data.astype(wanted)
        if not np.array_equal(cast, data):
            raise Corrupt("a value is beyond its type")
        data = cast
    if name == "eol" and int(data.max()) > EOL_NONE:
        raise Corrupt("a line end that is none")
    if name == "opcode" and int(data.max()) >> 56 > 7:
        raise Corrupt("an opcode is too long")
    return Column(data, present)
