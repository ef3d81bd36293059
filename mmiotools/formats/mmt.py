"""valgrind-mmt's binary log: accesses of a process to memory that it mapped. The layout is in formats/mmt.md."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats import mmt_layout as layout
from mmiotools.formats.base import EVERYTHING, Sniff, count_fields, left_out, own_spelling
from mmiotools.formats.line_columns import Place, Store
from mmiotools.formats.mapped import MapOffsets, MapRegions
from mmiotools.formats.mmt_layout import END, LONGEST, RUNS, SHAPES, WIDTHS
from mmiotools.formats.records import MORE, Bulk, assemble, batches
from mmiotools.formats.source import ByteSource
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, Regions, columnise
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.registry import API
from mmiotools.typed import Any, BinaryIO, ClassVar, Iterator, NDArray, Sequence

_READS = np.array([ord("r"), ord("R")], np.uint8)
#: Accesses by virtual address are the second half of the shapes.
_BY_ADDRESS = len(WIDTHS)
_SIZE_AT = 9
#: Records that show that a head without valgrind's text before it is no accident.
_ENOUGH = 4


class Mmt:
    """The plug-in object."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "mmt"
    title: ClassVar[str] = "Binary log of valgrind-mmt, a process's accesses to device memory."
    suffixes: ClassVar[tuple[str, ...]] = (".mmt",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("time", "addr", "pc", "pid", "cpu", "opcode"),
        *("UNKNOWN", "LOST", "IRQ", "DEVICE", "HEADER"),
    }
    binary: ClassVar[bool] = True
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """Sure when records follow on valgrind's text; likely when several stand at the beginning without it."""
        records = _Records()
        at = found = 0
        text = False
        while at < len(head) and found < _ENOUGH:
            match = layout.TEXT.match(head, at)
            if match is not None:
                if found == 0 and not layout.STAMP.match(head, at):
                    return Sniff.NO
                text = True
                at = match.end()
                continue
            end = records.whole(head, at)
            if end <= at:
                break
            found += 1
            at = end
        if not found:
            return Sniff.NO
        ended = at == len(head) or found == _ENOUGH or records.whole(head, at) == MORE
        if text:
            return Sniff.YES if ended else Sniff.LIKELY
        return Sniff.LIKELY if ended and found == _ENOUGH else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Batches of records; text and what is no access become notes."""
        return TraceHeader(self.name, "unknown", 0), batches(source, _Records())

    def writer(self, out: BinaryIO, header: TraceHeader) -> MmtWriter:
        """Records onto `out`."""
        return MmtWriter(out, own_spelling(header, self.name))


class _Records:
    """Records → events; see `records.Dialect`."""

    runs = RUNS
    shapes: Sequence[np.dtype[Any]] = SHAPES
    longest = LONGEST

    def __init__(self) -> None:
        self._maps = MapRegions(Regions())

    def whole(self, data: bytes, at: int) -> int:
        """Where the record at a place ends; MORE when the data end before, `at` when there is none."""
        first = data[at]
        if first in b"rwRW":
            if at + _SIZE_AT >= len(data):
                return MORE
            width = data[at + _SIZE_AT]
            end = at + _SIZE_AT + 1 + width
            if width not in WIDTHS:
                return at
            if end >= len(data):
                return MORE
            return end + 1 if data[end] == END else at
        if first in b"=-":
            match = layout.TEXT.match(data, at)
            if match is None:
                return MORE if data.find(b"\n", at) < 0 and len(data) - at <= layout.MAX_BUFFER else at
            return match.end()
        found = layout.parse(data, at)
        if found is None:
            return at
        return MORE if found.fields is None else found.end

    def record(self, data: bytes, at: int, offset: int) -> tuple[int, Event | None]:
        """Everything but accesses, which come in bulk."""
        end = self.whole(data, at)
        if end <= at:
            return end, None
        if data[at] in b"=-":
            return end, Event(Kind.NOTE, extra={"text": data[at : end - 1]})
        found = layout.parse(data, at)
        assert found is not None
        return end, layout.event(found, data[at:end])

    def resume(self, data: bytes, at: int) -> int:
        """Where a whole record stands, with another, the beginning of one, or nothing behind it; an access between
        two line feeds will do.
        """
        for match in layout.BEGIN.finditer(data, at):
            start = match.start()
            end = self.whole(data, start)
            if end > start and (
                end == len(data)
                or self.whole(data, end) != end
                or (data[start] in b"rwRW" and start and data[start - 1] == END)
            ):
                return start
        return -1

    def gap(self, text: bytes, offset: int, data: bytes, end: int) -> Event | None:
        """None: the log has no padding."""
        return None

    def lost(self, text: bytes) -> int:
        """By the beginnings of accesses behind ends of records."""
        return 1 + sum(text.count(bytes([END, letter])) for letter in b"rwRW")

    def batch(self, n: int, bulks: list[Bulk], rows: NDArray[np.int64], events: list[Event]) -> Batch:
        """Fields of accesses on columns."""
        kind = np.full(n, Kind.NOTE, np.uint8)
        store = Store(n)
        extras: dict[int, dict[str, Any]] = {}
        for bulk in bulks:
            place, fields = Place(bulk.rows), bulk.fields
            place.into(kind, np.where(np.isin(fields["type"], _READS), Kind.READ, Kind.WRITE).astype(np.uint8))
            store.put("width", place, fields["width"])
            store.put("offset", place, fields["offset"].astype(np.uint64))
            if bulk.shape < _BY_ADDRESS:
                store.put("map", place, fields["map"].astype(np.int64))
                store.put("region", place, self._maps.codes(fields["map"]))
            else:
                store.put("region", place, np.full(len(fields), self._maps.virtual(), np.uint32))
            values = fields["value"].astype(np.uint64)
            if "upper" not in (fields.dtype.names or ()):
                store.put("value", place, values)
                continue
            narrow = np.asarray(~fields["upper"].any(axis=1))
            store.put("value", Place(bulk.rows[narrow]), values[narrow])
            size = WIDTHS[bulk.shape % _BY_ADDRESS]
            for at in flatnonzero(~narrow).tolist():
                value = int.from_bytes(fields[at].tobytes()[-1 - size : -1], "little")
                extras[int(bulk.rows[at])] = {"value": value}
        if events:
            singles = columnise(events, self._maps.regions)
            kind[rows] = singles.kind
            for name, column in singles.columns.items():
                present = slice(None) if column.present is None else column.present
                store.put(name, Place(rows[present]), column.data[present])
            extras.update((int(rows[row]), extra) for row, extra in singles.extras.items())
        return Batch(kind, store.columns(), extras, self._maps.regions)


class MmtWriter:
    """Writes batches as records."""

    def __init__(self, out: BinaryIO, own: bool) -> None:
        self.lost: Counter[str] = Counter()
        self._out = out
        self._own = own
        self._offsets = MapOffsets()

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        if not len(batch):
            return
        places = self._offsets.find(batch)
        width = batch.data("width")
        good = places.known & (batch.kind <= Kind.WRITE) & batch.present("value") & np.isin(width, WIDTHS)
        good &= places.virtual | (places.offset >> np.uint64(32) == 0) & (batch.data("map") >> 32 == 0)
        singles: dict[int, bytes] = {}
        wide: dict[int, int] = {}
        for row, extra in batch.extras.items():
            raw, value = extra.get("raw"), extra.get("value")
            if self._own and isinstance(raw, bytes):
                singles[row] = raw
                good[row] = False
            elif isinstance(value, int) and places.known[row] and width[row] in WIDTHS and batch.kind[row] <= 1:
                wide[row] = value
                good[row] = True
        for row in flatnonzero(~good).tolist():
            if row not in singles:
                record = self._single(batch, row, bool(places.known[row]))
                if record is not None:
                    singles[row] = record
        bulks = []
        for shape, dtype in enumerate(SHAPES):
            chosen = good & (width == WIDTHS[shape % _BY_ADDRESS]) & (places.virtual == (shape >= _BY_ADDRESS))
            rows = flatnonzero(chosen)
            if len(rows):
                bulks.append(Bulk(shape, self._fields(batch, dtype, rows, shape, places.offset, wide), rows))
        if not self._own:
            good[list(singles)] = True
            count_fields(self.lost, batch.take(good), left_out(FORMAT.keeps))
        self._out.write(assemble(len(batch), bulks, singles))

    def close(self) -> None:
        """Nothing is held back."""

    def _fields(
        self,
        batch: Batch,
        dtype: np.dtype[Any],
        rows: NDArray[np.intp],
        shape: int,
        offset: NDArray[np.uint64],
        wide: dict[int, int],
    ) -> NDArray[Any]:
        fields = np.zeros(len(rows), dtype)
        letters = b"rw" if shape < _BY_ADDRESS else b"RW"
        fields["type"] = np.where(batch.kind[rows] == Kind.READ, letters[0], letters[1])
        if shape < _BY_ADDRESS:
            fields["map"] = batch.data("map")[rows]
        fields["offset"] = offset[rows]
        size = WIDTHS[shape % _BY_ADDRESS]
        fields["width"] = size
        fields["end"] = END
        values = batch.data("value")[rows].astype(np.uint64)
        if size < 8:
            cut = values >> np.uint64(8 * size) != 0
            self._too_wide(int(cut.sum()))
            values &= np.uint64((1 << 8 * size) - 1)
        fields["value"] = values
        for row, value in wide.items():
            at = int(np.searchsorted(rows, row))
            if at < len(rows) and rows[at] == row:
                self._too_wide(value.bit_length() > 8 * size)
                packed = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
                fields[at] = np.frombuffer(fields[at].tobytes()[: -1 - size] + packed + b"\n", dtype)[0]
        return fields

    def _too_wide(self, count: int) -> None:
        if count:
            self.lost["upper bits of values wider than their access"] += count

    def _single(self, batch: Batch, row: int, known: bool) -> bytes | None:
        event = batch.event(row)
        if event.kind in (Kind.MAP, Kind.UNMAP, Kind.MARK):
            extra = event.extra
            if event.addr is not None:
                extra = {"file_offset": event.addr, **extra}
            record = layout.pack(event.kind, event.map, extra)
            if record is not None:
                return record
        if event.kind == Kind.NOTE and self._own:
            text = event.extra.get("text")
            if isinstance(text, bytes) and (event.damaged or text[:1] in (b"=", b"-")):
                return text if event.damaged else text + b"\n"
        what = event.kind.name
        if event.kind <= Kind.WRITE:
            what += " of a width, value or offset that has no record" if known else " in no map"
        self.lost[what] += 1
        return None


FORMAT = Mmt()
