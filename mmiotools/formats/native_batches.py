"""The batches of a native file, and what may be asked of them before the first is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from mmiotools.formats.native_read import NativeReader
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Spread
from mmiotools.trace.zones import Choice

R = TypeVar("R")


class NativeBatches:
    """The batches of a reader, as an iterator. `only` may be called before the first."""

    def __init__(self, reader: NativeReader) -> None:
        self._reader = reader
        self._batches = reader.batches()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    @property
    def told(self) -> int | None:
        """How many events the header says there are, None where it does not."""
        return self._reader.told

    def spread(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """function(batch) for every batch, computed anywhere, given in order."""
        return self._reader.spread(function)

    def only(self, columns: frozenset[str]) -> None:
        """Leave out all other columns: their checksums are looked at, no more."""
        self._reader.wanted = columns

    def with_blocks(self) -> None:
        """Give each batch with its block, for a writer that takes it over; a column that cannot be read is in it, and
        is no damage.
        """
        self._reader.keep_blocks()

    def choose(self, chosen: Choice) -> None:
        """Leave out the other blocks: of a file with an index, they are not even read."""
        self._reader.chosen = chosen
