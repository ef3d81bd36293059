"""Chrome's trace JSON, for ui.perfetto.dev and chrome://tracing. Written only."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.base import EVERYTHING
from mmiotools.formats.jsonl_fields import encode_extra, tag
from mmiotools.formats.text_page import Page, spliced, table_of
from mmiotools.formats.viewed import Clock, Places, ViewFormat, values_of
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import DTYPES, Batch, unpack_opcode
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.in_c import json_text
from mmiotools.trace.names import Names
from mmiotools.typed import Any, BinaryIO, NDArray

#: Events that are printed at once.
_PAGE = 1 << 13
#: The process of what belongs to no region; regions come behind it.
_TRACE = 1
_REGIONS = 2
#: Numbers of tracks count from here through all processes: a viewer may take a number that comes twice for one thread.
_FIRST_TRACK = 1001
_LETTERS = table_of([b"R", b"W", b"U"])
_KINDS = table_of([kind.name.encode() for kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN)])
#: Kinds that have a track of their own in the process of the trace, by name; in the order of their numbers.
_TRACKS = {
    Kind.MARK: "marks",
    Kind.IRQ: "interrupts",
    Kind.LOST: "lost",
    Kind.NOTE: "notes",
    Kind.MAP: "maps",
    Kind.UNMAP: "maps",
    Kind.DEVICE: "devices",
    Kind.HEADER: "headers",
}
_NAMES = list(dict.fromkeys(_TRACKS.values()))
#: Columns that an access shows beside its value: name, and whether in hexadecimal.
_SHOWN = (("width", False), ("addr", True), ("map", False), ("pc", True), ("pid", False), ("cpu", False))


class PerfettoWriter:
    """Writes an instant for each access, on the track of its register, and a counter where a value changed.

    names  registers are called by these; set it before the first batch
    """

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        self.lost: Counter[str] = Counter()
        self.names = Names()
        self._out, self._header = out, header
        self._clock, self._places = Clock(), Places()
        #: Of each register, the number of its track; which place has which; and the tracks of what is no access.
        self._tracks: list[int] = []
        self._known = 0
        self._tids: dict[tuple[int, int], int] = {}
        self._own: list[str] = []
        #: Per register: the value it held, and whether it is known.
        self._last = np.zeros(0, np.uint64)
        self._seen = np.zeros(0, np.bool_)
        out.write(b'{"displayTimeUnit":"ns","traceEvents":[\n' + _process(_TRACE, "trace", -1))

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        for start in range(0, len(batch), _PAGE):
            self._write(batch.slice(start, start + _PAGE))

    def close(self) -> None:
        """Write the end, with what the header says."""
        about: dict[str, Any] = {"format": self._header.format, "clock": self._header.clock}
        if self._clock.ordinal:
            about["times"] = "numbers of events, in place of microseconds"
        if self._header.meta:
            about["meta"] = tag(self._header.meta)
        end = {"ph": "M", "name": "process_labels", "pid": _TRACE, "args": {"labels": "mmiotools"}}
        self._out.write(f'{json_text(end)}\n],"otherData":{json_text(about)}}}\n'.encode())

    def _write(self, batch: Batch) -> None:
        self._count(batch)
        times = self._clock.times(batch)
        rows = flatnonzero(batch.accesses)
        region, register, _ = self._places.of(batch, rows)
        said = [
            (int(np.searchsorted(rows, row)), self._other(batch, row, int(times[row])))
            for row in flatnonzero(~batch.accesses).tolist()
        ]
        if not len(rows):
            self._out.write(b"".join(text for _, text in said))
            return
        page = Page(len(rows))
        value, known, wide = values_of(batch, rows)
        # Behind what is said there, and right before the access that is the first of its region or register.
        said = sorted([*said, *self._introduced(region, register)], key=lambda text: text[0])
        track = np.where(register < 0, _of_region(region), np.array([*self._tracks, 0])[register])
        page.literal(b'{"ph":"i","s":"t","name":"')
        page.words(_LETTERS, batch.kind[rows])
        page.literal(b'","pid":')
        page.decimal((region + _REGIONS).astype(np.uint64))
        page.literal(b',"tid":')
        page.decimal(track.astype(np.uint64))
        page.literal(b',"ts":')
        self._stamp(page, times[rows])
        page.literal(b',"args":{"kind":"')
        page.words(_KINDS, batch.kind[rows])
        page.literal(b'"')
        page.literal(b',"value":"', known)
        page.hexadecimal(value, known)
        page.literal(b'"', known)
        self._fields(page, batch, rows)
        page.literal(b"}},\n")
        beyond = np.zeros(len(rows), np.bool_)
        beyond[list(wide)] = True
        self._counters(page, value, known, beyond, region, register, times[rows])
        text, characters = page.join()
        rare = [(row, self._rare(batch.extras[index])) for row, index in self._with_extras(batch, rows)]
        self._out.write(spliced(text, characters, said) if not rare else _patched(text, characters, said, dict(rare)))

    def _stamp(self, page: Page, times: NDArray[np.int64], rows: NDArray[np.bool_] | None = None) -> None:
        """Microseconds, to the nanosecond."""
        if self._clock.ordinal:
            page.decimal(times.astype(np.uint64), rows)
            return
        low = times < 0
        if low.any():
            page.literal(b"-", low if rows is None else low & rows)
        positive = np.where(low, -times, times).view(np.uint64)
        page.decimal(positive // np.uint64(1000), rows)
        page.literal(b".", rows)
        page.decimal(positive % np.uint64(1000), rows, fixed=3)

    def _fields(self, page: Page, batch: Batch, rows: NDArray[np.intp]) -> None:
        for name, is_hex in _SHOWN:
            if name not in batch.columns:
                continue
            data, there = batch.data(name)[rows], batch.present(name)[rows]
            page.literal(b',"%s":' % name.encode(), there)
            if is_hex:
                page.literal(b'"', there)
                page.hexadecimal(data, there)
                page.literal(b'"', there)
            else:
                signed = data.astype(np.int64)
                low = signed < 0
                page.literal(b"-", there & low)
                page.decimal(np.where(low, -signed, signed).astype(np.uint64), there)
        if "opcode" in batch.columns:
            codes, which = np.unique(batch.data("opcode")[rows], return_inverse=True)
            words = [b',"opcode":"%s"' % unpack_opcode(code).hex().encode() for code in codes.tolist()]
            page.words(table_of([b"", *words]), np.where(batch.present("opcode")[rows], which + 1, 0))

    def _count(self, batch: Batch) -> None:
        for name in batch.columns:
            if name == "eol":
                self.lost["line ends other than LF"] += int(np.count_nonzero(batch.data("eol")))
            elif name not in DTYPES or name == "mr":
                self.lost[f"column '{name}'"] += int(np.count_nonzero(batch.present(name)))
        self.lost = +self.lost

    def _counters(
        self,
        page: Page,
        value: NDArray[np.uint64],
        known: NDArray[np.bool_],
        beyond: NDArray[np.bool_],
        region: NDArray[np.int64],
        register: NDArray[np.int64],
        times: NDArray[np.int64],
    ) -> None:
        """A counter behind each access whose register held something else before. It holds 8 bytes: behind a value that
        is `beyond` these, the next that is not is shown.
        """
        shown = (known | beyond) & (register >= 0)
        order = np.argsort(np.where(shown, register, -1), kind="stable")
        order = order[int(np.count_nonzero(~shown)) :]
        which, now, unheld = register[order], value[order], beyond[order]
        first = np.concatenate([[True], which[1:] != which[:-1]])[: len(which)]
        before = np.concatenate([now[:1], now[:-1]])
        unknown = np.concatenate([unheld[:1], unheld[:-1]])
        before[first], unknown[first] = self._last[which[first]], ~self._seen[which[first]]
        differs = ~unheld & ((now != before) | unknown)
        last = np.concatenate([first[1:], [True]])[: len(which)]
        self._last[which[last]] = now[last]
        self._seen[which[last]] = ~unheld[last]
        changed = np.zeros(len(value), np.bool_)
        changed[order] = differs
        if not changed.any():
            return
        used, at = np.unique(register[changed], return_inverse=True)
        names = [json_text(self._register_name(number)).encode() for number in used.tolist()]
        label = np.zeros(len(value), np.int64)
        label[changed] = at + 1
        page.literal(b'{"ph":"C","name":', changed)
        page.words(table_of([b"", *names]), label)
        page.literal(b',"pid":', changed)
        page.decimal((region + _REGIONS).astype(np.uint64), changed)
        page.literal(b',"ts":', changed)
        self._stamp(page, times, changed)
        page.literal(b',"args":{"value":', changed)
        page.decimal(value, changed)
        page.literal(b"}},\n", changed)

    # -- tracks -------------------------------------------------------------------------------------------

    def _introduced(self, region: NDArray[np.int64], register: NDArray[np.int64]) -> list[tuple[int, bytes]]:
        """The names of processes and tracks that are new, each with the place of its first access."""
        out = []
        for number, at in _new(region, self._known):
            named = _process(number + _REGIONS, self._places.region_name(number), number)
            out.append((at, named + _thread(number + _REGIONS, _of_region(number), "other accesses", -1)))
        self._known = len(self._places.regions)
        for number, at in _new(register, len(self._tracks)):
            held = self._places.registers[number]
            key = (held.region, held.offset)
            if key not in self._tids:
                # By turns with the tracks of regions: each is numbered as it appears.
                self._tids[key] = _FIRST_TRACK + len(_NAMES) + 2 * len(self._tids) + 1
                order = min(held.offset, (1 << 31) - 1)
                out.append((at, _thread(held.region + _REGIONS, self._tids[key], self._register_name(number), order)))
            self._tracks.append(self._tids[key])
        more = len(self._places.registers) - len(self._last)
        if more > 0:
            self._last = np.concatenate([self._last, np.zeros(max(more, len(self._last)), np.uint64)])
            self._seen = np.concatenate([self._seen, np.zeros(len(self._last) - len(self._seen), np.bool_)])
        return out

    def _register_name(self, number: int) -> str:
        return self._places.register_name(self._places.registers[number], self.names)

    # -- what is rare -------------------------------------------------------------------------------------

    def _other(self, batch: Batch, row: int, time: int) -> bytes:
        """An instant for an event that is no access, with all that it says."""
        event = batch.event(row)
        track = _TRACKS[event.kind]
        tid = _FIRST_TRACK + _NAMES.index(track)
        introduced = b""
        if track not in self._own:
            self._own.append(track)
            introduced = _thread(_TRACE, tid, track, len(self._own))
        args: dict[str, Any] = {"kind": event.kind.name}
        for name in ("map", "addr", "region", "offset", "width", "value", "pc", "pid", "cpu"):
            number = getattr(event, name)
            if number is not None:
                args[name] = f"{number:#x}" if name in ("addr", "offset", "value", "pc") else number
        args |= encode_extra({name: item for name, item in event.extra.items() if name != "eol"})
        shown = args.get("text") or args.get("reason") or event.kind.name
        stamp = str(time) if self._clock.ordinal else f"{'-' * (time < 0)}{abs(time) // 1000}.{abs(time) % 1000:03}"
        scope = "g" if event.kind == Kind.MARK else "t"
        name = json.dumps(str(shown)[:200])
        head = f'{{"ph":"i","s":"{scope}","name":{name},"pid":{_TRACE},"tid":{tid},"ts":{stamp}'
        return introduced + f'{head},"args":{json_text(args)}}},\n'.encode()

    @staticmethod
    def _with_extras(batch: Batch, rows: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Accesses that have extras: their place among the accesses, and their row."""
        if not batch.extras:
            return []
        held = sorted(row for row in batch.extras if batch.kind[row] <= Kind.UNKNOWN)
        return list(zip(np.searchsorted(rows, held).tolist(), held, strict=True))

    @staticmethod
    def _rare(extra: dict[str, Any]) -> bytes:
        """The extras of an access as further args."""
        held = {name: item for name, item in extra.items() if name != "value"}
        args = encode_extra(held)
        if isinstance(extra.get("value"), int):
            args["value"] = f"{extra['value']:#x}"
        return ("," + json_text(args)[1:-1]).encode() if args else b""


