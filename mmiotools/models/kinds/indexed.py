"""Registers that are a function of the last write: to themselves or to an index register, or to what they report on."""

from __future__ import annotations

from collections import Counter

from mmiotools.models.kinds.base import MAX_ENTRIES, History, Model, Since, looked_up, majority, mode
from mmiotools.models.kinds.storage import Storage
from mmiotools.models.stream import Place
from mmiotools.typed import Any, ClassVar, Iterator

#: From so many different answers on, a register written elsewhere is an index rather than a command.
_ANSWERS = 4
#: What an entry costs, and a further run of one.
_PRICE, _RUN = 0.6, 0.8
#: Indexes that are looked at for a sequence.
_SEQUENCES = 256

#: A value for so many reads, 0 for ever: (reads, value, 0).
Run = tuple[int, int, int]


class Indexed(Model):
    """Reads the entry of `table` for the last write, cut to `mask`; `reset` before. Where there is no entry, it is
    storage if `echo` is said (and `fixed`, bits that are set), else `reset` again. An entry whose value changes as it
    is read again is in `sequences`, as the runs of a poll; it is not begun anew by another write.
    """

    kind = "index-data"
    title = "An index is written, to itself or elsewhere, and its entry is read."
    least = 1.6
    KEYS: ClassVar = {"index": "place", "mask": "mask", "echo": "mask", "fixed": "value"}
    KEYS |= {"table": "table", "sequences": "sequences"}

    index: Place | None
    mask: int | None
    echo: int | None
    fixed: int | None
    table: dict[int, int]
    sequences: dict[int, list[Run]] | None

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
            if since.trigger is not None:
                # How often one register was read says little of what another one's write has led to.
                continue
            sequences = _sequences(history, since, table)
            if sequences:
                plain = {index: value for index, value in table.items() if index not in sequences}
                yield cls(history.place, reset, table=plain, sequences=sequences)
            stored = Storage.of_own_writes(history)
            if stored is not None:
                odd = {index: value for index, value in table.items() if stored.stores(index) != value}
                if odd:
                    odd = {index: value for index, value in odd.items() if index not in sequences}
                    same = {"echo": stored.echo, "fixed": stored.fixed, "sequences": sequences or None}
                    yield cls(history.place, stored.reset, table=odd, **same)

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
        runs = sum(_RUN * (len(held) - 1) + _PRICE for held in (self.sequences or {}).values())
        return 1.0 + 0.5 * (self.echo is not None) + _PRICE * len(self.table) + runs

    def prepare(self) -> None:
        """The register that is written, if another."""
        self.table = self.table or {}
        self.after = getattr(self, self.source)
        self._mask = self.mask
        if self._mask is not None:
            self._entries = {key & self._mask: value for key, value in self.table.items()}
        else:
            self._entries = self.table

        self._row: list[Run] | None = None

    def restart(self) -> None:
        """Nothing written."""
        self._value, self._row, self._key = self.reset, None, 0
        #: Of each sequence that was read: its run, and the reads that are left of it.
        self._places: dict[int, tuple[int, int]] = {}

    def answer(self, now: int = 0) -> int:
        """The entry."""
        if self._row is not None:
            return self._row[self._places.get(self._key, (0, 0))[0]][1]
        return self._value

    def took(self, now: int = 0) -> None:
        """A sequence goes on."""
        if self._row is None:
            return
        run, left = self._places.get(self._key, (0, self._row[0][0]))
        if run < len(self._row) - 1:
            self._places[self._key] = (run, left - 1) if left > 1 else (run + 1, self._row[run + 1][0])

    def _look(self, value: int) -> None:
        key = value if self._mask is None else value & self._mask
        self._row, self._key = None if self.sequences is None else self.sequences.get(key), key
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
        """What is read, and how far the sequences are."""
        return [self._value, self._key, self._row is not None, [[key, *place] for key, place in self._places.items()]]

    def load(self, state: list[Any]) -> None:
        """Read it again."""
        self._value, self._key, in_sequence, places = state
        self._row = (self.sequences or {}).get(self._key) if in_sequence else None
        self._places = {key: (run, left) for key, run, left in places}


class Status(Indexed):
    """The same for a register that reports on another: reads the entry of `table` for the last write to `after`."""

    kind = "status"
    title = "Reports what the last write to another register has led to."
    KEYS = {"after": "place", "mask": "mask", "table": "table"}
    source = "after"
    echo = fixed = sequences = None

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """`Indexed` finds these too."""
        yield from ()


def _sequences(history: History, since: Since, table: dict[int, int]) -> dict[int, list[Run]]:
    """Of indexes whose value changes as they are read again: the runs of their values, where these are fewer than the
    reads that the commonest value has wrong.
    """
    found: dict[int, list[Run]] = {}
    has = since.has
    keys, values = since.value[has], history.values[has]
    wrong = values != looked_up(keys, table, 0)
    for key, count in Counter(keys[wrong].tolist()).most_common(_SEQUENCES):
        runs: list[Run] = []
        for value in values[keys == key][:MAX_ENTRIES].tolist():
            if runs and runs[-1][1] == value:
                runs[-1] = (runs[-1][0] + 1, value, 0)
            else:
                runs.append((1, value, 0))
        if _RUN * (len(runs) - 1) < count:
            found[key] = [*runs[:-1], (0, runs[-1][1], 0)]
    return found
