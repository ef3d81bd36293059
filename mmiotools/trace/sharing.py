"""Accesses from one process to another, through a file without a name that both have open."""

from __future__ import annotations

import mmap
import os

import numpy as np

from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import repeated
from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.shared import APART, Description, Place, Same
from mmiotools.typed import Any, NDArray

#: Rows of one value that are written at a time.
_CHUNK = 1 << 15


class SharedColumns:
    """Columns that are written to the file as they grow: this process has no memory of its own for them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._count = 0
        #: Where in the file each array begins, by its address; the arrays, so that no other one is there.
        self._places: dict[int, int] = {}
        self._mapped: list[NDArray[Any]] = []

    def growing(self, dtype: str, room: int = 0) -> GrowingColumn:
        """A new column. To add to it raises OSError where there is no memory."""
        self._count += 1
        return _SharedColumn(self, self._fd, (self._count - 1) * APART, dtype)

    def mapped(self, at: int, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        """What is in the file there."""
        found = _mapped(self._fd, at, dtype, length)
        self._places[_address(found)] = at
        self._mapped.append(found)
        return found

    def write(self, accesses: Accesses) -> Description:
        """Put there what is not there yet; what `map_accesses` needs to find it. Raises OSError."""
        said: dict[str, Any] = {}
        for field in Accesses._fields:
            value = getattr(accesses, field)
            if isinstance(value, np.ndarray) and value.strides[0] and _address(value) not in self._places:
                column = self.growing(value.dtype.str)
                column.add(value, len(value))
                value = column.whole()
            if isinstance(value, np.ndarray) and value.strides[0]:
                value = Place(value.dtype.str, self._places[_address(value)], len(value))
            elif isinstance(value, np.ndarray):
                value = Same(value.dtype.str, value[0].item() if len(value) else 0)
            said[field] = value
        return Description(len(accesses), said)


class _SharedColumn(GrowingColumn):
    """A column in the file, from byte `at` on."""

    def __init__(self, owner: SharedColumns, fd: int, at: int, dtype: str) -> None:
        super().__init__(dtype)
        self._owner, self._fd, self._at = owner, fd, at

    def _put(self, at: int, part: Any, size: int) -> None:
        if not isinstance(part, np.ndarray):
            part = repeated(part, self._dtype, size)
        for low in range(0, size, _CHUNK):
            left = np.ascontiguousarray(part[low : low + _CHUNK], self._dtype).view(np.uint8).data
            place = self._at + (at + low) * self._dtype.itemsize
            while len(left):
                written = os.pwrite(self._fd, left, place)
                left, place = left[written:], place + written

    def _stored(self, length: int) -> NDArray[Any]:
        return self._owner.mapped(self._at, self._dtype, length)


def map_accesses(fd: int, description: Description) -> Accesses:
    """The accesses that another process of this program has written there; the columns cannot be written to."""
    found = dict(description.fields)
    for name, value in found.items():
        if isinstance(value, Place):
            found[name] = _mapped(fd, value.at, np.dtype(value.dtype), value.length)
        elif isinstance(value, Same):
            found[name] = repeated(value.value, value.dtype, description.length)
    rows = Accesses(**found)
    if description.codes is None:
        return rows
    codes = description.codes
    return Accesses.coded(_mapped(fd, codes.at, np.dtype(codes.dtype), codes.length), rows)


def _mapped(fd: int, at: int, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    memory = mmap.mmap(fd, length * dtype.itemsize, mmap.MAP_SHARED, mmap.PROT_READ, offset=at)
    return np.frombuffer(memory, dtype, length)


def _address(column: NDArray[Any]) -> int:
    return int(column.__array_interface__["data"][0])
