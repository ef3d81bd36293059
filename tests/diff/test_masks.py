"""Mask files."""

from __future__ import annotations

from pathlib import Path

import pytest
from diff_helpers import recording

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.hunks import DRIVER, Comparison
from mmiotools.diff.learn import learn
from mmiotools.errors import MmioToolsError, UsageError
from mmiotools.filters.masks import MaskFile, access_line, ignore, read_masks

Rows = list[tuple[str, int, int | None]]


def masked(tmp_path: Path, text: str, a: Rows, b: Rows) -> list[tuple[str, str, str]]:
    """Kind, class and reason of each hunk, with a mask file and without rules."""
    file = tmp_path / "mask.toml"
    file.write_text(text)
    groups = [[recording(a)], [recording(b)]]
    return told(compare_noisy(*groups, learn(groups, read_masks(str(file))), ()))


def told(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(hunk.kind, hunk.category, hunk.reason) for hunk in comparison.hunks]


def test_bits_of_a_register(tmp_path: Path) -> None:
    text = '[[mask]]\nregister = "map1+0x8"\nop = "write"\nbits = 0xf0\nreason = "jitter"\n'
    assert masked(tmp_path, text, [("W", 8, 0x12)], [("W", 8, 0x32)]) == [("change", "volatile", "jitter")]
    assert masked(tmp_path, text, [("W", 8, 0x12)], [("W", 8, 0x33)])[0][1] == DRIVER
    assert masked(tmp_path, text, [("R", 8, 0x12)], [("R", 8, 0x32)])[0][1] == DRIVER
    assert masked(tmp_path, text, [("W", 12, 0x12)], [("W", 12, 0x32)])[0][1] == DRIVER


def test_a_range_of_addresses(tmp_path: Path) -> None:
    text = '[[mask]]\nregister = "0x1008-0x100f"\n'
    (hunk,) = masked(tmp_path, text, [("W", 12, 1)], [("W", 12, 2)])
    assert hunk[:2] == ("change", "volatile")
    assert masked(tmp_path, text, [], [("W", 12, 2)])[0][1] == DRIVER, "only the value is set aside"


def test_ignored_accesses(tmp_path: Path) -> None:
    text = '[[mask]]\nregister = "map1+0x8"\nignore = true\n'
    a: Rows = [("W", 0, 0), ("W", 4, 1)]
    assert [row[1] for row in masked(tmp_path, text, a, [a[0], ("R", 8, 2), a[1]])] == ["volatile"]
    groups = [[recording(a)], [recording([*a, ("W", 8, 1)])]]
    comparison = compare_noisy(*groups, learn(groups, MaskFile((ignore("map1+0x8"),))), ())
    assert told(comparison) == [("insert", "volatile", "ignored: map1+0x8")]


def test_a_block_that_comes_at_any_time(tmp_path: Path) -> None:
    block: Rows = [("R", 0x20, 1), ("W", 0x24, 2), ("W", 0x28, 3)]
    texts = [access_line(access, value=True) for access in recording(block).span(0, 3)]
    assert texts[0] == "R 4 map/0+0x20 0x1"
    text = f"[[block]]\naccesses = {texts}\n".replace("'", '"')
    rest: Rows = [("W", 4 * n, n) for n in range(6)]
    assert [row[1] for row in masked(tmp_path, text, rest, rest[:3] + block + rest[3:])] == ["volatile"]
    assert [row[1] for row in masked(tmp_path, text, rest, rest[:3] + block[:2] + rest[3:])] == [DRIVER]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[mask]", "is not valid TOML"),
        ("x = " + "9" * 5000, "is not valid TOML"),
        ("x = " + "[" * 50_000, "nested too deep"),
        (f'[[mask]]\nregister = "{")" * 5000}"', r"mask 1: '\){400,} … \)+'"),
        ("maske = 1", "unknown key 'maske'"),
        ("mask = 1", r"\[\[mask\]\]"),
        ('[[mask]]\nregister = "BAR0+0x8"\nop = "peek"', "mask 1: op 'peek'"),
        ('[[mask]]\nop = "read"', "mask 1: key 'register' is missing"),
        ('[[mask]]\nregister = "BAR0+0x8"\nbits = 0', "mask 1: bits 0x0"),
        ('[[mask]]\nregister = "BAR0+0x8"\nbits = true', "mask 1: key 'bits'"),
        ('[[mask]]\nregister = "nonsense)"', "mask 1: 'nonsense\\)' is no register"),
        ('[[mask]]\nregister = "0x1 or read"', "mask 1: .* is no register"),
        ('[[mask]]\nregister = "BAR0+0x8"\ncolour = 1', "mask 1: unknown key 'colour'"),
        ("[[block]]\naccesses = []", "block 1: a block has at least one access"),
        ('[[block]]\naccesses = ["W 4"]', "block 1: 'W 4' is no access"),
        ("[[block]]\naccesses = [1]", "block 1: 1 is no access"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mask.toml"
    file.write_text(text)
    with pytest.raises(MmioToolsError, match=message) as raised:
        read_masks(str(file))
    assert str(file) in str(raised.value) and len(str(raised.value)) < 1000
    with pytest.raises(UsageError, match="no such file"):
        read_masks(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="--ignore"):
        ignore("nonsense)")
