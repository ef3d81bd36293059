"""Loops folded before alignment: of a long repetition only the first rounds are kept, so that its length counts little.

A poll loop that went round more often on one side must not pull the rest out of line.
"""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import NDArray

#: Loops of up to this many accesses a round are folded.
LONGEST_ROUND = 8
#: At least this many accesses of a repetition stay.
KEPT = 16


def fold(keys: NDArray[np.uint64]) -> NDArray[np.int64] | None:
    """Places that stay, ascending (m,); None if all do. Whole rounds are left out, so what stays is in step."""
    places: NDArray[np.int64] | None = None
    for period in range(1, LONGEST_ROUND + 1):
        part = keys if places is None else keys[places]
        drop = _surplus(part, period)
        if drop is not None:
            places = flatnonzero(~drop) if places is None else places[~drop]
    return places


def _surplus(keys: NDArray[np.uint64], period: int) -> NDArray[np.bool_] | None:
    """Mask (n,) of what repeats the round before it again and again; None if nothing does."""
    if len(keys) <= period + KEPT:
        return None
    again = np.zeros(len(keys) + 1, np.int8)
    again[period:-1] = keys[period:] == keys[:-period]
    edges = flatnonzero(again[1:] != again[:-1]) + 1
    starts, stops = edges[::2], edges[1::2]
    surplus = (stops - starts - KEPT) // period * period
    long = surplus > 0
    if not long.any():
        return None
    starts, surplus = starts[long] + KEPT, surplus[long]
    marks = np.zeros(len(keys) + 1, np.int32)
    marks[starts] += 1
    marks[starts + surplus] -= 1
    return np.asarray(np.cumsum(marks[:-1]) > 0, np.bool_)
