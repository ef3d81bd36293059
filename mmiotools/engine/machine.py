"""The emulated machine: CPUs, the reference page table, the bus and a virtual clock.

It runs instructions and delivers their traps; who handles these is decided by whoever hooks in.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

from mmiotools.engine.bus import Bus, Ram
from mmiotools.engine.cpu import DR6_STEP, LINE, TF, Cpu, Instruction
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, PF_PROTECTION, PF_WRITE, PageFault, PageTable
from mmiotools.errors import RecursiveFault

#: An instruction that faults more often than this without being finished will never be finished.
FAULT_LIMIT = 50

FaultHandler: TypeAlias = Callable[[Cpu, int], bool]
DebugHandler: TypeAlias = Callable[[Cpu], bool]
AbortHandler: TypeAlias = Callable[[Cpu], None]


class BadAccess(Exception):
    """A page fault that no handler took: the address is not mapped, or not writable. Real kernels oops here."""

    def __init__(self, addr: int, code: int) -> None:
        verb = "write" if code & PF_WRITE else "read"
        why = "is not writable" if code & PF_PROTECTION else "is not mapped"
        super().__init__(f"{verb} at {addr:#x}, which {why}")
        self.addr = addr
        self.code = code


class Machine:
    """One or more CPUs on one bus.

    Trap handlers are asked in order, the first that returns True has taken the trap. They run with interrupts off;
    `cpu.flags` is the interrupted program's. Abort handlers hear of instructions that ended in a Python exception.

    faults, steps   traps delivered so far: page faults, single steps
    retired         instructions finished
    stray_steps     single-step traps that nobody took
    """

    def __init__(self, cpus: int = 1, seed: int = 0) -> None:
        self.init_mm = PageTable()
        self.cpus = [Cpu(number, self.init_mm) for number in range(cpus)]
        self.ram = Ram()
        self.bus = Bus(self.ram)
        self.fault_handlers: list[FaultHandler] = []
        self.debug_handlers: list[DebugHandler] = []
        self.abort_handlers: list[AbortHandler] = []
        self.faults = 0
        self.steps = 0
        self.stray_steps = 0
        self.retired = 0
        chance = random.Random(seed)
        #: Virtual time, nanoseconds. Traps take none, so that a device sees the same times traced and untraced.
        self.now = 1_000_000_000 + chance.randrange(1_000_000_000)
        self._costs = [chance.randrange(600, 1400) for _ in range(256)]

    # -- what instructions need ---------------------------------------------------------------------------

    def check(self, cpu: Cpu, virt: int, width: int, write: bool) -> None:
        """Nothing, or a PageFault at the first byte that the CPU may not access."""
        cpu.tlb.translate(cpu.mm, virt, write)
        if (virt & OFFSET_MASK) + width > PAGE_SIZE:
            cpu.tlb.translate(cpu.mm, (virt | OFFSET_MASK) + 1, write)

    def load(self, cpu: Cpu, virt: int, width: int) -> int:
        """The value of `width` bytes at a virtual address."""
        phys = cpu.tlb.translate(cpu.mm, virt, False)
        if (virt & OFFSET_MASK) + width <= PAGE_SIZE:
            return self.bus.read(phys, width)
        border = (virt | OFFSET_MASK) + 1
        if cpu.tlb.translate(cpu.mm, border, False) == phys + border - virt:
            return self.bus.read(phys, width)
        return sum(self.load(cpu, virt + n, 1) << 8 * n for n in range(width))

    def store(self, cpu: Cpu, virt: int, width: int, value: int) -> None:
        """Store the low `width` bytes of `value` at a virtual address."""
        phys = cpu.tlb.translate(cpu.mm, virt, True)
        if (virt & OFFSET_MASK) + width <= PAGE_SIZE:
            self.bus.write(phys, width, value)
            return
        border = (virt | OFFSET_MASK) + 1
        if cpu.tlb.translate(cpu.mm, border, True) == phys + border - virt:
            self.bus.write(phys, width, value)
            return
        for n in range(width):
            self.store(cpu, virt + n, 1, value >> 8 * n & 0xFF)

    # -- page tables and their caches ---------------------------------------------------------------------

    def flush_page(self, page: int) -> None:
        """Forget a page on every CPU."""
        for cpu in self.cpus:
            cpu.tlb.flush(page)

    def flush_range(self, page: int, count: int) -> None:
        """Forget `count` pages on every CPU."""
        for cpu in self.cpus:
            cpu.tlb.flush_range(page, count)

    # -- running ------------------------------------------------------------------------------------------

    def execute(self, cpu: Cpu, instruction: Instruction) -> None:
        """Run one instruction to its end, with every trap on the way.

        Raises BadAccess for a fault that nobody takes, RecursiveFault for one that never ends, and whatever a
        device, a handler or the sink of the trace raises.
        """
        cpu.instruction = instruction
        try:
            faults = 0
            while True:
                trap = cpu.flags & TF
                try:
                    instruction.run(cpu, self)
                    break
                except PageFault as fault:
                    cpu.cr2, cpu.error_code = fault.args
                faults += 1
                self.faults += 1
                if faults > FAULT_LIMIT:
                    raise RecursiveFault(self._recursion(cpu, faults))
                for handler in self.fault_handlers:
                    if handler(cpu, cpu.cr2):
                        break
                else:
                    raise BadAccess(cpu.cr2, cpu.error_code)
            cpu.ip += LINE
            self.now += self._costs[self.retired & 255]
            self.retired += 1
            if trap:
                self._single_step(cpu)
        except BaseException:
            for abort in self.abort_handlers:
                abort(cpu)
            raise
        finally:
            cpu.instruction = None

    def _single_step(self, cpu: Cpu) -> None:
        self.steps += 1
        cpu.dr6 |= DR6_STEP
        for handler in self.debug_handlers:
            if handler(cpu):
                return
        # Nobody steps: leaving TF set would trap for ever.
        self.stray_steps += 1
        cpu.dr6 &= ~DR6_STEP
        cpu.flags &= ~TF

    def _recursion(self, cpu: Cpu, faults: int) -> str:
        page = cpu.cr2 >> PAGE_SHIFT
        reference = self.init_mm.entry(page)
        state = "has no entry" if reference is None else f"says present={int(reference.present)}"
        return (
            f"the instruction at {cpu.ip:#x} faulted {faults} times at {cpu.cr2:#x} without progress "
            f"(the reference page table {state} for that page)"
        )
