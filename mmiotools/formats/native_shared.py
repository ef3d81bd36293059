"""Columns of a native block that share their places: the block has a list of its distinct rows, as far as these columns
go, each column a number for each of them, and every event the place of its row.

Registers are used in the same ways again and again, so that a block of 65536 events has some thousand distinct rows.
"""

from __future__ import annotations

import numpy as np

from mmiotools.formats.native_columns import Presence
from mmiotools.formats.native_late import NONSENSE
from mmiotools.formats.native_layout import ADDRESS, DICTIONARY, PLACES, PLAIN, SHARED, unpack
from mmiotools.formats.native_partial import StoredColumn
from mmiotools.formats.native_planes import U64, Array, chosen, distinct_rows, place_of
from mmiotools.formats.native_zstd import Corrupt, expand_planes
from mmiotools.trace.batch import Batch, BoolArray, Column
from mmiotools.typed import Any, Callable, NamedTuple, NDArray

#: How a column may have its numbers.
_ENCODINGS = (PLAIN, DICTIONARY, ADDRESS)
#: The column that has the places; and those that may share them, in the order in which rows are sorted.
PLACES_NAME = "places"
_SHARING = ("kind", "addr", "width", "map", "value")
#: Events from which on it is worth it; and as many as there are of a distinct row on average, at least.
_LEAST, _OFTEN = 1 << 10, 4


class Shared(NamedTuple):
    """What a batch has distinct rows of.

    columns  those of the batch that share their places, by name, for each distinct row, (size,): where it lacks
             one, the number of another row
    planes   byte planes of the events' places
    size     how many distinct rows there are
    """

    columns: dict[str, Column]
    planes: list[Any]
    size: int


def share(batch: Batch) -> Shared | None:
    """The distinct rows of a batch; None where they are many, or it is short."""
    n = len(batch)
    if n < _LEAST or PLACES_NAME in batch.columns:
        return None
    filled = {name: _filled(column) for name in _SHARING if (column := _column(batch, name)) is not None}
    found = distinct_rows(list(filled.values()), n // _OFTEN)
    if found is None and filled.pop("value", None) is not None:
        # Other values each time, as those of a counter are: the rest may still recur.
        found = distinct_rows(list(filled.values()), n // _OFTEN)
    if found is None:
        return None
    rows = found.one_of
    return Shared({name: Column(data[rows]) for name, data in filled.items()}, found.planes, len(rows))


def _column(batch: Batch, name: str) -> Column | None:
    """A column that some rows have."""
    column = Column(batch.kind) if name == "kind" else batch.columns.get(name)
    return None if column is None or (column.present is not None and not column.present.any()) else column


def _filled(column: Column) -> Array:
    """Its numbers, where rows lack one that of another row."""
    data, present = column
    return data if present is None or present.all() else np.where(present, data, data[present.argmax()])


class DistinctRows:
    """The distinct rows of a block of n events, and the places of the events, by their entry and payload. All that it
    does may raise Corrupt.

    size  how many there are
    """

    def __init__(self, entry: Any, payload: bytes, n: int) -> None:
        self.size: int = entry[4]
        if len(entry) != 5 or type(self.size) is not int or not 0 < self.size <= n:
            raise Corrupt("an impossible number of distinct rows")
        self._payload, self._n = payload, n
        self._places: Array | None = None
        self._uses: NDArray[np.int64] | None = None

    @property
    def places(self) -> Array:
        """The places, (n,)."""
        if self._places is None:
            try:
                places = place_of(expand_planes(unpack(self._payload)["v"], self._n), self._n)
            except NONSENSE as error:
                raise Corrupt(str(error)) from error
            if int(places.max()) >= self.size:
                raise Corrupt("a place is beyond the distinct rows")
            self._places = places
        return self._places

    @property
    def uses(self) -> NDArray[np.int64]:
        """How many events have each distinct row, (size,)."""
        if self._uses is None:
            self._uses = np.bincount(self.places, minlength=self.size)
        return self._uses


class SharedColumn(StoredColumn):
    """A column with a number for each distinct row of a block.

    rows     these
    of_rows  its numbers for them, as a column of that many rows
    """

    def __init__(
        self, entry: Any, payload: bytes, n: int, addresses: U64 | None, presence: Presence, rows: DistinctRows
    ) -> None:
        _, bits, length, crc, encoding, *bitmap = entry
        if encoding not in _ENCODINGS:
            raise Corrupt("its numbers are in an encoding that they cannot be in")
        alone = [encoding, bits, length, crc, None]
        super().__init__([*alone, *bitmap], payload, n, addresses, presence)
        self.rows = rows
        self.of_rows = StoredColumn(alone, payload, rows.size, addresses, presence)

    def column(self) -> Column:
        """See StoredColumn."""
        if self._whole is None:
            # Places as what numpy counts with: it would make them that in a slower way.
            data = self.of_rows.column().data.take(self.rows.places.astype(np.intp))
            if self._present is not None:
                data[~self._present] = 0
            self._whole = Column(data, self._present)
        return self._whole

    def take(self, rows: NDArray[np.intp]) -> Column | None:
        """See StoredColumn."""
        present = None if self._present is None else self._present[rows]
        if present is None or present.all():
            return Column(self.of_rows.numbers_at(self.rows.places[rows]))
        if not present.any():
            return None
        data = self.of_rows.numbers_at(self.rows.places[rows])
        return Column(np.where(present, data, data.dtype.type(0)), present)

    def where(self, test: Callable[[Array], BoolArray]) -> BoolArray:
        """See StoredColumn."""
        table = self.of_rows.where(test)
        if not table.any():
            return np.zeros(self._n, np.bool_)
        found = chosen(table, self.rows.places)
        return found if self._present is None else found & self._present

    def held(self) -> Array:
        """See StoredColumn."""
        data, present = self.column()
        return data if present is None else data[present]

    def coded(self) -> tuple[Array, Array]:
        """See StoredColumn."""
        places = self.rows.places
        return self.of_rows.column().data, places if self._present is None else places[self._present]

    def by_row(self, count: int) -> Array | None:
        """See StoredColumn."""
        return self.of_rows.column().data


def rows_of(directory: dict[Any, Any], payloads: dict[Any, bytes], n: int) -> DistinctRows | None:
    """Those of a block of n events; None where it has none. Raises Corrupt, or another of NONSENSE."""
    found = [name for name, entry in directory.items() if entry[0] == PLACES]
    if not found:
        return None
    if len(found) > 1:
        raise Corrupt("it has several lists of distinct rows")
    return DistinctRows(directory[found[0]], payloads[found[0]], n)


def stored_column(
    entry: Any, payload: bytes, n: int, addresses: U64 | None, presence: Presence, rows: DistinctRows | None
) -> StoredColumn:
    """A column of a block of n events that has these distinct rows. Raises Corrupt."""
    if entry[0] != SHARED:
        return StoredColumn(entry, payload, n, addresses, presence)
    if rows is None:
        raise Corrupt("there are no distinct rows")
    return SharedColumn(entry, payload, n, addresses, presence, rows)
