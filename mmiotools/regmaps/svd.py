"""CMSIS-SVD: the register descriptions that vendors of microcontrollers publish.

Each peripheral is a map at its own base address; its registers are called PERIPHERAL.REGISTER. Read are derivedFrom,
clusters, dim with dimIncrement and dimIndex, sizes that are inherited, fields in their three spellings, and enumerated
values. Reset values, access rights and interrupts are not: a trace says what happened.

Reference: the CMSIS-SVD schema, version 1.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mmiotools.regmaps.source import Collector, Reader, Source, distinct, number
from mmiotools.regmaps.xmltree import Node, looks_like_xml, parse_xml
from mmiotools.trace.regmap import MAX_ELEMENTS, Binding, Field, Register, RegisterMap, clean_name

MAX_DEPTH = 8
#: Copies of one element that `dim` makes, where they have names of their own.
MAX_COPIES = 4096
_RANGE = re.compile(r"\[\s*(\w+)\s*:\s*(\w+)\s*\]")
_INDEX_RANGE = re.compile(r"([0-9]{1,6})-([0-9]{1,6})|([A-Z])-([A-Z])")


@dataclass(frozen=True, slots=True)
class _Context:
    """What registers inherit: where they begin, what their names begin with, and their size in bytes."""

    prefix: str
    base: int
    width: int
    depth: int = 0


def _read(source: Source) -> list[RegisterMap]:
    root = parse_xml(source)
    listed = root.child("peripherals")
    if root.tag != "device" or listed is None:
        raise source.error("holds no <peripherals>, so it is no SVD", root.line)
    by_name = {item.words("name") or "": item for item in listed.each("peripheral")}
    device = root.words("name") or source.stem
    width = _size(source, root, 4)
    budget = [MAX_ELEMENTS]
    maps = []
    for item in listed.each("peripheral"):
        maps += _peripheral(source, item, by_name, device, width, budget)
    if not maps:
        raise source.error("holds no registers")
    return maps


def _peripheral(
    source: Source, item: Node, by_name: dict[str, Node], device: str, width: int, budget: list[int]
) -> list[RegisterMap]:
    name = item.words("name")
    base = _need(source, item, "baseAddress")
    if not name:
        raise source.error("a <peripheral> has no <name>", item.line)
    own = _chain(source, item, by_name)
    registers = next((held for node in own if (held := node.child("registers")) is not None), None)
    if registers is None:
        return []
    width = next((size for node in own if (size := _size(source, node, 0))), width)
    title = next((text for node in own if (text := node.words("description"))), device)
    maps = []
    for label, shift in _copies(source, item, name):
        found = Collector(source)
        _children(source, registers, _Context(f"{clean_name(label)}.", 0, width), found, budget)
        if found.registers:
            end = max(r.offset + r.stride * (r.count - 1) + r.width for r in found.registers)
            maps.append(found.map(title[:120], Binding(address=(base + shift, end)), clean_name(label)))
    return maps


def _chain(source: Source, item: Node, by_name: dict[str, Node]) -> list[Node]:
    """An element, and those that it is derived from."""
    chain = [item]
    while (origin := chain[-1].get("derivedFrom")) is not None:
        parent = by_name.get(origin) or by_name.get(origin.rpartition(".")[2])
        if parent is None:
            raise source.error(f"derived from '{origin[:80]}', which is not there", chain[-1].line)
        if any(parent is node for node in chain):
            raise source.error(f"'{origin[:80]}' is derived from itself", chain[-1].line)
        chain.append(parent)
        if len(chain) > MAX_DEPTH:
            raise source.error(f"derived over more than {MAX_DEPTH} steps", item.line)
    return chain


def _children(source: Source, parent: Node, at: _Context, found: Collector, budget: list[int]) -> None:
    """The registers and clusters in an element."""
    if at.depth > MAX_DEPTH:
        raise source.error(f"clusters are nested over {MAX_DEPTH} deep", parent.line)
    by_name = {item.words("name") or "": item for item in parent.each("register", "cluster")}
    for item in parent.each("register", "cluster"):
        budget[0] -= 1
        if budget[0] < 0:
            raise source.error(f"there are too many registers; {MAX_ELEMENTS} are the most", item.line)
        chain = _chain(source, item, by_name)
        name = item.words("name")
        if not name:
            raise source.error(f"a <{item.tag}> has no <name>", item.line)
        offset = at.base + _need(source, item, "addressOffset")
        width = next((size for node in chain if (size := _size(source, node, 0))), at.width)
        if item.tag == "cluster":
            inner = next((node for node in chain if node.child("register") or node.child("cluster")), item)
            for label, shift in _copies(source, item, name):
                here = _Context(f"{at.prefix}{clean_name(label)}.", offset + shift, width, at.depth + 1)
                _children(source, inner, here, found, budget)
            continue
        _register(source, item, chain, replace(at, base=offset, width=width), found)


def _register(source: Source, item: Node, chain: list[Node], at: _Context, found: Collector) -> None:
    held = next((node for child in chain if (node := child.child("fields")) is not None), None)
    fields = () if held is None else distinct(f for node in held.each("field") for f in _fields(source, node))
    fields = tuple(field for field in fields if field.high < 8 * at.width)
    title = next((text for node in chain if (text := node.words("description"))), "")[:120]
    name = item.words("name") or ""
    dim, step = _dim(source, item)
    if dim > 1 and "[%s]" in name:
        label = at.prefix + clean_name(name.replace("[%s]", "[]", 1))
        found.add(Register(label, at.base, at.width, fields, dim, step, title), item.line)
        return
    for label, shift in _copies(source, item, name):
        found.add(Register(at.prefix + clean_name(label), at.base + shift, at.width, fields, title=title), item.line)


def _dim(source: Source, item: Node) -> tuple[int, int]:
    """How many copies there are, and how far apart in bytes."""
    words = item.words("dim")
    if words is None:
        return 1, 0
    dim, step = number(words), number(item.words("dimIncrement") or "")
    if dim is None or not 1 <= dim <= MAX_ELEMENTS or step is None or step < 0:
        raise source.error("<dim> or <dimIncrement> is no number that fits", item.line)
    return dim, step


def _copies(source: Source, item: Node, name: str) -> list[tuple[str, int]]:
    """Name and distance of each copy; one where the element is alone."""
    dim, step = _dim(source, item)
    if item.child("dim") is None:
        return [(name, 0)]
    if dim > MAX_COPIES:
        raise source.error(f"<dim> makes {dim} copies; {MAX_COPIES} are the most", item.line)
    labels = _labels(item.words("dimIndex"), dim)
    if "%s" not in name:
        name += "[%s]" if dim > 1 else ""
    return [(name.replace("%s", label), n * step) for n, label in enumerate(labels)]


def _labels(words: str | None, dim: int) -> list[str]:
    """What stands for %s in each copy: a list, a range, or the numbers from 0."""
    labels = [word.strip() for word in (words or "").split(",")]
    match = _INDEX_RANGE.fullmatch(words or "")
    if match and match[1]:
        labels = [str(n) for n in range(int(match[1]), min(int(match[2]), int(match[1]) + dim) + 1)]
    elif match:
        labels = [chr(n) for n in range(ord(match[3]), ord(match[4]) + 1)]
    return labels if len(labels) == dim else [str(n) for n in range(dim)]


def _fields(source: Source, item: Node) -> list[Field]:
    """A field from bitOffset and bitWidth, lsb and msb, or bitRange; several where it has a <dim>."""
    name = item.words("name")
    low, high = number(item.words("lsb") or ""), number(item.words("msb") or "")
    if low is None:
        low = number(item.words("bitOffset") or "")
        wide = number(item.words("bitWidth") or "1")
        high = None if low is None or wide is None else low + wide - 1
    match = _RANGE.fullmatch(item.words("bitRange") or "")
    if low is None and match:
        high, low = number(match[1]), number(match[2])
    if not name or low is None or high is None or not 0 <= low <= high < 512:
        raise source.error("a <field> needs a name, and bits by bitOffset, lsb and msb, or bitRange", item.line)
    values: dict[int, str] = {}
    for listed in item.each("enumeratedValues"):
        for entry in listed.each("enumeratedValue"):
            numeral, word = number(entry.words("value") or ""), clean_name(entry.words("name") or "")
            # A value may hold "do not care" bits, which stand for no one number.
            if numeral is not None and numeral >= 0 and word:
                values.setdefault(numeral, word)
    return [
        Field(re.sub(r"[.\[\]]+", "_", clean_name(label)).strip("_"), high + shift, low + shift, values)
        for label, shift in _copies(source, item, name)
    ]


def _size(source: Source, item: Node, default: int) -> int:
    """<size> in bytes."""
    words = item.words("size")
    if words is None:
        return default
    bits = number(words)
    if bits is None or not 1 <= bits <= 512:
        raise source.error("<size> is no number of bits from 1 to 512", item.line)
    return -(-bits // 8)


def _need(source: Source, item: Node, tag: str) -> int:
    found = number(item.words(tag) or "")
    if found is None or not 0 <= found < 1 << 64:
        raise source.error(f"a <{item.tag}> has no <{tag}> that is a number", item.line)
    return found


READER = Reader(
    "svd", "CMSIS-SVD, as vendors publish it.", (".svd",), lambda text: looks_like_xml(text, "device"), _read
)
