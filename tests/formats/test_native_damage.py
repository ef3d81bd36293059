"""Of a native block in whose body something is wrong, all is read that is right: a byte costs a field, not an event."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Event, Kind
from mmiotools.filters.grammar import parse
from mmiotools.filters.window import Window
from mmiotools.filters.zones import choose
from mmiotools.formats import native_layout as layout
from mmiotools.formats import open_trace
from mmiotools.formats.native import FORMAT
from mmiotools.formats.native_body import read_body
from mmiotools.formats.native_magic import SYNC
from mmiotools.formats.native_write import NativeWriter
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

pytestmark = pytest.mark.usefixtures("shared_rows")

N = 60


def some(start: int = 0) -> list[Event]:
    """A block of N events, of which two are no accesses, with all kinds of columns."""
    events = [
        Event(
            Kind(at * at % 3 % 2), (start + at) * 1000, 1 << at % 3, at % 5, 0xFEBC0000 + at * at % 64,
            value=at * 77 % 59, pc=at * at * at % 47, pid=at % 7, cpu=at % 4 or None,
        )
        for at in range(start, start + N)
    ]  # fmt: skip
    events[3] = Event(Kind.MAP, events[3].time, map=1, addr=0xFEBC0000, extra={"virt": 1 << 40, "length": 0x1000})
    events[9] = Event(Kind.MARK, events[9].time, extra={"text": b"here"})
    events[20] = events[20]._replace(extra={"raw": b"R 4"})
    events[21] = events[21]._replace(value=1 << 100)
    return events


def write(events: list[Event], block: int = N) -> bytes:
    out = io.BytesIO()
    writer = NativeWriter(out, TraceHeader("mmiotrace", "boot", 6), block)
    writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue()


def read(data: bytes) -> list[Event]:
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return [event for batch in batches for event in batch.events()]


class Place:
    """Where a block lies in a file: its frame from `at`, its body from `body`, its `columns` and its `end`."""

    def __init__(self, data: bytes, number: int = 0) -> None:
        self.at = -1
        for _ in range(number + 1):
            self.at = data.index(SYNC, self.at + 1)
        frame = layout.unpack_frame(data[self.at : self.at + layout.FRAME_SIZE])
        assert frame is not None and frame.type == layout.EVENTS
        self.body = self.at + layout.FRAME_SIZE + frame.head_length
        self.end = self.body + frame.body_length
        head = layout.unpack(data[self.at + layout.FRAME_SIZE : self.body])
        self.columns = head["columns"]
        payloads = layout.unpack(data[self.body : self.end])
        self.spans = {name: (at := data.index(item, self.body), at + len(item)) for name, item in payloads.items()}


def flipped(data: bytes, at: int, by: int = 0x10) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


def without(events: list[Event], name: str) -> list[Event]:
    """The events as they are when a column is lost."""
    if name == "extras":
        kept = [event for event in events if event.kind <= Kind.UNKNOWN]
        return [event._replace(extra={}, value=None if (event.value or 0) >> 64 else event.value) for event in kept]
    wide = {at for at, event in enumerate(events) if name == "value" and (event.value or 0) >> 64}
    lacks: dict[str, Any] = {name: None}
    return [event if at in wide else event._replace(**lacks) for at, event in enumerate(events)]


def parted(found: list[Event]) -> tuple[list[Event], list[Event]]:
    """The notes of damage, and the rest."""
    return [event for event in found if event.damaged], [event for event in found if not event.damaged]


COLUMNS = ["time", "width", "map", "addr", "value", "pc", "pid", "cpu", "extras"]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_wrong_byte_costs_its_column(name: str) -> None:
    before, events, after = some(), some(N), some(2 * N)
    data = write(before + events + after)
    place = Place(data, 1)
    for at in range(*place.spans[name]):
        notes, rest = parted(read(flipped(data, at)))
        assert rest == before + without(events, name) + after
        lost = len(events) - len(without(events, name))
        assert [(note.extra["events"], note.extra["offset"]) for note in notes] == [(lost, place.at)]
        assert f"'{name}' is lost" in notes[0].extra["reason"]


def test_a_wrong_kind_costs_the_block() -> None:
    data = write(some() + some(N))
    for at in range(*Place(data).spans["kind"]):
        notes, rest = parted(read(flipped(data, at)))
        assert rest == some(N) and [note.extra["events"] for note in notes] == [N]


def test_what_is_between_the_payloads_costs_no_more_than_what_it_is_about() -> None:
    events = some()
    data = write(events + some(N))
    place = Place(data)
    inside = {at for span in place.spans.values() for at in range(*span)}
    silent = 0
    for at in range(place.body, place.end):
        if at not in inside:
            for by in (0x01, 0x80, 0xFF):
                notes, rest = parted(read(flipped(data, at, by)))
                assert rest == events + some(N), at
                assert [note.extra["events"] for note in notes] == [0]
                silent += not notes
    assert not silent


def test_several_columns_are_told_together() -> None:
    events = some()
    data = write(events)
    spans = Place(data).spans
    for name in ("value", "extras"):
        data = flipped(data, spans[name][0])
    notes, rest = parted(read(data))
    assert rest == without(without(events, "extras"), "value")
    assert [note.extra["reason"] for note in notes] == [
        f"a block of {N} events is damaged: its columns 'value', 'extras' are lost, and with it 2 events"
    ]


@pytest.mark.parametrize("much", [1, 3, 30])
@pytest.mark.parametrize("way", ["dropped", "inserted"])
def test_lengths_are_not_believed_where_bytes_are_missing_or_too_many(way: str, much: int) -> None:
    events = some()
    data = write(events + some(N) + some(2 * N))
    place = Place(data)
    names = list(place.columns)
    for name in ("time", "pid"):
        at = place.spans[name][0] + 5
        broken = data[:at] + (bytes(much) + data[at:] if way == "inserted" else data[at + much :])
        notes, rest = parted(read(broken))
        expected = events
        for lost in names[names.index(name) :]:
            if place.columns[lost][2]:
                expected = without(expected, lost)
        assert rest == expected + some(N) + some(2 * N)
        assert notes[0].extra["events"] == 2


def test_a_gap_before_it_is_a_note_of_its_own() -> None:
    data = write(some() + some(N) + some(2 * N))
    data = flipped(data, Place(data, 1).spans["pc"][0])
    first = Place(data)
    notes, rest = parted(read(data[: first.at] + data[first.end :]))
    assert rest == without(some(N), "pc") + some(2 * N)
    # The last: the trailer is no longer where it says.
    assert [note.extra["events"] for note in notes] == [N, 0, 0]
    assert "'pc' is lost" in notes[1].extra["reason"]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("text", ["write", "addr == 0xfebc0004", "time >= 70us and read", "value == 5", "pid in 2-3"])
def test_readers_that_leave_things_out_find_the_same(name: str, text: str, tmp_path: Path) -> None:
    data = write([event for start in range(0, 12 * N, N) for event in some(start)])
    for number in (0, 3, 11):
        data = flipped(data, Place(data, number).spans[name][0])
    path = tmp_path / "x.mmio"
    path.write_bytes(data)
    everything = tmp_path / "x.jsonl"
    assert run(["convert", "-q", str(path), "-o", str(everything)]) == 3
    results, lines = {}, []
    for source in (path, everything):
        printed = tmp_path / f"{source.suffix}.txt"
        assert run(["filter", "-q", "--bare", "-t", "mmiotrace", text, str(source), "-o", str(printed)]) == 3
        lines.append([line for line in printed.read_bytes().splitlines() if not line.startswith(b"#")])
        out = tmp_path / f"{source.suffix}.jsonl"
        assert run(["filter", "-q", "--bare", text, str(source), "-o", str(out)]) == 3
        # A block that holds nothing of what is looked for is not read, and its damage not met.
        results[source] = parted(events_of(out))
    assert lines[0] == lines[1]
    assert results[path][1] == results[everything][1]
    assert all(note in results[everything][0] for note in results[path][0])
    counted = [sum(trace_.result for trace_ in open_trace(str(path)).map(len))]
    assert counted == [len(read(data))]
    chosen = open_trace(str(path), "native", frozenset({"kind"}), choose(parse("write or not write"), Window()))
    assert sum(len(batch) for batch in chosen.batches) == len(read(data))


def events_of(path: Path) -> list[Event]:
    return [event for batch in open_trace(str(path)).batches for event in batch.events()]


# -- repair ----------------------------------------------------------------------------------------------------


def repaired(data: bytes, tmp_path: Path) -> list[Event]:
    path, out = tmp_path / "broken.mmio", tmp_path / "out.mmio"
    path.write_bytes(data)
    assert run(["check", "-q", "--repair", str(out), str(path)]) == 1
    again = tmp_path / "again.mmio"
    run(["check", "-q", "--repair", str(again), str(out)])
    assert again.read_bytes() == out.read_bytes()
    return events_of(out)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_repair_keeps_what_is_left_and_says_what_is_lost(name: str, tmp_path: Path) -> None:
    data = write(some() + some(N))
    notes, rest = parted(repaired(flipped(data, Place(data).spans[name][0]), tmp_path))
    assert rest == without(some(), name) + some(N)
    assert len(notes) == 1 and f"'{name}' is lost" in notes[0].extra["reason"]


def test_a_repair_puts_what_the_footer_has_into_its_place(tmp_path: Path) -> None:
    events = [event for start in range(0, 12 * N, N) for event in some(start)]
    data = write(events)
    notes, rest = parted(repaired(flipped(data, Place(data, 5).spans["extras"][0]), tmp_path))
    part = some(5 * N)
    left = iter(without(part, "extras"))
    merged = [event if event.kind > Kind.UNKNOWN else next(left) for event in part]
    assert rest == events[: 5 * N] + merged + events[6 * N :]
    assert [note.extra["events"] for note in notes] == [0]


def test_a_repair_says_nothing_where_nothing_is_lost(tmp_path: Path) -> None:
    data = write(some() + some(N))
    assert repaired(flipped(data, Place(data).body), tmp_path) == some() + some(N)


def test_a_repair_that_makes_a_block_anew_names_the_columns_that_it_cannot_read(tmp_path: Path) -> None:
    data = write(some())
    place = Place(data)
    frame = layout.unpack_frame(data[place.at : place.at + layout.FRAME_SIZE])
    assert frame is not None
    start = place.at + layout.FRAME_SIZE
    head = layout.unpack(data[start : place.body])
    head["columns"]["pid"][0] = 99
    packed = layout.pack(head)
    frame = frame._replace(head_length=len(packed), head_crc=zlib.crc32(packed))
    later = data[: place.at] + layout.pack_frame(frame) + packed + data[place.body : place.end]
    # Whatever stands behind: only the block is looked at.
    at = len(later) - (place.end - place.spans["pc"][0])
    notes, rest = parted(repaired(flipped(later, at), tmp_path))
    assert rest == without(without(some(), "pid"), "pc")
    assert "'pc', 'pid' are lost" in notes[0].extra["reason"]


# -- bodies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 15, 16, 40])
@pytest.mark.parametrize("size", [1, 255, 256, 65535, 65536])
def test_payloads_are_found_without_the_map(count: int, size: int) -> None:
    sizes = [size if number == 1 else 3 for number in range(count)]
    columns = {f"{'n' * (number % 40)}{number}": bytes([number]) * much for number, much in enumerate(sizes)}
    directory = {name: [1, 8, len(item), zlib.crc32(item), None] for name, item in columns.items()}
    directory["constant"] = [0, 8, 0, 0, 7]
    packed = layout.pack(columns)
    assert read_body(directory, packed) == (columns | {"constant": b""}, (), True)
    body = read_body(directory, b"\xc1" + packed[1:])
    assert (body.payloads, body.lost, body.sound) == (columns | {"constant": b""}, (), False)
    for lying in (None, "x", -5, 1.5, 1 << 70):
        try:
            lost = read_body(directory | {"liar": [1, 8, lying, 0, None]}, packed).lost
        except TypeError:
            continue
        assert lost == ("liar",)


def test_a_file_that_begins_with_a_block_is_read_from_it_on(tmp_path: Path) -> None:
    events = [event for start in (0, N) for event in some(start)]
    data = write(events)
    data = data[data.find(SYNC) :]
    path = tmp_path / "x.mmio"
    path.write_bytes(data)
    from_file = [event for batch in open_trace(str(path)).batches for event in batch.events()]
    for found in (read(data), from_file):
        assert found[1:] == events + found[-1:]
        # Where the footer lies is not where it says.
        assert [event.extra["reason"] for event in (found[0], found[-1])] == [
            "the file header is damaged",
            "the file's last bytes are damaged",
        ]
        assert [event.extra["events"] for event in (found[0], found[-1])] == [0, 0]
