"""Folded poll loops: shorter, readable, and restored to the very same events."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.filters.polls import fold, unfold
from mmiotools.trace.batch import MAX_EVENTS, Batch, Column, Regions

READ = Event(Kind.READ, 1000, 4, 1, 0xFEBC0008, value=0, pc=0, pid=0)


def poll(turns, last=None, step=1500):
    events = [READ._replace(time=1000 + step * i) for i in range(turns)]
    return [*events, READ._replace(time=1000 + step * turns, value=last)] if last is not None else events


def batches(events, size):
    regions = Regions()
    for start in range(0, len(events), size):
        yield Batch.from_events(events[start : start + size], regions)


def flat(stream):
    return [event for batch in stream for event in batch.events()]


def folded(events, size=10_000, turns=4):
    return flat(fold(batches(events, size), turns))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_loop_becomes_its_first_turn_a_line_and_what_ended_it(size):
    events = poll(1384, last=1)
    got = folded(events, size)
    assert [e.kind for e in got] == [Kind.READ, Kind.NOTE, Kind.READ]
    assert (got[0], got[2]) == (events[0], events[-1])
    text = got[1].extra["text"]
    assert text.startswith(b"# poll x1383 over 2.073 ms: R4 0xfebc0008 0x0 -> 0x1 = ")
    assert b"\n" not in text
    assert flat(unfold(batches(got, size))) == events


@pytest.mark.parametrize("period", [2, 3, 4])
def test_loops_of_several_accesses(period):
    turn = [READ._replace(addr=0xFEBC0000 + 4 * i, kind=Kind.WRITE if i == 1 else Kind.READ) for i in range(period)]
    events = [e._replace(time=10 * i) for i, e in enumerate(turn * 50)]
    got = folded(events, 37)
    assert len(got) == period + 1
    assert flat(unfold(batches(got, 2))) == events


@pytest.mark.parametrize(
    "events",
    [
        poll(3),
        [READ._replace(kind=Kind.WRITE)] * 50,
        [READ._replace(extra={"raw": b"R 4  1"})] * 50,
        [READ._replace(value=1 << 70)] * 50,
        [READ._replace(kind=Kind.UNKNOWN)] * 50,
        [READ._replace(value=i) for i in range(50)],
    ],
)
def test_what_is_not_folded(events):
    assert folded(events) == events


def test_a_very_long_loop_folds_into_lines_of_bounded_length():
    n = 3 * MAX_EVENTS + 5

    def stream():
        regions = Regions()
        for start in range(0, n, MAX_EVENTS):
            count = min(MAX_EVENTS, n - start)
            yield Batch(
                np.zeros(count, np.uint8),
                {
                    "time": Column(np.arange(start, start + count, dtype=np.int64) * 1000),
                    "addr": Column(np.full(count, 0xFEBC0008, np.uint64)),
                },
                {},
                regions,
            )

    short = list(fold(stream()))
    assert sum(map(len, short)) < 12
    restored = list(unfold(short))
    assert all(len(batch) <= MAX_EVENTS for batch in restored)
    times = np.concatenate([batch.data("time") for batch in restored])
    assert np.array_equal(times, np.arange(n) * 1000)
    assert all((batch.data("addr") == 0xFEBC0008).all() and (batch.kind == Kind.READ).all() for batch in restored)


def test_lines_that_only_look_like_ours_come_back_as_they_were():
    mine = folded(poll(50))[1].extra["text"]
    texts = [mine, b"# poll x3 whatever", b"# poll-quoted x", b"# poll-quoted " + mine, b"# other"]
    events = [Event(Kind.NOTE, extra={"text": text, "eol": "crlf"}) for text in texts]
    assert flat(unfold(fold(batches(events, 2)))) == events


def test_a_damaged_line_is_reported_and_counts_its_events():
    note = folded(poll(50))[1]
    text = note.extra["text"]
    at = text.index(b" = ") + 20
    broken = text[:at] + (b"A" if text[at : at + 1] != b"A" else b"B") + text[at + 1 :]
    (got,) = flat(unfold(batches([Event(Kind.NOTE, extra={"text": broken})], 1)))
    assert got.extra["damaged"] is True
    assert got.extra["events"] == 49
    assert got.extra["text"] == broken


@given(st.data())
def test_any_damage_to_a_line_is_survived(data):
    text = bytearray(folded(poll(9))[1].extra["text"])
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    text = bytes(text)[: data.draw(st.integers(0, len(text)))]
    got = flat(unfold(batches([Event(Kind.NOTE, extra={"text": text})], 1)))
    if re.fullmatch(rb"# poll x\d{1,9} .*= [A-Za-z0-9+/=]+", text, re.DOTALL):
        assert got[0].extra.get("damaged") or got == folded_away()
    else:
        assert got == [Event(Kind.NOTE, extra={"text": text})]


def folded_away():
    return poll(9)[1:]


def event(kind, **fields):
    return Event(kind, **fields)


accesses = st.builds(
    event,
    st.sampled_from([Kind.READ, Kind.READ, Kind.READ, Kind.WRITE, Kind.UNKNOWN, Kind.MARK]),
    time=st.none() | st.sampled_from([0, 5, 1000, -7, 2**63 - 1, -(2**63)]),
    width=st.sampled_from([None, 4]),
    addr=st.sampled_from([None, 8, 2**64 - 1]),
    region=st.sampled_from([None, None, "x"]),
    offset=st.sampled_from([None, 4]),
    value=st.sampled_from([0, 0, 1, None, 2**64 - 1, 2**65]),
    pid=st.sampled_from([None, -1]),
    extra=st.sampled_from([{}, {}, {}, {"eol": "crlf"}, {"raw": b"r"}]),
)
loops = st.lists(
    st.tuples(st.lists(accesses, min_size=1, max_size=5), st.integers(1, 9)).map(lambda loop: loop[0] * loop[1]),
    max_size=5,
).map(lambda parts: [event for part in parts for event in part])


@given(loops, st.integers(1, 50), st.integers(1, 50), st.integers(2, 5))
def test_unfolding_undoes_folding(events, size, other, turns):
    short = folded(events, size, turns)
    assert len(short) <= len(events)
    assert flat(unfold(batches(short, other))) == events
