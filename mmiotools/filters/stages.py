"""Stages over a stream of batches: select by an expression, and cut by marks, time, head or tail.

What leaves a stage is a valid trace: context passes, and a cut first emits again the maps that are alive there.
One pass and flat memory; only `tail` keeps what it may still have to emit.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters.columns import compare
from mmiotools.filters.compile import Predicate
from mmiotools.filters.context import MapContext, context_mask, lasting_mask
from mmiotools.filters.patterns import MAX_SEARCHED
from mmiotools.filters.window import Window
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, BoolArray
from mmiotools.typed import Iterable, Iterator, NamedTuple


class Chunk(NamedTuple):
    """A batch, and which of its events the expression itself selects, (n,) bool."""

    batch: Batch
    selected: BoolArray

    def take(self, keep: BoolArray) -> Chunk:
        """The rows of a mask (n,)."""
        return Chunk(self.batch.take(keep), self.selected if keep.all() else self.selected[keep])

    def kept(self, bare: bool) -> Chunk:
        """Only what is selected and, unless `bare`, the context."""
        return self.take(self.selected if bare else self.selected | context_mask(self.batch))


def context_of(batch: Batch) -> Chunk:
    """A batch of context that nobody selected."""
    return Chunk(batch, np.zeros(len(batch), np.bool_))


def judge(batches: Iterable[Batch], predicate: Predicate, invert: bool = False) -> Iterator[Chunk]:
    """Every batch with what the expression selects in it."""
    for batch in batches:
        selected = predicate.mask(batch)
        yield Chunk(batch, ~selected if invert else selected)


def keep_selected(chunks: Iterable[Chunk], bare: bool = False) -> Iterator[Chunk]:
    """Only what is selected and, unless `bare`, the context."""
    for chunk in chunks:
        kept = chunk.kept(bare)
        if len(kept.batch):
            yield kept


def select(batches: Iterable[Batch], predicate: Predicate, bare: bool = False, invert: bool = False) -> Iterator[Batch]:
    """The events that the expression selects (does not select, with `invert`), with their context unless `bare`."""
    return (chunk.batch for chunk in keep_selected(judge(batches, predicate, invert), bare))


def cut(chunks: Iterable[Chunk], window: Window, bare: bool = False) -> Iterator[Chunk]:
    """The events in the window. Unless `bare`, HEADER, DEVICE, LOST and damage pass outside it too, and where the
    window opens the maps alive are emitted again.
    """
    marks = _Marks(window)
    times = _Times(window)
    context = MapContext()
    for chunk in chunks:
        batch = chunk.batch
        inside = marks.inside(batch) & times.inside(batch)
        if bare:
            if inside.any():
                yield chunk.take(inside)
            continue
        lasting = lasting_mask(batch)
        borders = [0, *(flatnonzero(inside[1:] != inside[:-1]) + 1).tolist(), len(batch)]
        for start, stop in pairwise(borders):
            if start == stop:
                continue
            part = Chunk(batch.slice(start, stop), chunk.selected[start:stop])
            if inside[start]:
                yield from map(context_of, context.enter())
                context.pass_through(part.batch)
                yield part
            else:
                context.skip(part.batch)
                keep = lasting[start:stop]
                if keep.any():
                    yield part.take(keep)


class _Marks:
    """Follows the mark borders of a window: before, inside, after."""

    def __init__(self, window: Window) -> None:
        self._from, self._to = window.from_mark, window.to_mark
        self._open = window.from_mark is None
        self._done = False

    def inside(self, batch: Batch) -> BoolArray:
        """Which rows lie between the marks, (n,) bool."""
        n = len(batch)
        if self._done or (self._open and self._to is None):
            return np.full(n, not self._done, np.bool_)
        found = np.full(n, self._open, np.bool_)
        for row in batch.rows(Kind.MARK).tolist():
            text = batch.extras.get(row, {}).get("text")
            if text is None:
                continue
            if not self._open:
                if self._from is not None and self._from.search(text, 0, MAX_SEARCHED):
                    self._open = True
                    found[row:] = True
                    if self._to is None:
                        break
            elif self._to is not None and self._to.search(text, 0, MAX_SEARCHED):
                found[row + 1 :] = False
                self._done = True
                break
        return found


class _Times:
    """Follows the time borders of a window."""

    def __init__(self, window: Window) -> None:
        self._first, self._last = window.first, window.last
        #: Events before the first time lie before every border but an open one.
        self._state = window.first is None

    def inside(self, batch: Batch) -> BoolArray:
        """Which rows lie in the range, (n,) bool. LOST events, whose time may be a mere 0, decide nothing."""
        n = len(batch)
        if self._first is None and self._last is None:
            return np.ones(n, np.bool_)
        time = batch.data("time")
        within = np.ones(n, np.bool_)
        if self._first is not None:
            within &= compare(time, ">=", self._first)
        if self._last is not None:
            within &= compare(time, "<=", self._last)
        latest = np.maximum.accumulate(np.where(batch.timed, np.arange(n), -1))
        found = np.where(latest >= 0, within[latest], self._state)
        if n:
            self._state = bool(found[-1])
        return found


def counted(chunk: Chunk, bare: bool) -> BoolArray:
    """What `head` and `tail` count, (n,): selected events, and of these the context only when `bare`."""
    return chunk.selected if bare else chunk.selected & ~context_mask(chunk.batch)


def head(chunks: Iterable[Chunk], count: int, bare: bool = False) -> Iterator[Chunk]:
    """Everything up to the counted event number `count`; reads no further. 0: the context before the first."""
    left = count
    for chunk in chunks:
        at = flatnonzero(counted(chunk, bare))
        if len(at) >= max(left, 1):
            stop = int(at[left - 1]) + 1 if left else int(at[0])
            if stop:
                yield Chunk(chunk.batch.slice(0, stop), chunk.selected[:stop])
            return
        left -= len(at)
        yield chunk


def has_more(chunks: Iterable[Chunk], count: int, bare: bool) -> bool:
    """Whether there are more than `count` counted events: then `tail` does not look at what was before them."""
    left = count
    for chunk in chunks:
        left -= int(counted(chunk, bare).sum())
        if left < 0:
            return True
    return False


def tail(chunks: Iterable[Chunk], count: int, bare: bool = False) -> Iterator[Chunk]:
    """From the counted event number `count` from the end on. Unless `bare`, HEADER, DEVICE, LOST and damage before
    it pass, and the maps alive there are emitted again. Keeps the batches of the last `count` counted events.
    """
    ring: deque[tuple[Chunk, int]] = deque()
    held = total = 0
    context = MapContext()
    for chunk in chunks:
        number = int(counted(chunk, bare).sum())
        ring.append((chunk, number))
        held += number
        total += number
        while total > count and held - ring[0][1] >= count:
            old, old_number = ring.popleft()
            held -= old_number
            if not bare:
                yield from _left_behind(old, context)
            if not ring:
                break
    if total <= count:
        yield from (chunk for chunk, _ in ring)
        return
    excess = held - count
    while ring:
        chunk, number = ring.popleft()
        n = len(chunk.batch)
        start = n if number <= excess else int(flatnonzero(counted(chunk, bare))[excess])
        excess -= number
        if not bare:
            yield from _left_behind(Chunk(chunk.batch.slice(0, start), chunk.selected[:start]), context)
        if start < n:
            if not bare:
                yield from map(context_of, context.enter())
            yield Chunk(chunk.batch.slice(start, n), chunk.selected[start:])
            yield from (chunk for chunk, _ in ring)
            return
    if not bare:
        yield from map(context_of, context.enter())


def _left_behind(chunk: Chunk, context: MapContext) -> Iterator[Chunk]:
    if len(chunk.batch):
        context.skip(chunk.batch)
        lasting = lasting_mask(chunk.batch)
        if lasting.any():
            yield chunk.take(lasting)
