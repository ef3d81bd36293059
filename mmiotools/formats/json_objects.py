"""The flat objects of a JSON array, one by one, out of a stream of any length. Nested ones are not looked for."""

from __future__ import annotations

import re

from mmiotools.typed import Iterable, Iterator, NamedTuple

#: No object is longer; what is comes in pieces of PIECE, as broken.
LONGEST, PIECE = 1 << 12, 1 << 16
#: Why what stands behind the array is no object of it.
BEHIND = "bytes behind the array"
#: Why an empty piece stands at the end of an array that has none.
CUT = "the array is cut off"
_BETWEEN = re.compile(rb"[\s,]*")
_OBJECT = re.compile(rb'\{(?:[^{}"]|"(?:[^"\\]|\\.)*+")*+\}', re.DOTALL)
_BEGIN = re.compile(rb'\{\s{0,99}"\w{1,99}"\s{0,99}:')


class Piece(NamedTuple):
    """The text of an object, or of something that is none.

    offset   of its first byte in the stream
    broken   why it is no object, or None
    begins   False for further pieces of the same
    """

    text: bytes
    offset: int
    broken: str | None = None
    begins: bool = True


def pieces(chunks: Iterable[bytes], start: int) -> Iterator[Piece]:
    """The objects from byte `start` on, which is behind the array's opening bracket, up to its closing one. What is
    none, up to where one begins again, is broken; so is all that stands behind the array, BEHIND, and its end where
    it is missing, CUT. Memory: a chunk and a piece.
    """
    yield from _Scan(start).pieces(chunks)


class _Scan:
    """Where the scan is: `_data` is not read yet, `_base` its place in the stream."""

    def __init__(self, start: int) -> None:
        self._skip = start
        self._data = b""
        self._base = 0
        self._lost = False
        self._closed = False
        self._first_behind = True

    def pieces(self, chunks: Iterable[bytes]) -> Iterator[Piece]:
        for chunk in chunks:
            if self._skip:
                skipped = min(self._skip, len(chunk))
                chunk, self._skip, self._base = chunk[skipped:], self._skip - skipped, self._base + skipped
            self._data += chunk
            yield from self._behind(ended=False) if self._closed else self._known(ended=False)
        if not self._closed:
            yield from self._known(ended=True)
            if not self._closed and not self._lost:
                yield Piece(b"", self._base, CUT, False)
        yield from self._behind(ended=True)

    def _behind(self, ended: bool) -> Iterator[Piece]:
        while self._data and (ended or len(self._data) > PIECE):
            yield Piece(self._data[:PIECE], self._base, BEHIND, self._first_behind)
            self._first_behind = False
            self._data, self._base = self._data[PIECE:], self._base + PIECE

    def _known(self, ended: bool) -> Iterator[Piece]:
        """What can be told from the bytes that are there."""
        data, at = self._data, 0
        while True:
            if not self._lost:
                match = _BETWEEN.match(data, at)
                assert match is not None
                at = match.end()
            if at == len(data):
                break
            if data[at] == 0x5D and not self._lost:
                self._closed = True
                at += 1
                break
            found = _OBJECT.match(data, at, at + LONGEST)
            if found is not None:
                yield Piece(found[0], self._base + at)
                at, self._lost = found.end(), False
                continue
            if not ended and len(data) - at < LONGEST:
                break  # the rest of it may come yet
            next_one = _BEGIN.search(data, at + 1, at + PIECE + LONGEST)
            if next_one is None and not ended and len(data) - at < PIECE + LONGEST:
                break  # so that pieces are the same whatever the chunks
            begin = len(data) if next_one is None else next_one.start()
            end = min(begin, at + PIECE)
            reason = "the last object is cut off" if ended and end == len(data) else "no object of the array"
            yield Piece(data[at:end], self._base + at, reason, not self._lost)
            self._lost = next_one is None or end < begin
            at = end
        self._data, self._base = data[at:], self._base + at
