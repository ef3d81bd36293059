"""The tape: what a recording says about one card, as columns, with registers named by BAR and offset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.trace.accesses import Access, Accesses
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import collect
from mmiotools.trace.header import PciDevice, Trace
from mmiotools.typed import Any, Iterator, NamedTuple, NDArray

_CHUNK = 4096
#: Chunks of rows that are kept.
_KEPT = 4
_LETTERS = "RWU"
_COLUMNS = ("rows", "op", "width", "bar", "offset", "value", "has_value")


class Row(NamedTuple):
    """One recorded access to the card. `value` is cut to the access's width; None where the recording has none."""

    op: str
    bar: str
    offset: int
    width: int
    value: int | None


@dataclass(slots=True)
class Tape:
    """The accesses of one PCI function, in order, (n,) each; about 30 bytes an access beside the recording's own.

    pci        the function, as the recording's DEVICE event describes it
    rows       index of each in the recording's accesses
    op width offset value has_value   as in `Accesses`; values cut to the width
    bar        index into `bars`, names of regions
    elsewhere  accesses of the recording that are not the card's
    left_out   accesses of the card that were taken out, to be left out of comparisons
    irqs       IRQ events of the recording
    irq_places   positions of the card's accesses before which they lie, ascending, each once
    cpu        the CPU of each, -1 where the recording does not say; None where it never does
    meta       what the recording says about how it was made
    config     the function's configuration space, empty where the recording does not have it
    """

    pci: PciDevice
    accesses: Accesses
    rows: NDArray[np.intp]
    op: NDArray[np.uint8]
    width: NDArray[np.int16]
    bar: NDArray[np.int16]
    offset: NDArray[np.uint64]
    value: NDArray[np.uint64]
    has_value: NDArray[np.bool_]
    bars: list[str]
    elsewhere: int = 0
    left_out: int = 0
    irqs: int = 0
    irq_places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    cpu: NDArray[np.int32] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    config: bytes = b""
    _chunks: dict[int, list[Row]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.intp]) -> Tape:
        """The accesses at these positions, ascending; `left_out` counts the others. IRQ events have no place in it."""
        columns = {name: getattr(self, name)[places] for name in _COLUMNS}
        cpu = None if self.cpu is None else self.cpu[places]
        left_out = self.left_out + len(self) - len(places)
        return replace(
            self, **columns, cpu=cpu, left_out=left_out, irq_places=np.zeros(0, np.int64), _chunks={}
        )

    def row(self, position: int) -> Row:
        """Access number `position` of the card; quick when positions lie near each other."""
        start = position - position % _CHUNK
        chunk = self._chunks.get(start)
        if chunk is None:
            if len(self._chunks) >= _KEPT:
                del self._chunks[next(iter(self._chunks))]
            chunk = self._chunks[start] = list(self._read(start, min(start + _CHUNK, len(self))))
        return chunk[position - start]

    def _read(self, start: int, stop: int) -> Iterator[Row]:
        part = slice(start, stop)
        columns = (self.op, self.bar, self.offset, self.width, self.value, self.has_value)
        for op, bar, offset, width, value, has in zip(*(column[part].tolist() for column in columns), strict=True):
            yield Row(_LETTERS[op], self.bars[bar], offset, width, value if has else None)

    def access(self, position: int) -> Access:
        """Access number `position` of the card as reports show it, with its index in the recording."""
        return self.accesses.access(int(self.rows[position]))

    def times(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Recorded times in nanoseconds, and which accesses have one; (n,) each."""
        return self.accesses.time[self.rows], self.accesses.has_time[self.rows]


def load_tape(trace: Trace, select: str | None = None) -> Tape:
    """Read a trace to its end and pick one card's accesses.

    select  the card: a PCI address like 00:03.0, or ids like 8086:100e; None for the one with most accesses.
    Raises UsageError when there is no such card, or none at all.
    """
    watched = _Watched(trace)
    accesses = collect(watched.batches(), trace.events)
    cards = _cards(accesses)
    if not cards:
        raise UsageError(f"{trace.name}: has no access to a PCI device that it describes, so there is no card to mock")
    key = _choose(cards, select, trace.name)
    pci, codes, _ = cards[key]
    mine = np.zeros(len(accesses.regions) + 1, np.bool_)
    mine[codes] = True
    rows = flatnonzero(mine[accesses.region])
    names = sorted({accesses.regions[code].identity[2] for code in codes})
    bar_of = np.zeros(len(accesses.regions) + 1, np.int16)
    for code in codes:
        bar_of[code] = names.index(accesses.regions[code].identity[2])
    width = accesses.width[rows]
    value, has_value = _cut(accesses, rows, width)
    cpus = watched.cpus
    return Tape(
        pci,
        accesses,
        rows,
        accesses.op[rows],
        width,
        bar_of[accesses.region[rows]],
        accesses.offset[rows],
        value,
        has_value,
        names,
        elsewhere=len(accesses) - len(rows),
        irqs=watched.irqs,
        irq_places=_before(rows, watched.irq_at),
        cpu=None if cpus is None else cpus[rows],
        meta={**watched.meta, **trace.header.meta},
        config=watched.configs.get(pci.bdf, b""),
    )


def _before(rows: NDArray[np.intp], at: list[int]) -> NDArray[np.int64]:
    """Positions in `rows` of the first access from each index on, each once; without those behind the last."""
    places = distinct(np.searchsorted(rows, np.array(at, np.int64), "left"))
    return np.asarray(places[places < len(rows)], np.int64)


class _Watched:
    """Hands batches through, and keeps what `collect` does not: interrupts, CPUs and what the headers say."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.irqs = 0
        #: How many accesses the recording has before each of them.
        self.irq_at: list[int] = []
        self._count = 0
        self.meta: dict[str, Any] = {}
        #: Configuration space by bus and function.
        self.configs: dict[int, bytes] = {}
        self._cpus: list[NDArray[np.int32]] = []

    @property
    def cpus(self) -> NDArray[np.int32] | None:
        """The CPU of every access, (n,), -1 where it is not said; None when it never is."""
        known = any((part >= 0).any() for part in self._cpus)
        return np.concatenate(self._cpus) if known else None

    def batches(self) -> Iterator[Batch]:
        """The trace's batches."""
        for batch in self._trace.batches:
            irqs = batch.rows(Kind.IRQ)
            self.irqs += len(irqs)
            if len(irqs):
                before = np.cumsum(batch.accesses)
                self.irq_at += [
                    self._count + int(before[row]) for row in irqs.tolist() if batch.extras.get(row, {}).get("level", 1)
                ]
            self._count += int(np.count_nonzero(batch.accesses))
            cpu = np.where(batch.present("cpu"), batch.data("cpu").astype(np.int32), np.int32(-1))
            self._cpus.append(cpu[batch.accesses])
            for row in batch.rows(Kind.DEVICE).tolist():
                extra = batch.extras.get(row, {})
                config = extra.get("config")
                if isinstance(config, bytes) and len(config) in (64, 256, 4096):
                    self.configs[int(extra.get("bdf", 0))] = config
            for row in batch.rows(Kind.HEADER).tolist():
                meta = batch.extras.get(row, {}).get("meta")
                if isinstance(meta, dict):
                    self.meta.update(meta)
            yield batch


#: Of each card, by (ids, ordinal): the function, its region codes, how many accesses it has.
_Cards = dict[tuple[Any, ...], tuple[PciDevice, list[int], int]]


def _cards(accesses: Accesses) -> _Cards:
    counts = np.bincount(accesses.region[accesses.region >= 0], minlength=len(accesses.regions)).tolist()
    cards: _Cards = {}
    for code, region in enumerate(accesses.regions):
        if region.device is None or not counts[code]:
            continue
        _, codes, count = cards.get(region.identity[:2], (None, [], 0))
        # The last description is the one in force at the end: bus addresses may have changed on the way.
        cards[region.identity[:2]] = (region.device, [*codes, code], count + counts[code])
    return cards


def _choose(cards: _Cards, select: str | None, name: str) -> tuple[Any, ...]:
    if select is None:
        return max(cards, key=lambda key: cards[key][2])
    wanted = select.lower().removeprefix("0000:")
    found = [key for key, (pci, _, _) in cards.items() if wanted in (pci.address, pci.ids)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{pci.address} ({pci.ids})" for pci, _, _ in cards.values())
    problem = "is more than one device" if found else "is not accessed"
    raise UsageError(f"{name}: {select} {problem}; there are: {known}")


def _cut(
    accesses: Accesses, rows: NDArray[np.intp], width: NDArray[np.int16]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Values without the bits above their access's width, (n,) uint64, and which accesses have one, (n,) bool."""
    value, has_value = accesses.value[rows], accesses.has_value[rows]
    for index, wide in accesses.wide.items():
        at = int(np.searchsorted(rows, index))
        if at < len(rows) and rows[at] == index and 0 <= width[at] <= 8:
            value[at], has_value[at] = wide & (1 << 64) - 1, True
    for narrow in (1, 2, 4):
        value[width == narrow] &= np.uint64((1 << 8 * narrow) - 1)
    return value, has_value
