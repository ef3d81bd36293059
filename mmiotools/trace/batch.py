"""A batch: up to 64 Ki events as numpy columns, with the rare things beside them.

A stream is an iterator of batches. Batches are not changed once they were handed on; `take` makes new ones.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from mmiotools.events import NOTHING, NUMERIC_FIELDS, Event, Kind, is_damage
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.typed import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, NDArray, Sequence

Array = NDArray[Any]
BoolArray = NDArray[np.bool_]

#: No batch is longer than this.
MAX_EVENTS = 1 << 16

#: Storage of each known column. A value that does not fit lies in the row's extras under the same name.
DTYPES: dict[str, np.dtype[Any]] = {
    "time": np.dtype(np.int64),
    "width": np.dtype(np.uint8),
    "map": np.dtype(np.int64),
    "addr": np.dtype(np.uint64),
    "region": np.dtype(np.uint32),
    "offset": np.dtype(np.uint64),
    "value": np.dtype(np.uint64),
    "pc": np.dtype(np.uint64),
    "pid": np.dtype(np.int64),
    "cpu": np.dtype(np.int32),
    "opcode": np.dtype(np.uint64),
    "eol": np.dtype(np.uint8),
    "mr": np.dtype(np.uint64),
}

#: What is looked up one by one costs so many times as much as what is looked up together.
_FEW = 8

#: Line ends as the `eol` column holds them.
EOL_LF, EOL_CRLF, EOL_NONE = 0, 1, 2
EOL_NAMES = ("lf", "crlf", "none")
EOL_BYTES = (b"\n", b"\r\n", b"")


def pack_opcode(opcode: bytes) -> int:
    """Up to 7 opcode bytes as one integer: the length in the top byte, the bytes big-endian below."""
    return len(opcode) << 56 | int.from_bytes(opcode, "big")


def unpack_opcode(packed: int) -> bytes:
    """The bytes that `pack_opcode` was given."""
    return (packed & (1 << 56) - 1).to_bytes(7, "big")[7 - (packed >> 56) :]


class Column(NamedTuple):
    """One field of every row. `present` is None when every row has it; absent rows hold 0 in `data`."""

    data: Array
    present: BoolArray | None = None


class Regions:
    """The names behind the `region` column: an append-only table that all batches of a stream share. Two regions may
    have one name if they lie in different spaces.
    """

    __slots__ = ("_codes", "names", "spaces")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.spaces: list[str] = []
        self._codes: dict[tuple[str, str | None], int] = {}

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._codes

    def code(self, name: str, space: str | None = None) -> int:
        """The code of a region, added if it is new. Without a space: the first of that name, else one in "mem"."""
        code = self._codes.get((name, space))
        if code is None:
            code = self._codes[name, space or "mem"] = len(self.names)
            self._codes.setdefault((name, None), code)
            self.names.append(name)
            self.spaces.append(space or "mem")
        return code


class Batch:
    """`n` events: `kind` (n,) uint8, named columns (n,), and `extras` by row for what is rare.

    `columns` may hold names that are not in `DTYPES` (from a newer writer); they travel along untouched.
    """

    __slots__ = ("columns", "extras", "kind", "regions")

    def __init__(
        self,
        kind: NDArray[np.uint8],
        columns: dict[str, Column] | None = None,
        extras: dict[int, dict[str, Any]] | None = None,
        regions: Regions | None = None,
    ) -> None:
        self.kind = kind
        self.columns = {} if columns is None else columns
        self.extras = {} if extras is None else extras
        self.regions = Regions() if regions is None else regions

    def __len__(self) -> int:
        return len(self.kind)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Small batches travel between processes by the hundred: as bytes, which are several times as fast to pickle
        and to unpickle as arrays.
        """
        if type(self) is not Batch:
            return object.__reduce_ex__(self, protocol)
        columns = [
            (name, data.dtype.str, bytearray(data), None if present is None else bytearray(present))
            for name, (data, present) in self.columns.items()
        ]
        return _unpickled, (bytearray(self.kind), columns, self.extras, self.regions)

    # -- columns ------------------------------------------------------------------------------------------

    def data(self, name: str) -> Array:
        """The column's numbers, (n,), 0 where absent."""
        column = self.columns.get(name)
        if column is None:
            return np.zeros(len(self), DTYPES.get(name, np.dtype(np.uint64)))
        return column.data

    def present(self, name: str) -> BoolArray:
        """Which rows have the field, (n,) bool."""
        column = self.columns.get(name)
        if column is None:
            return np.zeros(len(self), np.bool_)
        if column.present is None:
            return np.ones(len(self), np.bool_)
        return column.present

    def where(self, name: str, test: Callable[[Array], BoolArray]) -> BoolArray:
        """Which rows have the field with a number that passes a test of numbers, (m,), one by one; (n,) bool."""
        return test(self.data(name)) & self.present(name)

    def rows(self, *kinds: Kind) -> NDArray[np.intp]:
        """Row numbers of the events of these kinds, ascending."""
        if min(kinds) > Kind.UNKNOWN:
            # There are few that are no accesses.
            rare = flatnonzero(self.kind > Kind.UNKNOWN)
            return rare[_of_kind(self.kind[rare], kinds)]
        return flatnonzero(self.of_kind(*kinds))

    def of_kind(self, *kinds: Kind) -> BoolArray:
        """Mask (n,) of the events of these kinds."""
        return _of_kind(self.kind, kinds)

    @property
    def accesses(self) -> BoolArray:
        """Mask (n,) of READ, WRITE and UNKNOWN."""
        return np.asarray(self.kind <= Kind.UNKNOWN, np.bool_)

    @property
    def timed(self) -> BoolArray:
        """Mask (n,) of the events that have a time of their own: of LOST it may be a mere 0."""
        return np.asarray(self.present("time") & (self.kind != Kind.LOST), np.bool_)

    @property
    def rare(self) -> Batch:
        """The events that are no accesses."""
        rows = flatnonzero(self.kind > Kind.UNKNOWN)
        # There are none in most batches.
        return self.take(rows) if len(rows) else Batch(self.kind[rows], regions=self.regions)

    def damage(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Row and extras of each NOTE that stands for what could not be read."""
        if self.extras:
            for row in self.rows(Kind.NOTE).tolist():
                extra = self.extras.get(row)
                if extra and is_damage(Kind.NOTE, extra):
                    yield row, extra

    # -- selection ----------------------------------------------------------------------------------------

    def take(self, rows: Array) -> Batch:
        """The rows of a boolean mask (n,) or of ascending row numbers, as a new batch."""
        if rows.dtype == np.bool_:
            if rows.all():
                return self
            rows = flatnonzero(rows)
        columns = {}
        for name, column in self.columns.items():
            present = None if column.present is None else column.present[rows]
            if present is not None:
                count = np.count_nonzero(present)
                if not count:
                    continue
                if count == len(present):
                    present = None
            columns[name] = Column(column.data[rows], present)
        extras: dict[int, dict[str, Any]] = {}
        if len(rows) * _FEW < len(self.extras):
            extras = {new: self.extras[old] for new, old in enumerate(rows.tolist()) if old in self.extras}
        elif self.extras:
            wanted = np.fromiter(self.extras, np.intp, len(self.extras))
            at = np.searchsorted(rows, wanted)
            hit = (at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] == wanted) if len(rows) else at < 0
            for old, new in zip(wanted[hit].tolist(), at[hit].tolist(), strict=True):
                extras[new] = self.extras[old]
        return Batch(self.kind[rows], columns, extras, self.regions)

    def reordered(self, order: Array) -> Batch:
        """The rows in another order: a permutation of row numbers, (n,)."""
        columns = {
            name: Column(c.data[order], None if c.present is None else c.present[order])
            for name, c in self.columns.items()
        }
        extras = self.extras
        if extras:
            places = np.empty(len(order), np.intp)
            places[order] = np.arange(len(order))
            extras = {int(places[row]): extra for row, extra in extras.items()}
        return Batch(self.kind[order], columns, extras, self.regions)

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start..stop-1 as a batch that shares the arrays' memory."""
        if start <= 0 and stop >= len(self):
            return self
        columns = {
            name: Column(c.data[start:stop], None if c.present is None else c.present[start:stop])
            for name, c in self.columns.items()
        }
        extras = {row - start: extra for row, extra in self.extras.items() if start <= row < stop}
        return Batch(self.kind[start:stop], columns, extras, self.regions)

    def without(self, names: Sequence[str]) -> Batch:
        """The same events without some columns."""
        columns = {name: column for name, column in self.columns.items() if name not in names}
        return Batch(self.kind, columns, self.extras, self.regions)

    # -- the single-event view ----------------------------------------------------------------------------

    def event(self, row: int) -> Event:
        """Row as an `Event`."""
        values: dict[str, int | None] = {}
        for name in NUMERIC_FIELDS:
            column = self.columns.get(name)
            if column is not None and (column.present is None or column.present[row]):
                values[name] = int(column.data[row])
        extra: Mapping[str, Any] = self.extras.get(row, NOTHING)
        if "value" in extra:
            values["value"] = extra["value"]
            extra = {key: item for key, item in extra.items() if key != "value"}
        region = None
        column = self.columns.get("region")
        if column is not None and (column.present is None or column.present[row]):
            region = self.regions.names[int(column.data[row])]
        for name in ("opcode", "eol", "mr"):
            column = self.columns.get(name)
            if column is None or not (column.present is None or column.present[row]):
                continue
            number = int(column.data[row])
            if name == "opcode":
                extra = {**extra, "opcode": unpack_opcode(number)}
            elif name == "mr":
                extra = {**extra, "mr": number}
            elif number != EOL_LF:
                extra = {**extra, "eol": EOL_NAMES[number]}
        return Event(Kind(int(self.kind[row])), region=region, extra=extra, **values)

    def events(self) -> Iterator[Event]:
        """Every row as an `Event`, in order."""
        n = len(self)
        kinds = {number: Kind(number) for number in distinct(self.kind).tolist()}
        fields: dict[str, Iterable[Any]] = dict.fromkeys(Event._fields, [None] * n)
        fields["kind"] = [kinds[number] for number in self.kind.tolist()]
        for name in NUMERIC_FIELDS:
            if name in self.columns:
                fields[name] = _or_none(self.columns[name])
        if "region" in self.columns:
            names = self.regions.names
            fields["region"] = [None if code is None else names[code] for code in _or_none(self.columns["region"])]
        extras: list[Mapping[str, Any]] = [NOTHING] * n
        for row, extra in self.extras.items():
            extras[row] = extra
        wide = {row: extra["value"] for row, extra in self.extras.items() if "value" in extra}
        if wide:
            values = list(fields["value"])
            for row, value in wide.items():
                values[row] = value
                extras[row] = {key: item for key, item in extras[row].items() if key != "value"}
            fields["value"] = values
        for name in ("opcode", "eol", "mr"):
            if name in self.columns:
                for row, number in enumerate(_or_none(self.columns[name])):
                    if number is not None and (name != "eol" or number != EOL_LF):
                        extras[row] = {**extras[row], name: _SPELLED[name](number)}
        fields["extra"] = extras
        return map(Event._make, zip(*fields.values(), strict=True))

    @classmethod
    def from_events(cls, events: Iterable[Event], regions: Regions | None = None) -> Batch:
        """Columns from single events: for engines, tests and rare lines, not for bulk paths."""
        builder = Builder(regions)
        for event in events:
            builder.append(event)
        return builder.finish()


def _unpickled(
    kind: bytearray,
    columns: list[tuple[str, str, bytearray, bytearray | None]],
    extras: dict[int, dict[str, Any]],
    regions: Regions,
) -> Batch:
    """The batch that was pickled so."""
    made = {
        name: Column(np.frombuffer(data, dtype), None if present is None else np.frombuffer(present, np.bool_))
        for name, dtype, data, present in columns
    }
    return Batch(np.frombuffer(kind, np.uint8), made, extras, regions)


#: What the numbers of columns stand for that are no fields of an event, and so are in its extras.
_SPELLED: dict[str, Callable[[int], Any]] = {"opcode": unpack_opcode, "eol": EOL_NAMES.__getitem__, "mr": int}


def _or_none(column: Column) -> list[Any]:
    """The numbers of a column, None where it has none."""
    numbers: list[Any] = column.data.tolist()
    if column.present is not None:
        for row in flatnonzero(~column.present).tolist():
            numbers[row] = None
    return numbers


def _of_kind(kind: NDArray[np.uint8], kinds: tuple[Kind, ...]) -> BoolArray:
    if len(kinds) == 1:
        return np.asarray(kind == kinds[0], np.bool_)
    table = np.zeros(256, np.bool_)
    table[list(kinds)] = True
    return np.asarray(table[kind], np.bool_)


class Builder:
    """Collects single events into a batch."""

    def __init__(self, regions: Regions | None = None) -> None:
        self.regions = Regions() if regions is None else regions
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: Event) -> None:
        """Add one event at the end."""
        self._events.append(event)

    def finish(self) -> Batch:
        """The batch of all events appended since the last `finish`."""
        events, self._events = self._events, []
        return columnise(events, self.regions)


