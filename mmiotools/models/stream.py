"""The stream: accesses of one or several recordings of a card in one vocabulary of registers, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmiotools.trace.tape import Tape
from mmiotools.typed import Any, Iterable, Iterator, NamedTuple, NDArray

#: What an access does; with the register's number times 4 it makes a symbol.
READ, WRITE, UNKNOWN = 0, 1, 2
#: The symbol between two recordings, which no access has.
BREAK = -1


class Place(NamedTuple):
    """A register: what is touched by accesses of `width` bytes (-1 where not known) at `offset` of a BAR."""

    bar: str
    offset: int
    width: int

    @property
    def mask(self) -> int:
        """All its bits; 64 where the width is not known."""
        return (1 << 8 * self.width) - 1 if 0 < self.width <= 8 else (1 << 64) - 1

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + max(self.width, 1)

    def __str__(self) -> str:
        return f"{self.bar}+{self.offset:#x}/{self.width}"


@dataclass(slots=True)
class Vocabulary:
    """Numbers for registers, in order of first use."""

    places: list[Place] = field(default_factory=list)
    numbers: dict[Place, int] = field(default_factory=dict)
    #: Registers by the 8 bytes that they touch.
    _cells: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def number(self, place: Place) -> int:
        """The register's number, a new one for a register that was not seen before."""
        found = self.numbers.get(place)
        if found is None:
            found = self.numbers[place] = len(self.places)
            self.places.append(place)
            for cell in range(place.offset >> 3, (place.end - 1 >> 3) + 1):
                self._cells.setdefault((place.bar, cell), []).append(found)
        return found

    def near(self, number: int, distance: int = 0) -> list[int]:
        """Other registers that are known and less than so many bytes away, ascending; 0 for those that share bytes."""
        own = self.places[number]
        found = set()
        for cell in range(max(0, own.offset - distance) >> 3, (own.end + distance - 1 >> 3) + 1):
            for other in self._cells.get((own.bar, cell), ()):
                place = self.places[other]
                if place.offset < own.end + distance and own.offset < place.end + distance:
                    found.add(other)
        found.discard(number)
        return sorted(found)


@dataclass(slots=True)
class Stream:
    """The accesses of recordings, one behind the other, (n,) each.

    register  number in the vocabulary
    op        READ, WRITE or UNKNOWN
    value     cut to the width, with `known`
    time      nanoseconds since the recording's first access; -1 where there is none
    starts    where each recording starts, and n
    """

    vocabulary: Vocabulary
    register: NDArray[np.int32]
    op: NDArray[np.uint8]
    value: NDArray[np.uint64]
    known: NDArray[np.bool_]
    time: NDArray[np.int64]
    starts: list[int]

    def __len__(self) -> int:
        return len(self.register)

    def spans(self) -> Iterator[slice]:
        """The rows of each recording."""
        for start, stop in zip(self.starts, self.starts[1:], strict=False):
            yield slice(start, stop)

    def first(self) -> Stream:
        """The first recording alone."""
        stop = self.starts[1] if len(self.starts) > 1 else 0
        return self.only(slice(0, stop), [0, stop])

    def only(self, rows: slice | NDArray[np.intp], starts: list[int]) -> Stream:
        """Some of the rows, with where recordings start among them."""
        return Stream(
            self.vocabulary,
            self.register[rows],
            self.op[rows],
            self.value[rows],
            self.known[rows],
            self.time[rows],
            starts,
        )

    def steps(self) -> Iterator[tuple[int, int, int | None]]:
        """(register, op, value or None) of each access."""
        columns = (self.register, self.op, self.value, self.known)
        for register, op, value, known in zip(*(column.tolist() for column in columns), strict=True):
            yield register, op, value if known else None


def join(tapes: Iterable[Tape], vocabulary: Vocabulary | None = None) -> Stream:
    """One stream of some tapes, which are of one card. Registers take numbers of `vocabulary`, or of a new one."""
    vocabulary = Vocabulary() if vocabulary is None else vocabulary
    parts: list[tuple[NDArray[np.int32], Tape, NDArray[np.int64]]] = []
    starts = [0]
    for tape in tapes:
        parts.append((_registers(tape, vocabulary), tape, _times(tape)))
        starts.append(starts[-1] + len(tape))
    # Tapes say R, W, U as 0, 1, 2 (`Kind`), and so do streams.
    return Stream(
        vocabulary,
        _whole([part[0] for part in parts], "i4"),
        _whole([part[1].op for part in parts], "u1"),
        _whole([part[1].value for part in parts], "u8"),
        _whole([part[1].has_value for part in parts], "?"),
        _whole([part[2] for part in parts], "i8"),
        starts,
    )


def _registers(tape: Tape, vocabulary: Vocabulary) -> NDArray[np.int32]:
    keys = np.empty(len(tape), np.dtype([("bar", "i2"), ("width", "i2"), ("offset", "u8")]))
    keys["bar"], keys["width"], keys["offset"] = tape.bar, tape.width, tape.offset
    distinct, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    table = np.empty(len(distinct), np.int32)
    for at in np.argsort(first).tolist():
        bar, width, offset = distinct[at].item()
        table[at] = vocabulary.number(Place(tape.bars[bar], offset, width))
    return np.asarray(table[inverse.reshape(-1)], np.int32)


def _times(tape: Tape) -> NDArray[np.int64]:
    time, has = tape.times()
    if not has.any():
        return np.full(len(tape), -1, np.int64)
    return np.where(has, time - time[np.argmax(has)], -1)


def _whole(parts: list[Any], dtype: str) -> Any:
    return np.concatenate([np.zeros(0, dtype), *parts], dtype=dtype)
