"""A card of 4 MiB, and runs of small drivers on it under chosen quirks, for the tests of the quirks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from mmiotools.engine.instructions import Load, Store
from mmiotools.engine.interface import Host, Seen
from mmiotools.engine.quirks import QUIRKS
from mmiotools.engine.schedule import Chooser
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import Setup
from mmiotools.engine.truth import Checker
from mmiotools.errors import EngineFailure
from mmiotools.events import ACCESSES, Event, Kind
from mmiotools.trace.header import Bar, PciDevice

#: Aligned for large pages of either machine.
BAR, SIZE = 0xE0000000, 0x400000
PAGE = 0x1000
NAMES = tuple(quirk.name for quirk in QUIRKS)

#: op ("R", "W", "U"), offset in the BAR, width, value
Row = tuple[str, int, int | None, int | None]


class Card:
    """Bytes hold what was written; the others are a pattern that differs from word to word.

    hooks   offset → called before an access there
    """

    api = 1
    name = "quirk-card"
    title = "RAM behind one BAR."
    pci = PciDevice(0x0108, 0x1234, 0x5678, 11, (Bar(0, BAR, SIZE),), "quirk")

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.stored: dict[int, int] = {}
        self.hooks: dict[int, Callable[[], None]] = {}

    def attach(self, host: Host) -> None:
        self.host = host

    def value(self, offset: int, width: int) -> int:
        """What a read gives."""
        at = range(offset, offset + width)
        return int.from_bytes(bytes(self.stored.get(n, 11 * n + n // 251 & 0xFF) for n in at), "little")

    def read(self, region: str, offset: int, width: int) -> int:
        self._hook(offset)
        value = self.value(offset, width)
        self.seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        self._hook(offset)
        self.stored.update(enumerate(value.to_bytes(width, "little"), offset))
        self.seen.append(Seen("W", region, offset, width, value))

    def reset(self) -> None:
        self.stored.clear()
        self.seen.clear()

    def snapshot(self) -> bytes:
        return repr(self.stored).encode()

    def restore(self, state: bytes) -> None:
        raise NotImplementedError

    def _hook(self, offset: int) -> None:
        hook = self.hooks.get(offset)
        if hook is not None:
            hook()


@dataclass
class Run:
    """A run that is over: what came of it, the events, the card, and the kernel that the driver was given."""

    outcome: Outcome
    events: list[Event]
    card: Card
    kernel: Any

    @property
    def rows(self) -> list[Row]:
        """The recorded accesses, in the card's terms."""
        ops = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}
        return [(ops[e.kind], (e.addr or 0) - BAR, e.width, e.value) for e in self._accesses]

    @property
    def _accesses(self) -> list[Event]:
        return [e for e in self.events if e.kind in ACCESSES]

    @property
    def seen(self) -> list[Row]:
        """What the card saw."""
        return [(s.op, s.offset, s.width, s.value) for s in self.outcome.seen]

    @property
    def lost(self) -> int:
        """Accesses that the card saw and nobody recorded, counted CPU by CPU; an UNKNOWN stands for any at its place.

        `Checker` says which they are; it aligns greedily, so that its number may be too large.
        """
        cpus = self.outcome.initiators or [0] * len(self.seen)
        seen = Counter(zip(cpus, self.seen, strict=True))
        rows = Counter((e.cpu or 0, row) for e, row in zip(self._accesses, self.rows, strict=True))
        places = {(cpu, row[1]) for cpu, row in rows if row[0] == "U"}
        left = seen - rows
        return sum(n for (cpu, row), n in left.items() if (cpu, row[1]) not in places)

    @property
    def complete(self) -> bool:
        """Everything that the card saw was recorded, with its value, in its order on each CPU, and nothing else."""
        checker = Checker(self.card.pci)
        for event in self.events:
            checker.add(event)
        verdicts = checker.verdict_by_cpu(self.outcome.seen, self.outcome.initiators)
        return self.outcome.error is None and all(truth.clean for truth in verdicts.values())

    @property
    def ending(self) -> str:
        """ "ok", "lost", "wrong", or the kind of the failure."""
        error = self.outcome.error
        if error is not None:
            return "Oops" if type(error) is EngineFailure else type(error).__name__
        return "ok" if self.complete else "lost" if self.lost else "wrong"


def run(
    probe: Callable[[Any], Any],
    *,
    seed: int = 0,
    fail: dict[str, int] | None = None,
    chooser: Chooser | None = None,
    card: Card | None = None,
    **setup: Any,
) -> Run:
    """Run a driver under Setup(**setup), watched; `quirks` may be one name."""
    if isinstance(setup.get("quirks"), str):
        setup["quirks"] = (setup["quirks"],)
    events: list[Event] = []
    kernels: list[Any] = []
    card = Card() if card is None else card

    def driver(kernel: Any) -> Any:
        kernels.append(kernel)
        return probe(kernel)

    outcome = run_driver(
        driver, card, emit=events.append, seed=seed, fail=fail, setup=Setup(**setup), watch=True, chooser=chooser
    )
    return Run(outcome, events, card, kernels[0])


def step(probe: Callable[[Any], Any], *quirks: str, **options: Any) -> Run:
    """Run a driver under the step policy with these quirks alone."""
    return run(probe, engine="step", quirks=quirks, **options)


def reads(*offsets: int, at: int = 0, length: int = 4 * PAGE, width: int = 4) -> Callable[[Any], int]:
    """A driver that maps `length` bytes from `at` in the BAR, and reads at these offsets of the BAR."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR + at, length)
        for offset in offsets:
            kernel.read(base + offset - at, width)
        return 0

    return probe


Program = Generator[Any, Any, Any]


def on_all(body: Callable[[Any, int, int], Program], length: int = 4 * PAGE) -> Callable[[Any], Program]:
    """A driver that maps `length` bytes and runs body(kernel, base, number) on every CPU, to their ends."""

    def probe(kernel: Any) -> Program:
        base = kernel.ioremap(BAR, length)
        others = [kernel.start(number, body(kernel, base, number)) for number in range(1, kernel.cpus)]
        yield from body(kernel, base, 0)
        for task in others:
            yield task.done
        return 0

    return probe


def one_page(rounds: int) -> Callable[[Any], Program]:
    """All CPUs in one page: each stores, reads back, and reads a register that all share."""

    def body(kernel: Any, base: int, number: int) -> Program:
        mine = base + 0x100 + 16 * number
        for turn in range(rounds):
            yield Store(mine, 4, number << 16 | turn)
            assert (yield Load(mine, 4)) == number << 16 | turn
            yield Load(base + 0x10, 4)

    return on_all(body)


def mixed(rounds: int) -> Callable[[Any], Program]:
    """All CPUs in three pages, with accesses that straddle two of them, and the mapping's unaligned beginning."""

    def body(kernel: Any, base: int, number: int) -> Program:
        for turn in range(rounds):
            yield Store(base + 0x100 + 64 * number + 4 * (turn % 8), 4, number << 16 | turn)
            yield Load(base + PAGE - 2 - 4 * (turn % 2), 4)
            yield Load(base + PAGE * (turn % 3) + 8 * number, 4)

    return on_all(body, 3 * PAGE)


def totals(causes: dict[str, int]) -> Counter[str]:
    """The causes that are not zero."""
    return +Counter(causes)
