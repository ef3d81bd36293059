"""The side-by-side view: A on the left, B on the right, and between them what happened."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import ClassVar

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.base import Options, access_text, paint, printable
from mmiotools.diff.views.unified import header
from mmiotools.trace.matching import Access

#: Between the columns.
_SIGNS = {"insert": ">", "delete": "<", "change": "|", "move": "~"}


class SideBySide:
    """Two columns; `<` only in A, `>` only in B, `|` another value, `~` moved."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Two columns, as wide as the terminal."

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        if not len(comparison.hunks):
            return
        column = max(8, (options.width - 3) // 2)
        yield paint(_row(printable(comparison.name_a), " ", printable(comparison.name_b), column), "head", options)
        shown = 0
        for hunk, following in pairwise(chain(comparison.hunks, [None])):
            assert hunk is not None
            yield paint(header(hunk)[: 2 * column + 3], "head", options)
            yield from _context(comparison, max(shown, hunk.a.start - options.context), hunk.a.start, column)
            yield from _lines(comparison, hunk, column, options)
            limit = len(comparison.a) if following is None else following.a.start
            shown = min(hunk.a.stop + options.context, limit)
            yield from _context(comparison, hunk.a.stop, shown, column)


def _context(comparison: Comparison, start: int, stop: int, column: int) -> Iterator[str]:
    for access in comparison.a.span(start, stop):
        text = access_text(access)
        yield _row(text, " ", text, column)


def _lines(comparison: Comparison, hunk: Hunk, column: int, options: Options) -> Iterator[str]:
    before: Iterator[Access | None] = comparison.a.span(hunk.a.start, hunk.a.stop)
    after: Iterator[Access | None] = comparison.b.span(hunk.b.start, hunk.b.stop)
    if not hunk.a:
        before = iter([None] * len(hunk.b))
    elif not hunk.b:
        after = iter([None] * len(hunk.a))
    for old, new in zip(before, after, strict=True):
        left = "" if old is None else access_text(old)
        right = "" if new is None else access_text(new)
        yield paint(_row(left, _SIGNS[hunk.kind], right, column), hunk.kind, options)


def _row(left: str, sign: str, right: str, column: int) -> str:
    return f"{_fit(left, column):{column}} {sign} {_fit(right, column)}".rstrip()


def _fit(text: str, column: int) -> str:
    """The text cut to the column; the end (the value) matters most, so the cut is marked at the beginning."""
    return text if len(text) <= column else "~" + text[len(text) - column + 1 :]
