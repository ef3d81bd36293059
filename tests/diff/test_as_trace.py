"""An excerpt of a trace: which events are in it, where its marks stand, and that it is a trace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from diff_helpers import KINDS, MAP, edited_pairs, with_volatile
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.diff.as_trace import Excerpt
from mmiotools.diff.hunks import Comparison, compare
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.trace.batch import MAX_EVENTS, Batch
from mmiotools.trace.collect import collect

Rows = list[tuple[str, int, int | None]]


def batches(rows: Rows, size: int = 1000) -> list[Batch]:
    """A trace in batches of so many events, with a mark and a note in it that are no part of the difference."""
    events = [MAP, Event(Kind.MARK, extra={"text": b"begin"}), Event(Kind.NOTE, extra={"text": b"hello"})]
    for at, (op, offset, value) in enumerate(rows):
        events.append(Event(KINDS[op], time=at, width=4, map=1, addr=0x1000 + offset, value=value))
    events.append(Event(Kind.UNMAP, map=1))
    return [Batch.from_events(events[at : at + size]) for at in range(0, len(events), size)]


def compared(pair: tuple[Rows, Rows]) -> Comparison:
    return compare(*(collect(iter(batches(rows))) for rows in pair))


def events(parts: Iterator[Batch]) -> list[Event]:
    return [event for part in parts for event in part.events()]


@given(edited_pairs(), st.integers(1, 9), st.sampled_from("ab"), st.booleans())
def test_what_is_in_it(pair: tuple[Rows, Rows], size: int, side: str, volatile: bool) -> None:
    comparison = with_volatile(compared(pair), lambda hunk: hunk.kind == "delete")
    accesses = comparison.a if side == "a" else comparison.b
    found = events(Excerpt(comparison, side, volatile).batches(batches(pair[side == "b"], size)))
    expected: list[tuple[int, object]] = []
    for number, hunk in enumerate(comparison.hunks, 1):
        rows = hunk.a if side == "a" else hunk.b
        if rows and (volatile or hunk.category == "driver"):
            text = f"diff: {hunk.kind} {number}, {hunk.category}: {hunk.reason}".encode()
            expected.append((rows.start, (text, accesses.access(rows.start).index)))
            expected += [(at, at) for at in rows]
    expected.sort(key=lambda item: item[0])
    assert [found[0].kind, found[-1].kind] == [Kind.MAP, Kind.UNMAP]
    shown = [(e.extra["text"], e.time) if e.kind == Kind.MARK else e.time for e in found[1:-1]]
    assert shown == [what for _, what in expected]
    original = [e for batch in batches(pair[side == "b"]) for e in batch.events()]
    assert all(event in original for event in found if event.kind != Kind.MARK)


def test_no_batch_is_too_long() -> None:
    rows: Rows = [("W", 4 * (at % 2), at) for at in range(MAX_EVENTS - 10)]
    other: Rows = [(op, at, value if at else value + 1) for op, at, value in rows]  # type: ignore[operator]
    comparison = compared((rows, other))
    parts = list(Excerpt(comparison, "b").batches(batches(other, MAX_EVENTS)))
    assert max(map(len, parts)) <= MAX_EVENTS
    marks = sum(len(part.rows(Kind.MARK)) for part in parts)
    assert marks == len(comparison.hunks)


def test_numbers_of_a_part_are_those_of_the_whole() -> None:
    a: Rows = [("R", 0, 1), ("W", 4, 1), ("R", 0, 2), ("W", 8, 1)]
    b: Rows = [("R", 0, 9), ("R", 0, 9), ("W", 4, 1), ("R", 0, 2), ("W", 8, 2)]
    sides = [collect(iter(batches(rows))) for rows in (a, b)]
    writes = [side.take(np.flatnonzero(side.op == Kind.WRITE)) for side in sides]
    found = events(Excerpt(compare(*writes), "b").batches(batches(b)))
    assert [(event.kind, event.time) for event in found[1:-1]] == [(Kind.MARK, 4), (Kind.WRITE, 4)]


def test_a_trace_that_changed_meanwhile_is_refused() -> None:
    a: Rows = [("R", 0, 1)]
    excerpt = Excerpt(compared((a, [])), "a")
    for rows in ([], a * 2):
        with pytest.raises(UsageError, match="has changed"):
            list(excerpt.batches(batches(rows)))
