"""Linux mmiotrace text, VERSION 20070824: reading and writing. The grammar is in formats/mmiotrace.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, ClassVar, TypeVar

from mmiotools.events import Event, Kind
from mmiotools.formats import mmiotrace_compiled
from mmiotools.formats.base import EVERYTHING, Sniff, damaged
from mmiotools.formats.mmiotrace_lines import VERSION, parse_line
from mmiotools.formats.mmiotrace_print import TextWriter
from mmiotools.formats.mmiotrace_scan import scan
from mmiotools.formats.parallel import ordered_map
from mmiotools.formats.source import ByteSource, Extent
from mmiotools.speed import compiled
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import Spread, TraceHeader
from mmiotools.trace.registry import API

R = TypeVar("R")

#: No record of any kernel is near this long; what is longer goes through in pieces, as notes.
MAX_LINE = 1 << 21

_RECORD = re.compile(
    rb"(?:^|\n)[ \t]*(?:VERSION +\S+|PCIDEV +[0-9a-fA-F]{4} |[RW] +\d+ +\d+\.\d+ "
    rb"|(?:UNKNOWN|MAP|UNMAP|MARK) +\d+\.\d+[ \r\n]"
    rb"|CPU:\d+ \[(?:LOST )?\d* ?EVENTS|# tracer: mmiotrace|# mmiotools: )"
)


class Mmiotrace:
    """The text that Linux's mmiotrace prints into trace_pipe."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "mmiotrace"
    title: ClassVar[str] = "Linux mmiotrace text, VERSION 20070824."
    suffixes: ClassVar[tuple[str, ...]] = (".mmiotrace", ".txt", ".log")
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {"region", "offset", "cpu", "IRQ"}
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """Sure when the first line is a record; fairly sure when one comes within the first 64 KiB."""
        match = _RECORD.search(head)
        if match is None:
            return Sniff.NO
        return Sniff.YES if match.start() == 0 else Sniff.LIKELY

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki lines; one event a line, whatever the line holds."""
        header = TraceHeader(self.name, "boot", 6)
        return header, TextBatches(source, header)

    def writer(self, out: BinaryIO, header: TraceHeader) -> TextWriter:
        """Lines onto `out`."""
        return TextWriter(out)


class TextBatches:
    """The batches of a text: an iterator, or `spread` over worker processes."""

    def __init__(self, source: ByteSource, header: TraceHeader) -> None:
        self._source = source
        self._header = header
        self._regions = Regions()
        self._batches = self._one_by_one()

    def __iter__(self) -> Iterator[Batch]:
        return self._batches

    def __next__(self) -> Batch:
        return next(self._batches)

    def _one_by_one(self) -> Iterator[Batch]:
        line = 1
        for block in blocks(self._source.chunks()):
            for batch in self._parse(block, line):
                line += len(batch)
                self._notice(batch)
                yield batch

    def spread(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """function(batch) for every batch, computed anywhere, given in order."""
        line = 1

        def work(piece: Extent | bytes, first: int = 1) -> list[Spread[R]]:
            results = []
            for block in [piece] if isinstance(piece, bytes) else blocks(piece.chunks()):
                for batch in self._parse(block, first):
                    rare = batch.take(batch.kind > Kind.UNKNOWN)
                    results.append(Spread(function(batch), len(batch), rare))
                    first += len(batch)
            return results

        extents = self._source.extents()
        pieces: Iterator[Extent | bytes] = blocks(self._source.chunks()) if extents is None else extents
        for piece, results in ordered_map(lambda piece: (piece, work(piece)), pieces):
            # A worker does not know how many lines came before; where that matters the piece is read again.
            if line > 1 and any("line" in extra for result in results for extra in result.rare.extras.values()):
                results = work(piece, line)
            for result in results:
                line += result.events
                self._notice(result.rare)
                yield result

    def _parse(self, block: bytes, line: int) -> Iterator[Batch]:
        if block.endswith(b"\n"):
            fast = compiled()
            if fast is not None:
                yield from mmiotrace_compiled.scan(fast, block, line, self._regions)
            else:
                yield from scan(block, line, self._regions)
        else:
            yield Batch.from_events([_unterminated(block, line)], self._regions)

    def _notice(self, batch: Batch) -> None:
        """Take what HEADER events say into the stream's header; an unknown version is read all the same."""
        if batch.extras:
            for row in batch.rows(Kind.HEADER).tolist():
                extra = batch.extras[row]
                if extra.get("format") == "mmiotools":
                    self._header.meta.update(extra.get("meta", {}))
                elif extra.get("version") != VERSION:
                    self._header.meta.setdefault("unknown_version", extra.get("version"))


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks of at most MAX_LINE bytes as blocks of whole lines. A line longer than that comes in pieces of
    MAX_LINE bytes, and what has no line end at the end of the input comes last; both alone, without line end.
    """
    rest = b""
    for data in chunks:
        first = data.find(b"\n") + 1
        if not first or len(rest) + first > MAX_LINE:
            rest += data[:first] if first else data
            while len(rest) > MAX_LINE:
                yield rest[:MAX_LINE]
                rest = rest[MAX_LINE:]
            if not first:
                continue
            data = data[first:]
            if not data:
                yield rest
                rest = b""
                continue
        cut = data.rfind(b"\n") + 1
        if cut or rest.endswith(b"\n"):
            yield rest + data[:cut]
            rest = data[cut:]
        else:
            rest += data
    if rest:
        yield rest


def _unterminated(line: bytes, number: int) -> Event:
    if len(line) >= MAX_LINE:
        event = damaged(f"a line longer than {MAX_LINE} bytes", text=line, line=number, events=1)
    else:
        event = parse_line(line, number, ended=False)
    return event._replace(extra={**event.extra, "eol": "none"})


FORMAT = Mmiotrace()
