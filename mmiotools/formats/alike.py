"""Texts that come again and again, found on columns: hashed, and compared as 64-bit words."""

from __future__ import annotations

from functools import cache

import numpy as np

from mmiotools.formats.text_numbers import U64, Index, Mask, Words, u64
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Any, NDArray, Sequence

#: Different texts that are told apart at once; rows are left over where there are more.
MOST = 1 << 12
#: Odd numbers for hashing, one a round: rows whose slot is another text's try again.
_ROUNDS = tuple(u64(n) for n in (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD))
_U32, _U48 = u64(32), u64(48)


def text_words(words: Words, first: Index, last: Index) -> U64:
    """Text first..last-1 of each row as words (n, w), NUL before its beginning."""
    length = last - first
    least, most = int(length.min()), int(length.max())
    width = max(8, -most % 8 + most)
    text = words.before_wide(last, width)
    if least < width:
        text &= _masks(width)[length] if least != most else _masks(width)[most]
    return text


@cache
def _masks(width: int) -> U64:
    """Masks (width + 1, w) of the last n of `width` bytes."""
    keep = np.arange(width)[None, :] >= width - np.arange(width + 1)[:, None]
    return (keep * np.uint8(255)).view(np.uint64)


def alike(texts: list[U64]) -> tuple[Index, Index]:
    """Rows whose texts, (n, w) each, are all the same: of each row the number of its example (n,), or -1 where none was
    found; and the rows of the examples.
    """
    n = len(texts[0])
    which = np.full(n, -1, np.int64)
    examples: list[Index] = []
    count = 0
    left = np.arange(n)
    for odd in _ROUNDS:
        here = texts if len(left) == n else [text[left] for text in texts]
        key = np.zeros(len(left), np.uint64)
        for text in here:
            for at in range(text.shape[1]):
                key ^= text[:, at]
                key *= odd
                key ^= key >> _U32
        slot = (key >> _U48).astype(np.int64)
        own = np.arange(len(left))
        table = np.empty(1 << 16, np.int64)
        table[slot] = own
        example = table[slot]
        heads = flatnonzero(example == own)
        if len(heads) > MOST:
            break
        equal = np.ones(len(left), np.bool_)
        for text in here:
            equal &= (text == text[example]).all(axis=1)
        number = np.empty(len(left), np.int64)
        number[heads] = np.arange(count, count + len(heads))
        count += len(heads)
        examples.append(left[heads])
        which[left[equal]] = number[example[equal]]
        left = left[~equal]
        if not len(left):
            break
    return which, np.concatenate(examples) if examples else np.zeros(0, np.int64)


def spread(values: Sequence[int | None], dtype: Any, which: Index) -> tuple[NDArray[Any], Mask | None] | None:
    """A column (n,) of a value for each example, None where it has none, and which rows have it, None for all; None
    where none has.
    """
    here = np.array([value is not None for value in values], np.bool_)[which]
    if not here.any():
        return None
    return np.array([value or 0 for value in values], dtype)[which], None if here.all() else here
