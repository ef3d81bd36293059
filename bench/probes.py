"""Measures the interval index against a list, a SortedDict and intervaltree: python bench/probes.py [--rounds N].

Prints Markdown. Each number is the median over the rounds of whole sweeps in this process; only the ratios travel.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from measure import Others, about, in_turn, table
from sortedcontainers import SortedDict

from mmiotools.trace.intervals import IntervalIndex

try:
    import intervaltree
except ImportError:
    intervaltree = None

SEED = 2007
SIZES = (10, 100, 1_000, 10_000, 100_000)
BASE = 0xFE000000
PAGE = 4096
#: Lookups in a sweep; a list gets fewer, and none above LINEAR_LIMIT.
SWEEP = 20_000
LINEAR_LIMIT = 10_000
#: Widths of accesses, and of ranges as for a mapping.
NARROW, WIDE = 8, 16 * PAGE

Span = tuple[int, int]


class Ours:
    """The index of the package."""

    name = "IntervalIndex"
    overlaps = False

    def __init__(self, spans: Iterable[Span]) -> None:
        self.index: IntervalIndex[int] = IntervalIndex(overlaps=self.overlaps)
        self.stab, self.overlap = self.index.stab, self.index.overlapping
        self.handles = {span: self.add(*span) for span in spans}

    def add(self, start: int, end: int) -> Any:
        return self.index.insert(start, end, start)

    def remove(self, handle: Any) -> None:
        self.index.remove(handle)


class OursOverlapping(Ours):
    """The same, where intervals may overlap."""

    name = "IntervalIndex(overlaps=True)"
    overlaps = True


class Plain:
    """start → (start, end), as one would write it down; no overlaps, and `add` looks for none."""

    name = "SortedDict"

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans: Any = SortedDict()
        self.handles = {span: self.add(*span) for span in spans}

    def add(self, start: int, end: int) -> Any:
        self.spans[start] = (start, end)
        return start

    def remove(self, handle: Any) -> None:
        del self.spans[handle]

    def stab(self, address: int) -> Any:
        at = self.spans.bisect_right(address) - 1
        if at < 0:
            return ()
        found = self.spans.peekitem(at)[1]
        return (found,) if address < found[1] else ()

    def overlap(self, start: int, end: int) -> Any:
        found = list(self.stab(start))
        found.extend(self.spans[key] for key in self.spans.irange(start, end, (False, False)))
        return found


class Linear:
    """A list, as in 2007; for overlapping ones too."""

    name = "list"

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = list(spans)

    def stab(self, address: int) -> Any:
        for span in self.spans:
            if span[0] <= address < span[1]:
                return (span,)
        return ()

    def overlap(self, start: int, end: int) -> Any:
        return [span for span in self.spans if span[0] < end and span[1] > start]


class Tree:
    """intervaltree from PyPI."""

    name = "intervaltree"

    def __init__(self, spans: Iterable[Span]) -> None:
        made = {span: intervaltree.Interval(*span, span[0]) for span in spans}
        self.tree = intervaltree.IntervalTree(made.values())
        self.stab, self.overlap, self.handles = self.tree.at, self.tree.overlap, made

    def add(self, start: int, end: int) -> Any:
        made = intervaltree.Interval(start, end, start)
        self.tree.add(made)
        return made

    def remove(self, handle: Any) -> None:
        self.tree.remove(handle)


#: Those that can be had.
TREES = (Tree,) if intervaltree is not None else ()


def probes(count: int, overlaps: bool = False) -> list[Span]:
    """Probes of registers and of whole pages, most of them close together, in random order."""
    rng = random.Random(SEED)
    spans, at = [], BASE
    for _ in range(count):
        length = rng.choice((4, 4, 8, 64, PAGE))
        spans.append((at, at + (length * rng.choice((1, 2, 8)) if overlaps else length)))
        at += length + rng.choice((0, 0, 4, 64, PAGE))
    rng.shuffle(spans)
    return spans


def addresses(spans: Sequence[Span], count: int) -> list[int]:
    """Half in some probe, half anywhere between the first and the last, in random order."""
    rng = random.Random(SEED + 1)
    low, high = min(spans)[0] - 64, max(end for _, end in spans) + 64
    pick, draw = rng.choice, rng.randrange
    return [draw(*pick(spans)) if rng.random() < 0.5 else draw(low, high) for _ in range(count)]


def sweep(work: Callable[[int], Any], items: Sequence[int]) -> float:
    """Seconds for one call of `work`, over all items."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - began) / len(items)


