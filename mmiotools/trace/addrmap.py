"""The address map: which register an address is, at each place of the stream.

An access lies in a BAR of a PCI device (by address), else in the map whose id it names (by that map's start),
else in a region that the format named itself, else nowhere. DEVICE, MAP and UNMAP events change the map as
they pass; overlapping live maps, ranges used again and negative ids are legal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.trace.batch import Batch, BoolArray
from mmiotools.trace.header import Bar, LiveMap, PciDevice
from mmiotools.trace.intervals import IntervalIndex

_TOP = 1 << 64


class Region(NamedTuple):
    """Something that registers lie in.

    name      for display: "00:03.0/BAR0", "map2", or what the format called it
    identity  the same in two recordings of the same hardware: ("8086:100e", 0, "BAR0"), ("map", 0), ("named", "x")
    space     mem, virt, port, config, reg, msr
    base      absolute address of offset 0, or None
    size      bytes, or None
    """

    name: str
    identity: tuple[Any, ...]
    space: str
    base: int | None
    size: int | None
    device: PciDevice | None = None
    bar: Bar | None = None


class Resolved(NamedTuple):
    """Where each row of a batch lies: `region` (n,) int32 code or -1, `offset` (n,) uint64 in that region (the absolute
    address where the region is -1, or was named without an offset), `mapped` (n,) bool: inside the live map that the
    row names.
    """

    region: NDArray[np.int32]
    offset: NDArray[np.uint64]
    mapped: BoolArray


@dataclass(slots=True)
class AddressMap:
    """Follows a stream; feed it every batch in order, through `resolve` or `observe`.

    `regions` is append-only: a code, once given, stays. `maps` holds the live maps by id, `devices` the PCI
    functions by bus/devfn.
    """

    regions: list[Region] = field(default_factory=list)
    maps: dict[int, LiveMap] = field(default_factory=dict)
    devices: dict[int, PciDevice] = field(default_factory=dict)
    _codes: dict[tuple[Any, ...], int] = field(default_factory=dict)
    _map_codes: dict[int, int] = field(default_factory=dict)
    _windows: dict[tuple[int, int], int] = field(default_factory=dict)
    _named: dict[str, int] = field(default_factory=dict)
    _tables: dict[str, tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint64]]] = field(default_factory=dict)

    # -- following the stream -----------------------------------------------------------------------------

    def observe(self, batch: Batch) -> None:
        """Take in the DEVICE, MAP and UNMAP events of a batch without resolving its accesses."""
        for row in batch.rows(Kind.MAP, Kind.UNMAP, Kind.DEVICE).tolist():
            self.apply(batch, row)

    def apply(self, batch: Batch, row: int) -> None:
        """Take in one DEVICE, MAP or UNMAP event."""
        event = batch.event(row)
        if event.kind == Kind.DEVICE:
            self.add_device(PciDevice.from_extra(event.extra))
        elif event.kind == Kind.MAP:
            live = LiveMap.from_event(event)
            if live is not None:
                self.maps[live.id] = live
                self._map_codes[live.id] = self._map_region(live)
        elif event.map is not None:
            self.maps.pop(event.map, None)

    def add_device(self, device: PciDevice) -> None:
        """A PCI function appears or, when its bus address is known, is described anew."""
        if self.devices.get(device.bdf) == device:
            return
        self.devices[device.bdf] = device
        self._tables.clear()

    @property
    def windows(self) -> list[tuple[int, int]]:
        """Physical start and length (0: not known) of every map so far, without repetitions, by ordinal."""
        return list(self._windows)

    def device_identity(self, device: PciDevice) -> tuple[str, int]:
        """vendor:device and the ordinal among the devices of the same ids, in order of appearance."""
        same = [d.bdf for d in self.devices.values() if d.ids == device.ids]
        return device.ids, same.index(device.bdf)

    def _map_region(self, live: LiveMap) -> int:
        window = (live.phys, live.length or 0)
        ordinal = self._windows.setdefault(window, len(self._windows))
        return self._code(Region(f"map{live.id}", ("map", ordinal), "mem", live.phys, live.length))

    def _code(self, region: Region) -> int:
        key = (region.name, *region.identity, region.base, region.size)
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = len(self.regions)
            self.regions.append(region)
        return code

    def segments(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint64]]:
        """Addresses in memory, divided: start of each segment, code of the BAR there (-1: none), base of that."""
        return self._table("mem")

    def _table(self, space: str) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint64]]:
        """Sorted segment starts, region code of each (-1: none) and base of each, for one space."""
        table = self._tables.get(space)
        if table is None:
            index: IntervalIndex[int] = IntervalIndex(overlaps=True)
            for device in self.devices.values():
                for bar in device.bars:
                    if bar.addr and bar.size and bar.space == space and bar.addr < _TOP:
                        name = f"{device.address}/{bar.name}"
                        identity = (*self.device_identity(device), bar.name)
                        region = Region(name, identity, space, bar.addr, bar.size, device, bar)
                        index.insert(bar.addr, min(bar.addr + bar.size, _TOP), self._code(region))
            rows = [(0, -1, 0)]
            for start, covering in index.segments():
                if start < _TOP:
                    code = covering[-1].value if covering else -1
                    rows.append((start, code, covering[-1].start if covering else 0))
            starts, codes, bases = zip(*rows, strict=True)
            table = (np.array(starts, np.uint64), np.array(codes, np.int32), np.array(bases, np.uint64))
            self._tables[space] = table
        return table

    # -- resolving ----------------------------------------------------------------------------------------

    def spans(self, batch: Batch) -> Iterator[tuple[int, int]]:
        """Row spans with one state of the map each; the events between them are applied on the way."""
        start = 0
        for row in batch.rows(Kind.MAP, Kind.UNMAP, Kind.DEVICE).tolist():
            if row > start:
                yield start, row
            self.apply(batch, row)
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
            starts, codes, bases = self._table("mem")
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
            starts, codes, bases = self._table("mem")
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
        present = {low} if low == high else set(np.unique(ids).tolist())
        for map_id in present:
            live = self.maps.get(map_id)
            if live is None:
                continue
            inside = has_map & (addr >= np.uint64(live.phys))
            if low != high:
                inside &= ids == map_id
            if live.length is not None and live.phys + live.length < _TOP:
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
        for code in np.unique(batch.data("region")[present]).tolist():
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
