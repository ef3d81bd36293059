"""Many lines of text at once: fields of characters side by side, one row a line."""

from __future__ import annotations

from functools import cache

import numpy as np

from mmiotools.typed import Any, NDArray, Sequence

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_LOWER, _UPPER = b"0123456789abcdef", b"0123456789ABCDEF"
#: Digits that are looked up together.
_AT_ONCE = 4


class Page:
    """Lines side by side: fields of characters, NUL where a row has none there; the NULs are dropped at the end."""

    def __init__(self, n: int) -> None:
        self.n = n
        #: Where each field begins that is not the same in all rows, and its characters: (n, width) or, of 1, 2, 4 or 8
        #: characters, numbers (n,).
        self._fields: list[tuple[int, NDArray[Any]]] = []
        #: What is the same in all rows, NUL between.
        self._same = bytearray()

    def literal(self, text: bytes, rows: Mask | None = None) -> None:
        """The same text in every row, or in some."""
        if rows is None:
            self._same += text
        else:
            self._add(np.frombuffer(text, np.uint8) * rows[:, None], len(text))

    def decimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None, *, fixed: int = 0) -> None:
        """Decimals without leading zeros, or with exactly `fixed` digits."""
        self._number(numbers, 10, fixed, rows)

    def hexadecimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None) -> None:
        """0x and lower-case digits, without leading zeros."""
        self.literal(b"0x", rows)
        self._number(numbers, 16, 0, rows)

    def binary(self, numbers: NDArray[np.uint64], rows: Mask) -> None:
        """Binary digits without leading zeros, in some rows."""
        self._number(np.where(rows, numbers, np.uint64(0)), 2, 0, rows)

    def digits(self, numbers: NDArray[np.uint64], count: int, rows: Mask) -> None:
        """Exactly `count` hexadecimal digits, upper case."""
        self._number(numbers, 16, count, rows, _UPPER)

    def words(self, table: Bytes, which: NDArray[Any]) -> None:
        """Row `which` of a table of words, (w, longest), NUL behind the shorter ones; `which` is (n,)."""
        width = table.shape[1]
        if width in (1, 2, 4, 8):
            table = np.ascontiguousarray(table).view(f"<u{width}")[:, 0]
        self._add(table[which], width)

    def opcode(self, packed: NDArray[np.uint64], rows: Mask) -> None:
        """Three bytes, two digits each, with commas."""
        for place in (16, 8, 0):
            byte = packed >> np.uint64(place) & np.uint64(0xFF)
            self._number(byte, 16, 2, rows)
            if place:
                self.literal(b",", rows)

    def _add(self, characters: NDArray[Any], width: int) -> None:
        self._fields.append((len(self._same), characters))
        self._same += bytes(width)

    def _number(
        self, numbers: NDArray[Any], base: int, fixed: int, rows: Mask | None, alphabet: bytes = _LOWER
    ) -> None:
        """The last `fixed` digits or, where it is 0, all without leading zeros."""
        least, most = int(numbers.min()), int(numbers.max())
        if rows is None and least == most:
            self.literal(_digits(most, base, fixed, alphabet))
            return
        digits = fixed or len(_digits(most, base, 0, alphabet))
        if most < 1 << 32:
            numbers = numbers.astype(np.uint32)  # divides several times faster
        unit = base**_AT_ONCE
        table = _table(base, alphabet)
        parts = []
        rest = numbers
        for at in range(0, digits, _AT_ONCE):
            following = rest >> 16 if base == 16 else rest // unit
            # A type that is no wider than it has to be for the table of the largest base.
            place = (rest if base == 16 else rest - following * unit).astype(np.uint16)
            # All are in the table; "wrap" is the quickest way to look no further.
            if fixed:
                characters = table[0].take(place, mode="wrap")
            else:
                leading = following == 0
                characters = table[1].take(place, mode="wrap")
                if not leading.all():
                    characters = np.where(leading, characters, table[0].take(place, mode="wrap"))
                if not at and not least:
                    characters[numbers == 0] = table[0, 0] & ~np.uint32(0xFFFFFF)
            parts.append(_last(characters, digits - at))
            rest = following
        for characters in reversed(parts):
            self._add(characters if rows is None else characters * rows, characters.itemsize)

    def join(self) -> tuple[bytes, Bytes]:
        """All rows as bytes, and the matrix (n, width) that they came from."""
        width = len(self._same)
        room = self._same * self.n
        for at, field in self._fields:
            if field.ndim == 1:
                np.ndarray(self.n, field.dtype.newbyteorder("<"), room, at, (width,))[:] = field
            else:
                np.ndarray(field.shape, np.uint8, room, at, (width, 1))[:] = field
        return bytes(room).translate(None, b"\0"), np.frombuffer(room, np.uint8).reshape(self.n, width)


def _digits(number: int, base: int, fixed: int, alphabet: bytes) -> bytes:
    """The last `fixed` digits of one number or, where it is 0, all."""
    found = bytearray()
    while len(found) < fixed if fixed else number or not found:
        number, digit = divmod(number, base)
        found.append(alphabet[digit])
    return bytes(reversed(found))


@cache
def _table(base: int, alphabet: bytes) -> NDArray[np.uint32]:
    """Of all numbers of four digits, (2, base⁴), the digits as characters: with leading zeros, and with NULs in their
    place. Of numbers of fewer digits than that the last characters are right, the byte that is the highest here.
    """
    numbers = np.arange(base**_AT_ONCE)
    characters = np.zeros((2, len(numbers), _AT_ONCE), np.uint8)
    for place in range(_AT_ONCE):
        weight = base ** (_AT_ONCE - 1 - place)
        characters[0, :, place] = np.frombuffer(alphabet, np.uint8)[numbers // weight % base]
        characters[1, :, place] = characters[0, :, place] * (numbers >= weight)
    return characters.view("<u4")[:, :, 0]


def _last(characters: NDArray[np.uint32], digits: int) -> NDArray[Any]:
    """The last digits of four; NUL and three where it is three."""
    if digits >= _AT_ONCE:
        return characters
    if digits == 3:
        return characters & ~np.uint32(0xFF)
    return (characters >> np.uint32(8 * (_AT_ONCE - digits))).astype(f"<u{digits}")


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
