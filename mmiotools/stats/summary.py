"""What a trace holds, gathered in one pass: counts, times, devices, maps, losses and the hottest registers."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np

from mmiotools.events import Kind, events_lost, is_damage
from mmiotools.speed import compiled
from mmiotools.stats.registers import Register, RegisterCounts
from mmiotools.trace.addrmap import AddressMap, Region
from mmiotools.trace.batch import Array, Batch
from mmiotools.trace.header import LiveMap, PciDevice
from mmiotools.trace.names import Found, Names
from mmiotools.trace.tally import ENTRY, HAS_ADDR, HAS_MAP, HAS_WIDTH, Counted

SCHEMA = "mmiotools.info/1"
#: Registers that a summary names, and maps that it lists one by one.
HOTTEST = 10
MAPS_KEPT = 4096
#: Registers whose names are looked for.
NAMED_AT_MOST = 4096
_WIDTHS, _KINDS, _LOST = 256, len(Kind), int(Kind.LOST)
#: Counted entries that are added up at once.
_ADD_UP_AT = 1 << 16
#: The columns that a summary looks at.
LOOKED_AT = frozenset(("time", "width", "map", "addr", "region", "offset"))


class Summary:
    """Feed it every batch in order, then read it.

    kinds      events by Kind number, (11,)
    widths     accesses by (width, kind)
    first, last, lowest, highest   times in ns of events other than LOST, in stream order and by value; None without
    maps       every map ever seen, in order, with the accesses that name its id; at most MAPS_KEPT
    lost       events that the recorder counted as lost; `lost_unknown`: LOST records that give no number
    damaged    damaged places, `damaged_events`: events lost there
    """

    def __init__(self) -> None:
        self.kinds = np.zeros(len(Kind), np.int64)
        self._by_width = np.zeros(3 * _WIDTHS, np.int64)
        self.first: int | None = None
        self.last: int | None = None
        self.lowest: int | None = None
        self.highest: int | None = None
        self.maps: list[LiveMap] = []
        self.map_count = 0
        self._map_accesses: Counter[int] = Counter()
        self.lost = 0
        self.lost_records = 0
        self.lost_unknown = 0
        self.damaged = 0
        self.damaged_events = 0
        self.unmap_unknown = 0
        self._names = AddressMap()
        self._registers = RegisterCounts()
        #: What was counted and not yet added up, and how much it is.
        self._entries: list[Array] = []
        self._waiting = 0
        self._alive: set[int] = set()

    # -- gathering ----------------------------------------------------------------------------------------

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        self.add_bulk(batch)
        self.add_rare(batch)

    def add_bulk(self, batch: Batch) -> None:
        """Take in what most rows have: counts, widths, maps named, registers, times."""
        counts = np.bincount(batch.kind, minlength=_KINDS)
        self.kinds += counts
        accesses = int(counts[:3].sum())
        fast = compiled()
        if accesses and fast is not None and "region" not in batch.columns:
            self._put_entries(_tally(fast, batch))
        elif accesses:
            self._add_widths(batch)
            self._add_maps(batch)
            self._registers.add(batch)
        self._add_times(batch, bool(counts[_LOST]))

    def add_counted(self, counted: Counted) -> None:
        """The same of events that were counted already."""
        self.add_bulk(counted.rest)
        self.kinds[:3] += counted.entries["counts"].sum(axis=0).astype(np.int64)
        self._put_entries(counted.entries)
        times = counted.times
        if times is None:
            return
        rows = counted.rows[counted.rest.timed]
        self.first = times.first if not len(rows) or times.first_row < rows[0] else self.first
        self.last = times.last if not len(rows) or times.last_row > rows[-1] else self.last
        self.lowest = times.least if self.lowest is None else min(self.lowest, times.least)
        self.highest = times.greatest if self.highest is None else max(self.highest, times.greatest)

    def _put_entries(self, *entries: Array) -> None:
        self._entries += entries
        self._waiting += sum(map(len, entries))
        if self._waiting > _ADD_UP_AT:
            self._add_up()

    def _add_up(self) -> None:
        if not self._waiting:
            return
        entries = np.concatenate(self._entries)
        self._entries, self._waiting = [], 0
        counts, has = entries["counts"].astype(np.int64), entries["has"]
        for kind in range(3):
            some = counts[:, kind] > 0
            if not some.any():
                continue
            of_kind, here = entries[some], has[some]
            number = counts[some, kind]
            wide = here & HAS_WIDTH != 0
            np.add.at(self._by_width, kind << 8 | of_kind["width"][wide].astype(np.intp), number[wide])
            placed = here & HAS_ADDR != 0
            self._registers.put(of_kind["addr"][placed], kind, number[placed])
        mapped = has & HAS_MAP != 0
        ids, which = np.unique(entries["map"][mapped], return_inverse=True)
        each = np.zeros(len(ids), np.int64)
        np.add.at(each, which, counts[mapped].sum(axis=1))
        for map_id, n in zip(ids.tolist(), each.tolist(), strict=True):
            self._map_accesses[map_id] += n

    def merge(self, later: Summary) -> None:
        """Take in what another summary gathered by `add_bulk` from the next batches."""
        self.kinds += later.kinds
        self._by_width += later._by_width
        self._map_accesses.update(later._map_accesses)
        self._registers.merge(later._registers)
        self._put_entries(*later._entries)
        if later.first is None or later.last is None or later.lowest is None or later.highest is None:
            return
        self.first = later.first if self.first is None else self.first
        self.last = later.last
        self.lowest = later.lowest if self.lowest is None else min(self.lowest, later.lowest)
        self.highest = later.highest if self.highest is None else max(self.highest, later.highest)

    def _add_widths(self, batch: Batch) -> None:
        kind, width = _of_accesses(batch, "width")
        code = kind.astype(np.uint16) << np.uint16(8) | width
        self._by_width += np.bincount(code, minlength=3 * _WIDTHS)

    def _add_maps(self, batch: Batch) -> None:
        _, ids = _of_accesses(batch, "map")
        if not len(ids):
            return
        low, high = int(ids.min()), int(ids.max())
        if low == high:
            self._map_accesses[low] += len(ids)
        elif high - low < 1 << 16:
            counts = np.bincount(ids - low)
            for at in np.flatnonzero(counts).tolist():
                self._map_accesses[low + at] += int(counts[at])
        else:
            found, each = np.unique(ids, return_counts=True)
            for map_id, n in zip(found.tolist(), each.tolist(), strict=True):
                self._map_accesses[map_id] += n

    def _add_times(self, batch: Batch, has_lost: bool) -> None:
        column = batch.columns.get("time")
        if column is None:
            return
        times = column.data
        if column.present is not None or has_lost:
            times = times[batch.timed]
        if not len(times):
            return
        low, high = int(times.min()), int(times.max())
        self.first = int(times[0]) if self.first is None else self.first
        self.last = int(times[-1])
        self.lowest = low if self.lowest is None else min(low, self.lowest)
        self.highest = high if self.highest is None else max(high, self.highest)

    def add_rare(self, batch: Batch) -> None:
        """Take in the events that are no accesses, in order: maps, devices, losses, notes."""
        if not len(batch) or int(batch.kind.max()) <= Kind.UNKNOWN:
            return
        for row in batch.rows(Kind.MAP, Kind.UNMAP, Kind.DEVICE, Kind.LOST, Kind.NOTE).tolist():
            kind = batch.kind[row]
            extra = batch.extras.get(row, {})
            if kind == Kind.NOTE:
                if is_damage(Kind.NOTE, extra):
                    self.damaged += 1
                    self.damaged_events += events_lost(extra)
            elif kind == Kind.LOST:
                self.lost_records += 1
                if extra.get("count") is None:
                    self.lost_unknown += 1
                else:
                    self.lost += int(extra["count"])
            elif kind == Kind.UNMAP:
                map_id = batch.event(row).map
                self.unmap_unknown += map_id == -1
                self._alive.discard(-1 if map_id is None else map_id)
            else:
                self._names.apply(batch, row)
                if kind == Kind.MAP:
                    self._add_map(LiveMap.from_event(batch.event(row)))

    def _add_map(self, live: LiveMap | None) -> None:
        self.map_count += 1
        if live is not None:
            self._alive.add(live.id)
            if len(self.maps) < MAPS_KEPT:
                self.maps.append(live)

    # -- reading ------------------------------------------------------------------------------------------

    @property
    def events(self) -> int:
        """All events, notes and damage included."""
        return int(self.kinds.sum())

    @property
    def accesses(self) -> int:
        """Reads, writes and unknown ones."""
        return int(self.kinds[:3].sum())

    @property
    def devices(self) -> list[PciDevice]:
        """Every PCI function, in order of appearance, as last described."""
        return list(self._names.devices.values())

    @property
    def map_accesses(self) -> Counter[int]:
        """Accesses by the map that they name."""
        self._add_up()
        return self._map_accesses

    @property
    def alive(self) -> int:
        """Maps that no UNMAP ended."""
        return len(self._alive)

    @property
    def registers_forgotten(self) -> int:
        """Accesses that are in no register's count because there were too many registers."""
        self._add_up()
        return self._registers.forgotten

    def registers(self) -> int:
        """Distinct registers."""
        self._add_up()
        return self._registers.distinct()

    def widths(self) -> dict[str, dict[int, int]]:
        """READ, WRITE, UNKNOWN → width in bytes → accesses; widths that are absent are left out."""
        self._add_up()
        table = self._by_width.reshape(3, _WIDTHS)
        return {
            Kind(row).name: {width: int(table[row, width]) for width in np.flatnonzero(table[row]).tolist()}
            for row in range(3)
            if table[row].any()
        }

    def hottest(self, n: int = HOTTEST) -> list[Register]:
        """The n most used registers."""
        self._add_up()
        return self._registers.hottest(self._names, n)

    def found(self, register: Register, names: Names) -> Found | None:
        """The name of a register, by the devices and maps of the whole trace."""
        if register.region is None:
            return names.find(None, register.offset)
        known = {region.name: region for region in self._names.regions}
        bare = Region(register.region, ("named", register.region), "mem", None, None)
        return names.find(known.get(register.region, bare), register.offset)

    def unnamed(self, names: Names) -> list[Register]:
        """The registers that have no name, of the NAMED_AT_MOST most used ones; most used first."""
        return [register for register in self.hottest(NAMED_AT_MOST) if self.found(register, names) is None]

    def as_json(self) -> dict[str, Any]:
        """The summary as `info --json` prints it, without the file's name and header."""
        return {
            "events": self.events,
            "accesses": self.accesses,
            "kinds": {kind.name: int(self.kinds[kind]) for kind in Kind if self.kinds[kind]},
            "widths": {name: {str(w): n for w, n in by.items()} for name, by in self.widths().items()},
            "time_ns": None
            if self.first is None
            else {"first": self.first, "last": self.last, "min": self.lowest, "max": self.highest},
            "devices": [_device_json(device) for device in self.devices],
            "maps": {
                "count": self.map_count,
                "left_alive": self.alive,
                "unmap_of_unknown": self.unmap_unknown,
                "list": [self._map_json(live) for live in self.maps],
            },
            "losses": {
                "records": self.lost_records,
                "events": self.lost,
                "records_without_count": self.lost_unknown,
            },
            "damage": {"places": self.damaged, "events": self.damaged_events},
            "registers": {
                "distinct": self.registers(),
                "complete": self.registers_forgotten == 0,
                "hottest": [register_json(register) for register in self.hottest()],
            },
        }

    def _map_json(self, live: LiveMap) -> dict[str, Any]:
        return {
            "id": live.id,
            "phys": f"{live.phys:#x}",
            "length": None if live.length is None else f"{live.length:#x}",
            "accesses": self.map_accesses[live.id],
        }


