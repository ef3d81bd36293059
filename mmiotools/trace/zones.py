"""What is known of the blocks of a file before they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Zones(NamedTuple):
    """The blocks of a file in order, (n,) each; or one block, (1,) each.

    offset      of the block's frame, bytes from the file's beginning
    first       number of the block's first event, and `events` of them
    time_min, time_max   int64 nanoseconds, of the events that have a time; 0 and -1 where none has
    addr_min, addr_max   uint64, of those that have an address; 0 and 0 where none has
    kinds       bit k: an event of kind k is in the block
    addresses   of one block: all its addresses, ascending; None where they are not known
    """

    offset: NDArray[np.int64]
    first: NDArray[np.int64]
    events: NDArray[np.int64]
    time_min: NDArray[np.int64]
    time_max: NDArray[np.int64]
    addr_min: NDArray[np.uint64]
    addr_max: NDArray[np.uint64]
    kinds: NDArray[np.int64]
    addresses: NDArray[np.uint64] | None = None


class Choice(NamedTuple):
    """Which blocks of a file somebody wants to see; a reader may leave out the others, where it knows them.

    blocks  the wanted ones of all blocks, (n,)
    block   whether one block is wanted, of which the addresses are known as well; None where that is not to be asked
    """

    blocks: Callable[[Zones], NDArray[np.bool_]]
    block: Callable[[Zones], bool] | None = None
