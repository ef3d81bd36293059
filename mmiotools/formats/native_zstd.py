"""The zstd frames in a native block: their bytes, of a length that is known before, and how hard to compress."""

from __future__ import annotations

from typing import Any, NamedTuple

import zstandard

_decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)


class Corrupt(ValueError):
    """A column or a block does not decode."""


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


def expand_planes(planes: Any, n: int) -> list[Any]:
    """The planes of n bytes each, decompressed."""
    if isinstance(planes, list) and len(planes) <= 8:
        return [expand(plane, n) for plane in planes]
    if not isinstance(planes, bytes):
        raise Corrupt("byte planes are missing")
    content = expand(planes, 8 * n, exact=False)
    if n and len(content) % n:
        raise Corrupt("a compressed part has the wrong length")
    return [content[at : at + n] for at in range(0, len(content), n)] if n else []


class Effort(NamedTuple):
    """How hard to compress: what is usual, and kinds and codes of addresses, whose patterns pay for a longer search."""

    usual: zstandard.ZstdCompressor
    pattern: zstandard.ZstdCompressor


#: For the blocks of a long trace, and where there is but one.
QUICK = Effort(zstandard.ZstdCompressor(level=1), zstandard.ZstdCompressor(level=5))
THOROUGH = Effort(zstandard.ZstdCompressor(level=6), zstandard.ZstdCompressor(level=12))


def squeeze(data: Any) -> bytes:
    """One zstd frame."""
    return THOROUGH.usual.compress(data)
