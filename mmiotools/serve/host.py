"""The machine that a served device sits in, as the device sees it: real time, the guest's memory, its interrupts."""

from __future__ import annotations

import time

from mmiotools.serve.memory import GuestMemory
from mmiotools.typed import Callable


class ServedHost:
    """The host of a device that a transport serves.

    memory     what the guest shares with us
    deliver    set by the transport: takes an interrupt line or vector and a level; False when it goes nowhere
    delivered  interrupts raised that found their way; `lost` those that did not
    watch      called with every interrupt: line, level
    """

    def __init__(self) -> None:
        self.memory = GuestMemory()
        self.deliver: Callable[[int, int], bool] = lambda line, level: False
        self.watch: Callable[[int, int], None] | None = None
        self.delivered = 0
        self.lost = 0
        self._start = time.monotonic_ns()

    def now(self) -> int:
        """Nanoseconds since the device was put in the machine."""
        return time.monotonic_ns() - self._start

    def irq(self, line: int, level: int) -> None:
        """Raise or lower the line, or send the vector of that number where the driver has chosen vectors."""
        if self.watch is not None:
            self.watch(line, level)
        there = self.deliver(line, level)
        if level:
            self.delivered += there
            self.lost += not there

    def delay(self, nanoseconds: int) -> None:
        """Let time pass, during which the guest waits."""
        time.sleep(nanoseconds / 1e9)

    def dma_read(self, address: int, n: int) -> bytes:
        """`n` bytes of the guest's memory; all ones where none is shared."""
        return self.memory.read(address, n)

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes in the guest's memory; dropped where none is shared."""
        self.memory.write(address, data)
