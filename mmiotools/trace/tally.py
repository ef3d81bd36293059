"""Counts of accesses in place of the accesses: what a reader that is fast at it gives to who only counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.trace.batch import Batch

#: Accesses of one address, map and width: how many reads, writes and unknown ones. `has` tells which of the three it
#: has, by the bits below; what is absent is 0.
ENTRY = np.dtype(
    [("addr", "u8"), ("map", "i8"), ("counts", "u8", 3), ("width", "u1"), ("has", "u1"), ("spare", "V6")]
)
HAS_ADDR, HAS_MAP, HAS_WIDTH = 2, 4, 8


class Times(NamedTuple):
    """Of some accesses, nanoseconds: the first and the last in order, with their rows; the least and the greatest."""

    first: int
    last: int
    first_row: int
    last_row: int
    least: int
    greatest: int


class Counted(NamedTuple):
    """Some events in a row: most accesses as counts, all else as events.

    events   how many there are, `rest` included
    entries  counted accesses, (m,) of ENTRY
    times    of these; None where there are none
    rest     all other events, and `rows`, their places in the row of events, ascending
    """

    events: int
    entries: NDArray[Any]
    times: Times | None
    rest: Batch
    rows: NDArray[np.int64]


def uncounted(batch: Batch) -> Counted:
    """A batch of which nothing was counted."""
    return Counted(len(batch), np.zeros(0, ENTRY), None, batch, np.arange(len(batch)))