def columnise(events: Sequence[Event], regions: Regions) -> Batch:
    """Single events as a batch. Values of more than 8 bytes go to the extras of their row."""
    n = len(events)
    columns: dict[str, Column] = {}
    extras: dict[int, dict[str, Any]] = {}
    special: defaultdict[str, list[int | None]] = defaultdict(lambda: [None] * n)
    fields = dict(zip(Event._fields, zip(*events, strict=True) if events else [()] * len(Event._fields), strict=True))
    plain = fields["extra"].count(NOTHING) == n
    for row, held in enumerate(() if plain else fields["extra"]):
        if held is NOTHING or not held:
            continue
        extra = dict(held)
        opcode = extra.get("opcode")
        if opcode is not None and len(opcode) <= 7:
            special["opcode"][row] = pack_opcode(extra.pop("opcode"))
        if "mr" in extra:
            special["mr"][row] = extra.pop("mr")
        eol = extra.pop("eol", "lf")
        if eol != "lf":
            special["eol"][row] = EOL_NAMES.index(eol)
        if extra:
            extras[row] = extra
    if fields["region"].count(None) < n:
        special["region"] = [None if name is None else regions.code(name) for name in fields["region"]]
    for name in NUMERIC_FIELDS:
        values = fields[name]
        if name == "value":
            values = _narrow(values, extras)
        _add_column(columns, name, values)
    for name, values in special.items():
        _add_column(columns, name, values)
    if "eol" in columns:
        columns["eol"] = Column(columns["eol"].data)
    return Batch(np.frombuffer(bytes(fields["kind"]), np.uint8), columns, extras, regions)


