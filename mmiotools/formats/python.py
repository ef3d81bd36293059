"""Python: a program that does the accesses again, on hardware or as a driver of the harness. Written only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmiotools.formats.program import ProgramFormat, ProgramWriter, places, template, uint
from mmiotools.formats.program_rows import Rows
from mmiotools.formats.text_page import Page, table_of

_HEAD, _TAIL = template("program.py.in")
_OPS = table_of([b"READ ", b"ANY ", b"WRITE ", b"WHILE ", b"UNTIL "])


class PythonWriter(ProgramWriter):
    """The table as one text, which takes no time to compile."""

    def head(self) -> bytes:
        """Up to the table."""
        return _HEAD

    def tail(self) -> bytes:
        """Regions, and what does the work."""
        windows = self.addresses.windows
        rows = [
            f'    Region("{p.name}", {_text(p.pci)}, {p.vendor:#06x}, {p.device:#06x}, {p.bar}, {p.base:#x}, {p.map}, '
            f"{_text(p.pcidev)}),\n"
            for p in places(self.regions, windows)
        ]
        maps = "".join(f"    ({start:#x}, {size:#x}),\n" for start, size in windows)
        tail = _TAIL.replace(b"@REGIONS@\n", "".join(rows).encode()).replace(b"@MAPS@\n", maps.encode())
        return tail.replace(b"@BEGAN@", b"%d" % (self.began or 0))

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
