"""devmem: a shell script of busybox devmem calls. Written only."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.program import ProgramFormat, ProgramWriter, template, uint
from mmiotools.formats.program_rows import ANY, READ, UNTIL, WHILE, Rows
from mmiotools.formats.text_page import Mask, Page, table_of
from mmiotools.trace.address_space import Region
from mmiotools.trace.arrays import distinct
from mmiotools.typed import NDArray

_HEAD, _TAIL = template("program.sh.in")
_OPS = table_of([b"r ", b"a ", b"w ", b"", b"u "])
#: Pauses below this, in nanoseconds, are shorter than it takes to run devmem.
_LEAST = 1_000_000


class DevmemWriter(ProgramWriter):
    """A line an access; a wait is one line, too."""

    #: Value, count and interval of the row before the next page.
    _before = (0, 0, 0)

    def head(self) -> bytes:
        """The functions."""
        return _HEAD

    def tail(self) -> bytes:
        """The verdict."""
        return _TAIL

    def comment(self, text: bytes) -> bytes:
        """A line of its own."""
        return b"# %s\n" % text

    def label(self, text: bytes) -> bytes:
        """Behind a line."""
        return b" # %s" % text

    def opening(self, number: int, region: Region | None) -> bytes:
        """The region's address, which the user may have set."""
        base = 0 if region is None or region.base is None else region.base
        return super().opening(number, region) + b"R%d=${R%d:-%#x}\n" % (number, number, base)

    def lines(self, page: Page, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """`r 32 $((R0+0x8)) 0x80080783`, after a line for a pause. Nothing for a WHILE: its UNTIL says all."""
        value, count, interval = self._before
        other = np.concatenate([np.array([value], np.uint64), rows.value])
        turns = np.concatenate([[count], rows.times])
        waited = np.concatenate([[interval], every])
        self._before = (int(other[-1]), int(turns[-1]), int(waited[-1]))
        self._pause(page, np.where(rows.op == WHILE, 0, gap))
        done, until = self.shown(rows), rows.op == UNTIL
        page.words(_OPS, rows.op)
        page.decimal(uint(8 * rows.width), done)
        page.literal(b" $((R", done)
        page.decimal(uint(rows.region), done)
        page.literal(b"+", done)
        page.hexadecimal(rows.offset, done)
        page.literal(b"))", done)
        _value(page, rows.value, rows.width, done & (rows.op != ANY))
        _value(page, other[:-1], rows.width, until)
        again = (rows.op == READ) & (rows.times > 1)
        page.literal(b" ", until | again)
        page.decimal(uint(np.where(until, turns[:-1], rows.times)), until | again)
        page.literal(b" ", until | again)
        _seconds(page, np.where(until, waited[:-1], every), until | again)

    def shown(self, rows: Rows) -> Mask:
        """No line for a WHILE."""
        return np.asarray(rows.op != WHILE)

    def _pause(self, page: Page, gap: NDArray[np.int64]) -> None:
        paused = gap >= _LEAST
        if paused.any():
            page.literal(b"d ", paused)
            _seconds(page, gap, paused)
            page.literal(b"\n", paused)


def _value(page: Page, values: NDArray[np.uint64], widths: NDArray[np.int64], rows: Mask) -> None:
    """A value as devmem prints it."""
    page.literal(b" 0x", rows)
    for width in distinct(widths).tolist():
        page.digits(values, 2 * width, rows & (widths == width))


def _seconds(page: Page, nanoseconds: NDArray[np.int64], rows: Mask) -> None:
    long = rows & (nanoseconds >= 1000)
    page.decimal(uint(nanoseconds // 1_000_000_000), rows)
    page.literal(b".", long)
    page.decimal(uint(nanoseconds // 1000 % 1_000_000), long, fixed=6)


FORMAT = ProgramFormat(
    "devmem", "Shell script that does the accesses again with busybox devmem.", (".sh",), DevmemWriter
)
