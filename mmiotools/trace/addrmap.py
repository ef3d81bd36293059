"""The address map: which register an address is, at each place of the stream.

An access lies in a BAR of a PCI device (by address), else in the map whose id it names (by that map's start),
else in a region that the format named itself, else nowhere. DEVICE, MAP and UNMAP events change the map as
they pass; overlapping live maps, ranges used again and negative ids are legal.
"""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.trace.address_space import TOP, AddressSpace, Region, Segments
from mmiotools.trace.arrays import distinct
from mmiotools.trace.batch import Batch, BoolArray
from mmiotools.typed import Iterator, NamedTuple, NDArray, TypeAlias

#: Starts of segments, codes of the BARs there and where these start, (n,) each.
Table: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint64]]


class Resolved(NamedTuple):
    """Where each row of a batch lies: `region` (n,) int32 code or -1, `offset` (n,) uint64 in that region (the absolute
    address where the region is -1, or was named without an offset), `mapped` (n,) bool: inside the live map that the
    row names.
    """

    region: NDArray[np.int32]
    offset: NDArray[np.uint64]
    mapped: BoolArray


class AddressMap(AddressSpace):
    """The same for batches: feed it every one in order, through `resolve` or `observe`."""

    def __init__(self) -> None:
        super().__init__()
        self._named: dict[str, int] = {}
        #: Segments as arrays, with those that they were made of.
        self._tables: dict[str, tuple[Segments, Table]] = {}

    # -- following the stream -----------------------------------------------------------------------------

    def observe(self, batch: Batch) -> None:
        """Take in the DEVICE, MAP and UNMAP events of a batch without resolving its accesses."""
        for row in batch.rows(Kind.MAP, Kind.UNMAP, Kind.DEVICE).tolist():
            self.take_in(batch.event(row))

    def table(self, space: str = "mem") -> Table:
        """`segments` as arrays."""
        segments = self.segments(space)
        known = self._tables.get(space)
        if known is None or known[0] is not segments:
            starts, codes, bases = segments
            arrays = (np.array(starts, np.uint64), np.array(codes, np.int32), np.array(bases, np.uint64))
            known = self._tables[space] = (segments, arrays)
        return known[1]

    # -- resolving ----------------------------------------------------------------------------------------

    def spans(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """Row spans with one state of the map each; the events between them are applied on the way."""
        start = 0
        for row in batch.rows(Kind.MAP, Kind.UNMAP, Kind.DEVICE).tolist():
            if row > start:
                yield start, row
            self.take_in(batch.event(row))
            start = row
        if start < len(batch):
            yield start, len(batch)

    def resolve(self, batch: Batch) -> Resolved:
        """Region, offset and mappedness of every row; rows without an address have region -1 and offset 0,
        unless the format named their region.
        """
        n = len(batch)
        region = np.full(n, -1, np.int32)
        offset = batch.data("addr").astype(np.uint64, copy=True)
        mapped = np.zeros(n, np.bool_)
        has_address = batch.present("addr")
        map_ids, has_map = batch.data("map"), batch.present("map")
        all_rows = bool(has_address.all())
        for start, stop in self.spans(batch):
            part = slice(start, stop)
            addr = batch.data("addr")[part]
            starts, codes, bases = self.table()
            if len(starts) > 1 and len(addr):
                found, shift = _lookup(addr, starts, codes, bases)
                region[part] = found
                offset[part] -= shift
            self._by_map(part, addr, map_ids[part], has_map[part], region, offset, mapped)
        if not all_rows:
            region[~has_address] = -1
            mapped &= has_address
        if "region" in batch.columns:
            self._by_name(batch, region, offset)
        return Resolved(region, offset, mapped)

    def has_offset(self, batch: Batch, region: NDArray[np.int32]) -> BoolArray:
        """Rows with an offset in their region, (n,), of those that `resolve` gave: not where the format named a region
        and an address alone.
        """
        if "region" not in batch.columns:
            return np.asarray((region >= 0) | batch.present("offset"), np.bool_)
        named = np.array([found.identity[0] == "named" for found in self.regions] + [True])
        return np.asarray(~named[region] | batch.present("offset"), np.bool_)

    def registers(self, batch: Batch) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
        """`region` and `offset` as `resolve` gives them, for accesses alone; other rows hold anything.

        Where every access lies in a BAR, maps do not matter, so that the rows are looked up all at once.
        """
        addr = batch.columns.get("addr")
        if addr is not None and "region" not in batch.columns and not bool((batch.kind == Kind.DEVICE).any()):
            starts, codes, bases = self.table()
            if len(starts) > 1:
                region, shift = _lookup(addr.data, starts, codes, bases)
                known = region >= 0 if addr.present is None else (region >= 0) & addr.present
                if bool((known | ~batch.accesses).all()):
                    self.observe(batch)
                    return region, addr.data - shift
        resolved = self.resolve(batch)
        return resolved.region, resolved.offset

    def _by_map(
        self,
        part: slice,
        addr: NDArray[np.uint64],
        ids: NDArray[np.int64],
        has_map: BoolArray,
        region: NDArray[np.int32],
        offset: NDArray[np.uint64],
        mapped: BoolArray,
    ) -> None:
        if not len(ids):
            return
        low, high = int(ids.min()), int(ids.max())
        present = {low} if low == high else set(distinct(ids).tolist())
        for map_id in present:
            live = self.maps.get(map_id)
            if live is None:
                continue
            inside = has_map & (addr >= np.uint64(live.phys))
            if low != high:
                inside &= ids == map_id
            if live.length is not None and live.phys + live.length < TOP:
                inside &= addr < np.uint64(live.phys + live.length)
            mapped[part] |= inside
            chosen = inside & (region[part] < 0)
            if chosen.any():
                region[part][chosen] = self._map_codes[map_id]
                offset[part][chosen] -= np.uint64(live.phys)

    def _by_name(self, batch: Batch, region: NDArray[np.int32], offset: NDArray[np.uint64]) -> None:
        """Rows whose region the format named. One that has an address instead of an offset keeps its address, and is
        told by its BAR or map where it lies in one.
        """
        present = batch.present("region") & (batch.present("offset") | ~batch.present("addr") | (region < 0))
        table = np.full(len(batch.regions.names), -1, np.int32)
        for code in distinct(batch.data("region")[present]).tolist():
            name = batch.regions.names[code]
            table[code] = self._code(Region(name, ("named", name), batch.regions.spaces[code], None, None))
        region[present] = table[batch.data("region")[present]]
        within = present & batch.present("offset")
        offset[within] = batch.data("offset")[within]


def _lookup(
    addr: NDArray[np.uint64], starts: NDArray[np.uint64], codes: NDArray[np.int32], bases: NDArray[np.uint64]
) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Region codes and the base to subtract, for addresses. One segment for all, the usual case, is not searched."""
    ends = np.searchsorted(starts, np.array([addr.min(), addr.max()]), "right") - 1
    if ends[0] == ends[1]:
        at = int(ends[0])
        return np.full(len(addr), codes[at], np.int32), np.full(len(addr), bases[at], np.uint64)
    at_each = np.searchsorted(starts, addr, "right") - 1
    return codes[at_each], bases[at_each]
