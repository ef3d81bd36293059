"""JSON of PCILeechGen: traces of one BAR, and descriptions of devices. The layout is in formats/pcileech.md."""

from __future__ import annotations

import json
import re

from mmiotools.errors import FormatError, UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import Sniff, Writer, damaged
from mmiotools.formats.json_objects import BEHIND, Piece, pieces
from mmiotools.formats.pcileech_device import describe
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import MAX_EVENTS, Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import Any, BinaryIO, ClassVar, Iterator

_RECORDS = re.compile(rb'"[Rr]ecords"\s*:\s*\[')
_TRACE = re.compile(rb'"(?:bar_index|BARIndex)"\s*:')
_DEVICE = re.compile(rb'"(?:config_space_hex|tool_version)"\s*:')
_BDF = re.compile(r"(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])\Z")
#: What may stand behind the records.
_TAIL = re.compile(rb'(?:\s*,\s*"\w{1,99}"\s*:\s*(?:"(?:[^"\\]|\\.)*+"|[\w.+-]{1,99}))*+([\s}]*+)$')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')
#: What stands before the records is no longer, nor is a description of a device.
_MAX_HEAD, _MAX_DEVICE = 1 << 16, 1 << 22
_VERSION = 1
_WORDS = {"read": Kind.READ, "write": Kind.WRITE, 0: Kind.READ, 1: Kind.WRITE}
_MASK = (1 << 64) - 1


class PciLeech:
    """The plug-in object."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "pcileech"
    title: ClassVar[str] = "JSON of PCILeechGen: a BAR's trace, or a device's description."
    suffixes: ClassVar[tuple[str, ...]] = (".pcileech.json",)
    keeps: ClassVar[frozenset[str]] = frozenset(
        {*("time", "width", "addr", "region", "offset", "value"), *("READ", "WRITE", "DEVICE", "HEADER", "NOTE")}
    )
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = False

    def sniff(self, head: bytes) -> Sniff:
        """By the keys that every trace and every description has."""
        if not head.lstrip().startswith(b"{"):
            return Sniff.NO
        if (_RECORDS.search(head) and _TRACE.search(head)) or (_DEVICE.search(head) and b'"device"' in head):
            return Sniff.YES
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Raises FormatError for another version of the schema, and for a description that is too large."""
        header = TraceHeader(self.name, "start", 9)
        start = _RECORDS.search(source.head)
        if start is None:
            return header, iter([Batch.from_events([_description(source)])])
        fields = _fields(source.head[: start.end()] + b"]")
        version = fields.get("schema_version", _VERSION)
        if version != _VERSION:
            raise FormatError(f"{source.name}: schema {version!r} of PCILeechGen's traces; only {_VERSION} is known")
        return header, _Trace(fields, source.head[: start.end()]).batches(source)

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """Raises UsageError: PCILeechGen reads mmiotrace text."""
        raise UsageError(f"format '{self.name}' can be read but not written; PCILeechGen takes mmiotrace")


def _description(source: ByteSource) -> Event:
    parts, size = [], 0
    for chunk in source.chunks():
        parts.append(chunk)
        size += len(chunk)
        if size > _MAX_DEVICE:
            raise FormatError(f"{source.name}: a device's description of more than {_MAX_DEVICE} bytes")
    data = b"".join(parts)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return damaged("no JSON, or cut off", text=data[: 1 << 16], offset=0)
    event = describe(found) if isinstance(found, dict) else None
    return event or damaged("no description of a device", text=data[: 1 << 16], offset=0)


def _fields(before: bytes) -> dict[str, Any]:
    """The keys before the records, also where those are broken: each alone."""
    fields: dict[str, Any] = {}
    for match in re.finditer(rb'"(\w{1,40})"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d{1,20})', before):
        try:
            fields.setdefault(_snake(match[1].decode()), json.loads(match[2]))
        except ValueError:
            continue
    return fields


