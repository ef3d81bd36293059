"""A way through a stretch that is too large for its exact answer: step by step, each step solved within a window.

The time is linear. Where the two sides have scattered differences, be it inside one endless loop, the answer is as
good as the exact one; where they have little in common, it is right and no more.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.lcs import small_subsequence
from mmiotools.diff.runs import Rows
from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]

#: Keys of either side that are solved together; what lies in the first half of the window is kept.
WINDOW = 512
#: So many equal keys behind a difference of one key show what it was, without a window.
_SURE = 32
#: Two sides are nearly the same if at most one in so many keys differs.
_RARE = 10
#: Keys that are looked at before all are.
_SAMPLE = 1 << 12


def walk(a: Keys, b: Keys) -> Rows:
    """Runs (a, b, count) of matches, ascending in both."""
    found: list[tuple[int, int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        room = min(len(a) - i, len(b) - j)
        same = leading(a[i : i + room], b[j : j + room])
        if same:
            found.append((i, j, same))
            i, j = i + same, j + same
            if same == room:
                break
        step = _simple(a, b, i, j)
        if step is None:
            step = _window(a, b, i, j, found)
        i, j = i + step[0], j + step[1]
    rows = np.array(found, np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _simple(a: Keys, b: Keys, i: int, j: int) -> tuple[int, int] | None:
    """How far to go on each side over a difference of one key: another key, one more in a, one more in b."""
    for step in ((1, 1), (1, 0), (0, 1)):
        left, right = a[i + step[0] : i + step[0] + _SURE], b[j + step[1] : j + step[1] + _SURE]
        if len(left) == len(right) == _SURE and bool((left == right).all()):
            return step
    return None


def _window(a: Keys, b: Keys, i: int, j: int, found: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Solve a window from here on; the matches of its first half, and how far to go on each side."""
    part_a, part_b = a[i : i + WINDOW], b[j : j + WINDOW]
    last = i + len(part_a) == len(a) and j + len(part_b) == len(b)
    done = (len(part_a), len(part_b))
    half_a, half_b = (WINDOW, WINDOW) if last else (max(1, len(part_a) // 2), max(1, len(part_b) // 2))
    left, right = small_subsequence(part_a, part_b)
    for x, y in zip(left.tolist(), right.tolist(), strict=True):
        if x >= half_a or y >= half_b:
            return x, y
        if found and found[-1][0] + found[-1][2] == i + x and found[-1][1] + found[-1][2] == j + y:
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((i + x, j + y, 1))
    return done


def along_diagonal(a: Keys, b: Keys) -> Rows | None:
    """Runs of what is equal at equal places of two sides that are nearly the same; None if they are not."""
    room = min(len(a), len(b))
    for part in (min(room, _SAMPLE), room):
        differs = flatnonzero(a[:part] != b[:part])
        if len(differs) * _RARE > part:
            return None
    start = np.concatenate((np.zeros(1, np.int64), differs + 1))
    count = append(differs, room) - start
    some = count > 0
    return start[some], start[some], count[some]


def leading(a: Keys, b: Keys) -> int:
    """How many keys two sequences of one length have in common at the beginning."""
    at, size = 0, 256
    while at < len(a):
        differs = a[at : at + size] != b[at : at + size]
        if differs.any():
            return at + int(np.argmax(differs))
        at += size
        size *= 2
    return len(a)
