"""A progress bar on a terminal's standard error, for inputs that take longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from mmiotools.trace.header import Trace

T = TypeVar("T")

#: Seconds before the bar appears.
PATIENCE = 0.5


def with_progress(items: Iterator[T], trace: Trace, count: Callable[[T], int]) -> Iterator[T]:
    """The same items, each of `count` events, with a bar: bytes of input, events a second and, for files, time left."""
    began = time.monotonic()
    events = 0
    for item in items:
        events += count(item)
        yield item
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
        for item in items:
            events += count(item)
            rate = events / max(time.monotonic() - began, 1e-9)
            progress.update(task, completed=trace.progress(), rate=f"{rate / 1e6:.2f} M events/s")
            yield item
