"""Scenes: small situations in which one defect or another shows, each giving one plain value for a setup.

A scene takes the fields of a Setup, and is a whole run of a driver, or all the runs that differ in their schedule.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from typing import Any

from quirk_helpers import BAR, PAGE, Card, Program, on_all, reads, run

from mmiotools.engine.cpu import IF
from mmiotools.engine.instructions import Load, PopFlags
from mmiotools.engine.mmu import WRITABLE
from mmiotools.engine.probes import Probe, ProbeError
from mmiotools.engine.schedule import Chooser, explore
from mmiotools.events import Kind

#: A part of the BAR that no scene uses: with `only=NOTHING` the tracer registers no probe of its own.
NOTHING = ((BAR + 0x3FF000, BAR + 0x3FFFFF),)


def offered(ranges: list[tuple[int, int]], **setup: Any) -> list[str]:
    """What registering probes for (offset, length) gives, one after the other: "ok" or the name of the error."""
    answers: list[str] = []

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, 8 * PAGE)
        for offset, length in ranges:
            try:
                kernel.tracer.kmmio.register(Probe(base + offset, length))
                answers.append("ok")
            except ProbeError as error:
                answers.append(errno.errorcode[error.errno])
        return 0

    run(probe, only=NOTHING, **setup)
    return answers


# -- registration -----------------------------------------------------------------------------------------------


def next_page(**setup: Any) -> str:
    """A probe that begins where another one ends."""
    return offered([(0, PAGE), (PAGE, PAGE)], **setup)[1]


def enclosing(**setup: Any) -> str:
    """A probe around another one."""
    return offered([(PAGE, PAGE), (0, 3 * PAGE)], **setup)[1]


def same_page(**setup: Any) -> str:
    """Two probes in one page, 64 bytes apart."""
    return offered([(0, 0x40), (0x80, 0x40)], **setup)[1]


def no_length(**setup: Any) -> str:
    """A probe of no length."""
    return offered([(0, 0)], **setup)[0]


def counted(**setup: Any) -> tuple[int, bool]:
    """Four probes, the first three offered twice: how many are counted, and does the engine stop when they go?"""
    told: list[tuple[int, bool]] = []

    def probe(kernel: Any) -> int:
        kmmio, base = kernel.tracer.kmmio, kernel.ioremap(BAR, 8 * PAGE)
        probes = [Probe(base + 2 * n * PAGE, PAGE) for n in range(4)]
        for one in probes:
            kmmio.register(one)
        for one in probes[:3]:
            try:
                kmmio.register(Probe(one.addr, PAGE))
            except ProbeError:
                continue
        count = len(kmmio.probes) + kmmio.probes.refused
        for one in probes:
            kmmio.unregister(one)
        told.append((count, kmmio.active))
        return 0

    run(probe, only=NOTHING, **setup)
    return told[0]


def unaligned(**setup: Any) -> int:
    """Two unaligned mappings, one page and 16 bytes long: how many of six reads are recorded."""

    def probe(kernel: Any) -> int:
        first, second = kernel.ioremap(BAR + 0x800, PAGE), kernel.ioremap(BAR + 4 * PAGE + 8, 0x10)
        for offset in (0, 4, 0x7FC, 0x800):
            kernel.readl(first + offset)
        for offset in (0, 8):
            kernel.readl(second + offset)
        return 0

    return len(run(probe, **setup).rows)


#: Reads in a mapping of 2 MiB and 64 KiB, three of them in 4 KiB pages behind the large one and not the first of these.
TAIL = (0x201000, 0x208000, 0x20F000)
HUGE = reads(0, 0x100000, 0x1FF000, 0x200000, *TAIL, length=0x210000)


def huge(**setup: Any) -> str | list[int]:
    """A mapping of 2 MiB and 64 KiB: how it ended, or which of seven reads were not recorded."""
    here = run(HUGE, large_pages=True, machine="x86_64", **setup)
    if here.outcome.error is not None:
        return here.ending
    return sorted({row[1] for row in here.seen} - {row[1] for row in here.rows})


def short_of_memory(**setup: Any) -> tuple[int, bool]:
    """Memory for one page of three: how many of three reads are recorded; is it said that the mapping has no probe?"""
    here = run(reads(0, PAGE, 2 * PAGE, length=3 * PAGE), fail={"fault_page": -errno.ENOMEM}, **setup)
    return len(here.rows), any("are not recorded" in line for line in here.outcome.log)


def outside(**setup: Any) -> int:
    """A read in a probed page but outside the probe: how many are said to be missed."""
    return run(reads(0x100, 0x200), only=((BAR + 0x100, BAR + 0x10F),), **setup).outcome.missed


def known_before(**setup: Any) -> int:
    """A page that was read before it was probed: how many of two reads the probe sees."""
    seen: list[int] = []

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.readl(base)
        kernel.tracer.kmmio.register(Probe(base, PAGE, None, lambda probe, cpu, access: seen.append(access.virt)))
        kernel.readl(base)
        kernel.readl(base + 4)
        return 0

    run(probe, only=NOTHING, **setup)
    return len(seen)


def known_elsewhere(**setup: Any) -> int:
    """The same with the reads on another CPU, which knows the page: of all schedules, the most accesses that were made
    after the probe was taken, and not seen by it.
    """

    def once(chooser: Chooser) -> int:
        card, probed, told = Card(), [], []

        def body(kernel: Any, base: int, number: int) -> Program:
            kmmio = kernel.tracer.kmmio
            card.hooks[0] = lambda: probed.append(kmmio.probes.armed(base >> 12))
            if number:
                for _ in range(2):
                    yield Load(base, 4)
            else:
                yield None
                yield kmmio.register_steps(Probe(base, PAGE, None, lambda *seen: told.append(seen)))

        run(on_all(body), cpus=2, only=NOTHING, card=card, chooser=chooser, **setup)
        return sum(probed) - len(told)

    return max(explore(once))


def inverted(**setup: Any) -> int:
    """A page that is read, turned to another one, and read again: the offset that the second read goes to."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.readl(base)
        kernel.readl(kernel.tracer.kmmio.invert_map(base, BAR + 5 * PAGE + 0x10))
        return 0

    return run(probe, only=NOTHING, **setup).seen[1][1]


