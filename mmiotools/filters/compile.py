"""From the tree of an expression to masks over batches, and to words that explain it."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters import expr as tree
from mmiotools.filters.columns import compare, contains, masked, within
from mmiotools.filters.expr import OPERATORS
from mmiotools.filters.grammar import parse
from mmiotools.filters.lexer import as_bytes
from mmiotools.filters.patterns import MAX_SEARCHED, compile_pattern
from mmiotools.filters.register_masks import Registers
from mmiotools.filters.registers import (
    AtRegister,
    RegisterMember,
    RegisterSpan,
    RegisterValue,
    check_names,
)
from mmiotools.trace.batch import Array, Batch, BoolArray
from mmiotools.typed import TYPE_CHECKING, Callable, NDArray

if TYPE_CHECKING:
    from mmiotools.trace.addrmap import AddressMap, Resolved
    from mmiotools.trace.names import Names

#: Fields that are no columns of a batch, or not always.
_MADE = frozenset({"kind", "op", "offset", "bar"})
_BAR_NAME = re.compile(r"(?:.*/)?(?:BAR([0-5])|ROM)", re.DOTALL)


class Predicate:
    """An expression that answers for whole batches.

    An expression on regions or offsets follows the stream's maps and devices, so that one object serves one
    stream, every batch once and in order.
    """

    def __init__(self, expression: tree.Expr | str, names: Names | None = None) -> None:
        self.expr = parse(expression, names) if isinstance(expression, str) else expression
        check_names(self.expr, names)
        #: Whether an event alone tells, without the maps and devices before it.
        self.is_local = not any(touches_regions(node) for node in tree.walk(self.expr))
        self._names = names
        self._tables: dict[int, list[bool]] = {}
        self._patterns = {
            node: compile_pattern(as_bytes(node.pattern))
            for node in tree.walk(self.expr)
            if isinstance(node, tree.Matches)
        }

    # Made only for those who need them: they take a while to import.

    @cached_property
    def _addresses(self) -> AddressMap:
        from mmiotools.trace.addrmap import AddressMap

        return AddressMap()

    @cached_property
    def _registers(self) -> Registers:
        from mmiotools.trace.names import Names

        return Registers(self._names or Names(), self._addresses.regions)

    def mask(self, batch: Batch) -> BoolArray:
        """Which events of the batch the expression selects, (n,) bool."""
        resolved = None if self.is_local else self._addresses.resolve(batch)
        return self._evaluate(self.expr, _Rows(batch, resolved))

    def _evaluate(self, node: tree.Expr, rows: _Rows) -> BoolArray:
        if isinstance(node, tree.Word):
            return rows.batch.of_kind(*tree.WORDS[node.name])
        if isinstance(node, tree.Not):
            return ~self._evaluate(node.operand, rows)
        if isinstance(node, tree.And) and self.is_local:
            # Addresses first: where none will do, nothing else of a block need be read.
            operands = sorted(node.operands, key=lambda operand: getattr(operand, "name", None) != "addr")
            found = self._evaluate(operands[0], rows)
            for operand in operands[1:]:
                if not found.any():
                    break
                found = found & self._evaluate(operand, rows)
            return found
        if isinstance(node, tree.Joined):
            found = self._evaluate(node.operands[0], rows)
            join = np.logical_and if isinstance(node, tree.And) else np.logical_or
            for operand in node.operands[1:]:
                found = join(found, self._evaluate(operand, rows))
            return found
        if isinstance(node, tree.Compare):
            return self._compare(node, rows)
        if isinstance(node, tree.Member):
            return self._member(node, rows)
        if isinstance(node, tree.Place):
            inside = self._in_region(node, node.region, rows)
            known = rows.batch.present("addr") | (rows.code >= 0)
            if node.op == "!=":
                return known & ~(inside & compare(rows.offset, "==", node.offset))
            return inside & compare(rows.offset, node.op, node.offset)
        if isinstance(node, (tree.Text, tree.Matches)):
            if node.name == "reg":
                return self._named(node, rows)
            return self._regions(node, rows) if node.name == "region" else self._marks(node, rows)
        if isinstance(node, (AtRegister, RegisterValue, RegisterMember)):
            return self._registers.evaluate(node, rows)
        raise TypeError(f"no such node: {node!r}")

    # -- numbers ------------------------------------------------------------------------------------------

    def _column(self, name: str, rows: _Rows) -> tuple[Array, BoolArray]:
        if name == "kind":
            return rows.batch.kind, np.ones(len(rows.batch), np.bool_)
        if name == "op":
            return rows.batch.kind, rows.batch.accesses
        if name == "offset":
            return rows.offset, self._addresses.has_offset(rows.batch, rows.code)
        if name == "bar":
            table = np.array([_bar_number(region.name) for region in self._addresses.regions] + [-1], np.int8)
            bars = table[rows.code]
            return bars, bars >= 0
        return rows.batch.data(name), rows.batch.present(name)

    def _where(self, name: str, test: Callable[[Array], BoolArray], rows: _Rows) -> BoolArray:
        """The rows that have a field with a number that passes a test, (n,)."""
        if name not in _MADE:
            return rows.batch.where(name, test)
        data, present = self._column(name, rows)
        return test(data) & present

    def _compare(self, node: tree.Compare, rows: _Rows) -> BoolArray:
        mask = node.mask
        found = self._where(
            node.name,
            lambda data: compare(data if mask is None else masked(data, mask), node.op, node.value),
            rows,
        )
        if node.name == "value":
            test = OPERATORS[node.op]
            for row, wide in rows.wide():
                found[row] = test(wide if node.mask is None else wide & node.mask, node.value)
        return found

    def _member(self, node: tree.Member, rows: _Rows) -> BoolArray:
        plain = [span for span in node.spans if span.region is None]
        found = self._where(node.name, lambda data: within(data, plain), rows)
        if node.name == "value":
            for row, wide in rows.wide():
                found[row] = contains(wide, plain)
        for named in node.named:
            if isinstance(named, RegisterSpan):
                found |= self._registers.within(named, rows)
        for span in node.spans:
            if span.region is not None:
                found |= self._in_region(span, span.region, rows) & within(rows.offset, [span])
        return found

    # -- regions, registers and marks --------------------------------------------------------------------------------

    def _in_region(self, owner: object, name: str, rows: _Rows) -> BoolArray:
        return self._by_region(owner, lambda region: names_region(name, region), rows)

    def _by_region(self, owner: object, test: Callable[[str], bool], rows: _Rows) -> BoolArray:
        """`test` asked once a region; the table grows with the address map's."""
        table = self._tables.setdefault(id(owner), [])
        for region in self._addresses.regions[len(table) :]:
            table.append(test(region.name))
        return np.asarray(np.array([*table, False], np.bool_)[rows.code], np.bool_)

    def _regions(self, node: tree.Text | tree.Matches, rows: _Rows) -> BoolArray:
        if isinstance(node, tree.Matches):
            pattern = self._patterns[node]
            found = self._by_region(node, lambda name: _search(pattern, as_bytes(name)), rows)
            negated = node.negated
        else:
            values = node.values
            found = self._by_region(node, lambda name: any(names_region(v, name) for v in values), rows)
            negated = node.op == "!="
        return ~found & (rows.code >= 0) if negated else found

    def _named(self, node: tree.Text | tree.Matches, rows: _Rows) -> BoolArray:
        if isinstance(node, tree.Text):
            return self._registers.named(node, rows)
        pattern = self._patterns[node]
        return self._registers.matching(lambda name: _search(pattern, as_bytes(name)), node.negated, rows)

    def _marks(self, node: tree.Text | tree.Matches, rows: _Rows) -> BoolArray:
        found = np.zeros(len(rows.batch), np.bool_)
        wanted = {as_bytes(value) for value in node.values} if isinstance(node, tree.Text) else set()
        for row in rows.batch.rows(Kind.MARK).tolist():
            text = rows.batch.extras.get(row, {}).get("text")
            if text is None:
                continue
            if isinstance(node, tree.Matches):
                found[row] = _search(self._patterns[node], text) != node.negated
            else:
                found[row] = (text in wanted) != (node.op == "!=")
        return found