def _snake(key: str) -> str:
    """`BARIndex` of the older layout as `bar_index`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=BAR)(?=[A-Z])", "_", key).lower()


class _Trace:
    """The records of one trace."""

    def __init__(self, fields: dict[str, Any], before: bytes) -> None:
        self._fields = fields
        self._start = len(before)
        bare = _STRING.sub(b"", before)
        self._depth = bare.count(b"{") - bare.count(b"}")
        self._regions = Regions()
        self._base = _natural(fields.get("bar_base"))
        match = _BDF.match(str(fields.get("bdf", "")))
        self._bdf = None if match is None else int(match[2], 16) << 8 | int(match[3], 16) << 3 | int(match[4])
        self._domain = 0 if match is None else int(match[1] or "0", 16)
        name = f"BAR{_natural(fields.get('bar_index')) or 0}"
        self._region = name if match is None else f"{match[2]}:{match[3]}.{match[4]}/{name}"

    def batches(self, source: ByteSource) -> Iterator[Batch]:
        """HEADER and DEVICE, then an event a record."""
        events = list(self._first())
        closing, end = 0, 0
        for piece in pieces(source.chunks(), self._start):
            end = piece.offset + len(piece.text)
            if piece.broken == BEHIND and piece.begins and (tail := _TAIL.match(piece.text)):
                closing = tail[1].count(b"}")
                continue
            if piece.broken is not None:
                closing = self._depth  # what is told need not be told again
            events.append(self._event(piece))
            if len(events) == MAX_EVENTS:
                yield Batch.from_events(events, self._regions)
                events = []
        if closing < self._depth:
            events.append(damaged("the end of the trace is cut off", events=0, offset=end))
        if events:
            yield Batch.from_events(events, self._regions)

    def _first(self) -> Iterator[Event]:
        fields = self._fields
        known = ("started_at", "start_time", "duration_ns", "duration")
        meta = {name: fields[name] for name in known if name in fields}
        version = {"version": str(fields["schema_version"])} if "schema_version" in fields else {}
        yield Event(Kind.HEADER, extra={"format": "pcileech", **version, "meta": meta})
        number = _natural(fields.get("bar_index"))
        if self._bdf is None or number is None:
            return
        bar = {"number": number, "addr": self._base or 0, "size": _natural(fields.get("bar_size")) or 0, "flags": 0}
        domain = {"domain": self._domain} if self._domain else {}
        yield Event(Kind.DEVICE, extra={"bdf": self._bdf & 0xFFFF, "bars": [bar], **domain})

    def _event(self, piece: Piece) -> Event:
        lost = max(1, len(re.findall(rb'"(?:operation|Type)"', piece.text)))
        if piece.broken is not None:
            lost = lost if piece.begins and piece.broken != BEHIND else 0
            return damaged(piece.broken, text=piece.text, events=lost, offset=piece.offset)
        try:
            found = json.loads(piece.text)
            event = self._access({_snake(key): item for key, item in found.items()})
        except (ValueError, RecursionError):
            event = None
        if event is None:
            return damaged("no record of an access", text=piece.text, events=lost, offset=piece.offset)
        return event

    def _access(self, record: dict[str, Any]) -> Event | None:
        word = record.get("operation", record.get("type"))
        kind = _WORDS.get(word) if type(word) in (str, int) else None
        value, offset = _natural(record.get("value")), _natural(record.get("offset"))
        time, width, addr = record.get("timestamp_ns", record.get("timestamp")), record.get("width", 4), None
        if kind is None or value is None or offset is None:
            return None
        if type(width) is not int or not 0 <= width <= 255 or (time is not None and type(time) is not int):
            return None
        if time is not None and time.bit_length() > 63:
            return None
        if "address" in record:
            addr = _natural(record["address"])
        elif self._base:
            addr = self._base + offset & _MASK
        if addr is None:
            return Event(kind, time, width, region=self._region, offset=offset, value=value)
        extra = {} if not self._base or addr == self._base + offset else {"bar_offset": offset}
        return Event(kind, time, width, addr=addr, value=value, extra=extra)


def _natural(number: object) -> int | None:
    """An integer of 64 bits that is not negative, else None."""
    return number if type(number) is int and 0 <= number <= _MASK else None


FORMAT = PciLeech()
