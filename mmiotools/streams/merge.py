"""Several streams merged by time, with a batch of each in memory.

An event without a time, and a LOST, whose time may be a mere 0, stay with the event before them. Where time runs
backwards in an input its order is kept: the event counts as no earlier than those before it. Of events at one time
those of the earlier input come first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.streams.unify import Unifier, with_last_line_ended
from mmiotools.trace.arrays import flatnonzero, in_order
from mmiotools.trace.batch import MAX_EVENTS, Batch, Column, concatenate
from mmiotools.trace.header import PciDevice
from mmiotools.typed import Callable, Iterable, Iterator, NDArray, Sequence

_FIRST = np.iinfo(np.int64).min
_MAX_TIME = (1 << 63) - 1
#: Id of accesses and UNMAPs that belong to no map; it is nobody's.
_NO_MAP = -1


@dataclass(slots=True, eq=False)
class Input:
    """One stream to merge. `offset` nanoseconds are added to its times; what was found stands in the others.

    backwards  events earlier than one before them
    timed      whether any event has a time
    renumbered id of a map in the input → its id in the output, where that is another
    """

    name: str
    batches: Iterable[Batch]
    offset: int = 0
    backwards: int = 0
    timed: bool = False
    renumbered: dict[int, int] = field(default_factory=dict)


#: Rows of an input that are merged next, and the time that each counts for, (n,).
_Part = tuple[Input, Batch, NDArray[np.int64]]


class _Head:
    """What has come of an input and was not merged yet: a batch, and the time that each of its rows counts for."""

    def __init__(self, source: Input, unifier: Unifier) -> None:
        self.source, self._unifier = source, unifier
        self._batches = iter(with_last_line_ended(source.batches))
        self._latest = int(_FIRST)
        self.batch = Batch(np.zeros(0, np.uint8))
        self.keys = np.zeros(0, np.int64)
        self.ended = False

    def fill(self) -> None:
        """Read on if there is nothing left."""
        while not self.ended and not len(self.batch):
            batch = next(self._batches, None)
            if batch is None:
                self.ended = True
            elif len(batch):
                batch = _shifted(batch, self.source)
                self.keys = self._keys(batch)
                self.batch = self._unifier.adopt(batch)

    def _keys(self, batch: Batch) -> NDArray[np.int64]:
        timed = batch.timed
        given = np.where(timed, batch.data("time"), _FIRST)
        keys = np.maximum(np.maximum.accumulate(given), self._latest)
        self.source.backwards += int(np.count_nonzero(timed & (given < keys)))
        self.source.timed |= bool(timed.any())
        self._latest = int(keys[-1])
        return keys

    def take(self, last: int, inclusive: bool) -> tuple[Batch, NDArray[np.int64]] | None:
        """The rows up to a time; None for none."""
        stop = int(np.searchsorted(self.keys, last, "right" if inclusive else "left"))
        if not stop:
            return None
        taken = self.batch.slice(0, stop), self.keys[:stop]
        self.batch, self.keys = self.batch.slice(stop, len(self.batch)), self.keys[stop:]
        return taken


def merge(inputs: Sequence[Input], say: Callable[[str], None] = lambda text: None) -> Iterator[Batch]:
    """The events of all inputs by time. `say` is told what was renumbered, once the inputs are through, and of PCI
    functions that are not the same in all of them. Raises UsageError for times beyond 64 bits.
    """
    unifier, maps, devices = Unifier(), _MapIds(), _Devices(say)
    heads = [_Head(source, unifier) for source in inputs]
    while True:
        for head in heads:
            head.fill()
        alive = [head for head in heads if not head.ended]
        if not alive:
            break
        # The first of those whose batch ends earliest can be taken whole. Of the inputs before it what is at that
        # time goes first, of those behind it what comes next at that time in its own next batch.
        border = min(alive, key=lambda head: int(head.keys[-1]))
        last = int(border.keys[-1])
        parts: list[_Part] = []
        before = True
        for head in alive:
            taken = head.take(last, before)
            before &= head is not border
            if taken is not None:
                devices.watch(head.source.name, taken[0])
                parts.append((head.source, *taken))
        yield from _joined(maps.renumbered(parts))
    for source in inputs:
        _tell(source, say)


def _joined(parts: Sequence[tuple[Batch, NDArray[np.int64]]]) -> Iterator[Batch]:
    if len(parts) == 1:
        yield parts[0][0]
        return
    batch = concatenate([part for part, _ in parts])
    order = np.argsort(np.concatenate([keys for _, keys in parts]), kind="stable")
    batch = batch.reordered(order)
    for start in range(0, len(batch), MAX_EVENTS):
        yield batch.slice(start, start + MAX_EVENTS)


def _shifted(batch: Batch, source: Input) -> Batch:
    """The times of the input's clock as times of the common one. A LOST at 0 has no time to speak of."""
    column = batch.columns.get("time")
    if not source.offset or column is None:
        return batch
    moved = batch.present("time") & ((batch.kind != Kind.LOST) | (column.data != 0))
    held = column.data[moved]
    if len(held):
        extremes = (int(held.min()) + source.offset, int(held.max()) + source.offset)
        if not -_MAX_TIME <= extremes[0] <= extremes[1] <= _MAX_TIME:
            raise UsageError(f"{source.name}: with this --offset its times do not fit into 64 bits of nanoseconds")
    time = column.data + np.where(moved, np.int64(source.offset if len(held) else 0), np.int64(0))
    return Batch(
        batch.kind, {**batch.columns, "time": Column(time, column.present)}, _respelled(batch, moved), batch.regions
    )


