"""Head and body of a block of events → a batch, or what is wrong with it."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats import native_extras
from mmiotools.formats.native_body import EXTRAS, NEEDED, address_list, read_body
from mmiotools.formats.native_columns import Presence, unpack_planes
from mmiotools.formats.native_late import NONSENSE, LateBatch, decoded
from mmiotools.formats.native_layout import MAX_COLUMNS, MAX_ROWS, PLACES
from mmiotools.formats.native_partial import StoredColumn
from mmiotools.formats.native_planes import from_differences
from mmiotools.formats.native_shared import rows_of, stored_column
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, BoolArray, Column, Regions
from mmiotools.trace.zones import Zones
from mmiotools.typed import Any, Callable, NamedTuple, NDArray

#: Columns without which a batch is none.
_ALWAYS = ("kind", "extras")
_LAST_KIND = max(Kind)


class Decoded(NamedTuple):
    """What a block holds.

    batch   its events; None where nobody wants to see them
    unread  the names of its columns whose encoding is not known: the events lack them
    lost    those of columns that are damaged: the events lack them, too
    sound   whether the block's body is as it was written
    """

    batch: Batch | None
    unread: list[str]
    lost: tuple[str, ...]
    sound: bool


def decode_block(
    n: int,
    head: dict[str, Any],
    packed: bytes,
    regions: Regions,
    wanted: frozenset[str] | None,
    leaves_out: Callable[[Zones], bool] | None,
    rows: Callable[[Batch], BoolArray] | None = None,
    alone: bool = True,
) -> Decoded:
    """The batch of a block of n events, and what it lacks.

    regions     of the stream; its codes are the batch's
    wanted      the columns to decode, None for all; of the others the checksums are looked at, no more
    leaves_out  whether nobody wants to see a block, by what its head says: then None is its batch
    rows        which accesses of a batch somebody wants to see, (n,): the others are not in it, and columns are decoded
                no further than it takes to know; None for all
    alone       whether what is no access is wanted of a block of which no access is; else None is its batch

    Raises Corrupt, or another of NONSENSE.
    """
    if not 1 <= n <= MAX_ROWS or head["n"] != n:
        raise Corrupt("its number of events is impossible")
    addresses = dictionary(head, n)
    if len(head["columns"]) > MAX_COLUMNS:
        raise Corrupt("it has too many columns")
    payloads, lost, sound = read_body(head["columns"], packed)
    for name in lost:
        if name == NEEDED or head["columns"].get(name, [None])[0] == PLACES:
            raise Corrupt(f"column '{name}': its checksum is wrong")
    # Without the extras, it takes the kinds to know what is lost.
    may_pass = EXTRAS not in lost
    if leaves_out is not None and may_pass and leaves_out(_zones(head["zone"], n, addresses)):
        return Decoded(None, [], lost, sound)
    presence = Presence(head.get("present"))
    distinct = rows_of(head["columns"], payloads, n)
    stored: dict[str, StoredColumn] = {}
    extras: dict[int, dict[str, Any]] = {}
    unread = []
    for name, entry in head["columns"].items():
        payload = payloads.get(name)
        if payload is None or (wanted is not None and name not in wanted and name not in _ALWAYS):
            continue
        try:
            if name == "extras":
                extras = native_extras.decode(payload, n)
                continue
            if entry[0] == PLACES:
                continue
            column = stored_column(entry, payload, n, addresses, presence, distinct)
        except NONSENSE as error:
            raise Corrupt(f"column '{name}': {error}") from error
        if column.known:
            stored[str(name)] = column
        else:
            unread.append(name)
    kind = stored.pop("kind").column().data
    most = int(kind.max())
    if kind.dtype != np.uint8 or most > _LAST_KIND:
        raise Corrupt("it holds kinds of events that this version does not know")
    if rows is None:
        batch = Batch(kind, {name: _whole(name, column) for name, column in stored.items()}, extras, regions)
    else:
        late = LateBatch(kind, extras, regions, stored)
        found = rows(late)
        if not alone and may_pass and not found.any():
            return Decoded(None, unread, lost, sound)
        batch = late.decoded(flatnonzero(found | (kind > Kind.UNKNOWN) if most > Kind.UNKNOWN else found))
    if "region" in batch.columns:
        batch.columns["region"] = _translate(batch.columns["region"], head["regions"], regions)
    return Decoded(batch, unread, lost, sound)


def dictionary(head: dict[str, Any], n: int) -> NDArray[np.uint64] | None:
    """The distinct addresses of a block of n events, in the order of their places; None where its head has none.
    Raises NONSENSE.
    """
    listed = address_list(head, n)
    if listed is None:
        return None
    size, planes, often = listed
    return from_differences(unpack_planes(planes, size), often)


def _whole(name: str, stored: StoredColumn) -> Column:
    column = decoded(name, stored)
    assert column is not None
    return column


def _translate(column: Column, names: dict[int, list[str]], regions: Regions) -> Column:
    """Region codes of the file as codes of this stream."""
    data = column.data.copy()
    for code, (name, space) in names.items():
        data[column.data == code] = regions.code(str(name), str(space))
    known = np.isin(column.data, np.fromiter(names, np.int64, len(names)))
    if not known[column.present if column.present is not None else slice(None)].all():
        raise Corrupt("a region has no name")
    if column.present is not None:
        data[~column.present] = 0
    return Column(data, column.present)


def _zones(zone: dict[str, Any], events: int, addresses: NDArray[np.uint64] | None) -> Zones:
    """What the head of a block says about it."""
    times, places = zone.get("time", (0, -1)), zone.get("addr", (0, 0))
    offset, first, count, least, most, kinds = (
        np.array([number], np.int64) for number in (0, 0, events, *times, zone["kinds"])
    )
    low, high = (np.array([number], np.uint64) for number in places)
    ascending = None if addresses is None else np.sort(addresses)
    return Zones(offset, first, count, least, most, low, high, kinds, addresses=ascending)
