"""The path: follows a driver along recorded accesses, over gaps, repetitions and changes, and says what was read there.

This is prediction by the longest context, made to bear edits. A *place* is a row of the recordings that the driver may
have just come to; its score is how well the driver's last accesses agree with what was recorded before that row: each
access adds to it, the past fades. Usually there is one place, and the next access is the next row. Where it is not, a
place may be passed on to a later row (the driver left something out), stay (it did something twice, or something
new), and the longest context that was recorded anywhere gives places of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque

import numpy as np

from mmiotools.models.stream import BREAK, READ, WRITE, Stream
from mmiotools.trace.arrays import split
from mmiotools.typed import Any, Mapping, NamedTuple, NDArray

#: Accesses that are kept to be followed; models of registers are learned from all.
MAX_ROWS = 1 << 21
#: Places that are held at a time.
_BEAM = 6
#: What remains of a score after each access, and the score of a driver that never left the path.
_FADE = 0.95
FULL = 1 / (1 - _FADE)
#: Accesses that are looked for ahead where the driver left some out.
_AHEAD = 12
#: Where a register is read out of turn, how far away its recorded value may be.
_REACH = 512
#: Lengths of the contexts that are looked up when the driver is lost, the longest first, and places taken of each.
_CONTEXTS = (24, 8, 4)
_TAKEN = 4


class Found(NamedTuple):
    """What the path has for a read: the value and its row, how good the place is (0 to 1), and whether it was read
    there, rather than somewhere near.
    """

    value: int
    row: int
    score: float
    exact: bool


class Path:
    """Recorded accesses, ready to be followed. Takes about 100 bytes an access, for at most MAX_ROWS of them.

    driven  register → bits that its writes are not told apart by, because the card drives them
    """

    def __init__(self, stream: Stream, driven: Mapping[int, int] | None = None) -> None:
        self.driven = dict(driven or {})
        symbols: list[NDArray[np.int64]] = []
        values: list[NDArray[np.object_]] = []
        self.starts: list[int] = []
        size = 0
        for span in stream.spans():
            room = min(span.stop - span.start, MAX_ROWS - size)
            if room <= 0:
                break
            rows = slice(span.start, span.start + room)
            self.starts.append(size)
            symbol = stream.register[rows].astype(np.int64) * 4 + stream.op[rows]
            held = stream.value[rows].copy()
            for number, bits in self.driven.items():
                held[symbol == number * 4 + WRITE] &= np.uint64(~bits & (1 << 64) - 1)
            value = held.astype(np.object_)
            value[~stream.known[rows]] = None
            symbols += [symbol, np.full(1, BREAK, np.int64)]
            values += [value, np.full(1, None, np.object_)]
            size += room + 1
        self.array = np.concatenate([np.zeros(0, np.int64), *symbols])
        self.symbols: list[int] = self.array.tolist()
        self.values: list[int | None] = np.concatenate([np.zeros(0, np.object_), *values]).tolist()
        order = np.argsort(self.array, kind="stable")
        distinct, first = np.unique(self.array[order], return_index=True)
        self._rows_of = dict(zip(distinct.tolist(), split(order, first[1:]), strict=False))
        self._lists: dict[int, list[int]] = {}
        self._index: dict[int, tuple[memoryview, memoryview]] = {}

    def rows_of(self, symbol: int) -> list[int]:
        """Rows of a symbol, ascending."""
        found = self._lists.get(symbol)
        if found is None:
            rows = self._rows_of.get(symbol)
            found = self._lists[symbol] = [] if rows is None else rows.tolist()
        return found

    def last_write(self, register: int, row: int) -> int | None:
        """What the register was last written in the row's recording before the row; None if it was not."""
        rows = self.rows_of(register * 4 + WRITE)
        at = bisect_right(rows, row) - 1
        if at < 0 or rows[at] < self.starts[bisect_right(self.starts, row) - 1]:
            return None
        return self.values[rows[at]]

    def places(self, recent: list[int], near: int) -> tuple[list[int], int]:
        """Rows that come with the longest recorded context of the last symbols, the nearest first, and its length."""
        for length in _CONTEXTS:
            if len(recent) < length:
                continue
            hashes, order = self._contexts(length)
            wanted = _hash(recent[-length:])
            low = bisect_left(hashes, wanted)
            if low == len(hashes) or hashes[low] != wanted:
                continue
            at = bisect_left(order, near, low, bisect_right(hashes, wanted, low))
            found = [row for row in order[max(low, at - _TAKEN) : at + _TAKEN] if self._ends(row, recent[-length:])]
            return sorted(found, key=lambda row: abs(row - near))[:_TAKEN], length
        return [], 0

    def _ends(self, row: int, context: list[int]) -> bool:
        """Whether a context ends at a row: hashes may be equal by chance, and rows of others lie beside."""
        return self.symbols[row - len(context) + 1 : row + 1] == context

    def _contexts(self, length: int) -> tuple[memoryview, memoryview]:
        """Hashes of all contexts of a length, ascending, and the rows at which they end."""
        found = self._index.get(length)
        if found is None:
            hashes = np.zeros(max(0, len(self.array) - length + 1), np.uint64)
            for at in range(length):
                hashes = (hashes ^ self.array[at : at + len(hashes)].astype(np.uint64)) * np.uint64(_PRIME)
                hashes ^= hashes >> np.uint64(29)
            order = np.argsort(hashes, kind="stable")
            # Views, because the bisections above are of single numbers, which numpy is slow at.
            found = self._index[length] = (_view(hashes[order]), _view(order + length - 1))
        return found


