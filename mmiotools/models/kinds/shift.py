"""A serial device behind single bits of a register: select, clock, data in, data out, as a driver wiggles them."""

from __future__ import annotations

import numpy as np

from mmiotools.models.kinds.base import MAX_ENTRIES, History, Model
from mmiotools.models.kinds.storage import Storage
from mmiotools.typed import Any, Iterator, NamedTuple, Sequence

#: Writes that it takes to recognise one, and changes of the clock.
_LEAST = 32
#: Bits of one frame.
_LONGEST = 4096


class Lines(NamedTuple):
    """Bit numbers."""

    select: int
    clock: int
    data_in: int
    data_out: int


class Shift(Model):
    """Reads back `echo` as storage does, but for one bit, `data_out`. While the bit `select` is up, the bit `data_in`
    is taken at every rise of the bit `clock`; what data_out is after so many, `frames` says: what was shifted in →
    what was read after each bit, from before the first, "-" where nobody looked.
    """

    kind = "shift"
    title = "Single bits carry a serial device: select, clock, data in and out."
    least = 6.0
    KEYS = {
        "echo": "mask",
        "fixed": "value",
        "select": "bit",
        "clock": "bit",
        "data_in": "bit",
        "data_out": "bit",
        "frames": "frames",
    }

    echo: int
    fixed: int | None
    select: int
    clock: int
    data_in: int
    data_out: int
    frames: dict[str, str]

    @classmethod
    def fit(cls, history: History) -> Iterator[Model]:
        """Try the few ways in which bits can be these lines."""
        if len(history.written) < _LEAST or history.constant:
            return
        stored = Storage.of_own_writes(history)
        if stored is None:
            return
        for lines in _candidates(history, stored.echo):
            frames = _frames(history, lines)
            if 0 < len(frames) <= MAX_ENTRIES:
                echo = stored.echo & ~(1 << lines.data_out)
                yield cls(history.place, stored.reset, echo=echo, fixed=stored.fixed, frames=frames, **lines._asdict())

    @property
    def size(self) -> float:
        """A frame counts as so many entries of a table; how long it is does not matter."""
        return 4.0 + 2.0 * len(self.frames)

    def prepare(self) -> None:
        """Every beginning of a frame → what is read there."""
        for key in ("select", "clock", "data_in", "data_out"):
            if getattr(self, key) is None:
                raise ValueError(f"{key}: is missing")
        self.echo = self.place.mask if self.echo is None else self.echo
        self.frames = self.frames or {}
        self._fixed = (self.fixed or 0) & ~self.echo
        self.driven = 1 << self.data_out
        self._out: dict[str, int] = {}
        for shifted, read in self.frames.items():
            for at, bit in enumerate(read):
                if bit in "01":
                    self._out.setdefault(shifted[:at], int(bit))

    def restart(self) -> None:
        """Not selected."""
        self._value, self._shifted = self.reset, ""

    def answer(self, now: int = 0) -> int:
        """Storage, with the one bit from the frame."""
        bit = 1 << self.data_out
        value = self._value & ~bit
        known = self._out.get(self._shifted)
        if known is None:
            return value | self._value & bit if not self._shifted else value
        return value | bit if known else value

    def wrote(self, value: int, now: int = 0) -> None:
        """A line may have moved."""
        before = self._value
        self._value = value & self.echo | self._fixed
        if not value >> self.select & 1:
            self._shifted = ""
        elif value >> self.clock & 1 and not before >> self.clock & 1 and len(self._shifted) < _LONGEST:
            self._shifted += str(value >> self.data_in & 1)

    def dump(self) -> list[Any]:
        """Levels and frame."""
        return [self._value, self._shifted]

    def load(self, state: list[Any]) -> None:
        """Back."""
        self._value, self._shifted = state


def _candidates(history: History, echo: int) -> Iterator[Lines]:
    """The clock is what changes most; data out changes in reads by itself. The others are tried in turn, the busier
    ones first, since of two that seem to select the inner one does.
    """
    written = history.written
    changes = written[1:] ^ written[:-1]
    toggles = {bit: int(np.count_nonzero(changes >> np.uint64(bit) & np.uint64(1))) for bit in range(64)}
    moving = sorted((bit for bit in toggles if toggles[bit] >= 2), key=lambda bit: -toggles[bit])[:6]
    varying = np.bitwise_or.reduce(history.values ^ history.values[0])
    has = history.own.has
    apart = np.bitwise_or.reduce((history.values ^ history.own.value)[has]) if has.any() else np.uint64(0)
    outs = [bit for bit in range(64) if int(varying & apart) >> bit & 1 and bit not in moving[:1]]
    if len(moving) < 2 or not outs or toggles[moving[0]] < _LEAST // 2:
        return
    clock = moving[0]
    rest = moving[1:]
    for data_out in outs[:3]:
        for select in rest[:4]:
            for data_in in [bit for bit in rest if bit not in (select, data_out)][:2] or [select]:
                yield Lines(select, clock, data_in, data_out)


def _frames(history: History, lines: Lines) -> dict[str, str]:
    """What was shifted in, whole frames, and what was read beside."""
    frames: dict[str, list[str]] = {}
    shifted: list[str] = []
    read: list[str] = ["-"]
    level = selected = 0

    def close() -> None:
        if len(shifted) and any(bit != "-" for bit in read):
            frames.setdefault("".join(shifted), read.copy())

    for op, value in history.happened(None):
        if op == 0:
            read[-1] = str(value >> lines.data_out & 1)
            continue
        if op == 3:
            value = 0
        if not value >> lines.select & 1:
            if selected:
                close()
            shifted, read, selected = [], ["-"], 0
        else:
            selected = 1
            if value >> lines.clock & 1 and not level and len(shifted) < _LONGEST:
                shifted.append(str(value >> lines.data_in & 1))
                read.append("-")
        level = value >> lines.clock & 1
    close()
    return {key: "".join(held) for key, held in frames.items() if _informs(held)}


def _informs(read: Sequence[str]) -> bool:
    return any(bit != "-" for bit in read)
