"""The kmmio layer: probes on ranges of virtual addresses, made to fault by clearing the present bit of their pages.

A fault calls the pre handlers and lets the policy make the access possible; when the access is done, the post handlers
are called and the pages armed again. The interval index is the truth about probes; fault pages only count.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from mmiotools.engine.cpu import DR6_STEP, IF, TF, Cpu, Operand
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, PF_PROTECTION, Pte
from mmiotools.trace.intervals import Interval, IntervalIndex, OverlapError

_TOP = 1 << 64


class ProbeError(Exception):
    """A probe that cannot be registered or unregistered; `errno` is the kernel's number, positive."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.errno = number


@dataclass(eq=False, slots=True)
class Probe:
    """Half-open range [addr, addr + length) of virtual addresses, with what to call.

    Handlers get the probe, the CPU and the operand that touches it; the operand may begin before the probe.
    """

    addr: int
    length: int
    pre_handler: Handler | None = None
    post_handler: Handler | None = None


Handler: TypeAlias = Callable[[Probe, Cpu, Operand], None]


class FaultPage:
    """A page with at least one probe in it.

    count   probes that touch the page
    armed   its present bit is clear because of us
    pte     its page table entry
    sole    the probe that covers the whole page, once a fault has found that out; None when not known
    """

    __slots__ = ("armed", "count", "page", "pte", "sole")

    def __init__(self, page: int, pte: Pte) -> None:
        self.page = page
        self.count = 0
        self.armed = False
        self.pte = pte
        self.sole: Probe | None = None


@dataclass(slots=True)
class Context:
    """What one CPU is in the middle of: the pages it opened, the probes it hit, the flags it came with."""

    active: bool = False
    flags: int = 0
    opened: list[FaultPage] = field(default_factory=list)
    hits: list[tuple[Probe, Operand]] = field(default_factory=list)


class Policy(Protocol):
    """How the access of a faulting instruction is made possible, and what puts things back."""

    name: str

    def enter(self, kmmio: Kmmio, cpu: Cpu, context: Context) -> None:
        """Called in the fault, after the pre handlers. `context.opened` are the pages that the instruction needs."""

    def leave(self, kmmio: Kmmio, cpu: Cpu, context: Context) -> None:
        """Called when the access is done or given up: arm the pages, restore the flags."""


class Step:
    """The way of 2007: the pages are present for one instruction, which the trap flag ends."""

    name = "step"

    def enter(self, kmmio: Kmmio, cpu: Cpu, context: Context) -> None:
        """Open the pages and single-step with interrupts off."""
        for page in context.opened:
            kmmio.disarm(page)
        cpu.flags = (cpu.flags | TF) & ~IF

    def leave(self, kmmio: Kmmio, cpu: Cpu, context: Context) -> None:
        """Close the pages that still have a probe."""
        for page in context.opened:
            if page.count:
                kmmio.arm(page)
        cpu.flags = cpu.flags & ~(TF | IF) | context.flags & (TF | IF)


