"""How a mock card finds the recorded access that answers the driver's: the registry, and the strict policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.tape import Tape
from mmiotools.trace.registry import API, Registry


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


POLICIES: Registry[Callable[[Tape], Policy]] = Registry(
    "policy",
    {
        "strict": "mmiotools.replay.policy:Strict",
        "queue": "mmiotools.replay.queue:Queue",
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


class Strict:
    """Every access must be the next recorded one.

    An access that is not is extra, and the tape stays where it is; a write that differs in its value alone is
    differing, and the tape goes on. An UNKNOWN on the tape stands for one instruction at its register: a read, a
    write, or a read and then a write. A recording of several UNKNOWN in a row at one register can be read in more
    than one way; the reading that is chosen as the driver goes may count such an access as missed.
    """

    api: ClassVar[int] = API
    name = "strict"
    title = "Each access must be the next recorded one."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape)
        self._tape = tape
        self._next = 0
        self._count = 0
        self._last = LastValues()
        #: The register of an UNKNOWN that was just read: a write to it may be the other half of its instruction.
        self._half: tuple[str, int, int] | None = None
        #: Writes taken for the other half although the tape has them, or another UNKNOWN, next; and what they were.
        self._doubts = 0
        self._doubted: tuple[str, int, int] = ("", 0, 0)

    def read(self, bar: str, offset: int, width: int) -> int:
        """The recorded value; the last known one, or all ones, for a read that is extra."""
        done = Done(self._count, "R", bar, offset, width, self._last.get(bar, offset, width))
        self._count += 1
        self._half = None
        position = self._find("R", bar, offset, width)
        if position < 0:
            self.ledger.add_extra(done, self._next, True)
            return done.value
        row = self._tape.row(position)
        self._take(position)
        if row.op == "U":
            self._half = (bar, offset, width)
        elif row.value is not None:
            return self._last.put(bar, offset, width, row.value)
        return done.value

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Match it with the tape."""
        done = Done(self._count, "W", bar, offset, width, value)
        self._count += 1
        self._last.put(bar, offset, width, value)
        half, self._half = self._half, None
        position = self._find("W", bar, offset, width)
        row = self._tape.row(position) if position >= 0 else None
        fits = row is not None and (row.op == "U" or row.value in (value, None))
        if half == (bar, offset, width):
            if fits:
                self._doubts += 1
                self._doubted = (bar, offset, value)
        elif row is None:
            self.ledger.add_extra(done, self._next, True)
        elif fits:
            self._take(position)
        else:
            self._next = position + 1
            self.ledger.add_differing(done, position)

    def finish(self) -> Ledger:
        """The books, closed."""
        while self._doubts and self._is_doubted(self._next):
            self._doubts -= 1
            self._take(self._next)
        self.ledger.close()
        return self.ledger

    def _find(self, op: str, bar: str, offset: int, width: int) -> int:
        """The position that such an access would take, or -1 when the tape has something else next."""
        if self._fits(self._next, op, bar, offset, width):
            if not self._is_doubted(self._next):
                self._doubts = 0
            return self._next
        doubts, self._doubts = self._doubts, 0
        for skipped in range(1, doubts + 1):
            if not self._is_doubted(self._next + skipped - 1):
                break
            if self._fits(self._next + skipped, op, bar, offset, width):
                # That many of the doubtful writes were instructions of their own after all.
                for _ in range(skipped):
                    self._take(self._next)
                return self._next
        return -1

    def _is_doubted(self, position: int) -> bool:
        if position >= len(self._tape):
            return False
        row = self._tape.row(position)
        bar, offset, value = self._doubted
        if (row.bar, row.offset) != (bar, offset):
            return False
        return row.op == "U" or (row.op == "W" and row.value in (value, None))

    def _fits(self, position: int, op: str, bar: str, offset: int, width: int) -> bool:
        if position >= len(self._tape):
            return False
        row = self._tape.row(position)
        if row.offset != offset or row.bar != bar:
            return False
        return row.op == "U" or (row.op == op and row.width == width)

    def _take(self, position: int) -> None:
        self.ledger.match(position)
        self._next = position + 1
