"""The views with a line a register: registers, state and stat; and what any view does with volatile hunks."""

from __future__ import annotations

import re

import pytest
from diff_helpers import recording, with_volatile, writes

from mmiotools.diff.hunks import Comparison, Hunk, compare
from mmiotools.diff.views import VIEWS
from mmiotools.diff.views.base import Options, mark_digits

A = [("W", 0, 1), ("R", 4, 5), ("R", 4, 5), ("W", 8, 0x10), ("R", 12, None)]
B = [("W", 0, 1), ("R", 4, 5), ("R", 4, 7), ("R", 12, None), ("W", 16, 1 << 70)]


def example() -> Comparison:
    return compare(recording(A), recording(B), "old", "new")


def shown(name: str, comparison: Comparison, **options: object) -> list[str]:
    return list(VIEWS.get(name)().render(comparison, Options(**options)))  # type: ignore[arg-type]


def rows(lines: list[str]) -> dict[str, list[str]]:
    """What stands behind each register, by `R 4 map1+0x0`."""
    return {" ".join(words[:3]): words[3:] for words in map(str.split, lines[1:])}


def test_registers() -> None:
    lines = shown("registers", example())
    heading = "register accesses a accesses b distinct a distinct b last a last b change at a change at b"
    assert " ".join(lines[0].split()) == heading
    assert rows(lines) == {
        "R 4 map1+0x4": ["2", "2", "1", "2", "0x5", "0x7", "2", "2"],
        "W 4 map1+0x8": ["1", "0", "1", "0", "0x10", "-", "3", "-"],
        "W 4 map1+0x10": ["0", "1", "0", "1", "-", hex(1 << 70), "-", "4"],
    }
    assert len(set(map(len, lines))) == 1


def test_all_registers() -> None:
    every = rows(shown("registers", example(), everything=True))
    assert every["W 4 map1+0x0"] == ["1", "1", "1", "1", "0x1", "0x1", "-", "-"]
    assert every["R 4 map1+0xc"] == ["1", "1", "1", "1", "?", "?", "-", "-"]
    assert len(every) == 5


def test_registers_that_differ_in_volatile_hunks_only_are_set_aside() -> None:
    comparison = with_volatile(example(), lambda hunk: hunk.kind == "change")
    assert "R 4 map1+0x4" not in rows(shown("registers", comparison))
    assert "R 4 map1+0x4" in rows(shown("registers", comparison, show_volatile=True))


def test_state_at_the_end() -> None:
    assert shown("state", example()) == [
        "  register    written a            written b read a read b",
        "  4 map1+0x0        0x1                  0x1      -      -",
        "* 4 map1+0x4          -                    -    0x5    0x7",
        "* 4 map1+0x8       0x10                    -      -      -",
        "  4 map1+0xc          -                    -      ?      ?",
        "* 4 map1+0x10         - 0x400000000000000000      -      -",
    ]


def test_state_before_a_place() -> None:
    lines = shown("state", example(), until=(2, 3))
    assert [line[0] for line in lines] == [" ", " ", "*"]
    assert lines[2].split() == ["*", "4", "map1+0x4", "-", "-", "0x5", "0x7"]
    assert shown("state", example(), until=(0, 0)) == []


def test_state_takes_no_notice_of_order() -> None:
    comparison = compare(writes("abcdef"), writes("fedcba"))
    assert len(comparison.hunks) and not [line for line in shown("state", comparison) if line.startswith("*")]


def test_stat() -> None:
    lines = shown("stat", example(), width=60)
    assert [line.split() for line in lines[1:4]] == [
        ["R", "4", "map1+0x4", "1", "0", "~"],
        ["W", "4", "map1+0x8", "1", "0", "-"],
        ["W", "4", "map1+0x10", "1", "0", "+"],
    ]
    assert lines[4] == "3 registers: 1 insertion (+), 1 deletion (-), 1 change (~)"


