"""A column that grows part by part, and takes no memory as long as all of it is the same."""

from __future__ import annotations

import numpy as np

from mmiotools.trace.arrays import repeated
from mmiotools.typed import Any, NDArray

#: Rows that there is room for at first, and that are made room for on somebody's word; then twice as many, whenever
#: they do not suffice.
_ROOM, _BELIEVED = 1 << 16, 1 << 22


class GrowingColumn:
    """Takes parts of a column, and is the whole at the end. Of what is twice as large as needed, the rest stays
    untouched, so that it takes no memory.

    room   how many rows there may be; not to be relied on
    """

    def __init__(self, dtype: str, room: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._least = max(_ROOM, min(room, _BELIEVED))
        self._same: Any = None
        self._varies = False
        self._data = np.empty(0, self._dtype)
        self._length = 0

    def add(self, part: NDArray[Any] | int | None, size: int) -> None:
        """The next `size` rows: an array, or one value for all of them; None is 0."""
        value = self._value(part)
        if not self._varies and value is not None and (self._same is None or self._same == value):
            self._same = value
        else:
            if not self._varies:
                self._varies = True
                self._put(0, self._same or 0, self._length)
            self._put(self._length, part if value is None else value, size)
        self._length += size

    def whole(self) -> NDArray[Any]:
        """All rows. Where all are the same the column cannot be written to."""
        if not self._varies:
            return repeated(self._same or 0, self._dtype, self._length)
        return self._stored(self._length)

    def _put(self, at: int, part: Any, size: int) -> None:
        """Store `size` rows from row `at` on, an array or one value."""
        stop = at + size
        if len(self._data) < stop:
            fresh = np.empty(max(self._least, stop, 2 * len(self._data)), self._dtype)
            fresh[:at] = self._data[:at]
            self._data = fresh
        self._data[at:stop] = part

    def _stored(self, length: int) -> NDArray[Any]:
        """What was stored."""
        return self._data[:length]

    def _value(self, part: NDArray[Any] | int | None) -> Any:
        """The value that all of a part has; None where it has more than one, or is not looked at."""
        if not isinstance(part, np.ndarray):
            return self._dtype.type(part or 0)
        # Where a column varies at all, it soon does: it is not looked through in vain for long.
        if self._varies or not len(part) or part[0] != part[-1] or not bool((part == part[0]).all()):
            return None
        return self._dtype.type(part[0])
