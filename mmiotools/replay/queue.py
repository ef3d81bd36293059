"""The queue policy: every register in the order of its own recording; the order between registers is free."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.policy import LastValues
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape

_OPS = {"R": Kind.READ, "W": Kind.WRITE, "U": Kind.UNKNOWN}
#: Stands for "any width": an UNKNOWN is known by its register alone.
_ANY = 0xFFFF


class _Register:
    """The recorded accesses of one kind to one register: `places` (k,) positions on the tape, ascending."""

    def __init__(self, places: NDArray[np.intp]) -> None:
        self.places = places
        self.cursor = 0
        self._by_value: tuple[NDArray[np.intp], NDArray[np.uint64]] | None = None
        self._starts: dict[int, int] = {}

    def oldest(self, open_: NDArray[np.bool_]) -> int:
        """The first position that is still open, or -1."""
        while self.cursor < len(self.places) and not open_[self.places[self.cursor]]:
            self.cursor += 1
        return int(self.places[self.cursor]) if self.cursor < len(self.places) else -1

    def with_value(self, value: int, tape: Tape, open_: NDArray[np.bool_]) -> int:
        """The first position that is still open and has this value, or -1. Amortised O(log k)."""
        first = self.oldest(open_)
        if first < 0:
            return -1
        if tape.value[first] == value and tape.has_value[first]:
            return first
        if self._by_value is None:
            known = self.places[tape.has_value[self.places]]
            values = tape.value[known]
            order = np.argsort(values, kind="stable")
            self._by_value = (known[order], values[order])
        places, values = self._by_value
        start = self._starts.get(value)
        if start is None:
            start = int(np.searchsorted(values, np.uint64(value), "left"))
        while start < len(places) and values[start] == value and not open_[places[start]]:
            start += 1
        self._starts[value] = start
        return int(places[start]) if start < len(places) and values[start] == value else -1


class Queue:
    """Reads of a register take its recorded values in order, and the last one sticks; writes are matched with the
    recorded writes of their register by value, the oldest first. Writes that are left over on both sides are
    differing, pair by pair.
    """

    api: ClassVar[int] = API
    name = "queue"
    title = "Each register by itself; the last value read sticks."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape)
        self._tape = tape
        self._next = 0
        self._count = 0
        self._last = LastValues()
        self._registers: dict[tuple[str, str, int, int], _Register] = {}
        # One stable sort by kind of access and offset; each register is a slice of it, found when it is first used.
        self._code = self._codes(tape)
        self._order = np.lexsort((tape.offset, self._code))
        self._code = self._code[self._order]
        self._offset = tape.offset[self._order]
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
        unknown = self._register("U", bar, offset, _ANY).oldest(self.ledger.open)
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
        unknown = self._register("U", bar, offset, _ANY).oldest(self.ledger.open)
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
                    position = self._register("U", bar, offset, _ANY).oldest(open_)
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

    def _register(self, op: str, bar: str, offset: int, width: int) -> _Register:
        key = (op, bar, offset, width)
        found = self._registers.get(key)
        if found is None:
            found = self._registers[key] = _Register(self._places(op, bar, offset, width))
        return found

    def _places(self, op: str, bar: str, offset: int, width: int) -> NDArray[np.intp]:
        if bar not in self._tape.bars:
            return np.zeros(0, np.intp)
        code = np.int64(_pack(_OPS[op], self._tape.bars.index(bar), width))
        low, high = (int(at) for at in (np.searchsorted(self._code, code, side) for side in ("left", "right")))
        offsets = self._offset[low:high]
        wanted = np.uint64(offset)
        first, last = (int(np.searchsorted(offsets, wanted, side)) for side in ("left", "right"))
        return self._order[low + first : low + last]

    @staticmethod
    def _codes(tape: Tape) -> NDArray[np.int64]:
        """Operation, BAR and width of every access as one number, (n,)."""
        width = np.where(tape.op == Kind.UNKNOWN, _ANY, tape.width.astype(np.int64) & 0xFFFF)
        return np.asarray(tape.op.astype(np.int64) << 32 | tape.bar.astype(np.int64) << 16 | width, np.int64)


def _pack(op: int, bar: int, width: int) -> int:
    return op << 32 | bar << 16 | width
