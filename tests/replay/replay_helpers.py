"""Recordings in memory for the tests of replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

from mmiotools.drivers import Chosen
from mmiotools.engine.interface import Device, Kernel
from mmiotools.engine.session import run_driver
from mmiotools.events import Event, Kind
from mmiotools.formats import open_trace
from mmiotools.record import make_plan, record_to, trace_header
from mmiotools.replay import MockCard, Tape, load_tape
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Bar, PciDevice, Trace, TraceHeader
from mmiotools.trace.tape import Row

CARD = PciDevice(0x18, 0x1234, 0x5678, 11, (Bar(0, 0xE0000000, 0x10000), Bar(2, 0xE1000000, 0x1000)))


def trace_of(events: Iterable[Event], meta: dict | None = None) -> Trace:
    return Trace(TraceHeader(meta=meta or {}), iter([Batch.from_events(events)]), "test")


def tape_of(*accesses: tuple) -> Tape:
    """A tape from (op, bar, offset, width, value); U has neither width nor value."""
    base = {bar.name: bar.addr for bar in CARD.bars}
    kinds = {"R": Kind.READ, "W": Kind.WRITE, "U": Kind.UNKNOWN}
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    for time, (op, bar, offset, *rest) in enumerate(accesses):
        width, value = rest if rest else (None, None)
        events.append(Event(kinds[op], time * 1000, width, 1, base[bar] + offset, value=value))
    return load_tape(trace_of(events))


def flat(*accesses: tuple) -> Tape:
    """A tape from (op, (bar, offset), width, value)."""
    return tape_of(*((op, *place, width, value) for op, place, width, value in accesses))


def recorded(word: str, **options) -> Tape:
    """The tape of a bundled driver's recording."""
    batches: list[Batch] = []
    plan = make_plan(word, **options)
    record_to(batches.append, plan)
    return load_tape(Trace(trace_header(plan), iter(batches), "test"))


def chosen(probe: Callable[[Kernel], int]) -> Chosen:
    """A driver of one function."""
    return Chosen(SimpleNamespace(name="mine", versions={"1": probe}), "1", None)


def tape_of_run(probe: Callable[[Kernel], int], device: Device) -> Tape:
    """The tape of a function's run on a device."""
    events: list[Event] = []
    outcome = run_driver(probe, device, emit=events.append)
    assert outcome.error is None
    return load_tape(trace_of(events))


def tape_of_file(path: Path) -> Tape:
    """The tape of a recording in a file."""
    return load_tape(open_trace(str(path)))


def drive(card: MockCard, tape: Tape) -> list[int]:
    """Do all that is on a tape to a card, as if a driver did it; what its reads gave."""
    return [value for position in range(len(tape)) if (value := do(card, tape.row(position))) is not None]


def do(card: MockCard, row: Row) -> int | None:
    """One access; an UNKNOWN is a read."""
    width = row.width if row.width in (1, 2, 4, 8) else 4
    if row.op == "W":
        card.write(row.bar, row.offset, width, row.value or 0)
        return None
    return card.read(row.bar, row.offset, width)


class Clock:
    """A host whose time the test sets, and that keeps what was done to its lines."""

    def __init__(self) -> None:
        self.time = 0
        self.lines: list[tuple[int, int]] = []

    def now(self) -> int:
        return self.time

    def irq(self, line: int, level: int) -> None:
        self.lines.append((self.time, level))

    def dma_read(self, address: int, n: int) -> bytes:
        return bytes(n)

    def dma_write(self, address: int, data: bytes) -> None:
        pass