def _respelled(batch: Batch, changed: NDArray[np.bool_]) -> dict[int, dict[str, object]]:
    """The extras without the source's own spelling of events that are no longer what it says."""
    if not any("raw" in extra for extra in batch.extras.values()):
        return batch.extras
    return {
        row: {name: item for name, item in extra.items() if name != "raw"} if changed[row] else extra
        for row, extra in batch.extras.items()
    }


class _MapIds:
    """Gives each map an id of its own: an id belongs to the input that has it first in the order of the output, others
    get a new one.
    """

    def __init__(self) -> None:
        #: Id in the output → the input, and its id in there.
        self._owners: dict[int, tuple[Input, int]] = {}
        self._next = 1

    def renumbered(self, parts: Sequence[_Part]) -> list[tuple[Batch, NDArray[np.int64]]]:
        """What is merged next, with ids that no other input has: new ones in the order in which they come there."""
        held = [_ids(batch) for _, batch, _ in parts]
        found = [
            (int(keys[row]), place, row, number, source)
            for place, ((source, _, keys), ids) in enumerate(zip(parts, held, strict=True))
            for number, row in ids.items()
        ]
        for *_, number, source in sorted(found, key=lambda item: item[:3]):
            self._id(number, source)
        return [
            (self._with_own(batch, list(ids), source), keys)
            for (source, batch, keys), ids in zip(parts, held, strict=True)
        ]

    def _with_own(self, batch: Batch, ids: list[int], source: Input) -> Batch:
        """The same events with the ids that the input's, all of them and ascending, have in the output."""
        wanted = [self._id(number, source) for number in ids]
        if wanted == ids:
            return batch
        data, present = batch.data("map"), batch.present("map")
        table = np.array(wanted, np.int64)
        moved = np.where(present, table[np.minimum(np.searchsorted(ids, data), len(ids) - 1)], 0)
        columns = {**batch.columns, "map": Column(moved, batch.columns["map"].present)}
        return Batch(batch.kind, columns, _respelled(batch, present & (moved != data)), batch.regions)

    def _id(self, number: int, source: Input) -> int:
        if number == _NO_MAP:
            return number
        if number in source.renumbered:
            return source.renumbered[number]
        if self._owners.setdefault(number, (source, number)) == (source, number):
            return number
        while self._next in self._owners:
            self._next += 1
        self._owners[self._next] = (source, number)
        source.renumbered[number] = self._next
        return self._next


def _ids(batch: Batch) -> dict[int, int]:
    """The ids of maps that events have, ascending, each with the first row that has it."""
    rows = flatnonzero(batch.present("map"))
    data = batch.data("map")[rows]
    if not len(rows):
        return {}
    if data.min() == data.max():
        return {int(data[0]): int(rows[0])}
    order, ids, fresh = in_order(data)
    return dict(zip(ids[fresh].tolist(), rows[order[fresh]].tolist(), strict=True))


class _Devices:
    """Notices PCI functions that two inputs describe differently."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: dict[int, tuple[str, PciDevice]] = {}

    def watch(self, name: str, batch: Batch) -> None:
        for row in batch.rows(Kind.DEVICE).tolist():
            device = PciDevice.from_extra(batch.extras.get(row, {}))
            where, known = self._known.setdefault(device.bdf, (name, device))
            if where != name and (known.ids, known.bars) != (device.ids, device.bars):
                self._known[device.bdf] = (name, device)
                self._say(
                    f"{device.address} is {known.ids} in {where}, {device.ids} in {name}, or lies elsewhere there"
                )


def _tell(source: Input, say: Callable[[str], None]) -> None:
    name = source.name
    if not source.timed:
        say(f"{name}: has no times; its events come first")
    if source.backwards:
        say(f"{name}: time runs backwards at {_counted(source.backwards, 'event')}; their order was kept")
    if source.renumbered:
        pairs = [f"{old} is {new}" for old, new in list(source.renumbered.items())[:8]]
        more = ", ..." if len(source.renumbered) > 8 else ""
        say(f"{name}: ids of maps that another input has were changed: {', '.join(pairs)}{more}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
