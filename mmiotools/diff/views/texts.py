"""Accesses as the views for people write them, many at a time."""

from __future__ import annotations

from itertools import chain

import numpy as np

from mmiotools.diff.runs import ranges
from mmiotools.diff.views.base import Options, access_text, printable
from mmiotools.small import array
from mmiotools.speed import compiled
from mmiotools.trace.accesses import Accesses, flat
from mmiotools.typed import Iterable, Iterator, ModuleType, NamedTuple

#: Lines that are made at once.
_AT_ONCE = 1 << 12
#: Bytes of a line beside the name of a region.
_LINE = 64


class Span(NamedTuple):
    """Accesses start..stop-1 of a side, and the sign in front of their lines."""

    start: int
    stop: int
    sign: str


def signed_texts(side: Accesses, spans: Iterable[Span], options: Options) -> Iterator[str]:
    """`access_text` of the accesses of some spans, each with its sign in front. A value is the last word."""
    engine = compiled()
    if engine is not None and options.naming is None and not side.wide:
        return chain.from_iterable(_compiled_texts(engine, side, spans))
    return chain.from_iterable(_texts(side, span, options) for span in spans)


def _texts(side: Accesses, span: Span, options: Options) -> Iterator[str]:
    return side.spelled(span.start, span.stop, lambda access: f"{span.sign}{access_text(access, options)}")


def _compiled_texts(engine: ModuleType, side: Accesses, spans: Iterable[Span]) -> Iterator[list[str]]:
    """The same, many at a time."""
    names = [printable(region.name).encode() for region in side.regions]
    ends = array("q", [0] * len(names))
    total = 0
    for at, name in enumerate(names):
        total += len(name)
        ends[at] = total
    room = bytearray()
    longest = max(map(len, names), default=0)
    for some in _together(spans):
        signs = "".join([span.sign for span in some]).encode()
        start, count = np.array([(span.start, span.stop - span.start) for span in some], np.int64).T
        rows = ranges(start, count)
        columns = tuple(map(flat, side.picked(rows, "op", "width", "region", "offset", "value", "has_value")))
        size = len(rows) * (_LINE + longest)
        if len(room) < size:
            room = bytearray(size)
        stops = np.cumsum(count)
        spelled = (stops - count, stops, signs)
        written = engine.spell_accesses(len(some), spelled, len(rows), columns, b"".join(names), ends, room)
        text = str(memoryview(room)[:written], "utf-8").split("\n")
        text.pop()
        yield text


def _together(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """The same spans, cut, so that some together have _AT_ONCE lines at most."""
    some: list[Span] = []
    room = _AT_ONCE
    for span in spans:
        start, stop, sign = span
        while stop - start >= room:
            some.append(Span(start, start + room, sign))
            yield some
            start += room
            some, room = [], _AT_ONCE
        if start < stop:
            some.append(span if start == span.start else Span(start, stop, sign))
            room -= stop - start
    if some:
        yield some
