"""A register that reads back what was written, bit by bit."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import History, Model, Since, Words, mode
from mmiotools.models.stream import Place
from mmiotools.typed import Any, Iterator

_BITS = np.arange(64, dtype=np.uint64)


def bits_set(values: Words, counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How often each bit is set, (64,), in values of which each counts so often."""
    found = np.zeros(64, np.uint64)
    weights = counts.astype(np.uint64)
    left = int(np.bitwise_or.reduce(values)) if len(values) else 0
    while left:
        # One bit after the other: all of them at once take 64 times the memory.
        bit = left.bit_length() - 1
        found[bit] = ((values >> np.uint64(bit) & np.uint64(1)) * weights).sum()
        left &= ~(1 << bit)
    return found


def mask_of(flags: np.ndarray[Any, Any]) -> int:
    """The number whose bits are set where flags (64,) are."""
    return int(np.bitwise_or.reduce(np.where(flags, np.uint64(1) << _BITS, np.uint64(0))))


class Storage(Model):
    """`reset` until it is written, or the register `of` if that is said; then the bits of `echo` as they were written
    last, the others as in `fixed`.
    """

    kind = "storage"
    title = "Bits read back what was written, or stay as they are."
    KEYS = {"of": "place", "echo": "mask", "fixed": "value"}

    of: Place | None
    echo: int
    fixed: int | None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """Each bit is what is wrong less often: the last write's, or the same always. Where both are as good, it is
        taken for storage, as most bits are that take a write.
        """
        for since in (history.own, *history.others):
            model = cls._fit_one(history, since)
            if model is not None:
                yield model

    @classmethod
    def of_own_writes(cls, history: History) -> Storage | None:
        """The model that goes by the register's own writes; None if it has none, or no bit is stored."""
        return cls._fit_one(history, history.own)

    @classmethod
    def _fit_one(cls, history: History, since: Since) -> Storage | None:
        has = since.has
        if not has.any():
            return None
        pairs, counts = np.unique(np.stack([since.value[has], history.values[has]]), axis=1, return_counts=True)
        written, read = pairs
        differs = bits_set(written ^ read, counts)
        ones = bits_set(read, counts)
        total = np.uint64(counts.sum())
        wrong_fixed = np.minimum(ones, total - ones)
        # Of another register only bits that move with it: its own store what they are given, others by chance.
        echo = mask_of(differs <= wrong_fixed if since.trigger is None else differs < wrong_fixed) & history.place.mask
        fixed = mask_of(ones * np.uint64(2) > total) & ~echo
        before = history.values[~has]
        reset = mode(before) if len(before) else fixed
        if not echo:
            return None
        model = cls(history.place, reset, of=since.trigger, echo=echo, fixed=fixed or None)
        model.shown = bool((read & np.uint64(echo)).any())
        return model

    #: Whether a bit that was written was seen to be set.
    shown = False

    @property
    def size(self) -> float:
        """A mask, and the other register; less than a constant where what was written came back."""
        return 2.0 if self.of is not None else 0.9 if self.shown else 1.1

    def prepare(self) -> None:
        """All bits echo if nothing is said."""
        self.after = self.of
        self.echo = self.place.mask if self.echo is None else self.echo
        self._fixed = (self.fixed or 0) & ~self.echo

    def restart(self) -> None:
        """Unwritten."""
        self._value = self.reset

    def answer(self, now: int = 0) -> int:
        """As stored."""
        return self._value

    def wrote(self, value: int, now: int = 0) -> None:
        """Store."""
        if self.of is None:
            self._value = self.stores(value)

    def triggered(self, value: int, now: int = 0) -> None:
        """Store what another register was given."""
        self._value = self.stores(value)

    def stores(self, value: int) -> int:
        """What is read after a write of `value`."""
        return value & self.echo | self._fixed

    def dump(self) -> list[Any]:
        """The stored value."""
        return [self._value]

    def load(self, state: list[Any]) -> None:
        """Store it."""
        (self._value,) = state
