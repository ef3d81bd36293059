"""Which rows of a batch an expression means that names registers.

A name is resolved once a region: to the offsets at which it lies there. Rows are then compared as columns.
"""

from __future__ import annotations

import numpy as np

from mmiotools.filters import expr as tree
from mmiotools.filters.columns import compare, contains, masked, within
from mmiotools.filters.expr import OPERATORS
from mmiotools.filters.registers import AtRegister, RegisterMember, RegisterSpan, RegisterValue
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.trace.batch import Array, Batch, BoolArray
from mmiotools.typed import TYPE_CHECKING, Iterator, NamedTuple, NDArray, Protocol

if TYPE_CHECKING:
    from mmiotools.trace.address_space import Region
    from mmiotools.trace.names import Names, Place

#: Bits that a column of values has.
_COLUMN_BITS = 64


class Where(Protocol):
    """What a batch's rows lie in: `code` (n,) of regions, -1 for none, `offset` (n,), and the batch itself."""

    batch: Batch
    code: NDArray[np.int32]
    offset: NDArray[np.uint64]

    def wide(self) -> list[tuple[int, int]]:
        """Row and value of the values that no column holds."""


class _Hit(NamedTuple):
    """Rows that lie in the registers of a place, and how many bytes into them."""

    place: Place
    rows: NDArray[np.intp]
    distance: NDArray[np.uint64]


