"""valgrind-mmt's text of before 2014, and what mmt_bin2dedma makes of a binary log. The grammar is in
formats/mmt-text.md.
"""

from __future__ import annotations

import re

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.line_columns import Lines
from mmiotools.formats.line_format import LineFormat
from mmiotools.formats.line_shapes import Taken
from mmiotools.formats.mapped import VIRT
from mmiotools.formats.mmt_layout import STAMP
from mmiotools.formats.mmt_text_scan import scan
from mmiotools.formats.text_numbers import Index
from mmiotools.trace.batch import Regions
from mmiotools.typed import ClassVar

_N = rb"0[xX]([0-9a-fA-F]{1,16})"
_STAMP = rb"--(\d{1,10})-- +"
_ACCESS = re.compile(
    _STAMP + rb"([rw]) (?:(\d{1,10}):)?0x([0-9a-fA-F]{1,16}), (0x[0-9a-fA-F]{1,16}(?:,0x[0-9a-fA-F]{8}){0,7}) ?$"
)
_NEW = re.compile(
    _STAMP + rb"got new mmap (?:for \S+ )?at " + _N + rb", len: " + _N + rb", offset: " + _N + rb", serial: (\d{1,10})"
    rb"(?:, fd: (-?\d{1,10}))? *$"
)
_GONE = re.compile(
    _STAMP + rb"removed mmap \S+ for: " + _N + rb", len: " + _N + rb", offset: " + _N + rb", serial: (\d{1,10}) *$"
)
_CHANGED = re.compile(
    _STAMP + rb"changed mmap \S+ from: \(address: " + _N + rb", len: " + _N + rb"\), to: \(address: " + _N + rb", len: "
    + _N + rb"\), offset:? " + _N + rb", serial:? (\d{1,10}) *$"
)
_MARK = re.compile(_STAMP + rb"MARK: (.*)$", re.DOTALL)
_RECORD = re.compile(_STAMP + rb"(?:[rw] (?:\d|0x)|(?:got new|removed|changed) mmap )")
_WIDTHS = {2: 1, 4: 2, 8: 4, 16: 8}


class MmtText(LineFormat):
    """The plug-in object."""

    name: ClassVar[str] = "mmt-text"
    title: ClassVar[str] = "Text of valgrind-mmt before 2014, and of mmt_bin2dedma."
    suffixes: ClassVar[tuple[str, ...]] = (".mmt.txt",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("time", "addr", "pc", "cpu", "opcode"),
        *("UNKNOWN", "LOST", "IRQ", "DEVICE", "HEADER"),
    }
    begins: ClassVar[re.Pattern[bytes] | None] = re.compile(rb"--?(?:\d|$)")
    records: ClassVar[re.Pattern[bytes]] = re.compile(
        rb"^--\d{1,10}-- +(?:[rw] (?:\d{1,10}:)?0x[0-9a-fA-F]+, 0x|(?:got new|removed|changed) mmap )", re.MULTILINE
    )

    def sniff(self, head: bytes) -> Sniff:
        """Sure, too, when a record comes behind other lines of valgrind."""
        found = super().sniff(head)
        return Sniff.YES if found == Sniff.LIKELY and STAMP.match(head) else found

    def scan(self, lines: Lines, regions: Regions) -> list[tuple[Index, Taken]]:
        """Plain loads and stores by map and offset."""
        return scan(lines, regions)

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """Loads, stores, maps and marks; the rest of valgrind's lines are notes."""
        if not line.startswith(b"--"):
            return None
        access = _ACCESS.match(line)
        if access is not None:
            return _access(access, regions)
        mark = _MARK.match(line)
        if mark is not None:
            return Event(Kind.MARK, pid=_pid(mark[1]), extra={"text": mark[2]})
        for pattern, make in ((_NEW, _new), (_GONE, _gone), (_CHANGED, _changed)):
            match = pattern.match(line)
            if match is not None:
                return make(match)
        return "malformed record" if _RECORD.match(line) else None

    def whole(self, line: bytes) -> bool:
        """An access ends with a blank."""
        return _ACCESS.match(line) is not None and line.endswith(b" ")

    def render(self, event: Event) -> bytes | None:
        """As mmt_bin2dedma prints it; accesses of more than 4 bytes as the tool does, words highest first."""
        stamp = f"--{event.pid or 0:04d}-- " if not event.pid else f"--{event.pid}-- "
        extra = event.extra
        if event.kind <= Kind.WRITE:
            text = _render_access(event)
        elif event.kind == Kind.MARK and isinstance(extra.get("text"), bytes):
            return f"{stamp}MARK: ".encode() + extra["text"] if b"\n" not in extra["text"] else None
        elif event.kind in (Kind.MAP, Kind.UNMAP) and event.map is not None and extra.get("virt") is not None:
            text = _render_map(event)
        else:
            return None
        return None if text is None else (stamp + text).encode()


