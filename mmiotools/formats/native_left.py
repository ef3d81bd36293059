"""What is left of a native block of which a part is damaged, and the words for what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmiotools.trace.batch import Batch, concatenate


def without_extras(batch: Batch, apart: tuple[NDArray[np.int64], Batch] | None) -> Batch:
    """A batch whose extras are lost: its accesses, and its other events if all of these are known from elsewhere:
    `apart` has their rows, (m,) ascending, and themselves.
    """
    accesses = np.flatnonzero(batch.accesses)
    left = batch.take(accesses)
    if apart is None or len(apart[0]) + len(accesses) != len(batch):
        return left
    rows, rare = apart
    joined = concatenate([left, rare]).reordered(np.argsort(np.concatenate([accesses, rows]), kind="stable"))
    return joined if np.array_equal(joined.kind, batch.kind) else left


def reason(events: int, lost: Sequence[str], gone: int) -> str:
    """What a note says of a block of so many events that has lost columns, and with them `gone` events."""
    said = f"a block of {events} events is damaged"
    if not lost:
        return f"{said}, in nothing that matters"
    said += f": its column{'s' * (len(lost) > 1)} {', '.join(repr(name) for name in lost)} "
    said += "is lost" if len(lost) == 1 else "are lost"
    return f"{said}, and with it {gone} events that are no accesses" if gone else said
