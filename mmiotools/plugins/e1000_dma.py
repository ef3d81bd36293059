"""The transmit ring of Intel's 8254x network cards: every descriptor is done at once, and its packet goes nowhere.

Registers and descriptors: Intel, PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual,
revision 4.0, sections 3.3 and 13.4. What the card does to its receive ring is not done: nothing arrives.
"""

from __future__ import annotations

from mmiotools.engine.interface import Host
from mmiotools.trace.registry import API
from mmiotools.typed import ClassVar

_CTRL, _RESET = 0x0000, 1 << 26
_TDBAL, _TDBAH, _TDLEN, _TDH, _TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
_DESCRIPTOR = 16
#: In a descriptor: the command byte, of which RS and RPS ask for a report, and the status byte, of which DD is one.
_COMMAND, _STATUS = 11, 12
_REPORT, _DONE = 0x18, 0x01


class E1000Dma:
    """Marks transmit descriptors done, so that a driver does not take the card for hung. `sent` counts them."""

    api: ClassVar[int] = API
    name = "e1000-dma"
    title = "Intel 8254x: transmit descriptors are done as soon as they are queued."

    def __init__(self) -> None:
        self.sent = 0
        self._host: Host | None = None
        self.reset()

    def attach(self, host: Host) -> None:
        """The guest's memory is reached through the host."""
        self._host = host

    def reset(self) -> None:
        """No ring."""
        self._ring = {_TDBAL: 0, _TDBAH: 0, _TDLEN: 0, _TDH: 0}

    def wrote(self, region: str, offset: int, width: int, value: int) -> None:
        """A register was written: the ring's place and size are kept, and its new tail makes it run."""
        if region != "BAR0" or width != 4:
            return
        if offset in self._ring:
            self._ring[offset] = value
        elif offset == _TDT:
            self._run(value)
        elif offset == _CTRL and value & _RESET:
            self.reset()

    def _run(self, tail: int) -> None:
        base = self._ring[_TDBAH] << 32 | self._ring[_TDBAL] & ~15
        count = (self._ring[_TDLEN] & 0xFFF80) // _DESCRIPTOR
        head = self._ring[_TDH]
        if self._host is None or head >= count or tail >= count:
            return
        while head != tail:
            at = base + head * _DESCRIPTOR
            held = self._host.dma_read(at, _DESCRIPTOR)
            if held[_COMMAND] & _REPORT:
                self._host.dma_write(at + _STATUS, bytes([held[_STATUS] | _DONE]))
            self.sent += 1
            head = (head + 1) % count
        self._ring[_TDH] = head
