"""Columns ↔ the bytes of a native block's body. Every encoding is described in formats/native.md.

Integers are stored as byte planes (all lowest bytes, then all second bytes, …), each plane a zstd frame of its own;
signed ones are zigzagged first.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from mmiotools.formats.native_layout import pack, unpack
from mmiotools.trace.batch import Column
from mmiotools.trace.hashing import distinct

U64 = NDArray[np.uint64]
Array = NDArray[Any]

#: Encodings of a column, as the directory numbers them.
CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA, MSGPACK = range(6)

#: Up to so many numbers, all byte planes may go into one frame.
_FEW = 512
#: zstd levels: the usual one, and one for kinds and address codes, whose patterns pay for a longer search.
_LEVEL, _PATTERN_LEVEL = 6, 12
_ESCAPE = 255

_compressor = zstandard.ZstdCompressor(level=_LEVEL)
_pattern_compressor = zstandard.ZstdCompressor(level=_PATTERN_LEVEL)
_decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)


class Corrupt(ValueError):
    """A column or a block does not decode."""


def squeeze(data: bytes) -> bytes:
    """One zstd frame."""
    return _compressor.compress(data)


def expand(data: Any, size: int, *, exact: bool = True) -> bytes:
    """The content of a zstd frame: exactly `size` bytes, or at most. Raises Corrupt; never allocates more."""
    if not isinstance(data, bytes):
        raise Corrupt("a compressed part is missing")
    try:
        if zstandard.frame_content_size(data) > size:
            raise Corrupt("a compressed part is larger than it may be")
        content = _decompressor.decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Corrupt(f"a compressed part is damaged ({error})") from error
    if exact and len(content) != size:
        raise Corrupt("a compressed part has the wrong length")
    return content


def squeeze_pattern(data: bytes) -> bytes:
    """One zstd frame, made with more effort."""
    return _pattern_compressor.compress(data)


def pack_planes(numbers: U64, squeeze: Callable[[bytes], bytes] = squeeze) -> list[bytes] | bytes:
    """Byte planes, lowest first; planes above the highest byte in use are left out. A list with a frame for each
    plane or, where there are few numbers and it is smaller, one frame with all the planes.
    """
    n = len(numbers)
    used = (int(numbers.max()).bit_length() + 7) // 8 if n else 0
    planes = numbers.astype("<u8", copy=False).view(np.uint8).reshape(n, 8)[:, :used]
    apart = [squeeze(planes[:, place].tobytes()) for place in range(used)]
    if n <= _FEW:
        together = squeeze(planes.T.tobytes())
        if len(together) <= sum(map(len, apart)):
            return together
    return apart


def unpack_planes(planes: Any, n: int) -> U64:
    """The numbers behind `pack_planes`, (n,)."""
    if isinstance(planes, list) and len(planes) <= 2:
        # Most columns: codes, widths, kinds.
        if not planes:
            return np.zeros(n, np.uint64)
        numbers = np.frombuffer(expand(planes[0], n), np.uint8).astype(np.uint64)
        if len(planes) > 1:
            high = np.frombuffer(expand(planes[1], n), np.uint8).astype(np.uint64)
            high <<= np.uint64(8)
            numbers |= high
        return numbers
    bytes_ = np.zeros((n, 8), np.uint8)
    if isinstance(planes, bytes):
        content = expand(planes, 8 * n, exact=False)
        if n and len(content) % n:
            raise Corrupt("a compressed part has the wrong length")
        planes_there = len(content) // n if n else 0
        bytes_[:, :planes_there] = np.frombuffer(content, np.uint8).reshape(planes_there, n).T
    elif isinstance(planes, list) and len(planes) <= 8:
        for place, plane in enumerate(planes):
            bytes_[:, place] = np.frombuffer(expand(plane, n), np.uint8)
    else:
        raise Corrupt("byte planes are missing")
    return bytes_.view("<u8").reshape(n).astype(np.uint64, copy=False)


def zigzag(numbers: Array) -> U64:
    """Signed → unsigned, small magnitudes small: 0 -1 1 -2 → 0 1 2 3."""
    signed = numbers.astype(np.int64, copy=False)
    return ((signed << 1) ^ (signed >> 63)).view(np.uint64)


def unzigzag(numbers: U64) -> NDArray[np.int64]:
    """Unsigned → signed, the inverse of `zigzag`."""
    return (numbers >> np.uint64(1)).view(np.int64) ^ -(numbers & np.uint64(1)).view(np.int64)


class Presence:
    """The bitmaps of a block that say which rows have a column: columns with the same rows share one."""

    def __init__(self, packed: Any = None) -> None:
        self.packed: list[bytes] = packed or []
        self._numbers: dict[bytes, int] = {}

    def number(self, present: NDArray[np.bool_]) -> int:
        """The number of a bitmap, added if it is new."""
        bits = np.packbits(present, bitorder="little").tobytes()
        number = self._numbers.setdefault(bits, len(self.packed))
        if number == len(self.packed):
            self.packed.append(squeeze(bits))
        return number

    def get(self, number: Any, n: int) -> NDArray[np.bool_]:
        """The bitmap of that number as (n,) bool."""
        bits = np.frombuffer(expand(self.packed[number], (n + 7) // 8), np.uint8)
        return np.unpackbits(bits, count=n, bitorder="little").astype(np.bool_)


def encode(name: str, column: Column, addresses: U64 | None, presence: Presence) -> tuple[list[Any], bytes]:
    """A column as (its entry in the block's directory, its payload).

    The entry is [encoding, bits, payload length, CRC-32, parameter] and, for a column that some rows lack, the
    number of its presence bitmap; bits are negative for a signed type. `addresses` is the block's address dictionary.
    """
    data, present = column
    payload: dict[str, Any] = {}
    bitmap = []
    if present is not None and not present.all():
        bitmap = [presence.number(present)]
        data = data[present]
    bits = data.dtype.itemsize * (-8 if data.dtype.kind == "i" else 8)
    parameter: Any = None
    if (data[0] == data).all():
        encoding, parameter = CONSTANT, int(data[0])
    elif name == "time":
        encoding = DELTA
        parameter = _encode_time(data, payload)
    else:
        numbers = zigzag(data) if bits < 0 else data.astype(np.uint64, copy=False)
        if name == "addr" and addresses is not None:
            encoding = ADDRESS
            payload["v"] = pack_planes(np.searchsorted(addresses, numbers).astype(np.uint64), squeeze_pattern)
        elif name == "kind":
            encoding = PLAIN
            payload["v"] = pack_planes(numbers, squeeze_pattern)
        else:
            encoding = _encode_plain(numbers, payload)
    packed = pack(payload) if payload else b""
    return [encoding, bits, len(packed), zlib.crc32(packed), parameter, *bitmap], packed


def _encode_time(data: Array, payload: dict[str, Any]) -> list[int]:
    """Differences in the coarsest unit that is exact; one byte each, the rare large or negative ones apart."""
    unit = next(unit for unit in (1_000_000, 1000, 1) if not (data % unit).any())
    ticks = data // unit
    steps = np.diff(ticks, prepend=ticks[:1])
    small = (steps >= 0) & (steps < _ESCAPE)
    payload["v"] = squeeze(np.where(small, steps, _ESCAPE).astype(np.uint8).tobytes())
    if not small.all():
        large = steps[~small]
        if int(large.min()) >= 0:
            payload["x"] = pack_planes(large.view(np.uint64))
        else:
            payload["z"] = pack_planes(zigzag(large))
    return [int(ticks[0]), unit]


def _encode_plain(numbers: U64, payload: dict[str, Any]) -> int:
    """A dictionary where values recur, else the numbers themselves."""
    if int(numbers.max()) > 255:
        values = distinct(numbers)
        if len(values) * 4 <= len(numbers):
            payload["k"] = [len(values), pack_planes(values)]
            payload["v"] = pack_planes(np.searchsorted(values, numbers).astype(np.uint64))
            return DICTIONARY
    payload["v"] = pack_planes(numbers)
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
            present = presence.get(bitmap[0], n)
            count = int(present.sum())
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
        steps = np.frombuffer(expand(parts["v"], n), np.uint8).astype(np.int64)
        escaped = np.flatnonzero(steps == _ESCAPE)
        if len(escaped):
            if "x" in parts:
                steps[escaped] = unpack_planes(parts["x"], len(escaped)).view(np.int64)
            else:
                steps[escaped] = unzigzag(unpack_planes(parts["z"], len(escaped)))
        return ((np.cumsum(steps) + np.int64(first)) * np.int64(unit)).astype(dtype)
    numbers = unpack_planes(parts["v"], n)
    if encoding == ADDRESS:
        if addresses is None:
            raise Corrupt("the address dictionary is missing")
        return _look_up(addresses, numbers).astype(dtype, copy=False)
    if encoding == DICTIONARY:
        size, planes = parts["k"]
        if not 0 < size <= max(n, 1):
            raise Corrupt("its dictionary has an impossible size")
        numbers = _look_up(unpack_planes(planes, size), numbers)
    if dtype == numbers.dtype:
        return numbers
    if dtype.kind == "i":
        return unzigzag(numbers).astype(dtype, copy=False)
    return numbers.astype(dtype, copy=False)


def _look_up(dictionary: U64, codes: U64) -> U64:
    if len(codes) and int(codes.max()) >= len(dictionary):
        raise Corrupt("a code is beyond its dictionary")
    found: U64 = dictionary[codes.view(np.int64)]
    return found
