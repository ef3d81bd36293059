"""Which blocks of a file an expression, or a window of times, may select from: by what is known of them unread."""

from __future__ import annotations

from functools import partial

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters import blocks
from mmiotools.filters import expr as tree
from mmiotools.filters.columns import compare
from mmiotools.filters.compile import Predicate, touches_regions
from mmiotools.filters.window import Window
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Array, Batch, BoolArray
from mmiotools.trace.zones import Choice, Last, Zones
from mmiotools.typed import Callable

_ACCESSES, _ALL = (1 << (Kind.UNKNOWN + 1)) - 1, (1 << len(Kind)) - 1


def may_select(node: tree.Expr, zones: Zones) -> BoolArray:
    """The blocks in which the expression may select an event, (n,); surely in no other."""
    return np.fromiter(map(blocks.may_select(node, zones.pages), zones.each()), np.bool_, len(zones.kinds))


def choose(node: tree.Expr, window: Window, bare: bool = False, last: Last | None = None) -> Choice:
    """The blocks that are needed to select by an expression and to cut by a window; `bare` as for `stages.cut`. With
    `last`, those of them that are needed for the end of what is selected.
    """
    kinds = _always(node, window, bare)
    if window.first is None and window.last is None:
        rows, test = _rows(node) if window.is_open else None, blocks.may_select(node)
        return Choice(partial(may_select, node), kinds, False, lambda zones: test(next(zones.each())), last, rows)

    def timed(zones: Zones) -> BoolArray:
        # The times of LOST events, a mere 0 perhaps, say nothing: the block may have no other.
        untimed = (zones.time_max < zones.time_min) | np.asarray(zones.kinds & (1 << Kind.LOST) != 0, np.bool_)
        overlaps = _between(zones.time_min, zones.time_max, window.first, window.last)
        found = untimed | overlaps
        if window.first is None:
            # Events before the first time are inside.
            found[: flatnonzero(~untimed)[:1].sum() + 1] = True
        # The first events of the next block may have no time, and go with the last of this one.
        found[1:] |= found[:-1].copy()
        found &= may_select(node, zones)
        if not bare:
            # Where the window opens, the maps alive are told, whether anything is selected there or not.
            within = ~untimed & _between(zones.time_max, zones.time_min, window.first, window.last)
            found |= overlaps & ~within
            found[1:] |= within[1:] & ~within[:-1]
            found[:1] |= within[:1]
        return found

    return Choice(timed, kinds, timed=True, last=last)


def _rows(node: tree.Expr) -> Callable[[Batch], BoolArray] | None:
    """What tells the rows that are selected; None where it takes all rows to tell."""
    predicate = None if any(map(touches_regions, tree.walk(node))) else Predicate(node)
    return None if predicate is None else predicate.mask


def _always(node: tree.Expr, window: Window, bare: bool) -> int:
    """The kinds of events that are needed whatever the expression is, as bits."""
    if not bare:
        # Context, which passes every filter, may be among all that is no access.
        return _ALL & ~_ACCESSES
    kinds = set[Kind]()
    if any(not isinstance(part, (tree.Word, tree.Not, tree.Joined)) and not _plain(part) for part in tree.walk(node)):
        # Where registers are is said by these.
        kinds |= {Kind.MAP, Kind.UNMAP, Kind.DEVICE}
    if window.from_mark is not None or window.to_mark is not None:
        kinds.add(Kind.MARK)
    return sum(1 << kind for kind in kinds)


def _plain(node: tree.Expr) -> bool:
    """Does a comparison need no more than the event?"""
    names = ("addr", "time", "op", "kind", "value", "width", "map", "pc", "pid", "cpu", "mark")
    if isinstance(node, tree.Member):
        return node.name in names and node.is_plain
    return isinstance(node, (tree.Compare, tree.Matches, tree.Text)) and node.name in names


def _between(least: Array, most: Array, low: int | None, high: int | None) -> BoolArray:
    found = np.ones(len(least), np.bool_)
    if low is not None:
        found &= compare(most, ">=", low)
    if high is not None:
        found &= compare(least, "<=", high)
    return found
