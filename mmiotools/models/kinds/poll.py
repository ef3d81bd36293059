"""Registers whose value changes as they are read again and again: busy, and then ready."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import History, Model, Since, majority
from mmiotools.models.kinds.fifo import DATA, Fifo
from mmiotools.typed import Any, ClassVar, Iterator

#: Reads since a write that are told apart; the value then stays.
_FAR = 1024


class Poll(Model):
    """After a write to `after` (to itself if not said; `start` for power-on alone) reads run through `runs`, each a
    value for a number of reads or until so many nanoseconds after the write, the last one for ever. `reset` before.
    """

    kind = "poll-until"
    title = "Changes after some reads, or some time, since a write."
    least = 1.9
    KEYS: ClassVar = {"after": "place", "start": "flag", "runs": "runs"}

    start: bool | None
    runs: list[tuple[int, int, int]]

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """For the start, its own writes, and each register that is written just before."""
        if history.constant:
            return
        for since in (history.start, history.own, *history.others):
            has = since.has & (since.nth < _FAR)
            if not has.any() or not (since.nth[has] > 0).any():
                continue
            runs = _runs(history, since, has)
            if len(runs) < 2:
                continue
            first = history.values[~since.has]
            reset = int(first[0]) if len(first) else runs[0][1]
            start = True if since is history.start else None
            if len({value for _, value, _ in runs}) >= DATA:
                values = [value for reads, value, _ in runs for _ in range(max(reads, 1))]
                yield Fifo(history.place, reset, after=since.trigger, start=start, values=values)
            else:
                yield cls(history.place, reset, after=since.trigger, start=start, runs=runs)

    @property
    def size(self) -> float:
        """Each run counts; that a wait ends is expected, and costs less."""
        return 0.4 + 1.5 * (len(self.runs) - 1)

    def prepare(self) -> None:
        """At least one run."""
        self.runs = [(reads, value, nanoseconds) for reads, value, nanoseconds in (self.runs or [(0, self.reset, 0)])]

    def restart(self) -> None:
        """Before the write, unless it waits for none."""
        self._since = -1
        self._run = 0 if self.start else -1
        self._left = self.runs[0][0]

    def answer(self, now: int = 0) -> int:
        """The run's value."""
        if self._run < 0:
            return self.reset
        if now > 0 and self._since >= 0:
            self._wait(now)
        return self.runs[self._run][1]

    def _wait(self, now: int) -> None:
        while self._run < len(self.runs) - 1:
            until = self.runs[self._run][2]
            if not until or now - self._since < until:
                return
            self._next()

    def _next(self) -> None:
        self._run += 1
        self._left = self.runs[self._run][0]

    def took(self, now: int = 0) -> None:
        """One poll less."""
        if self._run < 0 or self._run == len(self.runs) - 1:
            return
        self._left -= 1
        if self._left <= 0:
            self._next()

    def wrote(self, value: int, now: int = 0) -> None:
        """Begin."""
        if self.after is None and not self.start:
            self.triggered(value, now)

    def triggered(self, value: int, now: int = 0) -> None:
        """Begin."""
        self._run, self._left = 0, self.runs[0][0]
        self._since = now if now > 0 else -1

    def dump(self) -> list[Any]:
        """Where it is."""
        return [self._run, self._left, self._since]

    def load(self, state: list[Any]) -> None:
        """Go there."""
        self._run, self._left, self._since = state


def _runs(history: History, since: Since, has: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """(reads, value, nanoseconds after the write by which it was another) of each run of equal values."""
    by_nth = majority(since.nth[has].astype(np.uint64), history.values[has])
    runs: list[tuple[int, int, int]] = []
    for nth in sorted(by_nth):
        value = by_nth[nth]
        if runs and runs[-1][1] == value:
            runs[-1] = (runs[-1][0] + 1, value, 0)
            continue
        if runs:
            times = since.elapsed[has & (since.nth == nth)]
            times = times[times >= 0]
            if len(times):
                runs[-1] = (*runs[-1][:2], int(np.median(times)))
        runs.append((1, value, 0))
    return [*runs[:-1], (0, *runs[-1][1:])]
