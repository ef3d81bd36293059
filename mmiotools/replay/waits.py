"""How a driver's polls are met: by the recorded waits, whose number of reads is the driver's own affair."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.replay.settings import Timing
from mmiotools.trace.polls import find_waits
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, Iterator, NamedTuple, NDArray

_Key = tuple[str, int, int]
#: Recorded times are cut to this many nanoseconds; a wait ends that much early rather than one read late.
_PRECISION = 1000


class Answer(NamedTuple):
    """The recorded read that answers, and those before it that the driver did not need."""

    position: int
    skipped: list[int]


class Waiting:
    """The waits of a tape, and those that the driver is in: it has done a read of them, and not yet the last."""

    def __init__(self, tape: Tape) -> None:
        again = np.zeros(len(tape), np.bool_)
        if len(tape) > 1:
            read = tape.op == Kind.READ
            again[1:] = read[1:] & read[:-1]
            for column in (tape.bar, tape.offset, tape.width):
                again[1:] &= column[1:] == column[:-1]
        self._waits = find_waits(again, tape.value, tape.has_value)
        self._number = self._waits.of(len(tape)) if len(self._waits.first) else None
        times, present = tape.times()
        self._times, self._has_time = (times, present) if self._number is not None else (times[:0], present[:0])
        self._scale: float | None = None
        self._now: Callable[[], int] = lambda: 0
        #: Register → the wait that the driver is in.
        self._in: dict[_Key, int] = {}
        #: Wait → when the driver's first read of it was.
        self._began: dict[int, int] = {}
        #: Waits of which the driver has done some, but not the end.
        self._left: set[int] = set()
        #: The register whose wait the driver's last access has ended.
        self._over: _Key | None = None

    def tune(self, timing: Timing, now: Callable[[], int]) -> None:
        """Let waits have a time, of a clock in nanoseconds."""
        self._scale, self._now = timing.scale, now

    def number(self, position: int) -> int:
        """The wait that a position is part of, -1 for none."""
        return int(self._number[position]) if self._number is not None else -1

    def other(self) -> None:
        """The driver does something that is not reading on."""
        self._over = None

    def is_over(self, key: _Key) -> bool:
        """Does the driver read on a register whose wait has just ended?"""
        return self._over is not None and self._over == key

    def read(self, key: _Key, position: int, open_: NDArray[np.bool_]) -> Answer | None:
        """A read of a register whose oldest open read is at `position`. None: the wait goes on beyond its reads."""
        self._over = None
        number = self.number(position)
        if number < 0:
            return Answer(position, [])
        if self._in.get(key) != number:
            self._in[key] = number
            self._left.add(number)
            self._began.setdefault(number, self._now())
        last = int(self._waits.last[number])
        limit = self._limit(number)
        if limit is None or position == int(self._waits.first[number]):
            return self._end(key, number, last, []) if position == last else Answer(position, [])
        if self._now() - self._began[number] < limit:
            return None if position == last else Answer(position, [])
        return self._end(key, number, last, [at for at in range(position, last) if open_[at]])

    def _limit(self, number: int) -> float | None:
        """How long the wait lasts, in the host's nanoseconds; None where its number of reads says that."""
        if self._scale is None:
            return None
        first, last = int(self._waits.first[number]), int(self._waits.last[number])
        if not (self._has_time[first] and self._has_time[last]):
            return None
        return max(0, int(self._times[last]) - int(self._times[first]) - _PRECISION) * self._scale

    def _end(self, key: _Key, number: int, last: int, skipped: list[int]) -> Answer:
        self._in.pop(key, None)
        self._began.pop(number, None)
        self._left.discard(number)
        self._over = key
        return Answer(last, skipped)

    def left_before(self, position: int, open_: NDArray[np.bool_]) -> Iterator[tuple[_Key, int, list[int]]]:
        """The waits that end before `position` and that the driver has not seen the end of: register, position of the
        end, and what is open of them. The driver is in them no more.
        """
        if not self._in:
            return
        for key, number in list(self._in.items()):
            first, last = int(self._waits.first[number]), int(self._waits.last[number])
            if last < position:
                del self._in[key]
                self._began.pop(number, None)
                self._left.discard(number)
                yield key, last, [at for at in range(first, last + 1) if open_[at]]

    def entered(self, position: int) -> bool:
        """Is this part of a wait of which the driver has done something?"""
        return bool(self._left) and self.number(position) in self._left

    def all_entered(self, open_: NDArray[np.bool_]) -> list[int]:
        """What is open of the waits that the driver has begun and not ended."""
        spans = ((int(self._waits.first[number]), int(self._waits.last[number])) for number in sorted(self._left))
        return [at for first, last in spans for at in range(first, last + 1) if open_[at]]
