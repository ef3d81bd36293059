"""Accesses from one process to another, through a file without a name that both have open."""

from __future__ import annotations

import mmap
import os
import pickle
from dataclasses import fields
from typing import Any

import numpy as np

from mmiotools.trace.matching import Accesses

#: Columns begin at multiples of this.
_ALIGNED = 64


def write_accesses(fd: int, accesses: Accesses) -> bytes:
    """Put the columns into a file; what `map_accesses` needs to find them there. Raises OSError."""
    said: dict[str, Any] = {}
    with os.fdopen(os.dup(fd), "wb", buffering=0) as out:
        at = 0
        for field in fields(accesses):
            value = getattr(accesses, field.name)
            if not isinstance(value, np.ndarray) or not value.strides[0]:
                # Lists and tables; and columns of which all is the same, which take no memory.
                said[field.name] = value[:1] if isinstance(value, np.ndarray) else value
                continue
            out.seek(at)
            left = np.ascontiguousarray(value).data.cast("B")
            while len(left):
                left = left[out.write(left) :]
            said[field.name] = (value.dtype.str, at, len(value))
            at += -(-value.nbytes // _ALIGNED) * _ALIGNED
        out.truncate(at)
    return pickle.dumps((len(accesses), at, said))


def map_accesses(fd: int, description: bytes) -> Accesses:
    """The accesses that another process of this program has written there; the columns cannot be written to."""
    length, size, said = pickle.loads(description)
    shared = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ) if size else b""
    for name, value in said.items():
        if isinstance(value, tuple):
            dtype, at, count = value
            said[name] = np.frombuffer(shared, dtype, count, at)
        elif isinstance(value, np.ndarray):
            said[name] = np.broadcast_to(value, length)
    return Accesses(**said)
