"""Records of QEMU's binary traces on columns: the accesses that come in bulk, and any other one by one."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.alike import alike, text_words
from mmiotools.formats.base import damaged
from mmiotools.formats.line_columns import Place, Store
from mmiotools.formats.qemu_events import PORTS, code_of, region_name, single_events, space_of, text_of
from mmiotools.formats.qemu_simple_layout import DROPPED, HEAD_SIZE, LAYOUTS, STRUCTS, TYPE_SIZE, decode
from mmiotools.formats.text_numbers import U64, Index, Mask, Words
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Batch, Regions
from mmiotools.typed import Any, NamedTuple, NDArray

#: Zeros before the records, so that words can be read backwards from anywhere.
_BEFORE = 96
#: Longest names that are compared on columns.
_LONGEST = 88
_MEMORY = {f"memory_region_{what}_{op}": what for what in ("ops", "subpage", "ram_device") for op in ("read", "write")}
_VFIO = ("vfio_region_read", "vfio_region_write")


class Records:
    """Some records of events, and what is needed to read them.

    offsets  (n,) where each begins in `data`, ascending
    ends     (n,) where each ends
    names    event number → name
    base     where `data` begins in the input
    """

    def __init__(self, data: bytes, offsets: Index, names: dict[int, str], order: str, base: int) -> None:
        structs = STRUCTS[order]
        first = int(offsets[0])
        _, _, length = structs.step.unpack_from(data, int(offsets[-1]))
        self._shift = _BEFORE - first
        self.block = bytes(_BEFORE) + data[first : int(offsets[-1]) + TYPE_SIZE + length]
        self.order = order
        self.names = names
        self._base = base
        self.offsets = offsets
        head = np.dtype([("id", order + "u8"), ("time", order + "u8"), ("length", order + "u4"), ("pid", order + "u4")])
        heads = self._gather(offsets + self._shift + TYPE_SIZE, head)
        self.ids = heads["id"].astype(np.uint64)
        self.times = heads["time"].astype(np.uint64)
        self.pids = heads["pid"].astype(np.int64)
        self.sizes = heads["length"].astype(np.int64) - HEAD_SIZE
        self.payloads = offsets + self._shift + TYPE_SIZE + HEAD_SIZE

    def _gather(self, places: Index, dtype: Any) -> NDArray[Any]:
        dtype = np.dtype(dtype)
        anywhere: NDArray[Any] = np.ndarray((len(self.block) - dtype.itemsize + 1,), dtype, self.block, 0, (1,))
        return anywhere[places]

    def numbers(self, places: Index, count: int) -> U64:
        """`count` 64-bit numbers from each place on, (n, count)."""
        raw = self._gather(places, f"V{8 * count}")
        return raw.view(self.order + "u8").reshape(-1, count).astype(np.uint64)

    def lengths(self, places: Index) -> Index:
        """The 32-bit number at each place."""
        return self._gather(places, self.order + "u4").astype(np.int64)

    def doubtful(self) -> Index:
        """Rows, ascending, whose size or time is not what is usual for their event."""
        doubt = self.times >> np.uint64(63) != 0
        for number in distinct(self.ids).tolist():
            rows = self.ids == number
            name = self.names.get(number, "")
            sizes = self.sizes
            if number == DROPPED:
                doubt |= rows & (sizes != 8)
            elif name in _MEMORY:
                ends = np.minimum(self.payloads + 40, len(self.block) - 4)
                doubt |= rows & (sizes != 40) & (sizes != 44 + self.lengths(ends))
                doubt |= rows & (sizes > 40) & (_MEMORY[name] != "ops")
            elif name in _VFIO:
                ends = np.minimum(self.payloads, len(self.block) - 4)
                doubt |= rows & (sizes != 36 + self.lengths(ends))
            elif name in LAYOUTS:
                doubt |= rows
        return flatnonzero(doubt)

    def wrong(self, row: int) -> bool:
        """Whether a record cannot be what its event's name says, or has an impossible time."""
        if int(self.times[row]) >> 63:
            return True
        number = int(self.ids[row])
        if number == DROPPED:
            return int(self.sizes[row]) != 8
        name = self.names[number]
        return name in LAYOUTS and decode(name, self.payload(row), self.order) is None

    def payload(self, row: int) -> bytes:
        """A record's bytes behind its head."""
        start = int(self.payloads[row])
        return self.block[start : start + int(self.sizes[row])]

    def event(self, row: int) -> Event:
        """The event of a record, whatever it is."""
        number = int(self.ids[row])
        time = int(self.times[row])
        if time >> 63:
            return damaged("an impossible time", text=self.payload(row), offset=self._base + int(self.offsets[row]))
        payload = self.payload(row)
        if number == DROPPED and len(payload) == 8:
            count = STRUCTS[self.order].word.unpack(payload)[0]
            event = Event(Kind.LOST, extra={"count": count})
        else:
            name = self.names.get(number, f"event {number}")
            found = decode(name, payload, self.order)
            text = f"{name} {payload.hex()}".rstrip().encode("utf-8", "surrogateescape")
            event = Event(Kind.NOTE, extra={"text": text}) if found is None else found
        return event._replace(time=time, pid=int(self.pids[row]))


