"""What every error of the package is: a line of bounded length that keeps its beginning and its end."""

from __future__ import annotations

from mmiotools.errors import EngineFailure, ExpressionError, FormatError


def test_an_error_that_quotes_much_is_clipped_in_the_middle() -> None:
    text = str(FormatError(f"file:3: '{'x' * 5000}' is none; there are: a, b"))
    assert len(text) < 1000 and text.startswith("file:3: 'xxx") and text.endswith("x' is none; there are: a, b")
    assert str(FormatError("short")) == "short"


def test_so_is_one_with_a_mark_below() -> None:
    lines = str(ExpressionError(f"'{'x' * 5000}' is none", "y" * 5000, 4000)).splitlines()
    assert len(lines) == 3 and max(map(len, lines)) < 1100 and lines[2].strip() == "^"


def test_one_that_quotes_what_is_no_text_stays_a_line() -> None:
    assert str(FormatError("no 'a\nb\x1b\udcff\t' here")) == r"no 'a\nb\x1b\udcff\t' here"
    assert str(ExpressionError("no 'a\nb'", "a b", 2)).splitlines()[0] == r"no 'a\nb' (column 3)"
    assert str(EngineFailure("one\n  two")) == "one\n  two"
