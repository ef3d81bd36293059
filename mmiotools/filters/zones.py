"""Which blocks of a file an expression, or a window of times, may select from: by what is known of them unread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters import expr as tree
from mmiotools.filters.columns import compare
from mmiotools.filters.compile import Predicate, touches_regions
from mmiotools.filters.stages import Window
from mmiotools.trace.batch import Array, Batch, BoolArray
from mmiotools.trace.zones import PAGE_BITS, Choice, Last, Zones, page_set

#: Ranges of more pages are in any set of pages; the highest address.
_FEW_PAGES, _HIGHEST = 64, (1 << 64) - 1
_ACCESSES, _ALL = (1 << (Kind.UNKNOWN + 1)) - 1, (1 << len(Kind)) - 1


def may_select(node: tree.Expr, zones: Zones) -> BoolArray:
    """The blocks in which the expression may select an event, (n,); surely in no other."""
    if isinstance(node, tree.Word):
        return np.asarray(zones.kinds & sum(1 << kind for kind in tree.WORDS[node.name]) != 0, np.bool_)
    if isinstance(node, tree.Joined):
        found = may_select(node.operands[0], zones)
        for operand in node.operands[1:]:
            found = (np.logical_and if isinstance(node, tree.And) else np.logical_or)(found, may_select(operand, zones))
        return found
    if isinstance(node, tree.Compare) and node.mask is None and node.name in ("addr", "time", "op", "kind"):
        return _compared(node.name, node.op, node.value, zones)
    if isinstance(node, tree.Member) and node.name in ("addr", "time") and not node.named:
        found = np.zeros(len(zones.kinds), np.bool_)
        for span in node.spans:
            if span.region is not None:
                return np.ones(len(zones.kinds), np.bool_)
            found |= _overlaps(node.name, span.low, span.low if span.high is None else span.high, zones)
        return found
    # Whatever else it asks is not known.
    return np.ones(len(zones.kinds), np.bool_)


def choose(node: tree.Expr, window: Window, bare: bool = False, last: Last | None = None) -> Choice:
    """The blocks that are needed to select by an expression and to cut by a window; `bare` as for `stages.cut`. With
    `last`, those of them that are needed for the end of what is selected.
    """
    kinds = _always(node, window, bare)
    if window.first is None and window.last is None:
        rows = _rows(node) if window.is_open else None
        return Choice(partial(may_select, node), kinds, False, lambda zone: bool(may_select(node, zone)[0]), last, rows)

    def timed(zones: Zones) -> BoolArray:
        untimed = zones.time_max < zones.time_min
        overlaps = _overlaps("time", window.first, window.last, zones)
        found = untimed | overlaps
        if window.first is None:
            # Events before the first time are inside.
            found[: np.flatnonzero(~untimed)[:1].sum() + 1] = True
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
        return node.name in names and not node.named and all(span.region is None for span in node.spans)
    return isinstance(node, (tree.Compare, tree.Matches, tree.Text)) and node.name in names


def _compared(name: str, op: str, value: int, zones: Zones) -> BoolArray:
    if name in ("op", "kind"):
        rest = _ACCESSES if name == "op" else -1
        bits = {"==": 1 << value, "!=": rest & ~(1 << value)}.get(op, rest)
        return np.asarray(zones.kinds & bits != 0, np.bool_)
    if op in ("<", "<="):
        return _overlaps(name, None, value - (op == "<"), zones)
    if op in (">", ">="):
        return _overlaps(name, value + (op == ">"), None, zones)
    if op == "==":
        return _overlaps(name, value, value, zones)
    return np.ones(len(zones.kinds), np.bool_)


def _overlaps(name: str, low: int | None, high: int | None, zones: Zones) -> BoolArray:
    """Blocks with a number between two, (n,); None is no border."""
    if name == "addr" and zones.addresses is not None:
        return np.array([bool(_between(zones.addresses, zones.addresses, low, high).any())])
    if name == "time":
        return _between(zones.time_min, zones.time_max, low, high)
    found = _between(zones.addr_min, zones.addr_max, low, high)
    if zones.pages is not None and low is not None and high is not None:
        first, last = max(low, 0) >> PAGE_BITS, min(high, _HIGHEST) >> PAGE_BITS
        if first <= last < first + _FEW_PAGES:
            wanted = page_set(np.arange(first, last + 1, dtype=np.uint64) << np.uint64(PAGE_BITS))
            found &= (zones.pages & wanted != 0).any(axis=1)
    return found


def _between(least: Array, most: Array, low: int | None, high: int | None) -> BoolArray:
    found = np.ones(len(least), np.bool_)
    if low is not None:
        found &= compare(most, ">=", low)
    if high is not None:
        found &= compare(least, "<=", high)
    return found
