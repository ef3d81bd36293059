"""The kernel that a bundled driver runs in: the driver API of `interface.Kernel`, and the host that its device sees."""

from __future__ import annotations

from mmiotools.engine.bus import RAM_SIZE
from mmiotools.engine.cpu import IF, Cpu, Instruction
from mmiotools.engine.instructions import Alter, Copy, Fill, Load, Store, StoreImmediate
from mmiotools.engine.interface import Device, Timed
from mmiotools.engine.machine import Machine, Steps
from mmiotools.engine.mmiotrace import MmioTrace
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE
from mmiotools.engine.pci import PciKernel
from mmiotools.engine.schedule import Chooser, OwnWait, Program, Scheduler, Stuck, Task, by_chance
from mmiotools.typed import Any, Generator, Iterable, Mapping, NoReturn

_PHYS_TOP = 1 << 52

#: Pages of the vmalloc area that are taken before the driver comes: its first mapping needs no new directory entry.
MODULE_PAGES = 512

#: Bytes that an instruction can move through a register, and those of it that all of them can.
WIDTHS = (1, 2, 4, 8, 16)
INTEGER_WIDTHS = (1, 2, 4, 8)

#: Lines of the kernel log about accesses that no device answered, before they are only counted.
_UNCLAIMED_LINES = 10


