"""Columns ↔ the bytes of a native block's body. Every encoding is described in formats/native.md.

Integers are stored as byte planes (all lowest bytes, then all second bytes, …), each plane a zstd frame of its own;
signed ones are zigzagged first.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from mmiotools.formats.native_layout import pack, unpack
from mmiotools.formats.native_planes import (
    ESCAPE,
    U64,
    Array,
    Coded,
    Steps,
    alike,
    code,
    from_steps,
    join,
    look_up,
    split,
    to_steps,
    unzigzag,
    zigzag,
)
from mmiotools.formats.native_zstd import THOROUGH, Corrupt, Effort, expand, expand_planes, squeeze
from mmiotools.trace.batch import Column

#: Encodings of a column, as the directory numbers them.
CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA, MSGPACK = range(6)

#: Up to so many numbers, all byte planes may go into one frame.
_FEW = 512


def pack_planes(numbers: U64, compressor: zstandard.ZstdCompressor = THOROUGH.usual) -> list[bytes] | bytes:
    """Byte planes, lowest first; planes above the highest byte in use are left out. A list with a frame for each
    plane or, where there are few numbers and it is smaller, one frame with all the planes.
    """
    return _frames(split(numbers), len(numbers), compressor)


def _frames(planes: list[Any], n: int, compressor: zstandard.ZstdCompressor) -> list[bytes] | bytes:
    apart = [compressor.compress(plane) for plane in planes]
    if n <= _FEW:
        together = compressor.compress(b"".join(planes))
        if len(together) <= sum(map(len, apart)):
            return together
    return apart


def unpack_planes(planes: Any, n: int) -> U64:
    """The numbers behind `pack_planes`, (n,)."""
    return join(expand_planes(planes, n), n)


class Presence:
    """The bitmaps of a block that say which rows have a column: columns with the same rows share one."""

    def __init__(self, packed: Any = None) -> None:
        self.packed: list[bytes] = packed or []
        self._numbers: dict[bytes, int] = {}
        self._unpacked: dict[Any, tuple[NDArray[np.bool_], int]] = {}

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


def encode(
    name: str, column: Column, addresses: Coded | None, presence: Presence, effort: Effort
) -> tuple[list[Any], bytes]:
    """A column as (its entry in the block's directory, its payload).

    The entry is [encoding, bits, payload length, CRC-32, parameter] and, for a column that some rows lack, the
    number of its presence bitmap; bits are negative for a signed type. `addresses` are those of the block, coded.
    """
    data, present = column
    payload: dict[str, Any] = {}
    bitmap = []
    if present is not None and not present.all():
        bitmap = [presence.number(present)]
        data = data[present]
    bits = data.dtype.itemsize * (-8 if data.dtype.kind == "i" else 8)
    parameter: Any = None
    if alike(data):
        encoding, parameter = CONSTANT, int(data[0])
    elif name == "time":
        encoding = DELTA
        parameter = _encode_time(data, payload, effort)
    elif name == "addr" and addresses is not None:
        encoding = ADDRESS
        payload["v"] = _frames(addresses.planes, len(data), effort.pattern)
    else:
        numbers = zigzag(data) if bits < 0 else data.astype(np.uint64, copy=False)
        encoding = PLAIN
        if name == "kind":
            payload["v"] = pack_planes(numbers, effort.pattern)
        else:
            encoding = _encode_plain(numbers, payload, effort.usual)
    packed = pack(payload) if payload else b""
    return [encoding, bits, len(packed), zlib.crc32(packed), parameter, *bitmap], packed


def _encode_time(data: Array, payload: dict[str, Any], effort: Effort) -> list[int]:
    """Differences in the coarsest unit that is exact; one byte each, the rare large or negative ones apart."""
    steps = to_steps(data)
    payload["v"] = effort.usual.compress(steps.small)
    if len(steps.large):
        if int(steps.large.min()) >= 0:
            payload["x"] = pack_planes(steps.large.view(np.uint64), effort.usual)
        else:
            payload["z"] = pack_planes(zigzag(steps.large), effort.usual)
    return [steps.first, steps.unit]


def _encode_plain(numbers: U64, payload: dict[str, Any], compressor: zstandard.ZstdCompressor) -> int:
    """A dictionary where values recur, else the numbers themselves."""
    if int(numbers.max()) > 255:
        coded = code(numbers, len(numbers) // 4)
        if coded is not None:
            payload["k"] = [len(coded.values), pack_planes(coded.values, compressor)]
            payload["v"] = _frames(coded.planes, len(numbers), compressor)
            return DICTIONARY
    payload["v"] = pack_planes(numbers, compressor)
    return PLAIN


def check(entry: Any, payload: bytes) -> None:
    """Of a column that nobody wants to see, only the checksum. Raises Corrupt."""
    if zlib.crc32(payload) != entry[3]:
        raise Corrupt("its checksum is wrong")


def decode(entry: Any, payload: bytes, n: int, addresses: U64 | None, presence: Presence) -> Column | None:
    """The column of a directory entry and its payload; None when its encoding is not known. Raises Corrupt."""
    encoding, bits, _, crc, parameter, *bitmap = entry
    if zlib.crc32(payload) != crc:
        raise Corrupt("its checksum is wrong")
    if encoding not in (CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA):
        return None
    try:
        parts = unpack(payload) if payload else {}
        present = None
        count = n
        if bitmap:
            present, count = presence.get(bitmap[0], n)
        dtype = np.dtype(f"{'i' if bits < 0 else 'u'}{abs(bits) // 8}")
        values = _decode_values(encoding, parts, parameter, count, dtype, addresses)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise Corrupt(str(error)) from error
    if present is None:
        return Column(values)
    data = np.zeros(n, dtype)
    data[present] = values
    return Column(data, present)


def _decode_values(
    encoding: int, parts: dict[str, Any], parameter: Any, n: int, dtype: np.dtype[Any], addresses: U64 | None
) -> Array:
    if encoding == CONSTANT:
        if type(parameter) is not int:
            raise Corrupt("its value is no integer")
        return np.full(n, parameter, dtype)
    if encoding == DELTA:
        first, unit = parameter
        if type(first) is not int or type(unit) is not int:
            raise Corrupt("its times begin nowhere")
        small = expand(parts["v"], n)
        large = np.zeros(0, np.int64)
        escaped = small.count(ESCAPE)
        if escaped:
            large = (
                unpack_planes(parts["x"], escaped).view(np.int64)
                if "x" in parts
                else unzigzag(unpack_planes(parts["z"], escaped))
            )
        return from_steps(Steps(first, unit, small, large)).astype(dtype, copy=False)
    planes = expand_planes(parts["v"], n)
    values = None
    if encoding == ADDRESS:
        if addresses is None:
            raise Corrupt("the address dictionary is missing")
        values = addresses
    elif encoding == DICTIONARY:
        size, packed = parts["k"]
        if not 0 < size <= max(n, 1):
            raise Corrupt("its dictionary has an impossible size")
        values = unpack_planes(packed, size)
    if values is not None and encoding == ADDRESS:
        # Addresses are stored as they are, also where the type is signed.
        return look_up(planes, n, values, np.dtype(np.uint64)).astype(dtype, copy=False)
    return look_up(planes, n, values, dtype)
