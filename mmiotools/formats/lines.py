"""Text whose records are lines, as batches: what every such format needs around its own grammar.

A format gives a function of a block of whole lines (`BlockParser`), or of one line (`LineParser`, made into the
former by `by_line`); `LineBatches` does the rest: blocks from any source, line numbers, lines that are too long, a
last line without end, and worker processes. Memory: a few blocks of about 2 MiB, whatever the input.
"""

from __future__ import annotations

import os

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.formats.parallel import ordered_map
from mmiotools.formats.source import ByteSource, Extent
from mmiotools.trace.header import Spread, Tallied
from mmiotools.trace.tally import Counted
from mmiotools.typed import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    Protocol,
    Sequence,
    TypeVar,
)

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch, Regions

R = TypeVar("R")
T = TypeVar("T", Spread[Any], Tallied[Any])

#: No record of any dialect is near this long; what is longer goes through in pieces, as notes.
MAX_LINE = 1 << 21
#: Most events that are no accesses in what a worker gives at once, and some more: each takes some hundred bytes, and a
#: line may be empty.
MAX_RARE = 1 << 16
#: Bytes of a file from which on all processors are at work at once.
LARGE = 1 << 24
#: How far back a record that spans lines may begin, in bytes.
REACH = 1 << 17


class Parsed(NamedTuple):
    """Some events, and how many lines they were made of."""

    batch: Batch
    lines: int


class BlockParser(Protocol):
    """Makes events of a block of whole lines, in order, in batches of at most MAX_EVENTS.

    line     the number of its first line, from 1, for damaged notes and nothing else: in a worker it comes late
    regions  the table that all its batches share. In a worker process it is another one: no number of a region may
             be kept from one block to the next

    Never raises. A block without line end is the last line alone, which may have been cut.
    """

    def __call__(self, block: bytes, line: int, regions: Regions) -> Iterator[Parsed]: ...


class BlockCounter(Protocol):
    """The same, but what it can it only counts. Only given blocks of whole lines."""

    def __call__(self, block: bytes, line: int) -> Iterator[Counted]: ...


class LineParser(Protocol):
    """Makes an event of a line, given without its line end; None for a line of no known kind. Never raises.

    number   of the line, from 1, for a damaged note
    ended    False for a last line without line end: an event only if nothing of it can be missing
    regions  where a region of the event has to be entered first, if its space is not "mem": `regions.code(name, space)`
    """

    def __call__(self, line: bytes, number: int, ended: bool, regions: Regions) -> Event | None: ...