def _pid(digits: bytes) -> int | None:
    return None if digits == b"0000" else int(digits)


def _access(match: re.Match[bytes], regions: Regions) -> Event | str:
    words = [word[2:] for word in match[5].split(b",")]
    width = _WIDTHS.get(len(words[0])) if len(words) == 1 else 4 * len(words)
    if width not in (1, 2, 4, 8, 16, 32) or (len(words) > 1 and len(words[0]) != 8):
        return "a value of no known width"
    kind = Kind.READ if match[2] == b"r" else Kind.WRITE
    number = None if match[3] is None else int(match[3])
    region = VIRT if number is None else f"map{number}"
    regions.code(region, "virt" if number is None else "mem")
    offset, value = int(match[4], 16), int(b"".join(words), 16)
    return Event(kind, None, width, number, region=region, offset=offset, value=value, pid=_pid(match[1]))


def _new(match: re.Match[bytes]) -> Event:
    pid, start, length, offset, number, fd, *_ = (*match.groups(), None)
    extra = {"virt": int(start, 16), "length": int(length, 16), "file_offset": int(offset, 16)}
    if fd is not None:
        extra["fd"] = int(fd)
    return Event(Kind.MAP, map=int(number), pid=_pid(pid), extra=extra)


def _gone(match: re.Match[bytes]) -> Event:
    return _new(match)._replace(kind=Kind.UNMAP)


def _changed(match: re.Match[bytes]) -> Event:
    pid, old, old_length, start, length, offset, number = match.groups()
    extra = {"virt": int(start, 16), "length": int(length, 16), "file_offset": int(offset, 16)}
    extra |= {"old_virt": int(old, 16), "old_length": int(old_length, 16)}
    return Event(Kind.MAP, map=int(number), pid=_pid(pid), extra=extra)


def _render_access(event: Event) -> str | None:
    width, value, offset = event.width, event.value, event.offset
    if width not in (1, 2, 4, 8, 16, 32) or value is None or offset is None or value >> 8 * width:
        return None
    digits = f"{value:0{2 * width}x}"
    words = ",".join(f"0x{digits[at : at + 8]}" for at in range(0, len(digits), 8))
    letter = "r" if event.kind == Kind.READ else "w"
    if event.region == VIRT:
        return f"{letter} {offset:#x}, {words}"
    return None if event.map is None else f"{letter} {event.map}:0x{offset:04x}, {words} "


def _render_map(event: Event) -> str:
    extra = event.extra
    where = f"len: 0x{extra.get('length') or 0:08x}, offset: {extra.get('file_offset', event.addr) or 0:#x}"
    if event.kind == Kind.UNMAP:
        return f"removed mmap 0x0:0x0 for: {extra['virt']:#x}, {where}, serial: {event.map}"
    if "old_virt" in extra:
        return (
            f"changed mmap 0x0:0x0 from: (address: {extra['old_virt']:#x}, len: 0x{extra['old_length']:08x}), "
            f"to: (address: {extra['virt']:#x}, len: 0x{extra.get('length') or 0:08x}), "
            f"offset {extra.get('file_offset', 0):#x}, serial {event.map}"
        )
    fd = f", fd: {extra['fd']}" if "fd" in extra else ""
    return f"got new mmap at {extra['virt']:#x}, {where}, serial: {event.map}{fd}"


FORMAT = MmtText()
