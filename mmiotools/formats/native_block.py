"""A block of a native file: what it says about itself, and the block as it is, so that it can be put into another file
without being made anew.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.native_decode import dictionary
from mmiotools.formats.native_pages import PageSet, pages_of
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Array, Batch
from mmiotools.typed import Any, NamedTuple, NDArray

#: Of what a block says about itself without its columns: the least and the most of each, in the order of the index.
_RANGES = {"time": (0, -1), "addr": (0, 0)}
NO_ADDRESSES: NDArray[np.uint64] = np.empty(0, np.uint64)


class Encoded(NamedTuple):
    """A block before its place in the file is known.

    entry  its line of the footer's index
    pages  of its addresses; None where these are not known
    lost   what it could not hold
    rare   its events that are no accesses, with their rows; perhaps those of the next blocks, too
    """

    events: int
    head: bytes
    body: bytes
    entry: tuple[int, ...]
    pages: PageSet | None
    lost: Counter[str]
    rare: tuple[Any, Batch] | None


class BlockBatch(Batch):
    """A batch and the block that it was read from. A batch that is made of this one has no block."""

    __slots__ = ("block",)

    def __init__(self, batch: Batch, block: Encoded) -> None:
        super().__init__(batch.kind, batch.columns, batch.extras, batch.regions)
        self.block = block


class Harmless(Batch):
    """Damage in a place where nothing is missing, as the blocks around it show: a file made anew is without it."""

    __slots__ = ()


def values(batch: Batch, name: str) -> Array:
    """The values of a column in the rows that have it."""
    data, present = batch.columns[name]
    return data if present is None else data[present]


def zone_of(batch: Batch, addresses: NDArray[np.uint64] | None) -> dict[str, Any]:
    """The zone map of a batch whose distinct addresses are these, ascending."""
    zone: dict[str, Any] = {"kinds": sum(1 << kind for kind in flatnonzero(np.bincount(batch.kind)).tolist())}
    if addresses is not None:
        zone["addr"] = [int(addresses[0]), int(addresses[-1])]
    if "time" in batch.columns:
        times = values(batch, "time")
        zone["time"] = [int(times.min()), int(times.max())]
    return zone


def entry_of(zone: dict[str, Any]) -> tuple[int, ...]:
    """A block's line of the index, from its zone map."""
    ranges = [number for name, none in _RANGES.items() for number in zone.get(name, none)]
    return (*ranges, zone["kinds"])


def rare_of(batch: Batch) -> tuple[Any, Batch] | None:
    """The rows of a batch that are no accesses, and what is in them."""
    rows = flatnonzero(batch.kind > Kind.UNKNOWN)
    return (rows, batch.take(rows)) if len(rows) else None


def taken_over(batch: Batch, head: dict[str, Any], packed: bytes, body: bytes) -> Batch:
    """A batch with the block that it was decoded from, if that says the truth about what is in it: else whoever seeks
    by what it says would pass it over.
    """
    # Of a column in an encoding that is not known here nothing can be said, but it is not to be lost.
    unread = [name for name in _RANGES if name in head["columns"] and name not in batch.columns]
    try:
        zone = head["zone"]
        addresses = dictionary(head, len(batch))
        there = None if "addr" not in batch.columns else distinct(values(batch, "addr"))
        said = {name: zone[name] for name in (*_RANGES, "kinds") if name in zone}
        true = said == zone_of(batch, there) | {name: zone[name] for name in unread}
        true &= "addr" in unread or _same(addresses, there)
        entry = entry_of(zone)
        true &= len(entry) == 5 and all(type(number) is int for number in entry)
    except (ValueError, TypeError, LookupError):
        return batch
    if not true:
        return batch
    pages = None if "addr" in unread else pages_of(NO_ADDRESSES if there is None else there)
    block = Encoded(len(batch), packed, body, entry, pages, Counter(), rare_of(batch))
    return BlockBatch(batch, block)


def _same(some: NDArray[np.uint64] | None, ascending: NDArray[np.uint64] | None) -> bool:
    return some is ascending if some is None or ascending is None else np.array_equal(np.sort(some), ascending)
