"""The emulated machine: CPUs, the reference page table, the bus and a virtual clock.

It runs instructions and delivers their traps; who handles these is decided by whoever hooks in. What a CPU does is a
generator of micro-steps, each `yield` a point where another CPU may come in between; on one CPU they run in one go.
"""

from __future__ import annotations

import random
from typing import TypeVar  # that of mmiotools.typed makes no generic aliases

from mmiotools.engine.bus import Bus, Ram
from mmiotools.engine.cpu import DR6_B0, DR6_STEP, LINE, TF, Cpu, Instruction
from mmiotools.engine.mmu import (
    OFFSET_MASK,
    PAGE_SIZE,
    PAGING,
    PF_PROTECTION,
    PF_WRITE,
    Mm,
    PageTable,
    Paging,
)
from mmiotools.errors import Deadlock, RecursiveFault
from mmiotools.typed import Callable, Generator, TypeAlias

#: An instruction that faults more often than this without being finished will never be finished.
FAULT_LIMIT = 50

T = TypeVar("T")

#: What is yielded: None, or a condition without which the CPU cannot go on (a lock that it spins on).
Wait: TypeAlias = Callable[[], bool] | None
Steps: TypeAlias = Generator[Wait, None, T]

#: Trap handlers say whether the trap was theirs. A fault handler that is a `FINISHED` has also carried it out.
FaultHandler: TypeAlias = Callable[[Cpu], Steps[int]]
DebugHandler: TypeAlias = Callable[[Cpu], Steps[bool]]
AbortHandler: TypeAlias = Callable[[Cpu], None]
Shortcut: TypeAlias = Callable[[Cpu], bool]

