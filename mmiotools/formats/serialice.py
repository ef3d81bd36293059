"""SerialICE's log: what firmware does to memory, I/O ports and MSRs. The grammar is in formats/serialice.md."""

from __future__ import annotations

import re

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING
from mmiotools.formats.line_format import LineFormat
from mmiotools.formats.line_shapes import Hole, Shape
from mmiotools.formats.text_numbers import padded
from mmiotools.trace.batch import Regions
from mmiotools.typed import Any, ClassVar

_HEX = rb"([0-9a-fA-F]{1,16})"
_IDS = rb"([0-9a-fA-F]{1,8})\.([0-9a-fA-F]{1,8})[ \t]+([RI.][H.][Q.][UDF.])[ \t]+"
_PREFIX = _IDS + rb"\[" + _HEX + rb":" + _HEX + rb"\][ \t]+"
_PORT = re.compile(_PREFIX + rb"IO:[ \t]+(in|out)(b|w|ll|l) " + _HEX + rb" (=>|<=) +" + _HEX + rb"[ \t]*$")
_MEM = re.compile(_PREFIX + rb"MEM:[ \t]+(read|write)(b|w|ll|l) " + _HEX + rb" (=>|<=) +" + _HEX + rb"[ \t]*$")
_MSR = re.compile(
    _PREFIX + rb"CPU MSR:[ \t]+\[([0-9a-fA-F]{1,8})\] (=>|<=) ([0-9a-fA-F]{8})\.([0-9a-fA-F]{8})[ \t]*$"
)
_SEEMS = re.compile(
    _PREFIX + rb"(?:IO:[ \t]+(?:in|out)(?:b|w|l|$)|MEM:[ \t]+(?:read|write)(?:b|w|l|$)|CPU MSR:[ \t]+\[)"
)
#: Accesses to memory and to ports of up to four bytes.
_SHAPE = Shape(
    rb"(?P<parent>%(id)s)\.(?P<id>%(id)s)    [RI.][H.][Q.][UDF.]    \[(?P<cs>%(four)s):(?P<pc>%(four)s)\]   "
    rb"(?:(?P<mem>MEM): (?:(?P<read> read)|write)|IO: (?:(?P<in> in)|out))(?:(?P<byte>b)|(?P<word>w)|l) "
    rb"(?(mem)(?P<addr>%(eight)s)|(?P<offset>%(four)s)) (?(read)=>|(?(in)=>|<=)) "
    rb"(?P<value>(?(byte)[0-9a-f]{2}|(?(word)[0-9a-f]{4}|[0-9a-f]{8})))"
    % {b"id": padded(4, 8), b"four": padded(4), b"eight": padded(8)},
    {**dict.fromkeys(("parent", "id", "cs", "pc", "offset"), Hole(4)), "addr": Hole(8), "value": Hole(16)},
)
_WIDTHS = {b"b": 1, b"w": 2, b"l": 4, b"ll": 8}
_SUFFIXES = {width: suffix.decode() for suffix, width in _WIDTHS.items()}
_PORTS, _MSRS = "io", "msr"


class SerialIce(LineFormat):
    """The plug-in object."""

    name: ClassVar[str] = "serialice"
    title: ClassVar[str] = "Log of SerialICE: a firmware's memory, port and MSR accesses."
    suffixes: ClassVar[tuple[str, ...]] = (".serialice",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("time", "map", "pid", "cpu", "opcode"),
        *("UNKNOWN", "MAP", "UNMAP", "MARK", "LOST", "IRQ", "DEVICE", "HEADER"),
    }
    begins: ClassVar[re.Pattern[bytes] | None] = re.compile(rb"[0-9a-fA-F]{1,8}(?:\.|$)")
    records: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"^" + _PREFIX + rb"(?:IO: +(?:in|out)[bwl]|MEM: +(?:read|write)[bwl]|CPU MSR: +\[|CPUID: )|^SerialICE: ",
        re.MULTILINE,
    )

    shape = _SHAPE

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """An access of firmware to a port, to memory or to an MSR; CPUID and decoded lines are notes."""
        port = _PORT.match(line)
        match = port or _MEM.match(line)
        if match is None:
            msr = _MSR.match(line)
            if msr is not None:
                regions.code(_MSRS, "msr")
                value = int(msr[8] + msr[9], 16)
                return _event(msr, msr[7] == b"=>", 8, value)._replace(region=_MSRS, offset=int(msr[6], 16))
            return "malformed access" if _SEEMS.match(line) else None
        read = match[6] in (b"in", b"read")
        if read != (match[9] == b"=>"):
            return "malformed access"
        event = _event(match, read, _WIDTHS[match[7]], int(match[10], 16))
        if port is None:
            return event._replace(addr=int(match[8], 16))
        regions.code(_PORTS, "port")
        return event._replace(region=_PORTS, offset=int(match[8], 16))

    def whole(self, line: bytes) -> bool:
        """An access of up to four bytes has as many digits as its value takes."""
        match = _PORT.match(line) or _MEM.match(line)
        return match is not None and match[7] != b"ll" and len(match[10]) == 2 * _WIDTHS[match[7]]

    def render(self, event: Event) -> bytes | None:
        """As SerialICE's scripts print it; what no line said is 0, and the flags of an access to the hardware."""
        if event.kind > Kind.WRITE or event.value is None or event.width not in _SUFFIXES:
            return None
        read, extra, value, width = event.kind == Kind.READ, event.extra, event.value, event.width
        if value >> 8 * width:
            return None
        arrow, suffix = "=>" if read else "<=", _SUFFIXES[width]
        digits = f"{value:16x}" if width == 8 else f"{value:0{2 * width}x}"
        if event.region == _MSRS and event.offset is not None and width == 8:
            text = f"CPU MSR: [{event.offset:08x}] {arrow} {value >> 32:08x}.{value & 0xFFFFFFFF:08x}"
        elif event.region == _PORTS and event.offset is not None:
            text = f"IO: {' in' if read else 'out'}{suffix} {event.offset:04x} {arrow} {digits}"
        elif event.addr is not None:
            text = f"MEM: {' read' if read else 'write'}{suffix} {event.addr:08x} {arrow} {digits}"
        else:
            return None
        ids = f"{_number(extra, 'parent'):04x}.{_number(extra, 'id'):04x}"
        where = f"[{_number(extra, 'cs'):04x}:{event.pc or 0:04x}]"
        return f"{ids}    {extra.get('flags', 'RH..')}    {where}   {text}".encode()


def _number(extra: Any, name: str) -> int:
    number = extra.get(name)
    return number if isinstance(number, int) else 0


def _event(match: re.Match[bytes], read: bool, width: int, value: int) -> Event:
    kind = Kind.READ if read else Kind.WRITE
    return Event(kind, width=width, value=value, pc=int(match[5], 16), extra=_said(*match.group(1, 2, 3, 4)))


def _said(parent: bytes, number: bytes, flags: bytes, cs: bytes) -> dict[str, Any]:
    return {"parent": int(parent, 16), "id": int(number, 16), "flags": flags.decode(), "cs": int(cs, 16)}


FORMAT = SerialIce()
