"""The unified view: a line an access, `-` in A, `+` in B, blank in both; each hunk under a header of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import ClassVar

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.base import Options, access_text, paint, printable, value_text


class Unified:
    """`@@ -START,COUNT +START,COUNT @@ kind, class: reason`, indexes from 0, then the accesses."""

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Lines marked - and +, as `diff -u` prints them; a header a hunk."

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        if not len(comparison.hunks):
            return
        yield paint(f"--- {printable(comparison.name_a)}", "head", options)
        yield paint(f"+++ {printable(comparison.name_b)}", "head", options)
        shown = 0
        for hunk, following in pairwise(chain(comparison.hunks, [None])):
            assert hunk is not None
            yield paint(header(hunk), "head", options)
            yield from _context(comparison, max(shown, hunk.a.start - options.context), hunk.a.start)
            yield from _lines(comparison, hunk, options)
            limit = len(comparison.a) if following is None else following.a.start
            shown = min(hunk.a.stop + options.context, limit)
            yield from _context(comparison, hunk.a.stop, shown)


def header(hunk: Hunk) -> str:
    """The line above a hunk."""
    sides = f"-{hunk.a.start},{len(hunk.a)} +{hunk.b.start},{len(hunk.b)}"
    return f"@@ {sides} @@ {hunk.kind}, {hunk.category}: {hunk.reason}"


def _context(comparison: Comparison, start: int, stop: int) -> Iterator[str]:
    for access in comparison.a.span(start, stop):
        yield f" {access_text(access)}"


def _lines(comparison: Comparison, hunk: Hunk, options: Options) -> Iterator[str]:
    before = comparison.a.span(hunk.a.start, hunk.a.stop)
    after = comparison.b.span(hunk.b.start, hunk.b.stop)
    if hunk.kind == "change":
        for old, new in zip(before, after, strict=True):
            yield paint(f"-{access_text(old)}", "delete", options)
            yield paint(f"+{access_text(old)} -> {value_text(new)}", "insert", options)
        return
    for access in before:
        yield paint(f"-{access_text(access)}", "move" if hunk.kind == "move" else "delete", options)
    for access in after:
        yield paint(f"+{access_text(access)}", "move" if hunk.kind == "move" else "insert", options)
