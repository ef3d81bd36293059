"""Tab-separated recordings of Pretender and Conware. The grammar is in formats/conware.md."""

from __future__ import annotations

import csv
import re

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.base import EVERYTHING, Sniff
from mmiotools.formats.line_format import LineFormat
from mmiotools.formats.line_shapes import Hole, Numbers, Shape
from mmiotools.formats.lines import Parsed
from mmiotools.formats.source import ByteSource
from mmiotools.formats.text_numbers import padded
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, ClassVar, Iterator, NDArray

COLUMNS = ["Operation", "Seqn", "Address", "Value", "Value (Model)", "PC", "Size", "Timestamp", "Model"]
_BEGIN = b"Operation\tSeqn\t"
_NEEDED = {"Operation", "Address", "Value", "PC", "Size"}
_KINDS = {"READ": Kind.READ, "WRITE": Kind.WRITE, "INTERRUPT": Kind.IRQ}
_WORDS = {kind: word for word, kind in _KINDS.items()}
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})L?\Z")
_SECONDS = re.compile(r"([0-9]{1,9}|[0-8][0-9]{9})(?:\.([0-9]{1,9})[0-9]{0,9})?\Z")
_BILLION = 1_000_000_000
_TENS = 10 ** np.arange(10, dtype=np.uint64)
_HEADINGS = re.compile(rb"^(" + _BEGIN + rb"[^\n]*?)\r?$", re.MULTILINE)
#: An access in the usual columns, as Conware writes it.
_USUAL = (
    rb"(?:READ|WRITE)\t(?P<seqn>0|[1-9]\d{0,15})?\t0x(?P<addr>%(n)s)\t(?P<value>%(n)s)\t%(text)s\t(?:0x(?P<pc>%(pc)s))?"
    rb"\t(?:[1-9]?\d|1\d\d|2[0-4]\d|25[0-5]|)\t(?:0|(?P<seconds>0|[1-9]\d{0,8}|[1-8]\d{9})\.(?P<rest>0|\d{0,8}[1-9]))"
    rb"\t%(text)s" % {b"n": padded(8), b"pc": padded(6), b"text": b"[ -{}~]*"}
)
_HOLES = {
    **{"seqn": Hole(1, 10), "addr": Hole(8), "value": Hole(8), "pc": Hole(6)},
    **{"seconds": Hole(1, 10), "rest": Hole(16, 10)},
}


def _stamped(numbers: dict[str, Numbers]) -> NDArray[np.bool_]:
    """Times of seconds and what is behind the point."""
    present, seconds, _ = numbers.pop("seconds")
    _, rest, digits = numbers.pop("rest")
    good: NDArray[np.bool_] = ~present | (seconds < 9 * _BILLION) & ((digits == 1) | (rest % np.uint64(10) != 0))
    time = seconds * np.uint64(_BILLION) + rest * _TENS[9 - np.minimum(digits, 9)]
    numbers["time"] = Numbers(present, time, digits)
    return good


class _Unfit(ValueError):
    pass


