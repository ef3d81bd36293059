"""An expression about plain numbers of an event alone, as steps for the compiled engine (compiled/rows.c), or for a few
events for Python.
"""

from __future__ import annotations

from mmiotools.events import Kind
from mmiotools.filters import expr as tree
from mmiotools.small import array, operator
from mmiotools.trace.ranges import lies_in
from mmiotools.typed import Any, NamedTuple, Sequence

#: Field → the bits of its column, negative where it is signed.
_BITS = {"width": 8, "addr": 64, "value": 64, "pc": 64, "map": -64, "time": -64, "pid": -64}
_AND, _OR, _NOT = range(3)
#: What the engine takes.
_MOST_COLUMNS, _MOST_STEPS = 8, 64
_ALL_BITS = (1 << 64) - 1

#: Numbers from low to high, both included.
Range = tuple[int, int]


class Program(NamedTuple):
    """`steps` on columns of these names."""

    names: tuple[str, ...]
    steps: list[Any]


class _CannotSay(Exception):
    """An expression that looks at something else."""


def compiled_steps(node: tree.Expr) -> Program | None:
    """The program of an expression; None where there is none."""
    names: list[str] = []
    steps: list[Any] = []
    try:
        _append(node, names, steps)
    except _CannotSay:
        return None
    return Program(tuple(names), steps) if len(names) <= _MOST_COLUMNS and len(steps) <= _MOST_STEPS else None


def selected(program: Program, columns: Sequence[Sequence[int | None]]) -> list[bool]:
    """Which events a program selects: of its columns, each as long as there are events, None is no number."""
    stack: list[list[bool]] = []
    for step in program.steps:
        if step == _NOT:
            stack.append(list(map(operator.not_, stack.pop())))
        elif step in (_AND, _OR):
            second = stack.pop()
            stack.append(list(map(operator.and_ if step == _AND else operator.or_, stack.pop(), second)))
        else:
            number, *ranges = step
            known = {item: item is not None and lies_in(item, *ranges) for item in set(columns[number])}
            stack.append([known[item] for item in columns[number]])
    return stack.pop()


def _append(node: tree.Expr, names: list[str], steps: list[Any]) -> None:
    if len(steps) > _MOST_STEPS:
        raise _CannotSay
    if isinstance(node, tree.Word):
        _leaf("kind", [(kind, kind) for kind in tree.WORDS[node.name]], names, steps)
    elif isinstance(node, tree.Not):
        _append(node.operand, names, steps)
        steps.append(_NOT)
    elif isinstance(node, tree.Joined):
        _append(node.operands[0], names, steps)
        for operand in node.operands[1:]:
            _append(operand, names, steps)
            steps.append(_AND if isinstance(node, tree.And) else _OR)
    elif isinstance(node, tree.Compare) and node.name in ("op", "kind"):
        kinds = [kind for kind in Kind if kind <= Kind.UNKNOWN or node.name == "kind"]
        test = tree.OPERATORS[node.op]
        if node.mask is not None:
            raise _CannotSay
        _leaf("kind", [(kind, kind) for kind in kinds if test(kind, node.value)], names, steps)
    elif isinstance(node, tree.Compare) and node.name in _BITS:
        low, high = (0, _ALL_BITS) if node.mask is not None else _domain(node.name)
        _leaf(node.name, _ranges(node.op, node.value, low, high), names, steps, node.mask)
    elif isinstance(node, tree.Member) and node.name in _BITS and node.is_plain:
        most = _domain(node.name)[1]
        spans = [(span.low, most if span.high is None else span.high) for span in node.spans]
        _leaf(node.name, spans, names, steps)
    else:
        raise _CannotSay


def _domain(name: str) -> Range:
    bits = _BITS[name]
    return (0, (1 << bits) - 1) if bits > 0 else (-1 << -bits - 1, (1 << -bits - 1) - 1)


def _ranges(op: str, value: int, low: int, high: int) -> list[Range]:
    """The numbers from low to high that compare so."""
    below, above = (low, value - 1), (value + 1, high)
    return {
        "==": [(value, value)],
        "!=": [below, above],
        "<": [below],
        "<=": [(low, value)],
        ">": [above],
        ">=": [(value, high)],
    }[op]


def _leaf(name: str, ranges: list[Range], names: list[str], steps: list[Any], mask: int | None = None) -> None:
    if name not in names:
        names.append(name)
    signed = mask is None and name in _BITS and _BITS[name] < 0
    low, high = (0, _ALL_BITS) if mask is not None else _domain(name) if name in _BITS else (0, 255)
    merged: list[list[int]] = []
    for start, stop in sorted((max(start, low), min(stop, high)) for start, stop in ranges):
        if start > stop:
            continue
        if merged and start <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
    # Signed numbers are compared with their sign bit turned over.
    flip = 1 << 63 if signed else 0
    lows, highs = (array("Q", [pair[side] + flip for pair in merged]) for side in (0, 1))
    steps.append((names.index(name), _ALL_BITS if mask is None else mask & _ALL_BITS, flip, lows, highs))
