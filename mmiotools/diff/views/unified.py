"""The unified view: a line an access, `-` in A, `+` in B, blank in both; each hunk under a header of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import ClassVar

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.around import header, placed
from mmiotools.diff.views.base import (
    Options,
    access_text,
    fields_text,
    mark_digits,
    paint,
    paint_line,
    place_text,
    printable,
    value_text,
)
from mmiotools.trace.matching import Accesses


class Unified:
    """`@@ -START,COUNT +START,COUNT @@ kind, class: reason`, indexes from 0, then the accesses.

    Of a volatile hunk only the header, unless it is asked for.
    """

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Lines marked - and +, as `diff -u` prints them; a header a hunk."
    sets_aside: ClassVar[bool] = True

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        if not len(comparison.hunks):
            return
        yield paint(f"--- {printable(comparison.name_a)}", "head", options)
        yield paint(f"+++ {printable(comparison.name_b)}", "head", options)
        for hunk, folded, before, after in placed(comparison, options):
            yield paint_line(header(comparison, hunk), "head", hunk, options)
            if not folded:
                if before:
                    yield from _context(comparison, before, options)
                yield from _lines(comparison, hunk, options)
                if after:
                    yield from _context(comparison, after, options)


def _context(comparison: Comparison, rows: range, options: Options) -> Iterator[str]:
    return comparison.a.spelled(rows.start, rows.stop, lambda access: f" {access_text(access, options)}")


def _lines(comparison: Comparison, hunk: Hunk, options: Options) -> Iterator[str]:
    if hunk.kind == "change":
        return _changes(comparison, hunk, options)
    kinds = ("move", "move") if hunk.kind == "move" else ("delete", "insert")

    def spelled(side: Accesses, rows: range, sign: str, kind: str) -> Iterator[str]:
        return side.spelled(
            rows.start,
            rows.stop,
            lambda access: paint_line(f"{sign}{access_text(access, options)}", kind, hunk, options),
        )

    return chain(
        spelled(comparison.a, hunk.a, "-", kinds[0]) if hunk.a else (),
        spelled(comparison.b, hunk.b, "+", kinds[1]) if hunk.b else (),
    )


def _changes(comparison: Comparison, hunk: Hunk, options: Options) -> Iterator[str]:
    before = comparison.a.span(hunk.a.start, hunk.a.stop)
    after = comparison.b.span(hunk.b.start, hunk.b.stop)
    for old, new in zip(before, after, strict=True):
        place, was, now = place_text(old, options), value_text(old), value_text(new)
        was, now = mark_digits(was, now, hunk, options), mark_digits(now, was, hunk, options)
        yield paint_line(f"-{place} {was}", "delete", hunk, options)
        fields = fields_text(old, new, options)
        yield paint_line(f"+{place} {was} -> {now}{fields}", "insert", hunk, options)
