"""The engine's own view of memory, in which probed pages are present: what `emulate` carries out accesses on.

It is private to the engine. The driver's page table is never changed, so there is nothing for another CPU to slip
through, and every value passes through here, whatever the instruction does with it.
"""

from __future__ import annotations

from mmiotools.engine.bus import Target
from mmiotools.engine.cpu import Cpu, Operand
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, PF_PROTECTION, PF_WRITE, WRITABLE
from mmiotools.engine.probes import Access, Probe, ProbeSet
from mmiotools.typed import Callable, NamedTuple

_MASKS = {width: (1 << 8 * width) - 1 for width in range(1, 33)}
_new = tuple.__new__

#: Pages that are remembered; when there are more, all are forgotten.
KEEP_PAGES = 4096


class Whole(NamedTuple):
    """What one probe covers a page with, and one device answers for it at `offset` in its region."""

    probe: Probe
    target: Target
    region: str
    offset: int
    writable: bool


class Seen(NamedTuple):
    """An armed page: its physical address, the bits of its entry, and how it is covered if that is simple."""

    phys: int
    bits: int
    whole: Whole | None


class Alias:
    """A `Memory` that tells probes of what passes through it.

    hits      accesses that a probe saw
    missed    accesses in an armed page but outside every probe; `on_missed` is called with CPU, address and width
    """

    def __init__(self, machine: Machine, probes: ProbeSet) -> None:
        self.hits = 0
        self.missed = 0
        self.on_missed: Callable[[Cpu, int, int], None] | None = None
        self._machine = machine
        self._bus = machine.bus
        self._probes = probes
        self._pages: dict[int, Seen | None] = {}
        #: Those of `_pages` that one probe covers.
        self._whole: dict[int, Whole] = {}

    def forget(self) -> None:
        """A probe came or went, or a page was changed."""
        self._pages.clear()
        self._whole.clear()

    def see(self, page: int) -> Seen | None:
        """What there is to know of a page; None when it is not armed."""
        if page in self._pages:
            return self._pages[page]
        found = None
        pte = self._machine.init_mm.entry(page) if self._probes.armed(page) else None
        if pte is not None:
            phys = (pte.word & ~OFFSET_MASK) + (page - pte.page << PAGE_SHIFT)
            probe, window, bits = self._probes.sole(page), self._bus.find(phys), pte.word & OFFSET_MASK
            whole = None
            if probe is not None and window is not None and phys + PAGE_SIZE <= window.end:
                whole = Whole(probe, window.device, window.region, phys - window.start, bool(bits & WRITABLE))
            found = Seen(phys, bits, whole)
        if len(self._pages) >= KEEP_PAGES:
            self.forget()
        if found is not None and found.whole is not None:
            self._whole[page] = found.whole
        self._pages[page] = found
        return found

    def carry_out(self, cpu: Cpu) -> bool:
        """Carry out the instruction of the fault in hand, if it is ours alone."""
        page = cpu.cr2 >> PAGE_SHIFT
        if page not in self._whole and (not cpu.mm.has(cpu.cr2) or self.see(page) is None):
            return False
        instruction = cpu.instruction
        if instruction is None or cpu.error_code & PF_PROTECTION:
            return False
        return instruction.run(cpu, self)

    # -- Memory -------------------------------------------------------------------------------------------

    def check(self, cpu: Cpu, virt: int, width: int, write: bool) -> bool:
        """Can the CPU access all of it? False for a page fault at the first byte that it cannot."""
        return self._pieces(cpu, virt, width, write) is not None

    def load(self, cpu: Cpu, virt: int, width: int) -> int:
        """The value of `width` bytes, of which probes in them are told; negative for a page fault."""
        whole = self._whole.get(virt >> PAGE_SHIFT)
        at = virt & OFFSET_MASK
        if whole is None or at + width > PAGE_SIZE:
            return self._load(cpu, virt, width)
        probe, target, region, offset, _ = whole
        if probe.pre_handler is not None:
            probe.pre_handler(probe, cpu, Operand(virt, width, False))
        time = self._machine.now
        value = target.read(region, offset + at, width) & _MASKS[width]
        self.hits += 1
        if probe.post_handler is not None:
            probe.post_handler(probe, cpu, _new(Access, (False, virt, width, value, time, b"")))
        return value

    def store(self, cpu: Cpu, virt: int, width: int, value: int) -> bool:
        """Store the low `width` bytes of `value`, of which probes in them are told; False for a page fault."""
        whole = self._whole.get(virt >> PAGE_SHIFT)
        at = virt & OFFSET_MASK
        if whole is None or at + width > PAGE_SIZE or not whole[4]:
            return self._store(cpu, virt, width, value)
        probe, target, region, offset, _ = whole
        if probe.pre_handler is not None:
            probe.pre_handler(probe, cpu, Operand(virt, width, True))
        time = self._machine.now
        value &= _MASKS[width]
        target.write(region, offset + at, width, value)
        self.hits += 1
        if probe.post_handler is not None:
            probe.post_handler(probe, cpu, _new(Access, (True, virt, width, value, time, b"")))
        return True

    # -- the rare cases: part of a page is probed, several probes, page straddles, no probe at all ------------

    def _translate(self, cpu: Cpu, virt: int, write: bool) -> int:
        """Physical address; negative for a page fault."""
        known = self.see(virt >> PAGE_SHIFT)
        if known is None:
            phys = cpu.tlb.translate(cpu.mm, virt, write)
        elif write and not known.bits & WRITABLE:
            phys = ~(PF_WRITE | PF_PROTECTION)
        else:
            return known.phys | virt & OFFSET_MASK
        if phys < 0:
            cpu.cr2, cpu.error_code = virt, ~phys
        return phys

    def _pieces(self, cpu: Cpu, virt: int, width: int, write: bool) -> list[tuple[int, int, int]] | None:
        """(physical address, bytes, place in the value) of what an operand is made of: one, or its bytes. None for a
        page fault.
        """
        phys = self._translate(cpu, virt, write)
        if phys < 0:
            return None
        first = PAGE_SIZE - (virt & OFFSET_MASK)
        if first >= width:
            return [(phys, width, 0)]
        behind = self._translate(cpu, virt + first, write)
        if behind < 0:
            return None
        if behind == phys + first:
            return [(phys, width, 0)]
        return [(phys + n if n < first else behind + n - first, 1, n) for n in range(width)]

    def _probed(self, cpu: Cpu, virt: int, width: int, write: bool) -> list[Probe]:
        found = list(self._probes.overlapping(virt, virt + width))
        self.hits += bool(found)
        if not found:
            pages = virt >> PAGE_SHIFT, virt + width - 1 >> PAGE_SHIFT
            if any(self.see(page) is not None for page in pages):
                self.missed += 1
                if self.on_missed is not None:
                    self.on_missed(cpu, virt, width)
        for probe in found:
            if probe.pre_handler is not None:
                probe.pre_handler(probe, cpu, Operand(virt, width, write))
        return found

    def _load(self, cpu: Cpu, virt: int, width: int) -> int:
        pieces = self._pieces(cpu, virt, width, False)
        if pieces is None:
            return -1
        probes, time = self._probed(cpu, virt, width, False), self._machine.now
        value = sum(self._bus.read(phys, count) << 8 * place for phys, count, place in pieces)
        for probe in probes:
            if probe.post_handler is not None:
                probe.post_handler(probe, cpu, Access(False, virt, width, value, time))
        return value

    def _store(self, cpu: Cpu, virt: int, width: int, value: int) -> bool:
        value &= (1 << 8 * width) - 1
        pieces = self._pieces(cpu, virt, width, True)
        if pieces is None:
            return False
        probes, time = self._probed(cpu, virt, width, True), self._machine.now
        for phys, count, place in pieces:
            self._bus.write(phys, count, value >> 8 * place)
        for probe in probes:
            if probe.post_handler is not None:
                probe.post_handler(probe, cpu, Access(True, virt, width, value, time))
        return True
