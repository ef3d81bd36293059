"""Probes: ranges of virtual addresses whose accesses somebody wants to see, and the pages that are armed for them.

The interval index is the truth: what is probed, what overlaps, which pages are armed. Nothing is kept a page, so that
a probe costs the same whatever it spans.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from mmiotools.engine.cpu import Cpu, Operand
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, PageTable
from mmiotools.engine.quirks import Quirks
from mmiotools.errors import EngineFailure
from mmiotools.trace.intervals import Interval, IntervalIndex, OverlapError
from mmiotools.typed import Callable, Iterator, NamedTuple, TypeAlias


class ProbeError(Exception):
    """A probe that cannot be registered or unregistered; `errno` is the kernel's number, positive."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.errno = number


class Access(NamedTuple):
    """An access that a probe saw. `write` is None when the instruction was not understood: then `width` and `value`
    are None too, and `opcode` has its first bytes. Times are virtual nanoseconds.
    """

    write: bool | None
    virt: int
    width: int | None
    value: int | None
    time: int
    opcode: bytes = b""


@dataclass(eq=False, slots=True)
class Probe:
    """Half-open range [addr, addr + length) of virtual addresses, with what to call.

    pre_handler     before the access, with the operand that touches the probe; it may begin before the probe
    post_handler    after the access, with what it was
    """

    addr: int
    length: int
    pre_handler: PreHandler | None = None
    post_handler: PostHandler | None = None


PreHandler: TypeAlias = Callable[[Probe, Cpu, Operand], None]
PostHandler: TypeAlias = Callable[[Probe, Cpu, Access], None]


