"""The summary view: how many hunks of each kind, and which registers they touch."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.hunks import KINDS, Comparison, volatile_hunks
from mmiotools.diff.tally import tally
from mmiotools.diff.views.base import Options, count_text, paint, place_text, printable
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import ClassVar, Iterator, NDArray


class Summary:
    """Hunks and accesses by kind, then a line a register, those with most differences first."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Counts by kind, and by register."
    sets_aside: ClassVar[bool] = False

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        yield f"A: {printable(comparison.name_a)}, {len(comparison.a)} accesses"
        yield f"B: {printable(comparison.name_b)}, {len(comparison.b)} accesses"
        yield f"same: {comparison.same}"
        hunks = comparison.hunks
        sizes = np.maximum(hunks.a_stop - hunks.a_start, hunks.b_stop - hunks.b_start)
        volatile = volatile_hunks(hunks)
        for kind, name in enumerate(KINDS):
            mine = hunks.kind == kind
            if mine.any():
                yield f"{name}: {_counts(mine, sizes)}{_aside(mine & volatile)}"
        counted = tally(comparison)
        by_kind = counted.count.sum(axis=0)
        total = by_kind.sum(axis=0)
        differing = flatnonzero(total)
        if not len(differing):
            return
        examples = counted.registers.examples(comparison.a, comparison.b, differing)
        rows = [(place_text(access, options), at) for access, at in zip(examples, differing.tolist(), strict=True)]
        rows.sort(key=lambda row: (-int(total[row[1]]), row[0]))
        yield ""
        width = max(8, *(len(place) for place, _ in rows))
        names = [*KINDS, "volatile"] if volatile.any() else [*KINDS]
        yield paint(f"{'register':{width}} " + " ".join(f"{name:>8}" for name in names), "head", options)
        for place, at in rows:
            numbers = [*by_kind[:, at].tolist(), int(counted.volatile[at])]
            shown = zip(names, numbers, strict=False)
            yield f"{place:{width}} " + " ".join(f"{number or '-':>8}" for _, number in shown)


def _counts(mine: NDArray[np.bool_], sizes: NDArray[np.int64]) -> str:
    hunks, accesses = int(mine.sum()), int(sizes[mine].sum())
    return f"{count_text(hunks, 'hunk')}, {count_text(accesses, 'access', 'accesses')}"


def _aside(volatile: NDArray[np.bool_]) -> str:
    number = int(volatile.sum())
    return f" ({count_text(number, 'hunk')} volatile)" if number else ""
