"""Streams of several inputs as one: a single table of regions, one header, and lines that end before others follow."""

from __future__ import annotations

import numpy as np

from mmiotools.events import is_damage
from mmiotools.trace.batch import DTYPES, EOL_LF, EOL_NONE, Batch, Column, Regions
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, Callable, Iterable, Iterator, NDArray, Sequence

#: Named columns that nobody knows are kept apart by type; a hostile input does not get more than these.
_MAX_UNKNOWN = 256


class Unifier:
    """Makes batches of several inputs fit to be joined: `regions` is the table that all of them have then."""

    def __init__(self) -> None:
        self.regions = Regions()
        #: id of a table → the table itself, so that the id stays its own, and our codes for its codes.
        self._known: dict[int, tuple[Regions, NDArray[np.uint32]]] = {}
        self._types: dict[str, np.dtype[Any]] = {}

    def adopt(self, batch: Batch) -> Batch:
        """The same events with region codes of `regions`; columns of unknown names that have different types in
        different inputs get the type behind their name.
        """
        columns = {name: column for name, column in batch.columns.items() if name in DTYPES}
        for name, column in batch.columns.items():
            if name not in DTYPES:
                columns[self._named(name, column)] = column
        if "region" in columns:
            data, present = columns["region"]
            columns["region"] = Column(self._codes(batch.regions)[data], present)
        return Batch(batch.kind, columns, batch.extras, self.regions)

    def _named(self, name: str, column: Column) -> str:
        wanted = self._types.get(name)
        if wanted is None and len(self._types) < _MAX_UNKNOWN:
            wanted = self._types[name] = column.data.dtype
        return name if wanted == column.data.dtype else f"{name}.{column.data.dtype.str.lstrip('<>|=')}"

    def _codes(self, regions: Regions) -> NDArray[np.uint32]:
        held = self._known.get(id(regions), (regions, np.zeros(0, np.uint32)))[1]
        more = zip(regions.names[len(held) :], regions.spaces[len(held) :], strict=True)
        new = [self._code(name, space) for name, space in more]
        if new or not len(held):
            held = np.concatenate([held, np.array(new or [0], np.uint32)])
            self._known[id(regions)] = (regions, held[: len(regions.names) or 1])
        return held

    def _code(self, name: str, space: str) -> int:
        """The code of a region; a name that stands for another space elsewhere has its space behind it."""
        code = self.regions.code(name, space)
        return code if self.regions.spaces[code] == space else self.regions.code(f"{name} ({space})", space)


def common_header(parts: Sequence[tuple[str, TraceHeader]], say: Callable[[str], None]) -> TraceHeader:
    """The header of several traces, given with their names: what all of them say. `say` is told of other clocks."""
    (first_name, first), *others = parts
    header = TraceHeader(first.format, first.clock, first.time_digits, first.meta)
    for name, other in others:
        header.time_digits = max(header.time_digits, other.time_digits)
        if other.format != header.format:
            header.format = ""
        if other.meta != first.meta:
            header.meta = {}
        if other.clock != first.clock:
            header.clock = "unknown"
            if "unknown" not in (first.clock, other.clock):
                clocks = f"{first_name} counts time from {first.clock}, {name} from {other.clock}"
                say(f"{clocks}: times are taken as they are")
    return header


def with_last_line_ended(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same events, the last of which has a line end if it had none: others follow. A last line that was cut off
    must not become a whole one by that; its text is kept as `cut`, by which no reader takes it for a record.
    """
    held: Batch | None = None
    for batch in batches:
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield _ended(held)


def _ended(batch: Batch) -> Batch:
    column = batch.columns.get("eol")
    if column is None or not len(batch) or column.data[-1] != EOL_NONE:
        return batch
    ends = column.data.copy()
    ends[-1] = EOL_LF
    extras, last = batch.extras, len(batch) - 1
    extra = extras.get(last, {})
    if is_damage(int(batch.kind[last]), extra) and isinstance(extra.get("text"), bytes):
        changed = {name: item for name, item in extra.items() if name != "text"}
        extras = {**extras, last: {**changed, "cut": extra["text"].decode("utf-8", "backslashreplace")}}
    return Batch(batch.kind, {**batch.columns, "eol": Column(ends, column.present)}, extras, batch.regions)
