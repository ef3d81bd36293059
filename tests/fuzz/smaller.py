"""Makes an input that shows a defect smaller, as long as it shows the same one (delta debugging)."""

from __future__ import annotations

import time
from collections.abc import Callable

from targets import Input

#: Seconds, and tries, that one input is worth.
_SECONDS, _TRIES = 60.0, 600


def smaller(given: Input, shows: Callable[[Input], bool]) -> Input:
    """The input with lines, then with bytes left out. One that was cut or changed in one byte stays as it is."""
    if given.how:
        plain = Input(given.data)
        if not shows(plain):
            return given
        given = plain
    budget = _Budget()
    for separator in (b"\n", b""):
        parts = given.data.split(b"\n") if separator else [bytes([byte]) for byte in given.data]
        parts = _without(parts, lambda some, s=separator: shows(Input(s.join(some))), budget)
        given = Input(separator.join(parts))
    return given


class _Budget:
    def __init__(self) -> None:
        self._end = time.monotonic() + _SECONDS
        self._tries = _TRIES

    def spend(self) -> bool:
        """Whether there is one more try."""
        self._tries -= 1
        return self._tries > 0 and time.monotonic() < self._end


def _without(parts: list[bytes], shows: Callable[[list[bytes]], bool], budget: _Budget) -> list[bytes]:
    size = max(len(parts) // 2, 1)
    while size:
        at = 0
        while at < len(parts):
            fewer = parts[:at] + parts[at + size :]
            if not budget.spend():
                return parts
            if any(fewer) and shows(fewer):
                parts = fewer
            else:
                at += size
        size //= 2
    return parts
