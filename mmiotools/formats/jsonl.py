"""JSON Lines: a first line with the schema, then one object an event, numbers of the bus as hexadecimal strings."""

from __future__ import annotations

import re
from operator import itemgetter

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.base import EVERYTHING, BatchTexts, Sniff
from mmiotools.formats.jsonl_columns import SCHEMA
from mmiotools.formats.jsonl_fields import TEXT_LIMIT, TEXTS, encode_extra, tag
from mmiotools.formats.jsonl_read import is_foreign_line, read_stream
from mmiotools.formats.source import ByteSource
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import DTYPES, EOL_LF, EOL_NAMES, Batch, unpack_opcode
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.in_c import json_text
from mmiotools.typed import Any, BinaryIO, ClassVar, Iterator, NDArray, Sequence

_SCHEMA_LINE = re.compile(rb'\s*\{\s*"schema"\s*:\s*"mmiotools\.trace/')
_EVENT_LINE = re.compile(rb'^[ \t\r]*+\{\s*+"kind"\s*+:\s*+"[A-Z]', re.MULTILINE)

#: Key under which unknown columns travel among the extras of a row until they are written; no extra has it.
_COLUMNS = None
_KIND_NAMES = [kind.name for kind in Kind]
#: Column → how it stands in the line; `%s` columns are turned into strings first.
_TEMPLATES = {
    "time": '"time_ns":%d',
    "width": '"width":%d',
    "map": '"map":%d',
    "addr": '"addr":"0x%x"',
    "region": '"region":%s',
    "offset": '"offset":"0x%x"',
    "value": '"value":"0x%x"',
    "pc": '"pc":"0x%x"',
    "pid": '"pid":%d',
    "cpu": '"cpu":%d',
    "opcode": '"opcode":"%s"',
    "mr": '"mr":"0x%x"',
    "eol": '"eol":"%s"',
}


class JsonlWriter(BatchTexts):
    """Writes batches column by column: rows that have the same fields share one template."""

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        super().__init__(out)
        first: dict[str, Any] = {
            "schema": SCHEMA,
            "format": header.format,
            "clock": header.clock,
            "time_digits": header.time_digits,
        }
        if header.meta:
            first["meta"] = tag(header.meta)
        out.write(json_text(first).encode() + b"\n")

    def pieces(self, batch: Batch) -> Iterator[bytes]:
        """The lines of some events."""
        yield "\n".join(self.lines(batch)).encode() + b"\n"

    def lines(self, batch: Batch) -> list[str]:
        """One JSON object a row, without line ends."""
        n = len(batch)
        columns = [name for name in _TEMPLATES if name in batch.columns]
        shape = np.zeros(n, np.int64)
        for bit, name in enumerate(columns):
            shape |= _shown(batch, name).astype(np.int64) << bit
        shapes = distinct(shape).tolist()
        if len(shapes) == 1:
            lines = _format(batch, columns, shapes[0], None)
        else:
            lines = [""] * n
            for one in shapes:
                rows = flatnonzero(shape == one)
                for row, line in zip(rows.tolist(), _format(batch, columns, one, rows), strict=True):
                    lines[row] = line
        rare: dict[int, dict[Any, Any]] = dict(batch.extras)
        self._add_unknown_columns(batch, rare)
        for row, extra in rare.items():
            if "opcode" in extra and "opcode" in columns and shape[row] >> columns.index("opcode") & 1:
                # The column has it, too, and that is the event's.
                extra = {name: item for name, item in extra.items() if name != "opcode"}
            lines[row] = self._with_extra(batch, row, lines[row], extra)
        return lines

    def _with_extra(self, batch: Batch, row: int, line: str, extra: dict[Any, Any]) -> str:
        if batch.kind[row] == Kind.NOTE and is_foreign_line(extra):
            text: bytes = extra["text"]
            return text.decode()
        for name in TEXTS:
            text = extra.get(name, b"")
            if isinstance(text, bytes) and len(text) > TEXT_LIMIT:
                self.lost["bytes of a text longer than 1 MiB"] += len(text) - TEXT_LIMIT
                extra = {**extra, name: text[:TEXT_LIMIT]}
        unknown = extra.get(_COLUMNS)
        encoded = encode_extra({name: item for name, item in extra.items() if name != _COLUMNS})
        if unknown:
            encoded["col"] = unknown
        return f"{line[:-1]},{json_text(encoded)[1:]}" if encoded else line

    def _add_unknown_columns(self, batch: Batch, rare: dict[int, dict[Any, Any]]) -> None:
        for name, column in batch.columns.items():
            if name in DTYPES:
                continue
            rows = flatnonzero(batch.present(name))
            if column.data.ndim != 1 or column.data.dtype.kind not in "iub":
                self.lost[f"column '{name}'"] += len(rows)
                continue
            letters = column.data.dtype.str.lstrip("<>|=")
            for row, number in zip(rows.tolist(), column.data[rows].tolist(), strict=True):
                extra = rare[row] = dict(rare.get(row, {}))
                extra[_COLUMNS] = {**extra.get(_COLUMNS, {}), name: [letters, int(number)]}


