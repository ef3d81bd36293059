"""The physical side: a bus that routes addresses to the BARs of devices, and sparse memory for their DMA.

An access that no device claims reads as all ones and is remembered with its address, as a master abort would be.
"""

from __future__ import annotations

from mmiotools.engine.interface import Device
from mmiotools.trace.intervals import IntervalIndex
from mmiotools.typed import NamedTuple, Protocol

_TOP = 1 << 64

#: RAM lies at the physical addresses below this, where no device is.
RAM_SIZE = 1 << 29

#: How many unclaimed accesses are kept one by one; all are counted.
KEEP_UNCLAIMED = 1000


class Unclaimed(NamedTuple):
    """An access, or the part of one, that no device answered. `op` is "R" or "W"."""

    op: str
    phys: int
    width: int


class Target(Protocol):
    """What answers accesses: a device, or something in front of one."""

    def read(self, region: str, offset: int, width: int) -> int: ...
    def write(self, region: str, offset: int, width: int, value: int) -> None: ...


class Window(NamedTuple):
    """A BAR on the bus: [start, end) belongs to `region` of `device`."""

    start: int
    end: int
    device: Target
    region: str


class Bus:
    """Memory space of the machine. Widths are in bytes; values are little-endian and unsigned."""

    def __init__(self, ram: Ram | None = None) -> None:
        self.ram = ram
        self.unclaimed: list[Unclaimed] = []
        self.unclaimed_count = 0
        self._windows: IntervalIndex[Window] = IntervalIndex()
        self._last: Window | None = None

    def attach(self, device: Device, front: Target | None = None) -> None:
        """Put the memory BARs of a device on the bus, to be answered by `front` if there is one.

        Raises OverlapError when an address is taken.
        """
        for bar in device.pci.bars:
            if bar.addr and bar.size and bar.space == "mem":
                end = min(bar.addr + bar.size, _TOP)
                self._windows.insert(bar.addr, end, Window(bar.addr, end, front or device, bar.name))
        self._last = None

    def find(self, phys: int) -> Window | None:
        """The window that claims an address."""
        last = self._last
        if last is not None and last.start <= phys < last.end:
            return last
        found = self._windows.stab(phys)
        if not found:
            return None
        self._last = found[0].value
        return self._last

    def read(self, phys: int, width: int) -> int:
        """The value of `width` bytes at a physical address; unclaimed bytes are all ones."""
        window = self.find(phys)
        if window is not None and phys + width <= window.end:
            return window.device.read(window.region, phys - window.start, width) & (1 << 8 * width) - 1
        if window is None and self.ram is not None and phys + width <= RAM_SIZE:
            return int.from_bytes(self.ram.read(phys, width), "little")
        if width == 1:
            self._unclaimed("R", phys, 1)
            return 0xFF
        if window is None and not self._claimed(phys, width):
            self._unclaimed("R", phys, width)
            return (1 << 8 * width) - 1
        half = width // 2
        return self.read(phys, half) | self.read(phys + half, half) << 8 * half

    def write(self, phys: int, width: int, value: int) -> None:
        """Store the low `width` bytes of `value`; bytes that nobody claims are dropped."""
        window = self.find(phys)
        if window is not None and phys + width <= window.end:
            window.device.write(window.region, phys - window.start, width, value & (1 << 8 * width) - 1)
        elif window is None and self.ram is not None and phys + width <= RAM_SIZE:
            self.ram.write(phys, (value & (1 << 8 * width) - 1).to_bytes(width, "little"))
        elif width == 1 or (window is None and not self._claimed(phys, width)):
            self._unclaimed("W", phys, width)
        else:
            half = width // 2
            self.write(phys, half, value)
            self.write(phys + half, half, value >> 8 * half)

    def _claimed(self, phys: int, width: int) -> bool:
        return any(True for _ in self._windows.overlapping(phys, phys + width))

    def _unclaimed(self, op: str, phys: int, width: int) -> None:
        self.unclaimed_count += 1
        if len(self.unclaimed) < KEEP_UNCLAIMED:
            self.unclaimed.append(Unclaimed(op, phys, width))


class Ram:
    """Sparse RAM at bus addresses, zero where nobody wrote."""

    _CHUNK = 4096

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def read(self, address: int, n: int) -> bytes:
        """n bytes at an address."""
        out = bytearray()
        while len(out) < n:
            number, offset = divmod(address + len(out), self._CHUNK)
            take = min(self._CHUNK - offset, n - len(out))
            chunk = self._chunks.get(number)
            out += chunk[offset : offset + take] if chunk is not None else bytes(take)
        return bytes(out)

    def write(self, address: int, data: bytes) -> None:
        """Store bytes at an address."""
        done = 0
        while done < len(data):
            number, offset = divmod(address + done, self._CHUNK)
            take = min(self._CHUNK - offset, len(data) - done)
            chunk = self._chunks.setdefault(number, bytearray(self._CHUNK))
            chunk[offset : offset + take] = data[done : done + take]
            done += take
