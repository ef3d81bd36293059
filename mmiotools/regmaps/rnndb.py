"""rules-ng-ng XML (rnndb): the register databases of nouveau, envytools, freedreno and etnaviv.

Read are domains with reg8 to reg64, arrays, stripes and groups, and the bitfields, enums and bitsets that registers
name as their type; `import` is followed within the folder of the first file. A file with several domains gives the
first that has registers; FILE#DOMAIN chooses another. Conditions on the chip (variants, varset) are not looked at:
where several registers share an offset, the first of them names it.

Reference: the rules-ng-ng documentation of envytools.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mmiotools.regmaps.source import Collector, Reader, Source, distinct, number, read_text
from mmiotools.regmaps.xmltree import Node, looks_like_xml, parse_xml
from mmiotools.trace.regmap import MAX_ELEMENTS, Field, Register, RegisterMap, clean_name
from mmiotools.typed import Iterator

MAX_DEPTH = 16
MAX_FILES = 256
MAX_COPIES = 4096
_REGISTERS = {"reg8": 1, "reg16": 2, "reg32": 4, "reg64": 8}
#: Types that are no enum and no bitset.
_PLAIN = {"hex", "uint", "int", "float", "boolean", "bitfield", "address", "fixed", "ufixed", "bool", "waddress"}


@dataclass(slots=True)
class _Database:
    """All files together: domains in order, and what registers may name."""

    domains: list[tuple[Source, Node]] = field(default_factory=list)
    enums: dict[str, Node] = field(default_factory=dict)
    bitsets: dict[str, Node] = field(default_factory=dict)
    groups: dict[str, Node] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    variants: int = 0
    left: int = 1 << 20


def _read(source: Source) -> list[RegisterMap]:
    path, _, wanted = source.path.partition("#")
    base = _Database()
    _load(base, Source(path, source.text, source.notes), Path(path).resolve().parent, 0)
    maps = []
    for at, domain in base.domains:
        found = Collector(at)
        unit = _unit(at, domain)
        _walk(base, at, domain, "", 0, 1, 0, unit, 0, found)
        if found.registers:
            maps.append(found.map(f"rnndb domain {domain.get('name') or '?'}", name=domain.get("name") or ""))
    chosen = [regmap for regmap in maps if regmap.name == wanted] if wanted else maps[:1]
    if not chosen:
        names = ", ".join(regmap.name for regmap in maps) or "none"
        raise source.error(
            f"no domain is called '{wanted[:80]}'; there are: {names}" if wanted else "holds no registers"
        )
    if len(maps) > 1 and not wanted:
        others = ", ".join(regmap.name for regmap in maps[1:6])
        source.note(f"domain {chosen[0].name} is used; choose another by #NAME: {others}")
    if base.variants:
        source.note(f"conditions on the chip are not looked at ({base.variants} variants)")
    return chosen


def _load(base: _Database, source: Source, folder: Path, depth: int) -> None:
    """Take in a file and what it imports, which must lie in the folder."""
    base.files.add(Path(source.path).resolve())
    if depth > MAX_DEPTH or len(base.files) > MAX_FILES:
        raise source.error("imports too many files")
    root = parse_xml(source)
    if root.tag != "database":
        raise source.error("is no rules-ng-ng <database>", root.line)
    for item in root.children:
        if item.tag == "import":
            _import(base, source, item, folder, depth)
        elif item.tag == "domain":
            base.domains.append((source, item))
    _gather(base, root)


def _import(base: _Database, source: Source, item: Node, folder: Path, depth: int) -> None:
    name = item.get("file") or ""
    if not name:
        raise source.error("an <import> names no file", item.line)
    # The path in a database counts from its top, which may lie above this file.
    here = Path(source.path).resolve().parent
    for start in (folder, here):
        path = (start / name).resolve()
        if Path(name).is_absolute() or not path.is_relative_to(folder):
            raise source.error(f"imports '{name[:80]}', which lies outside of its folder", item.line)
        if path in base.files:
            return
        if path.is_file():
            _load(base, Source(str(path), read_text(str(path)), source.notes), folder, depth + 1)
            return
    source.note(f"line {item.line} imports '{clean_name(name)}', which is not there")


def _gather(base: _Database, item: Node) -> None:
    """Enums, bitsets and groups may be declared anywhere, and used before."""
    stack = [item]
    while stack:
        node = stack.pop()
        name = node.get("name")
        if name and not node.get("inline"):
            table = {"enum": base.enums, "bitset": base.bitsets, "group": base.groups}.get(node.tag)
            if table is not None:
                table.setdefault(name, node)
        stack.extend(reversed(node.children))


def _unit(source: Source, domain: Node) -> int:
    """Bytes of one step of a domain's offsets: its width in bits."""
    bits = number(domain.get("width") or "8")
    if bits not in (8, 16, 32, 64):
        raise source.error("the width of a domain is 8, 16, 32 or 64", domain.line)
    return bits // 8


