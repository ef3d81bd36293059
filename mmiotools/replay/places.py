"""Where each register is accessed on a tape: the index that policies look accesses up in."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.trace.tape import Tape
from mmiotools.typed import NDArray

_OPS = {"R": Kind.READ, "W": Kind.WRITE, "U": Kind.UNKNOWN}
#: Stands for "any width": an UNKNOWN is known by its register alone.
ANY = 0xFFFF


class Register:
    """The recorded accesses of one kind to one register: `places` (k,) positions on the tape, ascending."""

    def __init__(self, places: NDArray[np.intp]) -> None:
        self.places = places
        self.cursor = 0
        self._by_value: tuple[NDArray[np.intp], NDArray[np.uint64]] | None = None
        self._starts: dict[int, int] = {}

    def oldest(self, open_: NDArray[np.bool_], base: int = 0) -> int:
        """The first position from `base` on that is still open, or -1; `base` never goes back. Amortised O(1)."""
        places, cursor = self.places, self.cursor
        while cursor < len(places) and (places[cursor] < base or not open_[places[cursor]]):
            cursor += 1
        self.cursor = cursor
        return int(places[cursor]) if cursor < len(places) else -1

    def with_value(self, value: int, tape: Tape, open_: NDArray[np.bool_], base: int = 0) -> int:
        """As `oldest`, of those that have this value. Amortised O(log k)."""
        first = self.oldest(open_, base)
        if first < 0:
            return -1
        if tape.value[first] == value and tape.has_value[first]:
            return first
        if self._by_value is None:
            known = self.places[tape.has_value[self.places]]
            values = tape.value[known]
            order = np.argsort(values, kind="stable")
            self._by_value = (known[order], values[order])
        places, values = self._by_value
        start = self._starts.get(value)
        if start is None:
            start = int(np.searchsorted(values, np.uint64(value), "left"))
        while start < len(places) and values[start] == value and (places[start] < base or not open_[places[start]]):
            start += 1
        self._starts[value] = start
        return int(places[start]) if start < len(places) and values[start] == value else -1


class Places:
    """All registers of a tape: one stable sort by kind of access and offset, of which each register is a slice."""

    def __init__(self, tape: Tape) -> None:
        self._bars = {bar: number for number, bar in enumerate(tape.bars)}
        code = _codes(tape)
        self._order = np.lexsort((tape.offset, code))
        self._code = code[self._order]
        self._offset = tape.offset[self._order]
        self._registers: dict[tuple[str, str, int, int], Register] = {}

    def register(self, op: str, bar: str, offset: int, width: int) -> Register:
        """Op R or W and its width, or U and ANY; it is looked for when it is first used."""
        key = (op, bar, offset, width)
        found = self._registers.get(key)
        if found is None:
            found = self._registers[key] = Register(self._places(op, bar, offset, width))
        return found

    def _places(self, op: str, bar: str, offset: int, width: int) -> NDArray[np.intp]:
        if bar not in self._bars:
            return np.zeros(0, np.intp)
        code = np.int64(_OPS[op] << 32 | self._bars[bar] << 16 | width)
        low, high = (int(at) for at in (np.searchsorted(self._code, code, side) for side in ("left", "right")))
        offsets = self._offset[low:high]
        wanted = np.uint64(offset)
        first, last = (int(np.searchsorted(offsets, wanted, side)) for side in ("left", "right"))
        return self._order[low + first : low + last]


def _codes(tape: Tape) -> NDArray[np.int64]:
    """Operation, BAR and width of every access as one number, (n,)."""
    width = np.where(tape.op == Kind.UNKNOWN, ANY, tape.width.astype(np.int64) & 0xFFFF)
    return np.asarray(tape.op.astype(np.int64) << 32 | tape.bar.astype(np.int64) << 16 | width, np.int64)
