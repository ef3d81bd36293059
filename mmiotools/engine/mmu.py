"""Page tables, page directories that are synced lazily, and the translation buffer of a CPU.

Two kinds of paging: `i386` (two levels, no PAE: a directory entry spans 4 MiB) and `x86_64` (a top-level entry spans
512 GiB). The kernel's page tables exist once, in the reference (init_mm); a process has a directory of its own, whose
entries for kernel addresses are copied from the reference when somebody gets round to it.

A mapping is kept as ranges; a page has an entry of its own once somebody asks for it, so that large mappings cost
nothing until their pages are touched or changed.
"""

from __future__ import annotations

from mmiotools.errors import UsageError
from mmiotools.trace.intervals import IntervalIndex
from mmiotools.typed import NamedTuple

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
OFFSET_MASK = PAGE_SIZE - 1

#: Bits of the error code that the CPU gives with a page fault.
PF_PROTECTION = 1
PF_WRITE = 2

#: Bits of an entry. The frame's address fills the bits from PAGE_SHIFT up.
PRESENT, WRITABLE, ACCESSED, DIRTY, LARGE = 1, 2, 1 << 5, 1 << 6, 1 << 7
_BITS = OFFSET_MASK

#: Translations that a CPU remembers, and page table entries that are kept although they say what their range says.
TLB_SIZE = 1536
KEEP_ENTRIES = 1 << 16


class Paging(NamedTuple):
    """A way of paging. Shifts are powers of two in bytes.

    slot_shift      what one entry of the top-level directory spans
    large_shift     a large page
    top             the first address that there is not
    direct_map      where all RAM is mapped
    vmalloc_start   where ioremap begins to hand out addresses, `vmalloc_end` where it stops
    """

    name: str
    slot_shift: int
    large_shift: int
    top: int
    direct_map: int
    vmalloc_start: int
    vmalloc_end: int


PAGING = {
    "i386": Paging("i386", 22, 22, 1 << 32, 0xC0000000, 0xE0800000, 0xFF800000),
    "x86_64": Paging("x86_64", 39, 21, 1 << 64, 0xFFFF888000000000, 0xFFFFC90000000000, 0xFFFFE90000000000),
}


def choose_paging(name: str) -> Paging:
    """The kind of that name. Raises UsageError."""
    if name not in PAGING:
        raise UsageError(f"no machine is called '{name}'; there are: {', '.join(PAGING)}")
    return PAGING[name]


class Pte:
    """The entry of one page, `word`: flag bits below PAGE_SHIFT, the address of the frame above.

    page    number of its first 4 KiB page; shift   of its size in bytes
    """

    __slots__ = ("page", "shift", "word")

    def __init__(self, page: int, word: int, shift: int = PAGE_SHIFT) -> None:
        self.page = page
        self.word = word
        self.shift = shift

    @property
    def present(self) -> bool:
        """The present bit."""
        return bool(self.word & PRESENT)

    @present.setter
    def present(self, value: bool) -> None:
        self.word = self.word | PRESENT if value else self.word & ~PRESENT

    @property
    def writable(self) -> bool:
        """The writable bit."""
        return bool(self.word & WRITABLE)

    @property
    def frame(self) -> int:
        """Number of the first 4 KiB frame."""
        return self.word >> PAGE_SHIFT

    @property
    def count(self) -> int:
        """How many 4 KiB pages it spans."""
        return 1 << self.shift - PAGE_SHIFT


class _Range(NamedTuple):
    """Pages that look alike. `word` is the entry of the first page of the mapping, `first` its number."""

    first: int
    pages: int
    word: int
    shift: int


