"""CSV and TSV, for spreadsheets and data frames: a header row, then one row an event. Written only."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.formats.base import Sniff
from mmiotools.formats.source import ByteSource
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import DTYPES, Array, Batch, BoolArray, unpack_opcode
from mmiotools.trace.header import PciDevice, TraceHeader
from mmiotools.typed import Any, BinaryIO, Callable, Iterator

COLUMNS = (
    "kind",
    "time",
    "width",
    "map",
    "addr",
    "region",
    "offset",
    "value",
    "pc",
    "pid",
    "cpu",
    "virt",
    "length",
    "opcode",
    "text",
)
_KIND_NAMES = [kind.name for kind in Kind]
_QUOTED = re.compile(r'[",\r\n]')
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

#: Extra → what is told when it has to be left out. Extras that have a column or make up `text` are not here.
_LOST = {
    "raw": "raw spelling of lines",
    "reason": "reasons, places and counts of damage",
    "bars": "BARs of devices",
    "config": "configuration space of devices",
    "irq": "interrupt lines of devices",
    "meta": "header fields",
    "vector": "interrupt vectors and levels",
}
#: Numbers are looked up rather than spelled where each is there so often.
_OFTEN = 4
_IN_TEXT = {"text", "count", "bdf", "vendor", "device", "driver", "format", "version", "value", "opcode"}
_TOLD_WITH_OTHERS = {"damaged", "events", "line", "offset", "level", "virt", "length"}


class TableWriter:
    """Writes batches as rows, one column's strings at a time."""

    def __init__(self, out: BinaryIO, header: TraceHeader, separator: str) -> None:
        self.lost: Counter[str] = Counter()
        self._out = out
        self._separator = separator
        self._digits = min(max(header.time_digits, 0), 9)
        self._addresses = AddressMap()
        out.write(separator.join(COLUMNS).encode() + b"\n")

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        if not len(batch):
            return
        resolved = self._addresses.resolve(batch)
        access = batch.accesses
        named = np.where(access | batch.present("region"), resolved.region, -1)
        names = [self._cell(region.name) for region in self._addresses.regions] + [""]
        columns: list[list[str]] = [
            list(map(_KIND_NAMES.__getitem__, batch.kind.tolist())),
            self._times(batch),
            _decimals(batch, "width"),
            _decimals(batch, "map"),
            _hexes(batch.data("addr"), batch.present("addr")),
            [names[code] for code in named.tolist()],
            _hexes(resolved.offset, self._addresses.has_offset(batch, named)),
            _hexes(batch.data("value"), batch.present("value")),
            _hexes(batch.data("pc"), batch.present("pc")),
            _decimals(batch, "pid"),
            _decimals(batch, "cpu"),
        ]
        columns.extend([""] * len(batch) for _ in range(4))
        self._opcodes(batch, columns[13])
        for row, extra in batch.extras.items():
            self._rare(batch, row, extra, columns)
        self._count_lost_columns(batch)
        lines = map(self._separator.join, zip(*columns, strict=True))
        self._out.write("\n".join(lines).encode() + b"\n")

    def close(self) -> None:
        """Nothing is held back."""

    def _times(self, batch: Batch) -> list[str]:
        times, present = batch.data("time"), batch.present("time")
        digits = self._digits
        if (times % 10 ** (9 - digits)).any():
            digits = 9
        whole, rest = np.divmod(np.abs(times), 1_000_000_000)
        rest //= 10 ** (9 - digits)
        template = f"%s%d.%0{digits}d" if digits else "%s%d"
        signs = np.where(times < 0, "-", "").tolist()
        if digits:
            shown = [template % parts for parts in zip(signs, whole.tolist(), rest.tolist(), strict=True)]
        else:
            shown = [template % parts for parts in zip(signs, whole.tolist(), strict=True)]
        return _blanked(shown, present)

    def _opcodes(self, batch: Batch, cells: list[str]) -> None:
        column = batch.columns.get("opcode")
        if column is None:
            return
        known: dict[int, str] = {}
        packed = column.data.tolist()
        for row in flatnonzero(batch.present("opcode")).tolist():
            number = packed[row]
            if number not in known:
                known[number] = unpack_opcode(number).hex()
            cells[row] = known[number]

    def _rare(self, batch: Batch, row: int, extra: dict[str, Any], columns: list[list[str]]) -> None:
        for name, at in (("value", 7), ("virt", 11), ("length", 12)):
            if isinstance(extra.get(name), int):
                columns[at][row] = f"{extra[name]:#x}"
        if isinstance(extra.get("opcode"), bytes):
            columns[13][row] = extra["opcode"].hex()
        columns[14][row] = self._text(Kind(int(batch.kind[row])), extra)
        for name in extra:
            if name in _LOST:
                self.lost[_LOST[name]] += bool(extra[name])
            elif name not in _IN_TEXT and name not in _TOLD_WITH_OTHERS:
                self.lost[f"'{name}'"] += 1

    def _text(self, kind: Kind, extra: dict[str, Any]) -> str:
        if kind == Kind.DEVICE:
            device = PciDevice.from_extra(extra)
            return self._cell(f"{device.address} {device.ids} {device.driver}".rstrip())
        if kind == Kind.HEADER:
            return self._cell(f"{extra.get('format', '')} {extra.get('version', '')}".strip())
        if kind == Kind.LOST and extra.get("count") is not None:
            return str(extra["count"])
        text = extra.get("text", b"")
        if isinstance(text, bytes):
            try:
                text = text.decode()
            except UnicodeDecodeError:
                self.lost["bytes that are not UTF-8 (escaped)"] += 1
                text = text.decode("utf-8", "backslashreplace")
        return self._cell(str(text))

    def _cell(self, text: str) -> str:
        if self._separator == "\t":
            return text.translate(_ESCAPES)
        return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text

    def _count_lost_columns(self, batch: Batch) -> None:
        eol = batch.columns.get("eol")
        if eol is not None and eol.data.any():
            self.lost["line ends other than LF"] += int(np.count_nonzero(eol.data))
        self.lost = +self.lost
        for name in batch.columns:
            if name not in DTYPES or name == "mr":
                self.lost[f"column '{name}'"] += int(np.count_nonzero(batch.present(name)))


