"""What every kind of register model has: how it is learned, how it answers, and how it is written down.

A model is a small machine. `answer` says what a read gives now; `took` that the read has happened; `wrote` that the
register was written; `triggered` that another register, `trigger`, was. Its *keys* are what a card file holds of it.
Which kind a register is, is decided by price: reads that the model gets wrong, and what it has to remember. A table
whose entries were each seen once explains nothing; an entry pays by being right again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mmiotools.models.stream import Place
from mmiotools.trace.arrays import append, flatnonzero
from mmiotools.typed import Any, ClassVar, Iterator, Mapping, NDArray

#: Events of one register that a model is tried on; of a busier register, the first ones.
MAX_TRIED = 1 << 16
#: What a model may have in one table.
MAX_ENTRIES = 1 << 14

Words = NDArray[np.uint64]


@dataclass(slots=True)
class Since:
    """For each read of a register (n,), what was last written to some register, its own or another.

    trigger  that register; None for its own, or for no write at all: the start
    value    uint64, 0 where there was no write yet
    write    int64, the number of that write, -1 where there was none
    nth      int64, which read since that write it is, from 0
    elapsed  int64, nanoseconds since that write, -1 where not known
    """

    trigger: Place | None
    value: Words
    write: NDArray[np.int64]
    nth: NDArray[np.int64]
    elapsed: NDArray[np.int64]

    @property
    def has(self) -> NDArray[np.bool_]:
        """Where there was a write, (n,)."""
        return self.write >= 0


@dataclass
class History:
    """All that happened to one register in the recordings.

    rows   of its reads, (n,), ascending, with `values` and `times` (-1 where not known)
    own    what was last written to itself, for each read
    others the same for the registers that are most often written just before
    start  the same as if the start of the recording had been the only write
    writes rows of writes to itself, (m,), with `written`, the values: those of other widths that share bytes among them
    breaks rows at which recordings start
    trigger_writes  the same as writes and written for the registers of `others`
    """

    place: Place
    rows: NDArray[np.intp]
    values: Words
    times: NDArray[np.int64]
    own: Since
    others: list[Since]
    start: Since
    writes: NDArray[np.intp]
    written: Words
    breaks: NDArray[np.intp]
    trigger_writes: Mapping[Place, tuple[NDArray[np.intp], Words]] = field(default_factory=dict)
    _happened: dict[Place | None, tuple[list[int], list[int]]] = field(default_factory=dict)

    @cached_property
    def mode(self) -> int:
        """The value that is read most often; the first of these."""
        return mode(self.values)

    @cached_property
    def constant(self) -> bool:
        """Whether every read gave the same."""
        return bool((self.values == self.values[0]).all())

    @cached_property
    def pairs(self) -> NDArray[np.bool_]:
        """Of each read but the first, whether it follows the one before in the same recording; (n - 1,)."""
        if len(self.rows) < 2:
            return np.zeros(0, np.bool_)
        epoch = np.searchsorted(self.breaks, self.rows, "right")
        return np.asarray(epoch[1:] == epoch[:-1])

    def happened(self, trigger: Place | None) -> Iterator[tuple[int, int]]:
        """What a model with that trigger meets, in order: (0, value read), (1, written), (2, written to the trigger),
        (3, 0) at the start of a recording. At most MAX_TRIED.
        """
        found = self._happened.get(trigger)
        if found is None:
            found = self._happened[trigger] = self._merged(trigger)
        return zip(*found, strict=True)

    def _merged(self, trigger: Place | None) -> tuple[list[int], list[int]]:
        parts = [(self.rows, self.values, 0), (self.writes, self.written, 1)]
        if trigger is not None and trigger in self.trigger_writes:
            parts.append((*self.trigger_writes[trigger], 2))
        parts.append((self.breaks, np.zeros(len(self.breaks), np.uint64), 3))
        rows = np.concatenate([part[0] for part in parts])
        values = np.concatenate([part[1] for part in parts])
        ops = np.concatenate([np.full(len(part[0]), part[2], np.uint8) for part in parts])
        # A recording starts before its first access.
        order = np.lexsort((ops != 3, rows))[:MAX_TRIED]
        return ops[order].tolist(), values[order].tolist()


class Model:
    """One register's model. A kind says `kind`, `title`, its keys, and does what the module's text says."""

    kind: ClassVar[str] = ""
    title: ClassVar[str] = ""
    #: Key of the card file → what it must be: "value", "mask", "count", "place", "table", "runs", "values", "frames".
    KEYS: ClassVar[Mapping[str, str]] = {}
    #: Whether it may be the right model although it seldom knows the exact value.
    inexact: ClassVar[bool] = False
    #: The smallest `size` that one can have: who is cheaper already need not try.
    least: ClassVar[float] = 0.0
    #: Whether the recordings have writes to the register.
    written_to: bool = False

    def __init__(self, place: Place, reset: int = 0, **keys: Any) -> None:
        self.place = place
        self.reset = reset
        self.after: Place | None = None
        #: Bits that the card drives whatever is written: what a driver writes there it has read before.
        self.driven = 0
        for key in self.KEYS:
            setattr(self, key, keys.get(key))
        self.prepare()
        self.restart()

    # -- learning -----------------------------------------------------------------------------------------

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """Models of this kind that may be right for the register."""
        yield from ()

    @property
    def size(self) -> float:
        """What it has to remember, in reads that it must get right to be worth it."""
        return 1.0

    # -- running ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """The keys are set: check them, and make what is needed. Raises ValueError with the key's name first."""

    def restart(self) -> None:
        """Power-on."""

    def answer(self, now: int = 0) -> int:
        """What a read gives."""
        return self.reset

    def took(self, now: int = 0) -> None:
        """A read has happened."""

    def wrote(self, value: int, now: int = 0) -> None:
        """The register was written."""

    def triggered(self, value: int, now: int = 0) -> None:
        """The trigger was written."""

    # -- files --------------------------------------------------------------------------------------------

    def keys(self) -> dict[str, Any]:
        """What a card file holds of it, without keys that say nothing."""
        return {key: held for key in self.KEYS if (held := getattr(self, key)) is not None}

    # -- state --------------------------------------------------------------------------------------------

    def dump(self) -> list[Any]:
        """The state, JSON fit."""
        return []

    def load(self, state: list[Any]) -> None:
        """Back to what `dump` gave."""


def mode(values: Words) -> int:
    """The commonest value, of equally common ones the first to come; 0 of none."""
    if not len(values):
        return 0
    distinct, first, count = np.unique(values, return_index=True, return_counts=True)
    return int(distinct[np.lexsort((first, -count))[0]])


def majority(keys: Words, values: Words) -> dict[int, int]:
    """For each key the commonest value; (n,) each."""
    if not len(keys):
        return {}
    order = np.lexsort((values, keys))
    key, value = keys[order], values[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (key[1:] != key[:-1]) | (value[1:] != value[:-1])
    at = flatnonzero(new)
    count = np.diff(append(at, len(order)))
    table: dict[int, int] = {}
    for index in np.argsort(count, kind="stable").tolist():
        table[int(key[at[index]])] = int(value[at[index]])
    return table


def looked_up(keys: Words, table: Mapping[int, int], default: int) -> Words:
    """What a table gives for each key, (n,)."""
    if not table:
        return np.full(len(keys), default, np.uint64)
    known = np.array(sorted(table), np.uint64)
    held = np.array([table[key] for key in sorted(table)], np.uint64)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, held[at], np.uint64(default))