class ProbeSet:
    """The probes of one machine and the pages armed for them.

    refused     probes that were counted although they were not taken (a quirk)
    grants      pages that can be armed for one probe before memory runs out, None for any number
    log         what the kernel would print
    """

    def __init__(self, table: PageTable, quirks: Quirks) -> None:
        self.quirks = quirks
        self.refused = 0
        self.grants: int | None = None
        self.log: list[str] = []
        self._table = table
        self._index: IntervalIndex[Probe] = IntervalIndex(overlaps=quirks.overlap_start_only)
        #: Page numbers that are armed, once for each probe.
        self._armed: IntervalIndex[Probe] = IntervalIndex(overlaps=True)
        #: Probes that see nothing: of no length, or past the top.
        self._blind: list[Probe] = []

    def __len__(self) -> int:
        return len(self._index) + len(self._blind)

    def __iter__(self) -> Iterator[Probe]:
        """By address, oldest first."""
        yield from (interval.value for interval in self._index)
        yield from self._blind

    def covering(self, address: int) -> Probe | None:
        """The probe at an address; of several (a quirk) the newest."""
        found = self._index.stab(address)
        return found[-1].value if found else None

    def overlapping(self, start: int, end: int) -> Iterator[Probe]:
        """The probes that share an address with [start, end), by address."""
        return (interval.value for interval in self._index.overlapping(start, end))

    def sole(self, page: int) -> Probe | None:
        """The probe that covers a whole page alone, if there is one."""
        start = page << PAGE_SHIFT
        found = self._index.stab(start)
        if len(found) == 1 and found[0].end >= start + PAGE_SIZE:
            return found[0].value
        return None

    def armed(self, page: int) -> int:
        """For how many probes a page is armed."""
        return len(self._armed.stab(page))

    # -- adding and removing ------------------------------------------------------------------------------

    def add(self, probe: Probe) -> list[tuple[int, int]]:
        """Take a probe and clear the present bits of its pages, all or nothing; (first page, count) of each run.

        Raises ProbeError: EINVAL for an empty range or one past the top, EEXIST when it overlaps another probe,
        EFAULT when one of its pages is not mapped, ENOMEM when the pages cannot be noted.
        """
        quirks = self.quirks
        end = probe.addr + probe.length
        if probe.addr < 0 or probe.length <= 0 or end > self._table.paging.top:
            if not quirks.any_range:
                raise ProbeError(errno.EINVAL, f"no such range: {probe.length:#x} bytes from {probe.addr:#x}")
            self._blind.append(probe)
            return []
        interval = self._insert(probe, end + 1 if quirks.inclusive_end else end)
        runs: list[tuple[int, int]] = []
        left = self.grants
        for first, count in self._runs(probe):
            missing = self._table.first_unmapped(first, count)
            unit = self._table.span(first)[1]
            given = count if left is None else min(count, left * unit)
            if missing is None and given == count:
                left = None if left is None else left - -(-given // unit)
                runs.append((first, count))
                continue
            number, what = errno.ENOMEM, "no memory for its pages"
            if missing is not None:
                number, what, given = errno.EFAULT, f"page {missing << PAGE_SHIFT:#x} is not mapped", missing - first
            if not quirks.partial_registration:
                self._index.remove(interval)
                raise ProbeError(number, f"probe at {probe.addr:#x}: {what}")
            self.log.append("kmmio: Unable to set page fault")
            if given:
                runs.append((first, given))
            break
        for first, count in runs:
            self._armed.insert(first, first + count, probe)
            self._table.set_present(first, count, False)
        return runs

    def remove(self, probe: Probe) -> list[tuple[int, int]]:
        """Let a probe go; runs of pages that no other probe needs and that are present again. ProbeError: ENOENT."""
        if probe in self._blind:
            self._blind.remove(probe)
            return []
        found = next((i for i in self._index.stab(probe.addr) if i.value is probe), None)
        if found is None:
            raise ProbeError(errno.ENOENT, f"no such probe at {probe.addr:#x}")
        self._index.remove(found)
        freed: list[tuple[int, int]] = []
        ours = [i for first, count in self._runs(probe) for i in self._armed.overlapping(first, first + count)]
        for interval in ours:
            if interval.value is probe:
                self._armed.remove(interval)
                freed.extend(self._unarmed(interval.start, interval.end))
        for first, count in freed:
            self._table.set_present(first, count, True)
        return freed

    def _insert(self, probe: Probe, end: int) -> Interval[Probe]:
        quirks = self.quirks
        try:
            start = probe.addr & ~OFFSET_MASK if quirks.probe_per_page else probe.addr
            other = self._index.stab(start) or (self._index.stab(probe.addr) if quirks.overlap_start_only else ())
            if other and (quirks.probe_per_page or quirks.overlap_start_only):
                raise OverlapError(other[0])
            return self._index.insert(probe.addr, end, probe)
        except OverlapError as error:
            self.refused += quirks.count_before_check
            raise ProbeError(errno.EEXIST, f"probe at {probe.addr:#x} {error}") from None

    def _runs(self, probe: Probe) -> list[tuple[int, int]]:
        """The pages to arm, as (first, count): all that the probe touches, but for the quirks."""
        first, last = probe.addr >> PAGE_SHIFT, probe.addr + probe.length - 1 >> PAGE_SHIFT
        pte = self._table.entry(first)
        large = pte is not None and pte.shift > PAGE_SHIFT
        if large and self.quirks.large_page_bug:
            raise EngineFailure(
                f"kernel BUG: large pages are not supported: {probe.addr:#x}", quirk="large-page-bug"
            )
        if self.quirks.last_page_missed:
            last = first + (probe.length - 1 >> PAGE_SHIFT)
        if not large or not self.quirks.large_page_stride:
            # A large page has one present bit: it is armed as a whole.
            first, (head, count) = self._table.span(first)[0], self._table.span(last)
            return [(first, head + count - first)]
        assert pte is not None
        runs = []
        for page in range(pte.page, last + 1, pte.count):
            here = self._table.entry(page)
            runs.append((page, 1 if here is None else here.count))
        return runs

    def _unarmed(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs of pages in [start, end) that nobody needs armed."""
        at = start
        for interval in self._armed.overlapping(start, end):
            if interval.start > at:
                yield at, interval.start - at
            at = max(at, interval.end)
        if at < end:
            yield at, end - at
