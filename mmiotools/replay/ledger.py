"""The books of a replay: which recorded accesses were matched, and what was extra, differing or first to part."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from mmiotools.small import array
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, NamedTuple, NDArray

#: Entries of a list that are kept one by one; all are counted.
KEEP = 1000


class Done(NamedTuple):
    """One access as the driver made it. `number` counts the driver's accesses to the card from 0."""

    number: int
    op: str
    bar: str
    offset: int
    width: int
    value: int


class Parting(NamedTuple):
    """Where driver and recording first part.

    kind      extra: the driver did what is not recorded here; differing: it wrote, or a device answered, another
              value; missed: the driver did not do it
    position  place on the tape: the access that was expected there, or that would have followed
    expected  whether `position` is what was expected, rather than only where the driver was
    done      what the driver did, None when it did nothing more
    """

    kind: str
    position: int
    expected: bool
    done: Done | None


class Ledger:
    """Counts everything, keeps the first `KEEP` of each kind.

    by_place   what parts first is so by its place on the tape, else by when the driver did it
    listener   told each position as it is done, or as it seems to be
    excuse, any_time   say of what would be extra, and of positions (n,) that would be missed, that they are not;
               `excused` counts those
    polls_more, polls_fewer   reads of a wait (`trace.polls`) that the driver did beyond the recorded ones, and
               recorded ones that it did not do; they are neither extra nor missed
    """

    def __init__(self, tape: Tape, by_place: bool = False) -> None:
        self.tape = tape
        self.matched = 0
        self.extra: list[Done] = []
        self.extra_count = 0
        self.differing: list[tuple[int, Done]] = []
        self.differing_count = 0
        self.polls_more = 0
        self.polls_fewer = 0
        self.first: Parting | None = None
        self.listener: Callable[[int], None] | None = None
        self.excuse: Callable[[Done], bool] | None = None
        self.any_time: NDArray[np.bool_] | None = None
        self.excused = 0
        #: What the recording holds that neither matched nor differed.
        self.open = np.ones(len(tape), np.bool_)
        self._by_place = by_place
        #: The smallest end of an ascending sequence of matched positions, by its length; grows with the recording.
        self._ends = array("q")

    def match(self, position: int) -> None:
        """The driver did what is recorded at `position`."""
        self.matched += 1
        self.open[position] = False
        ends = self._ends
        if not ends or position > ends[-1]:
            ends.append(position)
        else:
            ends[bisect_left(ends, position)] = position
        if self.listener is not None:
            self.listener(position)

    @property
    def in_order(self) -> int:
        """The most matched accesses that can be picked so that the driver did them in the recorded order."""
        return len(self._ends)

    def skip_poll(self, position: int) -> None:
        """The driver did not need this read of a wait."""
        self.polls_fewer += 1
        self.open[position] = False

    def seems_done(self, position: int) -> None:
        """The driver did something that may turn out to be what is recorded at `position`."""
        if self.listener is not None:
            self.listener(position)

    def add_extra(self, done: Done, position: int, expected: bool = False) -> None:
        """The driver did something that is not recorded, when `position` came next on the tape."""
        if self.excuse is not None and self.excuse(done):
            self.excused += 1
            return
        self.extra_count += 1
        if len(self.extra) < KEEP:
            self.extra.append(done)
        self._part(Parting("extra", position, expected and position < len(self.tape), done))

    def take_back(self, done: Done) -> None:
        """This was extra, and is not."""
        self.extra_count -= 1
        if done in self.extra:
            self.extra.remove(done)
        if self.first is not None and self.first.done == done:
            self.first = None

    def add_differing(self, done: Done, position: int) -> None:
        """The right access with another value than is recorded at `position`."""
        self.differing_count += 1
        self.open[position] = False
        if len(self.differing) < KEEP:
            self.differing.append((position, done))
        self._part(Parting("differing", position, True, done))
        if self.listener is not None:
            self.listener(position)

    def close(self) -> None:
        """The driver has ended: if nothing was wrong so far, the first thing it left out is."""
        if self.any_time is not None:
            self.excused += int(np.count_nonzero(self.open & self.any_time))
            self.open &= ~self.any_time
        left = flatnonzero(self.open)
        if len(left) and (self.first is None or (self._by_place and left[0] < self.first.position)):
            self.first = Parting("missed", int(left[0]), True, None)

    def rewrite(self, change: Callable[[Done], Done]) -> None:
        """Show what the driver did as `change` has it."""
        self.extra = [change(done) for done in self.extra]
        self.differing = [(position, change(done)) for position, done in self.differing]
        if self.first is not None and self.first.done is not None:
            self.first = self.first._replace(done=change(self.first.done))

    @property
    def missed_count(self) -> int:
        """Recorded accesses that the driver did not do."""
        return int(np.count_nonzero(self.open))

    def missed(self) -> list[int]:
        """Positions of the first `KEEP` of them."""
        return [int(position) for position in flatnonzero(self.open)[:KEEP]]

    def _part(self, parting: Parting) -> None:
        # What is booked late may have happened early.
        first = self.first
        if first is None:
            self.first = parting
        elif self._by_place and parting.position != first.position:
            self.first = parting if parting.position < first.position else first
        elif parting.done is not None and first.done is not None and parting.done.number < first.done.number:
            self.first = parting
