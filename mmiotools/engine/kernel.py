"""The kernel that a bundled driver runs in: the driver API of `interface.Kernel`, and the host that its device sees."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import Any

from mmiotools.engine.bus import RAM_SIZE
from mmiotools.engine.cpu import IF, Copy, Cpu, Instruction, Load, Or, Store, StoreImmediate
from mmiotools.engine.interface import CONFIG, Device
from mmiotools.engine.interrupts import Interrupts
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmiotrace import MmioTrace
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE
from mmiotools.errors import UsageError
from mmiotools.trace.header import Bar

#: Where ioremap starts to hand out virtual addresses: the vmalloc area of x86-64.
VMALLOC_START = 0xFFFFC90000000000
_PHYS_TOP = 1 << 52

#: Where all RAM is mapped, and the physical address from which memory for DMA is taken.
DIRECT_MAP = 0xFFFF888000000000
DMA_START = 0x1000000

WIDTHS = (1, 2, 4, 8)

#: Calls that can be made to fail, for a driver's error paths.
FAILABLE = ("pci_enable_device", "pci_request_regions", "ioremap", "request_irq", "dma_alloc")

#: Lines of the kernel log about accesses that no device answered, before they are only counted.
_UNCLAIMED_LINES = 10


class Kernel:
    """One kernel on one machine with one PCI device. See `interface.Kernel` for the calls.

    fail      call → what it returns instead of working (a negative errno; any value makes ioremap return 0)
    log       printk and the kernel's own warnings
    interrupts  the device's lines, and the driver's handler
    limit     accesses after which the driver is stopped, None for never
    oops      the error that killed the driver; it cannot catch its way out of it
    """

    def __init__(
        self,
        machine: Machine,
        device: Device,
        *,
        tracer: MmioTrace | None = None,
        fail: Mapping[str, int] | None = None,
        limit: int | None = None,
    ) -> None:
        for name in fail or ():
            if name not in FAILABLE:
                raise UsageError(f"cannot make {name!r} fail; one of: {', '.join(FAILABLE)}")
        self.machine = machine
        self.device = device
        self.tracer = tracer
        self.fail = dict(fail or {})
        self.limit = limit
        self.log: list[str] = []
        self.interrupts = Interrupts()
        self.oops: BaseException | None = None
        self.enabled = 0
        self.master = False
        self.owner: str | None = None
        self.cpu: Cpu = machine.cpus[0]
        self._drvdata: Any = None
        self._next_page = VMALLOC_START >> PAGE_SHIFT
        machine.init_mm.map(DIRECT_MAP >> PAGE_SHIFT, 0, RAM_SIZE >> PAGE_SHIFT)
        self._next_dma = DMA_START
        #: bus address → bytes of what dma_alloc gave out
        self._dma: dict[int, int] = {}
        #: first page of a mapping → (virtual address given out, physical address)
        self._mappings: dict[int, int] = {}
        machine.bus.attach(device)
        device.attach(self)

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

    # -- mappings -----------------------------------------------------------------------------------------

    def ioremap(self, phys: int, length: int) -> int:
        """Map `length` bytes from `phys`, any alignment; the virtual address of the first, or 0 if that cannot be."""
        if "ioremap" in self.fail:
            return 0
        if length <= 0 or phys < 0 or phys + length > _PHYS_TOP:
            self._warn(f"ioremap of {length:#x} bytes at {phys:#x} refused")
            return 0
        shift = phys & OFFSET_MASK
        pages = (shift + length + PAGE_SIZE - 1) >> PAGE_SHIFT
        page = self._next_page
        # One page is left out, so that running off the end of a mapping is noticed; addresses are never used again,
        # so that using one after its iounmap is noticed as well.
        self._next_page += pages + 1
        self.machine.init_mm.map(page, phys >> PAGE_SHIFT, pages)
        virt = (page << PAGE_SHIFT) + shift
        self._mappings[page] = virt
        if self.tracer is not None:
            self.tracer.ioremap(phys, virt, length)
        return virt

    def iounmap(self, virt: int) -> None:
        """Undo an ioremap. An address that is no mapping's is warned about and traced with map id -1."""
        given = self._mappings.pop(virt >> PAGE_SHIFT, None)
        if given is None:
            self._warn(f"iounmap of {virt:#x}, which is not mapped")
        if self.tracer is not None:
            self.tracer.iounmap(virt if given is None else given)
        if given is not None:
            first, count = self.machine.init_mm.unmap(given >> PAGE_SHIFT)
            self.machine.flush_range(first, count)

    # -- accesses -----------------------------------------------------------------------------------------

    def read(self, virt: int, width: int) -> int:
        """Load `width` bytes (1, 2, 4, 8) through the CPU and the page tables."""
        _check_width(width)
        cpu = self.cpu
        self.run(Load(virt, width))
        return cpu.ax

    def write(self, virt: int, width: int, value: int) -> None:
        """Store the low `width` bytes of `value` through the CPU and the page tables."""
        _check_width(width)
        self.cpu.ax = value & (1 << 8 * width) - 1
        self.run(Store(virt, width))

    def write_immediate(self, virt: int, width: int, value: int) -> None:
        """Store a constant, as a compiler does it: the value is in the instruction. 8 bytes: sign-extended 32 bits."""
        _check_width(width)
        self.run(StoreImmediate(virt, width, value))

    def copy(self, dst: int, src: int, width: int) -> None:
        """Move from memory to memory in one instruction, which the tracer cannot decode."""
        _check_width(width)
        self.run(Copy(dst, src, width))

    def set_bits(self, virt: int, width: int, bits: int) -> None:
        """Read, or, write in one instruction, which the tracer cannot decode."""
        _check_width(width)
        self.cpu.ax = bits & (1 << 8 * width) - 1
        self.run(Or(virt, width))

    def run(self, instruction: Instruction) -> None:
        """Run one instruction on the current CPU."""
        if self.oops is not None:
            raise self.oops
        machine = self.machine
        if machine.retired == self.limit:
            self.oops = AccessLimit(f"made {self.limit} accesses and did not come to an end")
            raise self.oops
        try:
            machine.execute(self.cpu, instruction)
        except BaseException as error:
            self.oops = error
            raise
        bus = machine.bus
        if bus.unclaimed_count != self._unclaimed_logged:
            self._log_unclaimed()
        if self.interrupts.pending and self.cpu.flags & IF:
            self._interrupt()

    def readb(self, virt: int) -> int:
        return self.read(virt, 1)

    def readw(self, virt: int) -> int:
        return self.read(virt, 2)

    def readl(self, virt: int) -> int:
        return self.read(virt, 4)

    def readq(self, virt: int) -> int:
        return self.read(virt, 8)

    def writeb(self, value: int, virt: int) -> None:
        self.write(virt, 1, value)

    def writew(self, value: int, virt: int) -> None:
        self.write(virt, 2, value)

    def writel(self, value: int, virt: int) -> None:
        self.write(virt, 4, value)

    def writeq(self, value: int, virt: int) -> None:
        self.write(virt, 8, value)

    def memcpy_fromio(self, virt: int, length: int) -> bytes:
        """`length` bytes of device memory, four at a time and the rest one by one."""
        out = bytearray()
        while len(out) < length:
            width = 4 if length - len(out) >= 4 else 1
            out += self.read(virt + len(out), width).to_bytes(width, "little")
        return bytes(out)

    def memcpy_toio(self, virt: int, data: bytes) -> None:
        """Store bytes in device memory, four at a time and the rest one by one."""
        done = 0
        while done < len(data):
            width = 4 if len(data) - done >= 4 else 1
            self.write(virt + done, width, int.from_bytes(data[done : done + width], "little"))
            done += width

    def memset_io(self, virt: int, byte: int, length: int) -> None:
        """Fill device memory with a byte."""
        for at in range(length):
            self.writeb(byte, virt + at)

    # -- interrupts, memory for DMA, configuration space --------------------------------------------------

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

    def dma_alloc(self, length: int) -> tuple[int, int]:
        """Zeroed RAM for the device to master: (virtual address, bus address), page aligned; (0, 0) if it fails."""
        size = (length + OFFSET_MASK) & ~OFFSET_MASK
        if "dma_alloc" in self.fail or length <= 0 or self._next_dma + size > RAM_SIZE:
            return 0, 0
        bus = self._next_dma
        self._next_dma += size
        self._dma[bus] = size
        return DIRECT_MAP + bus, bus

    def dma_free(self, virt: int) -> None:
        """Undo dma_alloc. The memory is not given out again, so that using it later is not hidden."""
        if self._dma.pop(virt - DIRECT_MAP, None) is None:
            self._warn(f"dma_free of {virt:#x}, which was not allocated")

    def pci_read_config(self, offset: int, width: int) -> int:
        """Read configuration space; not memory-mapped, so not traced."""
        return self.device.read(CONFIG, offset, width)

    def pci_write_config(self, offset: int, width: int, value: int) -> None:
        """Write configuration space."""
        self.device.write(CONFIG, offset, width, value)

    # -- the rest of what drivers call --------------------------------------------------------------------

    def printk(self, text: str) -> None:
        """A line for the kernel log."""
        self.log.append(text.rstrip("\n"))

    def trace_marker(self, text: str) -> None:
        """A MARK in the trace, nothing when it is off."""
        if self.tracer is not None:
            self.tracer.marker(text)

    def udelay(self, microseconds: int) -> None:
        """Let virtual time pass."""
        self.machine.now += max(0, int(microseconds * 1000))

    # -- what the device asks of its host -----------------------------------------------------------------

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

    # -- inside -------------------------------------------------------------------------------------------

    _unclaimed_logged = 0

    def _bar(self, number: int) -> Bar | None:
        return next((bar for bar in self.device.pci.bars if bar.number == number and bar.size), None)

    def _warn(self, text: str) -> None:
        self.log.append(f"{self.device.pci.address}: {text}")

    def _log_unclaimed(self) -> None:
        bus = self.machine.bus
        for op, phys, width in bus.unclaimed[self._unclaimed_logged : _UNCLAIMED_LINES]:
            what = "read" if op == "R" else "write"
            self._warn(f"{what} of {width} bytes at physical {phys:#x}, where no device is")
        self._unclaimed_logged = bus.unclaimed_count


class AccessLimit(Exception):
    """The driver made more accesses than it was allowed to."""


def _check_width(width: int) -> None:
    if width not in WIDTHS:
        raise ValueError(f"access of {width} bytes; one of 1, 2, 4, 8")
