"""Whether an expression may select an event from a block, by what is known of the block unread."""

from __future__ import annotations

from bisect import bisect_left

from mmiotools.events import Kind
from mmiotools.filters import expr as tree
from mmiotools.trace.blocks import Pages, Zone
from mmiotools.typed import Callable

#: Of one block: may it have what is looked for?
Test = Callable[[Zone], bool]

_ACCESSES = (1 << (Kind.UNKNOWN + 1)) - 1


def may_select(node: tree.Expr, pages: Pages | None = None) -> Test:
    """A test that is false only for blocks in which the expression selects nothing; `pages` are those of their file."""
    if isinstance(node, tree.Word):
        return _has_kinds(sum(1 << kind for kind in tree.WORDS[node.name]))
    if isinstance(node, tree.Joined):
        tests = [may_select(operand, pages) for operand in node.operands]
        together = all if isinstance(node, tree.And) else any
        return lambda zone: together(test(zone) for test in tests)
    if isinstance(node, tree.Compare) and node.mask is None and node.name in ("addr", "time", "op", "kind"):
        return _compared(node.name, node.op, node.value, pages)
    if isinstance(node, tree.Member) and node.name in ("addr", "time") and node.is_plain:
        borders = [(span.low, span.low if span.high is None else span.high) for span in node.spans]
        spans = [overlaps(node.name, low, high, pages) for low, high in borders]
        return spans[0] if len(spans) == 1 else lambda zone: any(test(zone) for test in spans)
    # Whatever else it asks is not known.
    return lambda zone: True


def overlaps(name: str, low: int | None, high: int | None, pages: Pages | None) -> Test:
    """Blocks with a `time` or `addr` between two numbers; None is no border."""
    least = -1 << 65 if low is None else low
    most = 1 << 65 if high is None else high
    if name == "time":
        return lambda zone: zone.time_max >= least and zone.time_min <= most
    asked = None if pages is None else pages.between(least, most)

    def test(zone: Zone) -> bool:
        if zone.addresses is not None:
            at = bisect_left(zone.addresses, least)
            return at < len(zone.addresses) and bool(zone.addresses[at] <= most)
        if zone.addr_max < least or zone.addr_min > most:
            return False
        return asked is None or zone.pages is None or zone.pages & asked != 0

    return test


def _has_kinds(bits: int) -> Test:
    return lambda zone: zone.kinds & bits != 0


def _compared(name: str, op: str, value: int, pages: Pages | None) -> Test:
    if name in ("op", "kind"):
        rest = _ACCESSES if name == "op" else -1
        return _has_kinds({"==": 1 << value, "!=": rest & ~(1 << value)}.get(op, rest))
    if op in ("<", "<="):
        return overlaps(name, None, value - (op == "<"), pages)
    if op in (">", ">="):
        return overlaps(name, value + (op == ">"), None, pages)
    if op == "==":
        return overlaps(name, value, value, pages)
    return lambda zone: True
