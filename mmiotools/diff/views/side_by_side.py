"""The side-by-side view: A on the left, B on the right, and between them what happened."""

from __future__ import annotations

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.around import header, placed
from mmiotools.diff.views.base import Options, access_text, mark_digits, paint, paint_line, printable, value_text
from mmiotools.trace.accesses import Access
from mmiotools.typed import ClassVar, Iterator

#: Between the columns.
_SIGNS = {"insert": ">", "delete": "<", "change": "|", "move": "~"}


class SideBySide:
    """Two columns; `<` only in A, `>` only in B, `|` another value, `~` moved."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Two columns, as wide as the terminal."
    sets_aside: ClassVar[bool] = True

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        if not len(comparison.hunks):
            return
        column = max(8, (options.width - 3) // 2)
        yield paint(_row(printable(comparison.name_a), " ", printable(comparison.name_b), column), "head", options)
        for hunk, folded, before, after in placed(comparison, options):
            yield paint_line(header(comparison, hunk)[: 2 * column + 3], "head", hunk, options)
            if not folded:
                yield from _context(comparison, before, column, options)
                yield from _lines(comparison, hunk, column, options)
                yield from _context(comparison, after, column, options)


def _context(comparison: Comparison, rows: range, column: int, options: Options) -> Iterator[str]:
    for access in comparison.a.span(rows.start, rows.stop):
        text = access_text(access, options)
        yield _row(text, " ", text, column)


def _lines(comparison: Comparison, hunk: Hunk, column: int, options: Options) -> Iterator[str]:
    before: Iterator[Access | None] = comparison.a.span(hunk.a.start, hunk.a.stop)
    after: Iterator[Access | None] = comparison.b.span(hunk.b.start, hunk.b.stop)
    if not hunk.a:
        before = iter([None] * len(hunk.b))
    elif not hunk.b:
        after = iter([None] * len(hunk.a))
    for old, new in zip(before, after, strict=True):
        left = "" if old is None else _fit(access_text(old, options), column)
        right = "" if new is None else _fit(access_text(new, options), column)
        pad = " " * (column - len(left))
        if options.color and old is not None and new is not None:
            was, now = value_text(old), value_text(new)
            left, right = _marked(left, was, now, hunk, options), _marked(right, now, was, hunk, options)
        yield paint_line(f"{left}{pad} {_SIGNS[hunk.kind]} {right}".rstrip(), hunk.kind, hunk, options)


def _marked(text: str, value: str, other: str, hunk: Hunk, options: Options) -> str:
    """The text with its value, at its end, marked where it differs; a value that was cut stays as it is."""
    if not text.endswith(f" {value}"):
        return text
    return text.removesuffix(value) + mark_digits(value, other, hunk, options)


def _row(left: str, sign: str, right: str, column: int) -> str:
    return f"{_fit(left, column):{column}} {sign} {_fit(right, column)}".rstrip()


def _fit(text: str, column: int) -> str:
    """The text cut to the column; the end (the value) matters most, so the cut is marked at the beginning."""
    return text if len(text) <= column else "~" + text[len(text) - column + 1 :]
