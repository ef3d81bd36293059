"""Which pages of a file each of its blocks has addresses in, gathered as blocks are written, in bounded memory.

A page is one address, until there are too many of them: then pages become larger, for the whole file.
"""

from __future__ import annotations

import numpy as np

from mmiotools.formats.native_table import MAX_PAGES, MAX_SEEN
from mmiotools.formats.native_zstd import squeeze
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Any, Iterator, NamedTuple, NDArray

#: Most pages, and bytes of the sets of all blocks; pages of all the sets that are changed together.
MOST, _MOST_SEEN, _TOGETHER = MAX_PAGES // 4, MAX_SEEN // 4, 1 << 20
_LARGEST = 63


class PageSet(NamedTuple):
    """Addresses without their last `shift` bits, distinct and ascending."""

    shift: int
    numbers: NDArray[np.uint64]


def pages_of(addresses: NDArray[np.uint64]) -> PageSet:
    """The pages of some addresses, which are distinct and ascend: MOST at most."""
    shift, numbers = 0, addresses
    while len(numbers) > MOST:
        shift, numbers = shift + 1, _larger(numbers, 1)
    return PageSet(shift, numbers)


def _larger(numbers: NDArray[np.uint64], by: int) -> NDArray[np.uint64]:
    """Pages without their last bits."""
    if not by:
        return numbers
    numbers = numbers >> np.uint64(by)
    return numbers[_firsts(numbers)]


def _firsts(numbers: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Where numbers, which ascend, differ from the one before."""
    differ = np.ones(len(numbers), np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=differ[1:])
    return flatnonzero(differ)


class PageSets:
    """Those of the blocks of a file.

    Sets are kept as they came, no longer than it took: page i of a set is the one that was new in the file as number i.
    """

    def __init__(self) -> None:
        self._shift = 0
        self._numbers = np.empty(0, np.uint64)
        self._places = np.empty(0, np.intp)
        self._sets: list[bytes] = []

    def add(self, pages: PageSet) -> bool:
        """That of the next block; False if there are too many blocks."""
        if pages.shift > self._shift:
            self._enlarge(pages.shift)
        numbers = _larger(pages.numbers, self._shift - pages.shift)
        new = numbers[~np.isin(numbers, self._numbers, assume_unique=True)]
        if len(new):
            count, at = len(self._numbers), np.searchsorted(self._numbers, new)
            self._places = np.insert(self._places, at, np.arange(count, count + len(new)))
            self._numbers = np.insert(self._numbers, at, new)
        there = np.zeros(len(self._numbers), np.bool_)
        there[self._places[np.searchsorted(self._numbers, numbers)]] = True
        self._sets.append(np.packbits(there, bitorder="little").tobytes())
        shift, numbers = self._shift, self._numbers
        while self._are_many(len(numbers)) and shift < _LARGEST:
            shift, numbers = shift + 1, _larger(numbers, 1)
        if shift > self._shift:
            self._enlarge(shift)
        return not self._are_many(len(numbers))

    def _are_many(self, pages: int) -> bool:
        return pages > MOST or len(self._sets) * -(-pages // 8) > _MOST_SEEN

    def _enlarge(self, shift: int) -> None:
        self._sets = [one.tobytes() for some in self._ascending(shift) for one in some]
        self._numbers = _larger(self._numbers, shift - self._shift)
        self._places = np.arange(len(self._numbers))
        self._shift = shift

    def _ascending(self, shift: int) -> Iterator[NDArray[np.uint8]]:
        """The sets of larger pages, or of these, as they ascend: those of some blocks at a time, (blocks, bytes)."""
        count = len(self._numbers)
        if not count:
            yield np.empty((len(self._sets), 0), np.uint8)
            return
        size, starts = -(-count // 8), _firsts(self._numbers >> np.uint64(shift - self._shift))
        step = max(_TOGETHER // count, 1)
        for at in range(0, len(self._sets), step):
            joined = b"".join(one.ljust(size, b"\0") for one in self._sets[at : at + step])
            sets = np.frombuffer(joined, np.uint8).reshape(-1, size)
            bits = np.unpackbits(sets, axis=1, count=count, bitorder="little")[:, self._places]
            yield np.packbits(np.bitwise_or.reduceat(bits, starts, axis=1), axis=1, bitorder="little")

    def packed(self) -> dict[str, Any]:
        """As the footer has it: nothing where no block has an address."""
        if not len(self._numbers):
            return {}
        steps = np.diff(self._numbers, prepend=np.uint64(0))
        seen = b"".join(some.tobytes() for some in self._ascending(self._shift))
        numbers = squeeze(steps.astype("<u8").tobytes())
        return {"pages": [self._shift, len(self._numbers), numbers], "seen": squeeze(seen)}
