"""Rows of cells as lines of columns."""

from __future__ import annotations

from mmiotools.typed import Iterator, Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The headings, then every row: the first column to the left, the others to the right, as wide as they need."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        rest = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        yield " ".join((f"{row[0]:{widths[0]}}", *rest))
