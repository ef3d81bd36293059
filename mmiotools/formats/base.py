"""What a trace format is to the rest of the package: sniffing, reading into batches, writing from batches."""

from __future__ import annotations

import io

from mmiotools.events import Event, Kind
from mmiotools.typed import TYPE_CHECKING, Any, BinaryIO, ClassVar, IntEnum, Iterator, Mapping, Protocol

if TYPE_CHECKING:
    from collections import Counter

    from mmiotools.formats.source import ByteSource
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.header import TraceHeader


class Sniff(IntEnum):
    """How sure a format is that a head of bytes is its own."""

    NO = 0
    MAYBE = 1
    LIKELY = 2
    YES = 3


class Writer(Protocol):
    """Takes batches in order. `lost` counts, by a phrase a user understands, what the format could not hold."""

    lost: Counter[str]

    def write(self, batch: Batch) -> None:
        """Append a batch."""

    def close(self) -> None:
        """Write what is left. The stream stays open; it belongs to the caller."""


def _none_lost() -> Counter[str]:
    from collections import Counter  # takes a while, and who writes needs more than that

    return Counter()


#: Events that become text at once.
_PAGE = 1 << 13


class BatchTexts:
    """A `PreparingWriter` (writing.py) of text to which every event adds by itself."""

    joins: ClassVar[bool] = True

    def __init__(self, out: BinaryIO) -> None:
        self.lost = _none_lost()
        self._out = out

    def pieces(self, batch: Batch) -> Iterator[bytes | memoryview]:
        """The text of some events; what of it could not be held is counted in `lost`. It depends on nothing before. A
        piece holds until the next one is asked for.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """Called when there are events to write, before each time."""

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        if len(batch):
            self.begin()
        self._put(batch)

    def _put(self, batch: Batch) -> None:
        for start in range(0, len(batch), _PAGE):
            for piece in self.pieces(batch.slice(start, start + _PAGE)):
                self._out.write(piece)

    def prepare(self, batch: Batch) -> Any:
        """The text of a batch, and what is lost of it."""
        kept = self._out, self.lost
        self._out, self.lost = io.BytesIO(), _none_lost()
        self._put(batch)
        prepared = self._out.getvalue(), self.lost
        self._out, self.lost = kept
        return prepared

    def accept(self, prepared: Any) -> None:
        """Write it."""
        text, lost = prepared
        self.begin()
        self._out.write(text)
        self.lost.update(lost)

    def close(self) -> None:
        """Nothing is held back."""


class Format(Protocol):
    """A trace format. `keeps` names what survives a round trip: fields, and kinds in capitals.

    binary    never shown on a terminal
    readable, writable   which directions exist
    """

    api: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    keeps: ClassVar[frozenset[str]]
    binary: ClassVar[bool]
    readable: ClassVar[bool]
    writable: ClassVar[bool]

    def sniff(self, head: bytes) -> Sniff:
        """Whether a file that begins with `head` (up to 64 KiB, decompressed) is in this format."""

    def read(self, source: ByteSource) -> tuple[TraceHeader, Iterator[Batch]]:
        """Header, and batches as they are read. Damage becomes NOTE events with damaged=True, never an exception;
        an unknown version or an input that is not in this format at all raises FormatError.
        """

    def writer(self, out: BinaryIO, header: TraceHeader) -> Writer:
        """A writer onto a binary stream, which may be a pipe."""


#: Everything a format may keep: the fields of an event and the kinds.
EVERYTHING = frozenset(
    {
        "time",
        "width",
        "map",
        "addr",
        "region",
        "offset",
        "value",
        "pc",
        "pid",
        "cpu",
        "opcode",
        "text",
        "raw",
        *(kind.name for kind in Kind),
    }
)


def damaged(
    reason: str, *, text: bytes | None = None, events: int = 1, line: int | None = None, offset: int | None = None
) -> Event:
    """A NOTE that stands for what could not be read.

    `text` is the source's own bytes where there are any, `events` how many events were there as far as can be
    told, `line` (from 1) or `offset` (bytes from 0, decompressed) where it was.
    """
    extra: dict[str, Any] = {"damaged": True, "reason": reason, "events": events}
    if text is not None:
        extra["text"] = text
    if line is not None:
        extra["line"] = line
    if offset is not None:
        extra["offset"] = offset
    return Event(Kind.NOTE, extra=extra)


def own_spelling(header: TraceHeader, name: str) -> bool:
    """Whether `raw`, and the text of notes, is spelled as the format of that name spells events: a trace that first
    came in another format has the bytes of that one.
    """
    return header.format in ("", name)


#: Fields that not every format has a place for.
_FIELDS = ("time", "map", "addr", "region", "offset", "pc", "pid", "cpu", "opcode", "mr")


def left_out(keeps: frozenset[str]) -> dict[str, str]:
    """What of an event a format that keeps these has no place for, for `count_fields`."""
    return {name: name for name in _FIELDS if name not in keeps}


def count_fields(lost: Counter[str], batch: Batch, named: Mapping[str, str]) -> None:
    """Count fields that are there and cannot be held: name of the column → phrase. A pc or pid of 0 says nothing."""
    for name, phrase in named.items():
        column = batch.columns.get(name)
        if column is not None:
            there = column.data != 0 if name in ("pc", "pid") else batch.present(name)
            count = int((there if column.present is None else there & column.present).sum())
            if count:
                lost[phrase] += count


def read_all(batches: Iterator[Batch]) -> list[Event]:
    """Every event of a stream as a list, for small traces and tests."""
    return [event for batch in batches for event in batch.events()]
