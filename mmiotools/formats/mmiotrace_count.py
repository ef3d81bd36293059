"""mmiotrace text counted by the compiled engine: canonical accesses are only counted, other lines read one by one."""

from __future__ import annotations

from struct import Struct

from mmiotools.formats.mmiotrace_lines import parse_alone
from mmiotools.trace.tally import Counted, Times, kinds_of
from mmiotools.typed import Iterator, ModuleType

#: Lines that are not counted, of which places are taken note at once.
_OTHERS = 1 << 13
#: Such a line: its number, and where its text begins and ends; and the times of those that were counted.
_PLACE, _TIMES = Struct("=3q"), Struct("=6q")


def count(fast: ModuleType, block: bytes, first_line: int) -> Iterator[Counted]:
    """The lines of a block. Line ends are not looked at."""
    at = 0
    places, told = bytearray(_PLACE.size * _OTHERS), bytearray(_TIMES.size)
    while at < len(block):
        lines, at, left, entries = fast.tally_lines(block, at, _OTHERS, places, told)
        times = Times(*_TIMES.unpack(told))
        spans = list(_PLACE.iter_unpack(memoryview(places)[: left * _PLACE.size]))
        rest = parse_alone(block, spans, first_line)
        rows = [row for row, _, _ in spans]
        yield Counted(lines, kinds_of(entries), entries, None if times.first_row < 0 else times, rest, rows)
        first_line += lines
