"""A progress bar on a terminal's standard error, for inputs that take longer than a moment."""

from __future__ import annotations

import os
import time

from mmiotools.small import contextmanager
from mmiotools.typed import TYPE_CHECKING, Callable, Iterator, NamedTuple, Sequence, TypeVar

if TYPE_CHECKING:
    from mmiotools.trace.header import Trace

T = TypeVar("T")

#: Seconds before the bar appears.
PATIENCE = 0.5


class Meter(NamedTuple):
    """What a bar tells of inputs that are no trace: their name, their bytes, and how many of these are done."""

    name: str
    size: int
    progress: Callable[[], int]


def with_progress(items: Iterator[T], trace: Trace | Meter, count: Callable[[T], int]) -> Iterator[T]:
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
            told = f"{rate / 1e6:.2f} M events/s" if events else ""
            progress.update(task, completed=trace.progress(), rate=told)
            yield item


@contextmanager
def files_progress(paths: Sequence[str]) -> Iterator[Callable[[str, int, bool], None]]:
    """One bar for many files. Call what it gives with a file, the bytes of it that are done, and whether all are."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    sizes = {path: os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths}
    done = dict.fromkeys(paths, 0)
    ended = 0
    told = TextColumn("{task.description}")
    columns = (told, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"0/{len(paths)} files", total=sum(sizes.values()))

        def advance(path: str, so_far: int, over: bool) -> None:
            nonlocal ended
            ended += over
            done[path] = sizes[path] if over else min(so_far, sizes[path])
            progress.update(task, completed=sum(done.values()), description=f"{ended}/{len(paths)} files")

        yield advance