class Registers:
    """Evaluates the nodes of `filters/registers.py`. `regions` is the address map's list, which grows."""

    def __init__(self, names: Names, regions: list[Region]) -> None:
        self._names = names
        self._regions = regions
        self._starts: dict[tuple[str, int], list[tuple[Place, NDArray[np.uint64]]]] = {}

    def evaluate(self, node: tree.Expr, rows: Where) -> BoolArray:
        """The mask of a node, (n,) bool."""
        if isinstance(node, AtRegister):
            return self._at(node, rows)
        found = np.zeros(len(rows.batch), np.bool_)
        assert isinstance(node, (RegisterValue, RegisterMember))
        for hit in self._hits(node.register, rows):
            self._values(node, hit, rows, found)
        return found

    def named(self, node: tree.Text, rows: Where) -> BoolArray:
        """The mask of `reg == NAME`: any byte of the register."""
        found = np.zeros(len(rows.batch), np.bool_)
        for value in node.values:
            for hit in self._hits(value, rows):
                found[hit.rows] = True
        return self._any(rows) & ~found if node.op == "!=" else found

    def matching(self, test: object, negated: bool, rows: Where) -> BoolArray:
        """The mask of `reg ~ REGEX`; `test` says whether a name matches."""
        assert callable(test)
        found = np.zeros(len(rows.batch), np.bool_)
        for code, where in self._by_region(rows):
            table = self._names.table(self._region(code))
            at = table.look_up(rows.offset[where])
            for row in distinct(at[at >= 0]).tolist():
                if bool(test(table.found(row, int(table.starts[row])).name)) != negated:
                    found[where[at == row]] = True
        return found

    def within(self, span: RegisterSpan, rows: Where) -> BoolArray:
        """The mask of `addr in NAME` or `addr in NAME-NAME`."""
        found = np.zeros(len(rows.batch), np.bool_)
        if span.last is None:
            for hit in self._hits(span.register, rows):
                found[hit.rows] = True
            return found
        for code, where in self._by_region(rows):
            first, last = self._places(span.register, code), self._places(span.last, code)
            if first and last:
                low = min(starts[0] for _, starts in first)
                high = max(starts[-1] + np.uint64(place.register.width - 1) for place, starts in last)
                offsets = rows.offset[where]
                found[where] = (offsets >= low) & (offsets <= high)
        return found

    # -- the work behind ----------------------------------------------------------------------------------

    def _region(self, code: int) -> Region | None:
        return self._regions[code] if code >= 0 else None

    def _by_region(self, rows: Where) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Region code and rows of the accesses that have a place, region by region."""
        placed = rows.batch.accesses & (rows.batch.present("addr") | (rows.code >= 0))
        codes = rows.code[placed]
        if not len(codes):
            return
        at = flatnonzero(placed)
        for shifted in flatnonzero(np.bincount(codes + 1)).tolist():
            yield shifted - 1, at[codes == shifted - 1]

    def _places(self, name: str, code: int) -> list[tuple[Place, NDArray[np.uint64]]]:
        held = self._starts.get((name, code))
        if held is None:
            each = ((place, self._names.starts(place, self._region(code))) for place in self._names.places(name))
            held = self._starts[name, code] = [(place, starts) for place, starts in each if len(starts)]
        return held

    def _hits(self, name: str, rows: Where) -> Iterator[_Hit]:
        for code, where in self._by_region(rows):
            for place, starts in self._places(name, code):
                offsets = rows.offset[where]
                at = np.searchsorted(starts, offsets, "right") - 1
                distance = offsets - starts[np.maximum(at, 0)]
                inside = (at >= 0) & (distance < np.uint64(place.register.width))
                if inside.any():
                    yield _Hit(place, where[inside], distance[inside])

    def _any(self, rows: Where) -> BoolArray:
        """Accesses to registers that have a name."""
        found = np.zeros(len(rows.batch), np.bool_)
        for code, where in self._by_region(rows):
            found[where] = self._names.named(self._region(code), rows.offset[where])
        return found

    def _at(self, node: AtRegister, rows: Where) -> BoolArray:
        found = np.zeros(len(rows.batch), np.bool_)
        for code, where in self._by_region(rows):
            places = self._places(node.register, code)
            offsets = rows.offset[where]
            starts = [start + np.uint64(node.offset) for _, start in places]
            if node.op in ("==", "!="):
                inside = np.isin(offsets, np.concatenate(starts)) if starts else np.zeros(len(where), np.bool_)
                found[where] = inside if node.op == "==" else ~inside
            else:
                for start in starts:
                    # Of an array, its first element: an order among several has no other meaning.
                    found[where] |= compare(offsets, node.op, int(start[0]))
        return found

    def _values(self, node: RegisterValue | RegisterMember, hit: _Hit, rows: Where, found: BoolArray) -> None:
        """Compare the values of the rows of a hit, whole or of one field."""
        field = hit.place.field
        values, known = rows.batch.data("value")[hit.rows], rows.batch.present("value")[hit.rows]
        if field is None:
            fits = hit.distance == 0
            found[hit.rows] |= fits & known & _test(node, values)
        else:
            bits = np.uint64(8) * hit.distance
            widths = rows.batch.data("width")[hit.rows].astype(np.uint64)
            given = rows.batch.present("width")[hit.rows]
            end = bits + np.where(given, widths, np.uint64(hit.place.register.width)) * np.uint64(8)
            fits = (bits <= np.uint64(field.low)) & (end > np.uint64(field.high))
            # Where it does not fit, the difference wraps; such rows are left out below.
            shift = np.uint64(field.low) - bits
            fits_column = fits & (shift < np.uint64(_COLUMN_BITS))
            shifted = values >> np.where(fits_column, shift, np.uint64(0))
            found[hit.rows] |= fits_column & known & _test(node, masked(shifted, field.mask >> field.low))
        for row, value in rows.wide():
            at = int(np.searchsorted(hit.rows, row))
            if at < len(fits) and hit.rows[at] == row and fits[at]:
                distance = int(hit.distance[at])
                number = value if field is None else (value << 8 * distance & field.mask) >> field.low
                found[row] |= _test_one(node, number)


def _test(node: RegisterValue | RegisterMember, values: Array) -> BoolArray:
    if isinstance(node, RegisterMember):
        return within(values, node.spans)
    return compare(values if node.mask is None else masked(values, node.mask), node.op, node.value)


def _test_one(node: RegisterValue | RegisterMember, number: int) -> bool:
    if isinstance(node, RegisterMember):
        return contains(number, node.spans)
    return bool(OPERATORS[node.op](number if node.mask is None else number & node.mask, node.value))