#: Answers of a fault handler.
NOT_MINE, RETRY, FINISHED = 0, 1, 2


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

    Trap handlers are asked in order, the first that takes the trap ends the search. They run with interrupts off;
    `cpu.flags` is the interrupted program's. Abort handlers hear of instructions that ended in a Python exception.

    shortcut    asked before the fault handlers where no other CPU can come in between: may carry out the whole
                instruction, in one go, if the fault is nobody else's concern
    explain     words about a fault that never ends, for the error; set by who knows
    current     the CPU that is running
    world       the CPU that stopped all others, None when all run
    faults, steps   traps delivered so far: page faults, single steps
    retired         instructions finished
    stray_steps     single-step traps that nobody took
    breakpoints     hardware breakpoints that reached whoever set them
    """

    def __init__(self, cpus: int = 1, seed: int = 0, paging: Paging = PAGING["x86_64"]) -> None:
        self.paging = paging
        self.init_mm = PageTable(paging)
        self.cpus = [Cpu(number, Mm(self.init_mm)) for number in range(cpus)]
        self.current = self.cpus[0]
        self.ram = Ram()
        self.bus = Bus(self.ram)
        self.fault_handlers: list[FaultHandler] = [self.sync_directory]
        self.debug_handlers: list[DebugHandler] = []
        self.abort_handlers: list[AbortHandler] = []
        self.shortcut: Shortcut | None = None
        self.explain: Callable[[Cpu], str] | None = None
        self.world: Cpu | None = None
        self.faults = 0
        self.steps = 0
        self.stray_steps = 0
        self.breakpoints = 0
        self.retired = 0
        chance = random.Random(seed)
        #: Virtual time, nanoseconds. Traps take none, so that a device sees the same times traced and untraced.
        self.now = 1_000_000_000 + chance.randrange(1_000_000_000)
        self._costs = [chance.randrange(600, 1400) for _ in range(256)]

    # -- what instructions need ---------------------------------------------------------------------------

    def check(self, cpu: Cpu, virt: int, width: int, write: bool) -> bool:
        """Can the CPU access all of it? False for a page fault at the first byte that it cannot."""
        phys = cpu.tlb.translate(cpu.mm, virt, write)
        if phys >= 0 and (virt & OFFSET_MASK) + width > PAGE_SIZE:
            virt = (virt | OFFSET_MASK) + 1
            phys = cpu.tlb.translate(cpu.mm, virt, write)
        if phys < 0:
            cpu.cr2, cpu.error_code = virt, ~phys
            return False
        return True

    def load(self, cpu: Cpu, virt: int, width: int) -> int:
        """The value of `width` bytes at a virtual address; negative for a page fault."""
        phys = cpu.tlb.translate(cpu.mm, virt, False)
        if phys < 0:
            cpu.cr2, cpu.error_code = virt, ~phys
            return -1
        first = PAGE_SIZE - (virt & OFFSET_MASK)
        if first >= width:
            return self.bus.read(phys, width)
        behind = cpu.tlb.translate(cpu.mm, virt + first, False)
        if behind < 0:
            cpu.cr2, cpu.error_code = virt + first, ~behind
            return -1
        if behind == phys + first:
            return self.bus.read(phys, width)
        places = (phys + n if n < first else behind + n - first for n in range(width))
        return sum(self.bus.read(place, 1) << 8 * n for n, place in enumerate(places))

    def store(self, cpu: Cpu, virt: int, width: int, value: int) -> bool:
        """Store the low `width` bytes of `value` at a virtual address; False for a page fault."""
        phys = cpu.tlb.translate(cpu.mm, virt, True)
        if phys < 0:
            cpu.cr2, cpu.error_code = virt, ~phys
            return False
        first = PAGE_SIZE - (virt & OFFSET_MASK)
        if first >= width:
            self.bus.write(phys, width, value)
            return True
        behind = cpu.tlb.translate(cpu.mm, virt + first, True)
        if behind < 0:
            cpu.cr2, cpu.error_code = virt + first, ~behind
            return False
        if behind == phys + first:
            self.bus.write(phys, width, value)
            return True
        for n in range(width):
            self.bus.write(phys + n if n < first else behind + n - first, 1, value >> 8 * n & 0xFF)
        return True

    # -- page tables and their caches ---------------------------------------------------------------------

    def sync_directory(self, cpu: Cpu) -> Steps[int]:
        """Fault handler: copy a directory entry that the process does not have yet from the reference.

        A page that is present by now was absent for a moment only: the access is simply made again.
        """
        if cpu.error_code & PF_PROTECTION:
            return NOT_MINE
        if not cpu.mm.has(cpu.cr2):
            return RETRY if cpu.mm.sync(cpu.cr2) else NOT_MINE
        pte = self.init_mm.entry(cpu.cr2 >> 12)
        return RETRY if pte is not None and pte.present else NOT_MINE
        yield

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
        """Run one instruction to its end on the only CPU that runs, with every trap on the way.

        Raises BadAccess for a fault that nobody takes, RecursiveFault for one that never ends, Deadlock for a lock
        that nobody will release, and whatever a device, a handler or the sink of the trace raises.
        """
        cpu.instruction = instruction
        if cpu.flags & TF or cpu.dr0 is not None:
            drain(self.steps_of(cpu, instruction))
            return
        try:
            if not instruction.run(cpu, self):
                if self.shortcut is None or not self.shortcut(cpu):
                    drain(self.steps_of(cpu, instruction, faulted=True))
                    return
                self.faults += 1
        except BaseException:
            if cpu.instruction is not None:
                self._abort(cpu)
            raise
        cpu.ip += LINE
        cpu.instruction = None
        self.now += self._costs[self.retired & 255]
        self.retired += 1

    def steps_of(self, cpu: Cpu, instruction: Instruction, *, faulted: bool = False) -> Steps[None]:
        """Run one instruction in micro-steps; with `faulted` its first page fault is in hand already."""
        cpu.instruction = instruction
        try:
            trap = yield from self._attempts(cpu, instruction, faulted)
            if trap:
                cpu.dr6 |= DR6_STEP
            if cpu.dr0 is not None and any(o.virt <= cpu.dr0 < o.virt + o.width for o in instruction.operands()):
                cpu.dr6 |= DR6_B0
            cpu.ip += LINE
            self.now += self._costs[self.retired & 255]
            self.retired += 1
            if cpu.dr6:
                yield None
                yield from self._debug(cpu)
        except BaseException:
            self._abort(cpu)
            raise
        cpu.instruction = None

    def _attempts(self, cpu: Cpu, instruction: Instruction, faulted: bool) -> Steps[bool]:
        """Until it is carried out; was the trap flag set before? An instruction that clears it is still trapped."""
        faults = 0
        while True:
            if not faulted:
                yield None
            trap = bool(cpu.flags & TF)
            if not faulted and instruction.run(cpu, self):
                return trap
            faulted = False
            faults += 1
            self.faults += 1
            if faults > FAULT_LIMIT:
                raise RecursiveFault(self._recursion(cpu, faults))
            yield None
            answer = NOT_MINE
            for handler in self.fault_handlers:
                answer = yield from handler(cpu)
                if answer != NOT_MINE:
                    break
            if answer == NOT_MINE:
                raise BadAccess(cpu.cr2, cpu.error_code)
            if answer == FINISHED:
                return trap

    def _debug(self, cpu: Cpu) -> Steps[None]:
        self.steps += bool(cpu.dr6 & DR6_STEP)
        for handler in self.debug_handlers:
            taken = yield from handler(cpu)
            if taken:
                cpu.dr6 = 0
                return
        if cpu.dr6 & DR6_B0:
            self.breakpoints += 1
        if cpu.dr6 & DR6_STEP:
            # Nobody steps: leaving TF set would trap for ever.
            self.stray_steps += 1
            cpu.flags &= ~TF
        cpu.dr6 = 0

    def _abort(self, cpu: Cpu) -> None:
        for abort in self.abort_handlers:
            abort(cpu)
        cpu.instruction = None

    def _recursion(self, cpu: Cpu, faults: int) -> str:
        told = f"the instruction at {cpu.ip:#x} faulted {faults} times at {cpu.cr2:#x} without progress"
        return told if self.explain is None else f"{told}\n{self.explain(cpu)}"


def drain(steps: Steps[T]) -> T:
    """Run micro-steps in one go, as one CPU does: a condition that is false will stay so. Raises Deadlock."""
    while True:
        try:
            wait = next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if wait is not None and not wait():
            steps.throw(Deadlock("the CPU waits for a lock that another one holds, which stands still meanwhile"))
