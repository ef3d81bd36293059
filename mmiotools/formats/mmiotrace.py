"""Linux mmiotrace text, VERSION 20070824: reading and writing. The grammar is in formats/mmiotrace.md."""

from __future__ import annotations

import re

from mmiotools.events import Event
from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.lines import LineBatches, Parsed, without_end
from mmiotools.formats.mmiotrace_count import count
from mmiotools.formats.mmiotrace_lines import REACH, begun_at_the_end, parse_line
from mmiotools.formats.mmiotrace_render import VERSION
from mmiotools.formats.source import ByteSource
from mmiotools.speed import compiled
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import TYPE_CHECKING, BinaryIO, ClassVar, Iterator

if TYPE_CHECKING:
    from mmiotools.formats.mmiotrace_print import TextWriter
    from mmiotools.trace.batch import Batch, Regions

_RECORD = re.compile(
    rb"(?:^|\n)[ \t]*(?:VERSION +\S+|PCIDEV +[0-9a-fA-F]{4} |[RW] +\d+ +\d+\.\d+ "
    rb"|(?:UNKNOWN|MAP|UNMAP|MARK) +\d+\.\d+[ \r\n]"
    rb"|# tracer: mmiotrace|# mmiotools: )"
)
#: All tracers have such lines.
_LOST = re.compile(rb"(?:^|\n)CPU:\d+ \[(?:LOST )?\d* ?EVENTS")


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
            return Sniff.MAYBE if _LOST.search(head) else Sniff.NO
        return Sniff.YES if match.start() == 0 else Sniff.LIKELY

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki lines; one event a line, whatever the line holds."""
        header = TraceHeader(self.name, "boot", 6)
        fast = compiled()
        counter = None if fast is None else lambda block, line: count(fast, block, line)

        def notice(event: Event) -> None:
            """Take what a HEADER event says into the stream's header; an unknown version is read all the same."""
            if event.extra.get("format") == "mmiotools":
                header.meta.update(event.extra.get("meta", {}))
            elif event.extra.get("version") != VERSION:
                header.meta.setdefault("unknown_version", event.extra.get("version"))

        return header, LineBatches(source, _parse, count=counter, hold=begun_at_the_end, reach=REACH, notice=notice)

    def writer(self, out: BinaryIO, header: TraceHeader) -> TextWriter:
        """Lines onto `out`; as they were spelled where they were lines of this dialect."""
        from mmiotools.formats.mmiotrace_print import TextWriter

        return TextWriter(out, spelled=header.format in ("", self.name, "native", "jsonl"))


def _parse(block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
    # Imported only now: who only counts needs no columns.
    from mmiotools.formats import mmiotrace_compiled
    from mmiotools.formats.mmiotrace_scan import scan
    from mmiotools.trace.batch import Batch

    if block.endswith(b"\n"):
        fast = compiled()
        found = scan(block, line, regions) if fast is None else mmiotrace_compiled.scan(fast, block, line, regions)
        for batch in found:
            yield Parsed(batch, len(batch))
    else:
        yield Parsed(Batch.from_events([without_end(parse_line(block, line, ended=False))], regions), 1)


FORMAT = Mmiotrace()
