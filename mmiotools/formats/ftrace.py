"""Text of Linux's ftrace, and of trace-cmd and perf: the register events in it. The grammar is in formats/ftrace.md."""

from __future__ import annotations

import re
from collections import Counter

from mmiotools.events import Kind, is_damage
from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.ftrace_lines import PREFIX_ANYWHERE, render_lost
from mmiotools.formats.ftrace_scan import Scanner, open_at_the_end
from mmiotools.formats.lines import LineBatches
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import EOL_BYTES, Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import BinaryIO, ClassVar, Iterator

#: The beginning of the file `trace`. The mmiotrace tracer prints records of its own.
_TRACER = re.compile(rb"# tracer: (?!mmiotrace\b)")
_TRACER_ANYWHERE = re.compile(rb"\n# tracer: (?!mmiotrace\b)")
_PERF = re.compile(rb"\s\d{1,9}(?:/\d{1,9})? +\[\d{3,6}\] +\d{1,10}\.\d{6}(?:\d{3})?: +[\w-]+:\w+: ")
_LATENCY = re.compile(rb"-\d{1,9} +\d{1,6}[^\s\d]\S{3,7} +(?:\d{1,15}us[ +!#*@$]?|\d{1,10}\.\d{6,9}): +\w+: ")
_FRACTION = re.compile(rb"\d\.(\d{6}(?:\d{3})?): ")


class Ftrace:
    """What the files trace and trace_pipe of tracefs give, and how trace-cmd report and perf script spell it."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "ftrace"
    title: ClassVar[str] = "Linux ftrace text (trace, trace_pipe, trace-cmd report): register events."
    suffixes: ClassVar[tuple[str, ...]] = (".ftrace",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {"map", "pc", "opcode", "UNKNOWN", "MAP", "UNMAP", "IRQ", "DEVICE"}
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """Sure by the line `# tracer:`; fairly sure when a line within the first 64 KiB has the prefix of an event."""
        if _TRACER.match(head):
            return Sniff.YES
        for pattern in (PREFIX_ANYWHERE, _TRACER_ANYWHERE, _PERF, _LATENCY):
            if pattern.search(head):
                return Sniff.LIKELY
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches: a line is an event, but where the two lines of an access follow each other, which are one."""
        fraction = _FRACTION.search(source.head)
        if fraction is None and _LATENCY.search(source.head):
            header = TraceHeader(self.name, "start", 6)
        else:
            header = TraceHeader(self.name, "unknown", 6 if fraction is None else len(fraction[1]))
        return header, LineBatches(source, Scanner(), hold=open_at_the_end)

    def writer(self, out: BinaryIO, header: TraceHeader) -> FtraceWriter:
        """Lines onto `out`: only what was ftrace text once can be written as such."""
        return FtraceWriter(out, spelled=header.format == self.name)


class FtraceWriter:
    """Writes the lines that events were read from. `lost` counts events that never were a line of ftrace."""

    def __init__(self, out: BinaryIO, spelled: bool) -> None:
        self._out = out
        self._spelled = spelled
        self.lost: Counter[str] = Counter()

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        lines = []
        ends = batch.data("eol").tolist() if "eol" in batch.columns else None
        note, lost = int(Kind.NOTE), int(Kind.LOST)
        unsaid: Counter[int] = Counter()
        extras = batch.extras
        for row, kind in enumerate(batch.kind.tolist()):
            extra = extras.get(row, {})
            line = extra.get("text") if kind == note else extra.get("raw") if self._spelled else None
            if not self._spelled and is_damage(kind, extra):
                line = None  # it would be one no more
            if line is None:
                line = render_lost(batch.event(row)) if kind == lost else None
                if line is None:
                    unsaid[kind] += 1
                    continue
            lines.append(line)
            lines.append(b"\n" if ends is None else EOL_BYTES[ends[row]])
        self._out.write(b"".join(lines))
        for kind, count in unsaid.items():
            self.lost[f"{Kind(kind).name} that was no line of ftrace"] += count

    def close(self) -> None:
        """Nothing is held back."""


FORMAT = Ftrace()