def test_stat_bars_are_to_scale_and_show_whatever_is_there() -> None:
    comparison = compare(recording([("W", 4, 0)] * 3), recording([("W", 0, i) for i in range(1000)] + [("W", 4, 0)]))
    lines = shown("stat", comparison, width=60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].split()[-1] == "+" * 29 and lines[2].split()[-1] == "-"
    volatile = with_volatile(comparison, lambda hunk: hunk.kind == "insert")
    lines = shown("stat", volatile, width=60)
    assert lines[1].split()[3:] == ["2", "0", "-"] and lines[2].split()[3:] == ["0", "1000", "." * 29]
    assert lines[3] == "2 registers: 2 deletions (-), 1000 volatile (.)"


@pytest.mark.parametrize("name", ["registers", "stat", "unified", "side-by-side"])
def test_nothing_to_show(name: str) -> None:
    same = compare(writes("abc"), writes("abc"))
    assert shown(name, same) == []
    assert len(shown("registers", same, everything=True)) == 4


# -- volatile hunks ------------------------------------------------------------------------------------------


def is_change(hunk: Hunk) -> bool:
    return hunk.kind == "change"


def test_volatile_hunks_are_one_line() -> None:
    lines = shown("unified", with_volatile(example(), is_change), context=0)
    assert lines[2:] == [
        "@@ -2,1 +2,1 @@ change, volatile: a counter",
        "@@ -3,1 +3,0 @@ delete, driver: only in A",
        "-W 4 map1+0x8 0x10",
        "@@ -5,0 +4,1 @@ insert, driver: only in B",
        f"+W 4 map1+0x10 {1 << 70:#x}",
    ]
    assert len(shown("side-by-side", with_volatile(example(), is_change), context=0)) == 1 + 1 + 2 + 2


def test_volatile_hunks_are_shown_when_asked_for() -> None:
    for name in ("unified", "side-by-side"):
        lines = shown(name, with_volatile(example(), is_change), show_volatile=True)
        plain = shown(name, example())
        assert [line for line in lines if not line.startswith("@@")] == [x for x in plain if not x.startswith("@@")]


def test_nothing_of_a_folded_hunk_is_context() -> None:
    comparison = compare(writes("abcdefghijkl"), writes("abCdefghijKl"))
    lines = shown("unified", with_volatile(comparison, lambda hunk: hunk.a.start == 2), context=20)
    assert " W 4 map1+0x3 0x0" not in lines and "-W 4 map1+0xb 0x0" in lines


def test_summary_and_json_have_them_all() -> None:
    comparison = with_volatile(example(), is_change)
    assert "change: 1 hunk, 1 access (1 hunk volatile)" in shown("summary", comparison)
    assert rows(shown("summary", comparison)[7:])["R 4 map1+0x4"] == ["-", "-", "1", "-", "1"]
    assert '"class": "volatile"' in "".join(shown("json", comparison))


# -- digits --------------------------------------------------------------------------------------------------


def test_the_digits_that_differ_are_marked() -> None:
    on, off = "\x1b[1;4m", "\x1b[22;24m"
    hunk = next(iter(example().hunks))
    color = Options(color=True)
    assert mark_digits("0x602008", "0x602408", hunk, color) == f"0x602{on}0{off}08"
    assert mark_digits("0x1ff", "0x2f", hunk, color) == f"0x{on}1f{off}f"
    assert mark_digits("0x2f", "0x1ff", hunk, color) == f"0x{on}2{off}f"
    for value, other in (("0x1", "0x1"), ("?", "0x1"), ("0x1", "?")):
        assert mark_digits(value, other, hunk, color) == value
    assert mark_digits("0x1", "0x2", hunk, Options()) == "0x1"


def test_colour_adds_codes_and_nothing_else() -> None:
    for name in VIEWS.names():
        for comparison in (example(), with_volatile(example(), is_change)):
            plain = shown(name, comparison, show_volatile=True)
            painted = shown(name, comparison, show_volatile=True, color=True)
            assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in painted] == plain
    lines = shown("unified", with_volatile(example(), is_change), show_volatile=True, color=True)
    assert "\x1b[2m-R 4 map1+0x4 0x\x1b[4m5\x1b[24m\x1b[0m" in lines
