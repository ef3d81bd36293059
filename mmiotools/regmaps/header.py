"""C headers: `#define NAME 0x…` is a register, and what is defined behind it with its name in front is a field of it.

A define is a field if it is made of BIT(), GENMASK() or a shift, or if its name begins with that of a register and _
(the longest such register counts); what is left of the name is the field's. NAME_MASK and NAME_SHIFT are one field; a
number within a field whose name it continues is a value of the field. `NAME(n) (0x100 + (n) * 4)` is an array. A plain
hexadecimal number is a register all the same where it is written with as many digits as its register, five or more,
and is a multiple of four: lists of offsets hold CTRL and CTRL_EXT. Conditions of the preprocessor are not looked at.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from itertools import pairwise

from mmiotools.regmaps.cexpr import NotConstant, Value, evaluate
from mmiotools.regmaps.source import Collector, Reader, Source
from mmiotools.trace.regmap import MAX_NAME, Field, Register, RegisterMap

MAX_DEFINES = 1 << 18
#: Longest body of a define that is looked at, in characters.
MAX_BODY = 1024
#: Elements of an array whose end is not known.
MAX_OPEN = 64
_DEFINE = re.compile(
    r"[ \t]*#[ \t]*define[ \t]+(?P<name>[A-Za-z_]\w*)(?P<args>\([^()]*\))?[ \t]+(?P<body>.*)", re.ASCII
)
_RECOGNISED = re.compile(r"^[ \t]*#[ \t]*define[ \t]+\w+(?:\([^()\n]*\))?[ \t]+\S", re.MULTILINE)
_PLAIN = re.compile(r"\(?\s*0[xX](?P<digits>[0-9A-Fa-f]+)[uUlL]*\s*\)?")
_LONG_OFFSET = 5


@dataclass(slots=True)
class _Entry:
    """A register and the defines that are about its bits: (what is left of the name, number)."""

    register: Register
    digits: int
    line: int
    open_ended: bool = False
    parts: list[tuple[str, int]] = field(default_factory=list)


def _read(source: Source) -> list[RegisterMap]:
    values: dict[str, Value] = {}
    entries: dict[str, _Entry] = {}
    macros: dict[str, tuple[str, str]] = {}
    last: _Entry | None = None
    for count, (line, name, argument, body) in enumerate(_defines(source.text)):
        if count >= MAX_DEFINES:
            raise source.error(f"more than {MAX_DEFINES} defines", line)
        if argument is not None:
            body = _expanded(body, macros)
            macros.setdefault(name, (argument, body))
            entry = _array(name, argument, body, values, line)
            if entry is not None and name not in entries:
                last = entries[name] = entry
            continue
        try:
            plain = _PLAIN.fullmatch(body)
            short = plain is not None and len(plain["digits"]) <= 16
            value = Value(int(plain["digits"], 16), False, True) if plain and short else evaluate(body, values)
        except (NotConstant, RecursionError):
            continue
        values.setdefault(name, value)
        owner = _owner(name, entries)
        if owner is None and value.bits and last is not None:
            last.parts.append((name, value.number))
        elif owner is not None and (value.bits or not _is_register(body, value, owner)):
            owner.parts.append((name[len(owner.register.name) + 1 :], value.number))
        elif value.hexadecimal and not value.bits and name not in entries:
            digits = len(plain["digits"]) if plain else 0
            last = entries[name] = _Entry(Register(name, value.number), digits, line)
    found = Collector(source)
    for entry in _sized(list(entries.values())):
        found.add(entry.register, entry.line)
    return [found.map("a C header")]


def _defines(text: str) -> list[tuple[int, str, str | None, str]]:
    """Line, name, argument and body of each define. Comments are taken out, continued lines joined."""
    found = []
    lines = _without_comments(text).split("\n")
    at = 0
    while at < len(lines):
        start, parts = at, [lines[at].rstrip()]
        while parts[-1].endswith("\\") and at + 1 < len(lines):
            at += 1
            parts[-1] = parts[-1][:-1]
            parts.append(lines[at].rstrip())
        at += 1
        match = _DEFINE.match(" ".join(parts))
        if match and len(match["body"]) <= MAX_BODY and len(match["name"]) <= MAX_NAME:
            argument = match["args"][1:-1].strip() if match["args"] else None
            found.append((start + 1, match["name"], argument, match["body"].strip()))
    return found


def _without_comments(text: str) -> str:
    """The text with blanks for comments, as many lines as before."""
    parts = []
    at = 0
    while (start := text.find("/", at)) >= 0:
        parts.append(text[at:start])
        mark = text[start : start + 2]
        end = text.find("*/" if mark == "/*" else "\n", start + 2) if mark in ("/*", "//") else start + 1
        end = len(text) if end < 0 else end + 2 if mark == "/*" else end
        parts.append("/" if mark not in ("/*", "//") else " " + "\n" * text.count("\n", start, end))
        at = end
    return "".join([*parts, text[at:]])


def _owner(name: str, entries: dict[str, _Entry]) -> _Entry | None:
    """The register whose name, the longest of all, is in front of another name."""
    at = len(name)
    while (at := name.rfind("_", 0, at)) > 0:
        if name[:at] in entries:
            return entries[name[:at]]
    return None


def _is_register(body: str, value: Value, owner: _Entry) -> bool:
    """Whether a plain number that begins with a register's name is an offset all the same."""
    plain = _PLAIN.fullmatch(body)
    if plain is None:
        return False
    digits = len(plain["digits"])
    return _LONG_OFFSET <= digits < 8 and digits == owner.digits and value.number % 4 == 0 and value.number > 0


