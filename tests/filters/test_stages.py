"""Cuts leave valid traces: context passes, and the maps alive at the cut come first."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.filters.compile import Predicate
from mmiotools.filters.stages import cut, head, judge, keep_selected, select, tail
from mmiotools.filters.window import Window
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import LiveMap

HEADER = Event(Kind.HEADER, extra={"format": "x"})
DEVICE = Event(Kind.DEVICE, extra={"bdf": 3})
LOST = Event(Kind.LOST, 0, extra={"count": 2})
DAMAGE = Event(Kind.NOTE, extra={"text": b"?", "damaged": True})
NOTE = Event(Kind.NOTE, extra={"text": b"# hello"})
ALL = Predicate("all")


def mapping(number, time=1):
    return Event(Kind.MAP, time, map=number, addr=number << 20, extra={"length": 16, "raw": b"MAP as it was"})


def unmapping(number, time=1):
    return Event(Kind.UNMAP, time, map=number)


def access(time, number=1):
    return Event(Kind.READ, time, 4, number, (number << 20) + 4, value=time)


def mark(time, text):
    return Event(Kind.MARK, time, extra={"text": text})


def batches(events, size=3):
    regions = Regions()
    for start in range(0, len(events), size):
        yield Batch.from_events(events[start : start + size], regions)


def run(events, stage, *args, expression="all", bare=False, size=3):
    chunks = judge(batches(events, size), Predicate(expression))
    chunks = cut(chunks, stage, bare) if isinstance(stage, Window) else stage(keep_selected(chunks, bare), *args, bare)
    chunks = keep_selected(chunks, bare) if isinstance(stage, Window) else chunks
    return [event for chunk in chunks for event in chunk.batch.events()]


TRACE = [
    HEADER,
    DEVICE,
    mapping(1, 1),
    access(2),
    mapping(2, 3),
    mark(4, b"begin"),
    NOTE,
    access(5, 2),
    unmapping(1, 6),
    LOST,
    access(7, 2),
    mark(8, b"end"),
    mapping(3, 9),
    DAMAGE,
    access(10, 3),
]


def test_select_keeps_the_context_unless_bare():
    stream = list(TRACE)
    got = [e for b in select(batches(stream), Predicate("value == 5")) for e in b.events()]
    context = [HEADER, DEVICE, mapping(1, 1), mapping(2, 3), access(5, 2), unmapping(1, 6), LOST, mapping(3, 9), DAMAGE]
    assert got == context
    bare = [e for b in select(batches(stream), Predicate("value == 5"), bare=True) for e in b.events()]
    assert bare == [access(5, 2)]
    inverted = [e for b in select(batches(stream), Predicate("not read"), bare=True, invert=True) for e in b.events()]
    assert inverted == [access(2), access(5, 2), access(7, 2), access(10, 3)]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_marks_cut_a_window(size):
    window = Window(re.compile(b"beg"), re.compile(b"end"))
    kept = [*TRACE[5:12]]
    expected = [HEADER, DEVICE, mapping(1, 1), mapping(2, 3), *kept, DAMAGE]
    assert run(TRACE, window, size=size) == expected
    assert run(TRACE, window, size=size, bare=True) == kept
    assert run(TRACE, Window(to_mark=re.compile(b"beg")), size=size) == [*TRACE[:6], LOST, DAMAGE]
    assert run(TRACE, Window(from_mark=re.compile(b"^$")), size=size) == [HEADER, DEVICE, LOST, DAMAGE]


def test_the_end_is_looked_for_after_the_beginning():
    stream = [mark(1, b"x"), mark(2, b"x"), mark(3, b"x"), mark(4, b"y")]
    assert run(stream, Window(re.compile(b"x"), re.compile(b"x"))) == stream[:2]
    assert run(stream, Window(re.compile(b"y"), re.compile(b"x"))) == stream[3:]


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (5, 8, [HEADER, DEVICE, mapping(1, 1), mapping(2, 3), *TRACE[7:12], DAMAGE]),
        (None, 4, [*TRACE[:7], LOST, DAMAGE]),
        (10, None, [HEADER, DEVICE, LOST, DAMAGE, mapping(2, 3), mapping(3, 9), access(10, 3)]),
        (-(2**70), 2**70, TRACE[2:]),
        (2**70, None, [HEADER, DEVICE, LOST, DAMAGE]),
    ],
)
def test_times_cut_a_window(first, last, expected, size):
    got = run(TRACE, Window(first=first, last=last), size=size)
    assert [e for e in got if e not in (HEADER, DEVICE)] == [e for e in expected if e not in (HEADER, DEVICE)]
    assert got[:2] == [HEADER, DEVICE]


def test_a_window_that_opens_twice_brings_the_reader_up_to_date():
    stream = [mapping(1, 1), access(2), access(50), unmapping(1, 51), mapping(2, 52), access(3, 2)]
    got = run(stream, Window(last=10))
    assert got == [mapping(1, 1), access(2), unmapping(1, 51), mapping(2, 52), access(3, 2)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_head_and_tail_count_what_is_no_context(size):
    assert run(TRACE, head, 2, expression="read", size=size) == [HEADER, DEVICE, *TRACE[2:5], access(5, 2)]
    assert run(TRACE, head, 0, size=size) == TRACE[:3]
    assert run(TRACE, head, 100, size=size) == TRACE
    last_two = [HEADER, DEVICE, LOST, mapping(2, 3), access(7, 2), mapping(3, 9), DAMAGE, access(10, 3)]
    assert run(TRACE, tail, 2, expression="read", size=size) == last_two
    assert run(TRACE, tail, 100, size=size) == TRACE
    assert run(TRACE, tail, 0, size=size) == [HEADER, DEVICE, LOST, DAMAGE, mapping(2, 3), mapping(3, 9)]
    assert run(TRACE, tail, 2, expression="read", bare=True, size=size) == [access(7, 2), access(10, 3)]
    assert run(TRACE, head, 2, expression="map", bare=True, size=size) == [mapping(1, 1), mapping(2, 3)]


def test_head_reads_no_further_than_it_must():
    def stream():
        yield Batch.from_events([access(1), access(2)])
        raise AssertionError("read on")

    got = list(head(judge(stream(), ALL), 1))
    assert [e for c in got for e in c.batch.events()] == [access(1)]


def test_tail_holds_few_batches():
    alive = []

    def stream():
        for number in range(200):
            batch = Batch.from_events([access(number)] * 4)
            alive.append(number)
            yield batch

    first = None
    for chunk in tail(judge(stream(), ALL), 3, True):
        first = first or chunk
    assert len(alive) == 200
    assert first is not None
    assert first.batch.event(0).time == 199


def live_maps(events):
    """Access → the map it names, as a reader of these events sees it."""
    maps, seen = {}, []
    for event in events:
        if event.kind == Kind.MAP:
            maps[event.map] = LiveMap.from_event(event)
        elif event.kind == Kind.UNMAP:
            maps.pop(event.map, None)
        elif event.kind == Kind.READ:
            seen.append((event, maps.get(event.map)))
    return seen


rows = st.lists(
    st.one_of(
        st.builds(access, st.integers(0, 20), st.integers(1, 3)),
        st.builds(access, st.integers(0, 20), st.integers(1, 3)),
        st.builds(mapping, st.integers(1, 3), st.integers(0, 20)),
        st.builds(unmapping, st.integers(1, 3), st.integers(0, 20)),
        st.sampled_from([LOST, DAMAGE, NOTE, mark(5, b"a"), mark(6, b"b")]),
    ),
    max_size=30,
)


@given(rows, st.integers(0, 20), st.integers(0, 20), st.integers(1, 7))
def test_whatever_is_cut_every_access_still_meets_its_map(stream, one, other, size):
    numbered = [e._replace(pc=i) if e.kind == Kind.READ else e for i, e in enumerate(stream)]
    truth = {event.pc: live for event, live in live_maps(numbered)}
    for window in (Window(first=min(one, other), last=max(one, other)), Window(re.compile(b"a"), re.compile(b"b"))):
        got = run(numbered, window, size=size)
        assert all(live == truth[event.pc] for event, live in live_maps(got))
        assert [e for e in got if e in (LOST, DAMAGE)] == [e for e in numbered if e in (LOST, DAMAGE)]
    got = run(numbered, tail, one, expression="read", size=size)
    reads = [e for e in numbered if e.kind == Kind.READ]
    assert [event for event, _ in live_maps(got)] == reads[len(reads) - min(one, len(reads)) :]
    assert all(live == truth[event.pc] for event, live in live_maps(got))
    assert [e for e in got if e in (LOST, DAMAGE)] == [e for e in numbered if e in (LOST, DAMAGE)]