class Kmmio:
    """The probes of one machine. Hooks itself into the machine's traps.

    hits      accesses that a probe saw
    missed    accesses in an armed page but outside every probe: let through, seen by nobody
    aborted   accesses that ended in an exception between fault and step
    """

    def __init__(self, machine: Machine, policy: Policy | None = None) -> None:
        self.machine = machine
        self.policy: Policy = policy if policy is not None else Step()
        self.hits = 0
        self.missed = 0
        self.aborted = 0
        self.probes: IntervalIndex[Probe] = IntervalIndex()
        self.pages: dict[int, FaultPage] = {}
        self._contexts = [Context() for _ in machine.cpus]
        machine.fault_handlers.append(self.fault)
        machine.debug_handlers.append(self.debug)
        machine.abort_handlers.append(self.abort)

    @property
    def active(self) -> bool:
        """Is there any probe?"""
        return len(self.probes) > 0

    # -- probes -------------------------------------------------------------------------------------------

    def register(self, probe: Probe) -> None:
        """Add a probe and arm its pages, all or nothing.

        Raises ProbeError: EINVAL for an empty range or one past the top, EEXIST when it overlaps another probe,
        EFAULT when one of its pages has no page table entry.
        """
        end = probe.addr + probe.length
        if probe.addr < 0 or probe.length <= 0 or end > _TOP:
            raise ProbeError(errno.EINVAL, f"no such range: {probe.length:#x} bytes from {probe.addr:#x}")
        try:
            interval = self.probes.insert(probe.addr, end, probe)
        except OverlapError as error:
            raise ProbeError(errno.EEXIST, f"probe at {probe.addr:#x} {error}") from None
        first, last = _pages(interval)
        for number in range(first, last + 1):
            if not self._add_page(number):
                for added in range(first, number):
                    self._release_page(added)
                self.probes.remove(interval)
                raise ProbeError(errno.EFAULT, f"page {number << PAGE_SHIFT:#x} is not mapped")
        self.machine.flush_range(first, last + 1 - first)

    def unregister(self, probe: Probe) -> None:
        """Remove a probe; pages that no other probe needs are present again. Raises ProbeError (ENOENT).

        A step that is under way on another CPU keeps its page and finishes; it then finds the count at zero.
        """
        found = next((i for i in self.probes.stab(probe.addr) if i.value is probe), None)
        if found is None:
            raise ProbeError(errno.ENOENT, f"no such probe at {probe.addr:#x}")
        self.probes.remove(found)
        first, last = _pages(found)
        for number in range(first, last + 1):
            self._release_page(number)

    def arm(self, page: FaultPage) -> None:
        """Clear the present bit of a page and make every CPU forget it."""
        page.pte.present = False
        page.armed = True
        self.machine.flush_page(page.page)

    def disarm(self, page: FaultPage) -> None:
        """Set the present bit of a page. No CPU remembers that a page was absent, so nothing is flushed."""
        page.pte.present = True
        page.armed = False

    def _add_page(self, number: int) -> bool:
        page = self.pages.get(number)
        if page is None:
            pte = self.machine.init_mm.entry(number)
            if pte is None or not pte.present:
                return False
            page = self.pages[number] = FaultPage(number, pte)
            # The caller flushes the whole range at once.
            pte.present = False
            page.armed = True
        page.count += 1
        return True

    def _release_page(self, number: int) -> None:
        page = self.pages[number]
        page.count -= 1
        page.sole = None
        if not page.count:
            self.disarm(page)
            del self.pages[number]

    # -- traps --------------------------------------------------------------------------------------------

    def fault(self, cpu: Cpu, addr: int) -> bool:
        """Page fault at `addr`: True when it was ours. Faults of any other cause are passed on."""
        if cpu.error_code & PF_PROTECTION:
            return False
        page = self.pages.get(addr >> PAGE_SHIFT)
        context = self._contexts[cpu.number]
        if page is None:
            # A page whose last probe went away between the access and now is present again: just retry.
            return self._present_again(cpu, addr)
        if context.active:
            # The same instruction again. Handlers were called and the flags saved by its first fault.
            if page not in context.opened:
                context.opened.append(page)
            cpu.tlb.flush(page.page)
            self.policy.enter(self, cpu, context)
            return True
        context.active = True
        context.flags = cpu.flags
        assert cpu.instruction is not None
        for operand in cpu.instruction.operands():
            self._note(operand, context)
        for probe, operand in context.hits:
            if probe.pre_handler is not None:
                probe.pre_handler(probe, cpu, operand)
        self.policy.enter(self, cpu, context)
        return True

    def debug(self, cpu: Cpu) -> bool:
        """Debug trap: True when it was ours alone. Someone who was stepping before us gets the trap as well."""
        context = self._contexts[cpu.number]
        if not context.active or not cpu.dr6 & DR6_STEP:
            return False
        try:
            for probe, operand in context.hits:
                if probe.post_handler is not None:
                    probe.post_handler(probe, cpu, operand)
        finally:
            stepping = context.flags & TF
            self._finish(cpu, context)
        if stepping:
            return False
        cpu.dr6 &= ~DR6_STEP
        return True

    def abort(self, cpu: Cpu) -> None:
        """The instruction ended in an exception: put pages and flags back, call nobody."""
        context = self._contexts[cpu.number]
        if context.active:
            self.aborted += 1
            self._finish(cpu, context)

    def _finish(self, cpu: Cpu, context: Context) -> None:
        self.policy.leave(self, cpu, context)
        context.active = False
        context.opened.clear()
        context.hits.clear()

    def _note(self, operand: Operand, context: Context) -> None:
        """Add the fault pages and the probes that an operand touches."""
        virt, width, _ = operand
        numbers = [virt >> PAGE_SHIFT]
        if (virt & OFFSET_MASK) + width > PAGE_SIZE:
            numbers.append(numbers[0] + 1)
        pages = [page for page in map(self.pages.get, numbers) if page is not None]
        if not pages:
            return
        for page in pages:
            if page not in context.opened:
                context.opened.append(page)
        if len(numbers) == 1 and pages[0].sole is not None:
            self.hits += 1
            context.hits.append((pages[0].sole, operand))
            return
        covering = list(self.probes.overlapping(virt, virt + width))
        if not covering:
            self.missed += 1
            return
        self.hits += 1
        context.hits.extend((interval.value, operand) for interval in covering)
        for page in pages:
            # More than one probe in the page would end the first one inside it, or start the second.
            start = page.page << PAGE_SHIFT
            if covering[0].start <= start and covering[0].end >= start + PAGE_SIZE:
                page.sole = covering[0].value

    def _present_again(self, cpu: Cpu, addr: int) -> bool:
        pte = cpu.mm.entry(addr >> PAGE_SHIFT)
        return pte is not None and pte.present


def _pages(interval: Interval[Probe]) -> tuple[int, int]:
    """First and last page number of a probe."""
    return interval.start >> PAGE_SHIFT, interval.end - 1 >> PAGE_SHIFT
