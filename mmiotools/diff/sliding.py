"""Joining what a repetition has split: in `x [x x] x [x]` either bracket may stand anywhere, so both become one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.aligner import gaps

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]


def join(partner: Indexes, a: Keys, b: Keys) -> None:
    """Slide insertions onto the next insertion, and deletions onto the next deletion, where the keys between allow
    it; `partner` (n,) is changed, the number of matches stays.
    """
    found = gaps(partner, len(b))
    if len(found) < 2:
        return
    for keys, own, other in ((b, 2, 0), (a, 0, 2)):
        pure = found[:, other] == found[:, other + 1]
        start, stop = found[:, own], found[:, own + 1]
        likely = pure[:-1] & pure[1:]
        likely[likely] = keys[start[:-1][likely]] == keys[stop[:-1][likely]]
        done = -1
        for at in np.flatnonzero(likely).tolist():
            at = max(at, done)
            while at + 1 < len(found) and pure[at] and pure[at + 1] and _slides(keys, found[at], found[at + 1], own):
                low, high = int(found[at, own]), int(found[at, own + 1])
                between = int(found[at + 1, own]) - high
                place = int(found[at, other])
                if own == 2:
                    partner[place : place + between] = np.arange(low, low + between)
                else:
                    partner[low : low + between] = np.arange(place, place + between)
                    partner[low + between : high + between] = -1
                found[at + 1, own] = low + between
                found[at, own + 1] = low
                at += 1
            done = at


def _slides(keys: Keys, gap: Indexes, following: Indexes, own: int) -> bool:
    low, high = int(gap[own]), int(gap[own + 1])
    if low == high:
        return False  # it was joined to the next already
    between = int(following[own]) - high
    return bool((keys[low : low + between] == keys[high : high + between]).all())
