"""A native file, or pipe, or what is left of one → batches. Every block that checks out is used, before and after
any damage; how many events lie in a gap is known from the numbers that the blocks around it carry.
"""

from __future__ import annotations

import copy
import zlib
from functools import partial
from itertools import chain

import numpy as np

from mmiotools.errors import FormatError
from mmiotools.events import Event
from mmiotools.formats.base import damaged
from mmiotools.formats.native_block import Harmless, taken_over
from mmiotools.formats.native_decode import Decoded, decode_block
from mmiotools.formats.native_index import Context, Index, find_context, find_footer, read_index
from mmiotools.formats.native_late import NONSENSE
from mmiotools.formats.native_layout import (
    END,
    EVENTS,
    FILE_HEADER_SIZE,
    FOOTER,
    FOOTER_FOLLOWS,
    FRAME_SIZE,
    MAJOR,
    MAX_HEAD,
    TRAILER,
    UNKNOWN_COUNT,
    Frame,
    unpack,
    unpack_file_header,
    unpack_frame,
)
from mmiotools.formats.native_left import lost_columns, what_is_left
from mmiotools.formats.native_magic import MAGIC, SYNC
from mmiotools.formats.native_pieces import Piece, joined, pace_of, pieces
from mmiotools.formats.native_stream import Stream, take_header
from mmiotools.formats.native_zstd import Corrupt
from mmiotools.formats.parallel import ordered_map
from mmiotools.formats.source import ByteSource, Extent
from mmiotools.trace.arrays import stretches
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import Spread, TraceHeader
from mmiotools.trace.zones import Choice, Zones
from mmiotools.typed import Any, Callable, Iterator, NDArray, TypeVar

R = TypeVar("R")