class Kernel(PciKernel):
    """One kernel on one machine with one PCI device. See `interface.Kernel` for the calls.

    limit       accesses after which the driver is stopped, None for never
    oops        the error that killed the driver; it cannot catch its way out of it
    initiators  the CPU of each access that the device saw, when there are several
    """

    def __init__(
        self,
        machine: Machine,
        device: Device,
        *,
        tracer: MmioTrace | None = None,
        fail: Mapping[str, int] | None = None,
        limit: int | None = None,
        lazy_directories: bool = False,
        large_pages: bool = False,
        chooser: Chooser | None = None,
    ) -> None:
        super().__init__(machine, device, fail)
        self.tracer = tracer
        self.limit = limit
        self.oops: BaseException | None = None
        self.scheduler = Scheduler(machine, chooser or by_chance(0), self._switched)
        self._lazy = lazy_directories
        self._large = large_pages
        paging = machine.paging
        machine.init_mm.map(paging.direct_map >> PAGE_SHIFT, 0, RAM_SIZE >> PAGE_SHIFT, shift=paging.large_shift)
        # Some module is loaded before the driver, and every process has the directory entry for it. One page is left
        # out behind it, as behind every mapping.
        machine.init_mm.map(paging.vmalloc_start >> PAGE_SHIFT, 0, MODULE_PAGES - 1)
        for cpu in machine.cpus:
            cpu.mm.sync_all()
        self._next_page = (paging.vmalloc_start >> PAGE_SHIFT) + MODULE_PAGES
        #: first page of a mapping → virtual address given out, bytes
        self._mappings: dict[int, tuple[int, int]] = {}
        self.initiators: list[int] = []
        self._timed = device if isinstance(device, Timed) else None
        machine.bus.attach(device, Initiators(device, machine, self.initiators) if self.cpus > 1 else device)
        device.attach(self)

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
        paging = self.machine.paging
        size = 1 << paging.large_shift - PAGE_SHIFT
        large = pages // size * size if self._large and not phys & (1 << paging.large_shift) - 1 else 0
        page = self._next_page + size - 1 & -size if large else self._next_page
        if (page + pages) << PAGE_SHIFT > paging.vmalloc_end:
            self._warn(f"ioremap of {length:#x} bytes at {phys:#x}: no virtual addresses are left")
            return 0
        # One page is left out, so that running off the end of a mapping is noticed; addresses are never used again,
        # so that using one after its iounmap is noticed as well.
        self._next_page = page + pages + 1
        table, frame = self.machine.init_mm, phys >> PAGE_SHIFT
        if large:
            table.map(page, frame, large, shift=paging.large_shift)
        if pages > large:
            table.map(page + large, frame + large, pages - large)
        if not self._lazy:
            for cpu in self.machine.cpus:
                cpu.mm.sync_all()
        virt = (page << PAGE_SHIFT) + shift
        self._mappings[page] = virt, length
        if self.tracer is not None:
            self.tracer.ioremap(phys, virt, length)
        return virt

    def iounmap(self, virt: int) -> None:
        """Undo an ioremap. An address that is no mapping's is warned about and traced with map id -1."""
        given, length = self._mappings.pop(virt >> PAGE_SHIFT, (None, 0))
        if given is None:
            self._warn(f"iounmap of {virt:#x}, which is not mapped")
        if self.tracer is not None:
            self.tracer.iounmap(virt if given is None else given)
        if given is not None:
            page, last = given >> PAGE_SHIFT, given + length - 1 >> PAGE_SHIFT
            while page <= last:
                first, count = self.machine.init_mm.unmap(page)
                self.machine.flush_range(first, count)
                page = first + count

    def mapped(self, virt: int) -> bool:
        """Does this address lie in a page of a mapping that the driver has?"""
        page = virt >> PAGE_SHIFT
        return any(first <= page <= at + length - 1 >> PAGE_SHIFT for first, (at, length) in self._mappings.items())

    def place(self, virt: int) -> str:
        """"BAR0+0x10" for an address in a mapping of the device, its physical address elsewhere, "" if it has none."""
        pte = self.machine.init_mm.entry(virt >> PAGE_SHIFT)
        if pte is None:
            return ""
        phys = ((pte.frame + (virt >> PAGE_SHIFT) - pte.page) << PAGE_SHIFT) + (virt & OFFSET_MASK)
        for bar in self.device.pci.bars:
            if bar.addr and bar.addr <= phys < bar.addr + bar.size:
                return f"{bar.name}+{phys - bar.addr:#x}"
        return f"physical {phys:#x}"

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
        value &= (1 << 8 * width) - 1
        self.cpu.ax = value
        self.run(Store(virt, width, value))

    def write_immediate(self, virt: int, width: int, value: int) -> None:
        """Store a constant, as a compiler does it: the value is in the instruction. 8 bytes: sign-extended 32 bits."""
        _check_width(width, INTEGER_WIDTHS)
        self.run(StoreImmediate(virt, width, value))

    def copy(self, dst: int, src: int, width: int) -> None:
        """Move from memory to memory in one instruction."""
        _check_width(width, INTEGER_WIDTHS)
        self.run(Copy(dst, src, width))

    def rep_copy(self, dst: int, src: int, width: int, count: int) -> None:
        """Move `count` items of `width` bytes by one REP MOVS."""
        _check_width(width, INTEGER_WIDTHS)
        self._repeat(Copy(dst + n * width, src + n * width, width, True) for n in range(count))

    def rep_fill(self, virt: int, width: int, value: int, count: int) -> None:
        """Store `count` items of `width` bytes by one REP STOS."""
        _check_width(width, INTEGER_WIDTHS)
        self.cpu.ax = value & (1 << 8 * width) - 1
        self._repeat(Fill(virt + n * width, width, value, True) for n in range(count))

    def alter(self, operation: str, virt: int, width: int, value: int) -> int:
        """Read, change, write in one instruction: add, or, and, sub, xor, xchg; ax after it, for xchg the old value."""
        _check_width(width, INTEGER_WIDTHS)
        self.cpu.ax = value & (1 << 8 * width) - 1
        self.run(Alter(virt, width, value, operation))
        return self.cpu.ax

    def set_bits(self, virt: int, width: int, bits: int) -> None:
        """`alter` with or."""
        self.alter("or", virt, width, bits)

    def _repeat(self, rounds: Iterable[Instruction]) -> None:
        """The rounds of a string instruction; a trap may come after each, all of them at one address."""
        start = self.cpu.ip
        for instruction in rounds:
            self.cpu.ip = start
            self.run(instruction)

    def run(self, instruction: Instruction) -> None:
        """Run one instruction on the current CPU, in one go."""
        self._before()
        try:
            self.machine.execute(self.cpu, instruction)
        except BaseException as error:
            self.oops = error
            raise
        self._after()

    def _before(self) -> None:
        if self.oops is not None:
            raise self.oops
        if self.machine.retired == self.limit:
            self.oops = AccessLimit(f"made {self.limit} accesses and did not come to an end")
            raise self.oops

    def _after(self) -> None:
        if self.machine.bus.unclaimed_count != self._unclaimed_logged:
            self._log_unclaimed()
        if self._timed is not None:
            self._tick(self._timed)
        if self.interrupts.pending and self.cpu.flags & IF:
            self._interrupt()

    # -- several CPUs -------------------------------------------------------------------------------------

    @property
    def cpus(self) -> int:
        """How many CPUs there are."""
        return len(self.machine.cpus)

    def start(self, number: int, program: Program) -> Task:
        """Run a generator on a CPU; `yield task.done` waits for it. See `schedule.Program` for what it may yield."""
        if not 0 <= number < self.cpus:
            raise ValueError(f"there is no CPU {number}; the machine has {self.cpus}")
        return self.scheduler.start(number, lambda cpu: self._perform(cpu, program))

    def run_program(self, program: Program) -> Any:
        """Run a generator on the first CPU, and all that it starts on others, to their ends; what it returned."""
        task = self.start(0, program)
        try:
            self.scheduler.run()
        except BaseException as error:
            self.oops = error if self.oops is None else self.oops
            raise
        return task.result

    def _perform(self, cpu: Cpu, program: Program) -> Steps[Any]:
        value: Any = None
        while True:
            try:
                wanted = program.send(value)
            except StopIteration as stop:
                return stop.value
            if wanted is None or callable(wanted):
                try:
                    yield wanted if wanted is None else OwnWait(wanted)
                except Stuck as error:
                    self._kill(program, error)
                value = None
            elif isinstance(wanted, Generator):
                value = yield from wanted
            else:
                try:
                    self._before()
                    _check_encoding(wanted)
                    ax = getattr(wanted, "ax", None)
                    if ax is not None:
                        cpu.ax = ax
                    yield from self.machine.steps_of(cpu, wanted)
                except Exception as error:
                    self._kill(program, error)
                self._after()
                value = cpu.ax

    def _kill(self, program: Program, error: Exception) -> NoReturn:
        """Raise the error where the driver is, for its line; whatever the driver makes of it, it is over."""
        self.oops = error
        program.throw(error)
        raise error

    def _switched(self, cpu: Cpu) -> None:
        self.cpu = cpu

    # -- accesses by their usual names --------------------------------------------------------------------

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
        self.rep_fill(virt, 1, byte, length)

    # -- the rest of what drivers call --------------------------------------------------------------------

    def printk(self, text: str) -> None:
        """A line for the kernel log."""
        self.log.append(text.rstrip("\n"))

    def trace_marker(self, text: str) -> None:
        """A MARK in the trace, nothing when it is off."""
        if self.tracer is not None:
            self.tracer.marker(text)

    def udelay(self, microseconds: int) -> None:
        """Let virtual time pass; what a device does meanwhile, and its interrupts, come in their time."""
        until = self.machine.now + max(0, int(microseconds * 1000))
        while self._timed is not None and (due := self._timed.due()) is not None and due <= until:
            self.machine.now = max(self.machine.now, due)
            self._timed.tick()
            if self.interrupts.pending and self.cpu.flags & IF:
                self._interrupt()
        self.machine.now = max(self.machine.now, until)

    # -- inside -------------------------------------------------------------------------------------------

    _unclaimed_logged = 0

    def _tick(self, device: Timed) -> None:
        due = device.due()
        if due is not None and due <= self.machine.now:
            device.tick()

    def _log_unclaimed(self) -> None:
        bus = self.machine.bus
        for op, phys, width in bus.unclaimed[self._unclaimed_logged : _UNCLAIMED_LINES]:
            what = "read" if op == "R" else "write"
            self._warn(f"{what} of {width} bytes at physical {phys:#x}, where no device is")
        self._unclaimed_logged = bus.unclaimed_count


class Initiators:
    """Notes which CPU makes each access to a device, which the device itself cannot know."""

    def __init__(self, device: Device, machine: Machine, notes: list[int]) -> None:
        self._device = device
        self._machine = machine
        self._notes = notes

    def read(self, region: str, offset: int, width: int) -> int:
        """As the device."""
        self._notes.append(self._machine.current.number)
        return self._device.read(region, offset, width)

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """As the device."""
        self._notes.append(self._machine.current.number)
        self._device.write(region, offset, width, value)


class AccessLimit(Exception):
    """The driver made more accesses than it was allowed to."""


def _check_width(width: int, widths: tuple[int, ...] = WIDTHS) -> None:
    if width not in widths:
        raise ValueError(f"access of {width} bytes; one of {', '.join(map(str, widths))}")


def _check_encoding(instruction: Instruction) -> None:
    try:
        _ = instruction.opcode
    except KeyError:
        raise ValueError(f"there is no such instruction: {instruction}") from None
