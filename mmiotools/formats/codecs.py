"""Compressed streams: decoders with one interface, whatever library they come from, and their inverses."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import zstandard

from mmiotools.typed import Any, BinaryIO, Callable, Protocol

#: What a decoder raises on damaged data.
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError)


class Decoder(Protocol):
    """Of one member of compressed data, as the decoders of bz2 and lzma are. Raises one of BROKEN."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Wrapped:
    """A decoder of another library."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        ended: bool = self._inner.eof
        return ended

    @property
    def unused_data(self) -> bytes:
        data: bytes = self._inner.unused_data
        return data


class _Gunzip(_Wrapped):
    """zlib's gzip decoder with the interface that bz2 and lzma decoders have."""

    def __init__(self) -> None:
        super().__init__(zlib.decompressobj(31))
        self._held = b""

    @property
    def needs_input(self) -> bool:
        return not self._held

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out: bytes = self._inner.decompress(self._held + data, max(max_length, 0))
        self._held = self._inner.unconsumed_tail
        return out


class _Unzstd(_Wrapped):
    """zstandard's streaming decoder, frame by frame, fed in small pieces so that its output stays bounded."""

    needs_input = True

    def __init__(self) -> None:
        super().__init__(zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj())

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out: bytes = self._inner.decompress(data)
        return out


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": _Gunzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
    "zstd": _Unzstd,
}


def decoder(codec: str) -> Decoder:
    """A new one."""
    return _DECODERS[codec]()


def compressor(raw: BinaryIO, codec: str) -> BinaryIO:
    """See `source.compressor`."""
    make: dict[str, Callable[[], Any]] = {
        "gzip": lambda: gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename=""),
        "bzip2": lambda: bz2.BZ2File(raw, "wb"),
        "xz": lambda: lzma.LZMAFile(raw, "wb"),  # noqa: SIM115 - the caller closes it
        "zstd": lambda: zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(raw, closefd=False),
    }
    stream: BinaryIO = make[codec]()
    return stream
