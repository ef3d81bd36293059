"""The queue policy: every register in the order of its own recording; the order between registers is free."""

from __future__ import annotations

from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.places import ANY, Places
from mmiotools.replay.policy import LastValues
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape
from mmiotools.typed import ClassVar


class Queue:
    """Reads of a register take its recorded values in order, and the last one sticks; writes are matched with the
    recorded writes of their register by value, the oldest first. Writes that are left over on both sides are
    differing, pair by pair.
    """

    api: ClassVar[int] = API
    name: ClassVar[str] = "queue"
    title: ClassVar[str] = "Each register by itself; the last value read sticks."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape)
        self._tape = tape
        self._next = 0
        self._count = 0
        self._last = LastValues()
        self._register = Places(tape).register
        #: Writes without a counterpart, by register, with where the tape was; booked at the end.
        self._left: dict[tuple[str, int, int], list[tuple[Done, int]]] = {}
        self._half: tuple[str, int, int] | None = None
        #: Writes taken for the second half of an UNKNOWN, by register: they may have been instructions of their own.
        self._halves: dict[tuple[str, int, int], list[int]] = {}

    def read(self, bar: str, offset: int, width: int) -> int:
        """The register's next recorded value; the last one again when there are no more."""
        done = Done(self._count, "R", bar, offset, width, self._last.get(bar, offset, width))
        self._count += 1
        self._half = None
        position = self._register("R", bar, offset, width).oldest(self.ledger.open)
        unknown = self._register("U", bar, offset, ANY).oldest(self.ledger.open)
        if position >= 0 and not 0 <= unknown < position:
            self._take(position)
            if self._tape.has_value[position]:
                return self._last.put(bar, offset, width, int(self._tape.value[position]))
            return done.value
        if unknown >= 0:
            self._take(unknown)
            self._half = (bar, offset, width)
        else:
            self.ledger.add_extra(done, self._next)
        return done.value

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Match it with the register's recorded writes."""
        done = Done(self._count, "W", bar, offset, width, value)
        self._count += 1
        self._last.put(bar, offset, width, value)
        half, self._half = self._half, None
        if half == (bar, offset, width):
            self._halves.setdefault(half, []).append(value)
            return
        position = self._register("W", bar, offset, width).with_value(value, self._tape, self.ledger.open)
        unknown = self._register("U", bar, offset, ANY).oldest(self.ledger.open)
        if unknown >= 0 and not 0 <= position < unknown:
            position = unknown
        if position >= 0:
            self._take(position)
        else:
            self._left.setdefault((bar, offset, width), []).append((done, self._next))

    def finish(self) -> Ledger:
        """Pair the writes that are left over, and close the books."""
        open_ = self.ledger.open
        for (bar, offset, width), values in self._halves.items():
            for value in values:
                position = self._register("W", bar, offset, width).with_value(value, self._tape, open_)
                if position < 0:
                    position = self._register("U", bar, offset, ANY).oldest(open_)
                if position >= 0:
                    self.ledger.match(position)
        for (bar, offset, width), writes in self._left.items():
            register = self._register("W", bar, offset, width)
            for done, at in writes:
                position = register.oldest(open_)
                if position < 0:
                    self.ledger.add_extra(done, at)
                elif self._tape.has_value[position]:
                    self.ledger.add_differing(done, position)
                else:
                    self.ledger.match(position)
        self._left.clear()
        # Booked register by register; reports list them as they happened.
        self.ledger.extra.sort()
        self.ledger.differing.sort(key=lambda pair: pair[1].number)
        self.ledger.close()
        return self.ledger

    def _take(self, position: int) -> None:
        self.ledger.match(position)
        self._next = position + 1
