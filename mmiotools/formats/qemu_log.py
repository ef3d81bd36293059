"""QEMU's log: the lines of its trace events, in every version's spelling. The grammar is in formats/qemu-log.md."""

from __future__ import annotations

import re

from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.lines import LineBatches, Parsed, without_end
from mmiotools.formats.qemu_events import single_events
from mmiotools.formats.qemu_log_lines import parse_line
from mmiotools.formats.qemu_log_print import LogWriter, render
from mmiotools.formats.qemu_log_scan import Scanner
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import BinaryIO, ClassVar, Iterator

_STAMP = rb"(?:\d{1,9}@\d{1,10}\.\d{6}:|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z )"
_RECORD = re.compile(
    rb"(?:^|\n)(" + _STAMP + rb")?(?:memory_region_(?:ops|subpage|ram_device)_(?:read|write) (?:cpu|mr|addr|offset) "
    rb"|vfio_(?:region_read|region_write|pci_read_config|pci_write_config|rom_read|vga_read|vga_write) +\("
    rb"|pci_cfg_(?:read|write) \S+ )"
)
#: A line of any other trace event, whose stamp is unlike any other format's.
_OTHER = re.compile(rb"(?:^|\n)\d{1,9}@\d{1,10}\.\d{6}:[a-z_0-9]+ ")


class QemuLog:
    """The trace events in QEMU's log."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "qemu-log"
    title: ClassVar[str] = "QEMU's log of trace events: memory_region_ops, vfio_region and their kin."
    suffixes: ClassVar[tuple[str, ...]] = (".qemu-log",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("map", "pc", "opcode", "UNKNOWN", "MAP", "UNMAP", "MARK", "LOST", "DEVICE")
    }
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """Sure when the first line is a record of an access, fairly sure when one comes within the first 64 KiB."""
        match = _RECORD.search(head)
        if match is not None:
            return Sniff.YES if match.start() == 0 and head[:1] != b"\n" else Sniff.LIKELY
        return Sniff.MAYBE if _OTHER.search(head) else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki lines; one event a line, whatever the line holds."""
        match = _RECORD.search(source.head)
        stamped = _OTHER.search(source.head) is not None if match is None else match[1] is not None
        header = TraceHeader(self.name, "wall" if stamped else "unknown", 6)
        return header, LineBatches(source, _Parser())

    def writer(self, out: BinaryIO, header: TraceHeader) -> LogWriter:
        """Lines onto `out`."""
        return LogWriter(out, header)


class _Parser:
    """A BlockParser with the memory of a `Scanner`."""

    def __init__(self) -> None:
        self._scanner = Scanner()

    def __call__(self, block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
        if block.endswith(b"\n"):
            for batch in self._scanner.scan(block, line, regions):
                yield Parsed(batch, len(batch))
        else:
            event = without_end(parse_line(block, line, ended=False))
            yield Parsed(single_events([event], regions, render), 1)


FORMAT = QemuLog()