# -- steps ------------------------------------------------------------------------------------------------------


def straddle(**setup: Any) -> str:
    """One read over the border of two pages, on the first of two CPUs."""
    return run(reads(PAGE - 2), cpus=2, **setup).ending


def page_to_page(**setup: Any) -> str:
    """movs from one page to another, on the first of two CPUs."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, 4 * PAGE)
        kernel.copy(base + 2 * PAGE, base, 4)
        return 0

    return run(probe, cpus=2, **setup).ending


def forgotten_step(**setup: Any) -> tuple[str, int, bool]:
    """A read over the border of two pages, then one in each, on one CPU: how it ended; single steps that nobody took;
    are interrupts on afterwards?
    """
    here = run(reads(PAGE - 2, 0, PAGE), **setup)
    machine = here.kernel.machine
    return here.ending, machine.stray_steps, bool(machine.cpus[0].flags & IF)


def lagging_directory(**setup: Any) -> tuple[str, int]:
    """Reads in a mapping whose directory entry the process does not have: how it ended, and after how many faults."""

    def probe(kernel: Any) -> int:
        # The first 4 MiB of the vmalloc area are known to everybody.
        kernel.ioremap(BAR, 0x300000)
        kernel.readl(kernel.ioremap(BAR + 0x300000, PAGE))
        return 0

    here = run(probe, machine="i386", directories="lazy", **setup)
    return here.ending, here.outcome.faults


def pair(probe: Callable[[Any], Any], **setup: Any) -> Counter[str]:
    """How a driver for two CPUs ends, over all schedules."""
    return Counter(explore(lambda chooser: run(probe, cpus=2, chooser=chooser, **setup).ending))


def _one_read(kernel: Any, base: int, number: int) -> Program:
    yield Load(base + 4 * number, 4)


def two_reads(**setup: Any) -> set[str]:
    """Two CPUs with one read each, in one page: all the ways in which it can end."""
    return set(pair(on_all(_one_read), **setup))


def sticky(**setup: Any) -> int:
    """The second CPU reads once while the first may be stepping, and 20 times when that has long ended: of all
    schedules, the most reads lost.
    """

    def once(chooser: Chooser) -> int:
        def probe(kernel: Any) -> Program:
            base = kernel.ioremap(BAR, PAGE)
            other = kernel.start(1, _one_read(kernel, base, 1))
            yield Load(base, 4)
            yield other.done
            later = kernel.start(1, _twenty(base))
            yield later.done
            return 0

        return run(probe, cpus=2, chooser=chooser, **setup).lost

    return max(explore(once))


def _twenty(base: int) -> Program:
    for n in range(20):
        yield Load(base + 8 * n, 4)


def gone_in_between(**setup: Any) -> set[str]:
    """A read while another CPU unregisters the probe, and a read after that: all the ways in which it can end."""

    def once(chooser: Chooser) -> str:
        def probe(kernel: Any) -> Program:
            base = kernel.ioremap(BAR, PAGE)
            other = kernel.start(1, unregister(kernel))
            yield Load(base, 4)
            yield other.done
            yield Load(base, 4)
            return 0

        def unregister(kernel: Any) -> Program:
            yield None
            kmmio = kernel.tracer.kmmio
            kmmio.unregister(next(iter(kmmio.probes)))

        error = run(probe, cpus=2, chooser=chooser, **setup).outcome.error
        return "ok" if error is None else "Oops"

    return set(explore(once))


def made_read_only(**setup: Any) -> set[bool]:
    """A read while another CPU makes the page read-only: all that the page table may say about writing afterwards."""

    def once(chooser: Chooser) -> bool:
        def body(kernel: Any, base: int, number: int) -> Program:
            pte = kernel.machine.init_mm.entry(base >> 12)
            if number:
                yield None
                pte.word &= ~WRITABLE
            else:
                yield Load(base, 4)
                told.append(pte)

        told: list[Any] = []
        run(on_all(body), cpus=2, chooser=chooser, **setup)
        return bool(told[0].writable)

    return set(explore(once))


def breakpoint(**setup: Any) -> tuple[int, int]:
    """A hardware breakpoint on a probed register: how often it was hit; events recorded."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.cpu.dr0 = base + 4
        kernel.readl(base + 4)
        kernel.readl(base + 8)
        return 0

    here = run(probe, **setup)
    return here.kernel.machine.breakpoints, len(here.rows)


