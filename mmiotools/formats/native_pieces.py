"""What is read of a native file at a time, and handed on together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mmiotools.trace.batch import Batch, concatenate
from mmiotools.trace.polls import stretches

#: Blocks that a worker reads at a time.
_TOGETHER = 8
#: Rows that are put into one batch where few of a block are wanted.
_JOINED = 1 << 13

#: Stretches of blocks that are read together: the number of the block up to which all was read or passed over before,
#: those of the first block and of the one behind the last.
Piece = list[tuple[int, int, int]]


def pieces(wanted: NDArray[np.bool_]) -> Iterator[Piece]:
    """The blocks that are wanted, some at a time."""
    piece: Piece = []
    blocks = seen = 0
    for start, stop in stretches(wanted).tolist():
        for at in range(start, stop, _TOGETHER):
            end = min(at + _TOGETHER, stop)
            if blocks + end - at > _TOGETHER:
                yield piece
                piece, blocks = [], 0
            piece.append((seen, at, end))
            blocks += end - at
            seen = end
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
