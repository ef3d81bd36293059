"""The kmmio layer: probed pages fault because their present bit is clear; what happens then is decided here.

Three policies. `emulate` carries out the instruction in the fault handler, on a view of its own in which the pages are
present; `step` makes the pages present for one instruction, which the trap flag ends; `stop-the-world` does the same
while no other CPU runs. What the patch of 2007 and today's kernel do differently is switched by `Quirks`.
"""

from __future__ import annotations

from mmiotools.engine.alias import Alias
from mmiotools.engine.cpu import Cpu
from mmiotools.engine.machine import FINISHED, NOT_MINE, RETRY, Machine, Steps, drain
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PF_PROTECTION
from mmiotools.engine.probes import Probe, ProbeSet
from mmiotools.engine.quirks import Quirks
from mmiotools.engine.stepping import Stepping
from mmiotools.errors import UsageError

EMULATE, STEP, STOP_THE_WORLD = "emulate", "step", "stop-the-world"
POLICIES = (EMULATE, STEP, STOP_THE_WORLD)


class Kmmio:
    """The fault engine of one machine. Hooks itself into the machine's traps.

    hits      accesses that a probe saw
    missed    accesses in an armed page but outside every probe: let through, seen by nobody
    aborted   accesses that ended in an exception between fault and step
    """

    def __init__(self, machine: Machine, policy: str = EMULATE, quirks: Quirks | None = None) -> None:
        if policy not in POLICIES:
            raise UsageError(f"the engine has no policy '{policy}'; there are: {', '.join(POLICIES)}")
        self.machine = machine
        self.policy = policy
        self.quirks = Quirks() if quirks is None else quirks
        self.probes = ProbeSet(machine.init_mm, self.quirks)
        self.alias = Alias(machine, self.probes)
        self.stepping = Stepping(machine, self.probes, self.alias, stop_world=policy == STOP_THE_WORLD)
        handlers = machine.fault_handlers
        handlers.insert(0 if self.quirks.fault_before_sync else len(handlers), self.fault)
        machine.debug_handlers.append(self.stepping.debug)
        machine.abort_handlers.append(self.stepping.abort)
        if self._emulates:
            machine.shortcut = self.alias.carry_out
        elif policy == STEP and not list(self.quirks):
            machine.shortcut = self.stepping.step_over

    @property
    def active(self) -> bool:
        """Is there any probe? (A quirk counts those as well that were refused.)"""
        return len(self.probes) + self.probes.refused > 0

    @property
    def hits(self) -> int:
        """Accesses that a probe saw."""
        return self.alias.hits + self.stepping.hits

    @property
    def missed(self) -> int:
        """Accesses in an armed page but outside every probe: let through, counted, seen by nobody."""
        return 0 if self.quirks.silent_drop else self.alias.missed + self.stepping.missed

    @property
    def aborted(self) -> int:
        """Accesses that ended in an exception between fault and step."""
        return self.stepping.aborted

    @property
    def _emulates(self) -> bool:
        # The old decoder understands too little to carry anything out.
        return self.policy == EMULATE and not self.quirks.old_decoder

    # -- probes -------------------------------------------------------------------------------------------

    def register(self, probe: Probe) -> None:
        """Add a probe and arm its pages, all or nothing.

        Raises ProbeError: EINVAL for an empty range or one past the top, EEXIST when it overlaps another probe,
        EFAULT when one of its pages is not mapped, ENOMEM when there is no memory for its pages.
        """
        drain(self.register_steps(probe))

    def register_steps(self, probe: Probe) -> Steps[None]:
        """`register` in micro-steps, for a driver on several CPUs to yield."""
        runs = self.probes.add(probe)
        self.alias.forget()
        if self.quirks.no_register_flush:
            return
        if self.quirks.late_flush:
            yield None
        for first, count in runs:
            self.machine.flush_range(first, count)

    def unregister(self, probe: Probe) -> None:
        """Remove a probe; pages that no other probe needs are present again. Raises ProbeError (ENOENT).

        A step that is under way keeps its view of the page and finishes.
        """
        self.probes.remove(probe)
        self.alias.forget()

    def invert_map(self, virt: int, bus: int) -> int:
        """Point a page at another bus address, as the tracer of 2007 did for a way around its own probes.

        `virt` is page aligned. Returns the virtual address of `bus`. The engine needs no such page: `Alias` is its
        way around. Raises ValueError when `virt` is not aligned or not mapped.
        """
        pte = self.machine.init_mm.entry(virt >> PAGE_SHIFT)
        if virt & OFFSET_MASK or pte is None:
            raise ValueError(f"{virt:#x} is no mapped page")
        pte.word = pte.word & OFFSET_MASK | bus & ~OFFSET_MASK
        self.alias.forget()
        if not self.quirks.invert_map_no_flush:
            self.machine.flush_page(virt >> PAGE_SHIFT)
        return virt + (bus & OFFSET_MASK)

    # -- traps --------------------------------------------------------------------------------------------

    def fault(self, cpu: Cpu) -> Steps[int]:
        """Fault handler: faults on armed pages are ours, all others are passed on."""
        if not self.active or (cpu.error_code & PF_PROTECTION and not self.quirks.ignore_error_code):
            return NOT_MINE
        stepping = self.stepping
        if self._emulates or (stepping.is_new(cpu) and self._only_carried_out(cpu)):
            if not self.probes.armed(cpu.cr2 >> PAGE_SHIFT):
                return NOT_MINE
            return (yield from self._carry_out(cpu))
        return (yield from stepping.fault(cpu))

    def _only_carried_out(self, cpu: Cpu) -> bool:
        """Are there values that no register shows before or after a step?"""
        return not self.quirks.old_decoder and not self.stepping.understands(cpu)

    def _carry_out(self, cpu: Cpu) -> Steps[int]:
        assert cpu.instruction is not None
        while not cpu.instruction.run(cpu, self.alias):
            # A page of it that is not probed: the kernel's own fault handling comes first.
            if (yield from self.machine.sync_directory(cpu)) != RETRY:
                return NOT_MINE
        return FINISHED