def _of_accesses(batch: Batch, name: str) -> tuple[Array, Array]:
    """Kind and value of a column, for the accesses that have it; the arrays themselves where all rows do."""
    column = batch.columns.get(name)
    if column is None:
        return batch.kind[:0], batch.data(name)[:0]
    rows = batch.accesses
    if column.present is not None:
        rows = rows & column.present
    return (batch.kind, column.data) if rows.all() else (batch.kind[rows], column.data[rows])


def _tally(fast: ModuleType, batch: Batch) -> Array:
    """The accesses of a batch, counted, (m,) of ENTRY."""
    columns: list[Any] = []
    for name in ("addr", "map", "width"):
        column = batch.columns.get(name)
        columns.append(None if column is None else np.ascontiguousarray(column.data))
        columns.append(None if column is None or column.present is None else np.ascontiguousarray(column.present))
    return np.frombuffer(fast.tally_rows(len(batch), np.ascontiguousarray(batch.kind), *columns), ENTRY)


def counted_summary(counted: Counted) -> Summary:
    """The same as `bulk_summary`, of events that were counted already."""
    part = Summary()
    part.add_counted(counted)
    return part


def bulk_summary(batch: Batch) -> Summary:
    """A summary of one batch without its rare events: pure, to be computed anywhere and merged in order."""
    part = Summary()
    part.add_bulk(batch)
    return part


def _device_json(device: PciDevice) -> dict[str, Any]:
    bars = [
        {"name": bar.name, "addr": f"{bar.addr:#x}", "size": f"{bar.size:#x}", "space": bar.space}
        for bar in device.bars
    ]
    return {"address": device.address, "ids": device.ids, "driver": device.driver or None, "bars": bars}


def register_json(register: Register) -> dict[str, Any]:
    """A register as `info --json` prints it."""
    return {
        "region": register.region,
        "offset": f"{register.offset:#x}",
        "address": None if register.address is None else f"{register.address:#x}",
        "reads": register.reads,
        "writes": register.writes,
        "unknown": register.unknown,
    }