class _Columns(NamedTuple):
    """Columns of some rows, and the region of each: the number of its name in `names`, or -1."""

    rows: Index
    columns: dict[str, Any]
    which: Index
    names: list[str]


def batch_of(records: Records, rows: Index, n: int, singles: list[tuple[int, Event]], regions: Regions) -> Batch:
    """A batch of n events: the records at their rows, and single events at theirs."""
    kind = np.full(n, Kind.NOTE, np.uint8)
    store = Store(n)
    done = np.zeros(len(rows), np.bool_)
    for number in distinct(records.ids).tolist():
        name = records.names.get(number, "")
        if name in _MEMORY:
            found = _memory(records, flatnonzero(records.ids == number), _MEMORY[name])
        elif name in _VFIO:
            found = _vfio(records, flatnonzero(records.ids == number), name == "vfio_region_write")
        else:
            continue
        found = _with_regions(found, regions)
        done[found.rows] = True
        place = Place(rows[found.rows])
        place.into(kind, np.uint8(Kind.READ if name.endswith("read") else Kind.WRITE))
        here = found.which >= 0
        for column, values in found.columns.items():
            if column == "region" and not here.all():
                store.put(column, Place(rows[found.rows[here]]), values[here])
            else:
                store.put(column, place, values)
    others = flatnonzero(~done).tolist()
    events = sorted([*((int(rows[at]), records.event(at)) for at in others), *singles], key=lambda pair: pair[0])
    extras: dict[int, dict[str, Any]] = {}
    if events:
        at_rows = np.array([row for row, _ in events], np.int64)
        slow = single_events([event for _, event in events], regions, lambda event: (event.region or "").encode())
        kind[at_rows] = slow.kind
        for column_name, values in slow.columns.items():
            present = slice(None) if values.present is None else values.present
            store.put(column_name, Place(at_rows[present]), values.data[present])
        extras = {int(at_rows[row]): extra for row, extra in slow.extras.items()}
    return Batch(kind, store.columns(), extras, regions)


def _common(records: Records, rows: Index) -> dict[str, Any]:
    return {"time": records.times[rows].view(np.int64), "pid": records.pids[rows]}


