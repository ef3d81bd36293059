"""Single events, as an engine makes them, handed on in batches."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

from mmiotools.events import Event
from mmiotools.trace.batch import Batch, Regions, columnise

#: Events that are handed on together.
BATCH_EVENTS = 1024


def gather(
    sink: Callable[[Batch], None], about: Event, watch: Callable[[Event], None] | None = None
) -> tuple[Callable[[Event], None], Callable[[], None]]:
    """Two functions: `emit`, to be called with every event, and `flush`, to be called after the last.

    about  goes behind the first event: what the trace says about itself
    watch  called with every event, in order, before `sink` has it

    Memory is flat: `sink` is called with every `BATCH_EVENTS` events or so.
    """
    # `emit` is called for every access of a recording, and does no more than it must.
    rows: list[Event] = []
    append, regions = rows.append, Regions()
    begun = False

    def emit(event: Event) -> None:
        append(event)
        if len(rows) >= BATCH_EVENTS:
            flush()

    def flush() -> None:
        nonlocal begun
        with _uninterrupted():
            if not rows:
                return
            if not begun:
                rows.insert(1, about)
                begun = True
            batch = columnise(rows, regions)
            if watch is not None:
                for event in rows:
                    watch(event)
            rows.clear()
            sink(batch)

    return emit, flush


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until a batch is written: half a batch, or one written twice, would be no valid trace."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
