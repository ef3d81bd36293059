"""The window policy: the recorded order, and a stretch of it in which accesses may come early or late."""

from __future__ import annotations

from collections import deque

from mmiotools.events import Kind
from mmiotools.replay.anchors import LENGTH, Anchors
from mmiotools.replay.ledger import Done, Ledger
from mmiotools.replay.places import ANY, Places
from mmiotools.replay.policy import LastValues
from mmiotools.replay.settings import Settings
from mmiotools.replay.waits import Waiting
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Row, Tape
from mmiotools.typed import Callable, ClassVar

# Looking up a member of an enumeration is slow.
_READ, _WRITE = int(Kind.READ), int(Kind.WRITE)

#: A read may come before a write of its own register by so many accesses.
_NEAR = 4

#: After so many accesses in a row the driver is where it has jumped to.
_SURE = 3

#: A register: BAR, offset, width.
_Key = tuple[str, int, int]


class Window:
    """An access takes the next recorded one if it is the same. Else a read takes the oldest recorded read of its
    register that is still open, and a write the oldest write of its register with its value, both among the first N
    open accesses of the recording. The oldest open access is given up, it is missed, when N others behind it have
    been done.

    An access without a counterpart is extra. So is one that repeats the driver's last access where that is not
    recorded, and a read that would come long before the write of its register that it follows in the recording; it
    gets the value recorded there, other extra reads the register's last value. Where several CPUs are told apart,
    repeats and registers have no order. A write whose value is not in the window waits for the oldest write of its
    register that is given up: they are one differing access. What is extra never moves the window, so a driver that
    polls for long takes at most what lies in it. Where a driver leaves out more than the window, its last accesses
    tell where it is (`Anchors`).

    A wait (`trace.polls`) ends after as many reads as recorded, or at its time (`Timing`). A driver that reads more
    or less often is not told from one that waits longer: `Ledger.polls_more` and `polls_fewer` count those reads.

    UNKNOWN is met as by the policy queue. The verdict looks at what was done, not at the order within the window;
    `Ledger.in_order` says how many accesses came as recorded.
    """

    api: ClassVar[int] = API
    name: ClassVar[str] = "window"
    title: ClassVar[str] = "The recorded order, in which accesses may come early or late by a window."

    def __init__(self, tape: Tape) -> None:
        self.ledger = Ledger(tape, by_place=True)
        self.cpu = -1
        self._tape = tape
        self._size = Settings().window
        self._count = 0
        #: What is recorded next where the driver is; the same where it has jumped to, -1 for nowhere, and how many
        #: accesses it has done there, one after the other.
        self._next = 0
        self._jump = -1
        self._steps = 0
        #: The oldest position that is not given up or done, and how many behind it are done.
        self._base = 0
        self._beyond = 0
        self._last = LastValues()
        self._register = Places(tape).register
        self._waiting = Waiting(tape)
        #: Writes without a counterpart so far: what was done, where the tape was, where the window ended.
        self._left: dict[_Key, deque[tuple[Done, int, int]]] = {}
        #: The driver's last access, and whether its last one of each register was a write.
        self._previous: tuple[int, _Key, int | None] | None = None
        self._written: dict[_Key, bool] = {}
        #: Its last accesses, with those that had no counterpart, and how far it seems to be from the recording.
        self._recent: deque[tuple[Row, Done | None]] = deque(maxlen=LENGTH)
        self._stray: Done | None = None
        self._lost = 0
        self._anchors: Anchors | None = None
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
        value = self._last.put(bar, offset, width, self._answer(key))
        self._previous = (_READ, key, None)
        self._written[key] = False
        self._remember(Row("R", bar, offset, width, None))
        return value

    def _answer(self, key: _Key) -> int:
        bar, offset, width = key
        last = self._last.get(bar, offset, width)
        done = Done(self._count, "R", bar, offset, width, last)
        self._count += 1
        self._half = None
        position = expected = self._expected(_READ, key, None)
        if position < 0:
            position = self._inside(self._register("R", bar, offset, width).oldest(self.ledger.open, self._base))
        unknown = self._inside(self._register("U", bar, offset, ANY).oldest(self.ledger.open, self._base))
        if self._waiting.is_over(key) and unknown < 0 and (position < 0 or position != expected):
            # The wait is over, and the driver reads on: that is not yet the register's next read.
            self.ledger.polls_more += 1
            return last
        if position >= 0 and not 0 <= unknown < position:
            if position != expected and self._out_of_turn(_READ, key, None, position):
                return self._ask_early(key, done, position)
            return self._read(key, position, last)
        if unknown >= 0:
            self._waiting.other()
            self._take(unknown)
            self._half = key
        else:
            self._waiting.other()
            self._extra(done)
        return last

    def _read(self, key: _Key, position: int, last: int) -> int:
        """The answer from a recorded read, and from its wait where it is part of one."""
        found = self._waiting.read(key, position, self.ledger.open)
        if found is None:
            # All that was recorded of the wait is done, and its time has not come.
            self.ledger.polls_more += 1
            return last
        self._fewer(found.skipped)
        self._take(found.position)
        return self._value(found.position, last)

    def _out_of_turn(self, op: int, key: _Key, value: int | None, position: int) -> bool:
        """Would this access come before one of its register that is still to be done?

        Registers keep their order. Only where the driver seems to leave that one out, now, it may.
        """
        if self.cpu >= 0:
            # Between CPUs there is no order to hold.
            return False
        if self._previous == (op, key, value):
            return True
        reads, writes = (self._register(letter, *key).oldest(self.ledger.open, self._base) for letter in "RW")
        first = min((place for place in (reads, writes) if place >= 0), default=position)
        if first >= position:
            return False
        return op == _READ and first > self._next + _NEAR

    def _ask_early(self, key: _Key, done: Done, position: int) -> int:
        """An extra read. What was just written is answered by what will be read there, the likeliest there is."""
        self._waiting.other()
        if self._written.get(key):
            done = done._replace(value=self._value(position, done.value))
        self._extra(done)
        return done.value

    def _value(self, position: int, last: int) -> int:
        return int(self._tape.value[position]) if self._tape.has_value[position] else last

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Match it with the recorded writes."""
        key = (bar, offset, width)
        self._last.put(bar, offset, width, value)
        self._match_write(key, value)
        self._previous = (_WRITE, key, value)
        self._written[key] = True
        self._remember(Row("W", bar, offset, width, value))

    def _match_write(self, key: _Key, value: int) -> None:
        bar, offset, width = key
        done = Done(self._count, "W", bar, offset, width, value)
        self._count += 1
        self._waiting.other()
        half, self._half = self._half, None
        if half == key:
            self._halves.setdefault(half, []).append(value)
            return
        register = self._register("W", bar, offset, width)
        position = self._expected(_WRITE, key, value)
        if position < 0:
            position = self._inside(register.with_value(value, self._tape, self.ledger.open, self._base))
            if position >= 0 and self._out_of_turn(_WRITE, key, value, position):
                position = -1
        unknown = self._inside(self._register("U", bar, offset, ANY).oldest(self.ledger.open, self._base))
        if unknown >= 0 and not 0 <= position < unknown:
            position = unknown
        if position >= 0:
            self._leave_waits(position)
            self._take(position)
            return
        self._leave(key, done)
        expected = self._inside(register.oldest(self.ledger.open, self._base))
        if 0 <= expected <= self._next + _NEAR:
            # It may turn out to be this one with another value; an interrupt that follows it need not wait for that.
            self._leave_waits(expected)
            self.ledger.seems_done(expected)

    # -- the window -----------------------------------------------------------------------------------------

    @property
    def _end(self) -> int:
        """Where the window ends: so many are open before it, at most."""
        return self._base + self._size + self._beyond

    def _expected(self, op: int, key: _Key, value: int | None) -> int:
        """What is recorded next, where the driver is or where it has jumped to, if it is such an access, else -1."""
        self._next = place = self._open_from(self._next)
        if self._is_same(place, op, key, value):
            self._steps = 0
            self._lost -= self._lost > 0
            return place
        if self._jump < 0:
            return -1
        self._jump = place = self._open_from(self._jump)
        return place if self._is_same(place, op, key, value) else -1

    def _remember(self, row: Row) -> None:
        """Keep what the driver did, and look for it elsewhere when it has not been on its way for long."""
        self._recent.append((row, self._stray))
        self._lost += self._stray is not None
        self._stray = None
        if self._lost < LENGTH or len(self._recent) < LENGTH:
            return
        self._lost = LENGTH // 2
        if self._anchors is None:
            self._anchors = Anchors(self._tape)
        found = self._anchors.find([row for row, _ in self._recent], self._next)
        if found >= 0:
            self._go_to(found)

    def _go_to(self, position: int) -> None:
        """The driver has left a part of the recording out, and its last accesses are those that end at a position."""
        for back, (row, stray) in enumerate(reversed(self._recent)):
            place = position - back
            if stray is not None and place >= self._base and self.ledger.open[place]:
                if row.op == "R":
                    self.ledger.take_back(stray)
                else:
                    self._take_back(stray)
                self.ledger.match(place)
                self._closed(place)
        while self._base <= position and self._end <= position + self._size // 2:
            self._give_up()
        self._recent.clear()
        self._lost = 0
        self._next, self._jump = position + 1, -1

    def _take_back(self, done: Done) -> None:
        """A write that was left is one of those that were found."""
        key = (done.bar, done.offset, done.width)
        left = self._left.get(key, deque())
        kept = deque(entry for entry in left if entry[0] != done)
        if len(kept) == len(left):
            self.ledger.take_back(done)
        self._left[key] = kept

    def _open_from(self, place: int) -> int:
        """The first open position from `place` on, or where the window ends."""
        stop = min(self._end, len(self._tape))
        place = max(place, self._base)
        if place >= stop:
            return stop
        open_ = self.ledger.open
        if open_[place]:
            return place
        skipped = int(open_[place:stop].argmax())
        return place + skipped if skipped else stop

    def _is_same(self, place: int, op: int, key: _Key, value: int | None) -> bool:
        tape = self._tape
        if place >= min(self._end, len(tape)) or tape.op[place] != op or tape.offset[place] != key[1]:
            return False
        row = tape.row(place)
        return (row.bar, row.offset, row.width) == key and (value is None or row.value == value)

    def _inside(self, position: int) -> int:
        return position if position < self._end else -1

    def _take(self, position: int) -> None:
        self.ledger.match(position)
        if self._next <= position <= self._next + _NEAR:
            self._next = position + 1
        elif position == self._jump:
            self._jump = position + 1
            self._steps += 1
            if self._steps >= _SURE:
                # It goes on there, and may come back.
                self._next, self._jump, self._steps = self._jump, self._next, 0
        else:
            self._jump, self._steps = position + 1, 0
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

    def _extra(self, done: Done) -> None:
        self.ledger.add_extra(done, self._next)
        self._stray = done

    def _give_up(self) -> None:
        """The oldest open access drops out: it is missed, unless it is a wait's, or a write came in its place."""
        position = self._base
        if self._waiting.entered(position):
            self.ledger.skip_poll(position)
        elif self._left and self._tape.op[position] == _WRITE:
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
        self._stray = done

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
        behind = flatnonzero(ledger.open[self._base :]) + self._base
        for position in behind[tape.op[behind] == _WRITE].tolist() if self._left else ():
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
