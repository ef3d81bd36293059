"""How a mock card finds the recorded access that answers the driver's: the registry, and the strict policy."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mmiotools.replay.ledger import Done, Ledger
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.registry import API, Registry
from mmiotools.trace.tape import Row, Tape
from mmiotools.typed import Callable, ClassVar, Sequence


class Policy(Protocol):
    """Sees the driver's accesses one by one, and keeps the books."""

    api: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]
    ledger: Ledger

    def read(self, bar: str, offset: int, width: int) -> int:
        """The answer to a read."""

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Take note of a write."""

    def finish(self) -> Ledger:
        """The driver has ended; the books, closed."""


#: The policy when none is named.
DEFAULT = "window"

POLICIES: Registry[Callable[[Tape], Policy]] = Registry(
    "policy",
    {
        "window": "mmiotools.replay.window:Window",
        "strict": "mmiotools.replay.policy:Strict",
        "queue": "mmiotools.replay.queue:Queue",
        "model": "mmiotools.replay.model:Model",
    },
)


class LastValues:
    """The last value that was read or written at each register: what a read without recorded answer gets."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int, int], int] = {}

    def put(self, bar: str, offset: int, width: int, value: int) -> int:
        """Remember a value, and return it."""
        self._values[bar, offset, width] = value
        return value

    def get(self, bar: str, offset: int, width: int) -> int:
        """The value, or all ones, as a bus without a device gives."""
        return self._values.get((bar, offset, width), (1 << 8 * width) - 1)


@runtime_checkable
class ByCpu(Protocol):
    """A policy that asks for an order on each CPU, not between them. `cpu` is set before each access."""

    cpu: int


class Strict:
    """Every access must be the next recorded one; where several CPUs are told apart, the next one of its CPU.

    An access that is not is extra, and the tape stays where it is; a write that differs in its value alone is
    differing, and the tape goes on. An UNKNOWN on the tape stands for one instruction at its register: a read, a
    write, or a read and then a write. A recording of several UNKNOWN in a row at one register can be read in more
    than one way; the reading that is chosen as the driver goes may count such an access as missed.

    Between CPUs there is no order to hold: which comes first is up to the machine, and an engine that steps records an
    access some time after it was made.
    """

    api: ClassVar[int] = API
    name = "strict"
    title = "Each access must be the next recorded one."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape)
        self.cpu = -1
        self._tape = tape
        self._count = 0
        self._last = LastValues()
        self._lanes: dict[int, _Lane] = {}

    def read(self, bar: str, offset: int, width: int) -> int:
        """The recorded value; the last known one, or all ones, for a read that is extra."""
        done = Done(self._count, "R", bar, offset, width, self._last.get(bar, offset, width))
        self._count += 1
        return self._last.put(bar, offset, width, self._lane().read(done))

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Match it with the tape."""
        self._last.put(bar, offset, width, value)
        self._lane().write(Done(self._count, "W", bar, offset, width, value))
        self._count += 1

    def finish(self) -> Ledger:
        """The books, closed."""
        for lane in self._lanes.values():
            lane.finish()
        self.ledger.close()
        return self.ledger

    def _lane(self) -> _Lane:
        lane = self._lanes.get(self.cpu)
        if lane is None:
            cpus = self._tape.cpu
            places: Sequence[int] = range(len(self._tape))
            if self.cpu >= 0 and cpus is not None:
                places = flatnonzero(cpus == self.cpu).tolist()
            lane = self._lanes[self.cpu] = _Lane(self._tape, self.ledger, places)
        return lane


class _Lane:
    """What one CPU shall do, at `places` on the tape, ascending."""

    def __init__(self, tape: Tape, ledger: Ledger, places: Sequence[int]) -> None:
        self._tape = tape
        self._ledger = ledger
        self._places = places
        self._next = 0
        #: The register of an UNKNOWN that was just read: a write to it may be the other half of its instruction.
        self._half: tuple[str, int, int] | None = None
        #: Writes taken for the other half although the tape has them, or another UNKNOWN, next; and what they were.
        self._doubts = 0
        self._doubted: tuple[str, int, int] = ("", 0, 0)

    def read(self, done: Done) -> int:
        """The recorded value, or that of `done`."""
        self._half = None
        row = self._find(done)
        if row is None:
            self._extra(done)
            return done.value
        self._take()
        if row.op == "U":
            self._half = (done.bar, done.offset, done.width)
        return done.value if row.value is None or row.op == "U" else row.value

    def write(self, done: Done) -> None:
        """Match it with the tape."""
        bar, offset, width, value = done[2:]
        half, self._half = self._half, None
        row = self._find(done)
        fits = row is not None and (row.op == "U" or row.value in (value, None))
        if half == (bar, offset, width):
            if fits:
                self._doubts += 1
                self._doubted = (bar, offset, value)
        elif row is None:
            self._extra(done)
        elif fits:
            self._take()
        else:
            self._ledger.add_differing(done, self._places[self._next])
            self._next += 1

    def finish(self) -> None:
        """The driver has ended."""
        while self._doubts and self._is_doubted(self._next):
            self._doubts -= 1
            self._take()

    def _extra(self, done: Done) -> None:
        left = self._next < len(self._places)
        self._ledger.add_extra(done, self._places[self._next] if left else len(self._tape), True)

    def _find(self, done: Done) -> Row | None:
        """The next row, if such an access may take it; None when the tape has something else next."""
        row = self._row(self._next)
        if row is not None and _fits(row, done):
            if self._doubts and not self._is_doubted(self._next):
                self._doubts = 0
            return row
        doubts, self._doubts = self._doubts, 0
        for skipped in range(1, doubts + 1):
            if not self._is_doubted(self._next + skipped - 1):
                break
            row = self._row(self._next + skipped)
            if row is not None and _fits(row, done):
                # That many of the doubtful writes were instructions of their own after all.
                for _ in range(skipped):
                    self._take()
                return row
        return None

    def _row(self, at: int) -> Row | None:
        return self._tape.row(self._places[at]) if at < len(self._places) else None

    def _is_doubted(self, at: int) -> bool:
        row = self._row(at)
        bar, offset, value = self._doubted
        if row is None or (row.bar, row.offset) != (bar, offset):
            return False
        return row.op == "U" or (row.op == "W" and row.value in (value, None))

    def _take(self) -> None:
        self._ledger.match(self._places[self._next])
        self._next += 1


def _fits(row: Row, done: Done) -> bool:
    if row.offset != done.offset or row.bar != done.bar:
        return False
    return row.op == "U" or (row.op == done.op and row.width == done.width)
