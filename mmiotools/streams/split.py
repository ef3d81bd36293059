"""A stream cut into parts, each of them a trace of its own.

A part begins with the headers and devices so far and the maps that are alive there. Every event of the stream is in
one part; with `by_device`, events that are no accesses are in all parts that are open when they come.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.filters.context import MapContext, with_line_ends
from mmiotools.filters.patterns import MAX_SEARCHED
from mmiotools.trace.address_space import Region
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, concatenate
from mmiotools.typed import Callable, Iterable, Iterator, NDArray

#: A cut: whether a new part begins, and the events that come next.
Cut = tuple[bool, Batch]
Writer = Callable[[Batch], None]

#: Parts of `by_device` that can be open at once.
MAX_OPEN = 200
#: Events before the first access that wait for the part of its device.
_MAX_HELD = 1 << 16
#: Headers that a part begins with, at most: the first ones.
_MAX_HEADERS = 1000
#: Events after which `by_size` looks at what was written, at most; and as it begins.
_PIECE, _FIRST = 1 << 8, 1 << 4
#: The part of accesses that lie in no device.
ELSEWHERE = "elsewhere"


class Context:
    """What a part has to begin with."""

    def __init__(self) -> None:
        self._headers: dict[str, Batch] = {}
        self._devices: dict[object, Batch] = {}
        self._maps = MapContext()

    def follow(self, batch: Batch) -> None:
        """Take in what passes."""
        self._maps.skip(batch)
        for row in batch.rows(Kind.HEADER, Kind.DEVICE).tolist():
            event = batch.take(np.array([row]))
            extra = batch.extras.get(row, {})
            if batch.kind[row] == Kind.DEVICE:
                self._devices[extra.get("bdf")] = event
            elif len(self._headers) < _MAX_HEADERS:
                self._headers.setdefault(repr(sorted(extra.items())), event)

    def opening(self) -> Iterator[Batch]:
        """Headers, devices and maps, as they were in the stream."""
        told = [*self._headers.values(), *self._devices.values()]
        if told:
            yield with_line_ends(concatenate(told))
        yield from self._maps.renewed().enter()


def write_parts(cuts: Iterable[Cut], next_part: Callable[[], Writer]) -> None:
    """Write the events of cuts into parts; `next_part` ends one and gives the function that writes into the next."""
    context = Context()
    write: Writer | None = None
    for fresh, batch in cuts:
        if write is None:
            write = next_part()
        elif fresh:
            write = next_part()
            for again in context.opening():
                write(again)
        context.follow(batch)
        write(batch)


def by_count(batches: Iterable[Batch], count: int) -> Iterator[Cut]:
    """A new part after every `count` events."""
    left = count
    fresh = False
    for batch in batches:
        at = 0
        while at < len(batch):
            piece = batch.slice(at, at + left)
            yield fresh, piece
            at += len(piece)
            left -= len(piece)
            fresh = not left
            left = left or count


def by_size(batches: Iterable[Batch], size: int, written: Callable[[], int]) -> Iterator[Cut]:
    """A new part once `written()`, the bytes of the part that is being written, has reached `size`. It is looked at
    more often the nearer that is, by what an event takes where events are written one by one.
    """
    each = size // _FIRST
    for batch in batches:
        at = 0
        while at < len(batch):
            before = written()
            fresh = before >= size
            room = size - (0 if fresh else before)
            piece = batch.slice(at, at + min(_PIECE, max(1, room // max(1, each))))
            yield fresh, piece
            at += len(piece)
            each = max(0, written() - (0 if fresh else before)) // len(piece)


def by_time(batches: Iterable[Batch], length: int) -> Iterator[Cut]:
    """A new part with each span of `length` nanoseconds that has events, counted from the first time. An event without
    time goes with the one before it, as does a LOST, and one that runs backwards.
    """
    start: int | None = None
    span = 0
    for batch in batches:
        timed = batch.timed
        if start is None and timed.any():
            start = int(batch.data("time")[timed][0])
        if start is None:
            yield False, batch
            continue
        rows = flatnonzero(timed)
        spans = np.full(len(batch), span, np.int64)
        # Differences of times may be beyond 64 bits signed, and are not beyond them unsigned.
        time = np.maximum(batch.data("time")[rows], start)
        spans[rows] = (time.view(np.uint64) - np.int64(start).view(np.uint64)) // np.uint64(length)
        spans = np.maximum.accumulate(np.maximum(spans, span))
        yield from _cut_at(batch, flatnonzero(np.diff(spans, prepend=span)))
        span = int(spans[-1])


def by_mark(batches: Iterable[Batch], pattern: re.Pattern[bytes]) -> Iterator[Cut]:
    """A new part with each MARK whose text matches."""
    for batch in batches:
        rows = []
        for row in batch.rows(Kind.MARK).tolist():
            text = batch.extras.get(row, {}).get("text")
            if text is not None and pattern.search(text, 0, MAX_SEARCHED):
                rows.append(row)
        yield from _cut_at(batch, np.array(rows, np.intp))


def _cut_at(batch: Batch, rows: NDArray[np.intp]) -> Iterator[Cut]:
    """A batch in pieces, those that begin at one of the rows with a new part."""
    starts = set(rows.tolist())
    for start, stop in pairwise(sorted({0, *starts, len(batch)})):
        yield start in starts, batch.slice(start, stop)


def by_device(batches: Iterable[Batch], open_part: Callable[[str], Writer]) -> None:
    """Write a part for each PCI function that is accessed, and one for accesses elsewhere. `open_part` takes the
    address of the function, or ELSEWHERE. Raises UsageError when there are too many.
    """
    parts = _DeviceParts(open_part)
    for batch in batches:
        parts.write(batch)
    parts.end()


class _DeviceParts:
    def __init__(self, open_part: Callable[[str], Writer]) -> None:
        self._open = open_part
        self._addresses = AddressMap()
        self._context = Context()
        self._numbers: dict[str, int] = {}
        self._writers: dict[int, Writer] = {}
        self._held: list[Batch] = []
        self._waiting = 0

    def write(self, batch: Batch) -> None:
        owners = self._owners(batch)
        # A part is opened where its first access is, with the context as it is there.
        numbers, first = np.unique(owners, return_index=True)
        known = zip(numbers.tolist(), first.tolist(), strict=True)
        new = {at for number, at in known if number >= 0 and number not in self._writers}
        for start, stop in pairwise(sorted({0, *new, len(batch)})):
            if start in new:
                self._begin(list(self._numbers)[int(owners[start])])
            self._pass(batch.slice(start, stop), owners[start:stop])

    def end(self) -> None:
        """What waits for a first access goes into a part of its own."""
        if self._held:
            self._begin(ELSEWHERE)

    def _owners(self, batch: Batch) -> NDArray[np.int64]:
        """The number of the part of each access, by order of appearance; -1 for what is no access."""
        resolved = self._addresses.resolve(batch)
        access = batch.accesses
        owners = np.full(len(batch), -1, np.int64)
        codes, first = np.unique(resolved.region[access], return_index=True)
        table = np.zeros(len(self._addresses.regions) + 1, np.int64)
        for code in codes[np.argsort(first)].tolist():
            region = self._addresses.regions[code] if code >= 0 else None
            table[code] = self._numbers.setdefault(_device_of(region), len(self._numbers))
        owners[access] = table[resolved.region[access]]
        return owners

    def _begin(self, name: str) -> None:
        if len(self._writers) >= MAX_OPEN:
            raise UsageError(f"--device: the trace has accesses to more than {MAX_OPEN} devices")
        number = self._numbers.setdefault(name, len(self._numbers))
        write = self._open(name)
        if self._writers or not self._held:
            for batch in self._context.opening():
                write(batch)
        for batch in self._held:
            write(batch)
        self._held.clear()
        self._writers[number] = write

    def _pass(self, batch: Batch, owners: NDArray[np.int64]) -> None:
        self._context.follow(batch)
        if not self._writers:
            self._held.append(batch)
            self._waiting += len(batch)
            if self._waiting > _MAX_HELD:
                self._begin(ELSEWHERE)
            return
        for number, write in self._writers.items():
            keep = (owners == number) | (owners < 0)
            if keep.any():
                write(batch.take(keep))


def _device_of(region: Region | None) -> str:
    """The PCI function that a region belongs to; formats that name regions themselves write `00:03.0/BAR0`."""
    if region is None:
        return ELSEWHERE
    if region.device is not None:
        return region.device.address
    device, slash, _ = region.name.rpartition("/")
    return device if slash and region.identity[0] == "named" else ELSEWHERE
