"""More than two versions: what all have in common, how far each is from each, and which one is the odd one out."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.hunks import Comparison
from mmiotools.diff.rules import RULES, Rule
from mmiotools.trace.accesses import Accesses
from mmiotools.typed import TYPE_CHECKING, Iterator, NamedTuple, NDArray, Sequence

if TYPE_CHECKING:
    from mmiotools.diff.learn import Noise


class Group(NamedTuple):
    """Recordings of one version, the first of which stands for it."""

    name: str
    recordings: Sequence[Accesses]


class Groups(NamedTuple):
    """What came out of comparing each group with each.

    distance   (g, g) int64: accesses (both sides) in hunks of class DRIVER
    core       accesses of the most typical group that are the same in all others
    typical    number of the group that is nearest to the others
    odd        number of the one that is farthest from them, -1 where all are the same
    oddity     the comparison of the two, None where all are the same
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    distance: NDArray[np.int64]
    core: int
    typical: int
    odd: int
    oddity: Comparison | None


def compare_groups(groups: Sequence[Group], noise: Noise | None, rules: Sequence[Rule] = RULES) -> Groups:
    """Compare each group with each: (g² - g) / 2 comparisons, of which one is kept at a time."""
    count = len(groups)
    distance = np.zeros((count, count), np.int64)
    for one in range(count):
        for other in range(one + 1, count):
            comparison = _compare(groups[one], groups[other], noise, rules)
            distance[one, other] = distance[other, one] = _driver_accesses(comparison)
    total = distance.sum(axis=1)
    typical = int(np.argmin(total))
    odd = int(np.argmax(total)) if total.any() else -1
    common = np.ones(len(groups[typical].recordings[0]), np.bool_)
    oddity = None
    for number, group in enumerate(groups):
        if number == typical:
            continue
        comparison = _compare(groups[typical], group, noise, rules)
        common &= _untouched(comparison)
        if number == odd:
            oddity = comparison
    names = tuple(group.name for group in groups)
    sizes = tuple(len(group.recordings[0]) for group in groups)
    return Groups(names, sizes, distance, int(np.count_nonzero(common)), typical, odd, oddity)


def group_lines(groups: Groups) -> Iterator[str]:
    """What was found, for people: a table of distances, the common core, the odd one out."""
    wide = max(8, *(len(name) for name in groups.names))
    heads = [f"[{number}]" for number in range(len(groups.names))]
    cells = [
        [str(cell) if one != other else "-" for other, cell in enumerate(row)]
        for one, row in enumerate(groups.distance.tolist())
    ]
    columns = [max(len(head), *(len(row[at]) for row in cells)) for at, head in enumerate(heads)]
    yield "accesses that differ, by the driver:"
    yield f"{'':{wide + 5}}" + "".join(f" {head:>{size}}" for head, size in zip(heads, columns, strict=True))
    for head, name, row in zip(heads, groups.names, cells, strict=True):
        yield f"{head:<4} {name:<{wide}}" + "".join(f" {cell:>{size}}" for cell, size in zip(row, columns, strict=True))
    typical = groups.names[groups.typical]
    yield f"common core: {groups.core} accesses of {groups.sizes[groups.typical]} in {typical} are the same in all"
    if groups.odd < 0:
        yield "odd one out: none, all are the same"
    else:
        far = _mean(groups, groups.odd)
        rest = [_mean(groups, number) for number in range(len(groups.names)) if number != groups.odd]
        name = groups.names[groups.odd]
        yield f"odd one out: {name}, {far:.1f} accesses from each other one on average; the nearest has {min(rest):.1f}"


def group_json(groups: Groups) -> Iterator[str]:
    """The same as one JSON object on a line."""
    import json

    yield json.dumps(
        {
            "type": "groups",
            "schema": "mmiotools.diff-groups/1",
            "names": groups.names,
            "accesses": groups.sizes,
            "distance": groups.distance.tolist(),
            "core": groups.core,
            "typical": groups.names[groups.typical],
            "odd": None if groups.odd < 0 else groups.names[groups.odd],
        }
    )


def _mean(groups: Groups, number: int) -> float:
    return float(groups.distance[number].sum()) / (len(groups.names) - 1)


def _compare(one: Group, other: Group, noise: Noise | None, rules: Sequence[Rule]) -> Comparison:
    return compare_noisy(one.recordings, other.recordings, noise, rules, one.name, other.name)


def _driver_accesses(comparison: Comparison) -> int:
    hunks = comparison.hunks
    size = hunks.a_stop - hunks.a_start + hunks.b_stop - hunks.b_start
    return int(size[hunks.why == 0].sum())


def _untouched(comparison: Comparison) -> NDArray[np.bool_]:
    """Accesses of A that are in no hunk, (n,)."""
    found = np.ones(len(comparison.a), np.bool_)
    hunks = comparison.hunks
    for start, stop in zip(hunks.a_start.tolist(), hunks.a_stop.tolist(), strict=True):
        found[start:stop] = False
    return found
