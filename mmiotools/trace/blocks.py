"""What is known of one block of a file before it is read. `trace/zones.py` has the same of all blocks, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmiotools.tuples import NamedTuple

#: Bytes in a page, as a power of two; and what spreads pages over 256 bits: the top byte of a product, so that pages
#: side by side have bits of their own.
PAGE_BITS, SPREADER = 8, 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


class Zone(NamedTuple):
    """One block.

    offset      of its frame, bytes from the file's beginning
    first       number of its first event, and `events` of them
    time_min, time_max   nanoseconds, of the events that have a time; 0 and -1 where none has
    addr_min, addr_max   of those that have an address; 0 and 0 where none has
    kinds       bit k: an event of kind k is in the block
    pages       a set of 256 bits in four words: those of the pages with an address; None where unknown
    addresses   all its addresses, ascending; None where they are not known
    """

    offset: int
    first: int
    events: int
    time_min: int
    time_max: int
    addr_min: int
    addr_max: int
    kinds: int
    pages: Sequence[int] | None = None
    addresses: Any = None


def page_words(pages: Iterable[int]) -> tuple[int, int, int, int]:
    """The set of some pages: addresses without their last PAGE_BITS bits."""
    found = [0, 0, 0, 0]
    for page in pages:
        bit = (page * SPREADER & _WORD) >> 56
        found[bit >> 6] |= 1 << (bit & 63)
    return (found[0], found[1], found[2], found[3])