def _view(numbers: NDArray[Any]) -> memoryview:
    return memoryview(numbers)  # type: ignore[arg-type]  # an array is a buffer, whatever its type says


_PRIME = 0xBF58476D1CE4E5B9
_WORD = (1 << 64) - 1


def _hash(symbols: list[int]) -> int:
    held = 0
    for symbol in symbols:
        held = (held ^ symbol) * _PRIME & _WORD
        held ^= held >> 29
    return held


class Follower:
    """Where a driver is on a path. A few microseconds an access; more where it has left the path.

    left  whether an access was ever another than the next row of the only place
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._symbols = path.symbols
        self._values = path.values
        #: (row of the last access, score), the best first.
        self._places: list[tuple[int, float]] = [(start - 1, 0.9 * FULL) for start in path.starts[:_BEAM]]
        self._recent: deque[int] = deque(maxlen=_CONTEXTS[0])
        self._failed = 0
        self.left = False

    def step(self, register: int, op: int, value: int | None = None) -> Found | None:
        """The driver makes an access; of a read, what was read at the best place that knows."""
        symbol = register * 4 + op
        symbols, values = self._symbols, self._values
        self._recent.append(symbol)
        places = self._places
        if len(places) == 1:
            row, score = places[0]
            row += 1
            if symbols[row] == symbol and (op != WRITE or values[row] == value):
                places[0] = (row, score * _FADE + 1)
                self._failed = 0
                held = values[row]
                return Found(held, row, score / FULL, True) if op == READ and held is not None else None
        return self._search(symbol, op, value)

    def _search(self, symbol: int, op: int, value: int | None) -> Found | None:
        self.left = True
        symbols, values = self._symbols, self._values
        moved: dict[int, float] = {}

        def add(row: int, score: float) -> None:
            if score > moved.get(row, 0.0):
                moved[row] = score

        exact: set[int] = set()
        for row, score in self._places:
            score *= _FADE
            after = row + 1
            if after < len(symbols) and symbols[after] == symbol:
                same = op != WRITE or values[after] == value
                add(after, score + (1.0 if same else 0.8))
                exact.add(after)
                if same:
                    continue
            for ahead in range(after + 1, min(after + _AHEAD, len(symbols))):
                if symbols[ahead] == BREAK:
                    break
                if symbols[ahead] == symbol and (op != WRITE or values[ahead] == value):
                    add(ahead, score + 0.5 - 0.5 * (ahead - after))
                    exact.add(ahead)
                    break
            if row >= 0 and symbols[row] == symbol and (op != WRITE or values[row] == value):
                add(row, score + 0.25)
                exact.add(row)
            else:
                add(row, score - 1.0)
        best = max(moved, key=moved.__getitem__) if moved else -1
        self._failed = 0 if best >= 0 and best in exact and moved[best] > 0.5 * FULL else self._failed + 1
        if self._failed > 2 or not moved:
            self._failed = 0
            rows, length = self._path.places(list(self._recent), best)
            for row in rows:
                add(row, FULL * (1 - _FADE**length) * 0.8)
                exact.add(row)
        kept = sorted(moved.items(), key=lambda item: -item[1])
        if not kept:
            return None
        limit = kept[0][1] - 8.0
        self._places = [item for item in kept[:_BEAM] if item[1] > limit]
        if op != READ:
            return None
        for row, score in self._places:
            if row in exact and values[row] is not None:
                return Found(values[row], row, max(0.0, score - 1) / FULL, True)  # type: ignore[arg-type]
        return self._near(symbol, *self._places[0])

    def _near(self, symbol: int, row: int, score: float) -> Found | None:
        """The value of a register that is read out of turn: what comes next there, else what came last."""
        rows = self._path.rows_of(symbol)
        at = bisect_right(rows, row)
        for near in (*rows[at : at + 1], *rows[max(0, at - 1) : at]):
            held = self._values[near]
            if held is not None and abs(near - row) < _REACH:
                return Found(held, near, max(0.0, score) / FULL, False)
        return None
