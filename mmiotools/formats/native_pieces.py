"""What is read of a native file at a time, and handed on together."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.pace import Pace
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, concatenate
from mmiotools.typed import Iterable, Iterator, NDArray

#: Blocks that a worker reads at a time, and events in them where all may be kept, or one block.
_TOGETHER, _EVENTS = 8, 1 << 16
#: Rows that are put into one batch where few of a block are wanted.
_JOINED = 1 << 13

#: Stretches of blocks that are read together: the number of the block up to which all was read or passed over before,
#: those of the first block and of the one behind the last.
Piece = list[tuple[int, int, int]]


def pace_of(events: NDArray[np.int64]) -> Pace:
    """How many events of some blocks, (n,), are read at a time."""
    return Pace(_EVENTS, int(events.sum()))


def pieces(wanted: NDArray[np.bool_], events: NDArray[np.int64], pace: Pace) -> Iterator[Piece]:
    """The blocks that are wanted, some at a time; `events` they all have, (n,) both."""
    piece: Piece = []
    blocks = rows = seen = 0
    most = pace.events()
    numbers = flatnonzero(wanted)
    for at, count in zip(numbers.tolist(), events[numbers].tolist(), strict=True):
        blocks, rows = blocks + 1, rows + count
        if piece and (blocks > _TOGETHER or rows > most):
            yield piece
            piece, blocks, rows, most = [], 1, count, pace.events()
        if piece and seen == at:
            piece[-1] = (*piece[-1][:2], at + 1)
        else:
            piece.append((seen, at, at + 1))
        seen = at + 1
    if piece:
        yield piece


def joined(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches of one stream, those of few rows together."""
    held: list[Batch] = []
    for batch in batches:
        if held and sum(map(len, held)) + len(batch) > _JOINED:
            yield concatenate(held)
            held.clear()
        held.append(batch)
    if held:
        yield concatenate(held)
