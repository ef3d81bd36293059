"""Which two lines of ftrace text are one access: what was asked, and what came of it.

rwmmio_read and rwmmio_post_read, rwmmio_write and rwmmio_post_write, and kvm_mmio's unsatisfied-read and read belong
together when one task (of pid 0: one CPU) has them, with the same address and width, and for writes the same value.
Like parentheses: between the two, an interrupt may have done the same. The answer for two lines depends on nothing
but what is between them, so that it is the same however the text was cut into blocks.
"""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.formats.ftrace_lines import LONGEST, Role
from mmiotools.formats.lines import REACH
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Column
from mmiotools.typed import NamedTuple, NDArray

Mask = NDArray[np.bool_]

#: The second line begins at most so many bytes behind the beginning of the first.
FARTHEST = REACH // 2 - LONGEST
#: How deep pairs are looked for inside each other.
DEPTH = 8
_SPREAD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


class Marks(NamedTuple):
    """The lines of a text: role, kind and columns as they were read, where each begins; (n,) each."""

    role: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    columns: dict[str, Column]
    starts: NDArray[np.int64]


def partners(marks: Marks) -> tuple[Mask, Mask]:
    """The first lines of accesses of two lines: those whose second line is the next one, and the others; (n,) each."""
    joined = np.zeros(len(marks.role), np.bool_)
    noted = np.zeros(len(marks.role), np.bool_)
    first, second = pairs(marks)
    near = second == first + 1
    joined[first[near]] = True
    noted[first[~near]] = True
    return joined, noted


def safe_cut(marks: Marks, end: int) -> int:
    """Where a text that ends at `end`, and goes on, may be cut: before every line whose second one may come yet, and
    between no two that are one access.
    """
    first, second = pairs(marks)
    waiting = (marks.role == Role.BEFORE) & (marks.starts >= end - FARTHEST)
    waiting[first] = False
    if not waiting.any():
        return end
    row = int(np.argmax(waiting))
    while (across := first[(first < row) & (second >= row)]).size:
        row = int(across.min())
    return int(marks.starts[row])


def pairs(marks: Marks) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of the first and the second lines of accesses of two lines, (m,) each, in no order."""
    rows = flatnonzero(marks.role)
    if len(rows) < 2:
        return rows[:0], rows[:0]
    before = marks.role[rows] == Role.BEFORE
    key = _keys(marks, rows)
    firsts, seconds = [], []
    # Nearly always the two are neighbours among the lines that have a role.
    at = flatnonzero(before[:-1] & ~before[1:] & (key[:-1] == key[1:]))
    for depth in range(DEPTH + 1):
        firsts.append(rows[at])
        seconds.append(rows[at + 1])
        left = np.ones(len(rows), np.bool_)
        left[at] = left[at + 1] = False
        rows, before, key = rows[left], before[left], key[left]
        if not before.any() or before.all() or depth == DEPTH:
            break
        if not depth:
            order = np.argsort(key, kind="stable")
            rows, before, key = rows[order], before[order], key[order]
        at = flatnonzero(before[:-1] & ~before[1:] & (key[:-1] == key[1:]))
        if not len(at):
            break
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    close = marks.starts[second] - marks.starts[first] <= FARTHEST
    return first[close], second[close]


def _keys(marks: Marks, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Equal for lines that may be one access."""
    columns = {name: marks.columns[name].data[rows].astype(np.uint64) for name in ("addr", "width", "pid", "cpu")}
    write = marks.kind[rows] == Kind.WRITE
    value = marks.columns.get("value")
    key: NDArray[np.uint64] = (
        columns["addr"] ^ columns["width"] << np.uint64(56) ^ write.astype(np.uint64) << np.uint64(55)
    )
    key *= np.uint64(_SPREAD[0])
    key ^= np.where(columns["pid"] != 0, columns["pid"], ~columns["cpu"])
    key ^= key >> np.uint64(29)
    key *= np.uint64(_SPREAD[1])
    if value is not None:
        key ^= np.where(write, value.data[rows], np.uint64(0))
        key ^= key >> np.uint64(32)
        key *= np.uint64(_SPREAD[2])
    return key
