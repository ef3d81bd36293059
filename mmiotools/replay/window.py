"""The window policy: the recorded order, and a stretch of it in which accesses may come early or late."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from mmiotools.events import Kind
from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.places import ANY, Places
from mmiotools.replay.policy import LastValues
from mmiotools.replay.settings import Settings
from mmiotools.replay.waits import Waiting
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape

#: A register: BAR, offset, width.
_Key = tuple[str, int, int]


class Window:
    """An access takes the next recorded one if it is the same. Else a read takes the oldest recorded read of its
    register that is still open, and a write the oldest write of its register with its value, both among the first N
    open accesses of the recording.

    The oldest open access is given up, it is missed, when N others behind it have been done. An access without a
    counterpart is extra; a read then gets the register's last value. A write whose value is not in the window waits
    for the oldest write of its register that is given up: they are one differing access. What is extra never moves
    the window, so a driver that polls for long takes at most what lies in it.

    A wait (`trace.polls`) ends after as many reads as recorded, or at its time (`Timing`). A driver that reads more
    or less often is not told from one that waits longer: `Ledger.polls` counts those reads.

    UNKNOWN is met as by the policy queue. Between the order of accesses and their number per register the verdict
    looks at the number only; `Ledger.in_order` says how many came as recorded.
    """

    api: ClassVar[int] = API
    name = "window"
    title = "The recorded order, in which accesses may come early or late by a window."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape, by_place=True)
        self._tape = tape
        self._size = Settings().window
        self._count = 0
        self._next = 0
        #: The oldest position that is not given up or done, and how many behind it are done.
        self._base = 0
        self._beyond = 0
        self._last = LastValues()
        self._register = Places(tape).register
        self._waiting = Waiting(tape)
        #: Writes without a counterpart so far: what was done, where the tape was, where the window ended.
        self._left: dict[_Key, deque[tuple[Done, int, int]]] = {}
        self._half: _Key | None = None
        self._halves: dict[_Key, list[int]] = {}

    def tune(self, settings: Settings, now: Callable[[], int]) -> None:
        """The window's size, and whether waits have a time."""
        self._size = settings.window
        self._waiting.tune(settings.timing, now)

    # -- the driver's accesses ------------------------------------------------------------------------------

    def read(self, bar: str, offset: int, width: int) -> int:
        """The value that was recorded; the last one at this register where there is none."""
        key = (bar, offset, width)
        last = self._last.get(bar, offset, width)
        done = Done(self._count, "R", bar, offset, width, last)
        self._count += 1
        self._half = None
        position = self._expected(Kind.READ, key, None)
        if position < 0:
            position = self._inside(self._register("R", bar, offset, width).oldest(self.ledger.open, self._base))
        unknown = self._inside(self._register("U", bar, offset, ANY).oldest(self.ledger.open, self._base))
        if position >= 0 and not 0 <= unknown < position:
            return self._last.put(bar, offset, width, self._read(key, position, last))
        if unknown >= 0:
            self._waiting.other()
            self._take(unknown)
            self._half = key
        elif self._waiting.is_over(key):
            self.ledger.polls_more += 1
        else:
            self._waiting.other()
            self.ledger.add_extra(done, self._next)
        return last

    def _read(self, key: _Key, position: int, last: int) -> int:
        """The answer from a recorded read, and from its wait where it is part of one."""
        if self._waiting.is_over(key) and self._waiting.number(position) >= 0:
            # The wait is over, and what the driver reads once more is not yet the next one.
            self.ledger.polls_more += 1
            return last
        found = self._waiting.read(key, position, self.ledger.open)
        if found is None:
            # All that was recorded of the wait is done, and its time has not come.
            self.ledger.polls_more += 1
            return last
        self._fewer(found.skipped)
        self._take(found.position)
        return int(self._tape.value[found.position]) if self._tape.has_value[found.position] else last

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Match it with the recorded writes."""
        key = (bar, offset, width)
        done = Done(self._count, "W", bar, offset, width, value)
        self._count += 1
        self._last.put(bar, offset, width, value)
        self._waiting.other()
        half, self._half = self._half, None
        if half == key:
            self._halves.setdefault(half, []).append(value)
            return
        register = self._register("W", bar, offset, width)
        position = self._expected(Kind.WRITE, key, value)
        if position < 0:
            position = self._inside(register.with_value(value, self._tape, self.ledger.open, self._base))
        unknown = self._inside(self._register("U", bar, offset, ANY).oldest(self.ledger.open, self._base))
        if unknown >= 0 and not 0 <= position < unknown:
            position = unknown
        if position >= 0:
            self._leave_waits(position)
            self._take(position)
            return
        self._leave(key, done)
        expected = self._inside(register.oldest(self.ledger.open, self._base))
        if expected >= 0:
            # It may turn out to be this one with another value; an interrupt that follows it need not wait for that.
            self._leave_waits(expected)
            self.ledger.seems_done(expected)

    # -- the window -----------------------------------------------------------------------------------------

    @property
    def _end(self) -> int:
        """Where the window ends: so many are open before it, at most."""
        return self._base + self._size + self._beyond

    def _expected(self, op: Kind, key: _Key, value: int | None) -> int:
        """What is recorded next, if it is such an access, else -1."""
        tape, open_, stop = self._tape, self.ledger.open, min(self._end, len(self._tape))
        position = max(self._next, self._base)
        while position < stop and not open_[position]:
            position += 1
        self._next = position
        if position >= stop or tape.op[position] != op or tape.offset[position] != key[1]:
            return -1
        row = tape.row(position)
        if (row.bar, row.offset, row.width) != key or (value is not None and row.value != value):
            return -1
        return position

    def _inside(self, position: int) -> int:
        return position if position < self._end else -1

    def _take(self, position: int) -> None:
        self.ledger.match(position)
        self._next = position + 1
        self._closed(position)

    def _closed(self, position: int) -> None:
        """A position is open no more: the window moves on."""
        if position > self._base:
            self._beyond += 1
        elif position == self._base:
            self._advance()
        while self._beyond >= self._size:
            self._give_up()

    def _advance(self) -> None:
        open_, base, stop = self.ledger.open, self._base + 1, len(self._tape)
        while base < stop and not open_[base]:
            base += 1
            self._beyond -= 1
        self._base = base

    def _give_up(self) -> None:
        """The oldest open access drops out: it is missed, unless it is a wait's, or a write came in its place."""
        position = self._base
        if self._waiting.entered(position):
            self.ledger.skip_poll(position)
        elif self._left and self._tape.op[position] == Kind.WRITE:
            self._pair(position)
        self._advance()

    def _fewer(self, positions: list[int]) -> None:
        for position in positions:
            self.ledger.skip_poll(position)
            self._closed(position)

    def _leave_waits(self, position: int) -> None:
        """What is written at `position` shows that the driver has left the waits before it."""
        for (bar, offset, width), end, skipped in self._waiting.left_before(position, self.ledger.open):
            self._last.put(bar, offset, width, int(self._tape.value[end]))
            self._fewer([at for at in skipped if at >= self._base])

    # -- writes with another value ----------------------------------------------------------------------------

    def _leave(self, key: _Key, done: Done) -> None:
        left = self._left.setdefault(key, deque())
        while left and left[0][2] <= self._base:
            gone, at, _ = left.popleft()
            self.ledger.add_extra(gone, at)
        left.append((done, self._next, self._end))

    def _pair(self, position: int) -> None:
        """Find the write that came in the place of a recorded one."""
        row = self._tape.row(position)
        key = (row.bar, row.offset, row.width)
        left = self._left.get(key)
        while left:
            done, at, end = left.popleft()
            if end <= position:
                self.ledger.add_extra(done, at)
                continue
            if row.value is None:
                self.ledger.match(position)
            else:
                self.ledger.add_differing(done, position)
            break
        if not left:
            self._left.pop(key, None)

    def finish(self) -> Ledger:
        """Pair the writes that are left over, and close the books."""
        ledger, tape = self.ledger, self._tape
        for (bar, offset, width), values in self._halves.items():
            for value in values:
                position = self._register("W", bar, offset, width).with_value(value, tape, ledger.open, self._base)
                if position < 0:
                    position = self._register("U", bar, offset, ANY).oldest(ledger.open, self._base)
                if position >= 0:
                    ledger.match(position)
        behind = np.flatnonzero(ledger.open[self._base :]) + self._base
        for position in behind[tape.op[behind] == Kind.WRITE].tolist() if self._left else ():
            self._pair(position)
        for left in self._left.values():
            for done, at, _ in left:
                ledger.add_extra(done, at)
        self._left.clear()
        for position in self._waiting.all_entered(ledger.open):
            ledger.skip_poll(position)
        # Booked when they were certain; reports list them as they happened.
        ledger.extra.sort()
        ledger.differing.sort(key=lambda pair: pair[1].number)
        ledger.close()
        return ledger
