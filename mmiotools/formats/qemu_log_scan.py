"""The bulk of QEMU's log on columns: blocks of whole lines → batches, without Python per line.

All that differs from line to line is a time stamp and two numbers, a place and a value; the text around them, name,
CPU, region and width, comes again and again. So a line is cut into these three and the rest, its template; lines of
one template are found by hash and compared as 64-bit words, and one of them is parsed by `qemu_log_lines`. Every line
that does not fit goes there, and keeps its place.
"""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event, Kind
from mmiotools.formats.alike import alike, spread, text_words
from mmiotools.formats.line_columns import MARGIN, Place, Store, text_ends
from mmiotools.formats.qemu_events import PORTS, code_of, region_code, single_events, space_of
from mmiotools.formats.qemu_log_lines import parse_line
from mmiotools.formats.qemu_log_notes import Notes, find_notes
from mmiotools.formats.qemu_log_print import render
from mmiotools.formats.qemu_log_stamps import Stamps, iso_stamps, pid_stamps
from mmiotools.formats.text_numbers import U64, Index, Mask, Words, characters, hex_before, u64
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import EOL_CRLF, EOL_LF, MAX_EVENTS, Batch, Column, Regions
from mmiotools.typed import Any, Iterable, Iterator, NamedTuple, NDArray

#: Fewer lines of a kind than this are read one by one.
_WORTHWHILE = 16
#: Longest text before, between and after the two numbers.
_LONGEST = 88
#: Bytes that are searched at once, so that what is found stays in the cache.
_PIECE = 1 << 17
#: Templates that are kept parsed.
_KEPT = 1 << 12


class _Shape(NamedTuple):
    """Where the two numbers of a line are, counted in blanks from the one behind the event's name.

    names   the last 8 characters of the events' names, and how long each is
    place   the blank or line end that ends the first number, and how many characters before it the number ends
    value   the same of the second number
    lead    the characters before the two numbers
    """

    names: dict[bytes, int]
    place: tuple[int, int]
    value: tuple[int, int]
    lead: tuple[bytes, bytes]


_SHAPES = (
    # `memory_region_ops_read cpu N mr P addr A value V size S`, with or without a name; subpages have `offset`
    _Shape({b"ops_read": 22, b"ps_write": 23, b"age_read": 26, b"ge_write": 27}, (6, 0), (8, 0), (b" ", b" ")),
    # the same without `cpu N`, without `mr P`, or without both
    _Shape({}, (4, 0), (6, 0), (b" ", b" ")),
    _Shape({}, (2, 0), (4, 0), (b" ", b" ")),
    # `vfio_region_read  (D:regionN+A, S) = V`
    _Shape({b"ion_read": 16}, (2, 1), (5, 0), (b"+", b" ")),
    # `vfio_region_write  (D:regionN+A, V, S)`
    _Shape({b"on_write": 17}, (2, 1), (3, 1), (b"+", b" ")),
)


