"""Binary streams of records, without blocks or index: bytes ↔ batches. What a record looks like, a dialect says.

Records that come in bulk have a fixed shape each: one regular expression finds runs of them, and numpy takes the fields
out of a whole run. Every other record is taken alone. Where no record is, the next one is searched for, and what lies
between becomes damage, in pieces of bounded length, so that memory is flat whatever the bytes say.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Event
from mmiotools.formats.base import damaged
from mmiotools.formats.source import ByteSource
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import MAX_EVENTS, Batch
from mmiotools.typed import Any, Iterator, NamedTuple, NDArray, Protocol, Sequence

Index = NDArray[np.int64]

#: Bytes of damage that one NOTE holds.
PIECE = 1 << 16
#: A record that goes on behind the bytes that are there.
MORE = -1


class Bulk(NamedTuple):
    """Records of one shape: which, their fields (n,) structured, and their rows in the batch (n,), ascending."""

    shape: int
    fields: NDArray[Any]
    rows: Index


class Dialect(Protocol):
    """What a stream of records is made of.

    runs     one group a shape, each matching records of that shape as long as they last; and an empty alternative
    shapes   the fields of each shape
    longest  bytes that no record exceeds
    """

    runs: re.Pattern[bytes]
    shapes: Sequence[np.dtype[Any]]
    longest: int

    def record(self, data: bytes, at: int, offset: int) -> tuple[int, Event | None]:
        """The record at a place, `offset` in the stream: where it ends, and its event. The end is MORE when the data
        end before the record does, and `at` when there is no record.
        """

    def resume(self, data: bytes, at: int) -> int:
        """The first place from `at` on where a whole record seems to stand again, or -1."""

    def gap(self, text: bytes, offset: int, data: bytes, end: int) -> Event | None:
        """The event of the bytes `text` before `data[end:]` that are no record, where they are no damage.
        `offset` is their place in the stream.
        """

    def lost(self, text: bytes) -> int:
        """About how many records bytes that cannot be read once were; at least 1."""

    def batch(self, n: int, bulks: list[Bulk], rows: Index, events: list[Event]) -> Batch:
        """A batch of n events: those in bulk, and those that stand alone with their rows."""


def batches(source: ByteSource, dialect: Dialect) -> Iterator[Batch]:
    """Every record of a source, in order. Memory: a chunk of the source and the longest record."""
    yield from _Walk(source, dialect).batches()


class _Walk:
    """Where a stream is: `data[at:]` is not read yet, `base` is the place of `data[0]` in the stream."""

    def __init__(self, source: ByteSource, dialect: Dialect) -> None:
        self._source = source
        self._dialect = dialect
        self._data = b""
        self._base = 0
        self._ended = False
        self._lost_track = False

    def batches(self) -> Iterator[Batch]:
        """The batches; none goes over the end of a chunk, so that none holds more bytes than a few MiB."""
        at = 0
        while not self._ended:
            chunk = self._source.read()
            self._ended = not chunk
            self._base += at
            self._data = self._data[at:] + chunk
            at = 0
            while at < len(self._data):
                reached, batch = self._batch(at)
                for start in range(0, len(batch), MAX_EVENTS):
                    yield batch.slice(start, start + MAX_EVENTS)
                if reached == at:
                    break
                at = reached

    def _batch(self, at: int) -> tuple[int, Batch]:
        """What comes from a place on: up to where more bytes are needed, or all, or many records that stand alone."""
        dialect, data = self._dialect, self._data
        # Of each run of records, and of each that stands alone: where it ends, its shape from 1 or 0, its events if 0.
        ends, shapes, counts = [at], [0], [0]
        events: list[Event] = []
        while at < len(data) and len(events) < MAX_EVENTS:
            if not self._lost_track:
                for match in dialect.runs.finditer(data, at):
                    shape = match.lastindex
                    if not shape:
                        break
                    ends.append(match.end())
                    shapes.append(shape)
                    counts.append(0)
                at = ends[-1]
                if at == len(data):
                    break
            end, single = self._single(at)
            if end == at:
                break
            at = end
            ends.append(end)
            shapes.append(0)
            counts.append(len(single))
            events.extend(single)
        return at, self._columns(np.array(ends), np.array(shapes), np.array(counts), events)

    def _columns(self, ends: Index, shapes: Index, counts: Index, events: list[Event]) -> Batch:
        starts = np.concatenate([ends[:1], ends[:-1]])
        sizes = np.array([1, *(shape.itemsize for shape in self._dialect.shapes)])
        counts = np.where(shapes > 0, (ends - starts) // sizes[shapes], counts)
        rows = np.cumsum(counts) - counts
        bulks = []
        for shape, dtype in enumerate(self._dialect.shapes):
            which = flatnonzero(shapes == shape + 1)
            if len(which):
                bulks.append(_gather(self._data, shape, dtype, starts[which], counts[which], rows[which]))
        alone = flatnonzero(shapes == 0)
        places = np.repeat(rows[alone], counts[alone]) + _count_up(counts[alone])
        return self._dialect.batch(int(counts.sum()), bulks, places, events)

    def _single(self, at: int) -> tuple[int, list[Event]]:
        """The one record at a place, or the damage there; ends at `at` when more bytes are needed to tell."""
        dialect, data = self._dialect, self._data
        if not self._lost_track:
            end, event = dialect.record(data, at, self._base + at)
            if end > at:
                return end, [] if event is None else [event]
            if end == MORE and not self._ended:
                return at, []
            if end == MORE and dialect.resume(data, at + 1) < 0:
                text = data[at:]
                return len(data), self._damage(text, at, "the last record is cut off", 1)
        start = at if self._lost_track else at + 1
        end = dialect.resume(data, start)
        if end < 0 and self._ended:
            end = len(data)
        elif end < 0:
            # A record may begin in the bytes that are there and go on behind them.
            end = len(data) - dialect.longest
            if end <= at:
                return at, []
            return end, self._gap(data[at:end], at, end, closed=False)
        return end, self._gap(data[at:end], at, end, closed=True)

    def _gap(self, text: bytes, at: int, end: int, *, closed: bool) -> list[Event]:
        if closed and not self._lost_track:
            event = self._dialect.gap(text, self._base + at, self._data, end)
            if event is not None:
                return [event]
        lost = 0 if self._lost_track else self._dialect.lost(text)
        self._lost_track = not closed
        return self._damage(text, at, "bytes that are no record", lost)

    def _damage(self, text: bytes, at: int, reason: str, lost: int) -> list[Event]:
        notes = []
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            notes.append(damaged(reason, text=piece, events=lost if start == 0 else 0, offset=self._base + at + start))
        return notes


def _count_up(counts: Index) -> Index:
    """0 … count-1 for each of several counts, one behind the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _gather(data: bytes, shape: int, dtype: np.dtype[Any], starts: Index, counts: Index, rows: Index) -> Bulk:
    """The fields of runs of records, each given as place, number and first row."""
    if len(starts) == 1:
        count = int(counts[0])
        return Bulk(shape, np.frombuffer(data, dtype, count, int(starts[0])), np.arange(rows[0], rows[0] + count))
    places = _count_up(counts)
    anywhere: NDArray[Any] = np.ndarray((len(data) - dtype.itemsize + 1,), f"V{dtype.itemsize}", data, 0, (1,))
    fields = anywhere[np.repeat(starts, counts) + places * dtype.itemsize].view(dtype)
    return Bulk(shape, fields, np.repeat(rows, counts) + places)


def assemble(n: int, bulks: list[Bulk], singles: dict[int, bytes]) -> bytes:
    """The bytes of n records one behind the other; rows that are neither in bulk nor single take none."""
    sizes = np.zeros(n + 1, np.int64)
    for bulk in bulks:
        sizes[bulk.rows + 1] = bulk.fields.dtype.itemsize
    for row, record in singles.items():
        sizes[row + 1] = len(record)
    places = np.cumsum(sizes)
    out = np.zeros(int(places[-1]), np.uint8)
    for bulk in bulks:
        size = bulk.fields.dtype.itemsize
        flat = bulk.fields.view(np.uint8).reshape(-1, size)
        at = places[bulk.rows]
        if len(at) and (np.diff(at) == size).all():
            out[at[0] : at[0] + flat.size] = flat.ravel()
        else:
            out[at[:, None] + np.arange(size)] = flat
    for row, record in singles.items():
        start = int(places[row])
        out[start : start + len(record)] = np.frombuffer(record, np.uint8)
    return out.tobytes()
