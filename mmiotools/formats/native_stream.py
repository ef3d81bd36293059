"""The bytes of a native input ahead of its reader, and the search for where it can go on after damage."""

from __future__ import annotations

import os

from mmiotools.formats.native_layout import (
    FRAME_SIZE,
    unpack_file_header,
    unpack_frame,
)
from mmiotools.formats.native_magic import MAGIC, SYNC
from mmiotools.formats.source import Extent
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, Callable

#: Bytes that are searched for marks at once.
_WINDOW = 1 << 20


class Stream:
    """Bytes ahead of the reading position, with its offset in the (decompressed) input."""

    def __init__(self, read: Callable[[], bytes], offset: int = 0) -> None:
        self._read = read
        self._data = b""
        self._at = 0
        self._extent: Extent | None = None
        self.offset = offset

    @classmethod
    def of_extent(cls, extent: Extent) -> Stream:
        """A part of a file, which is read by position."""
        chunks = extent.chunks()
        stream = cls(lambda: next(chunks, b""), extent.start)
        stream._extent = extent
        return stream

    def behind(self, n: int) -> bytes:
        """The n bytes behind the end of this part of a file, fewer at the end of the file."""
        return b"" if self._extent is None else os.pread(self._extent.descriptor, n, self._extent.stop)

    def _hold(self, n: int) -> int:
        """Have the next n bytes at hand; how many there are, fewer at the end of the input."""
        have = len(self._data) - self._at
        if have < n:
            parts = [self._data[self._at :]]
            while have < n and (more := self._read()):
                parts.append(more)
                have += len(more)
            self._data, self._at = b"".join(parts), 0
        return min(have, n)

    def peek(self, n: int) -> bytes:
        """The next n bytes, fewer at the end of the input."""
        self._hold(n)
        return self._data[self._at : self._at + n]

    def skip(self, n: int) -> None:
        """Go on by n bytes that were peeked."""
        self._at += n
        self.offset += n

    def seek_mark(self) -> bool:
        """Go on to the next block frame or file header that checks out; False at the end of the input."""
        import re  # takes a while, and only damage needs it

        # A file header goes on with the major version, a small number of 16 bits.
        marks = re.compile(b"(" + re.escape(SYNC) + b")|" + re.escape(MAGIC) + rb"(?=.\0)", re.DOTALL)
        longest = max(len(SYNC), len(MAGIC) + 2)
        while True:
            held = self._hold(_WINDOW)
            last = held < _WINDOW
            begin, end = self._at, self._at + held
            onward = held if last else held - longest + 1
            for mark in marks.finditer(self._data, begin, end):
                ahead = self._data[mark.start() : min(mark.start() + FRAME_SIZE, end)]
                found = unpack_frame(ahead) if mark.lastindex else unpack_file_header(ahead)
                if found is not None:
                    self.skip(mark.start() - begin)
                    return True
                if len(ahead) < FRAME_SIZE and not last:
                    onward = mark.start() - begin
                    break
            self.skip(onward)
            if last:
                return False


def take_header(header: TraceHeader, content: Any) -> None:
    """What a header map says, as far as it is what a header map may say."""
    for name, kind in (("format", str), ("clock", str), ("time_digits", int), ("meta", dict)):
        # A format without a name says nothing.
        if isinstance(content.get(name), kind) and content[name] != "":
            setattr(header, name, content[name])
    header.time_digits = min(max(header.time_digits, 0), 9)