def popf(**setup: Any) -> bool:
    """An instruction that reads its flags from a probed page, interrupts off: are they on afterwards?"""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.writel(0, base)
        kernel.run(PopFlags(base))
        return 0

    return bool(run(probe, **setup).kernel.cpu.flags & IF)


def read_only(**setup: Any) -> str:
    """A write to a probed page that is read-only: how it ends."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.machine.init_mm.entry(base >> 12).word &= ~WRITABLE
        kernel.writel(1, base)
        return 0

    return run(probe, **setup).ending


# -- what is recorded ---------------------------------------------------------------------------------------------


def rep_movs(**setup: Any) -> str:
    """rep movsl, eight rounds, from RAM to the card: the ops that are recorded."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        source, _ = kernel.dma_alloc(PAGE)
        kernel.rep_copy(base, source, 4, 8)
        return 0

    return "".join(row[0] for row in run(probe, **setup).rows)


def stamp(**setup: Any) -> bool:
    """A read that takes the card 50 us: does the event's time lie after that?"""
    card, times = Card(), []

    def slow() -> None:
        times.append(card.host.now())
        card.host.delay(50_000)  # type: ignore[attr-defined]

    card.hooks[0] = slow
    here = run(reads(0), card=card, **setup)
    event = next(e for e in here.events if e.kind is Kind.READ)
    assert event.time is not None
    return event.time >= times[0] + 50_000 - 1000
