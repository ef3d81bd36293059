"""Ways to answer reads that learn nothing: what learned models have to be better than."""

from __future__ import annotations

from mmiotools.models.stream import READ, WRITE, Stream
from mmiotools.typed import Protocol


class Strategy(Protocol):
    """Answers reads one by one; sees writes and nothing else."""

    def read(self, register: int) -> int: ...
    def write(self, register: int, value: int) -> None: ...


class PlainRam:
    """What was written last, 0 before."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}

    def read(self, register: int) -> int:
        """Its value."""
        return self._held.get(register, 0)

    def write(self, register: int, value: int) -> None:
        """Store."""
        self._held[register] = value


class LastValue(PlainRam):
    """The last value that was ever read there when it was recorded; plain RAM for registers that were not."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._last = {register: value for register, op, value in stream.steps() if op == READ and value is not None}

    def read(self, register: int) -> int:
        """Its value."""
        value = self._last.get(register)
        return super().read(register) if value is None else value


class RegisterQueue(PlainRam):
    """Each register by itself: its recorded values in order, and then the last one; plain RAM for the others."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._values: dict[int, list[int]] = {}
        self._next: dict[int, int] = {}
        for register, op, value in stream.steps():
            if op == READ and value is not None:
                self._values.setdefault(register, []).append(value)

    def read(self, register: int) -> int:
        """The next."""
        values = self._values.get(register)
        if values is None:
            return super().read(register)
        at = self._next.get(register, 0)
        self._next[register] = at + 1
        return values[min(at, len(values) - 1)]


class Sequence:
    """The recording in its order: an access that is the next one takes it; at any other the recording waits. A read out
    of turn gets all ones, as from a bus without a device; or, with `last`, what was last read or written there, as the
    policy strict of `mmiotools replay` does.
    """

    def __init__(self, stream: Stream, last: bool = False) -> None:
        self._steps = list(stream.steps())
        self._at = 0
        self._ones = [place.mask for place in stream.vocabulary.places]
        self._last: dict[int, int] | None = {} if last else None

    def _take(self, register: int, op: int) -> int | None:
        if self._at < len(self._steps) and self._steps[self._at][:2] == (register, op):
            self._at += 1
            return self._steps[self._at - 1][2]
        return None

    def read(self, register: int) -> int:
        """The recorded value, if it is its turn."""
        value = self._take(register, READ)
        ones = self._ones[register] if register < len(self._ones) else -1
        if self._last is None:
            return ones if value is None else value
        if value is not None:
            self._last[register] = value
        return self._last.get(register, ones)

    def write(self, register: int, value: int) -> None:
        """Go on, if it is its turn."""
        self._take(register, WRITE)
        if self._last is not None:
            self._last[register] = value
