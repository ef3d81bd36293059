"""What formats have in common whose records are lines that a small parser and a small printer know.

A format gives `parse` (a line → an event) and `render` (an event → its canonical line). A line that `render` would
spell otherwise keeps its bytes in `raw`; so every line comes back as it was. Lines that come in bulk can be read
together, and only the others go through `parse`.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, BatchTexts, Sniff, Writer, count_fields, damaged, left_out, own_spelling
from mmiotools.formats.line_columns import Lines, Place, Store
from mmiotools.formats.line_shapes import Shape, Taken, scan
from mmiotools.formats.lines import LineBatches, Parsed, by_line
from mmiotools.formats.source import ByteSource
from mmiotools.formats.text_numbers import Index
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import EOL_BYTES, EOL_NAMES, MAX_EVENTS, Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import Any, BinaryIO, ClassVar, Iterator, NDArray


class LineFormat:
    """Base of the plug-in objects.

    clock, digits   of the header
    latest          the time that is beyond what a line can say, which is 0 at least, in nanoseconds
    heading         the first line of a file that this format writes for another one, if it has one
    line_end        of lines that come from another format
    records         finds a line that is surely a record of this format, with re.MULTILINE
    begins          what a last line without line end begins with if it may be a record that was cut off
    shape           what the commonest lines look like, which are then read together
    """

    api: ClassVar[int] = API
    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    keeps: ClassVar[frozenset[str]] = EVERYTHING
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True
    clock: ClassVar[str] = "unknown"
    digits: ClassVar[int] = 0
    latest: ClassVar[int] = 1 << 63
    heading: ClassVar[bytes | None] = None
    line_end: ClassVar[bytes] = b"\n"
    records: ClassVar[re.Pattern[bytes]]
    begins: ClassVar[re.Pattern[bytes] | None] = None
    shape: Shape | None = None

    def __init__(self) -> None:
        self._lines = by_line(self._line)

    # -- what a format says ---------------------------------------------------------------------------------

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """The event of a line without its end; the reason why it is damaged; or None for a line of no known kind."""
        raise NotImplementedError

    def render(self, event: Event) -> bytes | None:
        """The canonical line of an event, without line end; None when the dialect cannot say it. `raw` is not looked
        at.
        """
        raise NotImplementedError

    def whole(self, line: bytes) -> bool:
        """Whether a record without line end cannot be the beginning of a longer one."""
        return False

    def scan(self, lines: Lines, regions: Regions) -> list[tuple[Index, Taken]]:
        """The lines of a block that can be read together, ascending, and what they are."""
        return [] if self.shape is None else scan(lines, self.shape, self.parse, regions)

    # -- the plug-in object ---------------------------------------------------------------------------------

    def sniff(self, head: bytes) -> Sniff:
        """Sure when the first line is a record; likely when one comes within the first 64 KiB."""
        match = self.records.search(head)
        if match is None:
            return Sniff.NO
        return Sniff.YES if match.start() == 0 else Sniff.LIKELY

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki lines, one event a line."""
        return TraceHeader(self.name, self.clock, self.digits), LineBatches(source, self._block)

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """Lines onto `out`."""
        return LineWriter(out, self, own_spelling(header, self.name))

    # -- lines → batches ------------------------------------------------------------------------------------

    def _block(self, block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
        if not block.endswith(b"\n"):
            yield from self._lines(block, line, regions)
            return
        ends = flatnonzero(np.frombuffer(block, np.uint8) == 10)
        start = 0
        for first in range(0, len(ends), MAX_EVENTS):
            some = ends[first : first + MAX_EVENTS]
            stop = int(some[-1]) + 1
            yield Parsed(self._batch(Lines(block[start:stop], some - start), line, regions), len(some))
            start, line = stop, line + len(some)

    def _batch(self, lines: Lines, line: int, regions: Regions) -> Batch:
        """Events of the lines of a block: of many together, of the others each alone."""
        kind = np.full(lines.n, Kind.NOTE, np.uint8)
        store = Store(lines.n)
        extras: dict[int, dict[str, Any]] = {}
        alone = np.ones(lines.n, np.bool_)
        for rows, taken in self.scan(lines, regions):
            place = Place(rows)
            place.into(kind, taken.kind)
            place.into(alone, np.False_)
            for name, (values, present) in taken.columns.items():
                if present is not None:
                    store.put(name, Place(rows[present]), values[present])
                else:
                    store.put(name, place, values)
            if taken.extras is not None:
                extras.update((row, extra) for row, extra in zip(rows.tolist(), taken.extras, strict=True) if extra)
        others = flatnonzero(alone)
        if len(others):
            events = [self._alone(lines.whole(row), line + row, regions) for row in others.tolist()]
            slow = Batch.from_events(events, regions)
            kind[others] = slow.kind
            for name, column in slow.columns.items():
                here = slice(None) if column.present is None else column.present
                store.put(name, Place(others[here]), column.data[here])
            extras.update((int(others[row]), extra) for row, extra in slow.extras.items())
        return Batch(kind, store.columns(), extras, regions)

    def _alone(self, line: bytes, number: int, regions: Regions) -> Event:
        bare = line.removesuffix(b"\r")
        event = self._line(bare, number, True, regions) or Event(Kind.NOTE, extra={"text": bare})
        return event if len(bare) == len(line) else event._replace(extra={**event.extra, "eol": "crlf"})

    def _line(self, line: bytes, number: int, ended: bool, regions: Regions) -> Event | None:
        event = self.parse(line, regions)
        if event is None:
            if ended or self.begins is None or self.begins.match(line) is None:
                return None
            event = "cut off"
        if isinstance(event, str):
            return damaged(event if ended else "the last line is cut off", text=line, line=number)
        if not ended and not self.whole(line):
            return damaged("the last line is cut off", text=line, line=number)
        if self.render(event) != line:
            return event._replace(extra={**event.extra, "raw": line})
        return event


class LineWriter(BatchTexts):
    """Writes events as lines. `own` says that `raw` and the text of notes are lines of this dialect."""

    def __init__(self, out: BinaryIO, dialect: LineFormat, own: bool) -> None:
        super().__init__(out)
        self._dialect = dialect
        self._own = own
        self._begun = False
        self._left_out = left_out(dialect.keeps)

    def begin(self) -> None:
        """The heading, once."""
        if not self._begun and not self._own and self._dialect.heading is not None:
            self._out.write(self._dialect.heading + self._dialect.line_end)
        self._begun = True

    def pieces(self, batch: Batch) -> Iterator[bytes]:
        """The lines of some events; what the dialect cannot say is counted in `lost`."""
        lines = []
        kept = np.ones(len(batch), np.bool_)
        for row, event in enumerate(batch.events()):
            line = self.line(event)
            if line is None:
                self.lost[event.kind.name] += 1
                kept[row] = False
            elif self._own:
                lines += [line, EOL_BYTES[EOL_NAMES.index(event.extra.get("eol", "lf"))]]
            else:
                lines += [line, self._dialect.line_end]
        self.count_fields(batch, kept)
        yield b"".join(lines)

    def count_fields(self, batch: Batch, kept: NDArray[np.bool_]) -> None:
        """Count what the dialect cannot say of the events that it can, (n,)."""
        if self._own:
            return
        if not kept.all():
            batch = batch.take(kept)
        count_fields(self.lost, batch, self._left_out)
        if "time" in self._left_out or "time" not in batch.columns:
            return
        time, unit = batch.data("time")[batch.present("time")], 10 ** (9 - self._dialect.digits)
        for phrase, lost in (
            ("time below zero", time < 0),
            ("time that is too late", time >= self._dialect.latest),
            (f"time below {unit} ns", time % unit != 0),
        ):
            if lost.any():
                self.lost[phrase] += int(lost.sum())

    def line(self, event: Event) -> bytes | None:
        """That of an event, without its end; None where the dialect cannot say it."""
        if self._own:
            raw = event.extra.get("raw")
            if isinstance(raw, bytes):
                return raw
            text = event.extra.get("text")
            if event.kind == Kind.NOTE and isinstance(text, bytes):
                return text
        return self._dialect.render(event)
