"""SerialICE's log: what firmware does to memory, I/O ports and MSRs. The grammar is in formats/serialice.md."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING
from mmiotools.formats.line_format import LineFormat, Taken
from mmiotools.formats.text_numbers import hex_numbers, padded
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
_FOUR, _LONG = padded(4), padded(8)
_ID = rb"(" + padded(4, 8) + rb")"
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

    # Groups 6 to 10 are there in an access to memory, in one that reads, and in one of a byte or of two.
    bulk: ClassVar[bytes | None] = (
        _ID + rb"\." + _ID + rb"    ([RI.][H.][Q.][UDF.])    \[(" + _FOUR + rb"):(" + _FOUR + rb")\]   "
        rb"(?:(MEM): (?:( read)|write)|IO: (?:( in)|out))(?:(b)|(w)|l) ((?(6)" + _LONG + rb"|" + _FOUR
        + rb")) (?(7)=>|(?:(?(8)=>|<=))) ((?(9)[0-9a-f]{2}|(?:(?(10)[0-9a-f]{4}|[0-9a-f]{8}))))"
    )

    def take(self, found: list[tuple[bytes, ...]], regions: Regions) -> Taken:
        """Accesses to memory and to ports of up to four bytes."""
        parent, number, flags, cs, pc, memory, loads, ins, one, two, places, value, _ = zip(*found, strict=True)
        where, in_memory = hex_numbers(places), np.array([bool(word) for word in memory])
        columns: dict[str, Any] = {
            "width": (np.array([1 if b else 2 if w else 4 for b, w in zip(one, two, strict=True)], np.uint8), None),
            "addr": (where, in_memory),
            "value": (hex_numbers(value), None),
            "pc": (hex_numbers(pc), None),
        }
        if not in_memory.all():
            code = np.full(len(found), regions.code(_PORTS, "port"), np.uint32)
            columns |= {"region": (code, ~in_memory), "offset": (where, ~in_memory)}
        kind = np.array([not (load or get) for load, get in zip(loads, ins, strict=True)], np.uint8)
        who = list(zip(parent, number, flags, cs, strict=True))
        shared = {one: _said(*one) for one in set(who)}
        return Taken(kind, columns, [shared[one] for one in who])

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