class NativeReader:
    """Reads one input, which may be several files one after the other: `header` is that of the first that has one.

    wanted  the columns to read, None for all
    chosen  the blocks to read, None for all
    """

    def __init__(self, source: ByteSource) -> None:
        self.header = TraceHeader()
        self.wanted: frozenset[str] | None = None
        self.chosen: Choice | None = None
        self._with_blocks = False
        self._source = source
        self._stream = Stream(source.read)
        self._name = source.name
        self._regions = Regions()
        self._expected = 0
        self._told = 0
        self._total: int | None = None
        self._footer_due = False
        self._gap: tuple[int, str] | None = None
        self._hurt = False
        self._start = 0
        self._unknown: set[object] = set()
        self._headed = False
        #: Of a file with an index: its events that are no accesses, and their numbers.
        self._rare: tuple[NDArray[np.int64], Batch] | None = None
        self._file_header()
        file = source.whole_file()
        footer = None if self._headed or file is None else find_footer(*file)
        if footer is not None:
            self._take_header(footer.head.get("header"))

    @property
    def told(self) -> int | None:
        """See `NativeBatches.told`."""
        return self._total

    def keep_blocks(self) -> None:
        """Let batches come with their blocks, and what the footer has of a block that is lost in its place."""
        self._with_blocks = True
        self._find_context()

    # -- headers ------------------------------------------------------------------------------------------

    def _file_header(self) -> None:
        """Read a file header here, or note that it is damaged. Raises FormatError for a newer major version."""
        self._start = self._stream.offset
        data = self._stream.peek(FILE_HEADER_SIZE)
        fixed = unpack_file_header(data)
        self._expected = self._told = 0
        self._total = None
        self._footer_due = False
        self._rare = None
        if fixed is None:
            self._damage("the file header is damaged")
            self._find_context()
            # Where it is missing altogether, a block may begin here.
            if unpack_frame(self._stream.peek(FRAME_SIZE)) is None:
                self._stream.skip(min(len(data), 1))
            return
        if fixed.major > MAJOR:
            raise FormatError(
                f"{self._name}: is native format version {fixed.major}, this mmiotools reads up to {MAJOR}: update it"
            )
        self._stream.skip(FILE_HEADER_SIZE)
        self._total = None if fixed.events == UNKNOWN_COUNT else fixed.events
        self._footer_due = bool(fixed.flags & FOOTER_FOLLOWS)
        self._find_context()
        if fixed.map_length > MAX_HEAD:
            self._damage("the header map has an impossible length")
            return
        start = self._stream.offset
        packed = self._stream.peek(fixed.map_length)
        if zlib.crc32(packed) != fixed.map_crc:
            # Its length may lead too far: what comes next is looked for.
            self._damage("the header map is damaged", start)
            return
        self._stream.skip(len(packed))
        try:
            self._take_header(unpack(packed))
        except ValueError:
            self._damage("the header map is no msgpack", start)

    def _take_header(self, content: Any) -> None:
        if self._headed or not isinstance(content, dict):
            return
        self._headed = True
        take_header(self.header, content)

    # -- damage -------------------------------------------------------------------------------------------

    def _damage(self, reason: str, offset: int | None = None) -> None:
        """From here on events may be missing; the first reason is the one that is told."""
        self._hurt = True
        if self._gap is None:
            self._gap = (self._stream.offset if offset is None else offset, reason)

    def _note(self, event: Event, harmless: bool) -> Batch:
        batch = Batch.from_events([event], self._regions)
        harmless &= self._headed
        return Harmless(batch.kind, batch.columns, batch.extras, batch.regions) if harmless else batch

    def _close_gap(self, first: int, *, known: bool = True) -> Iterator[Batch]:
        """The next event is number `first`: report what is missing before it. `known`: it is not only the least."""
        if first > self._expected:
            self._damage("blocks are missing")
        if self._gap is not None:
            offset, reason = self._gap
            self._gap = None
            kept = list(self._context(self._expected, first)) if self._with_blocks else []
            missing = first - self._expected - sum(map(len, kept))
            yield self._note(damaged(reason, events=max(missing, 0), offset=offset), known and not missing)
            yield from kept
        self._expected = max(first, self._expected)

    # -- blocks -------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """One batch a block; damage as NOTE events in its place."""
        if self.chosen is not None and (indexed := self._indexed()) is not None:
            descriptor, _, index = indexed
            yield from self._chosen_blocks(descriptor, index, self.chosen)
            return
        yield from self._blocks()
        yield from self._end_of_file()

    def _indexed(self) -> tuple[int, int, Index] | None:
        """Descriptor, size and index of a file that can be read by it."""
        file = self._source.whole_file()
        index = None if file is None or self._gap is not None else read_index(*file)
        return None if file is None or index is None else (*file, index)

    def _chosen_blocks(self, descriptor: int, index: Index, choice: Choice) -> Iterator[Batch]:
        """Only the blocks that are chosen, stretch by stretch; of the others, what the footer has of them."""
        apart = self._take_context(index, choice)
        since = 0
        if choice.last is not None:
            for since in choice.lasts(index.zones):
                # What is told once is to be told when they are read in earnest.
                trial = copy.copy(self)
                trial._unknown = set(self._unknown)
                if choice.last.enough(trial._stretches(descriptor, index, choice.wanted(index.zones, apart, since))):
                    break
            else:
                since = 0
        yield from self._stretches(descriptor, index, choice.wanted(index.zones, apart, since))

    def _stretches(self, descriptor: int, index: Index, wanted: NDArray[np.bool_]) -> Iterator[Batch]:
        offsets, firsts = index.borders()
        for start, stop in stretches(wanted).tolist():
            yield from self._context(self._expected, firsts[start])
            yield from self._stretch(Extent(descriptor, offsets[start], offsets[stop]), firsts[start], firsts[stop])
        yield from self._context(self._expected, firsts[-1])

    def _stretch(self, extent: Extent, first: int, stop: int) -> Iterator[Batch]:
        """Blocks that are known to have the events first..stop-1."""
        self._stream = Stream.of_extent(extent)
        self._expected = self._told = first
        yield from self._blocks()
        yield from self._close_gap(stop, known=False)

    def stretch(self, extent: Extent, first: int, stop: int) -> tuple[list[Batch], bool]:
        """Blocks that are known to have the events first..stop-1, and whether there is damage in them: it may go on
        behind them, so that they are to be read again by `rest`.
        """
        self._hurt, unknown = False, set(self._unknown)
        found = list(self._stretch(extent, first, stop))
        self._unknown = unknown
        return found, self._hurt

    def rest(self, extent: Extent, first: int) -> Iterator[Batch]:
        """All from a block on whose first event has that number."""
        self._expected = self._told = first
        self._stream = Stream.of_extent(extent)
        return chain(self._blocks(), self._end_of_file())

    def spread(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """See `NativeBatches.spread`: a file with an index is read by worker processes, some blocks at a time."""
        result = partial(Spread.of, function)
        indexed = self._indexed()
        if indexed is None:
            yield from map(result, self.batches())
            return
        descriptor, size, index = indexed
        zones = index.zones
        wanted = np.ones(len(zones.first), np.bool_)
        if self.chosen is not None:
            wanted = self.chosen.wanted(zones, self._take_context(index, self.chosen))
        offsets, firsts = index.borders()

        def read(piece: Piece) -> Iterator[Batch]:
            for seen, start, stop in piece:
                yield from self._context(firsts[seen], firsts[start])
                extent = Extent(descriptor, offsets[start], offsets[stop])
                yield from self._stretch(extent, firsts[start], firsts[stop])

        def work(piece: Piece) -> tuple[Piece, list[Spread[R]], bool]:
            self._hurt, unknown = False, set(self._unknown)
            batches = read(piece)
            found = list(map(result, batches if self._rows() is None else joined(batches)))
            self._unknown = unknown
            return piece, found, self._hurt

        at = 0
        pace = pace_of(zones.events[wanted])
        for piece, found, hurt in ordered_map(work, pieces(wanted, zones.events, pace)):
            if hurt:
                # Damage may go on in the next piece, and is to be told once: from here on all is read in order.
                wanted[: piece[0][1]] = False
                break
            yield from found
            if self._rows() is not None:
                looked_at = sum(firsts[stop] - firsts[start] for _, start, stop in piece)
                pace.saw(looked_at, sum(item.events for item in found))
            at = firsts[piece[-1][2]]
            self._source.consumed = offsets[piece[-1][2]]
        else:
            wanted[:] = False
        if self.chosen is not None:
            self._expected = self._told = at
            yield from map(result, self._stretches(descriptor, index, wanted))
            return
        start = int(np.argmax(wanted)) if wanted.any() else len(wanted)
        yield from map(result, self.rest(Extent(descriptor, offsets[start], size), at))

    def _take_context(self, index: Index, choice: Choice) -> NDArray[np.bool_]:
        """The blocks, (n,), whose events of the wanted kinds are in the footer."""
        apart = np.zeros(len(index.zones.first), np.bool_)
        if index.context is None or not choice.kinds:
            return apart
        self._rare = self._decoded(index.context)
        if self._rare is None:
            return apart
        rows, batch = self._rare
        apart[:] = True
        if choice.timed:
            untimed = rows[~batch.timed]
            apart[np.searchsorted(index.zones.first, untimed, "right") - 1] = False
        return apart

    def _decoded(self, context: Context) -> tuple[NDArray[np.int64], Batch] | None:
        """The events of the footer's context with their numbers; None where it is no good."""
        chosen, self.chosen = self.chosen, None
        try:
            found = self._decode(len(context.rows), context.head, context.body)
            batch = None if found.lost else found.batch
        except NONSENSE:
            batch = None
        self.chosen = chosen
        return None if batch is None or bool(batch.accesses.any()) else (context.rows, batch)

    def _find_context(self) -> None:
        """For a repair: what the footer of the file that begins here has of its events."""
        file = self._source.whole_file() if self._with_blocks else None
        context = None if file is None else find_context(*file, self._start, self._total)
        self._rare = None if context is None else self._decoded(context)

    def _context(self, start: int, stop: int) -> Iterator[Batch]:
        """What the footer has of the events start..stop-1, which are not read."""
        if (apart := self._apart(start, stop)) is not None:
            yield apart[1]

    def _apart(self, start: int, stop: int) -> tuple[NDArray[np.int64], Batch] | None:
        """What the footer has of the events start..stop-1, with their numbers; None where it has nothing."""
        if self._rare is None:
            return None
        rows, batch = self._rare
        low, high = np.searchsorted(rows, [start, stop]).tolist()
        return (rows[low:high], batch.slice(low, high)) if low < high else None

    def _blocks(self) -> Iterator[Batch]:
        """The blocks to the end of the stream."""
        while True:
            stream = self._stream
            ahead = stream.peek(FRAME_SIZE)
            if not ahead:
                break
            if ahead.startswith(MAGIC) and unpack_file_header(ahead) is not None:
                yield from self._end_of_file()
                self._file_header()
                continue
            frame = unpack_frame(ahead)
            if frame is None:
                cut = len(ahead) < FRAME_SIZE and SYNC.startswith(ahead[: len(SYNC)])
                self._damage("the file ends inside a block" if cut else "no block where one should be")
                if not stream.seek_mark():
                    break
                continue
            yield from self._block(frame)

    def _end_of_file(self) -> Iterator[Batch]:
        if self._footer_due:
            self._damage("the file was cut off: its end is missing")
        yield from self._close_gap(max(self._told, self._total or 0, self._expected), known=False)

    def _block(self, frame: Frame) -> Iterator[Batch]:
        stream = self._stream
        start = stream.offset
        size = FRAME_SIZE + frame.head_length + frame.body_length
        data = stream.peek(size)
        self._told = max(self._told, frame.first + frame.events)
        if len(data) < size:
            self._damage("the file ends inside a block")
            stream.skip(1)
            stream.seek_mark()
            return
        head_bytes = data[FRAME_SIZE : FRAME_SIZE + frame.head_length]
        if zlib.crc32(head_bytes) != frame.head_crc:
            # The lengths are good, but a block that was cut and written over would end earlier: look for it.
            self._damage("the head of a block is damaged")
            stream.skip(1)
            stream.seek_mark()
            return
        try:
            head = unpack(head_bytes)
            if not isinstance(head, dict):
                raise Corrupt("its head is no map")
            batch = note = None
            lost: list[str] = []
            sound = True
            if frame.type == EVENTS:
                body = data[FRAME_SIZE + frame.head_length :]
                found = self._decode(frame.events, head, body)
                batch, sound = found.batch, found.sound
                if sound and batch is not None and self._with_blocks:
                    batch = taken_over(batch, head, head_bytes, body)
                lost = lost_columns(found, batch, self._with_blocks)
                if lost or not sound:
                    apart = self._apart(frame.first, frame.first + frame.events) if self._with_blocks else None
                    batch, note = what_is_left(batch, frame, lost, apart, start)
        except NONSENSE as error:
            self._damage(f"a block of {frame.events} events is damaged: {error}", start)
            stream.skip(1)
            stream.seek_mark()
            return
        if sound or self._goes_on(size):
            stream.skip(size)
        else:
            self._hurt = True
            stream.skip(1)
            stream.seek_mark()
        yield from self._close_gap(frame.first)
        if note is not None:
            yield self._note(note, not lost)
        if batch is not None:
            self._expected += frame.events
            if len(batch):
                yield batch
        elif frame.type == EVENTS:
            yield from self._context(frame.first, frame.first + frame.events)
            self._expected += frame.events
        elif frame.type == FOOTER:
            yield from self._footer(head, start)

    def _goes_on(self, size: int) -> bool:
        """Whether a block, a file or the end of the input follows so many bytes ahead."""
        ahead = self._stream.peek(size + FRAME_SIZE)[size:] or self._stream.behind(FRAME_SIZE)
        return not ahead or unpack_frame(ahead) is not None or unpack_file_header(ahead) is not None

    def _footer(self, head: dict[str, Any], at: int) -> Iterator[Batch]:
        self._footer_due = False
        self._take_header(head.get("header"))
        start = self._stream.offset
        trailer = self._stream.peek(TRAILER.size)
        if trailer == TRAILER.pack(at - self._start, END):
            self._stream.skip(TRAILER.size)
        else:
            self._damage("the file's last bytes are damaged", start)
            self._stream.seek_mark()
        yield from self._close_gap(self._expected)

    def _decode(self, n: int, head: dict[str, Any], body: bytes) -> Decoded:
        """A block of n events. An encoding that is not known is told the first time."""
        rows, leaves_out = self._rows(), self._leaves_out()
        found = decode_block(n, head, body, self._regions, self.wanted, leaves_out, rows, alone=self._rare is None)
        for name in found.unread:
            if name not in self._unknown and not self._with_blocks:
                self._damage(f"column '{name}' has an encoding that this mmiotools does not know: update it")
            self._unknown.add(name)
        return found

    def _leaves_out(self) -> Callable[[Zones], bool] | None:
        """Whether nobody wants to see a block, by what its head says; None where all are wanted."""
        if self.chosen is None or (ask := self.chosen.block) is None or self._rows() is not None:
            return None
        kinds = self.chosen.kinds if self._rare is None else 0
        return lambda zone: not (zone.kinds[0] & kinds or ask(zone))

    def _rows(self) -> Callable[[Batch], NDArray[np.bool_]] | None:
        """Which rows somebody wants to see; None for all, and for those who take blocks over."""
        return None if self.chosen is None or self._with_blocks else self.chosen.rows