def _blanked(cells: list[str], present: BoolArray) -> list[str]:
    for row in flatnonzero(~present).tolist():
        cells[row] = ""
    return cells


def _decimals(batch: Batch, name: str) -> list[str]:
    if name not in batch.columns:
        return [""] * len(batch)
    return _blanked(_spelled(batch.data(name), str), batch.present(name))


def _hexes(data: Array, present: BoolArray) -> list[str]:
    return _blanked(_spelled(data, hex), present)


def _spelled(data: Array, spell: Callable[[int], str]) -> list[str]:
    """The text of each number, which is made once for those that are the same."""
    values = distinct(data)
    if len(values) * _OFTEN > len(data):
        return list(map(spell, data.tolist()))
    texts = list(map(spell, values.tolist()))
    if len(texts) == 1:
        return texts * len(data)
    return [texts[place] for place in np.searchsorted(values, data).tolist()]


class TableFormat:
    """The plug-in object of CSV and of TSV."""

    api = 1
    suffixes: tuple[str, ...]
    keeps = frozenset(
        {"time", "width", "map", "addr", "region", "offset", "value", "pc", "pid", "cpu", "opcode", "text"}
        | {kind.name for kind in Kind}
        - {"DEVICE", "HEADER", "IRQ"}
    )
    binary = False
    readable = False
    writable = True

    def __init__(self, name: str, title: str, separator: str) -> None:
        self.name = name
        self.title = title
        self.suffixes = (f".{name}",)
        self._separator = separator

    def sniff(self, head: bytes) -> Sniff:
        """NO: tables are not read."""
        return Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Raises UsageError: tables are written only."""
        raise UsageError(f"format '{self.name}' can be written but not read")

    def writer(self, out: BinaryIO, header: TraceHeader) -> TableWriter:
        """A writer that has written the header row."""
        return TableWriter(out, header, self._separator)


CSV = TableFormat("csv", "Comma-separated values, one event a row.", ",")
TSV = TableFormat("tsv", "Tab-separated values, one event a row.", "\t")
