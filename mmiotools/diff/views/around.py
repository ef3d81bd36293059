"""Which accesses stand around each hunk, and which hunks are folded to a line."""

from __future__ import annotations

from itertools import chain, pairwise

from mmiotools.diff.hunks import VOLATILE, Comparison, Hunk
from mmiotools.diff.views.base import Options
from mmiotools.typed import Iterator, NamedTuple


class Placed(NamedTuple):
    """A hunk, and the same accesses to show before and after it, as positions in a.

    folded  volatile, and only its header is to be shown; nothing stands around it
    """

    hunk: Hunk
    folded: bool
    before: range
    after: range


def placed(comparison: Comparison, options: Options) -> Iterator[Placed]:
    """Every hunk with its surroundings: no access is shown twice, and none of another hunk."""
    shown = 0
    for hunk, following in pairwise(chain(comparison.hunks, [None])):
        assert hunk is not None
        start, stop = hunk.a.start, hunk.a.stop
        if hunk.category == VOLATILE and not options.show_volatile:
            shown = max(shown, stop)
            yield Placed(hunk, True, range(0), range(0))
            continue
        before = range(max(shown, start - options.context), start)
        limit = len(comparison.a) if following is None else following.a.start
        shown = min(stop + options.context, limit)
        yield Placed(hunk, False, before, range(stop, shown))


def header(comparison: Comparison, hunk: Hunk) -> str:
    """The line above a hunk, with the numbers of its accesses."""
    a, b = comparison.a.numbered(hunk.a.start), comparison.b.numbered(hunk.b.start)
    return f"@@ -{a},{len(hunk.a)} +{b},{len(hunk.b)} @@ {hunk.kind}, {hunk.category}: {hunk.reason}"
