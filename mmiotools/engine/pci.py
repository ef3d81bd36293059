"""What a kernel does for a PCI driver besides memory: the function itself, interrupts, DMA; and the device's host."""

from __future__ import annotations

import errno

from mmiotools.engine.bus import RAM_SIZE
from mmiotools.engine.cpu import IF, Cpu
from mmiotools.engine.interface import CONFIG, Device
from mmiotools.engine.interrupts import Interrupts
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmu import OFFSET_MASK
from mmiotools.errors import UsageError
from mmiotools.trace.header import Bar
from mmiotools.typed import Any, Callable, Mapping

#: Calls that can be made to fail, for a driver's error paths. `fault_page` is the engine's own: memory for the notes
#: that it keeps of the pages it arms, all but the first.
FAILABLE = ("pci_enable_device", "pci_request_regions", "ioremap", "request_irq", "dma_alloc", "fault_page")

#: The physical address from which memory for DMA is taken.
DMA_START = 0x1000000


class PciKernel:
    """One PCI function in one machine.

    fail        call → what it returns instead of working (a negative errno)
    log         printk and the kernel's own warnings
    interrupts  the device's lines, and the driver's handler
    cpu         the CPU that is running
    """

    def __init__(self, machine: Machine, device: Device, fail: Mapping[str, int] | None = None) -> None:
        for name in fail or ():
            if name not in FAILABLE:
                raise UsageError(f"cannot make {name!r} fail; one of: {', '.join(FAILABLE)}")
        self.machine = machine
        self.device = device
        self.fail = dict(fail or {})
        self.log: list[str] = []
        self.interrupts = Interrupts()
        self.enabled = 0
        self.master = False
        self.owner: str | None = None
        self.cpu: Cpu = machine.cpus[0]
        self._drvdata: Any = None
        self._next_dma = DMA_START
        #: bus address → bytes of what dma_alloc gave out
        self._dma: dict[int, int] = {}

    # -- PCI ----------------------------------------------------------------------------------------------

    def pci_enable_device(self) -> int:
        """0, or a negative errno. Enables nest."""
        if "pci_enable_device" in self.fail:
            return self.fail["pci_enable_device"]
        self.enabled += 1
        return 0

    def pci_disable_device(self) -> None:
        """Undo pci_enable_device; the last one also ends bus mastering."""
        if not self.enabled:
            self._warn("disabling already-disabled device")
            return
        self.enabled -= 1
        if not self.enabled:
            self.master = False

    def pci_request_regions(self, name: str) -> int:
        """0, or -EBUSY when the regions are taken."""
        if "pci_request_regions" in self.fail:
            return self.fail["pci_request_regions"]
        if self.owner is not None:
            return -errno.EBUSY
        self.owner = name
        return 0

    def pci_release_regions(self) -> None:
        """Undo pci_request_regions."""
        if self.owner is None:
            self._warn("releasing regions that nobody requested")
        self.owner = None

    def pci_set_master(self) -> None:
        """Allow the device to bus-master."""
        self.master = True

    def pci_resource_start(self, bar: int) -> int:
        """Physical address of a BAR, 0 when the device has no such BAR."""
        found = self._bar(bar)
        return found.addr if found is not None else 0

    def pci_resource_len(self, bar: int) -> int:
        """Bytes of a BAR, 0 when the device has no such BAR."""
        found = self._bar(bar)
        return found.size if found is not None else 0

    def pci_set_drvdata(self, data: Any) -> None:
        """Remember a driver's private data."""
        self._drvdata = data

    def pci_get_drvdata(self) -> Any:
        """What pci_set_drvdata was given."""
        return self._drvdata

    # -- interrupts ---------------------------------------------------------------------------------------

    def request_irq(self, handler: Callable[[], None]) -> int:
        """Call `handler` after the instruction that made the device raise its line, as long as the line is up."""
        if "request_irq" in self.fail:
            return self.fail["request_irq"]
        if self.interrupts.handler is not None:
            return -errno.EBUSY
        self.interrupts.request(handler)
        return 0

    def free_irq(self) -> None:
        """Undo request_irq."""
        if self.interrupts.handler is None:
            self._warn("freeing an interrupt that nobody requested")
        self.interrupts.free()

    def _interrupt(self) -> None:
        cpu = self.cpu
        saved = cpu.flags, cpu.ax
        cpu.flags &= ~IF
        try:
            complaint = self.interrupts.serve()
        finally:
            cpu.flags, cpu.ax = saved
        if complaint is not None:
            self._warn(complaint)

    # -- memory for DMA, configuration space ----------------------------------------------------------------

    def dma_alloc(self, length: int) -> tuple[int, int]:
        """Zeroed RAM for the device to master: (virtual address, bus address), page aligned; (0, 0) if it fails."""
        size = (length + OFFSET_MASK) & ~OFFSET_MASK
        if "dma_alloc" in self.fail or length <= 0 or self._next_dma + size > RAM_SIZE:
            return 0, 0
        bus = self._next_dma
        self._next_dma += size
        self._dma[bus] = size
        return self.machine.paging.direct_map + bus, bus

    def dma_free(self, virt: int) -> None:
        """Undo dma_alloc. The memory is not given out again, so that using it later is not hidden."""
        if self._dma.pop(virt - self.machine.paging.direct_map, None) is None:
            self._warn(f"dma_free of {virt:#x}, which was not allocated")

    def pci_read_config(self, offset: int, width: int) -> int:
        """Read configuration space; not memory-mapped, so not traced."""
        return self.device.read(CONFIG, offset, width)

    def pci_write_config(self, offset: int, width: int, value: int) -> None:
        """Write configuration space."""
        self.device.write(CONFIG, offset, width, value)

    # -- what the device asks of its host -----------------------------------------------------------------

    def delay(self, nanoseconds: int) -> None:
        """Let virtual time pass: a slow device."""
        self.machine.now += nanoseconds

    def now(self) -> int:
        """Virtual time, nanoseconds."""
        return self.machine.now

    def irq(self, line: int, level: int) -> None:
        """Raise or lower an interrupt line; the handler is called when the instruction is done."""
        self.interrupts.change(self.machine.now, line, level)

    def dma_read(self, address: int, n: int) -> bytes:
        """n bytes of memory at a bus address; all ones unless the driver allowed bus mastering."""
        if not self.master:
            self._warn(f"DMA read at {address:#x} without bus mastering")
            return b"\xff" * n
        return self.machine.ram.read(address, n)

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes at a bus address; dropped unless the driver allowed bus mastering."""
        if not self.master:
            self._warn(f"DMA write at {address:#x} without bus mastering")
            return
        self.machine.ram.write(address, data)

    def _bar(self, number: int) -> Bar | None:
        return next((bar for bar in self.device.pci.bars if bar.number == number and bar.size), None)

    def _warn(self, text: str) -> None:
        self.log.append(f"{self.device.pci.address}: {text}")
