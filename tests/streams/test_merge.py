"""Merging: every event of every input once, in order of time, whatever the batches; what had to change is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import read_all
from mmiotools.streams.merge import Input, merge
from mmiotools.trace.batch import Batch, Regions

Rows = list[tuple[int | None, int]]


def batches(events: list[Event], cuts: list[int]) -> Iterator[Batch]:
    """Events in batches, each stream with a table of regions of its own."""
    regions = Regions()
    at = 0
    for size in [*cuts, len(events)]:
        yield Batch.from_events(events[at : at + size], regions)
        at += size


def model(inputs: list[list[Event]], offsets: list[int]) -> list[Event]:
    """What comes out, by sorting all events at once."""
    keyed = []
    for number, (events, offset) in enumerate(zip(inputs, offsets, strict=True)):
        latest = -(1 << 80)
        for place, event in enumerate(events):
            if event.time is not None and event.kind != Kind.LOST:
                latest = max(latest, event.time + offset)
            if event.time is not None and (event.kind != Kind.LOST or event.time):
                event = event._replace(time=event.time + offset)
            keyed.append((latest, number, place, event))
    return [event for *_, event in sorted(keyed, key=lambda row: row[:3])]


KINDS = st.sampled_from([Kind.READ, Kind.WRITE, Kind.MARK, Kind.LOST])
TIMES = st.none() | st.integers(-5, 20)
EVENTS = st.lists(
    st.builds(
        lambda kind, time, name: Event(
            kind, time, region=name, offset=None if name is None else 1, extra={"text": b"x"} if kind > 2 else {}
        ),
        KINDS,
        TIMES,
        st.sampled_from([None, "a", "b", "c"]),
    ),
    max_size=12,
)


@given(st.lists(st.tuples(EVENTS, st.integers(-3, 3), st.lists(st.integers(1, 4), max_size=4)), min_size=1, max_size=4))
def test_it_is_a_stable_sort_of_all_events(inputs: list[tuple[list[Event], int, list[int]]]) -> None:
    sources = [Input(str(at), batches(events, cuts), offset) for at, (events, offset, cuts) in enumerate(inputs)]
    expected = model([events for events, _, _ in inputs], [offset for _, offset, _ in inputs])
    assert read_all(merge(sources)) == expected


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 4)), max_size=9), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), max_size=9),
)
def test_ids_of_maps_do_not_depend_on_how_the_inputs_come(inputs: list[list[tuple[int, int]]], cuts: list[int]) -> None:
    events = [[Event(Kind.READ, time, 4, map=number, addr=1, value=1) for time, number in some] for some in inputs]
    found = [
        read_all(merge([Input(str(at), batches(some, sizes)) for at, some in enumerate(events)]))
        for sizes in ([], cuts)
    ]
    assert found[0] == found[1]


def test_maps_keep_apart_and_it_is_said() -> None:
    one = [
        Event(Kind.MAP, 1, map=1, addr=0x1000),
        Event(Kind.READ, 3, 4, 1, 0x1000, value=0),
        Event(Kind.UNMAP, 9, map=1),
    ]
    two = [
        Event(Kind.MAP, 2, map=1, addr=0x2000, extra={"raw": b"MAP 0.000000002 1 0x2000 0x0 0x0 0x0 0"}),
        Event(Kind.READ, 4, 4, 1, 0x2000, value=0),
        Event(Kind.READ, 5, 4, -1, 0x2000, value=0),
        Event(Kind.READ, 6, 4, 2, 0x3000, value=0),
    ]
    said: list[str] = []
    merged = read_all(merge([Input("one", batches(one, [])), Input("two", batches(two, [2]))], said.append))
    assert [event.map for event in merged] == [1, 2, 1, 2, -1, 3, 1]
    assert "raw" not in merged[1].extra, "the spelling has the old id in it"
    assert said == ["two: ids of maps that another input has were changed: 1 is 2, 2 is 3"]


def test_what_is_said_of_times() -> None:
    back = [Event(Kind.READ, 5), Event(Kind.READ, 1), Event(Kind.READ, 6)]
    said: list[str] = []
    sources = [Input("back", batches(back, [])), Input("none", batches([Event(Kind.READ)], []))]
    assert [event.time for event in merge_events(sources, said)] == [None, 5, 1, 6]
    assert said == [
        "back: time runs backwards at 1 event; their order was kept",
        "none: has no times; its events come first",
    ]
    with pytest.raises(UsageError, match="64 bits"):
        read_all(merge([Input("far", batches([Event(Kind.READ, 1 << 62)], []), 1 << 62)]))


def merge_events(sources: list[Input], said: list[str]) -> list[Event]:
    return read_all(merge(sources, said.append))


def test_another_machine_is_noticed() -> None:
    def machine(device: int) -> list[Event]:
        return [Event(Kind.DEVICE, extra={"bdf": 0x18, "vendor": 0x8086, "device": device, "bars": []})]

    said: list[str] = []
    read_all(merge([Input("a", batches(machine(1), [])), Input("b", batches(machine(2), []))], said.append))
    assert said[0] == "00:03.0 is 8086:0001 in a, 8086:0002 in b, or lies elsewhere there"


def test_one_batch_of_each_input_is_held() -> None:
    read = [0, 0]

    def counted(number: int) -> Iterator[Batch]:
        for at in range(100):
            read[number] += 1
            yield Batch.from_events([Event(Kind.READ, 10 * at + number)])

    merged = merge([Input("a", counted(0)), Input("b", counted(1))])
    for taken in range(20):
        next(merged)
        assert max(read) <= taken + 4
