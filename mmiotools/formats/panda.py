"""JSON of PANDA's plug-in mmio_trace: one object a line. The grammar is in formats/panda.md."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff, own_spelling
from mmiotools.formats.line_format import LineFormat, LineWriter
from mmiotools.formats.line_shapes import Hole, Shape
from mmiotools.formats.text_numbers import padded
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, BinaryIO, ClassVar

_HEX = rb'"0x([0-9a-fA-F]{1,16})"'
_OBJECT = re.compile(
    rb'[ \t]*\{ *"type" *: *"([RW])" *, *"guest_pc" *: *' + _HEX + rb' *, *"phys_addr" *: *' + _HEX
    + rb' *, *"virt_addr" *: *' + _HEX + rb' *, *"size" *: *' + _HEX + rb' *, *"value" *: *' + _HEX
    + rb' *, *"device" *: *"(.*)" *\}[ \t]*+(,?)[ \t]*+$'
)
#: An object with numbers of eight digits, as far as they fit.
_SHAPE = Shape(
    b'\\{ "type": "[RW]", "guest_pc": "0x(?P<pc>%(n)s)", "phys_addr": "0x(?P<addr>%(n)s)", '
    b'"virt_addr": "0x(?P<virt>%(n)s)", "size": "0x000000[0-9a-f]{2}", "value": "0x(?P<value>%(n)s)", '
    b'"device": "[ !#-\\[\\]-~]*" \\},' % {b"n": padded(8)},
    dict.fromkeys(("pc", "addr", "virt", "value"), Hole(8)),
)
_FRAME = re.compile(rb"[ \t]*[\[\]][ \t]*$|[ \t]*$")
_NOBODY = "[NONE]"
#: How it prints an object; each number has so many digits.
_PRINTED = (
    '{ "type": "%s", "guest_pc": "0x%0*x", "phys_addr": "0x%0*x", "virt_addr": "0x%0*x", '
    '"size": "0x%0*x", "value": "0x%0*x", "device": "%s" },'
)


class Panda(LineFormat):
    """The plug-in object."""

    name: ClassVar[str] = "panda"
    title: ClassVar[str] = "JSON of PANDA's plug-in mmio_trace."
    suffixes: ClassVar[tuple[str, ...]] = (".panda.json",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("time", "map", "region", "offset", "pid", "cpu", "opcode"),
        *("UNKNOWN", "MAP", "UNMAP", "MARK", "LOST", "IRQ", "DEVICE", "HEADER"),
    }
    records: ClassVar[re.Pattern[bytes]] = re.compile(
        rb'^[ \t]*\{ *"type" *: *"[RW]" *, *"guest_pc" *: *"0x', re.MULTILINE
    )
    shape = _SHAPE

    def sniff(self, head: bytes) -> Sniff:
        """Sure when an object follows the opening bracket; an array of nothing may be anybody's."""
        if re.fullmatch(rb"\s*\[\s*\]\s*", head):
            return Sniff.LIKELY
        found = super().sniff(head)
        return Sniff.YES if found == Sniff.LIKELY and re.match(rb"\s*\[\s*\{", head) else found

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """An access; the brackets are notes."""
        match = _OBJECT.match(line)
        if match is None:
            return None if _FRAME.match(line) else "malformed object"
        width = int(match[5], 16)
        if width > 255:
            return "an access of more than 255 bytes"
        extra: dict[str, Any] = {"virt": int(match[4], 16)}
        device = match[7].decode("utf-8", "backslashreplace")
        if device != _NOBODY:
            extra["device_name"] = device
        if len(match[5]) != 8:
            extra["digits"] = len(match[5])
        return Event(
            Kind.READ if match[1] == b"R" else Kind.WRITE,
            width=width,
            addr=int(match[3], 16),
            value=int(match[6], 16),
            pc=int(match[2], 16),
            extra=extra,
        )

    def render(self, event: Event) -> bytes | None:
        """As the plug-in prints all lines but the last, which has no comma."""
        extra, addr, value, width = event.extra, event.addr, event.value, event.width
        if event.kind > Kind.WRITE or addr is None or value is None or value >> 64 or width is None:
            return None
        n = extra.get("digits", 8)
        letter = "R" if event.kind == Kind.READ else "W"
        numbers = n, event.pc or 0, n, addr, n, extra.get("virt", 0), n, width, n, value
        return (_PRINTED % (letter, *numbers, extra.get("device_name", _NOBODY))).encode()

    def writer(self, out: BinaryIO, header: TraceHeader) -> PandaWriter:
        """Lines onto `out`."""
        return PandaWriter(out, self, own_spelling(header, self.name))

    def whole(self, line: bytes) -> bool:
        """An object says where it ends."""
        return True


class PandaWriter:
    """Writes an array. One that comes whole, with its brackets, is written as it is; of any other, brackets and commas
    are set anew.
    """

    def __init__(self, out: BinaryIO, dialect: Panda, own: bool) -> None:
        self._lines = LineWriter(out, dialect, own)
        self.lost = self._lines.lost
        self._out, self._own = out, own
        self._whole: bool | None = None
        self._before = b""

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        if self._whole is None and len(batch):
            first = batch.event(0)
            self._whole = self._own and (first.kind == Kind.NOTE)
        if self._whole:
            self._lines.write(batch)
            return
        parts = []
        kept = np.zeros(len(batch), np.bool_)
        for row, event in enumerate(batch.events()):
            line = self._lines.line(event) if event.kind <= Kind.WRITE else None
            if line is not None:
                kept[row] = True
                parts.append(self._before + b",\n" if self._before else b"[\n")
                self._before = line.strip().removesuffix(b",").rstrip()
            elif event.kind != Kind.NOTE or event.damaged:
                self.lost[event.kind.name] += 1
        self._lines.count_fields(batch, kept)
        self._out.write(b"".join(parts))

    def close(self) -> None:
        """The last object and the closing bracket."""
        if not self._whole:
            self._out.write(self._before + b"\n]\n" if self._before else b"[\n\n]\n")


FORMAT = Panda()
