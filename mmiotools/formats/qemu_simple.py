"""QEMU's binary traces, of its back end `simple`, version 4: reading. The layout is in formats/qemu-simple.md."""

from __future__ import annotations

import re

import numpy as np

from mmiotools.errors import FormatError, UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff, Writer, damaged
from mmiotools.formats.qemu_simple_columns import Records, batch_of
from mmiotools.formats.qemu_simple_layout import (
    DROPPED,
    EVENT,
    FILE_HEADER_SIZE,
    HEAD_SIZE,
    HEADER,
    LAYOUTS,
    LONGEST,
    LONGEST_NAME,
    MAGIC,
    MAPPING,
    STRUCTS,
    TYPE_SIZE,
    VERSION,
    byte_order,
    decode,
    version_of,
)
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import MAX_EVENTS, Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import BinaryIO, ClassVar, Iterator

#: Bytes of damage that one NOTE holds.
_PIECE = 1 << 16
#: Names that are remembered; no QEMU has a tenth of these events.
_MOST_NAMES = 1 << 17
#: Records that are looked at together behind damage; doubled as long as none comes.
_CAUTIOUS = 8
#: What `_resume` gives when more bytes are needed.
_MORE = -2


#: The versions that do not name their events, and the releases of QEMU that wrote them.
_NAMELESS = {0: "0.13 to 1.1", 2: "1.2 to 2.0", 3: "2.1 to 2.7"}


def _refusal(version: int) -> str:
    """Why a version is not read, and what to do."""
    if version not in _NAMELESS:
        return f" is not known; {VERSION} is the one that can be read"
    return (
        f", of QEMU {_NAMELESS[version]}, numbers events by that build's trace-events file and does not name them: "
        "print it with that QEMU's scripts/simpletrace.py, or record with QEMU 2.8 or later, or with its back end log"
    )


class QemuSimple:
    """The binary traces of QEMU's back end `simple`."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "qemu-simple"
    title: ClassVar[str] = "QEMU's binary traces (back end `simple`), version 4."
    suffixes: ClassVar[tuple[str, ...]] = (".simple", ".trace")
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {"map", "pc", "opcode", "raw", "UNKNOWN", "MAP", "UNMAP", "DEVICE"}
    binary: ClassVar[bool] = True
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = False

    def sniff(self, head: bytes) -> Sniff:
        """Sure by the first 16 bytes."""
        return Sniff.NO if byte_order(head) is None else Sniff.YES

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of at most 64 Ki records. Raises FormatError for other versions."""
        order = byte_order(source.head)
        if order is None:
            raise FormatError(f"{source.name}: is no binary trace of QEMU")
        try:
            version = version_of(source.head, order)
        except FormatError as error:
            raise FormatError(f"{source.name}: {error}") from error
        if version != VERSION:
            raise FormatError(f"{source.name}: version {version} of QEMU's binary traces{_refusal(version)}")
        return TraceHeader(self.name, "boot", 9), _Stream(source, order).batches()

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """There is none."""
        raise UsageError(f"format '{self.name}' can be read but not written")


