"""Splitting: every part stands alone, and together they are the trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.streams import split
from mmiotools.streams.split import Cut, Writer, by_count, by_device, by_mark, by_size, by_time, write_parts
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.batch import Batch

HEADER = Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"})


def device(bdf: int, addr: int) -> Event:
    bar = {"number": 0, "addr": addr, "size": 0x1000, "flags": 0}
    return Event(Kind.DEVICE, extra={"bdf": bdf, "vendor": 1, "device": 2, "irq": 0, "bars": [bar], "driver": ""})


def parts_of(events: list[Event], rule: Callable[[Iterator[Batch]], Iterator[Cut]], size: int = 3) -> list[list[Event]]:
    parts: list[list[Event]] = []

    def next_part() -> Writer:
        parts.append([])
        return lambda batch: parts[-1].extend(batch.events())

    write_parts(rule(in_batches(events, size)), next_part)
    return parts


def in_batches(events: list[Event], size: int) -> Iterator[Batch]:
    return (Batch.from_events(events[at : at + size]) for at in range(0, len(events), size))


def where(events: list[Event]) -> list[tuple[str | None, int, int | None]]:
    """Region, offset and time of each access."""
    addresses = AddressMap()
    batch = Batch.from_events(events)
    resolved = addresses.resolve(batch)
    found = []
    for row, (code, offset) in enumerate(zip(resolved.region.tolist(), resolved.offset.tolist(), strict=True)):
        if batch.accesses[row]:
            found.append((addresses.regions[code].name if code >= 0 else None, offset, batch.event(row).time))
    return found


READ = st.builds(
    lambda time, map, addr: Event(Kind.READ, time, 4, map, addr, value=0),
    st.integers(0, 30),
    st.integers(1, 3),
    st.sampled_from([0x10000, 0x2010, 0x5000]),
)
MAP = st.builds(
    lambda map, addr: Event(Kind.MAP, 0, map=map, addr=addr, extra={"length": 0x100}),
    st.integers(1, 3),
    st.sampled_from([0x2000, 0x5000]),
)
OTHER = st.sampled_from(
    [
        HEADER,
        device(8, 0x10000),
        Event(Kind.UNMAP, 0, map=1),
        Event(Kind.MARK, extra={"text": b"go"}),
        damaged("torn", line=3),
    ]
)
EVENTS = st.lists(READ | MAP | OTHER, max_size=25)
RULES: list[Callable[[Iterator[Batch]], Iterator[Cut]]] = [
    lambda batches: by_count(batches, 4),
    lambda batches: by_time(batches, 7),
    lambda batches: by_mark(batches, re.compile(b"g")),
]


@given(EVENTS, st.sampled_from(RULES), st.integers(1, 9))
def test_parts_stand_alone_and_make_up_the_trace(
    events: list[Event], rule: Callable[[Iterator[Batch]], Iterator[Cut]], size: int
) -> None:
    parts = parts_of(events, rule, size)
    assert [place for part in parts for place in where(part)] == where(events)
    told = [event for event in events if event.extra.get("damaged") or event.kind == Kind.MARK]
    assert [e for part in parts for e in part if e.extra.get("damaged") or e.kind == Kind.MARK] == told
    assert all(parts)


def test_where_it_cuts() -> None:
    reads = [Event(Kind.READ, time) for time in (10, 11, 20, 19, 35, 36)]
    reads.insert(3, Event(Kind.LOST, 0, extra={"count": 1}))
    assert [len(part) for part in parts_of(reads, lambda batches: by_count(batches, 5))] == [5, 2]
    assert [[event.time for event in part] for part in parts_of(reads, lambda batches: by_time(batches, 10))] == [
        [10, 11],
        [20, 0, 19],
        [35, 36],
    ]


@pytest.mark.parametrize("at_once", [1, 100])
def test_parts_of_some_size(at_once: int) -> None:
    parts: list[list[Event]] = []

    def written() -> int:
        # An event is ten bytes, of which so many events' are written at once.
        return len(parts[-1]) // at_once * at_once * 10 if parts else 0

    def next_part() -> Writer:
        parts.append([])
        return lambda batch: parts[-1].extend(batch.events())

    events = [Event(Kind.READ, time) for time in range(2000)]
    write_parts(by_size(in_batches(events, 700), 1005, written), next_part)
    assert [event for part in parts for event in part] == events
    sizes = [len(part) for part in parts[:-1]]
    assert set(sizes) == {101} if at_once == 1 else all(101 <= size <= 200 + 256 for size in sizes)


def test_far_times_are_far_apart() -> None:
    events = [Event(Kind.READ, -(1 << 63)), Event(Kind.READ, (1 << 63) - 1)]
    assert len(parts_of(events, lambda batches: by_time(batches, 1 << 62))) == 2


def test_what_a_part_begins_with() -> None:
    mapped = Event(Kind.MAP, 0, map=1, addr=0x2000)
    gone = Event(Kind.MAP, 0, map=2, addr=0x3000)
    events = [
        HEADER,
        HEADER,
        device(8, 0x10000),
        mapped,
        gone,
        Event(Kind.UNMAP, 1, map=2),
        Event(Kind.READ, 2),
        Event(Kind.READ, 3),
    ]
    parts = parts_of(events, lambda batches: by_count(batches, 7))
    assert parts[1] == [HEADER, device(8, 0x10000), mapped, Event(Kind.READ, 3)]


def device_parts(events: list[Event], size: int = 4) -> dict[str, list[Event]]:
    parts: dict[str, list[Event]] = {}

    def open_part(name: str) -> Writer:
        parts[name] = []
        return lambda batch: parts[name].extend(batch.events())

    by_device(in_batches(events, size), open_part)
    return parts


@given(st.integers(1, 12))
def test_a_part_for_each_device(size: int) -> None:
    one, two, else_ = (Event(Kind.READ, 1, 4, addr=addr, value=0) for addr in (0x10000, 0x20000, 0x90000))
    torn, mark = damaged("torn", line=1), Event(Kind.MARK, extra={"text": b"m"})
    events = [HEADER, torn, device(8, 0x10000), device(16, 0x20000), two, mark, one, else_, two, torn]
    first = [HEADER, torn, device(8, 0x10000), device(16, 0x20000)]
    assert device_parts(events, size) == {
        "00:02.0": [*first, two, mark, two, torn],
        "00:01.0": [HEADER, *first[2:], one, torn],
        "elsewhere": [HEADER, *first[2:], else_, torn],
    }


def test_without_accesses_and_with_too_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_parts([HEADER, damaged("torn")]) == {"elsewhere": [HEADER, damaged("torn")]}
    monkeypatch.setattr(split, "_MAX_HELD", 2)
    named = [Event(Kind.READ, region=f"card{number}/BAR0", offset=0) for number in range(3)]
    assert list(device_parts([HEADER] * 5 + named)) == ["elsewhere", "card0", "card1", "card2"]
    monkeypatch.setattr(split, "MAX_OPEN", 2)
    with pytest.raises(UsageError, match="more than 2 devices"):
        device_parts(named)
