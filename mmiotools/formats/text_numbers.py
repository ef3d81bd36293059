"""Numbers in text, decoded for many places at once: characters as 64-bit words whose lowest byte is the last one.

No knowledge of lines or records here. Every decoder also says where the spelling is not the canonical one.
"""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Any, NamedTuple, NDArray

U64 = NDArray[np.uint64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


def u64(number: int) -> np.uint64:
    return np.uint64(number)


def _every(byte: int) -> np.uint64:
    return np.uint64(0x0101010101010101 * byte)


#: Masks of the last n characters, n = 0..8.
LAST = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
#: The least number whose hexadecimal or decimal spelling has n digits; a smaller one was spelled with leading zeros.
_LEAST_HEX = np.array([0, 0] + [16 ** (n - 1) for n in range(2, 17)], np.uint64)
LEAST_DECIMAL = np.array([0, 0] + [10 ** (n - 1) for n in range(2, 9)], np.uint64)

_B01, _B06, _B0F, BLANKS, _B30, _B40, _B70, _B76, _B78, _B80 = map(
    _every, (0x01, 0x06, 0x0F, 0x20, 0x30, 0x40, 0x70, 0x76, 0x78, 0x80)
)
_u4, _u6, U7, U8, _u9, U16, U32, _u39, U64_BITS = map(u64, (4, 6, 7, 8, 9, 16, 32, 39, 64))
_EVEN_BYTES, _EVEN_PAIRS = u64(0x00FF00FF00FF00FF), u64(0x0000FFFF0000FFFF)
_LOW_HALF, LOW_BYTE = u64(0xFFFFFFFF), u64(0xFF)


def padded(least: int, most: int = 16) -> bytes:
    """A pattern of hexadecimal numbers as `%0*x` prints them: of at least so many digits, and of no more than they need
    beyond.
    """
    return rb"(?:[0-9a-f]{%d}|[1-9a-f][0-9a-f]{%d,%d})" % (least, least, most - 1)


def characters(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "big"))


