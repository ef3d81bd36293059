"""What reading any bytes gives: batches, or an error of the project's own. Anything else is Broken."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmiotools import speed
from mmiotools.errors import MmioToolsError
from mmiotools.events import Event, Kind
from mmiotools.formats import lines, open_trace, source
from mmiotools.formats.extras import extra_fits
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import DTYPES, EOL_NONE, MAX_EVENTS, Batch
from mmiotools.trace.header import TraceHeader

#: Of longer readings, only the batches are looked at.
EVENTS, BYTES = 20_000, 8 << 20


class Broken(Exception):
    """Something that must hold does not; `what` says it in a few words that are the same for the same defect."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what


class Reading(NamedTuple):
    """What a format made of an input: header and batches, or the error. `whole`: it was not too much to be kept."""

    header: TraceHeader | None
    batches: list[Batch]
    error: str | None
    whole: bool

    def events(self) -> list[Event]:
        """All events."""
        return [event for batch in self.batches for event in batch.events()]

    @property
    def damaged(self) -> bool:
        """Whether it says that something is wrong."""
        return self.error is not None or any(any(batch.damage()) for batch in self.batches)


class Dribble(io.BytesIO):
    """A pipe: it gives a few bytes at a time, and cannot be read by position."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, n: int | None = -1) -> bytes:
        return super().read(self._size if n is None or n < 0 else min(n, self._size))


@contextmanager
def file_of(data: bytes) -> Iterator[str]:
    """The path of a regular file in memory."""
    descriptor = os.memfd_create("fuzz")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def engine(name: str) -> Iterator[None]:
    """This engine does the work."""
    before = os.environ.get("MMIOTOOLS_ENGINE")
    os.environ["MMIOTOOLS_ENGINE"] = name
    speed.compiled.cache_clear()
    try:
        yield
    finally:
        os.environ.pop("MMIOTOOLS_ENGINE")
        if before is not None:
            os.environ["MMIOTOOLS_ENGINE"] = before
        speed.compiled.cache_clear()


@contextmanager
def small_chunks() -> Iterator[None]:
    """Inputs are read in small pieces, so that a small one has several."""
    usual = source._CHUNK, source._LOOK, lines.MAX_LINE, ByteSource.read.__defaults__
    source._CHUNK, source._LOOK, lines.MAX_LINE, ByteSource.read.__defaults__ = 1 << 11, 1 << 8, 1 << 11, (1 << 11,)
    try:
        yield
    finally:
        source._CHUNK, source._LOOK, lines.MAX_LINE, ByteSource.read.__defaults__ = usual


def read(form: Any, data: bytes | ByteSource) -> Reading:
    """Read an input to its end. Only the project's own errors are caught."""
    try:
        given = data if isinstance(data, ByteSource) else ByteSource(io.BytesIO(data), "x")
        header, batches = form.read(given)
        header.format = header.format or form.name
        return gathered(header, batches)
    except MmioToolsError as error:
        return Reading(None, [], told(error), True)


def read_path(path: str, form: str | None) -> Reading:
    """The same through `open_trace`."""
    try:
        trace = open_trace(path, form)
        return gathered(trace.header, trace.batches)
    except MmioToolsError as error:
        return Reading(None, [], told(error), True)


def gathered(header: TraceHeader, batches: Iterator[Batch]) -> Reading:
    held: list[Batch] = []
    events = size = 0
    for batch in batches:
        sane(batch)
        events += len(batch)
        size += sum(column.data.nbytes for column in batch.columns.values())
        if events > EVENTS or size > BYTES:
            if events > 20 * EVENTS:
                return Reading(header, held, None, False)
            continue
        held.append(batch)
    return Reading(header, held, None, events <= EVENTS and size <= BYTES)


def told(error: MmioToolsError) -> str:
    """The error's line. Raises Broken if it is none."""
    text = str(error)
    # A mistake in an expression is shown with a mark below it.
    if not text or ("\n" in text and text.rpartition("\n")[2].strip() != "^"):
        raise Broken("an error is not one line", repr(text)[:300])
    if max(map(len, text.split("\n"))) > 1100:
        raise Broken("an error is longer than 1100 characters", text[:200])
    return text


def sane(batch: Batch) -> None:
    """What everybody relies on in a batch. Raises Broken."""
    n = len(batch)
    if not 0 < n <= MAX_EVENTS:
        raise Broken("a batch of an impossible length", str(n))
    if batch.kind.dtype != np.uint8 or int(batch.kind.max()) > max(Kind):
        raise Broken("a kind that is none")
    for name, (data, present) in batch.columns.items():
        if len(data) != n or (name in DTYPES and data.dtype != DTYPES[name]):
            raise Broken("a column of the wrong type or length", f"{name} {data.dtype} {len(data)}")
        if present is not None:
            if present.dtype != np.bool_ or len(present) != n:
                raise Broken("presence of the wrong type or length", name)
            if data[~present].any():
                raise Broken("an absent row holds a number", name)
    if "eol" in batch.columns and batch.data("eol").max() > EOL_NONE:
        raise Broken("a line end that is none")
    named = batch.data("region")[batch.present("region")]
    if len(named) and int(named.max()) >= len(batch.regions.names):
        raise Broken("a region without name")
    for row, extra in batch.extras.items():
        if not 0 <= row < n:
            raise Broken("extras of no row", str(row))
        for name, item in extra.items():
            if not extra_fits(name, item):
                raise Broken("an extra of the wrong type", f"{name} {item!r}"[:200])


def scratch() -> Path:
    """A folder for what has to be a file with a name."""
    path = Path(tempfile.gettempdir()) / f"mmiotools-fuzz-{os.getpid()}"
    path.mkdir(exist_ok=True)
    return path
