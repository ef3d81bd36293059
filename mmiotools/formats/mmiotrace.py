"""Linux mmiotrace text, VERSION 20070824: reading and writing. The grammar is in formats/mmiotrace.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, ClassVar

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff, damaged
from mmiotools.formats.mmiotrace_lines import VERSION, parse_line
from mmiotools.formats.mmiotrace_print import TextWriter
from mmiotools.formats.mmiotrace_scan import scan
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import MAX_EVENTS, Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API

#: No record of any kernel is near this long; what is longer goes through in pieces, as notes.
MAX_LINE = 1 << 20

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
        return header, _read(source, header)

    def writer(self, out: BinaryIO, header: TraceHeader) -> TextWriter:
        """Lines onto `out`."""
        return TextWriter(out)


def _read(source: ByteSource, header: TraceHeader) -> Iterator[Batch]:
    regions = Regions()
    number = 1
    for block in _blocks(source):
        if block.endswith(b"\n"):
            for piece in _pieces(block):
                batch = scan(piece, number, regions)
                number += len(batch)
                yield _noticed(batch, header)
        else:
            yield _noticed(Batch.from_events([_unterminated(block, number)], regions), header)


def _blocks(source: ByteSource) -> Iterator[bytes]:
    """Blocks of whole lines; a line without end, or longer than MAX_LINE, comes alone and without line end."""
    rest = b""
    while data := source.read():
        cut = data.rfind(b"\n") + 1
        if cut:
            yield rest + data[:cut]
            rest = data[cut:]
        else:
            rest += data
            while len(rest) > MAX_LINE:
                yield rest[:MAX_LINE]
                rest = rest[MAX_LINE:]
    if rest:
        yield rest


def _pieces(block: bytes) -> Iterator[bytes]:
    """A block in pieces of at most MAX_EVENTS lines."""
    if len(block) > MAX_EVENTS:
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)[MAX_EVENTS - 1 : -1 : MAX_EVENTS] + 1
        start = 0
        for end in ends.tolist():
            yield block[start:end]
            start = end
        block = block[start:] if start else block
    yield block


def _unterminated(line: bytes, number: int) -> Event:
    if len(line) >= MAX_LINE:
        event = damaged(f"a line longer than {MAX_LINE} bytes", text=line, line=number, events=1)
    else:
        event = parse_line(line, number, ended=False)
    return event._replace(extra={**event.extra, "eol": "none"})


def _noticed(batch: Batch, header: TraceHeader) -> Batch:
    """Takes what HEADER events say into the stream's header; a version that is not ours is read all the same."""
    if batch.extras:
        for row in batch.rows(Kind.HEADER).tolist():
            extra = batch.extras[row]
            if extra.get("format") == "mmiotools":
                header.meta.update(extra.get("meta", {}))
            elif extra.get("version") != VERSION:
                header.meta.setdefault("unknown_version", extra.get("version"))
    return batch


FORMAT = Mmiotrace()