class Words:
    """A block's bytes, and the 8 or 16 before any position as words. A gather costs the same for either."""

    def __init__(self, block: bytes) -> None:
        self.bytes = np.frombuffer(block, np.uint8)
        if len(block) < 16:
            block += bytes(16 - len(block))  # so that there is something before any position
        self._block = block
        self._eight: NDArray[Any] = np.ndarray((max(len(block) - 7, 0),), "V8", block, 0, (1,))
        self._sixteen: NDArray[Any] = np.ndarray((max(len(block) - 15, 0),), "V16", block, 0, (1,))

    def after(self, start: Index) -> U64:
        """The 8 bytes from each position on."""
        return self._eight[start].view(">u8").astype(np.uint64)

    def before(self, end: Index) -> U64:
        """The 8 bytes before each position."""
        return self._eight[end - 8].view(">u8").astype(np.uint64)

    def wide_before(self, end: Index) -> tuple[U64, U64]:
        """The 16 bytes before each position: the earlier 8, the later 8."""
        pairs = self._sixteen[end - 16].view(">u8").reshape(-1, 2)
        return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)

    def before_wide(self, end: Index, width: int) -> U64:
        """The `width` bytes, a multiple of 8, before each position, as they lie in memory: (n, width / 8)."""
        wide: NDArray[Any] = np.ndarray((max(len(self._block) - width + 1, 0),), f"V{width}", self._block, 0, (1,))
        found: U64 = wide[end - width].view(np.uint64).reshape(-1, width // 8)
        return found


def last_place(words: U64, character: np.uint64) -> U64:
    """The bit 0x80 of the last byte that is `character` (given in every byte), or 0 where none is."""
    x = words ^ character
    found = x - _B01
    np.invert(x, out=x)
    found &= x
    found &= _B80
    np.negative(found, out=x)
    found &= x
    return found


def count_digits(place: U64) -> Index:
    """How many characters stand behind a place; 8 where it is 0."""
    count: Index = (np.bitwise_count(place - u64(1)) >> np.uint8(3)).astype(np.int64)
    return count


def hex_words(words: U64, keep: Any) -> tuple[U64, Mask]:
    """The kept characters of each word as hexadecimal numbers; and which words hold other than 0-9a-f there.

    In place where it can be: what counts here is how much memory is touched.
    """
    x = words ^ _B30
    x &= keep
    x ^= _B30  # the characters, "0" where none is kept
    letter = x >> _u6
    letter &= _B01
    nibbles = x & _B0F
    letter *= _u9
    nibbles += letter
    np.add(nibbles, _B06, out=letter)
    letter >>= _u4
    letter &= _B01
    letter *= _u39
    letter += nibbles
    letter += _B30
    letter ^= x
    np.add(nibbles, _B70, out=x)
    x &= _B80
    letter |= x
    wrong = letter != 0
    for shift, mask in ((_u4, _EVEN_BYTES), (U8, _EVEN_PAIRS), (U16, _LOW_HALF)):
        np.right_shift(nibbles, shift, out=x)
        nibbles |= x
        nibbles &= mask
    return nibbles, wrong


def decimal_words(words: U64, keep: Any) -> tuple[U64, Mask]:
    """The kept characters of each word as decimal numbers, and which words hold anything but digits there."""
    x = words ^ _B30
    x &= keep
    beyond = x + _B76
    beyond |= x
    beyond &= _B80
    wrong = beyond != 0
    for shift, factor, mask in ((U8, u64(10), _EVEN_BYTES), (U16, u64(100), _EVEN_PAIRS), (U32, u64(10000), _LOW_HALF)):
        np.right_shift(x, shift, out=beyond)
        beyond *= factor
        x += beyond
        x &= mask
    return x, wrong


class _Field(NamedTuple):
    """A field read from its end: the numbers, where the blank before it is, and which are canonically spelled."""

    value: U64
    blank: Index
    good: Mask


def hex_before(words: Words, end: Index, lead: bytes = b" ") -> _Field:
    """` 0x…` that ends before each position, a blank or another character before it."""
    zero, zero_x = characters(lead + b"0"), characters(lead + b"0x")
    early, late = words.wide_before(end)
    place = last_place(late, _B78)
    digits = count_digits(place)
    place >>= U7
    place -= u64(1)
    value, wrong = hex_words(late, place)
    shift = digits.view(np.uint64) + u64(1)
    shift *= U8
    late >>= shift
    np.subtract(U64_BITS, shift, out=shift)
    shift &= u64(127)
    np.left_shift(early, shift, out=shift)
    late |= shift
    late &= u64(0xFFFF)
    good = late == zero  # before the x
    full = digits == 8
    if full.all():
        good = early & u64(0xFFFFFF) == zero_x  # the x is the last of the earlier characters
    elif full.any():
        good |= full & (early & u64(0xFFFFFF) == zero_x)
    longer = full & ~good
    if longer.any():
        _longer_hex(words, end, early, flatnonzero(longer), value, digits, good, wrong, zero_x)
    good &= digits > 0
    good &= value >= _LEAST_HEX[digits]
    np.logical_not(wrong, out=wrong)
    good &= wrong
    return _Field(value, end - digits - 3, good)


def _longer_hex(
    words: Words,
    end: Index,
    early: U64,
    rows: Index,
    value: U64,
    digits: Index,
    good: Mask,
    wrong: Mask,
    zero_x: np.uint64,
) -> None:
    """Nine to sixteen digits: the rest of the number is in the earlier word."""
    upper = early[rows]
    place = last_place(upper, _B78)
    more = count_digits(place)
    high, bad = hex_words(upper, (place >> U7) - u64(1))
    value[rows] |= high << U32
    wrong[rows] |= bad
    digits[rows] += more
    at = end[rows] - digits[rows]
    prefix = words.before(at) & u64(0xFFFFFF)
    good[rows] = prefix == zero_x


def decimal_before(words: Words, end: Index) -> _Field:
    """A blank and up to 7 decimal digits that end before each position."""
    word = words.before(end)
    place = last_place(word, BLANKS)
    digits = count_digits(place)
    value, wrong = decimal_words(word, (place >> U7) - u64(1))
    good = ~wrong & (digits > 0) & (digits < 8)
    good &= value >= LEAST_DECIMAL[digits]
    return _Field(value, end - digits - 1, good)


def hex_behind(words: Words, end: Index, lead: bytes, *, prefixed: bool = True) -> _Field:
    """A number of any spelling that ends before each position, behind the character `lead`; `blank` is where that is.

    prefixed  `0x…`, or `0` for zero; else digits alone
    """
    early, late = words.wide_before(end)
    mark = u64(0x0101010101010101 * lead[0])
    skip = 2 if prefixed else 0
    place = last_place(late, mark)
    count = count_digits(place)  # characters behind the lead
    value, wrong = hex_words(late, LAST[np.clip(count - skip, 0, 8)])
    good = (count > skip) & (count < 8)
    if prefixed:
        after_lead = late >> (np.clip(count - 2, 0, 7).view(np.uint64) * U8) & u64(0xFFFF)
        good &= after_lead == 0x3078
        zero = late & u64(0xFFFF) == lead[0] << 8 | 0x30
        good |= zero
        value[zero] = 0
        wrong &= ~zero
    rows = flatnonzero(count == 8)
    if len(rows):
        upper, lower = early[rows], late[rows]
        digits = count_digits(last_place(upper, mark)) + 8 - skip
        beginning, keep = (u64(lead[0] << 16 | 0x3078), LAST[3]) if prefixed else (u64(lead[0]), LAST[1])
        for most in (16, 15, 14)[: 1 + skip]:
            # Where it is not in these 16 characters, it is right before them, or one or two before that.
            unlike = flatnonzero(digits >= 16 - skip)
            digits[unlike] = most
            unlike = unlike[words.before(end[rows[unlike]] - most) & keep == beginning]
            digits[unlike] = -most
        digits = np.abs(digits)
        low, low_wrong = hex_words(lower, LAST[np.clip(digits, 0, 8)])
        high, high_wrong = hex_words(upper, LAST[np.clip(digits - 8, 0, 8)])
        value[rows] = high << U32 | low
        wrong[rows] = low_wrong | high_wrong
        good[rows] = words.before(end[rows] - digits) & keep == beginning
        count[rows] = digits + skip
    good &= ~wrong
    return _Field(value, end - count - 1, good)


def decimal_behind(words: Words, end: Index, lead: bytes) -> _Field:
    """Up to 7 decimal digits that end before each position, behind the character `lead`; `blank` is where that is."""
    word = words.before(end)
    place = last_place(word, u64(0x0101010101010101 * lead[0]))
    digits = count_digits(place)
    value, wrong = decimal_words(word, (place >> U7) - u64(1))
    return _Field(value, end - digits - 1, ~wrong & (digits > 0) & (digits < 8))


def numbers_at(words: Words, end: Index, digits: Index, base: int = 16, *, upper: bool = False) -> tuple[U64, Mask]:
    """Numbers of 1 to 16 digits, (n,), that end before each position; and which have other characters than digits
    there. Letters are lower case, or all `upper` case.
    """
    value, wrong = _digits(words.before(end), LAST[np.minimum(digits, 8)], base, upper)
    longer = flatnonzero(digits > 8)
    if len(longer):
        high, bad = _digits(words.before(end[longer] - 8), LAST[digits[longer] - 8], base, upper)
        value[longer] += high * u64(base**8)
        wrong[longer] |= bad
    return value, wrong


def _digits(word: U64, keep: U64, base: int, upper: bool) -> tuple[U64, Mask]:
    if base == 10:
        return decimal_words(word, keep)
    if not upper:
        return hex_words(word, keep)
    # The bit that makes a letter lower case, of the characters that are letters.
    bit = (word & _B40) >> u64(1)
    value, wrong = hex_words(word | bit, keep)
    wrong |= word & bit & keep != 0
    return value, wrong


def blanks_before(words: Words, end: Index) -> Index:
    """How many blanks stand before each position, 8 for that many and more."""
    x = words.before(end) ^ BLANKS
    lowest = x & np.negative(x)
    count: Index = (np.bitwise_count(lowest - u64(1)) >> np.uint8(3)).astype(np.int64)
    return count


def ends_with(words: Words, end: Index, text: bytes) -> Mask:
    """Whether these up to 8 characters stand before each position."""
    same: Mask = words.before(end) & LAST[len(text)] == characters(text)
    return same
