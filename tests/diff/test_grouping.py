"""Groups of accesses, and what is counted by them, against plain dictionaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
from diff_helpers import edited_pairs, keys, recording, with_volatile
from hypothesis import given

from mmiotools.diff.counts import count_lines
from mmiotools.diff.grouping import REGISTER, VALUE, first, group, last
from mmiotools.diff.hunks import KINDS, compare, volatile_accesses
from mmiotools.diff.tally import label, tally
from mmiotools.diff.views.base import Options


@given(edited_pairs())
def test_groups_are_those_of_equal_fields(pair: tuple[list, list]) -> None:
    a, b = recording(pair[0]), recording(pair[1])
    for fields, plain in ((VALUE, keys(a) + keys(b)), (REGISTER, [key[:4] for key in keys(a) + keys(b)])):
        groups = group(a, b, fields)
        codes = [*groups.a.tolist(), *groups.b.tolist()]
        assert len(set(zip(codes, plain, strict=True))) == len(set(plain)) == len(groups)
        examples = groups.examples(a, b, np.arange(len(groups)))
        assert [example.key[: len(plain[0])] for example in examples] == [
            plain[codes.index(code)] for code in range(len(groups))
        ]


def test_first_and_last() -> None:
    codes, at = np.array([0, 2, 2, 0]), np.arange(4)
    assert first(codes, at, 4).tolist() == [0, -1, 1, -1]
    assert last(codes, at, 4).tolist() == [3, -1, 2, -1]


@given(edited_pairs())
def test_counts_are_the_difference_of_the_multisets(pair: tuple[list, list]) -> None:
    a, b = recording(pair[0]), recording(pair[1])
    lines = dict(line.split(" ", 1)[::-1] for line in count_lines(a, b, Options()))
    texts = [
        Counter(
            f"{op} 4 map1+{offset:#x} {'?' if value is None else hex(value)}" for op, _, _, offset, value in keys(side)
        )
        for side in (a, b)
    ]
    more = {text: texts[1][text] - texts[0][text] for text in texts[0] | texts[1]}
    assert {text: int(number) for text, number in lines.items()} == {t: n for t, n in more.items() if n}


def test_counts_come_by_register_then_value() -> None:
    a = recording([("W", 8, 1), ("R", 4, 2), ("R", 4, 2), ("R", 4, 2)])
    b = recording([("R", 4, 3), ("W", 8, 1), ("U", 0, None)])
    assert list(count_lines(a, b, Options())) == ["+1 U 4 map1+0x0 ?", "-3 R 4 map1+0x4 0x2", "+1 R 4 map1+0x4 0x3"]
    assert not list(count_lines(a, a, Options()))


@given(edited_pairs())
def test_the_tally_is_that_of_the_hunks(pair: tuple[list, list]) -> None:
    comparison = with_volatile(
        compare(recording(pair[0]), recording(pair[1])), lambda hunk: bool((hunk.a.start + hunk.b.start) % 2)
    )
    counted, labels = tally(comparison), label(comparison)
    expected = np.zeros_like(counted.count)
    inside: tuple[set[int], set[int]] = (set(), set())
    aside = 0
    for hunk in comparison.hunks:
        volatile = int(hunk.category == "volatile")
        codes, rows = (counted.registers.a, hunk.a) if hunk.a else (counted.registers.b, hunk.b)
        for at in rows:
            expected[volatile, KINDS.index(hunk.kind), codes[at]] += 1
        aside += volatile * len(rows)
        if not volatile:
            inside[0].update(hunk.a)
            inside[1].update(hunk.b)
    assert (counted.count == expected).all()
    assert aside == volatile_accesses(comparison)
    assert [set(np.flatnonzero(side.driver).tolist()) for side in labels] == list(inside)
