"""Is a trace complete? Problems (something is missing or impossible) and remarks (odd, but nothing is missing)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmiotools.events import Kind, events_lost, is_damage
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, BoolArray
from mmiotools.typed import Any, Mapping, NDArray

SCHEMA = "mmiotools.check/1"
PAGE = 1 << 12
HUGE_PAGE = 1 << 21

#: Finding → what it means, in the order in which they are told.
PROBLEMS = {
    "damaged": "damaged records",
    "lost": "events lost by the recorder",
    "unmapped": "accesses outside the map that they name, or while it is not there",
    "backwards": "time runs backwards",
}
REMARKS = {
    "unknown": "UNKNOWN accesses without a value",
    "wide": "values wider than their access",
    "unaligned-map": "maps that start inside a page: old kernels do not trace their first page",
    "huge-tail-map": "maps over 2 MiB with a tail of small pages: Linux does not trace the tail",
    "alive": "maps left alive at the end",
    "unmap-unknown": "UNMAP of an unknown map (id -1)",
    "no-devices": "no DEVICE records: registers are named by map only",
    "only-notes": "nothing is a record of the format: all is kept as notes",
}


@dataclass(slots=True)
class Finding:
    """One kind of finding. `count` is of records; `events` of lost events where that differs; None: not known.

    index, time, line, offset   where it was met first: event number from 0, ns, source line or byte
    """

    name: str
    count: int = 0
    events: int | None = None
    index: int | None = None
    time: int | None = None
    line: int | None = None
    offset: int | None = None
    detail: str = ""

    @property
    def meaning(self) -> str:
        """A phrase for people."""
        return PROBLEMS.get(self.name) or REMARKS[self.name]

    def as_json(self) -> dict[str, Any]:
        """As `check --json` prints it."""
        first = {"index": self.index, "time_ns": self.time, "line": self.line, "byte": self.offset}
        found: dict[str, Any] = {"name": self.name, "meaning": self.meaning, "count": self.count}
        if self.name in ("damaged", "lost"):
            found["events"] = self.events
        if self.detail:
            found["detail"] = self.detail
        return found | {"first": first if self.index is not None else None}


class Check:
    """Feed it every batch in order, then `finish`; after that `problems` and `remarks` hold what was found."""

    def __init__(self) -> None:
        self.events = 0
        self.accesses = 0
        self._notes = 0
        self._found: dict[str, Finding] = {}
        self._addresses = AddressMap()
        self._previous: int | None = None

    @property
    def problems(self) -> list[Finding]:
        """What makes the trace incomplete or impossible."""
        return [self._found[name] for name in PROBLEMS if name in self._found]

    @property
    def remarks(self) -> list[Finding]:
        """What is odd but loses nothing."""
        return [self._found[name] for name in REMARKS if name in self._found]

    def add(self, batch: Batch) -> None:
        """Take in a batch."""
        self._notes_and_losses(batch)
        self._maps(batch)
        accesses = batch.accesses
        count = int(np.count_nonzero(accesses))
        mapped = self._addresses.resolve(batch).mapped
        if count:
            named = accesses & batch.present("map") & batch.present("addr")
            self._report("unmapped", batch, named & ~mapped)
            self._report("unknown", batch, (batch.kind == Kind.UNKNOWN) & ~_has_value(batch))
            self._report("wide", batch, _wide(batch))
        self._times(batch)
        self.events += len(batch)
        self.accesses += count
        self._notes += int(np.count_nonzero(batch.kind == Kind.NOTE))

    def finish(self) -> None:
        """Judge what only the end can tell."""
        alive = self._addresses.maps
        if alive:
            ids = ", ".join(str(map_id) for map_id in list(alive)[:8])
            more = f" and {len(alive) - 8} more" if len(alive) > 8 else ""
            self._found["alive"] = Finding("alive", len(alive), detail=f"map {ids}{more}")
        if not self._addresses.devices and self.accesses:
            self._found["no-devices"] = Finding("no-devices", 1)
        if self._notes and self._notes == self.events and "damaged" not in self._found:
            self._found["only-notes"] = Finding("only-notes", self._notes)

    # -- single findings ----------------------------------------------------------------------------------

    def _report(self, name: str, batch: Batch, rows: BoolArray) -> None:
        count = int(np.count_nonzero(rows))
        if count:
            self._count(name, batch, int(np.argmax(rows)), count)

    def _count(self, name: str, batch: Batch, row: int, count: int = 1) -> Finding:
        finding = self._found.get(name)
        if finding is None:
            extra: Mapping[str, Any] = batch.extras.get(row, {})
            time = int(batch.data("time")[row]) if batch.present("time")[row] else None
            finding = Finding(name, index=self.events + row, time=time)
            if is_damage(int(batch.kind[row]), extra):
                finding.line, finding.offset = extra.get("line"), extra.get("offset")
            self._found[name] = finding
        finding.count += count
        return finding

    def _notes_and_losses(self, batch: Batch) -> None:
        for row in batch.rows(Kind.NOTE, Kind.LOST).tolist():
            extra = batch.extras.get(row, {})
            if batch.kind[row] == Kind.LOST:
                finding = self._count("lost", batch, row)
                if finding.count == 1:
                    finding.events = 0
                number = extra.get("count")
                if number is None:
                    finding.detail = "at least this many: some LOST records give no number"
                else:
                    finding.events = (finding.events or 0) + int(number)
            elif is_damage(Kind.NOTE, extra):
                finding = self._count("damaged", batch, row)
                finding.events = (finding.events or 0) + events_lost(extra)
                finding.detail = finding.detail or str(extra.get("reason", ""))

    def _maps(self, batch: Batch) -> None:
        for row in batch.rows(Kind.MAP, Kind.UNMAP).tolist():
            event = batch.event(row)
            if event.kind == Kind.UNMAP:
                if event.map == -1:
                    self._count("unmap-unknown", batch, row)
                continue
            if event.addr is not None and event.addr % PAGE:
                self._count("unaligned-map", batch, row)
            length = event.extra.get("length")
            if isinstance(length, int) and length > HUGE_PAGE and length % HUGE_PAGE:
                self._count("huge-tail-map", batch, row)

    def _times(self, batch: Batch) -> None:
        """Times of all but LOST records, which may say 0, must not fall; a HEADER record begins a new recording."""
        rows = batch.timed
        start = 0
        for header in [*batch.rows(Kind.HEADER).tolist(), len(batch)]:
            self._times_between(batch, start + flatnonzero(rows[start:header]))
            if header < len(batch):
                self._previous = None
            start = header

    def _times_between(self, batch: Batch, rows: NDArray[np.intp]) -> None:
        if not len(rows):
            return
        times = batch.data("time")[rows]
        backwards = np.zeros(len(batch), np.bool_)
        backwards[rows[1:][times[1:] < times[:-1]]] = True
        if self._previous is not None and times[0] < self._previous:
            backwards[rows[0]] = True
        self._previous = int(times[-1])
        self._report("backwards", batch, backwards)


def _has_value(batch: Batch) -> BoolArray:
    present = batch.present("value").copy()
    for row, extra in batch.extras.items():
        if "value" in extra:
            present[row] = True
    return present


def _wide(batch: Batch) -> BoolArray:
    """Rows of accesses whose value needs more bits than the access has."""
    width, value = batch.data("width"), batch.data("value")
    narrow = batch.accesses & batch.present("value") & batch.present("width") & (width < 8)
    bits = np.minimum(width, 7).astype(np.uint64) * np.uint64(8)
    wide = np.asarray(narrow & (value >> bits != 0), np.bool_)
    widths = batch.present("width")
    for row, extra in batch.extras.items():
        number = extra.get("value")
        if isinstance(number, int) and widths[row]:
            wide[row] = number.bit_length() > int(width[row]) * 8
    return wide