class LineBatches:
    """The batches of a text: an iterator, or `spread` over worker processes.

    count   for who only counts: then there is `counting`, too
    hold    for records that span lines: how many of the last bytes of these whole lines (at most `reach` of them are
            given) are not to be read without what follows
    notice  is given the HEADER events, in order, before anybody else is given what they are in
    """

    def __init__(
        self,
        source: ByteSource,
        parse: BlockParser,
        *,
        count: BlockCounter | None = None,
        hold: Callable[[bytes], int] | None = None,
        reach: int = REACH,
        notice: Callable[[Event], None] | None = None,
    ) -> None:
        self._source = source
        self._parser = parse
        self._counter = count
        self._hold = hold
        self._reach = reach
        self._notice = notice
        self._regions: Regions | None = None
        self._batches = self._one_by_one()

    def _regions_so_far(self) -> Regions:
        if self._regions is None:
            from mmiotools.trace.batch import Regions

            self._regions = Regions()
        return self._regions

    def __iter__(self) -> Iterator[Batch]:
        return self._batches

    def __next__(self) -> Batch:
        return next(self._batches)

    def only(self, columns: frozenset[str]) -> None:
        """Nothing but these columns is looked at; a parser with a method of this name is told."""
        told = getattr(self._parser, "only", None)
        if told is not None:
            told(columns)

    def _one_by_one(self) -> Iterator[Batch]:
        line = 1
        for block in self._blocks(self._source.chunks()):
            for batch, lines in self._parse(block, line):
                line += lines
                self._tell(batch)
                yield batch

    def _tell(self, rare: Batch | Sequence[Event]) -> None:
        if self._notice is None:
            return
        if isinstance(rare, Sequence):
            headers = [event for event in rare if event.kind == Kind.HEADER]
        else:
            headers = [rare.event(row) for row in rare.rows(Kind.HEADER).tolist()] if rare.extras else []
        for event in headers:
            self._notice(event)

    def spread(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """function(batch) for every batch, computed anywhere, given in order."""

        def make(block: bytes, line: int) -> Iterator[tuple[Spread[R], int]]:
            for batch, lines in self._parse(block, line):
                yield Spread.of(function, batch), lines

        return self._spread(make, lambda item: item.rare.extras.values())

    @property
    def counting(self) -> Callable[[Callable[[Counted], R]], Iterator[Tallied[R]]] | None:
        """The same for a function of what was counted; None where nothing can be."""
        return None if self._counter is None else self._counting

    def _counting(self, function: Callable[[Counted], R]) -> Iterator[Tallied[R]]:
        def make(block: bytes, line: int) -> Iterator[tuple[Tallied[R], int]]:
            if self._counter is None or not block.endswith(b"\n"):
                for batch, lines in self._parse(block, line):
                    yield Tallied.of(function, Counted(len(batch), batch=batch)), lines
                return
            for counted in self._counter(block, line):
                yield Tallied.of(function, counted), counted.events

        return self._spread(make, lambda item: (event.extra for event in item.rare))

    def _spread(
        self, make: Callable[[bytes, int], Iterator[tuple[T, int]]], extras: Callable[[T], Iterable[Mapping[str, Any]]]
    ) -> Iterator[T]:
        """What `make` makes of every block, with the lines that it takes, computed anywhere, given in order; `extras`
        gives those of its events that are no accesses.
        """

        # A piece is an Extent, which the worker reads itself, or bytes.
        def one_by_one(piece: Any, line: int) -> Iterator[tuple[T, int]]:
            for block in [piece] if isinstance(piece, bytes) else self._blocks(piece.chunks()):
                for result, lines in make(block, line):
                    yield result, lines
                    line += lines

        def work(piece: Any) -> tuple[Any, list[tuple[T, int]] | None]:
            results, rare = [], 0
            for result, lines in one_by_one(piece, 1):
                results.append((result, lines))
                rare += len(result.rare)
                if rare > MAX_RARE:
                    return piece, None
            return piece, results

        extents = self._source.extents()
        pieces: Iterator[Any]
        pieces = self._blocks(self._source.chunks()) if extents is None else self._whole(extents)
        line = 1
        alone = 1 if extents is not None and (self._source.size or 0) > LARGE else None
        for piece, results in ordered_map(work, pieces, alone=alone):
            found: Iterable[tuple[T, int]] | None = results
            # A worker does not know how many lines came before. Where that matters, or where its results would be too
            # much to hold at once, the piece is read again.
            if results is None or (
                line > 1 and any("line" in extra for item, _ in results for extra in extras(item))
            ):
                found = one_by_one(piece, line)
            for result, lines in found or ():
                line += lines
                self._tell(result.rare)
                yield result

    def _blocks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        found = blocks(chunks)
        return found if self._hold is None else _held(found, self._hold, self._reach)

    def _whole(self, extents: Iterator[Extent]) -> Iterator[Extent]:
        """The extents, what is held back given to the next one."""
        if self._hold is None:
            yield from extents
            return
        begin = end = 0
        for extent in extents:
            end = extent.stop
            tail = os.pread(extent.descriptor, min(self._reach + 1, end - begin), max(begin, end - self._reach - 1))
            stop = end - (self._hold(last_lines(tail, self._reach)) if tail.endswith(b"\n") else 0)
            if stop > begin:
                yield Extent(extent.descriptor, begin, stop)
                begin = stop
        if end > begin:
            yield Extent(extent.descriptor, begin, end)

    def _parse(self, block: bytes, line: int) -> Iterator[Parsed]:
        if len(block) >= MAX_LINE and not block.endswith(b"\n"):
            from mmiotools.trace.batch import Batch

            yield Parsed(Batch.from_events([_too_long(block, line)], self._regions_so_far()), 1)
        else:
            yield from self._parser(block, line, self._regions_so_far())


def _too_long(line: bytes, number: int) -> Event:
    return without_end(damaged(f"a line longer than {MAX_LINE} bytes", text=line, line=number))


def without_end(event: Event) -> Event:
    """The event of a line that has no line end."""
    return event._replace(extra={**event.extra, "eol": "none"})


def by_line(parse: LineParser) -> BlockParser:
    """A block parser that asks `parse` for each line, keeps the line ends, and makes a plain note of what it does not
    know. For dialects that come in megabytes at most.
    """

    def parse_block(block: bytes, line: int, regions: Regions) -> Iterator[Parsed]:
        from mmiotools.trace.batch import MAX_EVENTS, Batch

        ended = block.endswith(b"\n")
        lines = block.split(b"\n")
        if ended:
            lines.pop()
        for start in range(0, len(lines), MAX_EVENTS):
            events = []
            for number, text in enumerate(lines[start : start + MAX_EVENTS], line + start):
                crlf = ended and text.endswith(b"\r")
                bare = text[:-1] if crlf else text
                event = parse(bare, number, ended, regions)
                if event is None:
                    event = Event(Kind.NOTE, extra={"text": bare})
                if not ended:
                    event = without_end(event)
                elif crlf:
                    event = event._replace(extra={**event.extra, "eol": "crlf"})
                events.append(event)
            yield Parsed(Batch.from_events(events, regions), len(events))

    return parse_block


def _held(some: Iterable[bytes], hold: Callable[[bytes], int], reach: int) -> Iterator[bytes]:
    """Blocks whose last lines are held back come with the next block; at the end of the input alone."""
    rest = b""
    for block in some:
        if not block.endswith(b"\n"):
            if rest:
                yield rest
            rest = b""
            yield block
            continue
        block = rest + block
        keep = len(block) - hold(last_lines(block, reach))
        if keep:
            yield block[:keep]
        rest = block[keep:]
    if rest:
        yield rest


def last_lines(text: bytes, size: int) -> bytes:
    """The last whole lines of a text that ends with one: at most `size` bytes, perhaps none."""
    return text if len(text) <= size else text[text.find(b"\n", len(text) - size - 1) + 1 :]


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Chunks of at most MAX_LINE bytes as blocks of whole lines. A line longer than that comes in pieces of
    MAX_LINE bytes, and what has no line end at the end of the input comes last; both alone, without line end.
    """
    rest = b""
    for data in chunks:
        first = data.find(b"\n") + 1
        if not first or len(rest) + first > MAX_LINE:
            rest += data[:first] if first else data
            while len(rest) > MAX_LINE:
                yield rest[:MAX_LINE]
                rest = rest[MAX_LINE:]
            if not first:
                continue
            data = data[first:]
            if not data:
                yield rest
                rest = b""
                continue
        cut = data.rfind(b"\n") + 1
        if cut or rest.endswith(b"\n"):
            yield rest + data[:cut]
            rest = data[cut:]
        else:
            rest += data
    if rest:
        yield rest
