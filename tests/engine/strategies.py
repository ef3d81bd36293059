"""Whole runs at random: a machine and its tracer, mappings of a card, a program for each CPU, and a schedule."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from engine_card import BAR0, BAR0_SIZE, BAR1, BAR2, WideCard
from hypothesis import strategies as st

from mmiotools.engine.cpu import IF, Instruction
from mmiotools.engine.instructions import (
    FORMS,
    Alter,
    Compare,
    Copy,
    Fill,
    Load,
    LoadExtended,
    PopFlags,
    Store,
    StoreImmediate,
)
from mmiotools.engine.interface import CONFIG
from mmiotools.engine.kmmio import POLICIES
from mmiotools.engine.schedule import Script
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import Setup
from mmiotools.events import ACCESSES, Event, Kind

ALTERATIONS = ("add", "or", "and", "sub", "xor", "xchg")
PAGE = 0x1000

#: Where every CPU has a word to pop its flags from: a part of BAR1 that no mapping of `mappings` reaches.
FLAGS_AT = BAR1 + 0x3000

#: op, region, offset, width, value: as `Seen` has it.
Row = tuple[str, str, int, int | None, int | None]


class Mapping(NamedTuple):
    """What is ioremapped: `length` bytes from a physical address."""

    phys: int
    length: int


class Place(NamedTuple):
    """Where in the mappings: which one, about which offset; with `back`, so many bytes before the next page border."""

    mapping: int
    about: int
    back: int


class Action(NamedTuple):
    """Something that a program does. What of it counts depends on `verb`."""

    verb: str
    place: Place
    other: Place
    width: int
    value: int


class Run(NamedTuple):
    """A run from beginning to end. `programs` has the actions of each CPU."""

    setup: Setup
    mappings: tuple[Mapping, ...]
    programs: tuple[tuple[Action, ...], ...]
    schedule: list[int]


class State(NamedTuple):
    """What a program can tell when it is over: registers of each CPU, values read, the card, the clock."""

    registers: list[tuple[int, int, int]]
    read: list[list[int]]
    card: bytes
    ram: bytes
    now: int


VERBS = (
    "load", "store", "constant", "zeros", "sign", "copy", "round", "fill", "alter", "compare", "flags", "from ram",
    "to ram", "call", "string", "delay",
)  # fmt: skip

_SMALL = st.one_of(
    st.builds(Mapping, st.integers(BAR0, BAR0 + BAR0_SIZE - 0x5000), st.integers(16, 0x5000)),
    st.builds(Mapping, st.integers(BAR1, BAR1 + 0xFFF), st.integers(16, 0x2000)),
)
_LARGE = st.builds(
    Mapping,
    st.sampled_from([BAR2, BAR2 + 0x400000]),
    st.sampled_from([0x400000, 0x401800, 0x800000]),
)
_PLACES = st.builds(
    Place,
    st.integers(0, 3),
    st.one_of(st.integers(0, 0x4FFF), st.integers(0, 0x7FFFFF)),
    st.one_of(st.just(0), st.integers(0, 15)),
)


def actions() -> st.SearchStrategy[Action]:
    """One action of a program."""
    return st.builds(
        Action, st.sampled_from(VERBS), _PLACES, _PLACES, st.sampled_from([1, 2, 4, 8, 16]),
        st.integers(0, (1 << 128) - 1),
    )  # fmt: skip


def schedules(length: int = 120) -> st.SearchStrategy[list[int]]:
    """Choices for `schedule.Script`. An empty one is the simplest: the first CPU that can run always does."""
    return st.lists(st.integers(0, 3), max_size=length)


@st.composite
def parts(draw: st.DrawFn, mappings: Sequence[Mapping]) -> tuple[tuple[int, int], ...]:
    """Ranges (first, last) of physical addresses to be probed: none for everything, or some bytes, somewhere."""
    if draw(st.booleans()):
        return ()
    found = []
    for _ in range(draw(st.integers(1, 4))):
        mapping = draw(st.sampled_from(mappings))
        first = mapping.phys + draw(st.integers(0, min(mapping.length, 0x6000) - 1))
        found.append((first, first + draw(st.one_of(st.integers(0, 16), st.integers(0, 0x3000)))))
    return tuple(found)


@st.composite
def runs(draw: st.DrawFn, cpus: int | None = None, **setup: Any) -> Run:
    """A run. What `setup` does not say is drawn."""
    mappings = tuple(draw(st.lists(st.one_of(_SMALL, _LARGE), min_size=1, max_size=4)))
    number = cpus or draw(st.integers(1, 4))
    said: dict[str, Any] = {
        "machine": draw(st.sampled_from(["x86_64", "i386"])),
        "engine": draw(st.sampled_from(POLICIES)),
        "directories": draw(st.sampled_from(["synced", "lazy"])),
        "large_pages": draw(st.booleans()),
    }
    # A probe on a part of a large page is a test of its own in test_kmmio.py.
    said["only"] = () if said["large_pages"] else draw(parts(mappings))
    programs = draw(st.lists(st.lists(actions(), max_size=12).map(tuple), min_size=number, max_size=number))
    schedule = draw(schedules()) if number > 1 else []
    return Run(Setup(cpus=number, **said | setup), mappings, tuple(programs), schedule)


# -- carrying a run out -------------------------------------------------------------------------------------


def carry_out(run: Run, **options: Any) -> tuple[Outcome, list[Event], State]:
    """Run it on a new card. Fails when the driver does."""
    events: list[Event] = []
    card, driver = WideCard(), _Driver(run)
    outcome = run_driver(
        driver.probe, card, emit=events.append, setup=run.setup, chooser=Script(run.schedule), **options
    )
    assert outcome.error is None, outcome.error
    assert driver.state is not None
    return outcome, events, driver.state._replace(card=card.snapshot())


class _Driver:
    """Does the actions. All mappings are made first, by the first CPU."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.state: State | None = None
        self.bases: list[tuple[int, int]] = []
        self.read: list[list[int]] = [[] for _ in run.programs]

    def probe(self, kernel: Any) -> Generator[Any, Any, int]:
        self.bases = [(kernel.ioremap(*mapping), mapping.length) for mapping in self.run.mappings]
        self.flags = kernel.ioremap(FLAGS_AT, PAGE)
        self.ram, _ = kernel.dma_alloc(4 * PAGE)
        if self.run.setup.directories == "lazy":
            for cpu in kernel.machine.cpus:
                cpu.mm.slots.clear()
        tasks = [kernel.start(number, self.program(kernel, number)) for number in range(1, len(self.run.programs))]
        yield from self.program(kernel, 0)
        for task in tasks:
            yield task.done
        machine = kernel.machine
        registers = [(cpu.ax, cpu.flags, cpu.ip) for cpu in machine.cpus]
        ram = machine.ram.read(self.ram - machine.paging.direct_map, 4 * PAGE)
        self.state = State(registers, self.read, b"", ram, machine.now)
        for base, length in self.bases:
            for page in {base >> 12, base + length - 1 >> 12}:
                pte = machine.init_mm.entry(page)
                assert pte.present or (kernel.tracer is not None and self.run.setup.policy != "off")
        assert not any(cpu.tlb.private for cpu in machine.cpus)
        assert machine.world is None
        return 0

    def program(self, kernel: Any, number: int) -> Generator[Any, Any, None]:
        for action in self.run.programs[number]:
            if action.verb in ("call", "string", "delay"):
                self.call(kernel, action, number)
                yield None
                continue
            for instruction in self.instructions(action, number):
                value = yield instruction
                if not isinstance(instruction, Store | StoreImmediate):
                    self.read[number].append(value)

    def at(self, place: Place, width: int) -> int:
        base, length = self.bases[place.mapping % len(self.bases)]
        span = length - width + 1
        at = base + place.about % span
        if place.back:
            border = (at | PAGE - 1) + 1 - min(place.back, width - 1)
            at = border if border < base + span else at
        return at

    def instructions(self, action: Action, number: int) -> list[Instruction]:
        verb, place, other, width, value = action
        narrow = min(width, 8)
        where = self.at(place, width)
        if verb == "load":
            return [Load(where, width)]
        if verb == "store":
            return [Store(where, width, value & (1 << 8 * width) - 1)]
        if verb == "constant":
            return [StoreImmediate(where, narrow, value >> 97, sorted(FORMS)[value % len(FORMS)])]
        if verb in ("zeros", "sign"):
            return [LoadExtended(where, min(width, 2), verb == "sign")]
        if verb in ("copy", "round"):
            return [Copy(self.at(other, narrow), where, narrow, verb == "round")]
        if verb == "fill":
            return [Fill(where, narrow, value & (1 << 8 * narrow) - 1, bool(value & 1))]
        if verb == "alter":
            return [Alter(where, narrow, value & (1 << 8 * narrow) - 1, ALTERATIONS[value % len(ALTERATIONS)])]
        if verb == "compare":
            return [Compare(where, narrow)]
        if verb == "flags":
            word = self.flags + 8 * number
            return [Store(word, 4, IF if value & 1 else 0), PopFlags(word, 4)]
        memory = self.ram + value % (4 * PAGE - 8)
        return [Copy(memory, where, narrow) if verb == "to ram" else Copy(where, memory, narrow)]

    def call(self, kernel: Any, action: Action, number: int) -> None:
        """A call of the kernel, all in one go."""
        verb, place, other, width, value = action
        if verb == "delay":
            kernel.udelay(value & 7)
        elif verb == "call" and value & 1:
            self.read[number].append(kernel.read(self.at(place, width), width))
        elif verb == "call":
            kernel.write(self.at(place, width), width, value)
        else:
            narrow, count = min(width, 4), 1 + value % 4
            if value & 8:
                kernel.rep_fill(self.at(place, 16), narrow, value, count)
            else:
                kernel.rep_copy(self.at(other, 16), self.at(place, 16), narrow, count)


