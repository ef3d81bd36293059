"""A progress bar on a terminal's standard error, for inputs that take longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Trace

#: Seconds before the bar appears.
PATIENCE = 0.5


def with_progress(batches: Iterator[Batch], trace: Trace) -> Iterator[Batch]:
    """The same batches, with a bar that shows bytes of input, events a second and, for files, the time left."""
    began = time.monotonic()
    events = 0
    for batch in batches:
        events += len(batch)
        yield batch
        if time.monotonic() - began > PATIENCE:
            break
    else:
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(trace.name, total=trace.size, rate="")
        for batch in batches:
            events += len(batch)
            rate = events / max(time.monotonic() - began, 1e-9)
            progress.update(task, completed=trace.progress(), rate=f"{rate / 1e6:.2f} M events/s")
            yield batch
