"""What a trace holds, gathered in one pass: counts, times, devices, maps, losses and the hottest registers."""

from __future__ import annotations

from mmiotools.events import Event, Kind, events_lost, is_damage
from mmiotools.small import Counter
from mmiotools.speed import compiled
from mmiotools.stats.registers import Register, RegisterCounts
from mmiotools.trace.address_space import AddressSpace, Region
from mmiotools.trace.header import LiveMap, PciDevice
from mmiotools.trace.tally import ENTRY, HAS_ADDR, HAS_MAP, HAS_WIDTH, Counted, Times
from mmiotools.typed import TYPE_CHECKING, Any, Iterable, Sequence

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.names import Found, Names

SCHEMA = "mmiotools.info/1"
#: Registers that a summary names, and maps that it lists one by one.
HOTTEST = 10
MAPS_KEPT = 4096
#: Registers whose names are looked for.
NAMED_AT_MOST = 4096
#: Counted entries that wait until they are added up, in bytes; and of how many that is done one by one.
_ADD_UP_AT = ENTRY.size << 16
_ONE_BY_ONE = ENTRY.size << 14
#: The columns that a summary looks at.
LOOKED_AT = frozenset(("time", "width", "map", "addr", "region", "offset"))


class Summary:
    """Feed it every batch in order, then read it.

    kinds      events by Kind number, 11
    first, last, lowest, highest   times in ns of events other than LOST, in stream order and by value; None without
    maps       every map ever seen, in order, with the accesses that name its id; at most MAPS_KEPT
    lost       events that the recorder counted as lost; `lost_unknown`: LOST records that give no number
    damaged    damaged places, `damaged_events`: events lost there
    """

    def __init__(self) -> None:
        self.kinds = [0] * len(Kind)
        #: Accesses by kind << 8 | width.
        self._by_width: Counter[int] = Counter()
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
        self._space = AddressSpace()
        self._registers = RegisterCounts()
        #: What was counted and not yet added up, as bytes, and how much it is.
        self._entries: list[bytes] = []
        self._waiting = 0
        self._alive: set[int] = set()

    # -- gathering ----------------------------------------------------------------------------------------

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        self.add_bulk(batch)
        self.add_rare(batch.rare.events())

    def add_bulk(self, batch: Batch) -> None:
        """Take in what most rows have: counts, widths, maps named, registers, times."""
        from mmiotools.stats.bulk import bulk_of

        bulk = bulk_of(batch)
        self._add_kinds(bulk.kinds)
        self._put_entries(bulk.entries)
        if bulk.by_region:
            self._registers.add(batch)
        if bulk.times is not None:
            self._add_times(bulk.times)

    def add_counted(self, counted: Counted) -> None:
        """The same of events that were counted already."""
        if counted.batch is not None:
            self.add_bulk(counted.batch)
            return
        self._add_kinds(counted.kinds)
        self._put_entries(counted.entries)
        times = counted.times
        accesses = []
        for row, event in zip(counted.rows, counted.rest, strict=True):
            if event.kind <= Kind.UNKNOWN:
                accesses.append(event._replace(time=None))
            else:
                self.kinds[event.kind] += 1
            if event.time is not None and event.kind != Kind.LOST:
                time = event.time
                times = Times(time, time, row, row, time, time).along(times)
        if accesses:
            from mmiotools.trace.batch import Batch

            self.add_bulk(Batch.from_events(accesses))
        if times is not None:
            self._add_times(times)

    def merge(self, later: Summary) -> None:
        """Take in what another summary gathered by `add_bulk` from the next batches."""
        self._add_kinds(later.kinds)
        self._by_width.update(later._by_width)
        self._map_accesses.update(later._map_accesses)
        self._registers.merge(later._registers)
        self._put_entries(*later._entries)
        if later.first is None or later.last is None or later.lowest is None or later.highest is None:
            return
        self._add_times(Times(later.first, later.last, 0, 0, later.lowest, later.highest))

    def _add_kinds(self, counts: Sequence[int]) -> None:
        for kind, count in enumerate(counts):
            self.kinds[kind] += count

    def _add_times(self, times: Times) -> None:
        self.first = times.first if self.first is None else self.first
        self.last = times.last
        self.lowest = times.least if self.lowest is None else min(self.lowest, times.least)
        self.highest = times.greatest if self.highest is None else max(self.highest, times.greatest)

    def _put_entries(self, *entries: bytes) -> None:
        self._entries += entries
        self._waiting += sum(map(len, entries))
        if self._waiting > _ADD_UP_AT:
            self._add_up()

    def _add_up(self) -> None:
        """Take what waits into the counts."""
        if not self._waiting:
            return
        entries = b"".join(self._entries)
        self._entries, self._waiting = [], 0
        fast = compiled()
        if fast is not None:
            entries = fast.add_up(entries)
        if len(entries) > _ONE_BY_ONE:
            from mmiotools.stats.bulk import sums

            found = sums(entries, self._registers.table())
            self._by_width.update(found.by_width)
            self._map_accesses.update(found.by_map)
            return
        put = self._registers.put
        # Few maps and widths go together, so that these are looked at once for all addresses.
        apart: dict[tuple[int, int, int], list[int]] = {}
        for addr, map_id, reads, writes, unknown, width, has in ENTRY.iter_unpack(entries):
            if has & HAS_ADDR:
                put(addr, (reads, writes, unknown))
            total = apart.get((map_id, width, has))
            if total is None:
                total = apart[map_id, width, has] = [0, 0, 0]
            total[0] += reads
            total[1] += writes
            total[2] += unknown
        for (map_id, width, has), total in apart.items():
            if has & HAS_MAP:
                self._map_accesses[map_id] += sum(total)
            if has & HAS_WIDTH:
                for kind, count in enumerate(total):
                    self._by_width[kind << 8 | width] += count

    def add_rare(self, events: Iterable[Event]) -> None:
        """Take in the events that are no accesses, in order: maps, devices, losses, notes."""
        for event in events:
            kind, extra = event.kind, event.extra
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
                self.unmap_unknown += event.map == -1
                self._alive.discard(-1 if event.map is None else event.map)
            elif kind in (Kind.MAP, Kind.DEVICE):
                self._space.take_in(event)
                if kind == Kind.MAP:
                    self._add_map(LiveMap.from_event(event))

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
        return sum(self.kinds)

    def named_kinds(self) -> dict[str, int]:
        """Events by the name of their kind; kinds that are absent are left out."""
        return {kind.name: self.kinds[kind] for kind in Kind if self.kinds[kind]}

    @property
    def accesses(self) -> int:
        """Reads, writes and unknown ones."""
        return sum(self.kinds[:3])

    @property
    def devices(self) -> list[PciDevice]:
        """Every PCI function, in order of appearance, as last described."""
        return list(self._space.devices.values())

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
        table: dict[str, dict[int, int]] = {}
        for code, count in sorted(self._by_width.items()):
            if count:
                table.setdefault(Kind(code >> 8).name, {})[code & 255] = count
        return table

    def hottest(self, n: int = HOTTEST) -> list[Register]:
        """The n most used registers."""
        self._add_up()
        return self._registers.hottest(self._space, n)

    def found(self, register: Register, names: Names) -> Found | None:
        """The name of a register, by the devices and maps of the whole trace."""
        if register.region is None:
            return names.find(None, register.offset)
        known = {region.name: region for region in self._space.regions}
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
            "kinds": self.named_kinds(),
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