# -- what it has to come to ---------------------------------------------------------------------------------

_OPS = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}
_STARTS = {bar.name: bar.addr for bar in WideCard.pci.bars}


def recorded(events: Sequence[Event]) -> dict[int, list[Row]]:
    """The accesses of a trace by CPU, in order, in the card's terms."""
    found: dict[int, list[Row]] = {}
    for event in events:
        if event.kind in ACCESSES:
            assert event.addr is not None
            name = next(bar.name for bar in WideCard.pci.bars if bar.addr <= event.addr < bar.addr + bar.size)
            row = _OPS[event.kind], name, event.addr - _STARTS[name], event.width, event.value
            found.setdefault(event.cpu or 0, []).append(row)
    return found


def owed(outcome: Outcome, setup: Setup) -> dict[int, list[Row]]:
    """The accesses that the card saw and that were to be traced, by CPU, in order."""
    seen = [one for one in outcome.seen if one.region != CONFIG]
    cpus = outcome.initiators or [0] * len(seen)
    found: dict[int, list[Row]] = {}
    for one, number in zip(seen, cpus, strict=True):
        start = _STARTS[one.region] + one.offset
        if not setup.only or any(first < start + one.width and start <= last for first, last in setup.only):
            found.setdefault(number, []).append(tuple(one))
    return found
