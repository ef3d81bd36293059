"""Head and body of a block of events → a batch, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.formats import native_extras
from mmiotools.formats.native_body import EXTRAS, NEEDED, read_body
from mmiotools.formats.native_columns import Presence, decode, unpack_planes
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.trace.batch import DTYPES, EOL_NONE, MAX_EVENTS, Batch, Column, Regions
from mmiotools.trace.zones import Zones

#: Most columns of a block: each may be a few bytes in the file and half a megabyte here.
MAX_COLUMNS = 256
#: Columns without which a batch is none.
_ALWAYS = ("kind", "extras")
#: What a block that checks out may still raise when it says nonsense.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


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
) -> Decoded:
    """The batch of a block of n events, and what it lacks.

    regions     of the stream; its codes are the batch's
    wanted      the columns to decode, None for all; of the others the checksums are looked at, no more
    leaves_out  whether nobody wants to see a block, by what its head says: then None is its batch

    Raises Corrupt, or another of NONSENSE.
    """
    if not 1 <= n <= MAX_EVENTS or head["n"] != n:
        raise Corrupt("its number of events is impossible")
    addresses = None
    if "addresses" in head:
        size, planes = head["addresses"]
        if not 0 < size <= n:
            raise Corrupt("its address dictionary has an impossible size")
        addresses = np.cumsum(unpack_planes(planes, size), dtype=np.uint64)
    if len(head["columns"]) > MAX_COLUMNS:
        raise Corrupt("it has too many columns")
    payloads, lost, sound = read_body(head["columns"], packed)
    if NEEDED in lost:
        raise Corrupt(f"column '{NEEDED}': its checksum is wrong")
    # Without the extras, it takes the kinds to know what is lost.
    if leaves_out is not None and EXTRAS not in lost and leaves_out(_zones(head["zone"], n, addresses)):
        return Decoded(None, [], lost, sound)
    presence = Presence(head.get("present"))
    columns: dict[str, Column] = {}
    extras: dict[int, dict[str, Any]] = {}
    unread = []
    for name, entry in head["columns"].items():
        payload = payloads.get(name)
        if payload is None or (wanted is not None and name not in wanted and name not in _ALWAYS):
            continue
        try:
            if name == "extras":
                extras = native_extras.decode(entry, payload, n)
                continue
            column = decode(entry, payload, n, addresses, presence)
            if column is not None and name in DTYPES:
                column = _as_expected(name, column)
        except NONSENSE as error:
            raise Corrupt(f"column '{name}': {error}") from error
        if column is None:
            unread.append(name)
        else:
            columns[str(name)] = column
    kind = columns.pop("kind").data
    if kind.dtype != np.uint8 or int(kind.max()) > max(Kind):
        raise Corrupt("it holds kinds of events that this version does not know")
    if "region" in columns:
        columns["region"] = _translate(columns["region"], head["regions"], regions)
    return Decoded(Batch(kind, columns, extras, regions), unread, lost, sound)


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
    return Zones(offset, first, count, least, most, low, high, kinds, addresses=addresses)


def _as_expected(name: str, column: Column) -> Column:
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