def medians(sweeps: Sequence[Callable[[], float]], rounds: int) -> list[float]:
    """Each in turn, first to warm up and then so many rounds; the medians."""
    return [median(times) for times in in_turn(sweeps, rounds)]


def same(found: Iterable[Any], expected: Iterable[Any], what: str) -> None:
    """Nothing, or the end: a fast wrong answer is none."""
    if sorted((i[0], i[1]) for i in found) != sorted((i[0], i[1]) for i in expected):
        raise SystemExit(f"{what}: the answers differ, so the speed means nothing")


def micro(seconds: float | None) -> str:
    """For a cell."""
    return "not run" if seconds is None else f"{seconds * 1e6:.3g}"


def against(peer: float | None, ours: float) -> str:
    """How many times as fast ours is."""
    return "not run" if peer is None else f"**{peer / ours:.3g}**"


def lookups(title: str, kinds: tuple[Any, ...], width: int, rounds: int) -> None:
    """One table; a row a size, a column a way. The first kind is ours. width 0 is a stab."""
    kinds = (*kinds, *TREES)
    names = [kind.name for kind in kinds]
    ratios = [f"{name} / ours" for name in names[1:]]
    table(f"{title}, µs", *names, *ratios)
    first = last = 0.0
    for size in SIZES:
        spans = probes(size, kinds[0].overlaps)
        asked = addresses(spans, SWEEP)
        sweeps, ran = [], []
        answers = None
        for kind in kinds:
            ran.append(kind is not Linear or size <= LINEAR_LIMIT)
            if not ran[-1]:
                continue
            made = kind(spans)
            mine = asked if kind is not Linear else asked[: max(100, min(SWEEP, 1_000_000 // size))]
            work = made.stab if width == 0 else _range(made, width)
            found = [work(address) for address in mine[:100]]
            answers = answers or [list(one) for one in ([work(a) for a in mine[:100]])]
            for one, other in zip(found, answers, strict=True):
                same(list(one) if width == 0 else one, other, f"{kind.name}, {size} probes")
            sweeps.append(lambda work=work, mine=mine: sweep(work, mine))
        gc.collect()
        got = iter(medians(sweeps, rounds))
        cells = [next(got) if here else None for here in ran]
        ours = cells[0]
        assert ours is not None
        first, last = first or ours, ours
        shown = [*map(micro, cells), *(against(cell, ours) for cell in cells[1:])]
        print(f"| {size:,} | {' | '.join(shown)} |", flush=True)
    print(f"\nOurs at {SIZES[-1]:,} costs **{last / first:.2f}** times what it costs at {SIZES[0]}.\n", flush=True)


def _range(made: Any, width: int) -> Callable[[int], Any]:
    """All answers of a range query, whether they come as an iterator, a list or a set."""
    overlap = made.overlap
    return lambda start: list(overlap(start, start + width))


def one_page(rounds: int) -> None:
    """A thousand probes in one page, put in and taken out in random order; and one of 32 GiB."""
    rng = random.Random(SEED)
    apart = [(BASE + 4 * number, BASE + 4 * number + 4) for number in range(PAGE // 4)][:1_000]
    rng.shuffle(apart)
    starts = rng.sample(range(BASE, BASE + PAGE - 1), 1_000)
    mixed = [(start, rng.randrange(start + 1, BASE + PAGE + 1)) for start in starts]
    equal = [(BASE, BASE + PAGE)] * 1_000
    huge = [(1 << 40, (1 << 40) + (32 << 30))]
    cases: tuple[tuple[str, list[Span], list[Span], tuple[Any, ...]], ...] = (
        ("1,000 of 4 bytes", apart, [], (Ours, Plain, *TREES)),
        ("1,000 that overlap", mixed, [], (OursOverlapping, *TREES)),
        ("1,000 times the whole page", equal, [], (OursOverlapping,)),
        ("one of 32 GiB beside 100,000", huge, probes(100_000), (Ours, Plain)),
        ("one of 32 GiB beside 100,000", huge, probes(100_000), (OursOverlapping,)),
    )
    table("in one page", "index", "insert, µs each", "stab after each insert, µs each", "remove, µs each")
    for name, spans, there, kinds in cases:
        for kind in kinds:
            costs = []
            made = kind(there)
            for _ in range(rounds + 1):
                began = time.perf_counter()
                handles = [made.add(*span) for span in spans]
                half = time.perf_counter()
                for handle in handles:
                    made.remove(handle)
                gone = time.perf_counter()
                asking = 0.0
                again = []
                for start, end in spans:
                    again.append(made.add(start, end))
                    then = time.perf_counter()
                    made.stab(start)
                    asking += time.perf_counter() - then
                for handle in again:
                    made.remove(handle)
                costs.append((half - began, asking, gone - half))
            cells = [micro(median(column) / len(spans)) for column in zip(*costs[1:], strict=True)]
            print(f"| {name} | {kind.name} | {' | '.join(cells)} |", flush=True)
    print(flush=True)


def alternation(rounds: int) -> None:
    """A change (one out, the same in again), then a run of lookups, over and over: the worst for a snapshot."""
    kinds = (Ours, Plain, *TREES)
    table(
        "probes", "lookups between changes", *(f"{kind.name}, µs a lookup with its share of changes" for kind in kinds)
    )
    for size in (100, 10_000, 100_000):
        spans = probes(size)
        asked = addresses(spans, SWEEP)
        indexes = [kind(spans) for kind in kinds]
        # The third is the worst: a snapshot is made, and dropped after few lookups.
        for run in sorted({1, 100, size // 5 + 1, 2 * size}):
            turns = max(2, min(1_000, 20_000 // run))
            sweeps = [
                lambda made=made, run=run, turns=turns: _turns(made, spans, asked, run, turns) for made in indexes  # noqa: B023 - called in this turn of the loop
            ]
            cells = medians(sweeps, rounds if run * turns <= 40_000 else 3)
            print(f"| {size:,} | {run:,} | {' | '.join(map(micro, cells))} |", flush=True)
    print(flush=True)


def _turns(made: Any, spans: Sequence[Span], asked: Sequence[int], run: int, turns: int) -> float:
    """Seconds a lookup."""
    stab, handles = made.stab, made.handles
    began = time.perf_counter()
    for turn in range(turns):
        span = spans[turn % len(spans)]
        made.remove(handles[span])
        handles[span] = made.add(*span)
        at = turn * run % len(asked)
        left = run
        while left > 0:
            part = asked[at : at + left]
            for address in part:
                stab(address)
            left -= len(part)
            at = 0
    return (time.perf_counter() - began) / (turns * run)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="rounds that count")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("takes at least one round")
    print(f"{given.rounds} rounds of {SWEEP:,} lookups; {about()}.\n")
    if intervaltree is None:
        print("Not compared with intervaltree: it is not installed (`pip install intervaltree`).\n")
    gc.disable()
    others = Others()
    lookups("stab", (Ours, Plain, Linear), 0, given.rounds)
    lookups(f"ranges of {NARROW} bytes", (Ours, Plain, Linear), NARROW, given.rounds)
    lookups(f"ranges of {WIDE // 1024} KiB", (Ours, Plain, Linear), WIDE, given.rounds)
    lookups("stab, probes that overlap", (OursOverlapping,), 0, given.rounds)
    lookups(f"ranges of {NARROW} bytes, probes that overlap", (OursOverlapping,), NARROW, given.rounds)
    lookups(f"ranges of {WIDE // 1024} KiB, probes that overlap", (OursOverlapping,), WIDE, given.rounds)
    one_page(given.rounds)
    alternation(given.rounds)
    print(f"Meanwhile others kept {others.processors():.2f} processors busy.")


if __name__ == "__main__":
    main()
