"""Events of a native file that an expression selects, as mmiotrace text."""

from __future__ import annotations

from bisect import bisect_left

from mmiotools.events import Event, Kind
from mmiotools.filters import blocks
from mmiotools.filters import expr as tree
from mmiotools.filters.alive import CONTEXT, LASTING, LiveMaps
from mmiotools.filters.program import Program, compiled_steps
from mmiotools.formats.mmiotrace_render import render
from mmiotools.formats.native_stored import Rare, Rows, Stored, Unfit, joined
from mmiotools.formats.native_table import Table, read_table, running_sums, sound_header
from mmiotools.quick.sheets import Sheet, Sheets
from mmiotools.small import array
from mmiotools.speed import compiled
from mmiotools.trace.blocks import Zone
from mmiotools.trace.memory import keep_freed_memory
from mmiotools.typed import TYPE_CHECKING, Callable, Iterable, Iterator, ModuleType, NamedTuple

if TYPE_CHECKING:
    from mmiotools.formats.pace import Pace

_OF_MAPS = frozenset({Kind.MAP, Kind.UNMAP})
_ACCESSES = (1 << Kind.UNKNOWN + 1) - 1
#: The number of a piece of work, and blocks side by side: from which one, and up to which.
Piece = tuple[int, tuple[int, int]]
#: An event, made when it is told.
Told = Callable[[], Event]
#: Events that a worker reads at a time, or those of a block; and so many that they are worth other processes.
_TOGETHER = 1 << 16
_MANY = 4 * _TOGETHER
_LOW, _HIGH = -1 << 63, (1 << 63) - 1
_WRONG = (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError)


class Question(NamedTuple):
    """What is asked of a file.

    node         the expression
    first, last  a window of times, nanoseconds, each border included; None is no border
    bare         whether what passes every expression is left out, too
    counts       whether only the number is asked for
    """

    node: tree.Expr
    first: int | None
    last: int | None
    bare: bool
    counts: bool


class Part(NamedTuple):
    """Some lines of what is kept, which last until the next part is asked for; how many events the expression selected
    there, and how many there are.
    """

    text: bytes | memoryview
    selected: int
    events: int


def open_selection(descriptor: int, size: int, question: Question) -> Selection | None:
    """A selection from an open native file of `size` bytes; None where it has to be done the other way."""
    program = compiled_steps(question.node)
    if program is None:
        return None
    try:
        if sound_header(descriptor) is None:
            return None
        fast = compiled()
        if fast is not None:
            keep_freed_memory()
        table = read_table(descriptor, size)
        if any(kinds >> Kind.NOTE & 1 for kinds in table.columns["kinds"]):
            return None
        return Selection(fast, descriptor, table, program, question)
    except (Unfit, *_WRONG):
        return None


