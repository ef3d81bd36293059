"""The interrupt line of a mock card: raised where the recording has a handler begin, lowered when it has begun."""

from __future__ import annotations

import numpy as np

from mmiotools.engine.interface import Host
from mmiotools.replay.settings import WINDOW, Timing
from mmiotools.trace.tape import Tape
from mmiotools.typed import NamedTuple, NDArray

#: How the source of entries ends that nobody named.
GUESS = "by what it looks like"
#: An interrupt that came within this of the access before it, nanoseconds, comes at once.
AT_ONCE = 2_000_000
#: After this without an access, nanoseconds, a driver is idle: the next interrupt comes all the same.
IDLE = 1_500_000_000
#: So long is waited at most where the recording has a longer pause.
LONGEST = 10_000_000_000


class Entries(NamedTuple):
    """Where handlers begin in a recording: `places` (k,) ascending positions on the tape, each the first access of a
    handler. `source` says how that is known.
    """

    places: NDArray[np.int64]
    source: str


class Delivered(NamedTuple):
    """What became of the recorded interrupts.

    recorded   handlers in the recording, None where that is not known
    delivered  times that the line was raised for one, `idle` of them only because the driver waited
    source     how they are known
    """

    recorded: int | None = 0
    delivered: int = 0
    idle: int = 0
    source: str = "none"

    @property
    def guessed(self) -> bool:
        """Is the cause register one that only looks like it?"""
        return self.source.endswith(GUESS)


class Line:
    """One level-triggered line, or one vector.

    An interrupt is due once the access recorded just before its handler has happened: at once where the recorded gap
    is below `AT_ONCE` and recorded times do not count, else after the gap. If the driver waits for `IDLE`, and longer
    than the recording did there, and an interrupt of the next `WINDOW` recorded accesses has not come, it comes. The
    handler's first access lowers the line, and so does one like it that is not recorded.
    """

    def __init__(self, tape: Tape, entries: Entries, number: int, timing: Timing) -> None:
        self.entries = entries
        self.delivered = 0
        self.idle = 0
        self._number = number
        self._scale = timing.scale
        self._host: Host | None = None
        places = entries.places
        self._index = {int(place): at for at, place in enumerate(places.tolist())}
        self._times, self._present = tape.times()
        before = np.maximum(places - 1, 0)
        gaps = np.maximum(self._times[places] - self._times[before], 0)
        #: Recorded nanoseconds between each handler and the access before it; 0 where that is not known.
        self._gap = np.where(self._present[places] & self._present[before], gaps, 0).tolist()
        rows = (tape.row(int(place)) for place in places.tolist())
        #: What handlers begin with.
        self._begin = {(row.op, row.bar, row.offset) for row in rows}
        #: Handlers that have begun, were asked for, or will not come any more.
        self._settled = np.zeros(len(places), np.bool_)
        self._first = 0
        self._up: set[int] = set()
        #: When a line shall be raised, and for which entry.
        self._later: list[tuple[int, int]] = []
        self._now_due: list[int] = []
        self._begun = self._did = False
        self._last_place = -1
        self._last_time = 0

    def attach(self, host: Host) -> None:
        """The line ends there."""
        self._host = host
        self._last_time = host.now()

    @property
    def summary(self) -> Delivered:
        """So far."""
        return Delivered(len(self.entries.places), self.delivered, self.idle, self.entries.source)

    # -- accesses -------------------------------------------------------------------------------------------

    def happened(self, place: int) -> None:
        """The driver did what is recorded at this position of the tape; called before `after`."""
        self._did = True
        self._last_place = place
        begun = self._index.get(place)
        if begun is not None:
            self._settle(begun)
            self._begun = True
            self._later = [item for item in self._later if item[1] != begun]
        following = self._index.get(place + 1)
        if following is None or self._settled[following]:
            return
        self._settle(following)
        gap = self._gap[following]
        delay = gap if gap >= AT_ONCE and self._scale is None else gap * (self._scale or 0)
        if delay and self._host is not None:
            self._later.append((self._host.now() + int(delay), following))
        else:
            self._now_due.append(following)

    def after(self, op: str, bar: str, offset: int) -> None:
        """An access is done: lower the line, raise it."""
        if self._host is None:
            return
        self._last_time = self._host.now()
        begun = self._begun or (not self._did and (op, bar, offset) in self._begin)
        if begun and self._up:
            self._up.clear()
            self._host.irq(self._number, 0)
        self._begun = self._did = False
        due, self._now_due = self._now_due, []
        for entry in due:
            self._raise(entry)

    def _settle(self, entry: int) -> None:
        self._settled[entry] = True
        while self._first < len(self._settled) and self._settled[self._first]:
            self._first += 1

    def _raise(self, entry: int) -> None:
        assert self._host is not None
        self.delivered += 1
        down = not self._up
        self._up.add(entry)
        if down:
            self._host.irq(self._number, 1)

    # -- time -----------------------------------------------------------------------------------------------

    def due(self) -> int | None:
        """When `tick` has something to do, in the host's time; None for never."""
        times = [time for time, _ in self._later]
        if not self._up and not times and self._outstanding():
            times.append(self._last_time + self._patience())
        return min(times) if times else None

    def _patience(self) -> int:
        """How long the driver may do nothing before it is idle: longer where the recording did nothing for long."""
        at = self._last_place
        if not 0 <= at < len(self._times) - 1 or not (self._present[at] and self._present[at + 1]):
            return IDLE
        pause = int((int(self._times[at + 1]) - int(self._times[at])) * (self._scale or 1))
        return max(IDLE, min(pause + pause // 5, LONGEST))

    def _outstanding(self) -> bool:
        return self._first < len(self._settled) and self.entries.places[self._first] - self._last_place <= WINDOW

    def tick(self) -> None:
        """Raise what is due."""
        if self._host is None:
            return
        now = self._host.now()
        due = [entry for time, entry in self._later if time <= now]
        self._later = [(time, entry) for time, entry in self._later if time > now]
        for entry in due:
            self._raise(entry)
        if not self._up and not self._later and self._outstanding() and now - self._last_time >= self._patience():
            entry = self._first
            self._settle(entry)
            self.idle += 1
            self._raise(entry)
            self._last_time = now
