"""Where in a recording a driver is that was lost: what it did last is looked for as it stands, in one piece."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.trace.hashing import add_value, finish, register_sums
from mmiotools.trace.stable import stable_hash
from mmiotools.trace.tape import Row, Tape
from mmiotools.typed import NDArray, Sequence

#: So many accesses in a row have to be the same, and so many of them different ones.
LENGTH, DIFFERENT = 24, 6
#: Hashes of so many accesses are looked up; the first places found are looked at.
_GRAM, _LOOKED_AT = 8, 256

_U64 = NDArray[np.uint64]


class Anchors:
    """An index of every run of accesses on a tape; 24 bytes an access. Values of reads do not count."""

    def __init__(self, tape: Tape) -> None:
        self._bars = tape.bars
        self._regions = np.array([*(stable_hash((bar,)) for bar in tape.bars), 0], np.uint64)
        written = tape.op == Kind.WRITE
        self._keys = self._hashes(tape.bar, tape.offset, tape.op, tape.width, np.where(written, tape.value, 0))
        grams = _grams(self._keys)
        self._order = np.argsort(grams, kind="stable")
        self._grams = grams[self._order]

    def find(self, done: Sequence[Row], start: int) -> int:
        """Position of the last of the accesses `done`, if all of them lie in one piece at or behind `start`; the first
        such place, or -1.
        """
        if len(done) < LENGTH or len(set(done)) < DIFFERENT:
            return -1
        bar = np.array([self._bars.index(row.bar) if row.bar in self._bars else -1 for row in done], np.int16)
        op = np.array([Kind.WRITE if row.op == "W" else Kind.READ for row in done], np.uint8)
        value = np.array([row.value or 0 for row in done], np.uint64)
        offset = np.array([row.offset for row in done], np.uint64)
        keys = self._hashes(bar, offset, op, np.array([row.width for row in done], np.int16), value)
        gram = _grams(keys)[-1]
        low, high = (int(np.searchsorted(self._grams, gram, side)) for side in ("left", "right"))
        places = self._order[low:high]
        first = int(np.searchsorted(places, max(start, len(done) - _GRAM)))
        for place in places[first : first + _LOOKED_AT].tolist():
            last = int(place) + _GRAM - 1
            if bool((self._keys[last + 1 - len(done) : last + 1] == keys).all()):
                return last
        return -1

    def _hashes(
        self,
        bar: NDArray[np.int16],
        offset: _U64,
        op: NDArray[np.uint8],
        width: NDArray[np.int16],
        value: _U64,
    ) -> _U64:
        sums = register_sums(self._regions[bar], offset, op, width)
        return finish(add_value(sums, value.astype(np.uint64), np.ones(len(value), np.bool_)))


def _grams(keys: _U64) -> _U64:
    """A hash of each run of `_GRAM` keys, (n - _GRAM + 1,)."""
    count = max(len(keys) - _GRAM + 1, 0)
    sums = np.zeros(count, np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    for step in range(_GRAM):
        sums *= factor
        sums += keys[step : step + count]
    return sums
