"""A block of a native file as it is in the file, so that it can be put into another one without being made anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.trace.batch import Array, Batch
from mmiotools.trace.hashing import distinct

#: Of what a block says about itself without its columns: the least and the most of each, in the order of the index.
_RANGES = {"time": (0, -1), "addr": (0, 0)}


class Encoded(NamedTuple):
    """A block before its place in the file is known: packed head and body, its line of the footer's index, and what
    it could not hold.
    """

    events: int
    head: bytes
    body: bytes
    entry: tuple[int, ...]
    lost: Counter[str]


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


def entry_of(zone: dict[str, Any]) -> tuple[int, ...]:
    """A block's line of the index, from its zone map."""
    return (*(number for name, none in _RANGES.items() for number in zone.get(name, none)), zone["kinds"])


def taken_over(
    batch: Batch, head: dict[str, Any], addresses: NDArray[np.uint64] | None, packed: bytes, body: bytes
) -> Batch:
    """A batch with the block that it was decoded from, if that says the truth about what is in it: else whoever seeks
    by what it says would pass it over.
    """
    known = batch.columns.keys() | {"kind", "extras"}
    # Of a column in an encoding that is not known here nothing can be said, but it is not to be lost.
    unread = [name for name in _RANGES if name in head["columns"] and name not in known]
    there = None if "addr" not in batch.columns else distinct(values(batch, "addr"))
    zone = head["zone"]
    try:
        expected = zone_of(batch, there) | {name: zone[name] for name in unread}
        said = {name: zone[name] for name in (*_RANGES, "kinds") if name in zone}
        true = said == expected and ("addr" in unread or _same(addresses, there))
        entry = entry_of(zone)
    except (ValueError, TypeError, LookupError):
        return batch
    if not true or len(entry) != 5 or not all(type(number) is int for number in entry):
        return batch
    block = Encoded(len(batch), packed, body, entry, Counter())
    return BlockBatch(batch.kind, batch.columns, batch.extras, batch.regions, block)


def _same(some: NDArray[np.uint64] | None, others: NDArray[np.uint64] | None) -> bool:
    return some is others if some is None or others is None else np.array_equal(some, others)
