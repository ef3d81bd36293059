"""Joining what a repetition has split: in `x [x x] x [x]` either bracket may stand anywhere, so both become one."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.runs import Runs
from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]


def join(runs: Runs, a: Keys, b: Keys) -> Runs:
    """The runs with insertions slid onto the next insertion, and deletions onto the next deletion, where the keys
    between allow it; the number of matches stays.
    """
    for keys, own, other in ((b, 2, 0), (a, 0, 2)):
        found = runs.gaps(len(a), len(b))
        if len(found) > 1 and _slide(found, keys, own, other):
            ends_a, ends_b = (np.concatenate((np.zeros(1, np.int64), found[:, column])) for column in (1, 3))
            runs = Runs.of([(ends_a, ends_b, append(found[:, 0], len(a)) - ends_a)])
    return runs


def _slide(found: Indexes, keys: Keys, own: int, other: int) -> bool:
    """Slide the gaps that lie in one side alone: `own` is the column where theirs begins. They are changed."""
    pure = found[:, other] == found[:, other + 1]
    start, stop = found[:, own], found[:, own + 1]
    likely = pure[:-1] & pure[1:]
    likely[likely] = keys[start[:-1][likely]] == keys[stop[:-1][likely]]
    slid = False
    done = -1
    for at in flatnonzero(likely).tolist():
        at = max(at, done)
        while at + 1 < len(found) and pure[at] and pure[at + 1]:
            low, high = int(found[at, own]), int(found[at, own + 1])
            between = int(found[at + 1, own]) - high
            if low == high or not bool((keys[low : low + between] == keys[high : high + between]).all()):
                break
            # What lies between matches the beginning of the gap now, and the rest of the gap is the next one's.
            found[at, own + 1] = low
            found[at + 1, own] = low + between
            slid = True
            at += 1
        done = at
    return slid
