"""`mmiotools filter` of anything: batch by batch."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import numpy as np

from mmiotools.cli.common import Run, Sink, choose_format, open_output
from mmiotools.errors import EXIT_DAMAGED
from mmiotools.events import events_lost
from mmiotools.filters.compile import Predicate
from mmiotools.filters.stages import Chunk, cut, has_more, head, judge, keep_selected, tail
from mmiotools.filters.zones import choose
from mmiotools.formats import FORMATS
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Trace
from mmiotools.trace.zones import Last
from mmiotools.typed import TYPE_CHECKING, BinaryIO, Iterable, Iterator

if TYPE_CHECKING:
    from mmiotools.cli.filtering import Asked


class _Tally:
    """Counts what was selected, as it passes."""

    def __init__(self) -> None:
        self.selected = 0

    def watch(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.selected += int(np.count_nonzero(chunk.selected))
            yield chunk


def select_batches(asked: Asked, out: BinaryIO | None = None) -> int:
    """Write what is selected, unless only the number is asked for; the number. `out` is the output if that is open."""
    request, run, node, names, window = asked
    bare, first, last = request.bare, request.first, request.last

    def select(batches: Iterable[Batch]) -> Iterator[Chunk]:
        chunks = judge(batches, Predicate(node, names))
        return keep_selected(chunks if window.is_open else cut(chunks, window, bare), bare)

    end = None
    if last is not None and first is None:
        end = Last(last + 1, lambda batches: has_more(select(batches), last, bare))
    choice = None if request.unfolds else choose(node, window, bare, end)
    trace = run.open_input(request.input, request.from_format, choice=choice)
    predicate = Predicate(node, names)
    whole = window.is_open and first is None and last is None
    if whole and not request.fold_polls and not request.unfolds and predicate.is_local:
        each = partial(_select, predicate, bare)
        if request.counts:
            return sum(item.result for item in trace.map(lambda batch: each(batch)[1]))
        with _sink(asked, trace, out) as sink:
            return sink.copy(trace, each)
    batches = trace.batches
    if request.unfolds:
        from mmiotools.filters.polls import unfold

        batches = _told(run, unfold(batches))
    chunks = select(batches)
    if first is not None:
        chunks = head(chunks, first, bare)
    if last is not None:
        chunks = tail(chunks, last, bare)
    tally = _Tally()
    batches = (chunk.batch for chunk in tally.watch(chunks))
    if request.counts:
        for _ in batches:
            pass
        return tally.selected
    if request.fold_polls:
        from mmiotools.filters.polls import TURNS, fold

        batches = fold(batches, request.poll_turns or TURNS)
    with _sink(asked, trace, out) as sink:
        for batch in batches:
            sink.write(batch)
    return tally.selected


@contextmanager
def _sink(asked: Asked, trace: Trace, out: BinaryIO | None) -> Iterator[Sink]:
    request, run, names = asked.request, asked.run, asked.names
    target = choose_format(request.to_format, request.output, _same_format(trace.container))
    if out is None:
        with open_output(
            run, request.output, target, trace.header, (request.input,), request.strict, names
        ) as sink:
            yield sink
        return
    sink = Sink(out, target, trace.header, names)
    yield sink
    sink.close(run, request.strict)


def _select(predicate: Predicate, bare: bool, batch: Batch) -> tuple[Batch, int]:
    """What is kept of a batch, and how many events were selected."""
    chunk = Chunk(batch, predicate.mask(batch))
    return chunk.kept(bare).batch, int(np.count_nonzero(chunk.selected))


def _told(run: Run, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Folded loops that can no longer be restored are damage."""
    from mmiotools.filters.pollnote import BROKEN

    lost = 0
    for batch in batches:
        lost += sum(events_lost(extra) for _, extra in batch.damage() if extra.get("reason") == BROKEN)
        yield batch
    if lost:
        run.set_status(EXIT_DAMAGED)
        run.say(f"folded poll loops are damaged, events lost: {lost}")


def _same_format(container: str) -> str:
    """The input's own format where it can be written."""
    return container if container in FORMATS and FORMATS.get(container).writable else "native"
