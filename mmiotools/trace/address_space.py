"""What lies where, as the events of a stream tell it: PCI functions with their BARs, maps, and the regions that they
are; one address at a time. `addrmap` does the same for the rows of batches.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise, zip_longest

from mmiotools.events import Event, Kind
from mmiotools.trace.header import Bar, LiveMap, PciDevice
from mmiotools.typed import Any, NamedTuple

TOP = 1 << 64


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


class Segments(NamedTuple):
    """The addresses of a space, divided, in order: where each segment starts, the code of the BAR there (-1: none), and
    where that starts.
    """

    starts: list[int]
    codes: list[int]
    bases: list[int]


class AddressSpace:
    """Follows a stream by its DEVICE, MAP and UNMAP events.

    `regions` is append-only: a code, once given, stays. `maps` holds the live maps by id, `devices` the PCI
    functions by bus/devfn.
    """

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.maps: dict[int, LiveMap] = {}
        self.devices: dict[int, PciDevice] = {}
        self._codes: dict[tuple[Any, ...], int] = {}
        self._map_codes: dict[int, int] = {}
        self._windows: dict[tuple[int, int], int] = {}
        self._segments: dict[str, Segments] = {}

    def take_in(self, event: Event) -> None:
        """One DEVICE, MAP or UNMAP event."""
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
        self._segments = {}

    @property
    def windows(self) -> list[tuple[int, int]]:
        """Physical start and length (0: not known) of every map so far, without repetitions, by ordinal."""
        return list(self._windows)

    def device_identity(self, device: PciDevice) -> tuple[str, int]:
        """vendor:device and the ordinal among the devices of the same ids, in order of appearance."""
        same = [d.bdf for d in self.devices.values() if d.ids == device.ids]
        return device.ids, same.index(device.bdf)

    def locate(self, address: int) -> tuple[str | None, int]:
        """Region and offset of an address in memory, by the devices, else by a live map that covers it, the one of the
        highest id; (None, address) if there is none.
        """
        starts, codes, bases = self.segments("mem")
        at = bisect_right(starts, address) - 1
        if codes[at] >= 0:
            return self.regions[codes[at]].name, address - bases[at]
        covering = [
            live.id
            for live in self.maps.values()
            if live.phys <= address and (live.length is None or address < live.phys + live.length)
        ]
        if not covering:
            return None, address
        live = self.maps[max(covering)]
        return self.regions[self._map_codes[live.id]].name, address - live.phys

    def segments(self, space: str) -> Segments:
        """The addresses of one space, from 0 on, by the devices that are known now."""
        found = self._segments.get(space)
        if found is None:
            rows = [(0, -1, 0)]
            if self.devices:
                rows += self._covered(space)
            starts, codes, bases = map(list, zip(*rows, strict=True))
            found = self._segments[space] = Segments(starts, codes, bases)
        return found

    def _covered(self, space: str) -> list[tuple[int, int, int]]:
        """The segments behind the first one."""
        bars = []
        for device in self.devices.values():
            for bar in device.bars:
                if bar.addr and bar.size and bar.space == space and bar.addr < TOP:
                    name = f"{device.address}/{bar.name}"
                    identity = (*self.device_identity(device), bar.name)
                    region = Region(name, identity, space, bar.addr, bar.size, device, bar)
                    bars.append((bar.addr, min(bar.addr + bar.size, TOP), self._code(region)))
        rows = []
        in_order = sorted(bars)
        if all(before[1] <= after[0] for before, after in pairwise(in_order)):
            # As they should lie: apart from each other.
            starts = [start for start, _, _ in in_order]
            for (start, end, code), after in zip_longest(in_order, starts[1:]):
                rows.append((start, code, start))
                if end != after and end < TOP:
                    rows.append((end, -1, 0))
            return rows
        from mmiotools.trace.intervals import IntervalIndex  # takes a while

        index: IntervalIndex[int] = IntervalIndex(overlaps=True)
        for start, end, code in bars:
            index.insert(start, end, code)
        for start, covering in index.segments():
            if start < TOP:
                code = covering[-1].value if covering else -1
                rows.append((start, code, covering[-1].start if covering else 0))
        return rows

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


def register_name(region: str | None, offset: int) -> str:
    """`region+0xoffset` for display, or the bare address where there is no region."""
    return f"{offset:#x}" if region is None else f"{region}+{offset:#x}"
