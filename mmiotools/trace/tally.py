"""Counts of accesses in place of the accesses: what a reader that is fast at it gives to who only counts."""

from __future__ import annotations

from struct import Struct

from mmiotools.events import Event
from mmiotools.small import array
from mmiotools.typed import TYPE_CHECKING, NamedTuple, Sequence

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch

#: Accesses of one address, map and width: how many reads, writes and unknown ones stand between map and width; behind
#: it, which of the three it has, by the bits below. What is absent is 0.
ENTRY = Struct("=Qq3QBB6x")
HAS_ADDR, HAS_MAP, HAS_WIDTH = 2, 4, 8


class Times(NamedTuple):
    """Of some accesses, nanoseconds: the first and the last in order, with their rows; the least and the greatest."""

    first: int
    last: int
    first_row: int
    last_row: int
    least: int
    greatest: int

    def along(self, others: Times | None) -> Times:
        """These and others of the same row of events."""
        if others is None:
            return self
        first = self if self.first_row < others.first_row else others
        last = self if self.last_row > others.last_row else others
        return Times(
            first.first,
            last.last,
            first.first_row,
            last.last_row,
            min(self.least, others.least),
            max(self.greatest, others.greatest),
        )


class Counted(NamedTuple):
    """Some events in a row: most accesses as counts, all else as events; or all of them as a batch.

    events   how many there are, `rest` included
    kinds    reads, writes and unknown accesses that were counted
    entries  these, as ENTRY packs them; each in one, or in one for its address, one for its map, one for its width
    times    of these; None where there are none
    rest     all other events, and `rows`, their places in the row of events, ascending
    batch    in place of the others where nothing was counted
    """

    events: int
    kinds: Sequence[int] = ()
    entries: bytes = b""
    times: Times | None = None
    rest: Sequence[Event] = ()
    rows: Sequence[int] = ()
    batch: Batch | None = None


def kinds_of(entries: bytes) -> list[int]:
    """Reads, writes and unknown accesses of entries that have each in one."""
    words = array("Q", entries)
    return [sum(words[at :: ENTRY.size // 8]) for at in (2, 3, 4)]
