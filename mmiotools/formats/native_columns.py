"""Columns ↔ the bytes of a native block's body. Every encoding is described in formats/native.md.

Integers are stored as byte planes (all lowest bytes, then all second bytes, …), each plane a zstd frame of its own;
signed ones are zigzagged first.
"""

from __future__ import annotations

import zlib

import msgpack
import numpy as np

from mmiotools.formats.native_layout import CONSTANT, DELTA, DICTIONARY, PLACES, SHARED
from mmiotools.formats.native_planes import (
    U64,
    Packed,
    What,
    join,
    pack_column,
    split,
)
from mmiotools.formats.native_zstd import THOROUGH, Effort, expand, expand_planes, squeeze
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Column
from mmiotools.typed import TYPE_CHECKING, Any, NamedTuple, NDArray

if TYPE_CHECKING:
    import zstandard

#: Up to so many numbers, all byte planes may go into one frame, which is quicker to unpack, where that makes them
#: larger by no more than this part.
_FEW, _LARGER = 1 << 14, 50
_packer = msgpack.Packer()


def pack_planes(numbers: U64, compressor: zstandard.ZstdCompressor = THOROUGH.usual) -> list[bytes] | bytes:
    """Byte planes, lowest first; planes above the highest byte in use are left out. A list with a frame for each
    plane or, where there are few numbers, one frame with all the planes.
    """
    return frames(split(numbers), len(numbers), compressor)


def frames(planes: list[Any], n: int, compressor: zstandard.ZstdCompressor) -> list[bytes] | bytes:
    """The same for planes of n bytes each."""
    apart = [compressor.compress(plane) for plane in planes]
    if n > _FEW or len(planes) < 2:
        return apart
    together = compressor.compress(b"".join(planes))
    least = sum(map(len, apart))
    return together if len(together) <= least + least // _LARGER else apart


def unpack_planes(planes: Any, n: int) -> U64:
    """The numbers behind `pack_planes`, (n,)."""
    return join(expand_planes(planes, n), n)


class Presence:
    """The bitmaps of a block that say which rows have a column: columns with the same rows share one."""

    def __init__(self, packed: Any = None) -> None:
        self.packed: list[bytes] = packed or []
        self._numbers: dict[bytes, int] = {}
        self._unpacked: dict[Any, tuple[NDArray[np.bool_], int]] = {}
        self._absent: dict[Any, NDArray[np.intp]] = {}

    def number(self, present: NDArray[np.bool_]) -> int:
        """The number of a bitmap, added if it is new."""
        bits = np.packbits(present, bitorder="little").tobytes()
        number = self._numbers.setdefault(bits, len(self.packed))
        if number == len(self.packed):
            self.packed.append(squeeze(bits))
        return number

    def get(self, number: Any, n: int) -> tuple[NDArray[np.bool_], int]:
        """The bitmap of that number as (n,) bool, and how many rows it has."""
        found = self._unpacked.get(number)
        if found is None:
            bits = np.frombuffer(expand(self.packed[number], (n + 7) // 8), np.uint8)
            present = np.unpackbits(bits, count=n, bitorder="little").view(np.bool_)
            found = self._unpacked[number] = (present, int(np.count_nonzero(present)))
        return found

    def places(self, number: Any, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which of the rows of a bitmap, from 0, some of them are; it was gotten before."""
        absent = self._absent.get(number)
        if absent is None:
            absent = self._absent[number] = flatnonzero(~self._unpacked[number][0])
        return rows - np.searchsorted(absent, rows)


#: Of columns that are not like any: what they are.
_WHAT = {"kind": What.KINDS, "time": What.TIMES, "addr": What.ADDRESSES}


class Encoded(NamedTuple):
    """A column in a block: its entry in the directory, its payload, what it was made of, and of addresses the planes
    of their dictionary.
    """

    entry: list[Any]
    payload: bytes
    packed: Packed
    addresses: list[bytes] | bytes | None


def encode_places(planes: list[Any], n: int, count: int, effort: Effort) -> tuple[list[Any], bytes]:
    """The places of n events among `count` distinct rows, as a column: its entry and its payload."""
    payload: bytes = _packer.pack({"v": frames(planes, n, effort.pattern)})
    return [PLACES, 16, len(payload), zlib.crc32(payload), count], payload


def encode(
    name: str, column: Column, presence: Presence, effort: Effort, shared: Column | None = None
) -> Encoded | None:
    """A column as a block has it, None where no row has it.

    shared  its number for each of the block's distinct rows, where it has one

    The entry is [encoding, bits, payload length, CRC-32, parameter] and, for a column that some rows lack, the
    number of its presence bitmap; bits are negative for a signed type.
    """
    data, present = column
    packed = pack_column(column if shared is None else shared, _WHAT.get(name, What.ANY))
    encoding, rows = packed.encoding, packed.rows
    if not rows:
        return None
    bits = data.dtype.itemsize * (-8 if data.dtype.kind == "i" else 8)
    bitmap = [] if present is None or present.all() else [presence.number(present)]
    addresses = frames(packed.word_planes, packed.words, effort.usual) if name == "addr" else None
    if encoding == CONSTANT:
        return Encoded([CONSTANT, bits, 0, 0, packed.low, *bitmap], b"", packed, addresses)
    parameter = None
    parts: dict[str, Any] = {}
    if encoding == DELTA:
        parameter = [packed.first, packed.unit]
        parts["v"] = effort.usual.compress(packed.planes[0])
        if packed.words:
            parts["z" if packed.negative else "x"] = frames(packed.word_planes, packed.words, effort.usual)
    else:
        if encoding == DICTIONARY:
            parts["k"] = [packed.words, frames(packed.word_planes, packed.words, effort.usual)]
        parts["v"] = frames(packed.planes, rows, effort.pattern)
    payload: bytes = _packer.pack(parts)
    said = [encoding, bits, len(payload), zlib.crc32(payload), parameter]
    if shared is not None:
        said[0], said[4] = SHARED, encoding
    return Encoded([*said, *bitmap], payload, packed, addresses)