def _memory(records: Records, rows: Index, what: str) -> _Columns:
    """memory_region_*: cpu, mr, address or offset, value, width; for ops since QEMU 6.1 a name."""
    rows = rows[records.sizes[rows] >= 40]
    numbers = records.numbers(records.payloads[rows], 5)
    sizes = records.sizes[rows]
    cpu = numbers[:, 0].astype(np.int64)
    good = (numbers[:, 4] <= 255) & (records.times[rows] >> np.uint64(63) == 0)
    good &= (cpu >= -(1 << 31)) & (cpu < 1 << 31)
    named = sizes > 40
    length = np.zeros(len(rows), np.int64)
    if named.any():
        good &= (sizes >= 44) | ~named
        ends = np.minimum(records.payloads[rows] + 40, len(records.block) - 4)
        length = np.where(named, records.lengths(ends), 0)
        good &= ~named | ((sizes == 44 + length) & (length <= _LONGEST) & (what == "ops"))
    if not good.all():
        rows, numbers, cpu, named, length = rows[good], numbers[good], cpu[good], named[good], length[good]
    which, names = _texts(records, records.payloads[rows] + 44, length, named)
    told = (which >= 0) | ~named
    if not told.all():
        rows, numbers, cpu, which = rows[told], numbers[told], cpu[told], which[told]
    columns = _common(records, rows) | {
        "cpu": cpu.astype(np.int32),
        "mr": numbers[:, 1],
        "offset" if what == "subpage" else "addr": numbers[:, 2],
        "value": numbers[:, 3],
        "width": numbers[:, 4].astype(np.uint8),
    }
    return _Columns(rows, columns, which, names)


def _vfio(records: Records, rows: Index, write: bool) -> _Columns:
    """vfio_region_*: device, index, offset, then value and width in an order that depends."""
    rows = rows[(records.sizes[rows] >= 36) & (records.sizes[rows] <= 36 + _LONGEST)]
    length = records.lengths(records.payloads[rows])
    good = (records.sizes[rows] == 36 + length) & (records.times[rows] >> np.uint64(63) == 0)
    rows, length = rows[good], length[good]
    numbers = records.numbers(records.payloads[rows] + 4 + length, 4)
    width, value = (numbers[:, 3], numbers[:, 2]) if write else (numbers[:, 2], numbers[:, 3])
    good = (width <= 255) & (numbers[:, 0] < 1 << 31)
    rows, length, numbers, width, value = rows[good], length[good], numbers[good], width[good], value[good]
    which, devices = _texts(records, records.payloads[rows] + 4, length, np.ones(len(rows), np.bool_))
    keep = which >= 0
    rows, numbers, width, value = rows[keep], numbers[keep], width[keep], value[keep]
    pairs, which = np.unique(which[keep] << 31 | numbers[:, 0].astype(np.int64), return_inverse=True)
    names = [region_name(devices[pair >> 31], pair & (1 << 31) - 1) for pair in pairs.tolist()]
    columns = _common(records, rows) | {"offset": numbers[:, 1], "value": value, "width": width.astype(np.uint8)}
    return _Columns(rows, columns, which.astype(np.int64), names)


def _texts(records: Records, starts: Index, length: Index, here: Mask) -> tuple[Index, list[str]]:
    """Strings of some rows: the number of each in the list, or -1 where there is none."""
    which = np.full(len(starts), -1, np.int64)
    if not here.any():
        return which, []
    starts, ends = starts[here], starts[here] + length[here]
    which[here], examples = alike([text_words(Words(records.block), starts, ends)])
    spans = zip(starts[examples].tolist(), ends[examples].tolist(), strict=True)
    return which, [text_of(records.block[start:end]) for start, end in spans]


def _with_regions(found: _Columns, regions: Regions) -> _Columns:
    """The same with a column of regions; without the rows for whose regions there is no room."""
    addr = found.columns.get("addr")
    here = found.which >= 0
    if not here.any():
        return found
    low = np.zeros(len(found.rows), np.bool_) if addr is None else addr < PORTS
    key = np.where(here, found.which * 2 + low, 0)
    codes = np.zeros(2 * len(found.names), np.int64)
    for at in flatnonzero(np.bincount(key[here], minlength=len(codes))).tolist():
        name = found.names[at // 2]
        space = "mem" if addr is None else space_of(name, 0 if at % 2 else PORTS)
        code = code_of(name, space, regions)
        codes[at] = -1 if code is None else code
    code_of_row = codes[key]
    columns = found.columns | {"region": code_of_row.astype(np.uint32)}
    kept = ~here | (code_of_row >= 0)
    if kept.all():
        return _Columns(found.rows, columns, found.which, found.names)
    columns = {name: values[kept] for name, values in columns.items()}
    return _Columns(found.rows[kept], columns, found.which[kept], found.names)