def _of_region(region: Any) -> Any:
    """The number of the track of a region's accesses without a register."""
    return _FIRST_TRACK + len(_NAMES) + 2 * region


def _new(numbers: NDArray[np.int64], known: int) -> list[tuple[int, int]]:
    """Those that are not below `known`, ascending, each with the first place where it is."""
    new, first = np.unique(numbers, return_index=True)
    from_here = int(np.searchsorted(new, max(known, 0)))
    return list(zip(new[from_here:].tolist(), first[from_here:].tolist(), strict=True))


def _patched(text: bytes, characters: Any, said: list[tuple[int, bytes]], rare: dict[int, bytes]) -> bytes:
    """The text with others between its rows, and with further args in some."""
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(characters, axis=1))]).tolist()
    between = dict.fromkeys((row for row, _ in said), b"")
    for row, more in said:
        between[row] += more
    parts = []
    done = 0
    for row in sorted({*between, *rare}):
        parts += [text[done : ends[row]], between.get(row, b"")]
        done = ends[row]
        if row in rare:
            line = text[done : ends[row + 1]]
            first = line.index(b"}},\n")
            parts.append(line[:first] + rare[row] + line[first:])
            done = ends[row + 1]
    return b"".join([*parts, text[done:]])


def _process(pid: int, name: str, order: int) -> bytes:
    named = {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}}
    sorted_as = {"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": order}}
    return f"{json_text(named)},\n{json_text(sorted_as)},\n".encode()


def _thread(pid: int, tid: int, name: str, order: int) -> bytes:
    named = {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}
    sorted_as = {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": {"sort_index": order}}
    return f"{json_text(named)},\n{json_text(sorted_as)},\n".encode()


FORMAT = ViewFormat(
    "perfetto",
    "Chrome trace JSON for ui.perfetto.dev: a track and a counter for each register.",
    (".perfetto.json", ".perfetto"),
    EVERYTHING,
    PerfettoWriter,
)
