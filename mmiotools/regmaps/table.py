"""Plain tables: a line a register, `offset name [width] [description]`, separated by blanks, tabs or commas.

Offsets are hexadecimal with 0x, else decimal; the width is in bytes, 4 if there is none. NAME[8] is an array of eight,
one behind the other. What begins with # or // is a comment.
"""

from __future__ import annotations

import re

from mmiotools.regmaps.source import Collector, Reader, Source, number
from mmiotools.trace.regmap import Register, RegisterMap, clean_name

_LINE = re.compile(r"(?P<offset>[0-9]\w*)[\s,;]+(?P<name>[^\s,;]+)(?:[\s,;]+(?P<rest>.*))?")
_WIDTH = re.compile(r"(?P<width>[0-9]{1,3})(?:[\s,;]+(?P<title>.*))?$")
_ARRAY = re.compile(r"(?P<name>[^\[\]]+)\[(?P<count>[0-9]{1,7})\]")
_FIRST = re.compile(r"(?:0[xX][0-9A-Fa-f]+|[0-9]+)[ \t,;]+[A-Za-z_]")


def _recognises(text: str) -> bool:
    """By the first line that is no comment; one that names the columns may be in front of it."""
    lines = (line.strip() for line in text[: 1 << 16].split("\n"))
    first = [line for line in lines if line and not line.startswith(("#", "//"))][:2]
    return any(_FIRST.match(line) for line in first)


def _lines(source: Source) -> list[RegisterMap]:
    found = Collector(source)
    for line, raw in enumerate(source.text.split("\n"), 1):
        text = raw.strip()
        if not text or text.startswith(("#", "//")):
            continue
        match = _LINE.fullmatch(text)
        if match is None or (offset := number(match["offset"])) is None:
            if not found.registers and not any(char.isdigit() for char in text.split()[0]):
                continue  # the heading of the columns
            raise source.error("a line must be: offset name [width] [description]", line)
        rest = match["rest"] or ""
        width = _WIDTH.match(rest)
        size = int(width["width"]) if width else 4
        title = (width["title"] or "") if width else rest
        array = _ARRAY.fullmatch(match["name"])
        name = clean_name(array["name"] if array else match["name"])
        count = int(array["count"]) if array else 1
        title = re.sub(r"\s*(?:#|//).*", "", title).strip(" \t\"'")[:120]
        found.add(Register(name, offset, size, (), count, size, title), line)
    return [found.map("a table of offsets")]


READER = Reader(
    "table",
    "Plain table: offset name [width] [description].",
    (".txt", ".tsv", ".csv", ".tab", ".regs"),
    _recognises,
    _lines,
)
