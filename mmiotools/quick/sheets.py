"""Memory that a process has in common with those forked from it: text that they write there need not be sent."""

from __future__ import annotations

import mmap


class Sheets:
    """Sheets of `size` bytes, taken in turn: number n is the same as number n - `count`. They take up what is used of
    them.
    """

    def __init__(self, count: int, size: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, count * size))
        self._count, self._size = count, size

    def memory(self, number: int) -> memoryview:
        """One of them."""
        at = number % self._count * self._size
        return self._memory[at : at + self._size]


class Sheet:
    """Text that is put together in some memory, or, where that is too small, beside it."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._used = 0
        self._beside: list[bytes] = []
        self._aside: bytearray | None = None

    def put(self, text: bytes) -> None:
        """Add some text."""
        room = self.rest()
        if len(text) > len(room):
            room = self.beside(len(text))
        room[: len(text)] = text
        self.took(len(text))

    def rest(self) -> memoryview:
        """What is left of the memory, for what comes next; `took` says how many bytes of it."""
        return memoryview(bytearray()) if self._beside else self._memory[self._used :]

    def beside(self, size: int) -> memoryview:
        """At least so many bytes for what comes next; `took` says how many it was."""
        self._aside = bytearray(size)
        return memoryview(self._aside)

    def took(self, size: int) -> None:
        """What was put into `rest`, or `beside` where that was asked for last."""
        if self._aside is None:
            self._used += size
            return
        if not self._beside:
            self._beside.append(bytes(self._memory[: self._used]))
        self._beside.append(bytes(self._aside[:size]))
        self._aside = None

    def text(self) -> bytes | int:
        """All of it, or how many bytes of the memory it is."""
        return b"".join(self._beside) if self._beside else self._used
