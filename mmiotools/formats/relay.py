"""The binary stream of the out-of-tree mmio-trace (relayfs, version 4). The layout is in formats/relay.md."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff, own_spelling
from mmiotools.formats.line_columns import Place, Store
from mmiotools.formats.records import MORE, Bulk, assemble, batches
from mmiotools.formats.relay_layout import (
    ACCESS,
    HEAD,
    LENGTHS,
    LONGEST,
    MAGIC,
    MAP,
    MARK,
    PROBE,
    SUBBUFFER,
    UNKNOWN,
    UNMAP,
    VERSION,
    WHOLE_SECOND,
    pack,
    seems,
)
from mmiotools.formats.relay_probes import Probes
from mmiotools.formats.source import ByteSource
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Batch, BoolArray, Regions, columnise
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import Any, BinaryIO, ClassVar, Iterator, NDArray, Sequence

#: The region of accesses that no live probe covers: offsets in it are virtual addresses.
VIRT = "virt"
#: What the compiler left between a header and its payload, where that is not 0: a column of its own.
PADDING = "padding"

_KINDS = np.array([0, Kind.READ, Kind.WRITE, 0, 0, 0, Kind.UNKNOWN], np.uint8)
_OPCODES = {Kind.READ: 1, Kind.WRITE: 2, Kind.UNKNOWN: UNKNOWN}
_THREE_BYTES = np.uint64(3 << 56)
_BEGIN = re.compile(rb"[\x01-\x06].\x04o", re.DOTALL)
_ZEROS = re.compile(rb"\0*")


class Relay:
    """The plug-in object."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "relay"
    title: ClassVar[str] = "Binary stream of the out-of-tree mmio-trace of 2008 (relayfs, version 4)."
    suffixes: ClassVar[tuple[str, ...]] = (".relay",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {"cpu", "LOST", "IRQ", "DEVICE", "HEADER", "NOTE"}
    binary: ClassVar[bool] = True
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """By the first record's type word and length, and the type word of the second; of another version, likely."""
        if seems(head, 0) and (len(head) <= LONGEST or _next_is_right(head)):
            return Sniff.YES
        if len(head) >= HEAD.itemsize and head[3] == MAGIC and 1 <= head[0] <= UNKNOWN and head[1] <= 16:
            length = int.from_bytes(head[16:18], "little")
            return Sniff.LIKELY if length == LENGTHS.get(head[0], length) else Sniff.NO
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Raises FormatError for another version of the stream."""
        head = source.head
        if head[3:4] == bytes([MAGIC]) and head[2] != VERSION and _BEGIN.search(head) is None:
            raise FormatError(f"{source.name}: version {head[2]} of mmio-trace's binary stream; only 4 is known")
        return TraceHeader(self.name, "wall", 9), batches(source, _Records())

    def writer(self, out: BinaryIO, header: TraceHeader) -> RelayWriter:
        """Records onto `out`."""
        return RelayWriter(out, own_spelling(header, self.name))


def _next_is_right(head: bytes) -> bool:
    end = HEAD.itemsize + int.from_bytes(head[16:18], "little")
    return seems(head, end) or not any(head[end : end + 4])


class _Records:
    """Records → events; see `records.Dialect`. Probes live from batch to batch."""

    runs = re.compile(rb"((?:[\x01\x02\x06].\x04o.{12}\x18\0.{26})++)|", re.DOTALL)
    shapes: Sequence[np.dtype[Any]] = (ACCESS,)
    longest = LONGEST

    def __init__(self) -> None:
        self._regions = Regions()
        self._probes = Probes()

    def record(self, data: bytes, at: int, offset: int) -> tuple[int, Event | None]:
        """A PROBE, UNPROBE or MARKER; or zeros up to the end of a sub-buffer."""
        if data[at] == 0:
            return self._zeros(data, at, offset)
        if len(data) - at < HEAD.itemsize:
            return (MORE if _BEGIN.match(data, at) or len(data) - at < 4 else at), None
        if not seems(data, at):
            return at, None
        head = np.frombuffer(data, HEAD, 1, at)[0]
        end = at + HEAD.itemsize + int(head["length"])
        if end > len(data):
            return MORE, None
        opcode = data[at]
        if opcode == MARK and not self._followed(data, end) and self.resume(data, at + 1) > 0:
            ahead = end + -(offset + end - at) % SUBBUFFER
            if not seems(data, ahead):
                return at, None  # the length is wrong: whole records would be its text
        extra: dict[str, Any] = {}
        if data[at + 1] or head["nsec"] >= WHOLE_SECOND or head["padding"]:
            extra["raw"] = data[at:end]
        time, pid = int(head["sec"]) * WHOLE_SECOND + int(head["nsec"]), int(head["pid"])
        if opcode == MARK:
            return end, Event(Kind.MARK, time, pid=pid, extra={"text": data[at + HEAD.itemsize : end], **extra})
        phys, virt, length, pc = (int(number) for number in np.frombuffer(data, PROBE, 1, at + HEAD.itemsize)[0])
        if opcode == MAP:
            return end, Event(
                Kind.MAP, time, addr=phys, pc=pc, pid=pid, extra={"virt": virt, "length": length, **extra}
            )
        if phys or length:
            extra["raw"] = data[at:end]
        return end, Event(Kind.UNMAP, time, pc=pc, pid=pid, extra={"virt": virt, **extra})

    def _zeros(self, data: bytes, at: int, offset: int) -> tuple[int, Event | None]:
        match = _ZEROS.match(data, at)
        assert match is not None
        wanted = SUBBUFFER - offset % SUBBUFFER
        if match.end() - at >= wanted:
            return at + wanted, Event(Kind.NOTE, extra={"text": b"end of a sub-buffer", PADDING: wanted})
        return (MORE if match.end() == len(data) else at), None

    def _followed(self, data: bytes, end: int) -> bool:
        return end + 4 > len(data) or _BEGIN.match(data, end) is not None or not any(data[end : end + 4])

    def resume(self, data: bytes, at: int) -> int:
        """Where a whole record stands, with another or nothing behind it."""
        for match in _BEGIN.finditer(data, at):
            start = match.start()
            end = start + HEAD.itemsize + int.from_bytes(data[start + 16 : start + 18], "little")
            if seems(data, start) and end <= len(data) and self._followed(data, end):
                return start
        return -1

    def gap(self, text: bytes, offset: int, data: bytes, end: int) -> Event | None:
        """What an earlier lap left at the end of a sub-buffer where the next record had no room."""
        room = HEAD.itemsize + int.from_bytes(data[end + 16 : end + 18], "little")
        if (offset + len(text)) % SUBBUFFER == 0 and end < len(data) and len(text) < room:
            return Event(Kind.NOTE, extra={"text": b"end of a sub-buffer", "raw": text})
        return None

    def lost(self, text: bytes) -> int:
        """By the size of the commonest record."""
        return max(1, len(text) // ACCESS.itemsize)

    def batch(self, n: int, bulks: list[Bulk], rows: NDArray[np.int64], events: list[Event]) -> Batch:
        """Fields of accesses on columns, their virtual addresses looked up among the probes alive at that place."""
        kind = np.full(n, Kind.NOTE, np.uint8)
        store = Store(n)
        extras: dict[int, dict[str, Any]] = {}
        at = bulks[0].rows if bulks else np.zeros(0, np.int64)
        fields = bulks[0].fields if bulks else np.zeros(0, ACCESS)
        virt = fields["virt"]
        addr, maps = np.zeros(len(at), np.uint64), np.zeros(len(at), np.int64)
        done = 0
        for index, row in enumerate(rows.tolist()):
            if events[index].kind in (Kind.MAP, Kind.UNMAP):
                until = int(np.searchsorted(at, row))
                addr[done:until], maps[done:until] = self._probes.look_up(virt[done:until])
                done = until
                events[index] = self._probes.change(events[index])
        addr[done:], maps[done:] = self._probes.look_up(virt[done:])
        self._accesses(kind, store, extras, Bulk(0, fields, at), addr, maps)
        if events:
            singles = columnise(events, self._regions)
            kind[rows] = singles.kind
            for name, column in singles.columns.items():
                present = slice(None) if column.present is None else column.present
                store.put(name, Place(rows[present]), column.data[present])
            extras.update((int(rows[row]), extra) for row, extra in singles.extras.items())
        return Batch(kind, store.columns(), extras, self._regions)

    def _accesses(
        self,
        kind: NDArray[np.uint8],
        store: Store,
        extras: dict[int, dict[str, Any]],
        bulk: Bulk,
        addr: NDArray[np.uint64],
        maps: NDArray[np.int64],
    ) -> None:
        fields, rows = bulk.fields, bulk.rows
        place = Place(rows)
        words, nsec, value = fields["type"], fields["nsec"], fields["value"]
        place.into(kind, _KINDS[words & 7])
        store.put("time", place, fields["sec"].astype(np.int64) * WHOLE_SECOND + nsec)
        store.put("pid", place, fields["pid"].astype(np.int64))
        store.put("pc", place, fields["pc"])
        width = (words >> 8 & 0xFF).astype(np.uint8)
        unknown = words & 7 == UNKNOWN
        odd = nsec >= WHOLE_SECOND
        if unknown.any():
            for name, values in (("width", width), ("value", value)):
                store.put(name, Place(rows[~unknown]), values[~unknown])
            store.put("opcode", Place(rows[unknown]), value[unknown] & np.uint64(0xFFFFFF) | _THREE_BYTES)
            odd |= unknown & ((width != 0) | (value >> np.uint64(24) != 0))
        else:
            store.put("width", place, width)
            store.put("value", place, value)
        outside = maps == 0
        if outside.any():
            store.put("addr", Place(rows[~outside]), addr[~outside])
            store.put("map", Place(rows[~outside]), maps[~outside])
            code = self._regions.code(VIRT, "virt")
            store.put("region", Place(rows[outside]), np.full(int(outside.sum()), code, np.uint32))
            store.put("offset", Place(rows[outside]), fields["virt"][outside])
        else:
            store.put("addr", place, addr)
            store.put("map", place, maps)
        padded = fields["padding"] != 0
        store.put(PADDING, Place(rows[padded]), fields["padding"][padded])
        for at in flatnonzero(odd).tolist():
            extras[int(rows[at])] = {"raw": fields[at].tobytes()}


class RelayWriter:
    """Writes batches as records; virtual addresses come from the maps that accesses name."""

    def __init__(self, out: BinaryIO, own: bool) -> None:
        self.lost: Counter[str] = Counter()
        self._out = out
        self._own = own
        self._maps = AddressMap()
        self._virt: dict[int, int | None] = {}

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        if not len(batch):
            return
        singles: dict[int, bytes] = {}
        virt, known = self._virtual(batch)
        unmapped = self._unmapped(batch)
        accesses = batch.accesses
        good = accesses & known
        value = batch.present("value") & batch.present("width")
        unknown = batch.kind == Kind.UNKNOWN
        three = batch.present("opcode") & (batch.data("opcode") >> np.uint64(56) == 3)
        good &= np.where(unknown, three, value)
        for row, extra in batch.extras.items():
            raw = extra.get("raw")
            if self._own and isinstance(raw, bytes):
                singles[row] = raw
                good[row] = False
            elif "value" in extra:
                good[row] = False
        for row in flatnonzero(~good).tolist():
            if row not in singles:
                record = self._single(batch, row, bool(known[row]), unmapped)
                if record is not None:
                    singles[row] = record
        rows = flatnonzero(good)
        self._out.write(assemble(len(batch), [Bulk(0, self._fields(batch, rows, virt), rows)], singles))

    def close(self) -> None:
        """Nothing is held back."""

    def _unmapped(self, batch: Batch) -> dict[int, int | None]:
        """Where the maps began that the UNMAP events of a batch end, by row."""
        found = {}
        for row in batch.rows(Kind.MAP, Kind.UNMAP).tolist():
            number = int(batch.data("map")[row])
            if batch.kind[row] == Kind.MAP:
                self._virt[number] = batch.extras.get(row, {}).get("virt")
            else:
                found[row] = self._virt.pop(number, None)
        return found

    def _virtual(self, batch: Batch) -> tuple[NDArray[np.uint64], BoolArray]:
        """The virtual address of each access, and which have one."""
        addr, maps = batch.data("addr"), batch.data("map")
        virt, known = np.zeros(len(batch), np.uint64), np.zeros(len(batch), np.bool_)
        has = batch.present("addr") & batch.present("map")
        for start, stop in self._maps.spans(batch):
            part = slice(start, stop)
            for number in distinct(maps[part][has[part]]).tolist():
                live = self._maps.maps.get(number)
                if live is not None and live.virt is not None and not live.virt >> 64:
                    chosen = has[part] & (maps[part] == number)
                    virt[part][chosen] = addr[part][chosen] + np.uint64((live.virt - live.phys) % (1 << 64))
                    known[part] |= chosen
        if "region" in batch.columns and VIRT in batch.regions.names:
            code = batch.regions.names.index(VIRT)
            here = batch.present("region") & (batch.data("region") == code)
            virt[here] = batch.data("offset")[here]
            known |= here
        return virt, known

    def _fields(self, batch: Batch, rows: NDArray[np.intp], virt: NDArray[np.uint64]) -> NDArray[Any]:
        fields = np.zeros(len(rows), ACCESS)
        kinds = batch.kind[rows]
        unknown = kinds == Kind.UNKNOWN
        words = np.array([_OPCODES[Kind(kind)] for kind in range(3)], np.uint32)[kinds]
        width = np.where(unknown, 0, batch.data("width")[rows]).astype(np.uint32)
        fields["type"] = words | width << np.uint32(8) | np.uint32(MAGIC << 24 | VERSION << 16)
        fields["sec"], fields["nsec"] = np.divmod(batch.data("time")[rows], WHOLE_SECOND)
        fields["pid"] = batch.data("pid")[rows]
        fields["length"] = 24
        fields["padding"] = batch.data(PADDING)[rows]
        fields["virt"] = virt[rows]
        opcode = batch.data("opcode")[rows] & np.uint64(0xFFFFFF)
        fields["value"] = np.where(unknown, opcode, batch.data("value")[rows])
        fields["pc"] = batch.data("pc")[rows]
        return fields

    def _single(self, batch: Batch, row: int, known: bool, unmapped: dict[int, int | None]) -> bytes | None:
        event = batch.event(row)
        extra = event.extra
        if event.kind == Kind.MAP and event.addr is not None and extra.get("virt") is not None:
            return self._probe(MAP, event, (event.addr, extra["virt"], extra.get("length") or 0, event.pc or 0))
        if event.kind == Kind.UNMAP:
            return self._probe(UNMAP, event, (0, extra.get("virt", unmapped.get(row)) or 0, 0, event.pc or 0))
        if event.kind == Kind.MARK and isinstance(extra.get("text"), bytes):
            text = extra["text"][: (1 << 16) - 1]
            if len(text) < len(extra["text"]):
                self.lost["bytes of a mark longer than 65535"] += len(extra["text"]) - len(text)
            return pack(MARK, event, text)
        if event.kind == Kind.NOTE and self._own:
            if isinstance(extra.get(PADDING), int):
                return bytes(min(max(extra[PADDING], 0), SUBBUFFER))
            if event.damaged and isinstance(extra.get("text"), bytes):
                text = extra["text"]
                return bytes(text)
        what = event.kind.name
        if event.kind <= Kind.UNKNOWN:
            what += " without width or value" if known else " outside every map"
        self.lost[what] += 1
        return None

    def _probe(self, opcode: int, event: Event, numbers: tuple[int, ...]) -> bytes | None:
        """A record of a map, where its numbers fit in."""
        if any(number >> 64 for number in numbers):
            self.lost[f"{event.kind.name} with a number of more than 64 bits"] += 1
            return None
        return pack(opcode, event, numbers)


FORMAT = Relay()