class _Stream:
    """Where a stream is: `data[at:]` is not read yet, `base` is the place of `data[0]` in the input."""

    def __init__(self, source: ByteSource, order: str) -> None:
        self._source = source
        self._order = order
        self._structs = STRUCTS[order]
        self._begin = re.compile(re.escape(self._structs.word.pack(EVENT)))
        self._names: dict[int, str] = {}
        self._known: set[int] = {DROPPED}
        self._regions = Regions()
        self._data = b""
        self._at = 0
        self._base = 0
        self._ended = False
        self._lost_track = False
        self._room = MAX_EVENTS

    def batches(self) -> Iterator[Batch]:
        """Every record, in order. Memory: a chunk of the source and the longest record."""
        while not self._ended:
            chunk = self._source.read()
            self._ended = not chunk
            self._base += self._at
            self._data = self._data[self._at :] + chunk
            self._at = 0
            while self._at < len(self._data):
                before = self._at
                batch = self._batch()
                if len(batch):
                    yield batch
                if self._at == before:
                    break

    def _batch(self) -> Batch:
        """What comes next: up to where more bytes are needed, or the batch is full, or damage was met."""
        found: list[int] = []
        rows: list[tuple[int, int]] = []  # first row, number of records
        singles: list[tuple[int, Event]] = []
        n = 0
        room = self._room
        while n < room:
            if not self._lost_track:
                offsets = self._walk(room - n)
                if offsets:
                    rows.append((n, len(offsets)))
                    found += offsets
                    n += len(offsets)
                    if n >= room:
                        break
            at = self._at
            if at >= len(self._data):
                break
            if found and self._renames():
                break  # what was found is named by the old names
            for event in self._single():
                singles.append((n, event))
                n += 1
            if self._at == at:
                break
        self._room = min(2 * room, MAX_EVENTS)
        if not found:
            return Batch.from_events([event for _, event in singles], self._regions)
        records = Records(self._data, np.array(found, np.int64), self._names, self._order, self._base)
        at_rows = np.concatenate([np.arange(first, first + count) for first, count in rows])
        wrong = self._first_wrong(records)
        if wrong is not None:
            return self._up_to(records, wrong, at_rows, singles)
        return batch_of(records, at_rows, n, singles, self._regions)

    def _walk(self, room: int) -> list[int]:
        """Where records of known events begin, one behind the other, as far as they lie in the data."""
        data, known, unpack, at = self._data, self._known, self._structs.step.unpack_from, self._at
        last, end = len(data) - TYPE_SIZE - HEAD_SIZE, len(data)
        offsets: list[int] = []
        append = offsets.append
        while at <= last and len(offsets) < room:
            kind, number, length = unpack(data, at)
            if kind != EVENT or number not in known or not HEAD_SIZE <= length <= LONGEST:
                break
            following = at + TYPE_SIZE + length
            if following > end:
                break
            append(at)
            at = following
        self._at = at
        return offsets

    def _first_wrong(self, records: Records) -> int | None:
        """The first record that cannot be what its name says, if there is one."""
        for row in records.doubtful().tolist():
            if records.wrong(row):
                return int(row)
        return None

    def _up_to(self, records: Records, wrong: int, at_rows: np.ndarray, singles: list[tuple[int, Event]]) -> Batch:
        """The batch before a wrong record, and what that record is."""
        self._room = _CAUTIOUS
        self._lost_track = False  # what was met behind it is met again
        start = int(records.offsets[wrong])
        stop = start + TYPE_SIZE + HEAD_SIZE + int(records.sizes[wrong])
        n = int(at_rows[wrong])
        events = [(row, event) for row, event in singles if row < n]
        # Either its length is damaged, then whole records lie inside of it, or only its contents are.
        inside = self._resume(start + 1, stop)
        notes: list[Event] = []
        if inside == _MORE:
            self._at = start
        elif inside < 0:
            self._at = stop
            notes = [damaged("a malformed record", text=self._data[start:stop][:_PIECE], offset=self._base + start)]
        else:
            self._at = inside
            notes = self._damage(start, inside, "a record of an impossible length")
        events += [(n + place, note) for place, note in enumerate(notes)]
        if not wrong:
            return Batch.from_events([event for _, event in events], self._regions)
        before = Records(self._data, records.offsets[:wrong], self._names, self._order, self._base)
        return batch_of(before, at_rows[:wrong], n + len(notes), events, self._regions)

    def _renames(self) -> bool:
        """Whether the next record gives a known event another name, or begins a file."""
        if len(self._data) - self._at < 2 * TYPE_SIZE:
            return False
        kind, number = (self._structs.word.unpack_from(self._data, self._at + at)[0] for at in (0, TYPE_SIZE))
        return kind == HEADER or (kind == MAPPING and number in self._known)

    def _single(self) -> list[Event]:
        """Take what is no record of a known event, or the damage there. Takes nothing when more bytes are needed."""
        data, at = self._data, self._at
        if not self._lost_track:
            end, events = self._other()
            if end > at:
                self._at = end
                return events
            if end < 0 and not self._ended:
                return []
            if end < 0 and self._resume(at + 1, len(data)) < 0:
                self._at = len(data)
                return self._damage(at, len(data), "the last record is cut off")
        start = at if self._lost_track else at + 1
        end = self._resume(start, len(data))
        reason = "bytes that are no record"
        if end >= 0:
            self._at = end
            events = self._damage(at, end, reason)
            self._lost_track = False
            self._room = _CAUTIOUS
            return events
        # A record may begin in the last bytes that are there and go on behind them.
        stop = len(data) if self._ended else max(at, len(data) - LONGEST - TYPE_SIZE)
        self._at = stop
        events = self._damage(at, stop, reason) if stop > at else []
        self._lost_track = self._lost_track or stop > at
        return events

    def _other(self) -> tuple[int, list[Event]]:
        """A name, a file header or a record of an unnamed event at the place: where it ends (-1 when more bytes are
        needed, the place itself when it is none of these) and its events.
        """
        data, at = self._data, self._at
        structs = self._structs
        if len(data) - at < TYPE_SIZE:
            return -1, []
        (kind,) = structs.word.unpack_from(data, at)
        if kind == HEADER:
            if len(data) - at < FILE_HEADER_SIZE:
                return -1, []
            magic, version = (structs.word.unpack_from(data, at + place)[0] for place in (8, 16))
            if magic != MAGIC or version != VERSION:
                return at, []
            self._names, self._known = {}, {DROPPED}
            return at + FILE_HEADER_SIZE, [Event(Kind.HEADER, extra={"format": "qemu-simple", "version": str(version)})]
        if kind == MAPPING:
            if len(data) - at < TYPE_SIZE + 12:
                return -1, []
            (number,) = structs.word.unpack_from(data, at + TYPE_SIZE)
            (length,) = structs.short.unpack_from(data, at + TYPE_SIZE + 8)
            end = at + TYPE_SIZE + 12 + length
            if not 0 < length <= LONGEST_NAME or number >= DROPPED or len(self._names) >= _MOST_NAMES:
                return at, []
            if end > len(data):
                return -1, []
            self._names = {**self._names, number: ""} if number in self._names else self._names
            self._names[number] = data[end - length : end].decode("utf-8", "backslashreplace")
            self._known.add(number)
            return end, []
        if kind != EVENT:
            return at, []
        if len(data) - at < TYPE_SIZE + HEAD_SIZE:
            return -1, []
        _, number, length = structs.step.unpack_from(data, at)
        end = at + TYPE_SIZE + length
        if not HEAD_SIZE <= length <= LONGEST:
            return at, []
        if end > len(data) or (not self._ended and len(data) - end < TYPE_SIZE):
            return -1, []
        if number in self._known or not self._may_begin(end):
            return at, []
        text = data[at:end][:_PIECE]
        return end, [damaged(f"event {number} has no name in this file", text=text, offset=self._base + at)]

    def _may_begin(self, at: int) -> bool:
        """Whether a record may begin at a place, or the data end there."""
        if len(self._data) - at < TYPE_SIZE:
            return True
        (kind,) = self._structs.word.unpack_from(self._data, at)
        return kind in (MAPPING, EVENT, HEADER)

    def _resume(self, start: int, stop: int) -> int:
        """The first place from start on, before stop, where a whole record of a known event seems to begin; -1 if there
        is none, _MORE if that cannot be told before more bytes come.
        """
        data, structs = self._data, self._structs
        for match in self._begin.finditer(data, start, stop):
            at = match.start()
            if len(data) - at < TYPE_SIZE + HEAD_SIZE:
                return -1 if self._ended else _MORE
            number, time, length, _ = structs.head.unpack_from(data, at + TYPE_SIZE)
            end = at + TYPE_SIZE + length
            if number not in self._known or time >> 63 or not HEAD_SIZE <= length <= LONGEST:
                continue
            if not self._ended and len(data) - end < TYPE_SIZE:
                return _MORE
            if end > len(data):
                continue
            name = self._names.get(number, "")
            payload = data[at + TYPE_SIZE + HEAD_SIZE : end]
            if name in LAYOUTS and decode(name, payload, self._order) is None:
                continue
            if self._may_begin(end):
                return at
        return -1

    def _damage(self, start: int, stop: int, reason: str) -> list[Event]:
        """Notes for bytes that cannot be read, in pieces; the first stands for the records that they once were."""
        lost = 0 if self._lost_track else 1
        notes = []
        for at in range(start, stop, _PIECE):
            text = self._data[at : min(at + _PIECE, stop)]
            notes.append(damaged(reason, text=text, events=lost if at == start else 0, offset=self._base + at))
        return notes


FORMAT = QemuSimple()
