"""Registers that report what has happened until they are told that it was seen: by a write of ones, or by the read."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import History, Model, Since, majority, mode
from mmiotools.models.kinds.storage import bits_set, mask_of
from mmiotools.typed import Any, ClassVar, Iterator

#: How often a bit must have been cleared as the kind says, and how rarely otherwise.
_LEAST, _OTHERWISE = 1, 0.1
#: Times that it was seen to clear, from which on it is taken for this rather than for something as good.
_SURE = 3
#: And of the bits that change, the share that must clear so: in noise a few always seem to.
_SHARE = 1 / 3
_PRICE = 0.6


class Clearing(Model):
    """Holds `reset` until told. Bits of `clear` go away when ones are written to them; a write to `after` sets the bits
    that `sets` has for it. Other bits stay as in `reset`.
    """

    kind = "write-one-to-clear"
    title = "Bits stay until ones are written to them."
    KEYS: ClassVar = {"clear": "mask", "after": "place", "sets": "table"}

    clear: int
    sets: dict[int, int] | None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """From reads before and after exactly one write."""
        clear, times = cls.cleared(history)
        if not clear:
            return
        # Bits that clear are as they were found, the others as they mostly are: events set some ever again.
        bits = np.uint64(clear)
        reset = int(history.values[0] & bits) | mode(history.values & ~bits)
        found = [cls(history.place, reset, clear=clear)]
        for since in history.others:
            sets = _sets(history, since, clear)
            if sets:
                found.append(cls(history.place, reset, clear=clear, after=since.trigger, sets=sets))
        first = history.values[0]
        changing = int(np.bitwise_or.reduce(history.values ^ first)).bit_count()
        for model in found:
            model.sure = times >= _SURE and clear.bit_count() >= _SHARE * changing
            yield model

    #: Whether it was seen to clear often enough.
    sure = False

    @classmethod
    def cleared(cls, history: History) -> tuple[int, int]:
        """The bits that are cleared in this way, as a mask, and how often that was seen."""
        own = history.own
        if len(history.rows) < 2 or not own.has.any():
            return 0, 0
        # Pairs of reads with exactly one own write between them.
        one = history.pairs & (own.write[1:] == own.write[:-1] + 1)
        before, after, written = history.values[:-1][one], history.values[1:][one], own.value[1:][one]
        counts = np.ones(len(before), np.int64)
        gone = bits_set(before & written & ~after, counts)
        kept = bits_set(before & written & after, counts)
        untouched = bits_set(before & ~written & after, counts)
        lost = bits_set(before & ~written & ~after, counts)
        # A bit that stores what is written would be set after a one, and gone after a zero.
        good = (gone >= _LEAST) & (kept <= gone * _OTHERWISE) & (lost <= _OTHERWISE * (lost + untouched))
        return mask_of(good) & history.place.mask, int(gone[good].sum())

    @property
    def size(self) -> float:
        """A mask, and each entry."""
        return (0.5 if self.sure else 1.5) + _PRICE * len(self.sets or {})

    def prepare(self) -> None:
        """All bits if nothing is said."""
        self.clear = self.place.mask if self.clear is None else self.clear
        self._sets = self.sets or {}

    def restart(self) -> None:
        """As at power-on."""
        self._value = self.reset

    def answer(self, now: int = 0) -> int:
        """What has happened."""
        return self._value

    def wrote(self, value: int, now: int = 0) -> None:
        """Seen."""
        self._value &= ~(value & self.clear)

    def triggered(self, value: int, now: int = 0) -> None:
        """Something happens."""
        self._value |= self._sets.get(value, 0)

    def dump(self) -> list[Any]:
        """What has happened."""
        return [self._value]

    def load(self, state: list[Any]) -> None:
        """It has."""
        (self._value,) = state


class ReadClearing(Clearing):
    """The same for bits of `clear` that go away by being read."""

    kind = "read-to-clear"
    title = "Bits are gone once they were read."

    @classmethod
    def cleared(cls, history: History) -> tuple[int, int]:
        """From reads that follow each other without a write between."""
        if len(history.rows) < 2:
            return 0, 0
        none = history.pairs & (history.own.write[1:] == history.own.write[:-1])
        before, after = history.values[:-1][none], history.values[1:][none]
        counts = np.ones(len(before), np.int64)
        gone, kept = bits_set(before & ~after, counts), bits_set(before & after, counts)
        good = (gone >= _LEAST) & (kept <= gone * 0.25)
        return mask_of(good) & history.place.mask, int(gone[good].sum())

    def wrote(self, value: int, now: int = 0) -> None:
        """Nothing."""

    def took(self, now: int = 0) -> None:
        """Seen."""
        self._value &= ~self.clear


def _sets(history: History, since: Since, clear: int) -> dict[int, int]:
    """Bits that are set at the first read after each value written to another register."""
    first = since.has & (since.nth == 0)
    if not first.any():
        return {}
    mask = np.uint64(clear)
    table = majority(since.value[first], history.values[first] & mask)
    return {key: value for key, value in table.items() if value}