def _narrow(values: Sequence[int | None], extras: dict[int, dict[str, Any]]) -> Sequence[int | None]:
    """The values, those of more than 8 bytes moved to the extras of their row."""
    if max(filter(None, values), default=0) >> 64 == 0:
        return values
    narrow = list(values)
    for row, value in enumerate(values):
        if value is not None and value >> 64:
            extras.setdefault(row, {})["value"] = value
            narrow[row] = None
    return narrow


def _add_column(columns: dict[str, Column], name: str, values: Sequence[int | None]) -> None:
    absent = values.count(None)
    if absent == len(values):
        return
    if not absent:
        same = values.count(values[0]) == len(values)
        columns[name] = Column(
            np.full(len(values), values[0], DTYPES[name]) if same else np.fromiter(values, DTYPES[name], len(values))
        )
        return
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    columns[name] = Column(np.fromiter((value or 0 for value in values), DTYPES[name], len(values)), present)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Several batches of one stream (one region table) as one."""
    if len(batches) == 1:
        return batches[0]
    names = list(dict.fromkeys(name for batch in batches for name in batch.columns))
    columns = {}
    for name in names:
        # Rows of batches without the column take the type that the others have, known name or not.
        dtype = next(batch.columns[name].data.dtype for batch in batches if name in batch.columns)
        parts = [b.columns[name].data if name in b.columns else np.zeros(len(b), dtype) for b in batches]
        data = np.concatenate(parts, dtype=dtype)
        everywhere = all(name in b.columns and b.columns[name].present is None for b in batches)
        columns[name] = Column(data, None if everywhere else np.concatenate([b.present(name) for b in batches]))
    if "eol" in columns:
        columns["eol"] = Column(columns["eol"].data)
    extras: dict[int, dict[str, Any]] = {}
    start = 0
    for batch in batches:
        extras.update((row + start, extra) for row, extra in batch.extras.items())
        start += len(batch)
    kind = np.concatenate([batch.kind for batch in batches]) if batches else np.zeros(0, np.uint8)
    return Batch(kind, columns, extras, batches[0].regions if batches else Regions())
