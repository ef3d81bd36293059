"""Page tables with present bits, the translation buffer of a CPU, and the walk from a virtual to a physical address.

Pages are 4 KiB. A mapping is kept as one range; an entry of its own is made for a page when somebody asks for it,
so that a large mapping costs nothing until its pages are touched or changed.
"""

from __future__ import annotations

from typing import NamedTuple

from mmiotools.trace.intervals import Interval, IntervalIndex

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
OFFSET_MASK = PAGE_SIZE - 1

#: Bits of the error code that the CPU gives with a page fault.
PF_PROTECTION = 1
PF_WRITE = 2


class PageFault(Exception):
    """#PF. Its two args are the address of the first byte that could not be translated, and the error code (PF_ bits).

    There is one for every traced access, so it has no constructor of its own.
    """


class Pte:
    """The entry of one page: present bit, page frame number, writable bit."""

    __slots__ = ("frame", "present", "writable")

    def __init__(self, frame: int, present: bool = True, writable: bool = True) -> None:
        self.frame = frame
        self.present = present
        self.writable = writable


class _Range(NamedTuple):
    frame: int
    writable: bool


class PageTable:
    """The entries of one address space, by page number (virtual address >> 12)."""

    def __init__(self) -> None:
        self._entries: dict[int, Pte] = {}
        self._ranges: IntervalIndex[_Range] = IntervalIndex()

    def map(self, page: int, frame: int, count: int, *, writable: bool = True) -> None:
        """Map `count` pages from `page` to the frames from `frame`. Raises OverlapError when one is mapped already."""
        self._ranges.insert(page, page + count, _Range(frame, writable))

    def unmap(self, page: int) -> tuple[int, int]:
        """Take out the whole mapping that `page` lies in; (first page, count). Raises KeyError when there is none."""
        interval = self._range(page)
        if interval is None:
            raise KeyError(page)
        self._ranges.remove(interval)
        count = interval.end - interval.start
        if count < len(self._entries):
            for number in range(interval.start, interval.end):
                self._entries.pop(number, None)
        else:
            for number in [n for n in self._entries if interval.start <= n < interval.end]:
                del self._entries[number]
        return interval.start, count

    def entry(self, page: int) -> Pte | None:
        """The entry of a page, to be read or changed in place; None when the page is in no mapping."""
        pte = self._entries.get(page)
        if pte is None:
            interval = self._range(page)
            if interval is not None:
                start, _, (frame, writable) = interval
                pte = self._entries[page] = Pte(frame + page - start, writable=writable)
        return pte

    def _range(self, page: int) -> Interval[_Range] | None:
        found = self._ranges.stab(page)
        return found[0] if found else None


class Tlb:
    """What one CPU remembers of its walks. Only present translations are kept, as on x86.

    A stale entry works until it is flushed: whoever changes a page table entry has to flush.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, bool]] = {}

    def __contains__(self, page: int) -> bool:
        return page in self._kept

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

    def translate(self, table: PageTable, virt: int, write: bool) -> int:
        """Physical address of `virt`, from memory or by a walk through `table`. Raises PageFault."""
        page = virt >> PAGE_SHIFT
        kept = self._kept.get(page)
        if kept is None:
            pte = table.entry(page)
            if pte is None or not pte.present:
                raise PageFault(virt, PF_WRITE if write else 0)
            kept = self._kept[page] = (pte.frame << PAGE_SHIFT, pte.writable)
        if write and not kept[1]:
            raise PageFault(virt, PF_PROTECTION | PF_WRITE)
        return kept[0] | virt & OFFSET_MASK
