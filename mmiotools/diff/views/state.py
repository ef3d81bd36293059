"""The state view: the register file as each side left it, or as it was at a mark."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.grouping import LOCATION, group, last
from mmiotools.diff.hunks import Comparison
from mmiotools.diff.views.base import Options, paint, register_text
from mmiotools.diff.views.registers import last_values
from mmiotools.diff.views.table import table
from mmiotools.events import Kind
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import ClassVar, Iterator, NDArray

Indexes = NDArray[np.int64]

_HEADINGS = ("register", "written a", "written b", "read a", "read b")


class State:
    """A line a register and width: the value last written and the one last read, in A and in B; `*` where they differ.

    Accesses of unknown operation leave no trace here. Order and number of accesses do not count.
    """

    api: ClassVar[int] = 1
    title: ClassVar[str] = (
        "The value last written to and last read from each register on each side, at the end or a mark."
    )
    sets_aside: ClassVar[bool] = False

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        a, b = comparison.a, comparison.b
        until = options.until
        ends = (len(a), len(b)) if until is None else (a.position(until[0]), b.position(until[1]))
        registers = group(a, b, LOCATION)
        columns = []
        for kind in (Kind.WRITE, Kind.READ):
            for side, codes, end in ((a, registers.a, ends[0]), (b, registers.b, ends[1])):
                columns.append((side, _last(side, codes, end, kind, len(registers))))
        rows = flatnonzero(np.any([at >= 0 for _, at in columns], axis=0))
        if not len(rows):
            return
        shown = registers.examples(a, b, rows)
        places = [f"{'?' if x.width is None else x.width} {register_text(x, options)}" for x in shown]
        cells = list(zip(places, *(last_values(side, at[rows]) for side, at in columns), strict=True))
        heading, *lines = table(_HEADINGS, cells)
        yield paint(f"  {heading}", "head", options)
        for (_, *values), line in zip(cells, lines, strict=True):
            differs = values[0] != values[1] or values[2] != values[3]
            yield paint(f"* {line}", "change", options) if differs else f"  {line}"


def _last(side: Accesses, codes: Indexes, end: int, kind: Kind, size: int) -> Indexes:
    at = flatnonzero(side.op[:end] == kind)
    return last(codes[at], at, size)