class _Rows:
    """A batch with what its expression needs to know about it."""

    def __init__(self, batch: Batch, resolved: Resolved | None) -> None:
        self.batch = batch
        if resolved is not None:
            self.code: NDArray[np.int32] = resolved.region
            self.offset: NDArray[np.uint64] = resolved.offset
            bare = (resolved.region < 0) & batch.present("offset")
            if bare.any():
                self.offset = np.where(bare, batch.data("offset"), resolved.offset)

    def wide(self) -> list[tuple[int, int]]:
        """Row and value of the values that no column holds."""
        return [(row, extra["value"]) for row, extra in self.batch.extras.items() if "value" in extra]


def names_region(name: str, region: str) -> bool:
    """Whether `name` says that region: in full, or without its device."""
    return region == name or ("/" not in name and region.rpartition("/")[2] == name)


def _bar_number(region: str) -> int:
    match = _BAR_NAME.fullmatch(region)
    if match is None:
        return -1
    return int(match[1]) if match[1] else tree.ROM_BAR


def _search(pattern: re.Pattern[bytes], text: bytes) -> bool:
    return pattern.search(text, 0, MAX_SEARCHED) is not None


def touches_regions(node: tree.Expr) -> bool:
    """Whether a node, without those below it, asks for more than an event alone tells."""
    if isinstance(node, tree.Member) and (node.named or any(span.region is not None for span in node.spans)):
        return True
    if isinstance(node, (tree.Place, AtRegister, RegisterValue, RegisterMember)):
        return True
    return getattr(node, "name", None) in ("offset", "bar", "region", "reg")


__all__ = ["Predicate", "names_region"]
