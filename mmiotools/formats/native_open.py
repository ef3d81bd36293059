"""A native input before anything is asked of it. Only its header is read then: who only counts needs no more than that
and `native_counting`, and the reader itself is imported when its batches are wanted.
"""

from __future__ import annotations

import zlib

from mmiotools.formats.native_layout import (
    FILE_HEADER_SIZE,
    MAJOR,
    UNKNOWN_COUNT,
    unpack,
    unpack_file_header,
)
from mmiotools.formats.native_stream import take_header
from mmiotools.formats.source import ByteSource
from mmiotools.speed import compiled
from mmiotools.trace.header import Spread, Tallied, TraceHeader
from mmiotools.trace.tally import Counted
from mmiotools.typed import TYPE_CHECKING, Any, Callable, Iterator, TypeVar

if TYPE_CHECKING:
    from mmiotools.formats.native_read import NativeReader
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.zones import Choice

R = TypeVar("R")


class NativeBatches:
    """The batches of a native input, as an iterator. `only`, `choose` and `with_blocks` may be called before the
    first. Raises FormatError for a newer major version.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._wanted: frozenset[str] | None = None
        self._plain = True
        self._made: NativeReader | None = None
        self._batches: Iterator[Batch] | None = None
        self.header = TraceHeader()
        #: How many events the header says there are, None where it does not.
        self.told: int | None = None
        if not self._read_header():
            reader = self._reader()
            self.header, self.told = reader.header, reader.told

    def _read_header(self) -> bool:
        """Read a header that has nothing wrong with it."""
        head = self._source.head
        fixed = unpack_file_header(head[:FILE_HEADER_SIZE])
        if fixed is None or fixed.major > MAJOR or fixed.map_length > len(head) - FILE_HEADER_SIZE:
            return False
        packed = head[FILE_HEADER_SIZE : FILE_HEADER_SIZE + fixed.map_length]
        try:
            content = unpack(packed) if zlib.crc32(packed) == fixed.map_crc else None
        except ValueError:
            return False
        if not isinstance(content, dict):
            return False
        take_header(self.header, content)
        self.told = None if fixed.events == UNKNOWN_COUNT else fixed.events
        return True

    def _reader(self) -> NativeReader:
        if self._made is None:
            from mmiotools.formats.native_read import NativeReader

            self._made = NativeReader(self._source)
            self._made.wanted = self._wanted
        return self._made

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._batches = self._reader().batches()
        return next(self._batches)

    def spread(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """function(batch) for every batch, computed anywhere, given in order."""
        return self._reader().spread(function)

    def counting(self, function: Callable[[Counted], R]) -> Iterator[Tallied[R]]:
        """The same for a function of what was counted."""
        file = self._source.whole_file()
        if file is not None and self._plain and self._made is None:
            from mmiotools.formats.native_counting import count_file

            fast: Any = compiled()
            if fast is None:
                from mmiotools.formats import native_tally_numpy as fast

            counted = count_file(fast, self._source, *file, self.told, self._reader, function)
            if counted is not None:
                yield from counted
                return
        for part in self.spread(lambda batch: function(Counted(len(batch), batch=batch))):
            yield Tallied(part.result, part.events, list(part.rare.events()))

    def only(self, columns: frozenset[str]) -> None:
        """Leave out all other columns: their checksums are looked at, no more."""
        self._wanted = columns
        if self._made is not None:
            self._made.wanted = columns

    def with_blocks(self) -> None:
        """Give each batch with its block, for a writer that takes it over; a column that cannot be read is in it, and
        is no damage.
        """
        self._plain = False
        self._reader().keep_blocks()

    def choose(self, chosen: Choice) -> None:
        """Leave out the other blocks: of a file with an index, they are not even read."""
        self._plain = False
        self._reader().chosen = chosen
