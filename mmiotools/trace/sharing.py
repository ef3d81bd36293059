"""Accesses from one process to another, through a file without a name that both have open."""

from __future__ import annotations

import mmap
import os
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.matching import Accesses

#: Each column has a TiB of the file, so that it can grow where it is. What nobody writes to takes no memory.
_APART = 1 << 40
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
        return _SharedColumn(self, self._fd, (self._count - 1) * _APART, dtype)

    def mapped(self, at: int, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        """What is in the file there."""
        found = _mapped(self._fd, at, dtype, length)
        self._places[_address(found)] = at
        self._mapped.append(found)
        return found

    def write(self, accesses: Accesses) -> bytes:
        """Put there what is not there yet; what `map_accesses` needs to find it. Raises OSError."""
        said: dict[str, Any] = {}
        for field in fields(accesses):
            value = getattr(accesses, field.name)
            if isinstance(value, np.ndarray) and value.strides[0] and _address(value) not in self._places:
                column = self.growing(value.dtype.str)
                column.add(value, len(value))
                value = column.whole()
            if isinstance(value, np.ndarray) and value.strides[0]:
                value = (value.dtype.str, self._places[_address(value)], len(value))
            elif isinstance(value, np.ndarray):
                # All of it is the same.
                value = value[:1]
            said[field.name] = value
        return pickle.dumps((len(accesses), said))


class _SharedColumn(GrowingColumn):
    """A column in the file, from byte `at` on."""

    def __init__(self, owner: SharedColumns, fd: int, at: int, dtype: str) -> None:
        super().__init__(dtype)
        self._owner, self._fd, self._at = owner, fd, at

    def _put(self, at: int, part: Any, size: int) -> None:
        if not isinstance(part, np.ndarray):
            part = np.broadcast_to(np.array(part, self._dtype), size)
        for low in range(0, size, _CHUNK):
            left = np.ascontiguousarray(part[low : low + _CHUNK], self._dtype).view(np.uint8).data
            place = self._at + (at + low) * self._dtype.itemsize
            while len(left):
                written = os.pwrite(self._fd, left, place)
                left, place = left[written:], place + written

    def _stored(self, length: int) -> NDArray[Any]:
        return self._owner.mapped(self._at, self._dtype, length)


def map_accesses(fd: int, description: bytes) -> Accesses:
    """The accesses that another process of this program has written there; the columns cannot be written to."""
    length, said = pickle.loads(description)
    for name, value in said.items():
        if isinstance(value, tuple):
            dtype, at, count = value
            said[name] = _mapped(fd, at, np.dtype(dtype), count)
        elif isinstance(value, np.ndarray):
            said[name] = np.broadcast_to(value, length)
    return Accesses(**said)


def _mapped(fd: int, at: int, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    memory = mmap.mmap(fd, length * dtype.itemsize, mmap.MAP_SHARED, mmap.PROT_READ, offset=at)
    return np.frombuffer(memory, dtype, length)


def _address(column: NDArray[Any]) -> int:
    return int(column.__array_interface__["data"][0])