class PageTable:
    """The kernel's page tables, by page number (virtual address >> 12)."""

    def __init__(self, paging: Paging = PAGING["x86_64"]) -> None:
        self.paging = paging
        #: Top-level directory entries that are there, with the number of mappings in each.
        self.slots: dict[int, int] = {}
        #: By 4 KiB page number; a large page may be here under several.
        self.entries: dict[int, Pte] = {}
        self._ranges: IntervalIndex[_Range] = IntervalIndex()
        self._slot_shift = paging.slot_shift - PAGE_SHIFT

    def map(self, page: int, frame: int, count: int, *, writable: bool = True, shift: int = PAGE_SHIFT) -> None:
        """Map `count` 4 KiB pages from `page` to the frames from `frame`, in pages of 1 << shift bytes.

        Raises OverlapError when one is mapped already, ValueError when a large page would not be aligned.
        """
        if (page | frame | count) & (1 << shift - PAGE_SHIFT) - 1:
            raise ValueError(f"pages of {1 << shift:#x} bytes need alignment")
        word = frame << PAGE_SHIFT | PRESENT | (WRITABLE if writable else 0) | (LARGE if shift > PAGE_SHIFT else 0)
        self._ranges.insert(page, page + count, _Range(page, count, word, shift))
        for slot in range(page >> self._slot_shift, (page + count - 1 >> self._slot_shift) + 1):
            # A directory entry stays when the last mapping under it goes, as the kernel's do.
            self.slots[slot] = self.slots.get(slot, 0) + 1

    def unmap(self, page: int) -> tuple[int, int]:
        """Take out the whole mapping that `page` lies in; (first page, count). Raises KeyError when there is none."""
        found = self._ranges.stab(page)
        if not found:
            raise KeyError(page)
        first, count = found[0].value[:2]
        for piece in list(self._ranges.overlapping(first, first + count)):
            self._ranges.remove(piece)
        for number in self._touched(first, count):
            del self.entries[number]
        return first, count

    def entry(self, page: int) -> Pte | None:
        """The entry of a page, to be read or changed in place; None when the page is in no mapping."""
        pte = self.entries.get(page)
        if pte is not None:
            return pte
        found = self._ranges.stab(page)
        if not found:
            return None
        first, _, word, shift = found[0].value
        if len(self.entries) >= KEEP_ENTRIES:
            self._forget()
        head = page & -1 << shift - PAGE_SHIFT
        pte = self.entries.get(head)
        if pte is None:
            pte = self.entries[head] = Pte(head, word + (head - first << PAGE_SHIFT), shift)
        self.entries[page] = pte
        return pte

    def span(self, page: int) -> tuple[int, int]:
        """First page and pages of the entry that a page is in, which is not made for it; a page of its own if none."""
        found = self._ranges.stab(page)
        count = 1 << found[0].value.shift - PAGE_SHIFT if found else 1
        return page & -count, count

    def first_unmapped(self, first: int, count: int) -> int | None:
        """The first of `count` pages from `first` that no mapping holds, None when all are mapped."""
        at = first
        for piece in self._ranges.overlapping(first, first + count):
            if piece.start > at:
                return at
            at = piece.end
        return at if at < first + count else None

    def set_present(self, first: int, count: int, present: bool) -> None:
        """Set or clear the present bit of the mapped pages among `count` from `first`, whole large pages each.

        O(log n) and the entries touched so far, however many pages these are.
        """
        end = first + count
        for start, stop, value in list(self._ranges.overlapping(first, end)):
            size = 1 << value.shift - PAGE_SHIFT
            low, high = max(start, first & -size), min(stop, end + size - 1 & -size)
            word = value.word | PRESENT if present else value.word & ~PRESENT
            for number in self._touched(low, high - low):
                self.entries[number].present = present
            if word == value.word:
                continue
            self._ranges.remove(next(i for i in self._ranges.stab(start) if i.value is value))
            pieces = ((start, low, value), (low, high, value._replace(word=word)), (high, stop, value))
            for begin, over, piece in pieces:
                if begin < over:
                    self._ranges.insert(begin, over, piece)

    def _touched(self, first: int, count: int) -> list[int]:
        """Pages among `count` from `first` that have an entry of their own."""
        if count < len(self.entries):
            return [number for number in range(first, first + count) if number in self.entries]
        return [number for number in self.entries if first <= number < first + count]

    def _forget(self) -> None:
        """Drop the entries that say no more than their ranges."""
        kept = {}
        for page, pte in self.entries.items():
            first, _, word, _ = self._ranges.stab(page)[0].value
            if (pte.word ^ word + (pte.page - first << PAGE_SHIFT)) & ~(ACCESSED | DIRTY):
                kept[page] = pte
        self.entries = kept