class Conware(LineFormat):
    """The plug-in object; and, with the columns of its file, what reads one."""

    name: ClassVar[str] = "conware"
    title: ClassVar[str] = "Tab-separated recordings of Pretender and Conware."
    suffixes: ClassVar[tuple[str, ...]] = (".conware.tsv",)
    keeps: ClassVar[frozenset[str]] = EVERYTHING - {
        *("map", "region", "offset", "pid", "cpu", "opcode"),
        *("UNKNOWN", "MAP", "UNMAP", "MARK", "LOST", "DEVICE"),
    }
    clock: ClassVar[str] = "wall"
    digits: ClassVar[int] = 9
    heading: ClassVar[bytes | None] = "\t".join(COLUMNS).encode()
    line_end: ClassVar[bytes] = b"\r\n"
    records: ClassVar[re.Pattern[bytes]] = re.compile(rb"^" + _BEGIN, re.MULTILINE)
    shape = Shape(_USUAL, _HOLES, _stamped)

    def __init__(self) -> None:
        super().__init__()
        self._columns = COLUMNS

    def sniff(self, head: bytes) -> Sniff:
        """Sure by the names of the first two columns."""
        return Sniff.YES if head.startswith(_BEGIN) else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """One event a row. The columns are those that the last heading named, so rows are read in order."""
        header, batches = super(Conware, Conware()).read(source)
        return header, (batch for batch in batches)

    def _block(self, block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
        usual = self.heading
        headings = _HEADINGS.findall(block) if _BEGIN in block else []
        if self._columns == COLUMNS and all([heading == usual for heading in headings]):
            yield from super()._block(block, line, regions)
        else:
            yield from self._lines(block, line, regions)

    def parse(self, line: bytes, regions: Regions) -> Event | str | None:
        """A row, by the columns of the heading before it."""
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return "not UTF-8"
        cells = _cells(text)
        if line.startswith(_BEGIN):
            if not set(cells) >= _NEEDED:
                return "a heading that lacks columns"
            self._columns = cells
            return Event(Kind.HEADER, extra={"format": self.name, "meta": {"columns": cells}})
        if not line:
            return None
        if len(cells) != len(self._columns):
            return f"{len(cells)} cells in a row of {len(self._columns)}"
        row = dict(zip(self._columns, cells, strict=True))
        kind = _KINDS.get(row["Operation"])
        if kind is None:
            return None if row["Operation"].isalpha() else "no operation"
        try:
            return _event(kind, row)
        except _Unfit as error:
            return str(error)

    def render(self, event: Event) -> bytes | None:
        """A row of the usual columns."""
        if event.kind == Kind.HEADER and event.extra.get("format") == self.name:
            columns = event.extra.get("meta", {}).get("columns", COLUMNS)
            return "\t".join(map(_quoted, columns)).encode()
        word, extra = _WORDS.get(event.kind), event.extra
        value = extra.get("vector") if event.kind == Kind.IRQ else event.value
        if word is None or value is None or value >> 64 or (event.addr is None and event.kind != Kind.IRQ):
            return None
        cells = [
            word,
            str(extra.get("seqn", "")),
            f"0x{event.addr or 0:08x}",
            f"{value:08x}",
            str(extra.get("model_value", "")),
            "" if event.pc is None else f"0x{event.pc:06x}",
            str(event.width) if event.width is not None else "0" if event.kind == Kind.IRQ else "",
            _stamp(event.time),
            str(extra.get("model", "")),
        ]
        text = "\t".join(cells)
        if "|" in text or "\r" in text or "\n" in text or text.count("\t") != len(cells) - 1:
            text = "\t".join(map(_quoted, cells))
        return text.encode()


def _cells(text: str) -> list[str]:
    if "|" not in text:
        return text.split("\t")
    try:
        return next(csv.reader([text], delimiter="\t", quotechar="|"), [])
    except csv.Error:
        return text.split("\t")


def _quoted(cell: str) -> str:
    return f"|{cell.replace('|', '||')}|" if re.search(r"[\t|\r\n]", cell) else cell


def _event(kind: Kind, row: dict[str, str]) -> Event:
    extra: dict[str, Any] = {}
    seqn = row.get("Seqn", "")
    if seqn:
        extra["seqn"] = int(seqn) if re.fullmatch(r"[0-9]{1,18}", seqn) else seqn
    for name, column in (("model_value", "Value (Model)"), ("model", "Model")):
        if row.get(column):
            extra[name] = row[column]
    value: int | None = _number(row, "Value")
    addr: int | None = _number(row, "Address")
    if kind == Kind.IRQ:
        extra["vector"], value = value, None
        addr = addr or None
    size = row["Size"]
    if size and (not re.fullmatch(r"[0-9]{1,3}", size) or int(size) > 255):
        raise _Unfit("'Size' is no number of bytes")
    pc = _number(row, "PC") if row["PC"] else None
    width = int(size) if size and (kind != Kind.IRQ or size != "0") else None
    return Event(kind, _time(row.get("Timestamp", "")), width, addr=addr, value=value, pc=pc, extra=extra)


def _number(row: dict[str, str], name: str) -> int:
    match = _HEX.match(row[name])
    if match is None:
        raise _Unfit(f"'{name}' is no hexadecimal number")
    return int(match[1], 16)


def _time(cell: str) -> int | None:
    """Nanoseconds of seconds with decimals. 0 stands for no time: Conware always writes it."""
    if cell in ("", "0"):
        return None
    match = _SECONDS.match(cell)
    if match is None:
        raise _Unfit("'Timestamp' is no number of seconds")
    return int(match[1]) * _BILLION + int((match[2] or "").ljust(9, "0"))


def _stamp(time: int | None) -> str:
    if time is None or time < 0:
        return "0"
    seconds, rest = divmod(time, _BILLION)
    return f"{seconds}.{f'{rest:09d}'.rstrip('0') or '0'}"


FORMAT = Conware()
