"""Traces as programs: what C, Python, qtest and devmem have in common. Written only.

Everything that comes from a recording and is text, names of registers too, is escaped before it gets into a comment:
a program holds no words but ours and numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import Sniff, count_fields
from mmiotools.formats.mmiotrace_render import render
from mmiotools.formats.program_rows import ANY, READ, TEXT, WRITE, Folder, Rows, joined, nothing, pauses, usual_gap
from mmiotools.formats.source import ByteSource
from mmiotools.formats.text_page import Bytes, Page, table_of
from mmiotools.trace.address_space import Region
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import ROM, PciDevice, TraceHeader
from mmiotools.trace.names import Names
from mmiotools.typed import Any, BinaryIO, Callable, Iterator, NamedTuple, NDArray, Sequence

#: Rows that are printed at once.
_PAGE = 1 << 13
#: Rows that tell what a usual pause is.
_FIRST = 1 << 12
#: Bytes of a text that a comment shows.
_SHOWN = 200
_WIDTHS = (1, 2, 4, 8)
_U64 = (1 << 64) - 1
_UNSAFE = re.compile(rb"[^A-Za-z0-9 _.,:;=+@()<>\[\]/-]")
_LOST = {Kind.LOST: "LOST", Kind.IRQ: "IRQ", Kind.NOTE: "NOTE"}


def safe(text: bytes | str) -> bytes:
    """Text for a comment of any of the languages: what might mean something there is %XX, as in a URL."""
    held = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    shown = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], held[:_SHOWN])
    return shown + b" ..." if len(held) > _SHOWN else shown


class ProgramWriter:
    """Hands rows to be printed to `lines`, and gathers what stands around them.

    names  registers are called by these; set it before the first batch
    """

    #: Whether equal reads become one row, and waits are told.
    folds = True

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        self.lost: Counter[str] = Counter()
        self.names = Names()
        self.began: int | None = None
        self.regions: list[Region | None] = []
        self._out = out
        self.addresses = AddressMap()
        self._numbers: dict[int, int] = {}
        self._folder = Folder()
        self._since, self._usual = -1, -1
        self._early = nothing()
        self._texts: list[bytes] = []
        self._labels: dict[tuple[int, int], bytes] = {}
        self._begun = False

    # -- what a language does differently -----------------------------------------------------------------

    def head(self) -> bytes:
        """What stands before the rows."""
        raise NotImplementedError

    def tail(self) -> bytes:
        """What stands behind them."""
        raise NotImplementedError

    def filled(self, tail: bytes, region: Callable[[Place], str], window: Callable[[int, int], str]) -> bytes:
        """A template's end with the regions of the rows, the windows that addresses lie in, and when it all began."""
        windows = self.addresses.windows
        regions = "".join(f"    {region(place)},\n" for place in places(self.regions, windows))
        tail = tail.replace(b"@REGIONS@\n", regions.encode())
        tail = tail.replace(b"@MAPS@\n", "".join(f"    {window(*found)},\n" for found in windows).encode())
        return tail.replace(b"@BEGAN@", b"%d" % (self.began or 0))

    def comment(self, text: bytes) -> bytes:
        """A line, or nothing, that says something; the text is safe."""
        raise NotImplementedError

    def label(self, text: bytes) -> bytes:
        """The end of a row, before the line end, that names its register; the text is safe."""
        raise NotImplementedError

    def opening(self, number: int, region: Region | None) -> bytes:
        """What stands before the first row of a region; None is all of memory, by address."""
        where = "memory, by its address" if region is None else region.name
        if region is not None and region.base is not None:
            where += f" at {region.base:#x}"
        return self.comment(safe(f"region {number}: {where}"))

    def lines(self, page: Page, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """Put the fields of rows that are no texts on the page, but for label and line end."""
        raise NotImplementedError

    def shown(self, rows: Rows) -> NDArray[np.bool_] | None:
        """Which rows have a line, (n,); None for all."""
        return None

    # -- a writer -----------------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        self._begin()
        if len(batch):
            rows = self._rows(batch)
            if self.folds:
                self._settle(self._folder.feed(rows))
            else:
                self._print(rows)

    def close(self) -> None:
        """Write what is left."""
        self._begin()
        if self.folds:
            self._settle(self._folder.feed(nothing(), end=True), end=True)
        self._out.write(self.tail())
        self.lost = +self.lost

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._out.write(self.head())

    # -- from batches to rows -----------------------------------------------------------------------------

    def _rows(self, batch: Batch) -> Rows:
        resolved = self.addresses.resolve(batch)
        access = batch.accesses
        value, has_value, cut = self._values(batch)
        width = batch.data("width").astype(np.int64)
        region = resolved.region.astype(np.int64)
        based = np.array([held.base is not None for held in self.addresses.regions] + [False])
        address = batch.present("addr")
        region[~based[region]] = -1
        offset = np.where(region >= 0, resolved.offset, batch.data("addr"))
        doable = access & (batch.kind != Kind.UNKNOWN) & np.isin(width, _WIDTHS) & batch.present("width")
        doable &= (address | (region >= 0)) & ((batch.kind == Kind.READ) | has_value)
        op = np.where(batch.kind == Kind.WRITE, WRITE, np.where(has_value, READ, ANY)).astype(np.uint8)
        time = np.where(batch.present("time"), np.maximum(batch.data("time"), 0), -1).astype(np.int64)
        done = flatnonzero(doable)
        self.lost["bits of values beyond their access"] += int(np.count_nonzero(cut[done]))
        count_fields(self.lost, batch.take(done), {name: name for name in ("pc", "pid", "cpu")})
        if self.began is None and len(done):
            self.began = max(int(time[done[0]]), 0)
        rows = Rows(
            op[done],
            width[done],
            np.zeros(len(done), np.int64),
            offset[done],
            np.where(has_value, value, np.uint64(0))[done],
            time[done],
            time[done],
            np.ones(len(done), np.int64),
        )
        said = [(2 * row + 1, self._remark(batch, row)) for row in flatnonzero(self._told(batch, doable)).tolist()]
        said += self._open(region[done], done, rows)
        said.sort(key=lambda pair: pair[0])
        if not said:
            return rows
        self._texts += [text for _, text in said]
        at = np.array([place for place, _ in said], np.int64)
        order = np.argsort(np.concatenate([2 * done + 1, at]), kind="stable")
        return joined(rows, _texts_at(at)).take(order)

    @staticmethod
    def _values(batch: Batch) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Values cut to the width of their access, which rows have one, and of which something was cut; (n,) each."""
        value, has_value = batch.data("value").astype(np.uint64), batch.present("value").copy()
        cut = np.zeros(len(batch), np.bool_)
        for row, extra in batch.extras.items():
            if isinstance(extra.get("value"), int):
                value[row], has_value[row], cut[row] = extra["value"] & _U64, True, True
        for narrow in (1, 2, 4):
            mask = np.uint64((1 << 8 * narrow) - 1)
            over = (batch.data("width") == narrow) & (value > mask)
            value[over] &= mask
            cut |= over
        return value, has_value, cut

    def _told(self, batch: Batch, doable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Rows that a comment stands for."""
        return (batch.accesses & ~doable) | batch.of_kind(Kind.MARK, *_LOST)

    def _remark(self, batch: Batch, row: int) -> bytes:
        event = batch.event(row)
        text = event.extra.get("text", b"")
        shown = b" " + safe(text if isinstance(text, (bytes, str)) else repr(text)) if text else b""
        if event.kind == Kind.MARK:
            return self.comment(b"mark:" + shown)
        if event.kind in _LOST:
            self.lost[_LOST[event.kind]] += 1
            count = f" {event.extra['count']} events" if event.extra.get("count") is not None else ""
            return self.comment(safe(f"{event.kind.name}{count}") + shown)
        why = self._why_not(event)
        self.lost[why] += 1
        where = "" if event.addr is None else f" at {event.addr:#x}"
        what = event.kind.name if why == event.kind.name else f"{event.kind.name}, one of the {why}"
        return self.comment(safe(f"left out{where}: {what}"))

    @staticmethod
    def _why_not(event: Event) -> str:
        if event.kind == Kind.UNKNOWN:
            return "UNKNOWN"
        if event.width not in _WIDTHS:
            return "accesses of other than 1, 2, 4 or 8 bytes"
        if event.kind == Kind.WRITE and event.value is None:
            return "writes without value"
        return "accesses without address"

    def _open(self, codes: NDArray[np.int64], places: NDArray[np.intp], rows: Rows) -> list[tuple[int, bytes]]:
        """Number the regions of rows; a text for each that is new, with its place: before the row that is first."""
        opened = []
        known, first = np.unique(codes, return_index=True)
        for at in np.argsort(first).tolist():
            code = int(known[at])
            if code not in self._numbers:
                self._numbers[code] = len(self.regions)
                self.regions.append(self.addresses.regions[code] if code >= 0 else None)
                text = self.opening(self._numbers[code], self.regions[-1])
                opened.append((2 * int(places[first[at]]), text))
        table = np.array([self._numbers[code] for code in known.tolist()], np.int64)
        if len(known):
            rows.region[:] = table[np.searchsorted(known, codes)]
        return opened

    # -- from rows to text --------------------------------------------------------------------------------

    def _settle(self, rows: Rows, end: bool = False) -> None:
        """Print rows once it is known what the usual pause is: by the first rows, however they come in batches."""
        if self._usual < 0:
            rows = self._early = joined(self._early, rows)
            if len(rows.op) < _FIRST and not end:
                return
            self._usual = usual_gap(rows.take(slice(0, _FIRST)))
            self._early = nothing()
        self._print(rows)

    def _print(self, rows: Rows) -> None:
        if not len(rows.op):
            return
        gap, every = self._times(rows)
        start = 0
        while start < len(rows.op):
            part = slice(start, start + _PAGE)
            self._print_page(rows.take(part), gap[part], every[part])
            start += _PAGE

    def _times(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pause before each row, and the interval of its repetitions; nanoseconds, (n,) each."""
        gap, every = pauses(rows, self._since, self._usual)
        self._since = max(self._since, int(rows.last.max()))
        return gap, every

    def _print_page(self, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        texts = flatnonzero(rows.op == TEXT)
        plain = flatnonzero(rows.op != TEXT)
        text, ends = b"", np.zeros(1, np.int64)
        if len(plain):
            chosen = rows.take(plain)
            page = Page(len(plain))
            self.lines(page, chosen, gap[plain], every[plain])
            shown = self.shown(chosen)
            words, which = self._labelled(chosen)
            page.words(words, which if shown is None else np.where(shown, which, 0))
            page.literal(b"\n", shown)
            text, characters = page.join()
            if len(texts):
                ends = np.concatenate([[0], np.cumsum(np.count_nonzero(characters, axis=1))])
        done = 0
        for row, said in zip(texts.tolist(), self._texts[: len(texts)], strict=True):
            before = int(ends[row - int(np.searchsorted(texts, row))]) if len(plain) else 0
            self._out.write(text[done:before] + said)
            done = before
        del self._texts[: len(texts)]
        self._out.write(text[done:])

    def _labelled(self, rows: Rows) -> tuple[Bytes, NDArray[np.int64]]:
        """The labels of rows: a table of them, and which is each row's."""
        words: list[bytes] = [b""]
        which = np.zeros(len(rows.op), np.int64)
        if not self.names:
            return table_of(words), which
        for number in distinct(rows.region).tolist():
            mine = flatnonzero(rows.region == number)
            offsets, back = np.unique(rows.offset[mine], return_inverse=True)
            which[mine] = back + len(words)
            words += [self._label(number, int(offset)) for offset in offsets.tolist()]
        return table_of(words), which

    def _label(self, number: int, offset: int) -> bytes:
        key = (number, offset)
        if key not in self._labels:
            if len(self._labels) > 1 << 16:
                self._labels.clear()
            found = self.names.find(self.regions[number], offset)
            self._labels[key] = b"" if found is None else self.label(safe(found.text))
        return self._labels[key]


def _texts_at(places: NDArray[np.int64]) -> Rows:
    n = len(places)
    zeros, absent, wide = np.zeros(n, np.int64), np.full(n, -1, np.int64), np.zeros(n, np.uint64)
    return Rows(np.full(n, TEXT, np.uint8), zeros, zeros, wide, wide, absent, absent, np.ones(n, np.int64))


def template(name: str) -> tuple[bytes, bytes]:
    """What stands before and behind the rows of a program."""
    text = resources.files("mmiotools.formats").joinpath("templates", name).read_bytes()
    head, _, tail = text.partition(b"@STEPS@\n")
    return head, tail


class Place(NamedTuple):
    """A region as programs describe it. What is text in it is safe, what is a number is in its range.

    pci     address of the PCI device with its domain, None for a region that is none's
    map     ordinal of what was mapped there, from 1; 0 for nothing
    pcidev  the line by which mmiotrace describes the device, None if an earlier region has it
    """

    name: str
    pci: str | None
    vendor: int
    device: int
    bar: int
    base: int
    map: int
    pcidev: str | None


def places(regions: Sequence[Region | None], windows: Sequence[tuple[int, int]]) -> Iterator[Place]:
    """The regions of a program, in the order of their numbers."""
    described = set()
    for region in regions:
        if region is None:
            yield Place("memory", None, 0, 0, 0, 0, 0, None)
            continue
        name, base = safe(region.name).decode(), (region.base or 0) & _U64
        held = [number for number, (start, size) in enumerate(windows, 1) if start <= base < start + size]
        number = region.identity[1] + 1 if region.identity[0] == "map" else held[0] if held else 0
        if region.device is None or region.bar is None or not 0 <= region.bar.number <= ROM:
            yield Place(name, None, 0, 0, 0, base, number, None)
            continue
        line = _pcidev(region.device)
        shown = None if line in described else line
        described.add(line)
        pci, bar = region.device, region.bar.number
        address = f"0000:{pci.address}" if 0 <= pci.bdf < 1 << 16 else "0000:00:00.0"
        yield Place(name, address, pci.vendor & 0xFFFF, pci.device & 0xFFFF, bar, base, number, shown)


def _pcidev(device: PciDevice) -> str:
    bars = tuple(bar._replace(addr=bar.addr & _U64, size=bar.size & _U64, flags=bar.flags & 15) for bar in device.bars)
    numbers = (device.bdf & 0xFFFF, device.vendor & 0xFFFF, device.device & 0xFFFF, device.irq & 0xFFFFFFFF)
    plain = PciDevice(*numbers, bars, re.sub(r"[^A-Za-z0-9_.-]", "_", device.driver[:64]))
    line = render(Event(Kind.DEVICE, extra=plain.extra()))
    assert line is not None
    return line.decode("ascii")


def uint(numbers: NDArray[Any]) -> NDArray[np.uint64]:
    """Numbers that are not negative, as a page takes them."""
    return numbers.astype(np.uint64)


class ProgramFormat:
    """The plug-in object of a language."""

    api = 1
    keeps = frozenset({"width", "addr", "region", "offset", "value", "text", "READ", "WRITE", "MAP", "DEVICE", "MARK"})
    binary = False
    readable = False
    writable = True
    names_registers = True

    def __init__(self, name: str, title: str, suffixes: tuple[str, ...], writer: type[ProgramWriter]) -> None:
        self.name = name
        self.title = title
        self.suffixes = suffixes
        self._writer = writer

    def sniff(self, head: bytes) -> Sniff:
        """NO: programs are not read."""
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Raises UsageError: programs are written only."""
        raise UsageError(f"format '{self.name}' can be written but not read")

    def writer(self, out: BinaryIO, header: TraceHeader) -> ProgramWriter:
        """A writer that writes its head with the first batch, when it knows the names of registers."""
        return self._writer(out, header)
