"""Many lines of text at once: fields of characters side by side, one row a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_LOWER = np.frombuffer(b"0123456789abcdef", np.uint8)
_UPPER = np.frombuffer(b"0123456789ABCDEF", np.uint8)


class Page:
    """Lines side by side: fields of characters, NUL where a row has none there; the NULs are dropped at the end."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._fields: list[Bytes] = []

    def literal(self, text: bytes, rows: Mask | None = None) -> None:
        """The same text in every row, or in some."""
        characters = np.broadcast_to(np.frombuffer(text, np.uint8), (self.n, len(text)))
        self._fields.append(characters if rows is None else characters * rows[:, None])

    def decimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None, *, fixed: int = 0) -> None:
        """Decimals without leading zeros, or with exactly `fixed` digits."""
        digits = fixed or len(str(int(numbers.max())))
        self._number(numbers, 10, digits, rows, bool(fixed))

    def hexadecimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None) -> None:
        """0x and lower-case digits, without leading zeros."""
        self.literal(b"0x", rows)
        self._number(numbers, 16, max(1, (int(numbers.max()).bit_length() + 3) // 4), rows, False)

    def binary(self, numbers: NDArray[np.uint64], rows: Mask) -> None:
        """Binary digits without leading zeros, in some rows."""
        held = np.where(rows, numbers, np.uint64(0))
        self._number(held, 2, max(1, int(held.max()).bit_length()), rows, False)

    def digits(self, numbers: NDArray[np.uint64], count: int, rows: Mask) -> None:
        """Exactly `count` hexadecimal digits, upper case."""
        self._number(numbers, 16, count, rows, True, _UPPER)

    def words(self, table: Bytes, which: NDArray[Any]) -> None:
        """Row `which` of a table of words, (w, longest), NUL behind the shorter ones; `which` is (n,)."""
        self._fields.append(table[which])

    def opcode(self, packed: NDArray[np.uint64], rows: Mask) -> None:
        """Three bytes, two digits each, with commas."""
        for place in (16, 8, 0):
            byte = packed >> np.uint64(place) & np.uint64(0xFF)
            self._number(byte, 16, 2, rows, True)
            if place:
                self.literal(b",", rows)

    def _number(
        self,
        numbers: NDArray[Any],
        base: int,
        digits: int,
        rows: Mask | None,
        fixed: bool,
        alphabet: Bytes = _LOWER,
    ) -> None:
        characters = np.empty((digits, self.n), np.uint8)
        if int(numbers.max()) < 1 << 32:
            numbers = numbers.astype(np.uint32)  # divides several times faster
        rest = numbers
        for place in range(digits - 1, -1, -1):
            if base == 16:
                digit, following = (rest & 15).astype(np.uint8), rest >> 4
            elif base == 2:
                digit, following = (rest & 1).astype(np.uint8), rest >> 1
            else:
                following = rest // 10
                digit = (rest - following * 10).astype(np.uint8)
            np.take(alphabet, digit, out=characters[place])
            if not fixed and place != digits - 1:
                characters[place] *= rest != 0
            rest = following
        if rows is not None:
            characters *= rows
        self._fields.append(characters.T)

    def join(self) -> tuple[bytes, Bytes]:
        """All rows as bytes, and the matrix (n, width) that they came from."""
        characters = np.concatenate(self._fields, axis=1)
        return characters.tobytes().translate(None, b"\0"), characters


def spliced(text: bytes, characters: Bytes, between: Sequence[tuple[int, bytes]]) -> bytes:
    """What `join` gave, with texts before some of its rows, ascending; before row n is behind all."""
    if not between:
        return text
    ends = np.concatenate([[0], np.cumsum(np.count_nonzero(characters, axis=1))])
    parts = []
    done = 0
    for row, said in between:
        before = int(ends[row])
        parts += [text[done:before], said]
        done = before
    return b"".join([*parts, text[done:]])


def table_of(words: Sequence[bytes]) -> Bytes:
    """Words as rows of a matrix (w, longest), NUL behind the shorter ones."""
    longest = max(map(len, words), default=0)
    if not longest:
        return np.zeros((len(words), 0), np.uint8)
    return np.array(words, f"S{longest}").view(np.uint8).reshape(len(words), longest)
