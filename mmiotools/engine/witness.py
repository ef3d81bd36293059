"""Watches accesses that reach a device without the engine's doing, and says which defect kept them out of the trace.

It looks at the machine and the tracer from outside, so that what it counts does not depend on the engine that it
judges: an access is owed an event until the tracer is told of one for it.
"""

from __future__ import annotations

from collections import Counter

from mmiotools.engine.cpu import TF, Cpu, Instruction
from mmiotools.engine.kmmio import Kmmio
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmiotrace import MmioTrace
from mmiotools.engine.mmu import PAGE_SHIFT
from mmiotools.engine.probes import Access, Probe
from mmiotools.typed import NamedTuple

#: What is said when it was no quirk: the run ended before the step did; the probe was refused, as the log says.
CUT_SHORT = "the end of the run"
REFUSED = "a probe that was refused"
UNEXPLAINED = "no known quirk"


class _Owed(NamedTuple):
    """An access without an event, and why that would be."""

    virt: int
    width: int
    why: str


class _Debt:
    """What one CPU's instruction owes; an instruction is told from a repetition of it by where it lies."""

    def __init__(self) -> None:
        self.instruction: Instruction | None = None
        self.ip = 0
        self.owed: list[_Owed] = []


class Witness:
    """Hooks itself into a machine and its tracer, before any access is made."""

    def __init__(self, machine: Machine, kmmio: Kmmio, tracer: MmioTrace) -> None:
        self._causes: Counter[str] = Counter()
        self._machine = machine
        self._kmmio = kmmio
        self._tracer = tracer
        self._debts = [_Debt() for _ in machine.cpus]
        if machine.shortcut == kmmio.stepping.step_over:
            # It leaves no context to look at.
            machine.shortcut = None
        self._load, self._store, self._post = machine.load, machine.store, tracer.post
        machine.load = self._watch_load  # type: ignore[method-assign]
        machine.store = self._watch_store  # type: ignore[method-assign]
        tracer.post = self._watch_post  # type: ignore[method-assign]
        kmmio.alias.on_missed = self._watch_missed

    @property
    def causes(self) -> Counter[str]:
        """Quirk → accesses to traced mappings that were made natively and recorded by nobody. Ask at the end."""
        for debt in self._debts:
            self._settle(debt)
        return self._causes

    def _watch_load(self, cpu: Cpu, virt: int, width: int) -> int:
        known = virt >> PAGE_SHIFT in cpu.tlb
        value = self._load(cpu, virt, width)
        if value >= 0:
            self._owe(cpu, virt, width, known)
        return value

    def _watch_store(self, cpu: Cpu, virt: int, width: int, value: int) -> bool:
        known = virt >> PAGE_SHIFT in cpu.tlb
        done = self._store(cpu, virt, width, value)
        if done:
            self._owe(cpu, virt, width, known)
        return done

    def _watch_post(self, probe: Probe, cpu: Cpu, access: Access) -> None:
        context = self._kmmio.stepping.context(cpu)
        if context.active and context.cpu is cpu:
            # The access was made natively, in this step; others were carried out, and never owed anything.
            debt, end = self._debts[cpu.number], access.virt + (access.width or 1)
            debt.owed = [one for one in debt.owed if end <= one.virt or one.virt + one.width <= access.virt]
        self._post(probe, cpu, access)

    def _watch_missed(self, cpu: Cpu, virt: int, width: int) -> None:
        if self._tracer.means(virt, width):
            self._causes[self._why_no_probe()] += 1

    def _owe(self, cpu: Cpu, virt: int, width: int, known: bool) -> None:
        debt = self._debts[cpu.number]
        if cpu.instruction is not debt.instruction or cpu.ip != debt.ip:
            self._settle(debt)
            debt.instruction, debt.ip = cpu.instruction, cpu.ip
        if self._tracer.means(virt, width):
            debt.owed.append(_Owed(virt, width, self._why(cpu, virt, width, known)))

    def _settle(self, debt: _Debt) -> None:
        self._causes.update(one.why for one in debt.owed)
        debt.owed = []

    # -- why ----------------------------------------------------------------------------------------------

    def _why(self, cpu: Cpu, virt: int, width: int, known: bool) -> str:
        pages = range(virt >> PAGE_SHIFT, (virt + width - 1 >> PAGE_SHIFT) + 1)
        context = self._kmmio.stepping.context(cpu)
        if context.active and context.cpu is cpu:
            if any(o.virt < virt + width and virt < o.virt + o.width for _, o in context.hits):
                return "global-context" if self._forgotten() == "global-context" else CUT_SHORT
            return self._why_no_hit(cpu, virt, width, pages)
        forgotten = self._forgotten()
        if forgotten is not None and (cpu.flags & TF or any(page in cpu.tlb.private for page in pages)):
            return forgotten
        probe = next(self._kmmio.probes.overlapping(virt, virt + width), None)
        if probe is None:
            return self._why_no_probe()
        page = next((page for page in pages if not self._kmmio.probes.armed(page)), None)
        if page is not None:
            return self._why_not_armed(probe, page)
        return self._why_not_absent(pages[0], known)

    def _why_no_hit(self, cpu: Cpu, virt: int, width: int, pages: range) -> str:
        # The step is for this access and found no probe, or it is for another access of the same instruction.
        quirks = self._kmmio.quirks
        if next(self._kmmio.probes.overlapping(virt, virt + width), None) is None:
            return self._why_no_probe()
        if quirks.page_base_lookup and cpu.cr2 >> PAGE_SHIFT in pages:
            return "page-base-lookup"
        return "one-page-context" if quirks.one_page_context else UNEXPLAINED

    def _why_no_probe(self) -> str:
        # Memory that runs out refuses probes under any quirk, and is said in the log.
        kmmio = self._kmmio
        return "probe-per-page" if kmmio.quirks.probe_per_page and kmmio.probes.grants is None else REFUSED

    def _why_not_armed(self, probe: Probe, page: int) -> str:
        quirks = self._kmmio.quirks
        aligned_last = (probe.addr >> PAGE_SHIFT) + (probe.length - 1 >> PAGE_SHIFT)
        if quirks.last_page_missed and page > aligned_last:
            return "last-page-missed"
        if quirks.partial_registration and self._kmmio.probes.grants is not None:
            return "partial-registration"
        return "large-page-stride" if quirks.large_page_stride else UNEXPLAINED

    def _why_not_absent(self, page: int, known: bool) -> str:
        quirks, stepping = self._kmmio.quirks, self._kmmio.stepping
        pte = self._machine.init_mm.entry(page)
        if pte is not None and pte.present:
            if any(page in stepping.context(other).opened for other in self._machine.cpus):
                return "page-open-to-others"
            return self._forgotten() or ("page-open-to-others" if len(self._machine.cpus) > 1 else UNEXPLAINED)
        if known and stepping.ever_opened(page):
            return "local-flush" if quirks.local_flush else "page-open-to-others"
        if known:
            return next((name for name in ("no-register-flush", "late-flush") if name in quirks), UNEXPLAINED)
        return UNEXPLAINED

    def _forgotten(self) -> str | None:
        """The quirk by which a step that is under way may be forgotten, its pages left open; None if there is none."""
        quirks, several = self._kmmio.quirks, len(self._machine.cpus) > 1
        if several and quirks.lock_across_step:
            return None
        if several and quirks.global_context:
            return "global-context"
        return "refault-resteps" if quirks.refault_resteps else None
