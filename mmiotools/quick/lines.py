"""Lines of a small mmiotrace text that an expression selects, by the standard library alone, on either engine.

A line of this dialect leaves a filter as it came in, so that none is printed: they are read, as far as need be.
"""

from __future__ import annotations

import re
from itertools import compress

from mmiotools.events import Event, Kind
from mmiotools.filters.alive import CONTEXT, LASTING, LiveMaps
from mmiotools.filters.expr import Expr
from mmiotools.filters.program import compiled_steps, selected
from mmiotools.filters.window import Window
from mmiotools.formats.mmiotrace_lines import access_matcher, nanoseconds, parse_line
from mmiotools.typed import NamedTuple

#: Bytes of the largest text that is worth it; columns are quicker with a larger one, for all that they import.
MOST = 1 << 19
#: Number of an access → its group of those that `access_matcher` finds, and its base.
_GROUPS = {"width": (2, 10), "map": (5, 10), "addr": (6, 16), "value": (7, 16), "pc": (8, 16), "pid": (9, 10)}
#: What an ordinary header says; another extra may be looked at.
_HEADER = frozenset({"format", "version", "meta"})
#: The first line of the tracer's file `trace`.
_TRACER = b"# tracer: mmiotrace"


class _Lines(NamedTuple):
    """A text, line by line: of each its bytes without the line end, and what an R or W line is made of. `others` has
    the events of all other lines by their numbers from 0.
    """

    texts: list[bytes]
    accesses: list[re.Match[bytes] | None]
    others: dict[int, Event]

    def column(self, name: str) -> list[int | None]:
        """A number of every line; None where it has none."""
        found: list[int | None]
        if name == "kind":
            found = [None if match is None else match[1] == b"W" for match in self.accesses]
        elif name == "time":
            found = [None if match is None else nanoseconds(match[3], match[4]) for match in self.accesses]
        else:
            group, base = _GROUPS[name]
            found = [None if match is None else int(match[group], base) for match in self.accesses]
        for row, event in self.others.items():
            found[row] = getattr(event, name)
        return found


def select_lines(text: bytes, node: Expr, window: Window, bare: bool, *, known: bool) -> tuple[bytes, int] | None:
    """The lines of a whole file that are kept, and how many events the expression selects; None where it has to be done
    the other way, as something is damaged or unusual.

    window  of times alone
    bare    whether what passes every expression is left out, too
    known   whether the format is known; else the first line has to show it
    """
    program = compiled_steps(node)
    lines = None if program is None else _read(text, known)
    if program is None or lines is None:
        return None
    picked = selected(program, [lines.column(name) for name in program.names])
    if not window.is_open:
        kept, count = _cut(lines, picked, _inside(lines, window), bare)
    else:
        count = sum(picked)
        for row, event in () if bare else lines.others.items():
            picked[row] |= event.kind in CONTEXT
        kept = list(compress(lines.texts, picked))
    return b"".join([line + b"\n" for line in kept]), count


def _read(text: bytes, known: bool) -> _Lines | None:
    if len(text) > MOST or not text.endswith(b"\n") or b"\r" in text:
        return None
    texts = text[:-1].split(b"\n")
    if not (known or _shows_format(texts[0])):
        return None
    accesses = list(map(access_matcher(), texts))
    others = {}
    for row, access in enumerate(accesses):
        if access is None:
            event = parse_line(texts[row], row + 1)
            if event.damaged or (event.kind == Kind.HEADER and not event.extra.keys() <= _HEADER):
                return None
            others[row] = event
    return _Lines(texts, accesses, others)


def _shows_format(line: bytes) -> bool:
    """Whether a file that begins so is surely in this format."""
    if line.startswith(_TRACER):
        return True
    event = parse_line(line, 1)
    return event.kind != Kind.NOTE and "raw" not in event.extra and event.cpu is None


def _inside(lines: _Lines, window: Window) -> list[bool]:
    """Which lines are in a window. Those without a time go with the one before them, and of LOST it may be a mere 0."""
    first, last = window.first, window.last
    found = []
    inside = first is None
    for row, time in enumerate(lines.column("time")):
        if time is not None and not (row in lines.others and lines.others[row].kind == Kind.LOST):
            inside = (first is None or time >= first) and (last is None or time <= last)
        found.append(inside)
    return found


def _cut(lines: _Lines, picked: list[bool], inside: list[bool], bare: bool) -> tuple[list[bytes], int]:
    """What is kept of a window, and how many events of it are selected."""
    kept: list[bytes] = []
    count = 0
    maps = LiveMaps[bytes]()
    for row, (text, is_picked, is_in) in enumerate(zip(lines.texts, picked, inside, strict=True)):
        event = lines.others.get(row)
        passes = False
        if not bare:
            if is_in:
                kept += maps.enter()
            if event is not None:
                passes = event.kind in (CONTEXT if is_in else LASTING)
                if event.kind in (Kind.MAP, Kind.UNMAP) and event.map is not None:
                    maps.follow(event.map, text, event.kind == Kind.UNMAP, is_in)
        counts = is_picked and (is_in or passes)
        count += counts
        if counts or passes:
            kept.append(text)
    return kept, count
