"""C: a table of the accesses, and a program that does them or prints them. Written only."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.program import Place, ProgramFormat, ProgramWriter, template, uint
from mmiotools.formats.program_rows import Rows
from mmiotools.formats.text_page import Page, table_of
from mmiotools.typed import NDArray

_HEAD, _TAIL = template("program.c.in")
#: The names of the ops of rows.
_OPS = table_of([b"READ", b"ANY", b"WRITE", b"WHILE", b"UNTIL"])


def _text(text: str | None) -> str:
    return "NULL" if text is None else f'"{text}"'


def _region(place: Place) -> str:
    return (
        f"{{{_text(place.name)}, {_text(place.pci)}, {place.vendor:#x}, {place.device:#x}, {place.bar}, "
        f"{place.base:#x}, {place.map}, {_text(place.pcidev)}}}"
    )


class CWriter(ProgramWriter):
    """The table as it comes; regions behind it, when they are known."""

    def head(self) -> bytes:
        """Up to the table."""
        return _HEAD

    def tail(self) -> bytes:
        """Regions, and what does the work."""
        return self.filled(_TAIL, _region, lambda start, size: f"{{{start:#x}, {size:#x}}}")

    def comment(self, text: bytes) -> bytes:
        """A line of its own."""
        return b"    /* %s */\n" % text

    def label(self, text: bytes) -> bytes:
        """Behind a row."""
        return b" /* %s */" % text

    def lines(self, page: Page, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """`    {READ, 4, 0, 0x8, 0x80080783, 1, 0},`, after a row for a pause."""
        paused = gap > 0
        if paused.any():
            page.literal(b"    {DELAY, 0, 0, 0x0, ", paused)
            page.decimal(uint(gap), paused)
            page.literal(b", 1, 0},\n", paused)
        page.literal(b"    {")
        page.words(_OPS, rows.op)
        for number in (rows.width, rows.region):
            page.literal(b", ")
            page.decimal(uint(number))
        for wide in (rows.offset, rows.value):
            page.literal(b", ")
            page.hexadecimal(wide)
        for number in (rows.times, every):
            page.literal(b", ")
            page.decimal(uint(number))
        page.literal(b"},")


FORMAT = ProgramFormat("c", "C program that does the accesses again, with a table of them.", (".c",), CWriter)
