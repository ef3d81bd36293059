"""Batches → a native file: blocks as they fill, a footer at the end."""

from __future__ import annotations

import zlib
from collections import Counter
from itertools import pairwise

import numpy as np

from mmiotools import __version__
from mmiotools.formats import native_extras
from mmiotools.formats.native_block import NO_ADDRESSES, BlockBatch, Encoded, entry_of, rare_of, values
from mmiotools.formats.native_columns import Presence, encode, encode_places, pack_planes
from mmiotools.formats.native_extras import weight
from mmiotools.formats.native_layout import (
    END,
    EVENTS,
    EVENTS_AT,
    FILE_HEADER_SIZE,
    FOOTER,
    FOOTER_FOLLOWS,
    MAX_ROWS,
    MSGPACK,
    TRAILER,
    UNKNOWN_COUNT,
    Frame,
    pack,
    pack_file_header,
    pack_frame,
)
from mmiotools.formats.native_pages import PageSets, pages_of
from mmiotools.formats.native_planes import OFTEN, from_differences, join
from mmiotools.formats.native_shared import PLACES_NAME, Shared, share
from mmiotools.formats.native_zstd import QUICK, THOROUGH, Effort, squeeze
from mmiotools.formats.source import is_seekable
from mmiotools.trace.arrays import distinct
from mmiotools.trace.batch import DTYPES, Batch, Column, concatenate
from mmiotools.trace.header import TraceHeader
from mmiotools.typed import Any, BinaryIO, ClassVar

#: Events in a block; and for how many a pipe is made to wait, whoever reads it.
BLOCK, WAIT = MAX_ROWS, 1 << 13
#: Blocks from which on the footer has the context, and the most that it may be: events, and their weight.
MANY, _MOST_CONTEXT, _HEAVY_CONTEXT = 8, 1 << 16, 1 << 22
#: The place of each column in a block, so that it does not depend on who made the batch; unknown ones come last.
_ORDER = {name: place for place, name in enumerate(DTYPES)}
#: Weight of extras (their bytes, and 9 for each object) beyond which a block is closed early.
MAX_WEIGHT = 1 << 22
#: What the footer knows of each block; 64-bit numbers, negative times as two's complement.
ENTRY = ("offset", "first", "events", "time_min", "time_max", "addr_min", "addr_max", "kinds")
#: Most bytes of a header map, so that a footer has room for it and for the index.
MAX_HEADER_MAP = 1 << 22
_ALL_ONES = (1 << 64) - 1


