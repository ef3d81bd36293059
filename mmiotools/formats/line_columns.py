"""Lines of a block and columns in the making, for scanners that read text without Python per line."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.text_numbers import Index, Mask, Words
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Column
from mmiotools.typed import Any, NDArray

#: A line this far into a block may be looked at from the right without looking before the block.
MARGIN = 96
#: So many rows may be worth looking for runs in them.
_MANY = 256


def text_ends(data: NDArray[np.uint8], starts: Index, ends: Index) -> tuple[Index, Mask | None]:
    """Where the text of lines ends that begin at `starts` and have their LF at `ends`, (n,) each: a CR before the LF is
    no part of it. And which lines have one, None when none does.
    """
    returns = data[np.maximum(ends - 1, 0)] == 13
    if not returns.any():
        return ends, None
    returns &= ends > starts
    return ends - returns, returns


class Lines:
    """Where the lines of a block are.

    starts, text_ends   (n,) first byte of each line, and the byte after its last one, line end not counted
    crlf                (n,) which lines end in CR LF, or None when none does
    """

    def __init__(self, block: bytes, ends: Index) -> None:
        self.block = block
        self.words = Words(block)
        self.n = len(ends)
        self.starts = np.empty(self.n, np.int64)
        self.starts[0] = 0
        self.starts[1:] = ends[:-1]
        self.starts[1:] += 1
        self.text_ends, self.crlf = text_ends(self.words.bytes, self.starts, ends)

    def whole(self, row: int) -> bytes:
        """A line without its LF; CR is left on."""
        end = self.text_ends[row] + (self.crlf is not None and self.crlf[row])
        return self.block[self.starts[row] : end]

    def beginning_with(self, letters: bytes) -> Index:
        """Lines that begin with one of these letters, far enough into the block to be read from the right."""
        first = self.words.bytes[self.starts]
        fits = first == letters[0]
        for letter in letters[1:]:
            fits |= first == letter
        fits &= (self.starts >= MARGIN) & (self.starts + 8 <= len(self.block))
        return flatnonzero(fits)


class Place:
    """Row numbers, ascending, that values go to: many of them as runs if these are few, which is much faster."""

    def __init__(self, rows: Index) -> None:
        self._rows = rows
        self._runs: list[tuple[int, int, int]] | None = None
        if len(rows) < _MANY:
            return
        breaks = flatnonzero(rows[1:] - rows[:-1] != 1) + 1
        if len(breaks) < 32:
            firsts = [0, *breaks.tolist()]
            self._runs = [
                (int(rows[first]), first, last) for first, last in zip(firsts, [*firsts[1:], len(rows)], strict=True)
            ]

    def into(self, target: NDArray[Any], values: Any) -> None:
        """target[rows] = values, an array (len(rows),) or one value for all."""
        if self._runs is None:
            target[self._rows] = values
            return
        for row, first, last in self._runs:
            target[row : row + last - first] = values if np.ndim(values) == 0 else values[first:last]


class Store:
    """Columns in the making: data and presence of n rows."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._columns: dict[str, tuple[NDArray[Any], Mask | None]] = {}

    def adopt(self, name: str, data: NDArray[Any], present: Mask | None) -> None:
        """Take a column that is there already, for the rows that are present; None for all. Others hold 0."""
        self._columns[name] = (data, None if present is None else present.copy())

    def put(self, name: str, place: Place, values: NDArray[Any]) -> None:
        """Give rows their value of a column."""
        if not len(values):
            return
        if name not in self._columns:
            self._columns[name] = (np.zeros(self._n, values.dtype), np.zeros(self._n, np.bool_))
        data, present = self._columns[name]
        place.into(data, values)
        if present is not None:
            place.into(present, np.True_)

    def columns(self) -> dict[str, Column]:
        """The columns; absent rows hold 0."""
        return {
            name: Column(data, None if here is None or here.all() else here)
            for name, (data, here) in self._columns.items()
        }
