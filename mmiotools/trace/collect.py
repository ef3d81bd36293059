"""All accesses of a stream as columns."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.speed import compiled
from mmiotools.trace.accesses import COLUMNS, Accesses, base_addresses, flat
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import DTYPES, MAX_EVENTS, Batch, concatenate
from mmiotools.trace.growing import GrowingColumn
from mmiotools.typed import Any, Callable, Iterator, ModuleType

#: The columns of a batch that `collect` looks at; a reader may leave out the others, and times where nobody asks.
COLLECTED = frozenset({"width", "map", "addr", "region", "offset", "value"})
#: Batches are joined until they have so many rows: the work on a batch of few rows is mostly calling numpy.
_ROWS = 1 << 15
#: Columns that an access may lack: name and presence in `Accesses`, name in a batch.
_OPTIONAL = (("value", "has_value", "value"), ("address", "has_address", "addr"), ("time", "has_time", "time"))
#: What the compiled engine takes from a batch.
_TAKEN = ("op", "width", "region", "offset", "value")
#: What it needs for that.
_NEEDED = dict.fromkeys(("width", "addr", "value")).keys()

#: Stands for a presence of all.
_ALL = np.ones(1, np.bool_)


def collect(
    batches: Iterator[Batch], room: int | None = None, column: Callable[[str, int], GrowingColumn] = GrowingColumn
) -> Accesses:
    """All accesses of a stream, resolved. Memory: about 23 bytes an access, 9 for times where there are any, and 9 for
    addresses where regions and offsets do not say them.

    room    how many there may be, if that is known
    column  makes a column of a type, with that room

    A device that is described only after its first accesses is still found: registers are named when all is read
    only if the stream's order says so, exactly as `AddressMap` does.
    """
    collector = _Collector(room or 0, column)
    taker = None if (engine := compiled()) is None else _Taker(engine, collector)
    for together in _several(batches):
        if taker is None or not taker.take(together):
            collector.add(concatenate(together))
    return collector.finish()


def _several(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    waiting: list[Batch] = []
    rows = 0
    for batch in batches:
        if waiting and (rows + len(batch) > MAX_EVENTS or batch.regions is not waiting[0].regions):
            yield waiting
            waiting, rows = [], 0
        waiting.append(batch)
        rows += len(batch)
        if rows >= _ROWS:
            yield waiting
            waiting, rows = [], 0
    if waiting:
        yield waiting


class _Collector:
    """Columns that are not complete yet."""

    def __init__(self, room: int, column: Callable[[str, int], GrowingColumn]) -> None:
        self.addresses = AddressMap()
        self.count = 0
        self._columns = {name: column(dtype, room) for name, dtype in COLUMNS.items() if name != "identity"}
        self._wide: dict[int, int] = {}
        #: Can all addresses so far be told from regions and offsets?
        self._told = True

    def add(self, batch: Batch) -> None:
        """The accesses of the next batch."""
        region, offset = self.addresses.registers(batch)
        keep: Any = flatnonzero(batch.accesses)
        size = len(keep)
        if not size:
            return
        for row, extra in batch.extras.items():
            if "value" in extra and batch.kind[row] <= Kind.UNKNOWN:
                self._wide[self.count + int(np.searchsorted(keep, row))] = extra["value"]
        if size == len(batch):
            keep = slice(None)
        width, has_width = _column(batch, "width", keep)
        if width is None:
            width = -1
        elif has_width is not True:
            width = np.where(has_width, width.astype(np.int16), np.int16(-1))
        found = {"op": batch.kind[keep], "width": width, "region": region[keep], "offset": offset[keep]}
        for name, flag, source in _OPTIONAL:
            found[name], found[flag] = _column(batch, source, keep)
        if self._told and (found["has_address"] is not True or "region" in batch.columns):
            self._tell()
        self.put(found, size)

    def put(self, found: dict[str, Any], size: int) -> None:
        """So many accesses as columns, see `GrowingColumn.add`."""
        if self._told:
            found = {name: part for name, part in found.items() if name not in ("address", "has_address")}
        elif "address" not in found:
            found["address"] = base_addresses(self.addresses.regions, found["region"]) + found["offset"]
            found["has_address"] = True
        for name, part in found.items():
            self._columns[name].add(part, size)
        self.count += size

    def finish(self) -> Accesses:
        """All of them."""
        whole: dict[str, Any] = {name: column.whole() for name, column in self._columns.items()}
        if self._told:
            whole["address"] = whole["has_address"] = None
        identities: dict[tuple[Any, ...], int] = {}
        regions = self.addresses.regions
        codes = [identities.setdefault(region.identity, len(identities)) for region in regions]
        # Mostly each region has an identity of its own, and one column does for both.
        same = codes == list(range(len(codes)))
        whole["identity"] = whole["region"] if same else np.array([*codes, -1], np.int32)[whole["region"]]
        return Accesses(**whole, identities=list(identities), regions=regions, wide=self._wide)

    def _tell(self) -> None:
        """From here on addresses are kept."""
        self._told = False
        region, offset = (self._columns[name].whole() for name in ("region", "offset"))
        self._columns["address"].add(base_addresses(self.addresses.regions, region) + offset, self.count)
        self._columns["has_address"].add(1, self.count)


class _Taker:
    """What the compiled engine takes: batches whose accesses have all that they may have, and lie in BARs all. As
    `AddressMap.registers` does it, it matters what comes together.
    """

    def __init__(self, engine: ModuleType, collector: _Collector) -> None:
        self._take = engine.take_accesses
        self._collector = collector
        self._columns = {name: np.empty(MAX_EVENTS, COLUMNS[name]) for name in _TAKEN}

    def take(self, batches: list[Batch]) -> bool:
        """Put the accesses of some batches, of MAX_EVENTS rows at most, into the collector; or False, and nothing done,
        where they are not of that kind.
        """
        if not all(map(_ordinary, batches)):
            return False
        addresses = self._collector.addresses
        table = addresses.table()
        filled = 0
        for batch in batches:
            columns = [flat(batch.kind)]
            for name in _NEEDED:
                column = batch.columns[name]
                columns += (flat(column.data), _ALL if column.present is None else flat(column.present))
            out = tuple(self._columns.values())
            taken = self._take(len(batch), len(table[0]), tuple(columns), table, filled, out)
            if taken < 0:
                return False
            filled += taken
        for batch in batches:
            addresses.observe(batch)
        if filled:
            found: dict[str, Any] = {name: column[:filled] for name, column in self._columns.items()}
            self._collector.put(found | {"has_value": True, "time": None, "has_time": False}, filled)
        return True


def _ordinary(batch: Batch) -> bool:
    """Has it the columns that are needed, and no other that matters, and no device?"""
    columns = batch.columns
    if "time" in columns or "region" in columns or not columns.keys() >= _NEEDED:
        return False
    typical = all(columns[name].data.dtype == DTYPES[name] for name in _NEEDED)
    return typical and not bool((batch.kind == Kind.DEVICE).any())


def _column(batch: Batch, name: str, keep: Any) -> tuple[Any, Any]:
    """Data (None where the batch has none) and presence of some rows; presence is True or False where it is the same
    for all.
    """
    column = batch.columns.get(name)
    if column is None:
        return None, False
    if column.present is None:
        return column.data[keep], True
    present = column.present[keep]
    return column.data[keep], True if present.all() else present