class Mm:
    """The page directory of one process, what cr3 points to: which entries of the reference it has so far."""

    __slots__ = ("shift", "slots", "table")

    def __init__(self, table: PageTable) -> None:
        self.table = table
        self.slots = set(table.slots)
        self.shift = table.paging.slot_shift

    def has(self, virt: int) -> bool:
        """Is the directory entry for this address there?"""
        return virt >> self.shift in self.slots

    def sync(self, virt: int) -> bool:
        """Copy the directory entry for this address from the reference; False when the reference has none."""
        slot = virt >> self.shift
        if slot not in self.table.slots:
            return False
        self.slots.add(slot)
        return True

    def sync_all(self) -> None:
        """Copy every entry."""
        self.slots |= self.table.slots.keys()


class Tlb:
    """What one CPU remembers of its walks. Only present translations are kept, as on x86.

    A stale entry works until it is flushed: whoever changes a page table entry has to flush. A page fault flushes the
    entry of its page as well (Intel SDM volume 3, 4.10.4.1).
    private     pages that this CPU alone sees as present, whatever the tables say: page → entry
    """

    __slots__ = ("_kept", "private")

    def __init__(self) -> None:
        #: page → (physical address of the page, bits of its entry)
        self._kept: dict[int, tuple[int, int]] = {}
        self.private: dict[int, int] = {}

    def __contains__(self, page: int) -> bool:
        return page in self._kept

    def fill(self, page: int, phys: int, bits: int) -> None:
        """Remember a page at the physical address `phys`, with the bits of its entry, as after a walk."""
        self._kept[page] = (phys, bits | PRESENT | ACCESSED | DIRTY)

    def flush(self, page: int) -> None:
        """Forget one page."""
        self._kept.pop(page, None)

    def flush_range(self, page: int, count: int) -> None:
        """Forget `count` pages from `page`."""
        if count < len(self._kept):
            for number in range(page, page + count):
                self._kept.pop(number, None)
        else:
            self._kept = {n: kept for n, kept in self._kept.items() if not page <= n < page + count}

    def flush_all(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def translate(self, mm: Mm, virt: int, write: bool) -> int:
        """Physical address of `virt`, from memory or by a walk from `mm`; for a page fault, its error code (PF_ bits)
        inverted, which is negative.
        """
        page = virt >> PAGE_SHIFT
        kept = self._kept.get(page)
        if kept is not None:
            if not write or kept[1] & DIRTY:
                return kept[0] | virt & OFFSET_MASK
            del self._kept[page]
        # From here on a walk.
        word = self.private.get(page) if self.private else None
        if word is None:
            pte = None
            if virt >> mm.shift in mm.slots:
                pte = mm.table.entries.get(page) or mm.table.entry(page)
            if pte is None or not pte.word & PRESENT:
                return ~PF_WRITE if write else ~0
            if write and not pte.word & WRITABLE:
                return ~(PF_WRITE | PF_PROTECTION)
            pte.word |= ACCESSED | DIRTY if write else ACCESSED
            word = pte.word + (page - pte.page << PAGE_SHIFT)
        elif write:
            if not word & WRITABLE:
                return ~(PF_WRITE | PF_PROTECTION)
            word |= DIRTY
        if len(self._kept) >= TLB_SIZE:
            del self._kept[next(iter(self._kept))]
        self._kept[page] = (word & ~_BITS, word & _BITS)
        return word & ~_BITS | virt & OFFSET_MASK
