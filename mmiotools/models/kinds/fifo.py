"""Registers behind which values stand in a row: each read takes one."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import History, Model
from mmiotools.models.stream import Place
from mmiotools.typed import Any, ClassVar, Iterator

#: From so many different values in a row on, they are data.
DATA = 4
#: Values that wait at most.
_DEPTH = 4096


class Fifo(Model):
    """A FIFO of which the other end is the card's: reads give `values` one by one, again from the first after a write
    to `after`; the last one stays.
    """

    kind = "fifo"
    title = "Gives data one by one: what was written, or what the card holds."
    least = 2.0
    KEYS: ClassVar = {"after": "place", "start": "flag", "source": "place", "loop": "flag", "values": "values"}

    start: bool | None
    source: Place | None
    loop: bool | None
    values: list[int] | None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """A loop: what was written comes back in the order of writing. `Poll` finds those with data of their own."""
        if history.constant or len(history.values) < DATA:
            return
        for trigger in (None, *history.trigger_writes):
            written = history.written if trigger is None else history.trigger_writes[trigger][1]
            if len(written) >= DATA and np.isin(history.values, written).mean() > 0.5:
                yield cls(history.place, int(history.values[0]), source=trigger, loop=True)

    @property
    def size(self) -> float:
        """Each value counts, unless the driver brings them."""
        return 2.0 if self.loop else 1.0 + len(self.values or ())

    def prepare(self) -> None:
        """The register that is written."""
        if self.loop:
            self.after = self.source
        self._held = self.values or [self.reset]

    def restart(self) -> None:
        """Empty, or at the first value."""
        self._queue: list[int] = []
        self._at = 0 if self.start else -1
        self._last = self.reset

    def answer(self, now: int = 0) -> int:
        """The next."""
        if self.loop:
            return self._queue[0] if self._queue else self._last
        return self.reset if self._at < 0 else self._held[self._at]

    def took(self, now: int = 0) -> None:
        """It is gone."""
        if self.loop:
            if self._queue:
                self._last = self._queue.pop(0)
        elif self._at >= 0:
            self._at = min(self._at + 1, len(self._held) - 1)

    def wrote(self, value: int, now: int = 0) -> None:
        """More data, or begin again."""
        if self.after is None and not self.start:
            self.triggered(value, now)

    def triggered(self, value: int, now: int = 0) -> None:
        """More data, or begin again."""
        if self.loop:
            self._queue.append(value & self.place.mask)
            del self._queue[:-_DEPTH]
        else:
            self._at = 0

    def dump(self) -> list[Any]:
        """What it holds."""
        return [self._queue, self._at, self._last]

    def load(self, state: list[Any]) -> None:
        """Hold it again."""
        self._queue, self._at, self._last = list(state[0]), state[1], state[2]
