"""What every view is given, and how an access is written in the views for people."""

from __future__ import annotations

from functools import lru_cache

from mmiotools.diff.hunks import VOLATILE, Comparison, Hunk
from mmiotools.trace.accesses import Access
from mmiotools.trace.address_space import register_name
from mmiotools.trace.naming import Naming
from mmiotools.typed import ClassVar, Iterator, Protocol, Record


class Options(Record):
    """What the views are told; each looks at what concerns it.

    context        same accesses shown around a hunk
    width          columns of the terminal
    color          ANSI colours
    show_volatile  volatile hunks are shown whole, and registers that differ in nothing else are shown
    everything     registers that do not differ are shown, too
    until          numbers of the accesses, in a and in b, before which `state` stops; None is the end
    naming         names of registers, None if there are none
    """

    context: int = 3
    width: int = 80
    color: bool = False
    show_volatile: bool = False
    everything: bool = False
    until: tuple[int, int] | None = None
    naming: Naming | None = None


class View(Protocol):
    """A way to show a comparison. `sets_aside`: volatile hunks are not shown in full unless asked for."""

    api: ClassVar[int]
    title: ClassVar[str]
    sets_aside: ClassVar[bool]

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """Lines without their ends, made one hunk after the other."""


#: ANSI codes by what a line is.
COLORS = {"insert": "32", "delete": "31", "change": "33", "move": "35", "head": "36", VOLATILE: "2"}
#: Around the digits of a value that changed: underlined and bold, where bold does not end the dimness of the line.
_MARKED = ("\x1b[1;4m", "\x1b[22;24m")
_MARKED_DIM = ("\x1b[4m", "\x1b[24m")


def paint(text: str, what: str, options: Options) -> str:
    """The text in the colour of `what`, if colours are wanted."""
    return f"\x1b[{COLORS[what]}m{text}\x1b[0m" if options.color else text


def paint_line(text: str, what: str, hunk: Hunk, options: Options) -> str:
    """The same for a line of a hunk: one of a volatile hunk is dim, whatever it is."""
    return paint(text, VOLATILE if hunk.category == VOLATILE else what, options)


def mark_digits(value: str, other: str, hunk: Hunk, options: Options) -> str:
    """A value as `value_text` gives it, with the digits marked that the other one has not, if colours are wanted."""
    if not options.color or value == other or "?" in (value, other):
        return value
    before, after = _MARKED_DIM if hunk.category == VOLATILE else _MARKED
    digits, compared = value[2:], other[2:].rjust(len(value) - 2, "0")[2 - len(value) :]
    marked = "".join(f"{before}{d}{after}" if d != c else d for d, c in zip(digits, compared, strict=True))
    return "0x" + marked.replace(after + before, "")


def place_text(access: Access, options: Options) -> str:
    """`R 4 00:03.0/BAR0+0x410`: operation, width and register; "?" for a width that is not known.

    All views for people call the register what this function calls it.
    """
    width = "?" if access.width is None else access.width
    return f"{access.op} {width} {register_text(access, options)}"


def register_text(access: Access, options: Options) -> str:
    """`00:03.0/BAR0+0x410`, with its name behind if it has one; fit for a terminal whatever the trace called it."""
    shown = _register_text(access.region, access.offset)
    name = None if options.naming is None else options.naming.register(access)
    return shown if name is None else f"{shown} {printable(name)}"


@lru_cache(1 << 12)
def _register_text(region: str | None, offset: int) -> str:
    shown = register_name(region, offset)
    return shown if shown.isprintable() else printable(shown)


def value_text(access: Access) -> str:
    """The value in hexadecimal, "?" where there is none."""
    return "?" if access.value is None else f"{access.value:#x}"


def access_text(access: Access, options: Options) -> str:
    """`R 4 00:03.0/BAR0+0x410 0x602008`"""
    return f"{place_text(access, options)} {value_text(access)}"


def fields_text(old: Access, new: Access, options: Options) -> str:
    """` (TCTL.EN 0 -> 1)`: the fields that differ, if they have names."""
    changes = "" if options.naming is None else options.naming.changes(old, new)
    return f" ({changes})" if changes else ""


def count_text(number: int, one: str, many: str = "") -> str:
    """`1 hunk`, `2 hunks`"""
    return f"{number} {one if number == 1 else many or one + 's'}"


def printable(name: str) -> str:
    """A name that fits on a line of text."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
