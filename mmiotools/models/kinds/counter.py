"""A register that counts: up by itself, round and round."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import History, Model, mode
from mmiotools.typed import Any, Iterator

#: Reads that a counter must have, and how much of them must lie above the read before.
_LEAST, _RISING = 5, 0.9


class Counter(Model):
    """Starts at `reset`, and is `step` more at every read; or, with `rate`, so much more a second of the host's time.
    Wraps at its width.
    """

    kind = "counter"
    title = "Rises from read to read, and wraps."
    KEYS = {"step": "count", "rate": "count"}

    inexact = True

    step: int | None
    rate: int | None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """Where nearly every read is above the last."""
        pairs = history.pairs
        if np.count_nonzero(pairs) < _LEAST or history.constant:
            return
        mask = np.uint64(history.place.mask)
        deltas = ((history.values[1:] - history.values[:-1]) & mask)[pairs]
        half = mask >> np.uint64(1)
        rising = (deltas > 0) & (deltas <= half)
        if rising.mean() < _RISING:
            return
        step = mode(deltas[rising])
        times = history.times
        elapsed = (times[1:] - times[:-1])[pairs]
        timed = rising & (elapsed > 0) & (times[1:] >= 0)[pairs]
        rate = None
        if np.count_nonzero(timed) >= _LEAST:
            each = deltas[timed].astype(np.float64) / elapsed[timed]
            if np.std(each) / np.mean(each) < 0.5 * np.std(deltas[timed]) / np.mean(deltas[timed].astype(np.float64)):
                rate = round(float(np.median(each)) * 1e9)
        model = cls(history.place, int(history.values[0]), step=step, rate=rate or None)
        model.even = bool((deltas == deltas[0]).all())
        yield model

    #: Whether every step was the same.
    even = False

    @property
    def size(self) -> float:
        """More than storage, where each explains every read. Little where the steps are uneven: that nearly every read
        is above the last is more than another model that is as wrong could say.
        """
        return 0.95 if self.even else 0.4

    def prepare(self) -> None:
        """Counts by one if nothing is said."""
        self._step = 1 if self.step is None else self.step

    def restart(self) -> None:
        """Start again."""
        self._value = self.reset

    def answer(self, now: int = 0) -> int:
        """Where it is."""
        if self.rate is not None and now > 0:
            return self.reset + now * self.rate // 1_000_000_000 & self.place.mask
        return self._value

    def took(self, now: int = 0) -> None:
        """One step."""
        self._value = self._value + self._step & self.place.mask

    def dump(self) -> list[Any]:
        """Where it is."""
        return [self._value]

    def load(self, state: list[Any]) -> None:
        """Go there."""
        (self._value,) = state
