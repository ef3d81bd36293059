"""The unified view: a line an access, `-` in A, `+` in B, blank in both; each hunk under a header of its own."""

from __future__ import annotations

from itertools import chain, islice

from mmiotools.diff.hunks import Comparison, Hunk
from mmiotools.diff.views.around import Placed, header, placed
from mmiotools.diff.views.base import Options, fields_text, mark_digits, paint, paint_line, printable, value_text
from mmiotools.diff.views.texts import Span, signed_texts
from mmiotools.typed import ClassVar, Iterable, Iterator

#: Hunks whose lines are made together.
_AT_ONCE = 256


class Unified:
    """`@@ -START,COUNT +START,COUNT @@ kind, class: reason`, indexes from 0, then the accesses.

    Of a volatile hunk only the header, unless it is asked for.
    """

    api: ClassVar[int] = 1
    title: ClassVar[str] = "Lines marked - and +, as `diff -u` prints them; a header a hunk."
    sets_aside: ClassVar[bool] = True

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """See `View.render`."""
        return chain.from_iterable(_parts(comparison, options))


def _parts(comparison: Comparison, options: Options) -> Iterator[Iterable[str]]:
    """The lines, some at a time, each of which are to be taken before the next are asked for."""
    if not len(comparison.hunks):
        return
    yield (
        paint(f"--- {printable(comparison.name_a)}", "head", options),
        paint(f"+++ {printable(comparison.name_b)}", "head", options),
    )
    rest = placed(comparison, options)
    while some := list(islice(rest, _AT_ONCE)):
        shown = [place for place in some if not place.folded]
        in_a = signed_texts(comparison.a, chain.from_iterable(map(_spans_of_a, shown)), options)
        in_b = signed_texts(comparison.b, (Span(hunk.b.start, hunk.b.stop, "+") for hunk, *_ in shown), options)
        for hunk, folded, before, after in some:
            yield (paint_line(header(comparison, hunk), "head", hunk, options),)
            if folded:
                continue
            if before:
                yield islice(in_a, len(before))
            if hunk.kind == "change":
                yield _changes(comparison, hunk, in_a, in_b, options)
            elif options.color:
                yield _painted(islice(in_a, len(hunk.a)), "move" if hunk.kind == "move" else "delete", hunk, options)
                yield _painted(islice(in_b, len(hunk.b)), "move" if hunk.kind == "move" else "insert", hunk, options)
            else:
                yield islice(in_a, len(hunk.a))
                yield islice(in_b, len(hunk.b))
            if after:
                yield islice(in_a, len(after))


def _painted(texts: Iterable[str], what: str, hunk: Hunk, options: Options) -> Iterator[str]:
    return (paint_line(text, what, hunk, options) for text in texts)


def _spans_of_a(place: Placed) -> Iterator[Span]:
    hunk, _, before, after = place
    for lines, sign in ((before, " "), (hunk.a, "-"), (after, " ")):
        if lines:
            yield Span(lines.start, lines.stop, sign)


def _changes(
    comparison: Comparison, hunk: Hunk, in_a: Iterator[str], in_b: Iterator[str], options: Options
) -> Iterator[str]:
    if not options.color and options.naming is None:
        for text in islice(in_a, len(hunk.a)):
            yield text
            yield f"+{text[1:]} -> {next(in_b).rpartition(' ')[2]}"
        return
    before = comparison.a.span(hunk.a.start, hunk.a.stop)
    after = comparison.b.span(hunk.b.start, hunk.b.stop)
    for old, new in zip(before, after, strict=True):
        place, was, now = next(in_a)[1:].rpartition(" ")[0], value_text(old), value_text(new)
        next(in_b)
        was, now = mark_digits(was, now, hunk, options), mark_digits(now, was, hunk, options)
        yield paint_line(f"-{place} {was}", "delete", hunk, options)
        fields = fields_text(old, new, options)
        yield paint_line(f"+{place} {was} -> {now}{fields}", "insert", hunk, options)
