"""The way of 2007: a faulting access is made possible for one instruction, which the trap flag ends.

As it should be, the pages are opened in a view that belongs to the stepping CPU alone. The quirks open them in the
page table that all CPUs share, which is where most of the old defects live.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.engine.alias import Alias
from mmiotools.engine.cpu import DR6_STEP, IF, TF, Cpu, Operand
from mmiotools.engine.decode import Move, decode, decode_as_2007
from mmiotools.engine.machine import NOT_MINE, RETRY, Machine, Steps, drain
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, PF_PROTECTION, PRESENT, WRITABLE, Pte
from mmiotools.engine.probes import Access, Probe, ProbeSet
from mmiotools.errors import Deadlock

#: Bytes of an instruction that could not be decoded which are kept.
OPCODE_BYTES = 3

_POPF = 0x9D


@dataclass(slots=True)
class Context:
    """What a CPU is in the middle of: the pages it opened, the probes it hit, the flags it came with.

    move, ax, code, time    of the access: as decoded, the register before it, the instruction, virtual nanoseconds
    """

    active: bool = False
    cpu: Cpu | None = None
    flags: int = 0
    move: Move | None = None
    ax: int = 0
    code: bytes = b""
    time: int = 0
    opened: list[int] = field(default_factory=list)
    hits: list[tuple[Probe, Operand]] = field(default_factory=list)


@dataclass(slots=True)
class _Shared:
    """A page that was opened in the shared table: by how many steps it is open, and its entry as it was saved."""

    opens: int
    saved: int


class Stepping:
    """Fault and debug handler of the two policies that step.

    hits      accesses that a probe saw
    missed    accesses in an armed page but outside every probe
    aborted   accesses that ended in an exception between fault and step
    """

    def __init__(self, machine: Machine, probes: ProbeSet, alias: Alias, *, stop_world: bool = False) -> None:
        self.hits = 0
        self.missed = 0
        self.aborted = 0
        self._machine = machine
        self._probes = probes
        self._alias = alias
        self._quirks = quirks = probes.quirks
        self._stop_world = stop_world
        self._shared_view = stop_world or quirks.page_open_to_others
        self._lock: Cpu | None = None
        one = Context()
        self._contexts = [one if quirks.global_context else Context() for _ in machine.cpus]
        #: first page of an entry in the shared table → its state
        self._shared: dict[int, _Shared] = {}
        self._opened: set[int] = set()

    def context(self, cpu: Cpu) -> Context:
        """What a CPU is in the middle of."""
        return self._contexts[cpu.number]

    def is_new(self, cpu: Cpu) -> bool:
        """Is the CPU in no step?"""
        context = self.context(cpu)
        return not context.active or context.cpu is not cpu

    def understands(self, cpu: Cpu) -> bool:
        """Can the values of the instruction be had from registers before and after a step?"""
        return decode(cpu.fetch()) is not None

    def ever_opened(self, page: int) -> bool:
        """Was this page ever opened to all CPUs?"""
        pte = self._machine.init_mm.entry(page)
        return pte is not None and pte.page in self._opened

    def why_absent(self, page: int) -> str | None:
        """The quirk that makes a fault on a mapped page nobody's: asked when it has brought the kernel down."""
        quirks = self._quirks
        pte = self._machine.init_mm.entry(page)
        shared = None if pte is None else self._shared.get(pte.page)
        if not self._probes.armed(page):
            return "rearm-after-unregister" if quirks.rearm_after_unregister else None
        if quirks.double_arm and shared is not None and not shared.saved & PRESENT:
            return "double-arm"
        return next((name for name in ("one-page-context", "pte-nonatomic") if name in quirks), None)

    # -- the page fault -----------------------------------------------------------------------------------

    def fault(self, cpu: Cpu) -> Steps[int]:
        """Open the pages that the instruction needs, and step over it. Faults that are not ours are passed on."""
        quirks = self._quirks
        if quirks.lock_across_step and len(self._machine.cpus) > 1:
            yield from self._take_lock(cpu)
        page = cpu.cr2 >> PAGE_SHIFT
        if not self._probes.armed(page):
            self._release(cpu)
            return NOT_MINE
        context = self.context(cpu)
        if not self.is_new(cpu) and not quirks.refault_resteps:
            if page in context.opened or quirks.one_page_context:
                # Open already, and yet it faults: not our doing. Or a second page, of which the context knows nothing.
                return NOT_MINE
            yield from self._open(cpu, context, page)
            return RETRY
        if self._stop_world:
            yield from self._stop(cpu)
        self._begin(cpu, context)
        for probe, operand in context.hits:
            if probe.pre_handler is not None:
                probe.pre_handler(probe, cpu, operand)
        cpu.flags = (cpu.flags | TF) & ~IF
        for number in self._pages_of(cpu):
            yield from self._open(cpu, context, number)
        return RETRY

    def _begin(self, cpu: Cpu, context: Context) -> None:
        context.active, context.cpu = True, cpu
        context.flags, context.ax, context.time = cpu.flags, cpu.ax, self._machine.now
        context.code = cpu.fetch()
        context.move = decode_as_2007(context.code) if self._quirks.old_decoder else decode(context.code)
        context.opened = []
        context.hits = []
        assert cpu.instruction is not None
        for operand in cpu.instruction.operands():
            if not any(map(self._probes.armed, _pages(operand))):
                continue
            if self._quirks.one_page_context and cpu.cr2 >> PAGE_SHIFT not in _pages(operand):
                continue
            probes = self._lookup(cpu, operand)
            self.hits += bool(probes)
            self.missed += not probes
            context.hits.extend((probe, operand) for probe in probes)

    def _lookup(self, cpu: Cpu, operand: Operand) -> list[Probe]:
        if self._quirks.page_base_lookup:
            probe = self._probes.covering(operand.virt & ~OFFSET_MASK)
            return [] if probe is None else [probe]
        if self._quirks.one_page_context:
            probe = self._probes.covering(cpu.cr2)
            return [] if probe is None else [probe]
        return list(self._probes.overlapping(operand.virt, operand.virt + operand.width))

    def _pages_of(self, cpu: Cpu) -> list[int]:
        """The armed pages to open: all that the instruction touches."""
        if self._quirks.one_page_context:
            return [cpu.cr2 >> PAGE_SHIFT]
        assert cpu.instruction is not None
        numbers = [number for operand in cpu.instruction.operands() for number in _pages(operand)]
        return [number for number in dict.fromkeys(numbers) if self._probes.armed(number)]

    def step_over(self, cpu: Cpu) -> bool:
        """Fault, step and debug trap in one go, where no other CPU can come in between and nobody else has a say: a
        move between a register and a page that one probe covers. False for all else.
        """
        page = cpu.cr2 >> PAGE_SHIFT
        seen = self._alias.see(page)
        if seen is None or seen.whole is None or not cpu.mm.has(cpu.cr2) or cpu.error_code & PF_PROTECTION:
            return False
        instruction, probe = cpu.instruction, seen.whole.probe
        assert instruction is not None
        move = decode(instruction.opcode)
        operand = instruction.operands()[0]
        if move is None or (operand.virt & OFFSET_MASK) + operand.width > PAGE_SIZE:
            return False
        if operand.write and not seen.bits & WRITABLE:
            return False
        if probe.pre_handler is not None:
            probe.pre_handler(probe, cpu, operand)
        flags, ax, time, tlb = cpu.flags, cpu.ax, self._machine.now, cpu.tlb
        cpu.flags = (flags | TF) & ~IF
        tlb.fill(page, seen.phys, seen.bits)
        try:
            done = instruction.run(cpu, self._machine)
        finally:
            tlb.flush(page)
            cpu.flags = flags
        assert done, "the page was opened"
        self._machine.steps += 1
        self.hits += 1
        if probe.post_handler is not None:
            value = move.immediate
            if value is None:
                value = (ax if move.write else cpu.ax) & (1 << 8 * move.width) - 1
            probe.post_handler(probe, cpu, Access(move.write, operand.virt, move.width, value, time))
        return True

    # -- the debug trap -----------------------------------------------------------------------------------

    def debug(self, cpu: Cpu) -> Steps[bool]:
        """The step is over: tell the probes, arm the pages, restore the flags. A trap that others wait for as well,
        because they were stepping before us or watch an address, is passed on.
        """
        context, quirks = self.context(cpu), self._quirks
        if not context.active or context.cpu is not cpu:
            return False
        if not cpu.dr6 & DR6_STEP and not quirks.any_debug_trap:
            return False
        for probe, operand in context.hits:
            if probe.post_handler is not None:
                probe.post_handler(probe, cpu, self._access(cpu, context, operand))
        yield from self._finish(cpu, context)
        if cpu.flags & TF:
            return False
        if quirks.any_debug_trap:
            return True
        cpu.dr6 &= ~DR6_STEP
        return not cpu.dr6

    def _access(self, cpu: Cpu, context: Context, operand: Operand) -> Access:
        move = context.move
        time = self._machine.now if self._quirks.late_timestamp else context.time
        if move is None:
            return Access(None, operand.virt, None, None, time, context.code[:OPCODE_BYTES])
        if move.immediate is not None:
            return Access(True, operand.virt, move.width, move.immediate, time)
        value = context.ax if move.write else cpu.ax
        value &= (1 << 8 * (move.register or move.width)) - 1
        return Access(move.write, operand.virt, move.width, value, time)

    def abort(self, cpu: Cpu) -> None:
        """The instruction ended in an exception: put pages and flags back, call nobody."""
        context = self.context(cpu)
        if context.active and context.cpu is cpu:
            self.aborted += 1
            drain(self._finish(cpu, context))

    def _finish(self, cpu: Cpu, context: Context) -> Steps[None]:
        opened, context.opened = context.opened, []
        for number in opened:
            yield from self._close(cpu, number)
        if self._quirks.flags_or:
            cpu.flags = cpu.flags & ~TF | context.flags & (TF | IF)
        elif context.code[0] != _POPF:
            cpu.flags = cpu.flags & ~(TF | IF) | context.flags & (TF | IF)
        context.active, context.cpu = False, None
        context.hits = []
        self._release(cpu)

    # -- opening and closing pages ------------------------------------------------------------------------

    def _open(self, cpu: Cpu, context: Context, number: int) -> Steps[None]:
        context.opened.append(number)
        pte = self._machine.init_mm.entry(number)
        if pte is None:
            return
        if not self._shared_view:
            cpu.tlb.flush(number)
            cpu.tlb.private[number] = (pte.word | PRESENT) + (number - pte.page << PAGE_SHIFT)
            return
        shared = self._shared.setdefault(pte.page, _Shared(0, pte.word | PRESENT))
        shared.opens += 1
        self._opened.add(pte.page)
        if self._quirks.double_arm:
            pte.word = shared.saved
        elif self._quirks.pte_nonatomic:
            word = pte.word
            yield None
            pte.word = word | PRESENT
        else:
            pte.word |= PRESENT

    def _close(self, cpu: Cpu, number: int) -> Steps[None]:
        if cpu.tlb.private.pop(number, None) is not None:
            cpu.tlb.flush(number)
            return
        pte = self._machine.init_mm.entry(number)
        shared = None if pte is None else self._shared.get(pte.page)
        if pte is None or shared is None:
            return
        shared.opens -= 1
        yield from self._arm(pte, shared)
        # Between the entry and the TLB there is time for another CPU.
        yield None
        if self._quirks.local_flush:
            cpu.tlb.flush_range(pte.page, pte.count)
        else:
            self._machine.flush_range(pte.page, pte.count)

    def _arm(self, pte: Pte, shared: _Shared) -> Steps[None]:
        quirks = self._quirks
        wanted = self._probes.armed(pte.page) or (pte.count > 1 and self._armed_within(pte))
        if not wanted and not quirks.rearm_after_unregister:
            del self._shared[pte.page]
        elif quirks.double_arm:
            shared.saved = pte.word
            pte.word &= ~PRESENT
        elif not shared.opens:
            del self._shared[pte.page]
            if quirks.pte_nonatomic:
                word = pte.word
                yield None
                pte.word = word & ~PRESENT
            else:
                pte.word &= ~PRESENT

    def _armed_within(self, pte: Pte) -> bool:
        start = pte.page << PAGE_SHIFT
        return any(True for _ in self._probes.overlapping(start, start + (pte.count << PAGE_SHIFT)))

    # -- locks --------------------------------------------------------------------------------------------

    def _take_lock(self, cpu: Cpu) -> Steps[None]:
        while self._lock is not None:
            if self._lock is cpu:
                message = f"CPU {cpu.number} waits for the lock that it took at the fault before"
                raise Deadlock(f"{message}: second fault at {cpu.cr2:#x} in one step", quirk="lock-across-step")
            yield lambda: self._lock is None
        self._lock = cpu

    def _stop(self, cpu: Cpu) -> Steps[None]:
        machine = self._machine
        while machine.world is not None and machine.world is not cpu:
            yield lambda: machine.world is None
        machine.world = cpu

    def _release(self, cpu: Cpu) -> None:
        if self._lock is cpu:
            self._lock = None
        if self._machine.world is cpu:
            self._machine.world = None


def _pages(operand: Operand) -> tuple[int, ...]:
    """The pages that an operand touches: one or two."""
    first = operand.virt >> PAGE_SHIFT
    if (operand.virt & OFFSET_MASK) + operand.width > PAGE_SIZE:
        return first, first + 1
    return (first,)
