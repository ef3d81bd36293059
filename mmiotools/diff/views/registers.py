"""The registers view: what became of each register on each side, whatever the order of the accesses."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.grouping import REGISTER, VALUE, Groups, counts, first, group, last
from mmiotools.diff.hunks import Comparison
from mmiotools.diff.tally import SAME, Labels, label
from mmiotools.diff.views.base import Options, paint, place_text, value_text
from mmiotools.diff.views.table import table
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import first_of_each
from mmiotools.typed import ClassVar, Iterator, NDArray

Indexes = NDArray[np.int64]

_HEADINGS = (
    "register",
    "accesses a",
    "accesses b",
    "distinct a",
    "distinct b",
    "last a",
    "last b",
    "change at a",
    "change at b",
)


class Registers:
    """A line a register and operation: accesses, distinct values, last value, and the number of the first access that
    differs, in A and in B. Those that do not differ, or in volatile hunks only, are left out unless asked for.
    """

    api: ClassVar[int] = 1
    title: ClassVar[str] = "A line a register: accesses, distinct values, last value and first change on each side."
    sets_aside: ClassVar[bool] = True

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        a, b = comparison.a, comparison.b
        registers, values = group(a, b, REGISTER), group(a, b, VALUE)
        labels = label(comparison)
        sides = [
            _Side(a, registers.a, values.a, labels[0], registers, options),
            _Side(b, registers.b, values.b, labels[1], registers, options),
        ]
        rows = np.arange(len(registers))
        if not options.everything:
            rows = rows[(sides[0].changed >= 0) | (sides[1].changed >= 0)]
        if not len(rows):
            return
        places = [place_text(access, options) for access in registers.examples(a, b, rows)]
        columns = [column for pair in zip(*(side.columns(rows) for side in sides), strict=True) for column in pair]
        heading, *lines = table(_HEADINGS, list(zip(places, *columns, strict=True)))
        yield paint(heading, "head", options)
        for row, line in zip(rows.tolist(), lines, strict=True):
            differs = sides[0].changed[row] >= 0 or sides[1].changed[row] >= 0
            yield paint(line, "change", options) if differs and options.everything else line


class _Side:
    """The columns of one side, (g,) each, over all registers."""

    def __init__(
        self, accesses: Accesses, codes: Indexes, values: Indexes, labels: Labels, registers: Groups, options: Options
    ) -> None:
        size = len(registers)
        at = np.arange(len(accesses))
        self._accesses = accesses
        self._counts = counts(codes, size)
        # Values are grouped with their registers, so that each is one of exactly one register.
        places, _ = first_of_each(values)
        self._distinct = counts(codes[places], size)
        self._last = last(codes, at, size)
        differs = labels.kind != SAME if options.show_volatile else labels.driver
        self.changed = first(codes[differs], at[differs], size)

    def columns(self, rows: Indexes) -> Iterator[list[str]]:
        """Accesses, distinct values, last value and first change of these registers, as text."""
        yield list(map(str, self._counts[rows].tolist()))
        yield list(map(str, self._distinct[rows].tolist()))
        yield last_values(self._accesses, self._last[rows])
        side = self._accesses
        yield [str(side.numbered(at)) if at >= 0 else "-" for at in self.changed[rows].tolist()]


def last_values(side: Accesses, positions: Indexes) -> list[str]:
    """The values at these positions, which are distinct, as text; "-" for -1."""
    found = ["-"] * len(positions)
    order = np.argsort(positions, kind="stable")
    order = order[positions[order] >= 0]
    part = side.take(positions[order])
    for place, access in zip(order.tolist(), part.span(0, len(part)), strict=True):
        found[place] = value_text(access)
    return found
