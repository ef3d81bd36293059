"""What every view is given, and how an access is written in the views for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from mmiotools.diff.hunks import Comparison
from mmiotools.trace.matching import Access, register_name


@dataclass(frozen=True, slots=True)
class Options:
    """context: same accesses shown around a hunk; width: columns of the terminal; color: ANSI colours."""

    context: int = 3
    width: int = 80
    color: bool = False


class View(Protocol):
    """A way to show a comparison."""

    api: ClassVar[int]
    title: ClassVar[str]

    def render(self, comparison: Comparison, options: Options) -> Iterator[str]:
        """Lines without their ends, made one hunk after the other."""


#: ANSI codes by what a line is.
COLORS = {"insert": "32", "delete": "31", "change": "33", "move": "35", "head": "36"}


def paint(text: str, what: str, options: Options) -> str:
    """The text in the colour of `what`, if colours are wanted."""
    return f"\x1b[{COLORS[what]}m{text}\x1b[0m" if options.color else text


def place_text(access: Access) -> str:
    """`R 4 00:03.0/BAR0+0x410`: operation, width and register; "?" for a width that is not known."""
    width = "?" if access.width is None else access.width
    return f"{access.op} {width} {register_name(access.region, access.offset)}"


def value_text(access: Access) -> str:
    """The value in hexadecimal, "?" where there is none."""
    return "?" if access.value is None else f"{access.value:#x}"


def access_text(access: Access) -> str:
    """`R 4 00:03.0/BAR0+0x410 0x602008`"""
    return f"{place_text(access)} {value_text(access)}"


def printable(name: str) -> str:
    """A file name that fits on a line of text."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)
