"""The summary view: how many hunks of each kind, and which registers they touch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import ClassVar

from mmiotools.diff.hunks import KINDS, Comparison
from mmiotools.diff.views.base import Options, paint, place_text, printable


class Summary:
    """Hunks and accesses by kind, then a line a register, those with most differences first."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Counts by kind, and by register."

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        hunks: Counter[str] = Counter()
        accesses: Counter[str] = Counter()
        registers: dict[str, Counter[str]] = defaultdict(Counter)
        for hunk in comparison.hunks:
            hunks[hunk.kind] += 1
            accesses[hunk.kind] += max(len(hunk.a), len(hunk.b))
            side, rows = (comparison.a, hunk.a) if hunk.a else (comparison.b, hunk.b)
            for access in side.span(rows.start, rows.stop):
                registers[place_text(access)][hunk.kind] += 1
        yield f"A: {printable(comparison.name_a)}, {len(comparison.a)} accesses"
        yield f"B: {printable(comparison.name_b)}, {len(comparison.b)} accesses"
        yield f"same: {comparison.same}"
        for kind in KINDS:
            if hunks[kind]:
                yield f"{kind}: {_count(hunks[kind], 'hunk')}, {_count(accesses[kind], 'access', 'accesses')}"
        if not registers:
            return
        yield ""
        width = max(8, *map(len, registers))
        yield paint(f"{'register':{width}} " + " ".join(f"{kind:>8}" for kind in KINDS), "head", options)
        for place, kinds in sorted(registers.items(), key=lambda item: (-item[1].total(), item[0])):
            yield f"{place:{width}} " + " ".join(f"{kinds[kind] or '-':>8}" for kind in KINDS)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
