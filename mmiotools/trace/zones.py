"""What is known of the blocks of a file before they are read."""

from __future__ import annotations

from itertools import repeat

import numpy as np

from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch
from mmiotools.trace.blocks import Pages, Zone
from mmiotools.typed import Callable, Iterable, Iterator, NamedTuple, NDArray


class Zones(NamedTuple):
    """What `Zone` says, of the blocks of a file in order: (n,) each. `addresses` are known of one block alone."""

    offset: NDArray[np.int64]
    first: NDArray[np.int64]
    events: NDArray[np.int64]
    time_min: NDArray[np.int64]
    time_max: NDArray[np.int64]
    addr_min: NDArray[np.uint64]
    addr_max: NDArray[np.uint64]
    kinds: NDArray[np.int64]
    pages: Pages | None = None
    addresses: NDArray[np.uint64] | None = None

    def each(self) -> Iterator[Zone]:
        """Block by block."""
        pages = repeat(None, len(self.kinds)) if self.pages is None else self.pages.sets()
        offset, first, events, *ranges, kinds = (column.tolist() for column in self[:8])
        for row in zip(offset, first, events, *ranges, kinds, pages, strict=True):
            yield Zone._make((*row, self.addresses))


class Last(NamedTuple):
    """Of the blocks that may have what is looked for only the last are wanted: as few as have enough of it.

    events  they have at least so many events
    enough  whether a stream has enough; asked with the last blocks, each time with more of them, before any is given
    """

    events: int
    enough: Callable[[Iterable[Batch]], bool]


class Choice(NamedTuple):
    """Which blocks of a file somebody wants to see; a reader may leave out the others, where it knows them.

    blocks  those of all blocks, (n,), that may have what is looked for
    kinds   bit k: events of kind k are wanted wherever they are; of kinds that are no accesses
    timed   an event without a time goes with the one before it, which may lie in the block before
    block   whether one block may have it, of which the addresses are known as well; None where that is not to be asked
    last    those of `blocks` that are wanted; None for all
    rows    which rows of a batch are wanted, (n,): other accesses may be left out, in blocks that are not. It asks the
            batch for no columns but by name. Where it is there, `block` need not be asked. None for all
    """

    blocks: Callable[[Zones], NDArray[np.bool_]]
    kinds: int = 0
    timed: bool = False
    block: Callable[[Zones], bool] | None = None
    last: Last | None = None
    rows: Callable[[Batch], NDArray[np.bool_]] | None = None

    def wanted(self, zones: Zones, apart: NDArray[np.bool_], since: int = 0) -> NDArray[np.bool_]:
        """The blocks to read, (n,). Of blocks `apart`, what is no access is known without reading them; blocks before
        number `since` are wanted for their kinds alone.
        """
        found: NDArray[np.bool_] = self.blocks(zones)
        found[:since] = False
        found |= (zones.kinds & self.kinds != 0) & ~apart
        if self.timed:
            found[:-1] |= found[1:]
        return found

    def lasts(self, zones: Zones) -> Iterator[int]:
        """Numbers of blocks from which on there may be enough: each time of twice as many, but never of all."""
        blocks = flatnonzero(self.blocks(zones))
        if self.last is None:
            return
        behind = np.cumsum(zones.events[blocks][::-1])
        count = int(np.searchsorted(behind, self.last.events)) + 1
        while count < len(blocks):
            yield int(blocks[-count])
            count *= 2
