"""The books of a replay: which recorded accesses were matched, and what was extra, differing or first to part."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mmiotools.trace.tape import Tape

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
              value; missed: the driver ended before this
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
        self.extra_count += 1
        if len(self.extra) < KEEP:
            self.extra.append(done)
        self._part(Parting("extra", position, expected and position < len(self.tape), done))

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
        left = np.flatnonzero(self.open)
        if len(left) and (self.first is None or (self._by_place and left[0] < self.first.position)):
            self.first = Parting("missed", int(left[0]), True, None)

    @property
    def missed_count(self) -> int:
        """Recorded accesses that the driver did not do."""
        return int(np.count_nonzero(self.open))

    def missed(self) -> list[int]:
        """Positions of the first `KEEP` of them."""
        return [int(position) for position in np.flatnonzero(self.open)[:KEEP]]

    def _part(self, parting: Parting) -> None:
        # What is booked late may have happened early.
        first = self.first
        if first is None:
            self.first = parting
        elif self._by_place and parting.position != first.position:
            self.first = parting if parting.position < first.position else first
        elif parting.done is not None and first.done is not None and parting.done.number < first.done.number:
            self.first = parting
