"""The rows of a program: what a batch asks to be done, and runs of reads as one row each, with waits among them."""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.trace.polls import TURNS
from mmiotools.typed import Any, NamedTuple, NDArray

#: What a row does. WHILE and UNTIL are the two halves of a wait; TEXT is a line that is said in between.
READ, ANY, WRITE, WHILE, UNTIL, TEXT = range(6)

#: Rows held back at most while it is open whether they are a wait.
_HOLD = 1 << 16


class Rows(NamedTuple):
    """Accesses and texts in order, (n,) each.

    region       number of the region in the program
    value        0 where there is none
    first last   nanoseconds, when the first and the last of `times` accesses were made; -1: not known
    """

    op: NDArray[np.uint8]
    width: NDArray[np.int64]
    region: NDArray[np.int64]
    offset: NDArray[np.uint64]
    value: NDArray[np.uint64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    times: NDArray[np.int64]

    def take(self, which: Any) -> Rows:
        """Some of the rows."""
        return Rows(*(column[which] for column in self))


def joined(*parts: Rows) -> Rows:
    """One after the other."""
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def nothing() -> Rows:
    """No rows."""
    numbers = np.zeros(0, np.int64)
    wide = np.zeros(0, np.uint64)
    return Rows(np.zeros(0, np.uint8), numbers, numbers, wide, wide, numbers, numbers, numbers)


class Folder:
    """Folds equal reads that follow each other into one row, and marks the waits.

    A wait is a register that was read at least twice with one value and then once with another, with no other access
    in between. What comes in may be folded already, so that a run may go on from batch to batch.
    """

    def __init__(self) -> None:
        self._held = nothing()

    def feed(self, rows: Rows, end: bool = False) -> Rows:
        """The rows that are settled; at the end all that were held back."""
        rows = joined(self._held, rows) if len(self._held.op) else rows
        if not len(rows.op):
            return rows
        again = np.zeros(len(rows.op), np.bool_)
        again[1:] = (rows.op[1:] == READ) & (rows.op[:-1] == READ)
        for column in (rows.width, rows.region, rows.offset):
            again[1:] &= column[1:] == column[:-1]
        same = again.copy()
        same[1:] &= rows.value[1:] == rows.value[:-1]
        starts = flatnonzero(~same)
        rows = rows.take(starts)._replace(
            last=np.maximum.reduceat(rows.last, starts), times=np.add.reduceat(rows.times, starts)
        )
        again = again[starts]
        _mark_waits(rows, again)
        open_from = len(again)
        if not end and rows.op[-1] in (READ, UNTIL):
            open_from = int(flatnonzero(~again)[-1])
            if len(again) - open_from > _HOLD:
                open_from = len(again)
        self._held = rows.take(slice(open_from, None))
        self._held.op[:] = READ
        return rows.take(slice(0, open_from))


def _mark_waits(rows: Rows, again: NDArray[np.bool_]) -> None:
    """Set the ops of waits. `again`, (n,): a read of the register that the row before has read."""
    if len(again) < 2:
        return
    behind = append(again[2:], False)
    begins = ~again[:-1] & again[1:] & ~behind & (rows.times[:-1] >= TURNS) & (rows.times[1:] == 1)
    at = flatnonzero(begins)
    rows.op[at], rows.op[at + 1] = WHILE, UNTIL


def gaps(rows: Rows, since: int) -> NDArray[np.int64]:
    """Nanoseconds between each row and the access before it, (n,); 0 where either has no time, and within a wait.

    since  when the access before the first row was made, -1 when there was none
    """
    upto = np.maximum.accumulate(np.concatenate([[since], rows.last]))
    timed = (rows.first >= 0) & (upto[:-1] >= 0) & (rows.op != TEXT) & (rows.op != UNTIL)
    return np.where(timed, np.maximum(rows.first - upto[:-1], 0), 0)


def usual_gap(rows: Rows) -> int:
    """The median of the gaps between the rows, at most a second; 0 when there are none."""
    found = gaps(rows, -1)
    return int(min(np.median(found[found > 0]), 1e9)) if (found > 0).any() else 0


def pauses(rows: Rows, since: int, usual: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What of the rows' times is worth keeping: the pause before each, and the interval between its repetitions (of a
    WHILE, up to its UNTIL too); nanoseconds, (n,) each.

    A pause is kept when it is at least four times the usual one, which is then taken from it.
    """
    gap = gaps(rows, since)
    turns, span = rows.times - 1, rows.last - rows.first
    halves = flatnonzero(rows.op == WHILE)
    turns[halves] += 1
    span[halves] = rows.first[halves + 1] - rows.first[halves]
    every = np.where((turns > 0) & (rows.first >= 0), np.maximum(span, 0) // np.maximum(turns, 1), 0)
    least = max(4 * usual, 2000)
    return np.where(gap >= least, gap - usual, 0), np.where(every >= least, every - usual, 0)
