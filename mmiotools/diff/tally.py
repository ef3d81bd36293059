"""Which accesses lie in hunks of which kind and class, as columns; and how many of each register do."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.grouping import REGISTER, Groups, counts, group
from mmiotools.diff.hunks import INSERT, KINDS, Comparison, volatile_hunks
from mmiotools.typed import NDArray, Record

Indexes = NDArray[np.int64]

#: The kind of an access that is in no hunk.
SAME = -1


class Labels(Record):
    """Of one side, (n,) each: `kind` int8, index into KINDS or SAME; `volatile` bool, whether its hunk is."""

    kind: NDArray[np.int8]
    volatile: NDArray[np.bool_]

    @property
    def driver(self) -> NDArray[np.bool_]:
        """Which accesses the driver did differently."""
        return np.asarray((self.kind != SAME) & ~self.volatile, np.bool_)


def label(comparison: Comparison) -> tuple[Labels, Labels]:
    """The labels of the accesses of a and of b."""
    hunks = comparison.hunks
    volatile = volatile_hunks(hunks)
    sides = []
    for n, start, stop in (
        (len(comparison.a), hunks.a_start, hunks.a_stop),
        (len(comparison.b), hunks.b_start, hunks.b_stop),
    ):
        size = stop - start
        rows = np.repeat(start - np.cumsum(size) + size, size) + np.arange(int(size.sum()))
        kind, is_volatile = np.full(n, SAME, np.int8), np.zeros(n, np.bool_)
        kind[rows] = np.repeat(hunks.kind, size)
        is_volatile[rows] = np.repeat(volatile, size)
        sides.append(Labels(kind, is_volatile))
    return sides[0], sides[1]


class Tally(Record):
    """Differences by register: `count` (2, kinds, g) int64, of driver hunks and of volatile ones, over the groups of
    `registers`. The two accesses of a change or a move count once.
    """

    registers: Groups
    count: Indexes

    @property
    def driver(self) -> Indexes:
        """Driver differences of each register, by kind, (kinds, g)."""
        return np.asarray(self.count[0], np.int64)

    @property
    def volatile(self) -> Indexes:
        """Volatile differences of each register, (g,)."""
        return np.asarray(self.count[1].sum(axis=0), np.int64)


def tally(comparison: Comparison) -> Tally:
    """Count the differences of each register: operation, width, region and offset."""
    registers = group(comparison.a, comparison.b, REGISTER)
    labels_a, labels_b = label(comparison)
    count = np.zeros((2, len(KINDS), len(registers)), np.int64)
    for kind in range(len(KINDS)):
        labels, codes = (labels_b, registers.b) if kind == INSERT else (labels_a, registers.a)
        for category in (0, 1):
            count[category, kind] = counts(
                codes[(labels.kind == kind) & (labels.volatile == bool(category))], len(registers)
            )
    return Tally(registers, count)