def _walk(
    base: _Database,
    source: Source,
    parent: Node,
    prefix: str,
    offset: int,
    count: int,
    stride: int,
    unit: int,
    depth: int,
    found: Collector,
) -> None:
    """The registers in an element. `count` and `stride` are those of an array around them that has a subscript."""
    if depth > MAX_DEPTH:
        raise source.error(f"elements are nested over {MAX_DEPTH} deep", parent.line)
    for item in parent.children:
        base.left -= 1
        if base.left < 0:
            raise source.error("there are too many registers", item.line)
        base.variants += item.get("variants") is not None
        if item.tag == "use-group":
            group = base.groups.get(item.get("name") or item.get("ref") or "")
            if group is not None:
                _walk(base, source, group, prefix, offset, count, stride, unit, depth + 1, found)
            continue
        if item.tag not in _REGISTERS and item.tag not in ("array", "stripe"):
            continue
        start, length, apart = _where(source, item, unit)
        width = _REGISTERS.get(item.tag, 0)
        name = clean_name(item.get("name") or "")
        if width:
            label = _join(prefix, name or "UNNAMED")
            fields = _fields(base, source, item, width)
            _add(found, source, item, label, offset + start, width, fields, (count, stride), (length, apart or width))
            continue
        label = _join(prefix, name) if name else prefix
        if length == 1:
            _walk(base, source, item, label, offset + start, count, stride, unit, depth + 1, found)
        elif count == 1:
            inner = f"{label}[]" if name else label
            _walk(base, source, item, inner, offset + start, length, apart, unit, depth + 1, found)
        else:
            if length > MAX_COPIES:
                raise source.error(f"an array in an array has {length} elements; {MAX_COPIES} are the most", item.line)
            for n in range(length):
                copy = f"{label}[{n}]" if name else f"{label}.{n}"
                _walk(base, source, item, copy, offset + start + n * apart, count, stride, unit, depth + 1, found)


def _add(
    found: Collector,
    source: Source,
    item: Node,
    label: str,
    offset: int,
    width: int,
    fields: tuple[Field, ...],
    outer: tuple[int, int],
    inner: tuple[int, int],
) -> None:
    """A register; of two arrays around it the inner one is written out."""
    title = " ".join((item.words("brief") or item.words("doc") or "").split())[:120]
    if outer[0] == 1:
        found.add(Register(label, offset, width, fields, inner[0], inner[1], title), item.line)
        return
    if inner[0] > MAX_COPIES:
        raise source.error(f"an array in an array has {inner[0]} elements; {MAX_COPIES} are the most", item.line)
    for n in range(inner[0]):
        name = f"{label}[{n}]" if inner[0] > 1 else label
        found.add(Register(name, offset + n * inner[1], width, fields, outer[0], outer[1], title), item.line)


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _where(source: Source, item: Node, unit: int) -> tuple[int, int, int]:
    """Offset in bytes, length and stride in bytes."""
    numbers = []
    for key, default in (("offset", "0"), ("length", "1"), ("stride", "0")):
        value = number(item.get(key) or default)
        if value is None or value < 0:
            raise source.error(f"'{key}' of <{item.tag}> is no number", item.line)
        numbers.append(value)
    offset, length, stride = numbers
    if not 1 <= length <= MAX_ELEMENTS:
        raise source.error(f"an array of {length} elements; 1 to {MAX_ELEMENTS} can be", item.line)
    if item.tag in ("array", "stripe") and length > 1 and not stride:
        raise source.error(f"an <{item.tag}> of {length} elements has no stride", item.line)
    return offset * unit, length, stride * unit


def _fields(base: _Database, source: Source, item: Node, width: int) -> tuple[Field, ...]:
    """The bitfields in a register, or those of the bitset or enum that is its type."""
    found = list(_bitfields(base, source, item, width))
    kind = item.get("type")
    if not found and kind and kind not in _PLAIN:
        if kind in base.bitsets:
            found = list(_bitfields(base, source, base.bitsets[kind], width))
        elif kind in base.enums:
            found = [Field("VALUE", 8 * width - 1, 0, _values(base.enums[kind]))]
    values = _values(item)
    if not found and values:
        found = [Field("VALUE", 8 * width - 1, 0, values)]
    return distinct(found)


def _bitfields(base: _Database, source: Source, parent: Node, width: int) -> Iterator[Field]:
    for item in parent.each("bitfield"):
        low, high = number(item.get("low") or item.get("pos") or ""), number(item.get("high") or item.get("pos") or "")
        if low is None or high is None or not 0 <= low <= high:
            raise source.error("a <bitfield> has no 'pos', or 'low' and 'high', that are numbers", item.line)
        name = re.sub(r"[.\[\]]+", "_", clean_name(item.get("name") or "")).strip("_")
        kind = item.get("type") or ""
        values = _values(base.enums[kind]) if kind in base.enums else _values(item)
        # Databases describe some registers for chips on which they are wider than here.
        if name and high < 8 * width:
            yield Field(name, high, low, values)


def _values(parent: Node) -> dict[int, str]:
    found: dict[int, str] = {}
    for item in parent.each("value"):
        numeral, name = number(item.get("value") or ""), clean_name(item.get("name") or "")
        if numeral is not None and name:
            found.setdefault(numeral, name)
    return found


READER = Reader(
    "rnndb", "rules-ng-ng XML (rnndb), as of nouveau.", (".xml",), lambda text: looks_like_xml(text, "database"), _read
)
