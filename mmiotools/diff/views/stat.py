"""The stat view: a bar a register, as `git diff --stat` has one a file."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.hunks import KINDS, VOLATILE, Comparison
from mmiotools.diff.tally import tally
from mmiotools.diff.views.base import Options, count_text, paint, place_text
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import ClassVar, Iterator

#: What a difference looks like in a bar, by kind; and a volatile one of any kind.
_SIGNS = {"insert": "+", "delete": "-", "change": "~", "move": ">"}
_VOLATILE = "."
_WORDS = {"insert": "insertion", "delete": "deletion", "change": "change", "move": "move"}


class Stat:
    """A line a register, those with most differences first: differing accesses of class driver and of class volatile,
    and a bar of `+` insertions, `-` deletions, `~` changes, `>` moves and `.` volatile ones, to scale. Then the totals.
    """

    api: ClassVar[int] = 1
    title: ClassVar[str] = "A bar a register, with counts by class, and the totals."
    sets_aside: ClassVar[bool] = False

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        counted = tally(comparison)
        driver, volatile = counted.driver.sum(axis=0), counted.volatile
        rows = flatnonzero(driver + volatile)
        if not len(rows):
            return
        rows = rows[np.lexsort((rows, -volatile[rows], -driver[rows]))]
        places = [
            place_text(access, options) for access in counted.registers.examples(comparison.a, comparison.b, rows)
        ]
        width = max(8, *map(len, places))
        room = max(10, options.width - width - len("  driver volatile ") - 1)
        most = int((driver + volatile).max())
        yield paint(f"{'register':{width}}   driver volatile", "head", options)
        for at, place in zip(rows.tolist(), places, strict=True):
            parts = [*counted.driver[:, at].tolist(), int(volatile[at])]
            yield f"{place:{width}} {int(driver[at]):8} {int(volatile[at]):8} {_bar(parts, most, room, options)}"
        totals = dict(zip(KINDS, counted.driver.sum(axis=1).tolist(), strict=True))
        told = [f"{count_text(totals[kind], _WORDS[kind])} ({_SIGNS[kind]})" for kind in KINDS if totals[kind]]
        if volatile.any():
            told.append(f"{int(volatile.sum())} volatile ({_VOLATILE})")
        yield f"{count_text(len(rows), 'register')}: {', '.join(told)}"


def _bar(parts: list[int], most: int, room: int, options: Options) -> str:
    """Signs in proportion to the parts; of each part that is there at all, at least one."""
    scale = min(1.0, room / most)
    bar = ""
    for (kind, sign), number in zip([*_SIGNS.items(), (VOLATILE, _VOLATILE)], parts, strict=True):
        if number:
            bar += paint(sign * max(1, round(number * scale)), kind, options)
    return bar
