"""An expression in words: what `filter --explain` prints."""

from __future__ import annotations

from mmiotools.filters import expr as tree
from mmiotools.filters.registers import AtRegister, RegisterMember, RegisterSpan, RegisterValue

_OPS = {
    "==": "is",
    "!=": "is known and is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is more than",
    ">=": "is at least",
}


def explain(expr: tree.Expr) -> str:
    """How an expression was understood: its canonical spelling, then one line a condition, indented."""
    return "\n".join([str(expr), *_lines(expr, 1)]) + "\n"


def _lines(node: tree.Expr, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(node, tree.Joined):
        head = "all of:" if isinstance(node, tree.And) else "any of:"
        return [pad + head, *(line for operand in node.operands for line in _lines(operand, depth + 1))]
    if isinstance(node, tree.Not):
        return [f"{pad}not:", *_lines(node.operand, depth + 1)]
    return [pad + _condition(node)]


def _condition(node: tree.Expr) -> str:
    if isinstance(node, tree.Word):
        kinds = tree.WORDS[node.name]
        if node.name == "all":
            return "every event"
        return "the event is " + " or ".join(kind.name for kind in sorted(kinds))
    if isinstance(node, tree.Compare):
        if node.mask is not None:
            return f"{node.name}, of its bits {node.mask:#x}, {_OPS[node.op]} {node.value:#x}"
        return f"{node.name} {_OPS[node.op]} {_number(node.name, node.value)}"
    if isinstance(node, tree.Place):
        return f"the offset in region {node.region} {_OPS[node.op]} {node.offset:#x}"
    if isinstance(node, tree.Member):
        return f"{node.name} is " + ", or ".join(_span(node.name, span) for span in (*node.spans, *node.named))
    if isinstance(node, tree.Text):
        if node.name == "reg":
            verb = "an access to a register other than" if node.op == "!=" else "an access to"
            return f"{verb} {' or '.join(node.values)}"
        spell = tree.name_text if node.name == "region" else tree.quote
        return f"{node.name} {_OPS['!=' if node.op == '!=' else '==']} " + " or ".join(map(spell, node.values))
    if isinstance(node, AtRegister):
        return f"the address {_OPS[node.op]} that of register {node.register}" + (
            f", {node.offset:#x} bytes further" if node.offset else ""
        )
    if isinstance(node, RegisterValue):
        mask = "" if node.mask is None else f", of its bits {node.mask:#x},"
        return f"an access to {node.register}{mask} whose value {_OPS[node.op]} {node.value:#x}"
    if isinstance(node, RegisterMember):
        spans = ", or ".join(_span("value", span) for span in node.spans)
        return f"an access to {node.register} whose value is {spans}"
    assert isinstance(node, tree.Matches)
    verb = "is known and does not match" if node.negated else "matches"
    return f"{node.name} {verb} the regular expression {tree.quote_pattern(node.pattern)}"


def _number(name: str, number: int) -> str:
    text = tree.number_text(name, number)
    if name == "time":
        return f"{text} s"
    if name == "bar":
        return text if number == tree.ROM_BAR else f"BAR{number}"
    return text.upper() if name in ("op", "kind") else text


def _span(name: str, span: tree.AnySpan) -> str:
    if isinstance(span, RegisterSpan):
        return f"in register {span.register}" if span.last is None else f"from {span.register} to {span.last}"
    assert isinstance(span, tree.Span)
    if span.region is not None and span.high is None:
        return f"anywhere in region {span.region}"
    where = "" if span.region is None else f"in region {span.region}, offset "
    spell = name if span.region is None else "offset"
    high = span.low if span.high is None else span.high
    if high == span.low:
        return where + _number(spell, span.low)
    return f"{where}{_number(spell, span.low)} to {_number(spell, high)}, both included"