def _array(name: str, argument: str, body: str, values: dict[str, Value], line: int) -> _Entry | None:
    """A macro of one argument that counts up from an offset in even steps."""
    used = _used(body, values)
    if not re.fullmatch(r"[A-Za-z_]\w*", argument) or "&" in body or not ("0x" in body.lower() or used):
        return None
    try:
        steps = [evaluate(body, {**used, argument: Value(n)}).number for n in range(4)]
    except (NotConstant, RecursionError):
        return None
    stride = steps[1] - steps[0]
    even = all(steps[n + 1] - steps[n] == stride for n in range(3))
    if not even or stride < 1 or len(name) > MAX_NAME or (not steps[0] and stride > 0x1000):
        return None
    return _Entry(Register(name, steps[0], 4, (), MAX_OPEN, stride), 0, line, True)


def _expanded(body: str, macros: dict[str, tuple[str, str]]) -> str:
    """The body with the macros in it that were defined before, which hold none themselves; unchanged if too long."""

    def filled(match: re.Match[str]) -> str:
        if match[1] not in macros:
            return match[0]
        argument, inner = macros[match[1]]
        return (
            "(" + re.sub(rf"\b{re.escape(argument)}\b", lambda _: f"({match[2]})", inner) + ")" if argument else inner
        )

    text = re.sub(r"\b([A-Za-z_]\w*)\s*\(\s*(\w+)\s*\)", filled, body)
    return text if len(text) <= MAX_BODY else body


def _used(body: str, values: dict[str, Value]) -> dict[str, Value]:
    return {word: values[word] for word in re.findall(r"[A-Za-z_]\w*", body) if word in values}


def _sized(entries: list[_Entry]) -> list[_Entry]:
    """With widths, ends of arrays and fields: as far as the next register and the highest field tell."""
    offsets = sorted({entry.register.offset for entry in entries})
    following = dict(pairwise(offsets))
    alone = sorted({entry.register.offset for entry in entries if not entry.open_ended})
    out = []
    for entry in entries:
        register = entry.register
        fields = _fields(entry.parts)
        gap = following.get(register.offset, register.offset + 4) - register.offset
        width = 4
        while width > 1 and (register.offset % width or gap < width):
            width //= 2
        bits = max((item.high + 1 for item in fields), default=0)
        while 8 * width < bits:
            width *= 2
        if entry.open_ended:
            width = min(4, register.stride) if 8 * min(4, register.stride) >= bits else width
            end = register.offset + MAX_OPEN * register.stride
            at = bisect_left(alone, register.offset + register.stride)
            room = min([end, *alone[at : at + 1]]) - register.offset
            register = replace(register, count=max(1, min(MAX_OPEN, -(-room // register.stride))))
        out.append(replace(entry, register=replace(register, width=width, fields=fields)))
    return out


def _fields(parts: list[tuple[str, int]]) -> tuple[Field, ...]:
    """Fields from defines: masks and shifts joined, and values put into the fields that they are values of."""
    shifts = {_stem(name): number for name, number in parts if name.endswith("_SHIFT") and number < 64}
    masks: dict[str, int] = {}
    rest = []
    for name, number in parts:
        if name.endswith("_SHIFT"):
            continue
        stem = _stem(name)
        shift = shifts.get(stem, 0)
        if shift and number and (stem != name or stem in shifts) and number & ((1 << shift) - 1):
            number = number << shift & (1 << 64) - 1
        wide = _span(number)
        if wide is None or stem in masks:
            rest.append((name, number))
        else:
            masks[stem] = number
    values: dict[str, dict[int, str]] = {}
    # The longest names first: a value continues the name of its field.
    for name, number in sorted([*masks.items(), *rest], key=lambda item: -len(item[0])):
        field_name = _field_of(name, number, masks)
        if field_name is not None:
            low = _low(masks[field_name])
            values.setdefault(field_name, {}).setdefault(number >> low, name[len(field_name) + 1 :])
            masks.pop(name, None)
    found = []
    for name, number in masks.items():
        high, low = _span(number) or (0, 0)
        found.append(Field(name, high, low, values.get(name, {})))
    return tuple(found)


def _field_of(name: str, number: int, masks: dict[str, int]) -> str | None:
    """The field of several bits that a number is a value of, by name and by bits."""
    at = len(name)
    while (at := name.rfind("_", 0, at)) > 0:
        mask = masks.get(name[:at])
        if mask is not None and mask & (mask - 1) and number & ~mask == 0:
            return name[:at]
    return None


def _stem(name: str) -> str:
    for end in ("_MASK", "_SHIFT", "_MSK", "_BIT"):
        if name.endswith(end) and len(name) > len(end):
            return name[: -len(end)]
    return name


def _low(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _span(mask: int) -> tuple[int, int] | None:
    """Highest and lowest bit of a mask without gaps; None for others."""
    if not mask:
        return None
    low = _low(mask)
    run = mask >> low
    return (low + run.bit_length() - 1, low) if run & (run + 1) == 0 else None


READER = Reader(
    "header",
    "C header: #define NAME 0x…, BIT() and GENMASK().",
    (".h",),
    lambda text: _RECOGNISED.search(text) is not None,
    _read,
)
