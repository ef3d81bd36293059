"""Reading JSON Lines: a block of lines at a time into columns; whatever is malformed becomes damage in its place."""

from __future__ import annotations

import json
import re
from itertools import chain

import numpy as np

from mmiotools.errors import FormatError
from mmiotools.formats.base import damaged
from mmiotools.formats.jsonl_columns import FAMILY, KINDS, SCHEMA, Columns, Object, damage
from mmiotools.formats.jsonl_fields import Unfit, untag
from mmiotools.formats.jsonl_lines import KEPT, KIND, Lines, blocks
from mmiotools.formats.jsonl_scan import Scanned, scan
from mmiotools.formats.line_columns import Place, Store
from mmiotools.formats.source import ByteSource
from mmiotools.formats.text_numbers import Index
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import MAX_EVENTS, Batch, Column, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, Callable, Iterator, Sequence

_SCHEMA = re.compile(rb'\{\s*"schema"\s*:\s*"([^"]*)"')


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
#: The scanner inside the decoder: one value at a place, no blanks skipped.
_scan: Callable[[str, int], tuple[Any, int]] = vars(_decoder)["scan_once"]
_BROKEN = (ValueError, StopIteration, RecursionError)
#: Between two objects of one list or line.
_NEXT_OBJECT = re.compile(rb"\}\s*,\s*\{")


def parse_object(line: bytes) -> Object | str:
    """The object of one line, or the reason why it is none."""
    try:
        text = line.decode().strip(" \t\r")
    except UnicodeDecodeError:
        return "not UTF-8"
    try:
        found, end = _scan(text, 0)
    except RecursionError:
        return "nested too deep"
    except (ValueError, StopIteration):
        return "malformed JSON"
    if end != len(text):
        return "two lines run into each other" if '"kind":' in text[end:] else "malformed JSON"
    return found if isinstance(found, dict) else "no JSON object"


# -- the header ------------------------------------------------------------------------------------------------


