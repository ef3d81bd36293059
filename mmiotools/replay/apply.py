"""The other direction: the recorded accesses are applied to a device model, and its answers are compared."""

from __future__ import annotations

from collections import Counter, deque

from mmiotools.engine.interface import Device, Pipelined, Step
from mmiotools.errors import EXIT_INTERRUPTED, EXIT_OK, MmioToolsError
from mmiotools.filters.masks import NOTHING_SAID, MaskFile
from mmiotools.replay.interrupts import Delivered
from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.masked import meanings
from mmiotools.replay.report import RegisterScore, Report
from mmiotools.trace.names import Names
from mmiotools.trace.tape import Row, Tape
from mmiotools.typed import Iterable, Iterator

_CHUNK = 4096
_WIDTHS = (1, 2, 4, 8)


class _Bench:
    """The host of a device on the bench: its clock is the recording's."""

    def __init__(self) -> None:
        self.time = 0
        self.irqs = 0

    def now(self) -> int:
        """Time of the recorded access, nanoseconds."""
        return self.time

    def irq(self, line: int, level: int) -> None:
        """Counted; nobody takes it."""
        self.irqs += bool(level)

    def dma_read(self, address: int, n: int) -> bytes:
        """All ones: a trace does not hold the memory that a card read."""
        return b"\xff" * n

    def dma_write(self, address: int, data: bytes) -> None:
        """Dropped."""


def apply_to(
    tape: Tape, device: Device | Pipelined, *, masks: MaskFile = NOTHING_SAID, names: Names | None = None, fuzz: int = 0
) -> Report:
    """Do every recorded access on a device, at its recorded time, and compare what the reads give.

    masks  registers whose reads do not count, and bits of what is read
    names  of registers, for the report
    fuzz   reads that may differ before the device has diverged

    Writes match by being done. UNKNOWN accesses, and accesses without width or of more than 8 bytes, cannot be done;
    they and reads without a recorded value are counted as `unknown`, and are neither matched nor missed. A device that
    is lost on the way, or fails, and an interrupt from the keyboard are the report's `problem`.
    """
    aside, bits = (column[tape.rows] for column in meanings(masks.masks, tape.accesses))
    bench = _Bench()
    ledger = Ledger(tape)
    reads: Counter[tuple[str, int]] = Counter()
    differing: Counter[tuple[str, int]] = Counter()
    unknown = compared = ignored = 0
    under_way: deque[tuple[int, Row]] = deque()

    def steps() -> Iterator[Step]:
        nonlocal unknown
        time = 0
        for position, (row, recorded) in enumerate(_timed(tape)):
            time = max(time, recorded)
            if row.op == "U" or row.width not in _WIDTHS or (row.op == "W" and row.value is None):
                unknown += 1
                ledger.open[position] = False
                continue
            under_way.append((position, row))
            yield Step(time, row.op, row.bar, row.offset, row.width, row.value or 0)

    problem, status = None, EXIT_OK
    if len(tape):
        bench.time = next(_timed(tape))[1]
    device.attach(bench)
    answers = device.answers(steps()) if isinstance(device, Pipelined) else _answers(bench, device, steps())
    try:
        for answer in answers:
            position, row = under_way.popleft()
            if aside[position]:
                ledger.open[position] = False
                ignored += 1
                continue
            if answer is None:
                ledger.match(position)
                continue
            value = answer & (1 << 8 * row.width) - 1
            register = (row.bar, row.offset)
            reads[register] += 1
            if row.value is None:
                unknown += 1
                ledger.open[position] = False
                continue
            compared += 1
            if not (row.value ^ value) & int(bits[position]):
                ledger.match(position)
            else:
                differing[register] += 1
                ledger.add_differing(Done(position, "R", row.bar, row.offset, row.width, value), position)
    except MmioToolsError as error:
        problem, status = str(error), error.status
    except KeyboardInterrupt:
        problem, status = "interrupted", EXIT_INTERRUPTED
    except Exception as error:  # a device of the user's may fail in any way
        problem, status = f"{device.name} failed: {error!r}", MmioToolsError.status
    ledger.close()
    scores = [
        RegisterScore(f"{tape.pci.address}/{bar}", offset, reads[bar, offset], count)
        for (bar, offset), count in differing.most_common()
    ]
    subject = f"device {device.name}"
    return Report(
        ledger,
        "device",
        subject,
        tape.pci,
        interrupts=Delivered(tape.irqs, bench.irqs, source="device"),
        unknown=unknown,
        fuzz=fuzz,
        names=names,
        ignored=ignored,
        reads=compared,
        registers=scores,
        problem=problem,
        status=status,
    )


def _answers(bench: _Bench, device: Device, steps: Iterable[Step]) -> Iterator[int | None]:
    """What a device at hand gives to each access."""
    for step in steps:
        bench.time = step.time
        if step.op == "W":
            device.write(step.region, step.offset, step.width, step.value)
            yield None
        else:
            yield device.read(step.region, step.offset, step.width)


def _timed(tape: Tape) -> Iterator[tuple[Row, int]]:
    """Every access with its time, 0 where it has none."""
    times, present = tape.times()
    for start in range(0, len(tape), _CHUNK):
        stop = min(start + _CHUNK, len(tape))
        known = (times[start:stop] * present[start:stop]).tolist()
        for position, time in zip(range(start, stop), known, strict=True):
            yield tape.row(position), time
