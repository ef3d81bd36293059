"""Bytes in and out: files, pipes and standard streams, with compression found by content and bounded memory.

No format knowledge here. A compressed stream that breaks off gives what could be decompressed, and says so.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys

from mmiotools.errors import FormatError, NotATrace, UsageError
from mmiotools.typed import Any, BinaryIO, Iterator, NamedTuple

#: How much of the input formats see when they are asked whether it is theirs.
HEAD = 1 << 16
_CHUNK = 1 << 21
_LOOK = 1 << 12
#: Compressed bytes that are decompressed at once: what stands in them before damage is lost. zstd has no other bound
#: on its output; 1 KiB of it can grow to 32 MiB and no more.
_FEED = 1 << 10
#: Seconds without data after which what a pipe gave so far is worked on.
_PAUSE = 0.02


#: Compression → what its data begins with.
_MAGIC = {"gzip": b"\x1f\x8b", "bzip2": b"BZh", "xz": b"\xfd7zXZ\x00", "zstd": b"\x28\xb5\x2f\xfd"}
_LONGEST_MAGIC = max(map(len, _MAGIC.values()))
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}


class Extent(NamedTuple):
    """Bytes start..stop-1 of an open file, whole lines; read by position, so from any process."""

    descriptor: int
    start: int
    stop: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at most 2 MiB at a time."""
        at = self.start
        while at < self.stop and (data := os.pread(self.descriptor, min(_CHUNK, self.stop - at), at)):
            yield data
            at += len(data)


class ByteSource:
    """A readable input. `read` gives decompressed bytes; `problem` says why the input broke off, if it did.

    name        for messages
    size        bytes on disk, or None on a pipe
    consumed    bytes on disk read so far, for progress
    problem_at  about where on disk that was
    """

    def __init__(self, raw: BinaryIO, name: str, size: int | None = None) -> None:
        self._raw = raw
        self.name = name
        self.size = size
        self.consumed = 0
        self.problem: str | None = None
        self.problem_at = 0
        self.compression: str | None = None
        self._pending = b""
        self._compressed, self._fed = b"", 0
        self._decoder: Any = None
        # Of a file that can be read by position, as most are that are large, more need not be read here at all.
        first = self._read_raw(_CHUNK if size is None else HEAD)
        # A slow pipe may give less than tells a compression; the end of the input gives nothing.
        while len(first) < _LONGEST_MAGIC and (more := self._read_raw(_CHUNK)):
            first += more
        for codec, magic in _MAGIC.items():
            if first.startswith(magic):
                self.compression = codec
                self._decoder = _codecs().decoder(codec)
        if self._decoder is None:
            self._pending = first
        else:
            self._compressed = first
        self._at = 0
        self.head = self._peek()

    def _read_raw(self, n: int) -> bytes:
        data = self._raw.read(n) or b""
        if data and self.size is None and len(data) < n:
            data = self._gather(data, n)
        self.consumed += len(data)
        return data

    def _gather(self, data: bytes, n: int) -> bytes:
        """More of what a pipe gives in small pieces: up to n bytes, as long as they come without a pause."""
        parts, have = [data], len(data)
        try:
            while have < n and select.select([self._raw], [], [], _PAUSE)[0]:
                data = self._raw.read(n - have) or b""
                if not data:
                    break
                parts.append(data)
                have += len(data)
        except (OSError, ValueError):
            pass  # not something that can be waited for
        return b"".join(parts)

    def _peek(self) -> bytes:
        parts = [self._pending]
        have = len(self._pending)
        while have < HEAD:
            data = self._next()
            if not data:
                break
            parts.append(data)
            have += len(data)
        self._pending = b"".join(parts)
        return self._pending[:HEAD]

    def read(self, n: int = _CHUNK) -> bytes:
        """Between 1 and about n bytes, or b"" at the end. What is held is never more than a few MiB."""
        if self._at < len(self._pending):
            data = self._pending[self._at : self._at + n]
            self._at += len(data)
            if self._at >= len(self._pending):
                self._pending, self._at = b"", 0
            return data
        data = self._next(n)
        if len(data) > n:
            self._pending, self._at = data, n
            data = data[:n]
        return data

    def chunks(self) -> Iterator[bytes]:
        """All that is left, at most about 2 MiB at a time."""
        while data := self.read():
            yield data

    def extents(self) -> Iterator[Extent] | None:
        """An uncompressed regular file that nothing was read of, as extents of about 2 MiB that end with a line;
        None for any other input. A line may make its extent longer.
        """
        if self.size is None or self._decoder is not None or self._at:
            return None
        return self._extents(self._raw.fileno())

    def whole_file(self) -> tuple[int, int] | None:
        """Descriptor and size of an uncompressed regular file, to be read by position; None for any other input."""
        if self.size is None or self._decoder is not None:
            return None
        return self._raw.fileno(), self.size

    def as_file(self) -> BinaryIO:
        """All of the input, decompressed, as a file that can be read at any place: the input itself if it is one and
        nothing was read of it, else a temporary copy on disk. The caller closes it.
        """
        if self.size is not None and self._decoder is None and not self._at:
            return open(os.dup(self._raw.fileno()), "rb")
        import tempfile  # takes a while, and files are read as they are

        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        for data in self.chunks():
            copy.write(data)
        copy.seek(0)
        return copy

    def seekable(self) -> ByteSource:
        """The same input as an uncompressed file: itself if it is one, else a temporary copy on disk."""
        if self.whole_file() is not None:
            return self
        copy = self.as_file()
        self.close()
        found = ByteSource(copy, self.name, os.fstat(copy.fileno()).st_size)
        found.consumed = self.consumed
        if self.problem:
            found.problem, found.problem_at = self.problem, self.problem_at
        return found

    def _extents(self, descriptor: int) -> Iterator[Extent]:
        start = 0
        while True:
            stop = start + _CHUNK - 2 * _LOOK  # so that nearly every extent is one chunk, its last line included
            while True:
                ahead = os.pread(descriptor, _LOOK, stop)
                if not ahead:
                    break
                found = ahead.find(b"\n") + 1
                stop += found or len(ahead)
                if found:
                    break
            if not ahead:
                stop = max(start, min(stop, os.fstat(descriptor).st_size))
            self.consumed = max(self.consumed, min(stop, self.size or stop))
            yield Extent(descriptor, start, stop)
            if not ahead:
                return
            start = stop

    def _next(self, n: int = _CHUNK) -> bytes:
        """Some bytes, about n where they are at hand, or b"" at the end."""
        if self._decoder is None:
            return self._read_raw(n)
        parts: list[bytes] = []
        have = 0
        # What is decompressed at once is little, and what is made of it should not be.
        while have < n and (not parts or self._fed < len(self._compressed)) and (data := self._decompress(n - have)):
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def _decompress(self, n: int) -> bytes:
        """The next bytes that come out, at most about n, or b"" at the end."""
        while self.problem is None:
            if self._decoder.eof and not self._restart():
                return b""
            feed = b""
            if self._decoder.needs_input:
                if self._fed >= len(self._compressed):
                    self._compressed, self._fed = self._read_raw(_CHUNK), 0
                    if not self._compressed:
                        self.problem = f"the {self.compression} data ends in the middle"
                        self.problem_at = self.consumed
                        return b""
                feed = self._compressed[self._fed : self._fed + _FEED]
                self._fed += len(feed)
            try:
                data: bytes = self._decoder.decompress(feed, n)
            except _codecs().BROKEN:
                self.problem_at = self.consumed - len(self._compressed) + self._fed
                self.problem = f"the {self.compression} data is damaged near byte {self.problem_at}"
                return b""
            if data:
                return data
        return b""

    def _restart(self) -> bool:
        """Begin the next member of a file of several compressed pieces; False at the end of the input."""
        rest = self._decoder.unused_data + self._compressed[self._fed :] or self._read_raw(_CHUNK)
        if self.compression in ("gzip", "xz"):
            while rest and not rest.strip(b"\0"):
                rest = self._read_raw(_CHUNK)  # padding between or after members
            rest = rest.lstrip(b"\0")
        if not rest:
            return False
        self._compressed, self._fed = rest, 0
        self._decoder = _codecs().decoder(self.compression or "")
        return True

    def close(self) -> None:
        """Close the underlying file, unless it is standard input."""
        if self._raw is not _standard_input():
            self._raw.close()


