"""Words about a page fault that never ends: the walk through both page tables, and what is missing in one of them."""

from __future__ import annotations

from mmiotools.engine.cpu import Cpu
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmu import PAGE_SHIFT, PF_WRITE
from mmiotools.engine.quirks import Quirks


def explain_recursion(machine: Machine, cpu: Cpu, quirks: Quirks, place: str) -> str:
    """Several lines, as page_present() of the report of January 2007 would walk the address, and then as the CPU does.

    `place` is the address in the device's terms.
    """
    virt, paging = cpu.cr2, machine.paging
    slot, page = virt >> paging.slot_shift, virt >> PAGE_SHIFT
    entry = slot & (1 << (10 if paging.name == "i386" else 9)) - 1
    pte = machine.init_mm.entry(page)
    verb = "write to" if cpu.error_code & PF_WRITE else "read of"
    lines = [f"  a {verb} {virt:#x}" + (f", which is {place}" if place else "")]
    if slot in machine.init_mm.slots and pte is not None:
        table = f"present={int(pte.present)}, frame {pte.frame + page - pte.page:#x}"
        lines.append(f"  reference page table (init_mm), as page_present() walks it: directory entry {entry} is there, "
                     f"page table entry {table}")
    else:
        lines.append(f"  reference page table (init_mm): no entry for this address (directory entry {entry})")
    if cpu.mm.has(virt):
        lines.append(f"  current page directory (cr3): directory entry {entry} is there")
        return "\n".join(lines)
    lines.append(f"  current page directory (cr3), as the CPU walks it: directory entry {entry} is missing, "
                 "so the page table entry is never looked at, and no TLB flush helps")
    lines.append(f"  what is missing: the copy of directory entry {entry} from the reference to the current directory, "
                 "which vmalloc_fault() makes when it is asked")
    if quirks.fault_before_sync:
        lines.append("  why: do_page_fault() asks the fault engine first, which takes every fault on an armed page for "
                     "its own, sets the present bit in the reference, and retries (quirks fault-before-sync, "
                     "refault-resteps)")
    lines.append("  this is the likely cause of the recursive fault that was reported in January 2007; it is "
                 "reproduced here, and was not confirmed on the original machine")
    return "\n".join(lines)
