"""What is left of a native block of which a part is damaged, and the note of what is not."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event
from mmiotools.formats.base import damaged
from mmiotools.formats.native_block import BlockBatch
from mmiotools.formats.native_body import EXTRAS
from mmiotools.formats.native_decode import Decoded
from mmiotools.formats.native_layout import Frame
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch, concatenate
from mmiotools.typed import NDArray, Sequence

#: Events of a block that are known from elsewhere: their numbers in the file, (m,) ascending, and themselves.
Apart = tuple[NDArray[np.int64], Batch]


def lost_columns(found: Decoded, batch: Batch | None, is_repair: bool) -> list[str]:
    """The columns that a block has lost. `batch` is what is to be written in a repair: where that is made anew, it
    lacks the columns that nobody here can read, too.
    """
    made_anew = is_repair and not isinstance(batch, BlockBatch)
    return [*found.lost, *(found.unread if made_anew else ())]


def what_is_left(
    batch: Batch | None, frame: Frame, lost: Sequence[str], apart: Apart | None, at: int
) -> tuple[Batch | None, Event]:
    """A block at byte `at` that lacks some columns, without what it has lost with them, and a note of that."""
    gone = 0
    if batch is not None and EXTRAS in lost:
        left = _without_extras(batch, frame.first, apart)
        gone, batch = len(batch) - len(left), left
    return batch, damaged(_reason(frame.events, lost, gone), events=gone, offset=at)


def _without_extras(batch: Batch, first: int, apart: Apart | None) -> Batch:
    """The accesses of a batch, and its other events if all of these are known from elsewhere."""
    accesses = flatnonzero(batch.accesses)
    left = batch.take(accesses)
    if apart is None or len(apart[0]) + len(accesses) != len(batch):
        return left
    order = np.argsort(np.concatenate([accesses, apart[0] - first]), kind="stable")
    joined = concatenate([left, apart[1]]).reordered(order)
    return joined if np.array_equal(joined.kind, batch.kind) else left


def _reason(events: int, lost: Sequence[str], gone: int) -> str:
    said = f"a block of {events} events is damaged"
    if not lost:
        return f"{said}, in nothing that matters"
    several = len(lost) > 1
    said += f": its column{'s' * several} {', '.join(map(repr, lost))} {'are' if several else 'is'} lost"
    return f"{said}, and with it {gone} event{'s' * (gone > 1)}" if gone else said