def open_source(path: str | None) -> ByteSource:
    """Open a path, or standard input for None and "-". Raises UsageError, or FormatError when it is empty."""
    if path is None or path == "-":
        source = ByteSource(_standard_input(), "<stdin>")
    else:
        try:
            raw = open(path, "rb", buffering=0)  # noqa: SIM115 - the source owns it
        except OSError as error:
            raise UsageError(f"{path}: {describe(error)}") from error
        mode = os.fstat(raw.fileno())
        if stat.S_ISDIR(mode.st_mode):
            raise UsageError(f"{path}: is a directory, not a trace")
        source = ByteSource(raw, path, mode.st_size if stat.S_ISREG(mode.st_mode) else None)
    if not source.head:
        if source.problem:
            raise FormatError(f"{source.name}: {source.problem}, before any event")
        raise NotATrace(f"{source.name}: is empty, not a trace")
    return source


def _standard_input() -> BinaryIO:
    """Standard input without a buffer, where that can be."""
    buffer = sys.stdin.buffer
    raw: BinaryIO = getattr(buffer, "raw", buffer)
    return raw


def describe(error: OSError) -> str:
    """The system's words for an error, in lower case: "no such file or directory"."""
    if error.errno == errno.EISDIR:
        return "is a directory"
    return (error.strerror or str(error)).lower()


def compression_of(path: str) -> str | None:
    """The compression that an output path's suffix asks for."""
    return _SUFFIXES.get(os.path.splitext(path)[1].lower())


def strip_compression(path: str) -> str:
    """The path without a compression suffix."""
    return os.path.splitext(path)[0] if compression_of(path) else path


def compressor(raw: BinaryIO, codec: str) -> BinaryIO:
    """A stream that compresses onto `raw`; closing it finishes the compressed data and leaves `raw` open."""
    stream: BinaryIO = _codecs().compressor(raw, codec)
    return stream


def _codecs() -> Any:
    """Imported only where there is something to compress or decompress."""
    from mmiotools.formats import codecs

    return codecs


def is_seekable(out: BinaryIO) -> bool:
    """Whether earlier bytes of an output can still be changed."""
    try:
        # What compresses may say that it can seek.
        return isinstance(out, (io.BufferedWriter, io.BufferedRandom, io.FileIO, io.BytesIO)) and out.seekable()
    except (OSError, io.UnsupportedOperation):
        return False
