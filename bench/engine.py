"""Measures the fault engine: its speed, what it loses, how it scales: python bench/engine.py [PART]... [OPTIONS].

Prints Markdown. Rounds are interleaved; only the ratios travel to other machines. The losses do not depend on the
machine at all.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busy_driver import ACCESSES, probe
from measure import Command, Others, about, in_turn, run, table
from probes import BASE, PAGE, SEED, micro, probes

from mmiotools.devices.card import Card
from mmiotools.devices.nv_card import NvCard
from mmiotools.engine.instructions import Load
from mmiotools.engine.interface import Device
from mmiotools.engine.kmmio import POLICIES, Kmmio
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmu import PAGE_SHIFT, PAGING
from mmiotools.engine.probes import Probe
from mmiotools.engine.quirks import COMPATS
from mmiotools.engine.schedule import EXPLORE_LIMIT, Chooser, explore
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import ENGINES, OFF, Setup
from mmiotools.engine.truth import Checker, Truth
from mmiotools.errors import EngineFailure
from mmiotools.events import Event, Kind
from mmiotools.record import make_plan, record_to
from mmiotools.trace.gather import gather
from mmiotools.trace.header import Bar, PciDevice

ROOT = Path(__file__).resolve().parent.parent

#: Where the cards of this file have their registers: in a machine with a kernel, and in one without.
WINDOW, WINDOW_SIZE = 0xE0000000, 0x1000000
BUS = 1 << 40
CPUS = 4
#: Probes registered for the fault path, accesses that are timed with them, and a large probe.
COUNTS = (10, 1_000, 100_000)
SWEEP = 20_000
HUGE = 32 << 30
LARGE_SHIFT = PAGING["x86_64"].large_shift
PARTS = ("speed", "losses", "index")


class Plain(Card):
    """All registers read as all ones; it keeps its log of accesses."""

    def __init__(self, start: int = WINDOW, size: int = WINDOW_SIZE) -> None:
        super().__init__(PciDevice(0x0108, 0x1234, 0x5678, 11, (Bar(0, start, size),)))


class Trivial(Plain):
    """Does nothing at all, so that what is measured is the machine and the engine."""

    def read(self, region: str, offset: int, width: int) -> int:
        return 0

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        pass


# -- speed ------------------------------------------------------------------------------------------------------


def driven(card: Callable[[], Device], engine: str) -> float:
    """Accesses a second of the busy driver, in this process."""
    emit, flush = gather(lambda batch: None, Event(Kind.HEADER))
    device = card()
    gc.collect()
    began = time.perf_counter()
    outcome = run_driver(probe, device, emit=emit, setup=Setup(engine=engine))
    flush()
    took = time.perf_counter() - began
    if outcome.error is not None or outcome.accesses != ACCESSES:
        raise SystemExit(f"the driver did not come to its end: {outcome.error}")
    return ACCESSES / took


def recorded(engine: str, made: Path) -> float:
    """Accesses a second of the busy driver, of a whole `mmiotools record` that writes to a file."""
    words = [sys.executable, "-m", "mmiotools", "record", "-q", str(ROOT / "bench" / "busy_driver.py"), "-o", str(made)]
    return ACCESSES / run(Command("", [*words, "--engine", engine])).wall


def speed(rounds: int) -> None:
    """What the engine costs the driver."""
    with tempfile.TemporaryDirectory(prefix="mmiotools-bench-") as folder:
        made = Path(folder) / "busy.mmio"
        cases: tuple[tuple[str, Callable[[str], float]], ...] = (
            ("in process, a card that does nothing", partial(driven, Trivial)),
            ("in process, `nv-card`", partial(driven, NvCard)),
            ("whole processes, `nv-card`, into a .mmio file", lambda engine: recorded(engine, made)),
        )
        for name, work in cases:
            table(name, "accesses a second", "of `--engine off`")
            speeds = dict(zip(ENGINES, in_turn([partial(work, engine) for engine in ENGINES], rounds), strict=True))
            for engine in (OFF, *POLICIES):
                ratios = [a / b for a, b in zip(speeds[engine], speeds[OFF], strict=True)]
                middle = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"| `{engine}` | {statistics.median(speeds[engine]):,.0f} | {middle} |", flush=True)
            print(flush=True)


# -- losses -----------------------------------------------------------------------------------------------------


def ending(outcome: Outcome) -> str:
    """How a run ended, with the quirk that ended it; "" if it was its own end."""
    error = outcome.error
    if error is None:
        return ""
    if not isinstance(error, EngineFailure):
        raise SystemExit(f"the driver failed, and not through the engine: {error}")
    name = "Oops" if type(error) is EngineFailure else type(error).__name__
    return f"{name} ({error.quirk})" if error.quirk else name


def clean(verdicts: Sequence[Truth]) -> bool:
    """Nothing lost, wrong or invented on any CPU?"""
    return all(truth.clean for truth in verdicts)


def four_cpus(compat: str, engine: str, seed: int) -> tuple[Outcome, list[Truth]]:
    """`record --check nv-smp --cpus 4` of one schedule."""
    plan = make_plan("nv-smp", seed=seed, options={"cpus": CPUS, "compat": compat, "engine": engine})
    device = plan.device()
    checker = Checker(device.pci)
    outcome = record_to(lambda batch: None, plan, device=device, watch=checker.add)
    return outcome, list(checker.verdict_by_cpu(outcome.seen, outcome.initiators).values())


def counted(counts: Counter[str]) -> str:
    """For a cell."""
    return ", ".join(f"{name}: {count:,}" for name, count in counts.most_common())


def losses(seeds: int) -> None:
    """Four CPUs on one page."""
    heads = ("accesses", "recorded", "lost", "wrong", "invented", "runs brought down", "let through by")
    table(f"{CPUS} CPUs on one page, {seeds} schedules", "policy", *heads)
    for compat in COMPATS:
        for engine in POLICIES:
            sums, ends, causes = Counter[str](), Counter[str](), Counter[str]()
            for seed in range(seeds):
                outcome, verdicts = four_cpus(compat, engine, seed)
                for truth in verdicts:
                    wrong, invented = len(truth.wrong), len(truth.invented)
                    sums.update(lost=len(truth.lost), wrong=wrong, invented=invented)
                    sums.update(right=truth.right, recorded=truth.right + wrong + invented)
                sums.update(made=len(outcome.initiators))
                causes.update(outcome.causes)
                ends.update(filter(None, [ending(outcome)]))
            cells = [f"{sums[name]:,}" for name in ("made", "recorded", "lost", "wrong", "invented")]
            told = counted(ends), counted(+causes)
            print(f"| `{compat}` | `{engine}` | {' | '.join([*cells, *told])} |", flush=True)
    print(flush=True)


def small_case(setup: Setup, chooser: Chooser) -> tuple[bool, str]:
    """Two CPUs, each reads one register of the same page: is everything recorded, and how did it end?"""

    def driver(kernel: Any) -> Generator[Any, Any, int]:
        base = kernel.ioremap(WINDOW, PAGE)
        other = kernel.start(1, read(base + 4))
        yield from read(base)
        yield other.done
        return 0

    def read(virt: int) -> Generator[Any, Any, None]:
        yield Load(virt, 4)

    device = Plain()
    checker = Checker(device.pci)
    outcome = run_driver(driver, device, emit=checker.add, setup=setup, chooser=chooser)
    return clean(list(checker.verdict_by_cpu(outcome.seen, outcome.initiators).values())), ending(outcome)


def exhaustive() -> None:
    """Every interleaving of a small case."""
    table("2 CPUs, 1 read each, one page", "policy", "interleavings", "with losses", "brought down", "s")
    for compat in COMPATS:
        for engine in POLICIES:
            setup = Setup(cpus=2, compat=compat, engine=engine)
            began = time.perf_counter()
            found = list(explore(partial(small_case, setup)))
            took = time.perf_counter() - began
            losing = sum(not complete for complete, _ in found)
            ends = Counter(end for _, end in found if end)
            number = f"{len(found):,}" + (" and more" if len(found) == EXPLORE_LIMIT else "")
            print(f"| `{compat}` | `{engine}` | {number} | {losing:,} | {counted(ends)} | {took:.2f} |", flush=True)
    print(flush=True)


# -- many probes ------------------------------------------------------------------------------------------------


class Rig:
    """A machine with an engine and a card behind `pages` mapped pages from `first`, without a kernel."""

    def __init__(self, policy: str, first: int, pages: int, shift: int = PAGE_SHIFT) -> None:
        self.machine = Machine()
        self.kmmio = Kmmio(self.machine, policy)
        self.cpu = self.machine.cpus[0]
        self.hits = 0
        self.machine.bus.attach(Trivial(BUS, pages << PAGE_SHIFT))
        self.machine.init_mm.map(first, BUS >> PAGE_SHIFT, pages, shift=shift)
        self.cpu.mm.sync_all()

    def probe(self, start: int, end: int) -> Probe:
        """Register a probe that counts its hits."""
        made = Probe(start, end - start, None, self._hit)
        self.kmmio.register(made)
        return made

    def load(self, virt: int) -> None:
        """One instruction, with its fault."""
        self.machine.execute(self.cpu, Load(virt, 4))

    def _hit(self, probe: Probe, cpu: Any, access: Any) -> None:
        self.hits += 1

    def hit(self, wanted: int) -> None:
        """Nothing, or the end: so many accesses were seen by a probe."""
        if self.hits != wanted:
            raise SystemExit(f"{self.hits:,} of {wanted:,} accesses were seen: the speed means nothing")
        self.hits = 0


def fault_path(rounds: int) -> None:
    """An access to a probed register, with few and with many probes registered."""
    table("an access with its fault, µs", *(f"{count:,} probes" for count in COUNTS), "most to fewest")
    for policy in POLICIES:
        works = []
        for count in COUNTS:
            spans = probes(count)
            first = BASE >> PAGE_SHIFT
            rig = Rig(policy, first, (max(end for _, end in spans) >> PAGE_SHIFT) + 1 - first)
            for span in spans:
                rig.probe(*span)
            pick = random.Random(SEED).choice
            works.append(partial(faults, rig, [pick(spans)[0] for _ in range(SWEEP)]))
        gc.collect()
        medians = [statistics.median(times) for times in in_turn(works, rounds)]
        print(f"| `{policy}` | {' | '.join(map(micro, medians))} | **{medians[-1] / medians[0]:.2f}** |", flush=True)
    print(flush=True)


def faults(rig: Rig, asked: Sequence[int]) -> float:
    """Seconds for an access."""
    began = time.perf_counter()
    for virt in asked:
        rig.load(virt)
    took = time.perf_counter() - began
    rig.hit(len(asked))
    return took / len(asked)


def crowded(rounds: int) -> None:
    """A thousand probes in one page, in random order."""
    table("1,000 probes in one page, µs each", "register", "access with its fault", "unregister")
    starts = [BASE + 4 * number for number in range(1_000)]
    random.Random(SEED).shuffle(starts)
    for policy in POLICIES:
        costs = in_turn([partial(crowd, policy, starts)], rounds)[0]
        cells = (micro(statistics.median(column) / len(starts)) for column in zip(*costs, strict=True))
        print(f"| `{policy}` | {' | '.join(cells)} |", flush=True)
    print(flush=True)


def crowd(policy: str, starts: Sequence[int]) -> list[float]:
    """Seconds to register, to access and to unregister all."""
    rig = Rig(policy, BASE >> PAGE_SHIFT, 1)
    times = [time.perf_counter()]
    made = [rig.probe(start, start + 4) for start in starts]
    times.append(time.perf_counter())
    for start in starts:
        rig.load(start)
    times.append(time.perf_counter())
    for one in made:
        rig.kmmio.unregister(one)
    times.append(time.perf_counter())
    rig.hit(len(starts))
    if rig.kmmio.active or rig.kmmio.probes.armed(BASE >> PAGE_SHIFT):
        raise SystemExit("the page is still armed")
    return [after - before for before, after in pairwise(times)]


def huge(rounds: int) -> None:
    """One probe over 32 GiB."""
    heads = ("register, ms", "10,000 accesses in pages of their own, µs each", "unregister, ms")
    table("one probe over 32 GiB", "its pages", *heads, "peak of memory: register, then accesses, KiB")
    for policy in POLICIES:
        for shift in (PAGE_SHIFT, LARGE_SHIFT):
            work = partial(huge_once, policy, shift)
            costs = in_turn([work], rounds)[0]
            register, access, unregister = (statistics.median(column) for column in zip(*costs, strict=True))
            tracemalloc.start()
            peaks: list[float] = []
            work(peaks)
            tracemalloc.stop()
            cells = f"{register * 1e3:.3f} | {micro(access)} | {unregister * 1e3:.3f}"
            size, more = f"{1 << shift >> 10:,} KiB", [f"{peak - peaks[0]:,.0f}" for peak in peaks[1:]]
            print(f"| `{policy}` | {size} | {cells} | {', '.join(more)} |", flush=True)
    print(flush=True)


def huge_once(policy: str, shift: int, peaks: list[float] | None = None) -> tuple[float, float, float]:
    """Seconds to register, for an access, and to unregister. Into `peaks` go the peaks of memory so far, in KiB: before
    the first, behind it and behind the accesses.
    """

    def note() -> None:
        if peaks is not None:
            peaks.append(tracemalloc.get_traced_memory()[1] / 1024)

    start = 1 << 40
    rig = Rig(policy, start >> PAGE_SHIFT, HUGE >> PAGE_SHIFT, shift)
    pages = random.Random(SEED).sample(range(HUGE >> PAGE_SHIFT), 10_000)
    asked = [start + (page << PAGE_SHIFT) for page in pages]
    tracemalloc.reset_peak()
    note()
    began = time.perf_counter()
    made = rig.probe(start, start + HUGE)
    registered = time.perf_counter() - began
    note()
    access = faults(rig, asked)
    note()
    began = time.perf_counter()
    rig.kmmio.unregister(made)
    return registered, access, time.perf_counter() - began


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all if none is given")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds that count")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="schedules for the losses")
    given = parser.parse_args()
    if given.rounds < 1 or given.seeds < 1:
        parser.error("takes at least one round and one seed")
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part '{min(unknown)}'; there are: {', '.join(PARTS)}")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    print(f"{given.rounds} rounds; {about()}.\n", flush=True)
    for name in given.parts or PARTS:
        others = Others()
        if name == "speed":
            speed(given.rounds)
        elif name == "losses":
            losses(given.seeds)
            exhaustive()
        else:
            fault_path(given.rounds)
            crowded(given.rounds)
            huge(given.rounds)
        print(f"Meanwhile others kept {others.processors():.2f} processors busy.\n", flush=True)


if __name__ == "__main__":
    main()
