"""mmiotrace text on the compiled engine: what `mmiotrace_scan` and `mmiotrace_print` do on numpy's."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.line_columns import Store
from mmiotools.formats.mmiotrace_scan import complete
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import DTYPES, EOL_CRLF, EOL_LF, MAX_EVENTS, Batch, Column, Regions
from mmiotools.typed import Any, Iterator, ModuleType

#: The columns that the engine fills, in its order.
_BYTES, _WORDS = ("kind", "width", "crlf"), ("time", "map", "pid", "start", "end", "addr", "value", "pc", "opcode")
_PRINTED = ("width", "time", "map", "pid", "addr", "value", "pc", "opcode")
#: The kind of a line that is not taken.
_OTHER = 255


def scan(fast: ModuleType, block: bytes, first_line: int, regions: Regions) -> Iterator[Batch]:
    """See `mmiotrace_scan.scan`."""
    at = 0
    while at < len(block):
        # No more lines than bytes. What is not filled costs no memory: the system gives none before it is written to.
        room = min(len(block) - at, MAX_EVENTS)
        columns: dict[str, Any] = {name: np.empty(room, np.uint8) for name in _BYTES}
        columns |= {name: np.empty(room, np.int64 if name in ("start", "end") else DTYPES[name]) for name in _WORDS}
        rows, at = fast.scan_lines(block, at, room, *columns.values())
        yield _batch(block, {name: column[:rows] for name, column in columns.items()}, first_line, regions)
        first_line += rows


def _batch(block: bytes, columns: dict[str, Any], first_line: int, regions: Regions) -> Batch:
    kind, crlf = columns["kind"], columns["crlf"].view(np.bool_)
    taken, unknown = kind != _OTHER, kind == Kind.UNKNOWN
    every, mixed = bool(taken.all()), bool(unknown.any())
    #: Which rows have a column; None for all.
    plain = taken & ~unknown if mixed else None if every else taken
    owners = dict.fromkeys(("width", "value"), plain)
    if mixed:
        owners["opcode"] = unknown
    store = Store(len(kind))
    for name in ("width", "time", "map", "addr", "value", "opcode", "pc", "pid"):
        present = owners.get(name, None if every else taken)
        if (mixed or name != "opcode") and (present is None or present.any()):
            store.adopt(name, columns[name], present)
    extras: dict[int, dict[str, Any]] = {}
    if not every:
        others = flatnonzero(~taken)
        extras = complete(block, others, columns["start"], columns["end"], first_line, regions, kind, store)
    found = store.columns()
    if crlf.any():
        found["eol"] = Column(np.where(crlf, np.uint8(EOL_CRLF), np.uint8(EOL_LF)))
    return Batch(kind, found, extras, regions)


def print_regular(fast: ModuleType, batch: Batch) -> Any:
    """A function of two row numbers that gives the lines from the one to the other, all of them regular rows."""
    columns = [np.ascontiguousarray(batch.kind)]
    columns += [np.ascontiguousarray(batch.data(name), DTYPES[name]) for name in _PRINTED]
    room = np.empty(len(batch) * fast.LINE_MOST, np.uint8)

    def lines(start: int, stop: int) -> memoryview:
        return room.data[: fast.print_rows(room, start, stop, *columns)]

    return lines
