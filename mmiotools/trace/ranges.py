"""Whether a number lies in one of some ranges, as programs of filters say it."""

from __future__ import annotations

from bisect import bisect_left

from mmiotools.typed import Sequence


def lies_in(number: int, mask: int, flip: int, lows: Sequence[int], highs: Sequence[int]) -> bool:
    """Its bits of `mask`, those of `flip` turned over. The ranges lows[i]..highs[i], both included, ascend, apart."""
    word = number & mask ^ flip
    at = bisect_left(highs, word)
    return at < len(lows) and lows[at] <= word