def read_stream(source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
    """Header and batches of a JSON Lines stream. Raises FormatError where the version is not ours, or where damage
    hides what the input is.
    """
    incoming = blocks(source)
    first = _beginning(incoming)
    line = first.lines[0] if first.lines else b""
    header = TraceHeader(time_digits=9)
    skip_first = False
    schema = _SCHEMA.match(line.lstrip())
    if schema is not None:
        _check_version(schema[1].decode("utf-8", "backslashreplace"), source.name)
        found = parse_object(line)
        if isinstance(found, dict):
            header = _header(found)
            skip_first = True
    elif KIND not in source.head:
        raise FormatError(f"{source.name}: no schema line and no events: not JSON Lines of mmiotools, or damaged")
    hidden = schema is None and KIND not in line and not _looks_like_event(line)
    return header, _Reader(skip_first, hidden).batches(chain([first], incoming))


def _beginning(incoming: Iterator[Lines]) -> Lines:
    """The first lines, from the first one on that is not blank; none where there are none."""
    for block in incoming:
        for at, line in enumerate(block.lines):
            if line.strip() or block.overlong is not None:
                return block._replace(lines=block.lines[at:], first=block.first + at)
    return Lines([], 1)


def _check_version(schema: str, name: str) -> None:
    if not schema.startswith(FAMILY):
        raise FormatError(f"{name}: schema '{schema}' is not '{SCHEMA}'")
    if schema[len(FAMILY) :].split(".")[0] != SCHEMA[len(FAMILY) :]:
        raise FormatError(f"{name}: schema '{schema}' is not a version that this release reads ('{SCHEMA}')")


def _header(found: Object) -> TraceHeader:
    """The typed view of a schema line; fields of an unexpected type take their defaults."""
    header = TraceHeader()
    for name in ("format", "clock"):
        if isinstance(found.get(name), str):
            setattr(header, name, found[name])
    if type(found.get("time_digits")) is int and 0 <= found["time_digits"] <= 9:
        header.time_digits = found["time_digits"]
    try:
        meta = untag(found.get("meta"))
    except (Unfit, RecursionError):
        meta = None
    header.meta = meta if isinstance(meta, dict) else {}
    return header


# -- lines → batches -------------------------------------------------------------------------------------------


def is_foreign_line(extra: Object) -> bool:
    """Whether a NOTE's text is a line of an unknown kind that a JSON Lines reader kept."""
    text = extra.get("text")
    if extra.get("dialect") != "jsonl" or not isinstance(text, bytes) or b"\n" in text:
        return False
    found = parse_object(text)
    return isinstance(found, dict) and isinstance(found.get("kind"), str) and found["kind"] not in KINDS


class _Reader:
    """What reading carries from block to block: the region table, and whether the last line was broken off."""

    def __init__(self, skip_first: bool, hidden_header: bool) -> None:
        self._skip_first = skip_first
        self._hidden_header = hidden_header
        self._regions = Regions()
        self._broken_off = -1

    def batches(self, incoming: Iterator[Lines]) -> Iterator[Batch]:
        """One or more batches a block."""
        for block in incoming:
            lines = block.lines
            number = block.first
            if self._skip_first:
                lines, number, self._skip_first = lines[1:], number + 1, False
            if self._hidden_header and block.overlong is None:
                # What was the schema line is no event: it is told, and counts for none.
                if not lines[0].rstrip().endswith(b"}"):
                    self._broken_off = number
                note = damaged("the schema line is damaged", text=lines[0][:KEPT], events=0, line=number)
                yield Batch.from_events([note], self._regions)
                lines, number, self._hidden_header = lines[1:], number + 1, False
            if block.overlong is not None:
                note = damaged("a line of more than 8 MiB", text=lines[0], events=max(1, block.overlong), line=number)
                yield Batch.from_events([note], self._regions)
                continue
            for start in range(0, len(lines), MAX_EVENTS):
                batch = self._batch(lines[start : start + MAX_EVENTS], number + start, block.ended)
                if len(batch):
                    yield batch

    def _batch(self, lines: list[bytes], first: int, ended: bool) -> Batch:
        scanned = scan(lines, self._regions)
        if not len(scanned.rows):
            return self._one_by_one(lines, range(first, first + len(lines)), ended)[0]
        others = np.ones(len(lines), np.bool_)
        others[scanned.rows] = False
        left = flatnonzero(others).tolist()
        complete = ended or not left or left[-1] != len(lines) - 1
        batch, kept = self._one_by_one([lines[row] for row in left], [first + row for row in left], complete)
        return _joined(scanned, batch, np.array(kept, np.int64) - first)

    def _one_by_one(self, lines: list[bytes], numbers: Sequence[int], ended: bool) -> tuple[Batch, Sequence[int]]:
        """The events of lines with these numbers, and the numbers of those that are events. `ended` is False when the
        last one has no line end.
        """
        at_once = _parse_together(lines)
        if at_once is not None:
            return Columns(at_once, lines, list(numbers), self._regions).batch(), numbers
        objects: list[Object] = []
        kept: list[int] = []
        kept_lines: list[bytes] = []
        last = numbers[-1] if lines else 0
        for number, line in zip(numbers, lines, strict=True):
            try:
                text = line.decode()
                found, end = _scan(text, 0)
                if end != len(text) or type(found) is not dict:
                    found = self._unusual(line, number, ended or number != last)
            except _BROKEN:
                found = self._unusual(line, number, ended or number != last)
            if found is not None:
                objects.append(found)
                kept.append(number)
                kept_lines.append(line)
        return Columns(objects, kept_lines, kept, self._regions).batch(), kept

    def _unusual(self, line: bytes, number: int, ended: bool) -> Object | None:
        """A line that the fast way did not take: blank, with blanks around it, or damaged."""
        if not line.strip():
            return None
        found = parse_object(line)
        if isinstance(found, dict):
            return found
        events = line.count(KIND)
        if events == 0 and (self._broken_off != number - 1 or _looks_like_event(line)) and not _SCHEMA.match(line):
            events = 1
        if not line.rstrip().endswith(b"}"):
            self._broken_off = number
        reason = found if ended else "the last line is cut off"
        return damage(reason, line, number, events)


def _joined(scanned: Scanned, rest: Batch, rest_rows: Index) -> Batch:
    """Lines that were scanned and events of other lines, whose rows those are, as one batch in the order of lines."""
    rows = np.sort(np.concatenate([scanned.rows, rest_rows]))
    n = len(rows)
    kind = np.empty(n, np.uint8)
    store = Store(n)
    kind[np.searchsorted(rows, scanned.rows)] = scanned.kinds
    for name, where, data in scanned.columns:
        store.put(name, Place(np.searchsorted(rows, where)), data)
    at = np.searchsorted(rows, rest_rows)
    kind[at] = rest.kind
    columns = {}
    for name, column in rest.columns.items():
        if name == "eol":
            ends = np.zeros(n, column.data.dtype)
            ends[at] = column.data
            columns[name] = Column(ends)
            continue
        here = slice(None) if column.present is None else column.present
        store.put(name, Place(at[here]), column.data[here])
    extras = {int(at[row]): extra for row, extra in rest.extras.items()}
    return Batch(kind, store.columns() | columns, extras, rest.regions)


def _parse_together(lines: list[bytes]) -> list[Object] | None:
    """The objects of lines that are all well-formed, in a third of the time that one by one takes; else None."""
    if not all(line.startswith(b'{"') and line.endswith(b"}") for line in lines):
        return None
    # No string goes on over a line end. An object might, and make up for a line that has two.
    together = b",\n".join(lines)
    try:
        found = _decoder.decode(f"[{together.decode()}]")
    except _BROKEN:
        return None
    if len(found) != len(lines) or not set(map(type, found)) <= {dict}:
        return None
    between = len(lines) - 1
    for line in lines if b'"bars":' in together else ():
        if b'"bars":' in line:
            between += len(_NEXT_OBJECT.findall(line))
            if not isinstance(parse_object(line), dict):
                return None
    return found if sum(1 for _ in _NEXT_OBJECT.finditer(together)) == between else None


def _looks_like_event(line: bytes) -> bool:
    """Whether a line begins as an event does but for one byte."""
    usual = b'{"kind":'
    return len(line) >= len(usual) and sum(a != b for a, b in zip(line, usual, strict=False)) <= 1