class NativeWriter:
    """Writes blocks of `block` events; onto a pipe smaller ones, so that it need not wait for long. On a file the
    header's event count is filled in at the end.
    """

    #: Every batch would be a block of its own.
    joins: ClassVar[bool] = False

    def __init__(self, out: BinaryIO, header: TraceHeader, block: int = BLOCK) -> None:
        self.lost: Counter[str] = Counter()
        self._out = out
        self._header = header
        self._start = out.tell() if is_seekable(out) else None
        self._block = block
        self._least = block if self._start is not None else min(block, WAIT)
        self._context: _Context | None = _Context()
        self._pages: PageSets | None = PageSets()
        self._pending: list[Batch] = []
        self._waiting = 0
        self._events = 0
        self._offset = 0
        self._map: bytes | None = None
        self._content: dict[str, Any] = {}
        self._index: list[tuple[int, ...]] = []

    def write(self, batch: Batch) -> None:
        """Append a batch; blocks are written as they fill. One that brings its block is written as that block."""
        if not len(batch):
            return
        self._begin()
        if isinstance(batch, BlockBatch):
            self._write_pending()
            self.accept([batch.block])
            return
        self._pending.append(batch)
        self._waiting += len(batch)
        if self._waiting < self._least and weight(batch.extras) < MAX_WEIGHT:
            return
        joined = concatenate(self._pending)
        at = 0
        while len(joined) - at >= self._least:
            stop = min(at + self._block, len(joined))
            self.accept(self._encode(joined.slice(at, stop), QUICK))
            at = stop
        rest = joined.slice(at, len(joined)) if at < len(joined) else None
        if rest is not None and weight(rest.extras) >= MAX_WEIGHT:
            self.accept(self._encode(rest, QUICK))
            rest = None
        self._pending = [] if rest is None else [rest]
        self._waiting = 0 if rest is None else len(rest)

    def close(self) -> None:
        """Write the last block, the footer and, on a file, the number of events."""
        self._begin()
        self._write_pending()
        self._write_footer()
        if self._start is not None and self._map is not None:
            end = self._out.tell()
            self._out.seek(self._start + EVENTS_AT)
            fixed = pack_file_header(FOOTER_FOLLOWS, self._events, self._map)[:FILE_HEADER_SIZE]
            self._out.write(fixed[EVENTS_AT:])
            self._out.seek(end)

    def _write_pending(self) -> None:
        if self._pending:
            self.accept(self._encode(concatenate(self._pending), QUICK if self._index else THOROUGH))
            self._pending, self._waiting = [], 0

    def prepare(self, batch: Batch) -> list[Encoded]:
        """A batch as blocks of about equal size; pure, for worker processes. `accept` writes them."""
        # The first piece may be all there is.
        return self._encode(batch, QUICK if self._index else THOROUGH, -(-len(batch) // self._block))

    def _encode(self, batch: Batch, effort: Effort, blocks: int = 1) -> list[Encoded]:
        """A batch as so many blocks; more where its extras are too much for them. The first has what is rare in all."""
        cuts = [len(batch) * block // blocks for block in range(blocks + 1)]
        pieces = [piece for start, stop in pairwise(cuts) for piece in _split(batch.slice(start, stop)) if len(piece)]
        made = [encode_block(piece, effort) for piece in pieces]
        rare = rare_of(batch)
        if rare is not None:
            made[0] = made[0]._replace(rare=rare)
        return made

    def accept(self, prepared: list[Encoded]) -> None:
        """Append what `prepare` made of the next batch."""
        self._begin()
        for encoded in prepared:
            self._write_encoded(encoded)

    def _begin(self) -> None:
        if self._map is None:
            self._content = self._header_map()
            self._map = pack(self._content)
            self._put(pack_file_header(FOOTER_FOLLOWS, UNKNOWN_COUNT, self._map))

    def _header_map(self) -> dict[str, Any]:
        content = header_map(self._header)
        if not native_extras.packable(content) or len(pack(content)) > MAX_HEADER_MAP:
            self.lost["'meta' of the header, which is too large or nested too deep"] = 1
            content["meta"] = {}
        return content

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._offset += len(data)

    def _write_encoded(self, encoded: Encoded) -> None:
        self.lost.update(encoded.lost)
        self._index.append((self._offset, self._events, encoded.events, *encoded.entry))
        if self._context is not None and encoded.rare is not None:
            rows, batch = encoded.rare
            if not self._context.add(self._events + rows, batch):
                self._context = None
        if self._pages is not None and (encoded.pages is None or not self._pages.add(encoded.pages)):
            self._pages = None
        self._put(_block(EVENTS, encoded.head, encoded.body, self._events, encoded.events))
        self._events += encoded.events

    def _write_footer(self) -> None:
        at = self._offset
        rows = np.array([[number & _ALL_ONES for number in row] for row in self._index], np.uint64)
        steps = np.diff(rows, axis=0, prepend=np.zeros((1, len(ENTRY)), np.uint64)) if len(rows) else rows
        head = {
            "header": self._content,
            "events": self._events,
            "blocks": len(self._index),
            "fields": ENTRY,
            "index": squeeze(steps.astype("<u8").T.tobytes()),
        }
        if self._context is not None and self._context.events and len(self._index) >= MANY:
            head["context"] = self._context.packed()
        if self._pages is not None and len(self._index) > 1:
            head |= self._pages.packed()
        self._put(_block(FOOTER, pack(head), b"", self._events, 0))
        self._put(TRAILER.pack(at, END))


class _Context:
    """Gathers the events of a file that are no accesses, so that its footer has them once more."""

    def __init__(self) -> None:
        self.events = 0
        self._weight = 0
        self._rows: list[Any] = []
        self._batches: list[Batch] = []

    def add(self, rows: Any, batch: Batch) -> bool:
        """Those of the next block, with their numbers in the file; False if they are too many."""
        self.events += len(batch)
        self._weight += weight(batch.extras)
        self._rows.append(rows)
        self._batches.append(Batch(batch.kind, batch.columns, batch.extras))
        # Regions are numbered anew in each block.
        return self.events <= _MOST_CONTEXT and self._weight <= _HEAVY_CONTEXT and "region" not in batch.columns

    def packed(self) -> dict[str, Any]:
        """As the footer has it."""
        rows = np.concatenate(self._rows).astype(np.uint64)
        block = encode_block(concatenate(self._batches), THOROUGH)
        steps = np.diff(rows, prepend=np.uint64(0))
        return {"rows": [len(rows), pack_planes(steps)], "head": block.head, "body": block.body}


def encode_block(batch: Batch, effort: Effort) -> Encoded:
    """A batch of at least one event as a block; what is rare in it is left to others."""
    shared = share(batch)
    made = _encoded(batch, effort, shared)
    if shared is None or effort is not THOROUGH:
        return made
    # Where it is read in no time anyway, the smaller one.
    other = _encoded(batch, effort, None)
    return min(made, other, key=lambda block: len(block.head) + len(block.body))


def _encoded(batch: Batch, effort: Effort, shared: Shared | None) -> Encoded:
    zone: dict[str, Any] = {}
    head: dict[str, Any] = {"n": len(batch), "zone": zone}
    times: dict[str, list[int]] = {}
    words = NO_ADDRESSES
    directory: dict[str, Any] = {}
    body: dict[str, bytes] = {}
    presence = Presence()
    of_rows: dict[str, Column] = {}
    if shared is not None:
        of_rows = shared.columns
        directory[PLACES_NAME], body[PLACES_NAME] = encode_places(shared.planes, len(batch), shared.size, effort)
    columns = sorted(batch.columns.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))
    for name, column in (("kind", Column(batch.kind)), *columns):
        encoded = encode(name, column, presence, effort, of_rows.get(name))
        if encoded is None:
            continue
        directory[name], payload, packed, addresses = encoded
        if payload:
            body[name] = payload
        if name == "kind":
            zone["kinds"] = int.from_bytes(packed.members, "little")
        elif name == "time":
            times = {"time": [packed.low, packed.high]}
        elif name == "addr":
            zone["addr"] = [packed.low, packed.high]
            often = OFTEN if packed.words > OFTEN else 0
            head["addresses"] = [packed.words, addresses, often] if often else [packed.words, addresses]
            words = np.sort(from_differences(join(packed.word_planes, packed.words), often))
    zone.update(times)
    if "region" in directory:
        codes = distinct(values(batch, "region")).tolist()
        head["regions"] = {code: [batch.regions.names[code], batch.regions.spaces[code]] for code in codes}
    if presence.packed:
        head["present"] = presence.packed
    lost: Counter[str] = Counter()
    if batch.extras:
        payload, lost = native_extras.encode(batch.extras)
        directory["extras"] = [MSGPACK, 0, len(payload), zlib.crc32(payload), None]
        body["extras"] = payload
    head["columns"] = directory
    return Encoded(len(batch), pack(head), pack(body), entry_of(zone), pages_of(words), lost, None)


def _block(kind: int, head: bytes, body: bytes, first: int, events: int) -> bytes:
    return pack_frame(Frame(kind, len(head), len(body), first, events, zlib.crc32(head))) + head + body


def _split(batch: Batch) -> list[Batch]:
    """One block, or several when the extras in it are too much for one."""
    if len(batch) > 1 and weight(batch.extras) > MAX_WEIGHT * 2:
        middle = len(batch) // 2
        return _split(batch.slice(0, middle)) + _split(batch.slice(middle, len(batch)))
    return [batch]


def header_map(header: TraceHeader) -> dict[str, Any]:
    """The header map of a file."""
    return {
        "writer": f"mmiotools {__version__}",
        "format": header.format,
        "clock": header.clock,
        "time_digits": header.time_digits,
        "meta": header.meta,
    }
