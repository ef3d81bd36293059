"""A difference as a trace: of one recording only the accesses that differ, with a mark before each hunk."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.hunks import VOLATILE, Comparison, Hunk
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.filters.context import context_mask
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import MAX_EVENTS, Batch, Column, concatenate
from mmiotools.typed import Iterable, Iterator, NDArray

Indexes = NDArray[np.int64]

_CHANGED = "the trace has changed while it was compared; run the command again"


class Excerpt:
    """Of side "a" or "b" of a comparison, the accesses in driver hunks, in all hunks with `volatile`.

    A hunk is marked as `diff: change 3, driver: value differs`; 3 is its place among all hunks, from 1, so that it has
    the same name on either side. Hunks without accesses on this side have no mark.
    """

    def __init__(self, comparison: Comparison, side: str, volatile: bool = False) -> None:
        accesses = comparison.a if side == "a" else comparison.b
        #: Accesses of the whole trace.
        self.total = accesses.numbered(len(accesses))
        self._wanted = np.zeros(self.total, np.bool_)
        marks: list[tuple[int, bytes]] = []
        for place, hunk in enumerate(comparison.hunks, 1):
            rows = hunk.a if side == "a" else hunk.b
            if not rows or (hunk.category == VOLATILE and not volatile):
                continue
            part = slice(rows.start, rows.stop)
            self._wanted[part if accesses.number is None else accesses.number[part]] = True
            marks.append((accesses.numbered(rows.start), _text(place, hunk)))
        marks.sort()
        self._numbers = np.array([number for number, _ in marks], np.int64)
        self._texts = [text for _, text in marks]

    def batches(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The excerpt, from all batches of that side's trace. Headers, devices, maps, losses and damage stay.

        Raises UsageError when it is no longer the trace that was compared.
        """
        start = 0
        for batch in batches:
            rows = flatnonzero(batch.accesses)
            stop = start + len(rows)
            if stop > self.total:
                raise UsageError(_CHANGED)
            keep = context_mask(batch)
            keep[rows] |= self._wanted[start:stop]
            low, high = np.searchsorted(self._numbers, [start, stop]).tolist()
            mixed = _with_marks(batch, keep, rows[self._numbers[low:high] - start], self._texts[low:high])
            for at in range(0, len(mixed), MAX_EVENTS):
                yield mixed.slice(at, at + MAX_EVENTS)
            start = stop
        if start != self.total:
            raise UsageError(_CHANGED)


def _text(place: int, hunk: Hunk) -> bytes:
    return f"diff: {hunk.kind} {place}, {hunk.category}: {hunk.reason}".encode()


def _with_marks(batch: Batch, keep: NDArray[np.bool_], marked: Indexes, texts: list[bytes]) -> Batch:
    """The rows to keep, with a mark right before each of the rows `marked`, at its time."""
    kept = batch.take(keep)
    if not len(marked):
        return kept
    time, has_time = batch.data("time"), batch.present("time")
    marks = Batch.from_events(
        (
            Event(Kind.MARK, time=int(time[row]) if has_time[row] else None, extra={"text": text})
            for row, text in zip(marked.tolist(), texts, strict=True)
        ),
        batch.regions,
    )
    # A mark takes the place of its row and comes first there, the sort being stable with the marks in front.
    order = np.argsort(np.concatenate((marked, flatnonzero(keep))), kind="stable")
    return _reordered(concatenate([marks, kept]), order)


def _reordered(batch: Batch, order: Indexes) -> Batch:
    columns = {
        name: Column(column.data[order], None if column.present is None else column.present[order])
        for name, column in batch.columns.items()
    }
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    extras = {int(place[row]): extra for row, extra in batch.extras.items()}
    return Batch(batch.kind[order], columns, extras, batch.regions)
