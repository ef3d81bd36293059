"""Python: a program that does the accesses again, on hardware or as a driver of the harness. Written only."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.program import Place, ProgramFormat, ProgramWriter, template, uint
from mmiotools.formats.program_rows import Rows
from mmiotools.formats.text_page import Page, table_of
from mmiotools.typed import NDArray

_HEAD, _TAIL = template("program.py.in")
_OPS = table_of([b"READ ", b"ANY ", b"WRITE ", b"WHILE ", b"UNTIL "])


def _region(place: Place) -> str:
    return (
        f'Region("{place.name}", {_text(place.pci)}, {place.vendor:#06x}, {place.device:#06x}, {place.bar}, '
        f"{place.base:#x}, {place.map}, {_text(place.pcidev)})"
    )


class PythonWriter(ProgramWriter):
    """The table as one text, which takes no time to compile."""

    def head(self) -> bytes:
        """Up to the table."""
        return _HEAD

    def tail(self) -> bytes:
        """Regions, and what does the work."""
        return self.filled(_TAIL, _region, lambda start, size: f"({start:#x}, {size:#x})")

    def comment(self, text: bytes) -> bytes:
        """A line of its own."""
        return b"# %s\n" % text

    def label(self, text: bytes) -> bytes:
        """Behind a row."""
        return b" # %s" % text

    def lines(self, page: Page, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """`READ 4 0 0x8 0x80080783 1 0`, after a row for a pause."""
        paused = gap > 0
        if paused.any():
            page.literal(b"DELAY ", paused)
            page.decimal(uint(gap), paused)
            page.literal(b"\n", paused)
        page.words(_OPS, rows.op)
        for number in (rows.width, rows.region):
            page.decimal(uint(number))
            page.literal(b" ")
        for wide in (rows.offset, rows.value):
            page.hexadecimal(wide)
            page.literal(b" ")
        page.decimal(uint(rows.times))
        page.literal(b" ")
        page.decimal(uint(every))


def _text(text: str | None) -> str:
    return "None" if text is None else f'"{text}"'


FORMAT = ProgramFormat(
    "python",
    "Python program that does the accesses again, on hardware or as a driver of the harness.",
    (".py",),
    PythonWriter,
)