class Scanner:
    """Turns blocks into batches. It remembers templates from block to block, and nothing else."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes, bytes], Event | None] = {}

    def scan(self, block: bytes, first_line: int, regions: Regions) -> Iterator[Batch]:
        """The events of a block of whole lines, each with its line end; one event a line, in batches of at most
        MAX_EVENTS. `first_line` counts from 1.
        """
        data = np.frombuffer(block, np.uint8)
        pieces = ((at, data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
        marks = np.concatenate([flatnonzero((piece == 32) | (piece == 10)) + at for at, piece in pieces])
        at_ends = flatnonzero(data[marks] == 10)
        lines = _Lines(block, marks, at_ends)
        for start in range(0, len(at_ends), MAX_EVENTS):
            yield self._scan(lines.part(start, start + MAX_EVENTS), first_line + start, regions)

    def _scan(self, lines: _Lines, first_line: int, regions: Regions) -> Batch:
        n = len(lines.starts)
        kind = np.full(n, Kind.NOTE, np.uint8)
        store = Store(n)
        done = np.zeros(n, np.bool_)
        odd: list[int] = []
        for rows, shape, prefix in lines.groups():
            fields = self._take(lines, rows, shape, prefix, regions)
            place = Place(fields.rows)
            place.into(done, np.True_)
            for name, values in fields.columns.items():
                if name == "kind":
                    place.into(kind, values)
                elif name == "raw":
                    odd += fields.rows[values].tolist()
                else:
                    given = fields.present.get(name)
                    whole = given is None or bool(given.all())
                    if whole:
                        store.put(name, place, values)
                    else:
                        store.put(name, Place(fields.rows[given]), values[given])
        spelled = zip(odd, lines.starts[odd].tolist(), lines.ends[odd].tolist(), strict=True)
        extras: dict[int, dict[str, Any]] = {row: {"raw": lines.block[start:end]} for row, start, end in spelled}
        others = flatnonzero(~done)
        if len(others) >= _WORTHWHILE:
            extras |= self._no_accesses(lines, others, kind, store, done)
            others = flatnonzero(~done)
        if len(others):
            spans = zip(others.tolist(), lines.starts[others].tolist(), lines.ends[others].tolist(), strict=True)
            events = [parse_line(lines.block[start:end], first_line + row) for row, start, end in spans]
            slow = single_events(events, regions, render)
            kind[others] = slow.kind
            for name, column in slow.columns.items():
                present = slice(None) if column.present is None else column.present
                store.put(name, Place(others[present]), column.data[present])
            extras |= {int(others[row]): extra for row, extra in slow.extras.items()}
        if not _ascending(extras):
            extras = dict(sorted(extras.items()))
        columns = store.columns()
        if lines.crlf is not None:
            columns["eol"] = Column(np.where(lines.crlf, np.uint8(EOL_CRLF), np.uint8(EOL_LF)))
        return Batch(kind, columns, extras, regions)

    def _no_accesses(
        self, lines: _Lines, rows: Index, kind: NDArray[np.uint8], store: Store, done: Mask
    ) -> dict[int, dict[str, Any]]:
        """The extras of notes and interrupts among lines, which are marked as done; their columns go to `store`."""
        found = find_notes(lines.words, lines.block, rows, lines.starts[rows], lines.ends[rows])
        notes, block = found.take(~found.known), lines.block
        spans = zip(notes.rows.tolist(), notes.begin.tolist(), lines.ends[notes.rows].tolist(), strict=True)
        extras: dict[int, dict[str, Any]] = {row: {"text": block[start:end]} for row, start, end in spans}
        interrupts = self._interrupts(lines, found.take(found.known), kind, store, extras)
        for some in (notes, interrupts):
            done[some.rows] = True
            place = Place(some.rows[some.stamped])
            store.put("time", place, some.time[some.stamped])
            store.put("pid", place, some.pid[some.stamped])
        return extras

    def _interrupts(
        self, lines: _Lines, known: Notes, kind: NDArray[np.uint8], store: Store, extras: dict[int, dict[str, Any]]
    ) -> Notes:
        """Those of the lines that are interrupts, as far as the same ones come again."""
        known = known.take(lines.ends[known.rows] - known.begin <= _LONGEST)
        if not len(known.rows):
            return known
        ends = lines.ends[known.rows]
        which, examples = alike([text_words(lines.words, known.begin, ends)])
        spans = zip(known.begin[examples].tolist(), ends[examples].tolist(), strict=True)
        table = [parse_line(lines.block[start:end], 1) for start, end in spans]
        usable = np.array([*(event.kind == Kind.IRQ for event in table), False])[which]
        known, which = known.take(usable), which[usable]
        Place(known.rows).into(kind, np.uint8(Kind.IRQ))
        for name in ("addr", "value"):
            values = [getattr(event, name) for event in table]
            here = np.array([value is not None for value in values], np.bool_)[which]
            if here.any():
                numbers = np.array([value or 0 for value in values], np.uint64)[which]
                store.put(name, Place(known.rows[here]), numbers[here])
        block, starts, ends = lines.block, lines.starts[known.rows], lines.ends[known.rows]
        each = zip(known.rows.tolist(), which.tolist(), starts.tolist(), ends.tolist(), strict=True)
        extras |= {row: {**table[at].extra, "raw": block[start:end]} for row, at, start, end in each}
        return known

    def _take(self, lines: _Lines, rows: Index, shape: int, prefix: int, regions: Regions) -> _Fields:
        """The lines of one shape and one kind of time stamp, as far as they are spelled as QEMU spells them."""
        words = lines.words
        form = _SHAPES[shape]
        begin, end = lines.name_starts[rows], lines.ends[rows]
        behind = lines.behind[rows]
        place_end = lines.mark(behind, form.place)
        value_end = np.minimum(lines.mark(behind, form.value), end)
        good = (place_end < end) & (value_end > place_end)
        place, before_place, right = hex_before(words, np.where(good, place_end, end), form.lead[0])
        good &= right
        value, before_value, right = hex_before(words, np.where(good, value_end, end), form.lead[1])
        if form.lead[1] == b" ":
            zero = words.before(value_end) & u64(0xFFFF) == characters(b" 0")  # as `%#x` prints it
            right |= zero
            value[zero], before_value[zero] = 0, value_end[zero] - 2
        else:
            zero = np.zeros(len(rows), np.bool_)
        good &= right
        stamps: Stamps | None = None
        if prefix:
            stamps = (pid_stamps if prefix == _PID else iso_stamps)(words, lines.starts[rows], begin)
            good &= stamps.good
        cuts = [begin, before_place + 1, place_end, before_value + 1, value_end, end]
        for first, last in _pairs(cuts):
            length = last - first
            good &= (length >= 0) & (length <= _LONGEST)
        if not good.all():
            rows, place, value, zero = rows[good], place[good], value[good], zero[good]
            cuts = [cut[good] for cut in cuts]
            stamps = None if stamps is None else stamps.take(good)
        if not len(rows):
            return _Fields(rows, {}, {})
        which, examples = alike([text_words(words, first, last) for first, last in _pairs(cuts)])
        spans = zip(*(cut[examples].tolist() for cut in cuts), strict=True)
        table = [self._template(lines.block, *span) for span in spans]
        usable = np.array([*(event is not None for event in table), False])[which]
        if not usable.any():
            return _Fields(rows[:0], {}, {})
        if not usable.all():
            rows, which, place, value, zero = rows[usable], which[usable], place[usable], value[usable], zero[usable]
            stamps = None if stamps is None else stamps.take(usable)
        columns: dict[str, Any] = {"value": value}
        if stamps is not None:
            columns["time"] = stamps.time
            if stamps.pid is not None:
                columns["pid"] = stamps.pid
        columns["raw"] = zero | np.array([event is not None and "raw" in event.extra for event in table])[which]
        return _assemble(rows, [event or _NOTHING for event in table], which, place, columns, regions)

    def _template(self, block: bytes, *spans: int) -> Event | None:
        """The event of a line with these three texts and some numbers; None if it is not spelled so."""
        key = (block[spans[0] : spans[1]], block[spans[2] : spans[3]], block[spans[4] : spans[5]])
        if key in self._known:
            return self._known[key]
        event: Event | None = None
        # Twice, so that no text can pass for the numbers.
        for number in (0x1, 0x2):
            event = parse_line(key[0] + b"0x%x" % number + key[1] + b"0x%x" % (number + 2) + key[2], 1)
            place = event.offset if event.addr is None else event.addr
            if event.kind > Kind.WRITE or (place, event.value) != (number, number + 2):
                event = None
                break
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[key] = event
        return event


def _ascending(rows: Iterable[int]) -> bool:
    """Whether rows come in their order."""
    places = np.fromiter(rows, np.int64)
    return bool((places[1:] > places[:-1]).all())


_NOTHING = Event(Kind.NOTE)
_NONE, _PID, _ISO = range(3)


def _pairs(cuts: list[Index]) -> Iterator[tuple[Index, Index]]:
    """First and last of the three texts that a line is cut into."""
    return zip(cuts[::2], cuts[1::2], strict=True)


class _Fields(NamedTuple):
    """Columns of the rows taken, and where not all of them have a column, which. `raw` says which lines are spelled
    unlike the canonical ones.
    """

    rows: Index
    columns: dict[str, Any]
    present: dict[str, Mask]


def _assemble(
    rows: Index, table: list[Event], which: Index, place: U64, columns: dict[str, Any], regions: Regions
) -> _Fields:
    """What the templates say of lines, added to their own columns. `which` (n,) is the number of a line's template."""
    present: dict[str, Mask] = {}
    _put(columns, present, "kind", [event.kind for event in table], np.uint8, which)
    _put(columns, present, "width", [event.width for event in table], np.uint8, which)
    _put(columns, present, "cpu", [event.cpu for event in table], np.int32, which)
    _put(columns, present, "mr", [event.extra.get("mr") for event in table], np.uint64, which)
    by_address = np.array([event.addr is not None for event in table])[which]
    for name, mask in (("addr", by_address), ("offset", ~by_address)):
        if mask.any():
            columns[name] = place
            present[name] = mask
    key = which * 2 + (place < PORTS)
    codes: list[int | None] = [None] * (2 * len(table))
    full = []
    for at in flatnonzero(np.bincount(key, minlength=1)).tolist():
        codes[at] = _code(table[at // 2], at % 2 == 1, regions)
        if codes[at] is None and table[at // 2].region is not None:
            full.append(at)
    _put(columns, present, "region", codes, np.uint32, key)
    if full:  # the table of regions is: these lines keep their spelling
        kept = ~np.isin(key, full)
        rows, columns = rows[kept], {name: values[kept] for name, values in columns.items()}
        present = {name: mask[kept] for name, mask in present.items()}
    return _Fields(rows, columns, present)


def _code(event: Event, low: bool, regions: Regions) -> int | None:
    if event.region is None or event.addr is None:
        return region_code(event, regions)
    return code_of(event.region, space_of(event.region, 0 if low else PORTS), regions)


def _put(
    columns: dict[str, Any], present: dict[str, Mask], name: str, values: list[Any], dtype: Any, which: Index
) -> None:
    """A column from a value for each template, if any line has it."""
    found = spread(values, dtype, which)
    if found is not None:
        columns[name], mask = found
        if mask is not None:
            present[name] = mask


class _Lines:
    """Where the lines of a block are, and what they begin with.

    starts, ends   (n,) first byte of each line, and the byte after its last one, line end not counted
    crlf           (n,) which lines end in CR LF, or None when none does
    behind         (n,) number of the mark (blank or line end) behind the event's name
    last_marks     (n,) number of the line end's mark
    name_starts    (n,) first byte of the event's name
    """

    def __init__(self, block: bytes, marks: Index, at_ends: Index) -> None:
        self.block = block
        self.words = Words(block)
        self._marks = np.concatenate([marks, np.full(16, len(block), np.int64)])
        self._at_ends = at_ends
        self.starts = self.ends = self.behind = self.last_marks = self.name_starts = at_ends
        self.crlf: Mask | None = None
        self._shape = self._prefix = at_ends

    def part(self, first: int, last: int) -> _Lines:
        """The lines first..last-1."""
        found = _Lines.__new__(_Lines)
        found.block, found.words, found._marks = self.block, self.words, self._marks
        found._look(self._at_ends, first, last)
        return found

    def mark(self, behind: Index, where: tuple[int, int]) -> Index:
        """Places of marks, counted from others, less some characters."""
        found: Index = self._marks[behind + where[0]]
        return found - where[1] if where[1] else found

    def groups(self) -> Iterator[tuple[Index, int, int]]:
        """Lines of one shape and one kind of time stamp: their rows, the shape, the kind."""
        key = self._shape * 3 + self._prefix
        counts = np.bincount(key, minlength=3 * len(_SHAPES) + 3)
        for at in flatnonzero(counts[3:] >= _WORTHWHILE).tolist():
            yield flatnonzero(key == at + 3), at // 3, at % 3

    def _look(self, at_ends: Index, first: int, last: int) -> None:
        self.last_marks = at_ends[first:last]
        n = len(self.last_marks)
        firsts = np.empty(n, np.int64)
        firsts[0] = at_ends[first - 1] + 1 if first else 0
        firsts[1:] = self.last_marks[:-1]
        firsts[1:] += 1
        ends = self._marks[self.last_marks]
        self.starts = np.empty(n, np.int64)
        self.starts[0] = self._marks[firsts[0] - 1] + 1 if first else 0
        self.starts[1:] = ends[:-1]
        self.starts[1:] += 1
        self.ends, self.crlf = text_ends(self.words.bytes, self.starts, ends)
        name_ends = self._marks[firsts]
        iso = name_ends - self.starts == 27  # the stamp and its Z, before the first blank
        self.behind = firsts
        if iso.any():
            iso &= self.words.bytes[np.maximum(name_ends - 1, 0)] == ord("Z")
            self.behind = firsts + iso
            name_ends = self._marks[self.behind]
        self._shape = np.zeros(n, np.int64)
        inside = np.maximum(name_ends, MARGIN)
        tail = self.words.before(np.minimum(inside, len(self.block)))
        length = np.zeros(n, np.int64)
        for shape, form in enumerate(_SHAPES):
            for letters, size in form.names.items():
                found = tail == characters(letters)
                self._shape += found * (shape + 1)
                length += found * size
        self._shape *= (self.starts >= MARGIN) & (name_ends <= self.ends)
        self._shorten()
        self.name_starts = name_ends - length
        self._prefix = np.where(iso, _ISO, np.where(self.name_starts == self.starts, _NONE, _PID))
        self._shape[self.name_starts < self.starts] = 0

    def _shorten(self) -> None:
        """Give accesses to memory regions that tell no CPU or no pointer their shape."""
        rows = flatnonzero(self._shape == 1)
        data = self.words.bytes

        def letter(word: int) -> Any:
            """The first character of each line's n-th word behind the name."""
            return data[np.minimum(self._marks[self.behind[rows] + word - 1] + 1, len(data) - 1)]

        first = letter(1)
        alone = (first == ord("a")) | (first == ord("o"))
        self._shape[rows] += 2 * alone
        rows, first = rows[~alone], first[~alone]
        self._shape[rows] += (first == ord("m")) | (letter(3) != ord("m"))
