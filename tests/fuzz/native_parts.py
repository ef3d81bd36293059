"""Native files and compressed files spoilt inside, with every checksum and length right around it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import zstandard
from mutation import _NUMBERS, BYTES, change_tree

from mmiotools.formats import native_layout as layout
from mmiotools.formats.native_zstd import squeeze


def blocks(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """The frame, the head, a column or the extras of one block, or the header map of the file, become others."""
    places = []
    at = data.find(layout.SYNC)
    while at >= 0:
        frame = layout.unpack_frame(data[at : at + layout.FRAME_SIZE])
        if frame is not None:
            places.append((at, frame))
        at = data.find(layout.SYNC, at + 1)
    if not places or rng.random() < 0.05:
        return _header_map(rng, data)
    at, frame = rng.choice(places)
    start = at + layout.FRAME_SIZE
    head_bytes = data[start : start + frame.head_length]
    body_bytes = data[start + frame.head_length : start + frame.head_length + frame.body_length]
    end = start + len(head_bytes) + len(body_bytes)
    how = rng.random()
    if how < 0.2:
        field = rng.choice(["type", "first", "events", "head_length", "body_length"])
        number = rng.choice([*_NUMBERS, getattr(frame, field) + 1]) % (1 << {"type": 8, "first": 64}.get(field, 32))
        return data[:at] + layout.pack_frame(frame._replace(**{field: number})) + data[start:]
    try:
        head, body = layout.unpack(head_bytes), layout.unpack(body_bytes) if body_bytes else None
        if how < 0.6:
            head = change_tree(rng, head, _odd)
        elif isinstance(body, dict) and body:
            _change_column(rng, head, body)
        new_body = layout.pack(body) if body is not None else body_bytes
        new_head = layout.pack(head)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, zstandard.ZstdError):
        return data
    frame = frame._replace(head_length=len(new_head), body_length=len(new_body), head_crc=zlib.crc32(new_head))
    return data[:at] + layout.pack_frame(frame) + new_head + new_body + data[end:]


def _change_column(rng: Random, head: Any, body: dict[Any, Any]) -> None:
    """A payload becomes another; its checksum and length in the head follow, mostly."""
    name = rng.choice(list(body))
    payload = body[name]
    if name == "extras":
        content = layout.unpack(zstandard.ZstdDecompressor().decompress(payload, max_output_size=1 << 24))
        payload = squeeze(layout.pack(change_tree(rng, content, _odd)))
    elif rng.random() < 0.5 and isinstance(payload, bytes) and payload:
        payload = layout.pack(change_tree(rng, layout.unpack(payload), _odd))
    else:
        payload = rng.choice([b"", squeeze(bytes(1 << 24)), rng.randbytes(20), rng.choice(list(body.values()))])
    body[name] = payload
    entry = head["columns"].get(name)
    if rng.random() < 0.95 and isinstance(payload, bytes):
        entry[2:4] = [len(payload), zlib.crc32(payload)]


def _header_map(rng: Random, data: bytes) -> bytes:
    size = layout.FILE_HEADER_SIZE
    if len(data) < size or not data.startswith(layout.MAGIC):
        return data
    length = int.from_bytes(data[24:28], "little")
    packed = data[size : size + length]
    try:
        new = layout.pack(change_tree(rng, layout.unpack(packed), _odd))
    except (ValueError, TypeError, RecursionError, AttributeError):
        return data
    events = rng.choice([int.from_bytes(data[16:24], "little"), layout.UNKNOWN_COUNT, 0, 1, 1 << 40])
    return layout.pack_file_header(rng.choice([0, 1, 1, 7]), events, new) + data[size + length :]


def _odd(rng: Random) -> Any:
    """A value for a msgpack tree."""
    return rng.choice(
        [
            *(None, True, False, 1.5, float("nan"), "", "x", "é", b"", b"x", [], {}, [[]], [0, 0], [1, b""], {0: 0}),
            *(squeeze(bytes(1 << 20)), squeeze(b""), [squeeze(b"\0")] * 9, -1, -(1 << 63), 1 << 64),
            *(
                rng.choice(_NUMBERS),
                rng.choice(_NUMBERS),
                rng.randrange(6),
                rng.choice([8, 16, 32, 64, -8, -64, 7, 128]),
            ),
        ]
    )


# -- compression ------------------------------------------------------------------------------------------------------


def _zstd(data: bytes, level: int = 3) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_checksum=True)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": _zstd,
}


def members(codec: str) -> Callable[[Random, bytes, Sequence[bytes]], bytes]:
    """A mutation: another member or frame, padding, or an inside that was spoilt before it was compressed."""

    def mutate(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        how = rng.randrange(4)
        if how == 0:
            return data + COMPRESS[codec](b"R 4 1.000000 1 0x1 0x2 0x0 0\n" * rng.randrange(100))
        if how == 1:
            return data + bytes(rng.choice([1, 4, 8, 100])) + rng.choice([b"", rng.choice(pool)])
        if how == 2 and codec == "zstd":
            return data + b"\x50\x2a\x4d\x18" + rng.choice([4, 0, 1 << 31]).to_bytes(4, "little") + b"skip"
        inside = rng.choice([b"", b"\n", b"VERSION 20070824\n", rng.randbytes(3000)])
        return COMPRESS[codec](rng.choice(BYTES)(rng, inside or b"x", [b"x"])) + rng.choice([b"", data])

    return mutate


def bomb(codec: str, rng: Random) -> bytes:
    """A few KiB that become tens of MiB: of zeros, of one line, of lines."""
    text = rng.choice([bytes(1 << 20), b"x" * (1 << 20), b"R 4 1.000000 1 0x1 0x2 0x0 0\n" * 30000, b"\n" * (1 << 20)])
    if codec == "zstd":
        parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=rng.choice([20, 27]))
        return zstandard.ZstdCompressor(compression_params=parameters).compress(text * 64)
    return COMPRESS[codec](text * 24)
