"""A real driver in versions whose changes are known: they are found, and nothing else is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.hunks import DRIVER, Comparison
from mmiotools.diff.learn import Noise, learn
from mmiotools.diff.learned import learned_lines
from mmiotools.filters.masks import read_masks
from mmiotools.formats import open_trace
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.collect import collect

VERSIONS = Path(__file__).resolve().parents[2] / "samples" / "versions" / "e1000"

#: What was changed in the source: kind of hunk, then (operation, offset, value in A, value in B).
TRUTH = {
    "value-1": {("change", ("W", 0x410, 0x602008, 0x602408)): 1, ("change", ("W", 0x2820, 0, 8)): 1},
    "drop-1": {
        ("delete", ("W", 0x282C, 8, None)): 1,
        # The read that flushes each write of the interrupt mask; the link went up between the third and the fourth.
        ("delete", ("R", 0x8, 0x80080781, None)): 3,
        ("delete", ("R", 0x8, 0x80080783, None)): 14,
    },
    "add-1": {("insert", ("R", 0x8, None, 0x80080781)): 40, ("insert", ("W", 0x170, None, 0x1234)): 1},
}


def load(name: str) -> Accesses:
    return collect(open_trace(str(VERSIONS / f"{name}.mmio")).batches)


def driver_accesses(comparison: Comparison) -> Counter[tuple[str, tuple[object, ...]]]:
    found: Counter[tuple[str, tuple[object, ...]]] = Counter()
    for hunk in comparison.hunks:
        if hunk.category != DRIVER:
            continue
        before = list(comparison.a.span(hunk.a.start, hunk.a.stop))
        after = list(comparison.b.span(hunk.b.start, hunk.b.stop))
        for at in range(max(len(before), len(after))):
            old, new = before[at] if before else None, after[at] if after else None
            one = old or new
            values = (old.value if old else None), (new.value if new else None)
            found[hunk.kind, (one.op, one.offset, *values)] += 1
    return found


@pytest.fixture(scope="module")
def base() -> list[Accesses]:
    return [load("base-1"), load("base-2")]


@pytest.mark.parametrize("version", TRUTH)
def test_every_change_of_the_driver_is_found_and_nothing_else(version: str, base: list[Accesses]) -> None:
    group = [load(version)]
    found = driver_accesses(compare_noisy(base, group, learn([base, group])))
    assert found == TRUTH[version]


def test_writes_that_swapped_places_are_found_and_nothing_else(base: list[Accesses]) -> None:
    group = [load("order-1")]
    found = driver_accesses(compare_noisy(base, group, learn([base, group])))
    pairs = [{0x3818, 0x3810}, {0x3820, 0x382C}]
    moved = [
        offset for (kind, (op, offset, *_)), count in found.items() for _ in range(count) if (kind, op) == ("move", "W")
    ]
    assert len(moved) == sum(found.values()) == 2
    assert all(any(offset in pair for offset in moved) for pair in pairs)


@pytest.mark.parametrize("version", TRUTH)
def test_the_other_way_round(version: str, base: list[Accesses]) -> None:
    group = [load(version)]
    found = driver_accesses(compare_noisy(group, base, learn([group, base])))
    turned = {"insert": "delete", "delete": "insert", "change": "change"}
    expected = {(turned[kind], (op, at, new, old)): n for (kind, (op, at, old, new)), n in TRUTH[version].items()}
    assert found == expected


def test_a_repeat_against_its_like_is_noise(base: list[Accesses]) -> None:
    groups = [base[:1], base[1:]]
    comparison = compare_noisy(*groups, learn([base]))
    assert comparison.hunks.counts()[DRIVER] == 0 < len(comparison.hunks)


def test_without_repeats_at_most_half_is_left(base: list[Accesses]) -> None:
    comparison = compare_noisy(base[:1], base[1:], Noise())
    left = sum(len(hunk.a) + len(hunk.b) for hunk in comparison.hunks if hunk.category == DRIVER)
    assert left <= 33  # a text diff shows 66
    assert sum(driver_accesses(compare_noisy(base[:1], base[1:], Noise(), ())).values()) > left / 2


@pytest.mark.parametrize("version", TRUTH)
def test_what_was_learned_works_from_a_file(version: str, base: list[Accesses], tmp_path: Path) -> None:
    group = [load(version)]
    file = tmp_path / "mask.toml"
    noise = learn([base, group])
    file.write_text("\n".join(learned_lines(noise, [*base, *group])))
    found = driver_accesses(compare_noisy(base[:1], group, learn([base[:1], group], read_masks(str(file)))))
    known = set(TRUTH[version])
    assert known <= set(found)
    assert sum(n for one, n in found.items() if one not in known) <= 8, found