def _shown(batch: Batch, name: str) -> NDArray[np.bool_]:
    present = batch.present(name)
    return present & (batch.data(name) != EOL_LF) if name == "eol" else present


def _format(batch: Batch, columns: Sequence[str], shape: int, rows: NDArray[np.intp] | None) -> list[str]:
    """The lines of the rows (None: all) whose fields are the bits of `shape`."""
    parts = ['"kind":"%s"']
    kinds = batch.kind if rows is None else batch.kind[rows]
    lists: list[list[Any]] = [list(map(_KIND_NAMES.__getitem__, kinds.tolist()))]
    for bit, name in enumerate(columns):
        if shape >> bit & 1:
            parts.append(_TEMPLATES[name])
            data = batch.data(name) if rows is None else batch.data(name)[rows]
            lists.append(_strings(batch, name, data.tolist()))
    template = "{" + ",".join(parts) + "}"
    return [template % row for row in zip(*lists, strict=True)]


def _strings(batch: Batch, name: str, numbers: list[Any]) -> list[Any]:
    if name == "opcode":
        known = {number: unpack_opcode(number).hex() for number in set(numbers)}
        return [known[number] for number in numbers]
    if name == "eol":
        return [EOL_NAMES[number] for number in numbers]
    if name == "region":
        spelt = {}
        for code in set(numbers):
            space = batch.regions.spaces[code]
            of_space = "" if space == "mem" else f',"space":{json_text(space)}'
            spelt[code] = json_text(batch.regions.names[code]) + of_space
        return list(itemgetter(*numbers)(spelt)) if len(numbers) > 1 else [spelt[numbers[0]]]
    return numbers


class JsonlFormat:
    """The plug-in object."""

    api: ClassVar[int] = 1
    name: ClassVar[str] = "jsonl"
    title: ClassVar[str] = "JSON Lines, one event a line."
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    keeps: ClassVar[frozenset[str]] = EVERYTHING
    binary: ClassVar[bool] = False
    readable: ClassVar[bool] = True
    writable: ClassVar[bool] = True

    def sniff(self, head: bytes) -> Sniff:
        """YES by the schema line, LIKELY by an event's line anywhere in the head."""
        if _SCHEMA_LINE.match(head):
            return Sniff.YES
        return Sniff.LIKELY if _EVENT_LINE.search(head) else Sniff.NO

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Header and batches. Raises FormatError on another major version, or where nothing is an event."""
        return read_stream(source)

    def writer(self, out: BinaryIO, header: TraceHeader) -> JsonlWriter:
        """A writer that has written the schema line."""
        return JsonlWriter(out, header)


FORMAT = JsonlFormat()
