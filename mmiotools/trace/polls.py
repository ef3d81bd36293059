"""Waits: what in a recording is a driver that polls a register until it changes.

A loop, here and wherever loops are folded, is rows that equal the rows one round before them. A wait is the loop of
one read that ended because the value changed: the register is read at least twice with one value, and then, with no
other access in between, once with another. Reads that never change are no wait, and neither are those that change
twice: they may be a counter or a FIFO, where one read more or less is a difference.
"""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import stretches
from mmiotools.typed import NamedTuple, NDArray

#: Equal reads before the changed one, at least.
TURNS = 2


class Waits(NamedTuple):
    """Reads first[i]..last[i] are a wait, and last[i] is its end; (w,) each, ascending."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def of(self, length: int) -> NDArray[np.int32]:
        """For each of `length` accesses the number of its wait, -1 for none; (length,)."""
        number = np.full(length + 1, 0, np.int32)
        np.add.at(number, self.first, np.arange(1, len(self.first) + 1, dtype=np.int32))
        np.subtract.at(number, self.last + 1, np.arange(1, len(self.first) + 1, dtype=np.int32))
        return np.asarray(np.cumsum(number[:-1], dtype=np.int32) - 1, np.int32)


def find_waits(
    again: NDArray[np.bool_], value: NDArray[np.uint64], has_value: NDArray[np.bool_], turns: int = TURNS
) -> Waits:
    """The waits of a sequence of accesses.

    again  (n,): a read of the register that the access before it has read as well
    """
    same = again.copy()
    same[1:] &= (value[1:] == value[:-1]) & has_value[1:] & has_value[:-1]
    runs = stretches(again)
    # Of the reads that follow the first one only the last may differ, and it must.
    changes = np.concatenate([[0], np.cumsum(again & ~same)])
    first, stop = runs[:, 0] - 1, runs[:, 1]
    fits = (stop - first > turns) & (changes[stop] - changes[stop - 1] == 1) & (changes[stop] - changes[first] == 1)
    fits &= has_value[np.minimum(stop - 1, max(len(value) - 1, 0))] if len(value) else False
    return Waits(first[fits].astype(np.int64), stop[fits].astype(np.int64) - 1)
