"""The records of valgrind-mmt's binary log: little-endian, packed, each ended by a line feed."""

from __future__ import annotations

import re
import struct

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.typed import Any, Callable, Mapping, NamedTuple

END = 0x0A
#: No string or dump in a record is longer: that is as much as the decoder of envytools takes.
MAX_BUFFER = 1 << 16
LONGEST = 2 * MAX_BUFFER + 64
WIDTHS = (4, 8, 1, 2, 16, 32)


def _access(width: int, where: list[tuple[str, str]]) -> np.dtype[Any]:
    value: list[Any] = [("value", f"<u{min(width, 8)}")]
    if width > 8:
        value.append(("upper", "<u8", (width // 8 - 1,)))
    return np.dtype([("type", "u1"), *where, ("width", "u1"), *value, ("end", "u1")])


#: Accesses by map and offset (r, w), then those by virtual address (R, W), each in the order of WIDTHS.
SHAPES = tuple(_access(width, [("map", "<u4"), ("offset", "<u4")]) for width in WIDTHS) + tuple(
    _access(width, [("offset", "<u8")]) for width in WIDTHS
)
RUNS = re.compile(
    b"|".join(
        rb"((?:[%s].{8}\x%02x.{%d}\n)++)" % (letters, width, width) for letters in (b"rw", b"RW") for width in WIDTHS
    )
    + b"|",
    re.DOTALL,
)
TEXT = re.compile(rb"[=-][^\n]{0,%d}\n" % MAX_BUFFER)
#: What valgrind begins its own lines with.
STAMP = re.compile(rb"(?:==|--)\d+(?:==|--)")
BEGIN = re.compile(rb"[rwRW]|[MmueodtijySsxn]|[=-](?:(?<==)=|(?<=-)-)\d")


class Layout(NamedTuple):
    """A record's fields behind its type byte: numbers, then `buffers` times a length and so many bytes."""

    numbers: struct.Struct
    buffers: int
    say: Callable[..., str] | None = None


def _layout(numbers: str, buffers: int = 0, say: Callable[..., str] | None = None) -> Layout:
    return Layout(struct.Struct("<" + numbers), buffers, say)


def _string(text: bytes) -> str:
    return text.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _dump(data: bytes) -> str:
    shown = data[:64].hex(" ", -4)
    return f"{len(data)} bytes" + (f": {shown}" if data else "") + (" ..." if len(data) > 64 else "")


def _nvidia(what: str) -> Callable[..., str]:
    def say(*fields: int | bytes) -> str:
        told = [_dump(item) if isinstance(item, bytes) else f"{item:#x}" for item in fields]
        return ", ".join([f"nvidia {what}", *told])

    return say


#: Type bytes → layout, of all records but accesses and text. Those without words become maps or marks.
LAYOUTS: dict[bytes, Layout] = {
    b"M": _layout("QIIIIQQ"),
    b"m": _layout("QIQQ"),
    b"u": _layout("QIQQQQ"),
    b"e": _layout("QIQQQQQQ"),
    b"o": _layout("III", 1, lambda flags, mode, fd, path: f"open {_string(path)} {flags:#x} mode {mode:#o} = {fd}"),
    b"d": _layout("II", 0, lambda old, new: f"dup {old} = {new}"),
    b"t": _layout("I", 1, lambda fd, data: f"write fd {fd}: {data.rstrip().decode('utf-8', 'backslashreplace')}"),
    b"i": _layout("II", 1, lambda fd, number, data: f"ioctl fd {fd} {number:#x}, {_dump(data)}"),
    b"j": _layout(
        "IIQQ", 1, lambda fd, number, ret, err, data: f"ioctl fd {fd} {number:#x} = {ret:#x} error {err}, {_dump(data)}"
    ),
    b"y": _layout("Q", 1, lambda address, data: f"memory at {address:#x}, {_dump(data)}"),
    b"S": _layout("I", 0, lambda number: f"sync {number:#x}"),
    b"s": _layout("", 1, lambda where: f"the next read is {_string(where)}"),
    b"x": _layout("", 1, lambda where: f"the next write is {_string(where)}"),
    b"nc": _layout("III", 1, _nvidia("create object")),
    b"nd": _layout("II", 0, _nvidia("destroy object")),
    b"ni": _layout("II", 1, _nvidia("ioctl before")),
    b"nj": _layout("II", 1, _nvidia("ioctl after")),
    b"no": _layout("Q", 2, _nvidia("memory")),
    b"nl": _layout("II", 0, _nvidia("call method")),
    b"np": _layout("IIIQ", 0, _nvidia("p")),
    b"nt": _layout("III", 0, _nvidia("t")),
    b"na": _layout("IIQ", 0, _nvidia("a")),
    b"ng": _layout("IIIII", 0, _nvidia("gpu map")),
    b"nG": _layout("IIIQI", 0, _nvidia("gpu map")),
    b"nh": _layout("IIII", 0, _nvidia("gpu unmap")),
    b"nH": _layout("IIIQ", 0, _nvidia("gpu unmap")),
    b"nm": _layout("QIQQQQ"),
    b"nM": _layout("QIIIIQQQQ"),
    b"nb": _layout("II", 0, _nvidia("b")),
    b"ne": _layout("IIQ", 0, _nvidia("e")),
    b"nr": _layout("IIQ", 0, _nvidia("r")),
    b"nv": _layout("I", 0, _nvidia("v")),
    b"nx": _layout("I", 0, _nvidia("x")),
    b"n1": _layout("IQ", 1, _nvidia("call data")),
    b"n4": _layout("", 1, lambda text: f"nvidia ioctl 4d {_string(text)}"),
    b"nk": _layout("", 1),
    b"nP": _layout("", 1, _nvidia("pushbuffer")),
}
_LENGTH = struct.Struct("<I")


class Record(NamedTuple):
    """A record that is no access: where it ends, its type bytes and its fields; no fields when it ends too early."""

    end: int
    type: bytes
    fields: tuple[Any, ...] | None


def parse(data: bytes, at: int) -> Record | None:
    """The record at a place; None where there is none."""
    kind = data[at : at + 1]
    if kind == b"n":
        kind = data[at : at + 2]
        if len(kind) < 2:
            return Record(len(data) + 1, kind, None)
    layout = LAYOUTS.get(kind)
    if layout is None:
        return None
    start = at + len(kind)
    end = start + layout.numbers.size
    if end > len(data):
        return Record(end, kind, None)
    fields: tuple[Any, ...] = layout.numbers.unpack_from(data, start)
    for _ in range(layout.buffers):
        if end + 4 > len(data):
            return Record(end + 4, kind, None)
        size = _LENGTH.unpack_from(data, end)[0]
        if size > MAX_BUFFER:
            return None
        fields += (data[end + 4 : end + 4 + size],)
        end += 4 + size
    if end >= len(data):
        return Record(end + 1, kind, None)
    return Record(end + 1, kind, fields) if data[end] == END else None


def event(record: Record, raw: bytes) -> Event:
    """The event of a whole record. What cannot be made again from it keeps the record in `raw`."""
    assert record.fields is not None
    fields = record.fields
    layout = LAYOUTS[record.type]
    if layout.say is not None:
        text = layout.say(*fields).replace("\n", "\\n").encode()
        return Event(Kind.NOTE, extra={"text": text, "raw": raw})
    extra: dict[str, Any]
    if record.type == b"nk":
        mark: bytes = fields[0]
        extra = {"text": mark.removesuffix(b"\0")}
        return Event(Kind.MARK, extra=extra if mark.endswith(b"\0") else {**extra, "raw": raw})
    if record.type in (b"M", b"nM"):
        offset, prot, flags, fd, number, start, length, *_ = fields
        extra = {"virt": start, "length": length, "file_offset": offset}
        extra |= {"prot": prot, "flags": flags, "fd": _signed(fd)}
        found = Event(Kind.MAP, map=number, extra=extra)
    elif record.type == b"e":
        offset, number, old_start, old_length, _, _, start, length = fields
        extra = {"virt": start, "length": length, "file_offset": offset}
        extra |= {"old_virt": old_start, "old_length": old_length}
        found = Event(Kind.MAP, map=number, extra=extra)
    else:
        offset, number, start, length, *_ = fields
        extra = {"virt": start, "length": length, "file_offset": offset}
        found = Event(Kind.UNMAP if record.type == b"u" else Kind.MAP, map=number, extra=extra)
    if pack(found.kind, found.map, extra) != raw:
        extra["raw"] = raw
    return found


def pack(kind: Kind, number: int | None, extra: Mapping[str, Any]) -> bytes | None:
    """The canonical record of a MAP, UNMAP or MARK; None when it lacks what the record needs, or it has no room."""
    if kind == Kind.MARK:
        text = extra.get("text")
        if not isinstance(text, bytes) or len(text) >= MAX_BUFFER:
            return None
        return b"nk" + _LENGTH.pack(len(text) + 1) + text + b"\0\n"
    start, length, offset = (extra.get(name, default) for name, default in (("virt", None), ("length", 0), (_FILE, 0)))
    try:
        if kind == Kind.UNMAP:
            return b"u" + LAYOUTS[b"u"].numbers.pack(offset, number, start or 0, length or 0, 0, 0) + b"\n"
        if "old_virt" in extra:
            old = extra["old_virt"], extra["old_length"]
            return b"e" + LAYOUTS[b"e"].numbers.pack(offset, number, *old, 0, 0, start, length) + b"\n"
        flags = extra.get("prot", 0), extra.get("flags", 0), extra.get("fd", -1) & 0xFFFFFFFF
        return b"M" + LAYOUTS[b"M"].numbers.pack(offset, *flags, number, start, length) + b"\n"
    except (struct.error, TypeError, KeyError):
        return None


_FILE = "file_offset"


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
