"""qtest: a script for QEMU's qtest, with which a device model is driven as in the recording. Written only."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.program import ProgramFormat, ProgramWriter, uint
from mmiotools.formats.program_rows import READ, WRITE, Rows, gaps
from mmiotools.formats.text_page import Page, table_of
from mmiotools.trace.address_space import Region
from mmiotools.trace.arrays import append
from mmiotools.trace.header import ROM, PciDevice
from mmiotools.typed import NDArray

#: What QEMU reads of a line ends before the "#". A line of its own needs a command, and this one changes nothing.
_SAY = b"endianness # %s\n"
_OPS = table_of([b"read", b"read", b"write"])
_SUFFIXES = table_of([b"", b"b ", b"w ", b"", b"l ", b"", b"", b"", b"q "])
_ADDRESS_PORT, _DATA_PORT = 0xCF8, 0xCFC
#: Where devices go that cannot be where they were.
_SLOT = 16
_COMMAND, _BAR0, _ROM_BAR = 0x04, 0x10, 0x30


class QtestWriter(ProgramWriter):
    """A command an access; the clock is stepped by every recorded difference of times."""

    folds = False
    _bases = np.zeros(0, np.uint64)

    def head(self) -> bytes:
        """How it is used."""
        return _SAY % b"qemu-system-x86_64 -machine pc,accel=qtest -nodefaults -display none -device ... -qtest stdio"

    def tail(self) -> bytes:
        """Nothing."""
        return b""

    def comment(self, text: bytes) -> bytes:
        """A command that does nothing."""
        return _SAY % text

    def label(self, text: bytes) -> bytes:
        """Behind the value."""
        return b" " + text

    def opening(self, number: int, region: Region | None) -> bytes:
        """Configuration space is no part of a recording: set the BARs of a device, and let it answer."""
        base = 0 if region is None or region.base is None else region.base
        self._bases = append(self._bases, np.uint64(base))
        known = [held.device for held in self.regions[:number] if held is not None]
        said = super().opening(number, region)
        if region is None or region.device is None or region.device in known:
            return said
        device = region.device
        if not 2 <= device.bdf >> 3 < 32:
            # Behind a bridge, or where QEMU's own are: a device of QEMU's has to be somewhere else.
            device = device._replace(bdf=_SLOT + len({held.bdf for held in known if held is not None}) << 3)
        slot = b"%x.%x" % (device.bdf >> 3, device.bdf & 7)
        return said + self.comment(b"for a -device with addr=" + slot) + _set_up(device)

    def lines(self, page: Page, rows: Rows, gap: NDArray[np.int64], every: NDArray[np.int64]) -> None:
        """`readl 0xfebc0008 # 0x80080783`, after a step of the clock."""
        stepped = gap > 0
        if stepped.any():
            page.literal(b"clock_step ", stepped)
            page.decimal(uint(gap), stepped)
            page.literal(b"\n", stepped)
        page.words(_OPS, rows.op)
        page.words(_SUFFIXES, rows.width)
        page.hexadecimal(self._bases[rows.region] + rows.offset)
        page.literal(b" #", rows.op != WRITE)
        page.literal(b" ", (rows.op == READ) | (rows.op == WRITE))
        page.hexadecimal(rows.value, (rows.op == READ) | (rows.op == WRITE))
        page.literal(b" #", rows.op == WRITE)

    def _times(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every difference of times, for a clock that stands still otherwise."""
        gap = gaps(rows, self._since)
        self._since = max(self._since, int(rows.last.max()))
        return gap, np.zeros_like(gap)


def _set_up(device: PciDevice) -> bytes:
    """Commands that set the BARs of a function, and let it answer memory and ports and master the bus."""
    function = 1 << 31 | (device.bdf & 0xFFFF) << 8
    said = []
    for bar in device.bars:
        if bar.size > 0 and 0 <= bar.number <= ROM:
            register = _ROM_BAR if bar.number == ROM else _BAR0 + 4 * bar.number
            said.append((register, bar.addr & 0xFFFFFFFF))
            if bar.addr >> 32 and bar.number < 5:
                said.append((register + 4, bar.addr >> 32 & 0xFFFFFFFF))
    said.append((_COMMAND, 7))
    return b"".join(
        b"outl %#x %#x\noutl %#x %#x\n" % (_ADDRESS_PORT, function | register, _DATA_PORT, value)
        for register, value in said
    )


FORMAT = ProgramFormat(
    "qtest", "Script for QEMU's qtest that does the accesses on a device model.", (".qtest",), QtestWriter
)
