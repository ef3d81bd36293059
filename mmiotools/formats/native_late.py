"""A block of a native file of which no more is decoded than what is looked at, and then of the rows that are wanted."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.native_partial import StoredColumn
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.trace.batch import DTYPES, EOL_NONE, Array, Batch, BoolArray, Column, Regions
from mmiotools.typed import Any, Callable, NDArray, TypeVar

T = TypeVar("T")

#: What a block that checks out may still raise when it says nonsense.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


class LateBatch(Batch):
    """A batch whose columns are decoded as they are asked for by name; `columns` is empty.

    The codes of `region` are those of the block. Whatever is asked may raise Corrupt.
    """

    __slots__ = ("stored",)

    def __init__(
        self, kind: Array, extras: dict[int, dict[str, Any]], regions: Regions, stored: dict[str, StoredColumn]
    ) -> None:
        super().__init__(kind, {}, extras, regions)
        self.stored = stored

    def data(self, name: str) -> Array:
        """See `Batch.data`."""
        stored = self.stored.get(name)
        if stored is None:
            return Batch.data(self, name)
        return _of_column(name, lambda: as_expected(name, stored.column())).data

    def present(self, name: str) -> BoolArray:
        """See `Batch.present`."""
        stored = self.stored.get(name)
        return Batch.present(self, name) if stored is None else stored.present

    def where(self, name: str, test: Callable[[Array], BoolArray]) -> BoolArray:
        """See `Batch.where`."""
        stored = self.stored.get(name)
        if stored is None or stored.dtype != DTYPES.get(name, stored.dtype):
            return Batch.where(self, name, test)
        return _of_column(name, lambda: stored.where(test))

    def decoded(self, rows: NDArray[np.intp]) -> Batch:
        """Some rows, ascending, as a batch."""
        if not len(rows):
            return Batch(self.kind[rows], regions=self.regions)
        columns = {}
        for name, stored in self.stored.items():
            column = decoded(name, stored, rows)
            if column is not None:
                columns[name] = column
        rest = Batch(self.kind, {}, self.extras, self.regions).take(rows)
        return Batch(rest.kind, columns, rest.extras, self.regions)


def decoded(name: str, stored: StoredColumn, rows: NDArray[np.intp] | None = None) -> Column | None:
    """A column in all rows or in some, (m,) ascending; None where these lack it. Raises Corrupt with its name."""

    def of_rows() -> Column | None:
        column = stored.column() if rows is None else stored.take(rows)
        return None if column is None else as_expected(name, column)

    return _of_column(name, of_rows)


def _of_column(name: str, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except NONSENSE as error:
        raise Corrupt(f"column '{name}': {error}") from error


def as_expected(name: str, column: Column) -> Column:
    """A well-known column with the type that everybody relies on. Raises Corrupt when a value does not fit."""
    data, present = column
    wanted = DTYPES.get(name, data.dtype)
    if data.dtype != wanted:
        cast = data.astype(wanted)
        if not np.array_equal(cast, data):
            raise Corrupt("a value is beyond its type")
        data = cast
    if name == "eol" and int(data.max()) > EOL_NONE:
        raise Corrupt("a line end that is none")
    if name == "opcode" and int(data.max()) >> 56 > 7:
        raise Corrupt("an opcode is too long")
    return Column(data, present)
