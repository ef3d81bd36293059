"""printk formats as the kernel does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.emu.printk import format_text


def say(form: bytes, *values: int) -> str:
    """Format with these arguments; the string at address n is n times "x"."""
    left: Iterator[int] = iter(values)
    text = format_text(form, lambda: next(left), lambda virt: b"x" * virt)
    assert not list(left), "an argument is left over"
    return text


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        (b"plain", (), "plain"),
        (b"\x013level", (), "level"),
        (b"100%%", (), "100%"),
        (b"%d %i", (0xFFFFFFFF, 0x7FFFFFFF), "-1 2147483647"),
        (b"%d", (0xABCDEF0000000005,), "5"),
        (b"%u", (0xFFFFFFFFFFFFFFFF,), "4294967295"),
        (b"%lu %llu %zu", (0xFFFFFFFFFFFFFFFF,) * 3, " ".join(["18446744073709551615"] * 3)),
        (b"%ld", (0x8000000000000000,), "-9223372036854775808"),
        (b"%hhd %hd %hhx", (0x1FF, 0x18000, 0x1FF), "-1 -32768 ff"),
        (b"%x %X %o %#x %#o %#X %#x", (171, 171, 8, 171, 8, 171, 0), "ab AB 10 0xab 010 0XAB 0"),
        (b"%8x|%-8x|%08x|%#010x", (171,) * 4, "      ab|ab      |000000ab|0x000000ab"),
        (b"%+d % d %+d", (5, 5, 0xFFFFFFFB), "+5  5 -5"),
        (b"%05d|%.3d|%6.3d|%-6.3d|", (0xFFFFFFFB, 5, 5, 5), "-0005|005|   005|005   |"),
        (b"%*d|%-*d|%*d|", (4, 7, 4, 7, 0xFFFFFFFC, 7), "   7|7   |7   |"),
        (b"%.*s", (2, 5), "xx"),
        (b"%s|%5s|%-5s|%.2s|%s", (3, 3, 3, 3, 0), "xxx|  xxx|xxx  |xx|(null)"),
        (b"%c%3c", (0x141, 0x42), "A  B"),
        (b"%p %px", (0xFFFFC90000000000, 16), "ffffc90000000000 0000000000000010x"),
        (b"%.0d|", (0,), "|"),
        (b"%y %", (), "%y %"),
        (b"%d%s", (1, 1), "1x"),
        (b"\xff", (), "�"),
    ],
)
def test_formats(form: bytes, values: tuple[int, ...], text: str) -> None:
    assert say(form, *values) == text


@given(value=st.integers(-(1 << 31), (1 << 31) - 1), width=st.integers(0, 30), flags=st.sets(st.sampled_from("-+ 0#")))
def test_as_printf_of_python_does(value: int, width: int, flags: set[str]) -> None:
    for kind in "dxXo":
        if kind != "d" and (value < 0 or ("#" in flags and kind == "o") or flags & {"+", " "}):
            continue
        if "#" in flags and (kind == "d" or value == 0):
            continue
        form = f"%{''.join(sorted(flags))}{width or ''}{kind}"
        assert say(form.encode(), value & (1 << 64) - 1) == form % value


@given(form=st.binary(max_size=40), values=st.lists(st.integers(0, (1 << 64) - 1), min_size=80, max_size=80))
def test_no_format_breaks_it(form: bytes, values: list[int]) -> None:
    left = iter(values)
    text = format_text(form, lambda: next(left), lambda virt: b"s")
    assert len(text) <= len(form) * 300
