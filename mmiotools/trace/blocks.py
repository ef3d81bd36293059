"""What is known of one block of a file before it is read. `trace/zones.py` has the same of all blocks, as columns."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from mmiotools.small import array
from mmiotools.typed import Any, Iterator, NamedTuple


class Pages(NamedTuple):
    """The pages of a file's addresses: these without their last `shift` bits. They are numbered as they ascend.

    numbers  what is left of the addresses, (count,), count > 0
    seen     a set for each block, ⌈count/8⌉ bytes, lowest bit first: the pages in which it has an address
    """

    shift: int
    numbers: array[int]
    seen: bytes

    def sets(self) -> Iterator[int]:
        """Block by block."""
        size = -(-len(self.numbers) // 8)
        return (int.from_bytes(self.seen[at : at + size], "little") for at in range(0, len(self.seen), size))

    def between(self, low: int, high: int) -> int:
        """The set of the pages with an address between two, both included."""
        first = bisect_left(self.numbers, low >> self.shift)
        return (1 << max(bisect_right(self.numbers, high >> self.shift), first)) - (1 << first)


class Zone(NamedTuple):
    """One block.

    offset      of its frame, bytes from the file's beginning
    first       number of its first event, and `events` of them
    time_min, time_max   nanoseconds, of the events that have a time; 0 and -1 where none has
    addr_min, addr_max   of those that have an address; 0 and 0 where none has
    kinds       bit k: an event of kind k is in the block
    pages       bit i: it has an address in page i of the file's `Pages`; None where these are not known
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
    pages: int | None = None
    addresses: Any = None
