"""Lines out of a byte stream: numbered, bounded in length, in blocks of about a megabyte."""

from __future__ import annotations

from mmiotools.formats.source import ByteSource
from mmiotools.typed import Iterator, NamedTuple

#: A line is no longer than this; of a longer one the beginning is kept and the rest only counted.
LINE_LIMIT = 1 << 23
#: How much of an over-long line is kept.
KEPT = 1 << 16
#: Occurrences of this in a broken line say how many events it was.
KIND = b'"kind":'


class Lines(NamedTuple):
    """Some whole lines, without line ends. `first` is the number of the first, from 1.

    overlong  set when this stands for one line over LINE_LIMIT: `lines` then holds its beginning, and this is how many
              events it seems to hold
    ended     False when the last line had no line end
    """

    lines: list[bytes]
    first: int
    overlong: int | None = None
    ended: bool = True


def blocks(source: ByteSource) -> Iterator[Lines]:
    """All lines of a source. Memory: LINE_LIMIT and two blocks."""
    number = 1
    held: list[bytes] = []
    size = 0
    while data := source.read():
        end = data.rfind(b"\n")
        if end < 0:
            held.append(data)
            size += len(data)
            if size > LINE_LIMIT:
                overlong, rest = _skip_line(source, b"".join(held))
                yield Lines([overlong.beginning], number, overlong.events, overlong.ended)
                number += 1
                held, size = [rest] if rest else [], len(rest)
            continue
        lines = b"".join((*held, data[:end])).split(b"\n")
        held, size = [data[end + 1 :]], len(data) - end - 1
        if any(lines):  # empty lines are nothing, and a file may be full of them
            yield Lines(lines, number)
        number += len(lines)
    rest = b"".join(held)
    if rest:
        lines = rest.split(b"\n")
        ended = lines[-1] == b""
        yield Lines(lines[:-1] if ended else lines, number, ended=ended)


class _Overlong(NamedTuple):
    beginning: bytes
    events: int
    ended: bool


def _skip_line(source: ByteSource, beginning: bytes) -> tuple[_Overlong, bytes]:
    """Read on to the end of an over-long line; what it was, and what came after it."""
    events = beginning.count(KIND)
    tail = beginning[1 - len(KIND) :]
    while data := source.read():
        end = data.find(b"\n")
        events += (tail + (data if end < 0 else data[:end])).count(KIND)
        if end >= 0:
            return _Overlong(beginning[:KEPT], events, True), data[end + 1 :]
        tail = (tail + data)[1 - len(KIND) :]
    return _Overlong(beginning[:KEPT], events, False), b""
