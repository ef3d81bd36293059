"""Single events, as an engine makes them, handed on in batches."""

from __future__ import annotations

from mmiotools.events import Event
from mmiotools.trace.batch import Batch, Regions, columnise
from mmiotools.trace.uninterrupted import uninterrupted
from mmiotools.typed import Callable

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
        with uninterrupted():  # half a batch, or one written twice, would be no valid trace
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
