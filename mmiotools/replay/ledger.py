"""The books of a replay: which recorded accesses were matched, and what was extra, differing or first to part."""

from __future__ import annotations

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
    """Counts everything, keeps the first `KEEP` of each kind."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.matched = 0
        self.extra: list[Done] = []
        self.extra_count = 0
        self.differing: list[tuple[int, Done]] = []
        self.differing_count = 0
        self.first: Parting | None = None
        #: What the recording holds that neither matched nor differed.
        self.open = np.ones(len(tape), np.bool_)

    def match(self, position: int) -> None:
        """The driver did what is recorded at `position`."""
        self.matched += 1
        self.open[position] = False

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

    def close(self) -> None:
        """The driver has ended: if nothing was wrong so far, the first thing it left out is."""
        left = np.flatnonzero(self.open)
        if len(left) and self.first is None:
            self._part(Parting("missed", int(left[0]), True, None))

    @property
    def missed_count(self) -> int:
        """Recorded accesses that the driver did not do."""
        return int(np.count_nonzero(self.open))

    def missed(self) -> list[int]:
        """Positions of the first `KEEP` of them."""
        return [int(position) for position in np.flatnonzero(self.open)[:KEEP]]

    def _part(self, parting: Parting) -> None:
        # What is booked late may have happened early: the driver's own order decides.
        if self.first is None or (
            parting.done is not None and self.first.done is not None and parting.done.number < self.first.done.number
        ):
            self.first = parting
