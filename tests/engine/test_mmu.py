"""Page tables, present bits, and TLBs that keep what they should have forgotten."""

from __future__ import annotations

import pytest

from mmiotools.engine.mmu import PAGE_SIZE, PAGING, PF_PROTECTION, PF_WRITE, TLB_SIZE, Mm, PageTable, Tlb
from mmiotools.trace.intervals import OverlapError


@pytest.fixture
def table() -> PageTable:
    table = PageTable()
    table.map(0x100, 0x50, 4)
    table.map(0x200, 0x80, 1, writable=False)
    return table


def test_walk_adds_the_offset_to_the_frame(table: PageTable) -> None:
    assert Tlb().translate(Mm(table), 0x102_345, False) == 0x52_345


@pytest.mark.parametrize("virt", [0xFF_FFF, 0x104_000, 0])
def test_a_page_in_no_mapping_faults(table: PageTable, virt: int) -> None:
    assert Tlb().translate(Mm(table), virt, True) == ~PF_WRITE


def test_a_page_that_is_not_present_faults(table: PageTable) -> None:
    table.entry(0x101).present = False
    assert Tlb().translate(Mm(table), 0x101_004, False) == ~0
    assert Tlb().translate(Mm(table), 0x100_004, False) == 0x50_004


def test_write_to_a_read_only_page_is_a_protection_fault(table: PageTable) -> None:
    tlb = Tlb()
    assert tlb.translate(Mm(table), 0x200_000, False) == 0x80_000
    assert tlb.translate(Mm(table), 0x200_000, True) == ~(PF_PROTECTION | PF_WRITE)


def test_a_stale_translation_works_until_it_is_flushed(table: PageTable) -> None:
    tlb = Tlb()
    tlb.translate(Mm(table), 0x100_000, False)
    table.entry(0x100).present = False
    assert tlb.translate(Mm(table), 0x100_008, False) == 0x50_008
    tlb.flush(0x100)
    assert tlb.translate(Mm(table), 0x100_008, False) == ~0


def test_an_absent_page_is_not_remembered(table: PageTable) -> None:
    tlb = Tlb()
    table.entry(0x100).present = False
    assert tlb.translate(Mm(table), 0x100_000, False) == ~0
    table.entry(0x100).present = True
    assert tlb.translate(Mm(table), 0x100_000, False) == 0x50_000


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_flush_range(table: PageTable, count: int) -> None:
    tlb = Tlb()
    for page in range(0x100, 0x104):
        tlb.translate(Mm(table), page * PAGE_SIZE, False)
    tlb.flush_range(0x101, count)
    kept = {page for page in range(0x100, 0x104) if page in tlb}
    assert kept == {page for page in range(0x100, 0x104) if not 0x101 <= page < 0x101 + count}
    tlb.flush_all()
    assert 0x100 not in tlb


def test_overlapping_mappings_are_refused(table: PageTable) -> None:
    with pytest.raises(OverlapError):
        table.map(0x103, 0x90, 1)


def test_unmap_takes_the_whole_mapping_and_its_entries(table: PageTable) -> None:
    table.entry(0x102).present = False
    assert table.unmap(0x101) == (0x100, 4)
    assert table.entry(0x102) is None
    with pytest.raises(KeyError):
        table.unmap(0x101)
    table.map(0x100, 0x60, 4)
    assert table.entry(0x102).present


def test_a_mapping_of_32_gib_makes_no_entries_until_asked() -> None:
    table = PageTable()
    pages = (32 << 30) // PAGE_SIZE
    table.map(0x1000, 0, pages)
    assert table.entry(0x1000 + pages - 1).frame == pages - 1
    assert table.unmap(0x1000 + 5) == (0x1000, pages)
    assert table.entry(0x1000 + pages - 1) is None


def test_clearing_present_bits_costs_nothing_a_page() -> None:
    table = PageTable()
    pages = (32 << 30) // PAGE_SIZE
    table.map(0x1000, 0, pages)
    table.entry(0x1002)
    table.set_present(0x1001, pages - 2, False)
    assert len(table.entries) == 1
    found = [table.entry(page).present for page in (0x1000, 0x1001, 0x1002, 0x1000 + pages - 2, 0x1000 + pages - 1)]
    assert found == [True, False, False, False, True]
    table.set_present(0x1001, pages - 2, True)
    assert table.entry(0x1001).present and table.entry(0x1000 + pages - 2).present
    assert table.unmap(0x1000) == (0x1000, pages)


def test_a_large_page_has_one_present_bit() -> None:
    table = PageTable()
    table.map(0x400, 0x800, 0x400, shift=21)
    table.set_present(0x410, 1, False)
    assert not table.entry(0x5FF).present
    assert table.entry(0x600).present
    assert table.entry(0x5FF) is table.entry(0x400)
    table.set_present(0x410, 1, True)
    assert Tlb().translate(Mm(table), 0x5FF_123, False) == 0x9FF_123
    with pytest.raises(ValueError):
        table.map(0x2001, 0, 0x200, shift=21)


def test_a_directory_has_the_entries_of_its_time_until_they_are_synced() -> None:
    table = PageTable(PAGING["i386"])
    table.map(0xE0800, 0, 1)
    mm = Mm(table)
    table.map(0xE0C00, 0x50, 1)
    assert mm.has(0xE0800_000) and not mm.has(0xE0C00_000)
    assert Tlb().translate(mm, 0xE0C00_000, False) == ~0
    assert mm.sync(0xE0C00_000) and not mm.sync(0xE1000_000)
    assert Tlb().translate(mm, 0xE0C00_004, False) == 0x50_004


def test_a_tlb_forgets_the_oldest(table: PageTable) -> None:
    wide = PageTable()
    wide.map(0, 0, TLB_SIZE + 1)
    tlb, mm = Tlb(), Mm(wide)
    for page in range(TLB_SIZE + 1):
        tlb.translate(mm, page * PAGE_SIZE, False)
    assert 0 not in tlb and 1 in tlb and TLB_SIZE in tlb