class Selection:
    """`parts` gives it. Raises Unfit, from the beginning or half-way, where it has to be done the other way, as without
    the compiled engine what takes many events.
    """

    def __init__(
        self, fast: ModuleType | None, descriptor: int, table: Table, program: Program, question: Question
    ) -> None:
        self._descriptor = descriptor
        self._table = table
        self._program = program
        self._question = question
        self._test = blocks.may_select(question.node, table.pages)
        self._zones = list(table.zones())
        self._ends = [*(zone.offset for zone in self._zones[1:]), table.end]
        #: A window of times.
        self._low = max(_LOW if question.first is None else question.first, _LOW)
        self._high = min(_HIGH if question.last is None else question.last, _HIGH)
        #: Events that may be read: blocks turn out to be needed that do not look so before.
        self._left = _HIGH
        self._fast = self._plain() if fast is None else fast
        #: Of the footer, where it has them: its events, their numbers in the file, and which of them are selected.
        self._context: Rare | None = None
        self._numbers = array("Q")
        self._picked: frozenset[int] = frozenset()
        if table.context is not None:
            self._context, self._numbers, self._picked = _context(self._fast, table, program)
        #: Whether a block may say that it has nothing of what its pages look like.
        self._asks_blocks = self._context is not None and (table.pages is None or table.pages.shift > 0)
        #: The memory of a sheet, by the number of the piece that is put there.
        self._sheet: Callable[[int], memoryview] = lambda turn: memoryview(b"")
        #: Bytes of the file that are done.
        self.consumed = 0

    def _plain(self) -> ModuleType:
        """What takes the place of the compiled engine, for few events."""
        from mmiotools.formats import native_plain

        wanted = (self._zones[number] for number in self._wanted()) if self._is_all_times() else self._around()
        if sum(zone.events for zone in wanted) > native_plain.MOST:
            raise Unfit
        self._left = 2 * native_plain.MOST
        return native_plain

    def _is_all_times(self) -> bool:
        return self._question.first is None and self._question.last is None

    def parts(self) -> Iterator[Part]:
        """What is kept, in order."""
        return self._all_times() if self._is_all_times() else self._window()

    # -- blocks -------------------------------------------------------------------------------------------

    def _wanted(self) -> list[int]:
        """The numbers of the blocks to read: the others have no event that is selected, and what else is kept of them
        is in the footer.
        """
        if self._question.bare or self._table.context is not None:
            return [number for number, zone in enumerate(self._zones) if self._test(zone)]
        return [n for n, zone in enumerate(self._zones) if not self._is_known(zone) or self._test(zone)]

    def _is_known(self, zone: Zone) -> bool:
        """Whether what a block has that is no access is known before it is read."""
        return self._table.context is not None or not zone.kinds & ~_ACCESSES

    def _stored(self, number: int) -> Stored:
        zone = self._zones[number]
        self._left -= zone.events
        if self._left < 0:
            raise Unfit
        return Stored.at(self._fast, self._descriptor, zone.offset, self._ends[number], zone.first, zone.events)

    def _unread(self, start: int, stop: int) -> range:
        """Which events of the footer are number start..stop-1."""
        return range(bisect_left(self._numbers, start), bisect_left(self._numbers, stop))

    def _all_times(self) -> Iterator[Part]:
        from mmiotools.formats.pace import Pace
        from mmiotools.formats.parallel import ordered_map, workers_wanted

        # For each piece that workers have, the one that is being written out, and one.
        self._sheet = Sheets(2 * workers_wanted() + 2, _TOGETHER * self._fast.LINE_MOST).memory
        wanted = self._wanted()
        at = 0
        total = sum(self._zones[number].events for number in wanted)
        pace = Pace(_TOGETHER, total)
        pieces = enumerate(self._stretches(wanted, pace))
        for piece, text, selected, events in ordered_map(self._read, pieces, alone=1 if total > _MANY else None):
            turn, (start, stop) = piece
            yield self._skipped(at, self._zones[start].first)
            yield Part(self._lies(turn, text), selected, events)
            self.consumed = self._ends[stop - 1]
            pace.saw(events, selected)
            at = self._zones[stop - 1].first + self._zones[stop - 1].events
        yield self._skipped(at, self._table.events)

    def _stretches(self, numbers: list[int], pace: Pace) -> Iterator[tuple[int, int]]:
        """Numbers of blocks side by side: from which one, and up to which."""
        at = 0
        while at < len(numbers):
            most = pace.events()
            stop, events = at + 1, self._zones[numbers[at]].events
            while stop < len(numbers) and numbers[stop] == numbers[at] + stop - at:
                events += self._zones[numbers[stop]].events
                if events > most:
                    break
                stop += 1
            yield numbers[at], numbers[at] + stop - at
            at = stop

    def _lies(self, turn: int, text: bytes | int) -> bytes | memoryview:
        """The text of a sheet."""
        return self._sheet(turn)[:text] if isinstance(text, int) else text

    def _skipped(self, start: int, stop: int) -> Part:
        """What is kept of events that are not read."""
        return Part(self._context_lines(start, stop), 0, stop - start)

    def _context_lines(self, start: int, stop: int) -> bytes:
        rare = self._context
        if self._question.bare or self._question.counts or rare is None:
            return b""
        return _lines(rare.event(at) for at in self._unread(start, stop) if rare.kinds[at] in CONTEXT)

    def _read(self, piece: Piece) -> tuple[Piece, bytes | int, int, int]:
        """Some blocks, onto a sheet: what is a part of what is kept. Pure but for that, for a worker."""
        turn, stretch = piece
        sheet, selected, events = Sheet(self._sheet(turn)), 0, 0
        for number in range(*stretch):
            stored, zone = self._stored(number), self._zones[number]
            events += zone.events
            if self._asks_blocks and not self._test(zone._replace(addresses=stored.addresses)):
                # Only its pages looked like it.
                sheet.put(self._context_lines(zone.first, zone.first + zone.events))
                continue
            rare = stored.rare()
            rows = stored.pick(*self._program)
            selected += len(rows)
            if not self._question.counts:
                self._print(sheet, stored, rows, rare, range(len(rare.rows)), True)
        return piece, sheet.text(), selected, events

    def _print(self, sheet: Sheet, stored: Stored, rows: Rows, rare: Rare, which: range, inside: bool) -> None:
        """The lines of some rows, and of the rare events that pass whatever the expression is, `inside` a window or
        outside.
        """
        told = []
        for place in which:
            at = bisect_left(rows, rare.rows[place])
            is_picked = at < len(rows) and rows[at] == rare.rows[place]
            if is_picked or (not self._question.bare and _passes(rare.kinds[place], inside)):
                told.append(place)
        if rows or told:
            lines = [_line(rare.event(place)) for place in told]
            between = array("i", [rare.rows[place] for place in told])
            written = stored.print(rows, between, lines, sheet.rest())
            if written is None:
                room = sheet.beside(len(rows) * self._fast.LINE_MOST + sum(map(len, lines)))
                written = stored.print(rows, between, lines, room)
            assert written is not None
            sheet.took(written)

    # -- windows ------------------------------------------------------------------------------------------

    def _around(self) -> Iterator[Zone]:
        """The blocks that a window needs, as far as that is known before."""
        return (zone for zone in self._zones if not self._is_known(zone) or self._meets(zone))

    def _meets(self, zone: Zone) -> bool:
        """Whether a block may have times in the window."""
        return zone.time_min <= zone.time_max and zone.time_max >= self._low and zone.time_min <= self._high

    def _window(self) -> Iterator[Part]:
        """In order, because what is inside depends on what came before."""
        question, low, high = self._question, self._low, self._high
        if low > _HIGH or high < _LOW:
            raise Unfit
        self._sheet = Sheets(1, _TOGETHER * self._fast.LINE_MOST).memory
        maps: LiveMaps[Told] = LiveMaps()
        inside = question.first is None
        done = 0
        for number, zone in enumerate(self._zones):
            if inside:
                all_inside = zone.time_max < zone.time_min or (zone.time_min >= low and zone.time_max <= high)
                needed = not all_inside or self._test(zone)
            else:
                needed = self._meets(zone)
            if needed or not self._is_known(zone):
                yield self._passed(done, zone.first, inside, maps)
                part, inside = self._cut(number, low, high, inside, maps)
                yield part
                done = zone.first + zone.events
                self.consumed = self._ends[number]
        yield self._passed(done, self._table.events, inside, None)

    def _passed(self, start: int, stop: int, inside: bool, maps: LiveMaps[Told] | None) -> Part:
        """What is kept of events that are not read; `maps` where there is more to come."""
        rare = self._context
        if rare is None:
            return Part(b"", 0, stop - start)
        which = self._unread(start, stop)
        if maps is not None:
            self._follow(rare, which, inside, maps)
        if self._question.bare:
            return Part(b"", 0, stop - start)
        kept = [at for at in which if _passes(rare.kinds[at], inside)]
        text = b"" if self._question.counts else _lines(map(rare.event, kept))
        return Part(text, len(self._picked.intersection(kept)), stop - start)

    def _follow(self, rare: Rare, which: range, inside: bool, maps: LiveMaps[Told]) -> None:
        """Take note of maps."""
        kinds = rare.kinds
        for at in which:
            kind = kinds[at]
            if kind in _OF_MAPS and (map_id := rare.map_id(at)) is not None:
                maps.follow(map_id, rare.later(at), kind == Kind.UNMAP, inside)

    def _cut(self, number: int, low: int, high: int, before: bool, maps: LiveMaps[Told]) -> tuple[Part, bool]:
        """What is kept of a block, and whether its last event is inside."""
        stored = self._stored(number)
        within, after = stored.within(low, high, before)
        rare = stored.rare()
        allowed = within[:]
        for row, rare_kind in () if self._question.bare else zip(rare.rows, rare.kinds, strict=True):
            # Outside they pass, too, and then count where the expression selects them.
            allowed[row] |= rare_kind in LASTING
        rows = stored.pick(*self._program, allowed)
        if self._question.counts:
            return Part(b"", len(rows), stored.n), after
        sheet = Sheet(self._sheet(0))
        start = at = 0
        while start < stored.n:
            is_in = within[start]
            stop = within.find(1 - is_in, start)
            stop = stored.n if stop < 0 else stop
            if is_in and not self._question.bare:
                sheet.put(_lines(event() for event in maps.enter()))
            here = range(bisect_left(rare.rows, start), bisect_left(rare.rows, stop))
            self._follow(rare, here, bool(is_in), maps)
            last = bisect_left(rows, stop, at)
            self._print(sheet, stored, rows[at:last], rare, here, bool(is_in))
            start, at = stop, last
        return Part(self._lies(0, sheet.text()), len(rows), stored.n), after


def _passes(kind: int, inside: bool) -> bool:
    return kind in (CONTEXT if inside else LASTING)


def _line(event: Event) -> bytes:
    """Its line. Raises Unfit where there is none, which has to be said."""
    line = render(event)
    if line is None:
        raise Unfit
    return line + b"\n"


def _lines(events: Iterable[Event]) -> bytes:
    return b"".join(map(_line, events))


def _context(fast: ModuleType, table: Table, program: Program) -> tuple[Rare, array[int], frozenset[int]]:
    """The events of a file that are no accesses, their numbers in it, and which of them a program selects.

    Raises Unfit, or an error of unpacking.
    """
    packed = table.context
    count, planes = packed["rows"]
    stored = Stored.of(fast, packed["head"], packed["body"], count)
    steps = joined(fast, planes, count)
    rows = running_sums(steps)
    rare, picked = stored.rare(), frozenset(stored.pick(*program))
    if len(rare.rows) != count or 0 in steps[1:] or rows[-1] >= table.events:
        raise Unfit
    return rare, rows, picked
