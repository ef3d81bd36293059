"""Watches accesses that reach a device without a fault, and says which defect let them through.

It looks at the machine from outside, so that what it says does not depend on the engine that it judges.
"""

from __future__ import annotations

from collections import Counter

from mmiotools.engine.cpu import Cpu
from mmiotools.engine.kmmio import Kmmio
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmiotrace import MmioTrace
from mmiotools.engine.mmu import PAGE_SHIFT

#: Why a page of a mapping may not be armed, and why a mapping may have no probe, in the order of suspicion.
_NOT_ARMED = ("last-page-missed", "large-page-stride", "partial-registration")
_NO_PROBE = ("inclusive-end", "probe-per-page", "overlap-start-only", "any-range", "partial-registration")

#: What is said when no quirk explains it.
UNEXPLAINED = "no known quirk"


class Witness:
    """`causes`: quirk → accesses to traced mappings that were made natively and recorded by nobody."""

    def __init__(self, machine: Machine, kmmio: Kmmio, tracer: MmioTrace) -> None:
        self.causes: Counter[str] = Counter()
        self._machine = machine
        self._kmmio = kmmio
        self._tracer = tracer
        if machine.shortcut == kmmio.stepping.step_over:
            # It leaves no context to look at.
            machine.shortcut = None
        self._load, self._store = machine.load, machine.store
        machine.load = self._watch_load  # type: ignore[method-assign]
        machine.store = self._watch_store  # type: ignore[method-assign]

    def _watch_load(self, cpu: Cpu, virt: int, width: int) -> int:
        stale = virt >> PAGE_SHIFT in cpu.tlb
        value = self._load(cpu, virt, width)
        self._judge(cpu, virt, width, stale)
        return value

    def _watch_store(self, cpu: Cpu, virt: int, width: int, value: int) -> None:
        stale = virt >> PAGE_SHIFT in cpu.tlb
        self._store(cpu, virt, width, value)
        self._judge(cpu, virt, width, stale)

    def _judge(self, cpu: Cpu, virt: int, width: int, known: bool) -> None:
        if not self._tracer.means(virt, width):
            return
        context = self._kmmio.stepping.context(cpu)
        if context.active and context.cpu is cpu:
            if any(o.virt <= virt < o.virt + o.width for _, o in context.hits):
                return
            self.causes["page-base-lookup" if self._kmmio.quirks.page_base_lookup else "one-page-context"] += 1
            return
        self.causes[self._why(virt >> PAGE_SHIFT, virt, known)] += 1

    def _why(self, page: int, virt: int, known: bool) -> str:
        kmmio, quirks = self._kmmio, self._kmmio.quirks
        if kmmio.probes.covering(virt) is None:
            return next((name for name in _NO_PROBE if name in quirks), UNEXPLAINED)
        if not kmmio.probes.armed(page):
            return next((name for name in _NOT_ARMED if name in quirks), UNEXPLAINED)
        pte = self._machine.init_mm.entry(page)
        if pte is not None and pte.present:
            return "page-open-to-others" if len(self._machine.cpus) > 1 else "one-page-context"
        if known and kmmio.stepping.ever_opened(page):
            return "local-flush" if quirks.local_flush else "page-open-to-others"
        if known:
            return next((name for name in ("no-register-flush", "late-flush") if name in quirks), UNEXPLAINED)
        return UNEXPLAINED
