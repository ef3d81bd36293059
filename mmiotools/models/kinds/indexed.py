"""Registers that are a function of the last write: to themselves or to an index register, or to what they report on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from mmiotools.models.kinds.base import MAX_ENTRIES, History, Model, Since, majority, mode
from mmiotools.models.kinds.storage import Storage
from mmiotools.models.stream import Place

#: From so many different answers on, a register written elsewhere is an index rather than a command.
_ANSWERS = 4
_PRICE = 0.6


class Indexed(Model):
    """Reads the entry of `table` for the last write, cut to `mask`; `reset` before. Where there is no entry, it is
    storage if `echo` is said (and `fixed`, bits that are set), else `reset` again.
    """

    kind = "index-data"
    title = "An index is written, to itself or elsewhere, and its entry is read."
    KEYS: ClassVar = {"index": "place", "mask": "mask", "echo": "mask", "fixed": "value", "table": "table"}

    index: Place | None
    mask: int | None
    echo: int | None
    fixed: int | None
    table: dict[int, int]

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """One model for its own last write, and one for each register that is written just before."""
        if history.constant:
            return
        for since in (history.own, *history.others):
            table = cls._table(history, since)
            if not 0 < len(table) <= MAX_ENTRIES:
                continue
            before = history.values[~since.has]
            reset = mode(before) if len(before) else history.mode
            kind = Indexed if since.trigger is None or len(set(table.values())) >= _ANSWERS else Status
            key = {kind.source: since.trigger}
            yield kind(history.place, reset, table=table, **key)
            stored = Storage.of_own_writes(history) if since.trigger is None else None
            if stored is not None:
                odd = {index: value for index, value in table.items() if stored.stores(index) != value}
                if odd:
                    yield cls(history.place, stored.reset, table=odd, echo=stored.echo, fixed=stored.fixed)

    #: The key that names the register that is written.
    source: ClassVar[str] = "index"

    @staticmethod
    def _table(history: History, since: Since) -> dict[int, int]:
        has = since.has
        if not has.any():
            return {}
        return majority(since.value[has], history.values[has])

    @property
    def size(self) -> float:
        """Each entry counts, and what holds for the others."""
        return 1.0 + 0.5 * (self.echo is not None) + _PRICE * len(self.table)

    def prepare(self) -> None:
        """The register that is written, if another."""
        self.table = self.table or {}
        self.after = getattr(self, self.source)
        self._mask = self.mask
        if self._mask is not None:
            self._entries = {key & self._mask: value for key, value in self.table.items()}
        else:
            self._entries = self.table

    def restart(self) -> None:
        """Nothing written."""
        self._value = self.reset

    def answer(self, now: int = 0) -> int:
        """The entry."""
        return self._value

    def _look(self, value: int) -> None:
        key = value if self._mask is None else value & self._mask
        found = self._entries.get(key)
        if found is None:
            found = self.reset if self.echo is None else value & self.echo | (self.fixed or 0) & ~self.echo
        self._value = found

    def wrote(self, value: int, now: int = 0) -> None:
        """Its own index."""
        if self.after is None:
            self._look(value)

    def triggered(self, value: int, now: int = 0) -> None:
        """The other's."""
        self._look(value)

    def dump(self) -> list[Any]:
        """The entry that is read."""
        return [self._value]

    def load(self, state: list[Any]) -> None:
        """Read it again."""
        (self._value,) = state


class Status(Indexed):
    """The same for a register that reports on another: reads the entry of `table` for the last write to `after`."""

    kind = "status"
    title = "Reports what the last write to another register has led to."
    KEYS = {"after": "place", "mask": "mask", "table": "table"}
    source = "after"
    echo = fixed = None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """`Indexed` finds these too."""
        yield from ()
