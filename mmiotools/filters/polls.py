"""Poll loops folded into one line, and unfolded again to the very same events.

A loop of one to four accesses, at least one of them a read, that repeats with equal registers and values: its
first turn stays as it is, a NOTE stands for the turns that follow, and what ended the loop comes after it.
"""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters import pollnote
from mmiotools.trace.arrays import flatnonzero, stretches
from mmiotools.trace.batch import MAX_EVENTS, Array, Batch, BoolArray, Column, concatenate
from mmiotools.typed import Iterable, Iterator, NamedTuple

#: Longest loop, in accesses.
MAX_PERIOD = 4
#: A loop is folded from this many turns on.
TURNS = 4
#: Rows held back at most while a loop goes on from batch to batch.
_HOLD = 2 * MAX_EVENTS


class _Run(NamedTuple):
    """Rows start..stop-1 repeat the `period` rows before `start`."""

    start: int
    stop: int
    period: int


def fold(batches: Iterable[Batch], turns: int = TURNS) -> Iterator[Batch]:
    """The stream with its poll loops of at least `turns` turns folded. A NOTE stands for at most 64 Ki events."""
    held: Batch | None = None
    for batch in batches:
        batch = pollnote.quoted(batch)
        if held is not None and not _joinable(held, batch):
            yield from _pieces(_fold(held, _runs(held, turns), len(held)))
            held = None
        whole = batch if held is None else concatenate([held, batch])
        runs = _runs(whole, turns)
        done = _open_from(whole)
        # A loop that is over is folded now, whatever may begin in its last rows.
        done = next((run.stop for run in runs if run.start - run.period < done < run.stop), done)
        if len(whole) - done > _HOLD:
            done = len(whole)
        held = whole.slice(done, len(whole)) if done < len(whole) else None
        if done:
            yield from _pieces(_fold(whole, runs, done))
    if held is not None:
        yield from _pieces(_fold(held, _runs(held, turns), len(held)))


def unfold(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The stream with every folded loop restored. A note that was damaged since becomes reported damage."""
    for batch in batches:
        ready: list[Batch] = []
        start = 0
        batch, folded = pollnote.unquoted(batch)
        for row, text in folded:
            restored = pollnote.decode(text, batch.regions)
            if restored is None:
                continue
            if row > start:
                ready.append(batch.slice(start, row))
            ready.append(restored)
            start = row + 1
        if not start:
            yield batch
            continue
        ready.append(batch.slice(start, len(batch)))
        yield from _gathered(ready)


def _gathered(batches: list[Batch]) -> Iterator[Batch]:
    """The same events in fewer, larger batches where columns agree."""
    group: list[Batch] = []
    size = 0
    for batch in batches:
        if not len(batch):
            continue
        if group and (size + len(batch) > MAX_EVENTS or not _joinable(group[-1], batch)):
            yield concatenate(group)
            group, size = [], 0
        group.append(batch)
        size += len(batch)
    if group:
        yield concatenate(group)


def _joinable(first: Batch, second: Batch) -> bool:
    """Whether `concatenate` keeps every number: the same regions, and no unknown column that one of them lacks."""
    if first.regions is not second.regions:
        return False
    strange = {name for batch in (first, second) for name in batch.columns if name not in pollnote.KNOWN}
    return all(name in first.columns and name in second.columns for name in strange)


def _pieces(batch: Batch) -> Iterator[Batch]:
    for start in range(0, len(batch), MAX_EVENTS):
        yield batch.slice(start, min(start + MAX_EVENTS, len(batch)))


def _foldable(batch: Batch) -> BoolArray:
    """READ and WRITE rows without anything beside the columns, (n,) bool."""
    fine = batch.kind <= Kind.WRITE
    if batch.extras:
        fine[np.fromiter(batch.extras, np.intp, len(batch.extras))] = False
    if any(column.data.dtype.kind not in "iub" for column in batch.columns.values()):
        fine[:] = False
    return np.asarray(fine, np.bool_)


def _repeats(batch: Batch, foldable: BoolArray, period: int) -> BoolArray:
    """Which rows equal the row `period` before in all but time, (n,) bool."""
    n = len(batch)
    same = np.zeros(n, np.bool_)
    if n <= period:
        return same
    part = foldable[period:] & foldable[:-period] & (batch.kind[period:] == batch.kind[:-period])
    for name, column in batch.columns.items():
        if name != "time":
            part &= column.data[period:] == column.data[:-period]
        if column.present is not None:
            part &= column.present[period:] == column.present[:-period]
    same[period:] = part
    return same


def _open_from(batch: Batch) -> int:
    """The first row that a loop that is still going on at the end of the batch may need."""
    foldable = _foldable(batch)
    first = len(batch)
    for period in range(1, MAX_PERIOD + 1):
        other = flatnonzero(~_repeats(batch, foldable, period))
        start = int(other[-1]) + 1 if len(other) else 0
        first = min(first, max(start - period, 0))
    return first


def _runs(batch: Batch, turns: int) -> list[_Run]:
    """The loops, by row; a shorter period goes first where two fit."""
    foldable = _foldable(batch)
    reads = np.concatenate([[0], np.cumsum(batch.kind == Kind.READ)])
    runs: list[_Run] = []
    for period in range(1, MAX_PERIOD + 1):
        for start, stop in stretches(_repeats(batch, foldable, period)).tolist():
            repeated = (stop - start) // period
            if repeated + 1 < turns or reads[start] == reads[start - period]:
                continue
            stop = start + repeated * period
            runs.append(_Run(start, stop, period))
            foldable[start - period : stop] = False
    return sorted(runs)


def _fold(batch: Batch, runs: list[_Run], done: int) -> Batch:
    """The first `done` rows of the batch, with the loops in them folded."""
    runs = [run for run in runs if run.stop <= done]
    if not runs:
        return batch.slice(0, done)
    keep = np.ones(len(batch), np.bool_)
    notes: dict[int, bytes] = {}
    for run in runs:
        keep[run.start : run.stop] = False
        step = MAX_EVENTS // run.period * run.period
        for start in range(run.start, run.stop, step):
            stop = min(start + step, run.stop)
            follower = batch.event(run.stop) if run.stop < len(batch) else None
            notes[start] = pollnote.encode(batch, start, stop, run.period, follower)
            keep[start] = True
    at = np.fromiter(notes, np.intp, len(notes))
    kind = batch.kind.copy()
    kind[at] = Kind.NOTE
    columns = {name: _without(name, column, at) for name, column in batch.columns.items()}
    extras = {**batch.extras, **{row: {"text": text} for row, text in notes.items()}}
    return Batch(kind, columns, extras, batch.regions).slice(0, done).take(keep[:done])


def _without(name: str, column: Column, at: Array) -> Column:
    """The column with these rows absent; a line end is never absent."""
    data = column.data.copy()
    data[at] = 0
    if name == "eol":
        return Column(data, column.present)
    present = np.ones(len(data), np.bool_) if column.present is None else column.present.copy()
    present[at] = False
    return Column(data, present)


__all__ = ["TURNS", "fold", "unfold"]
