"""QEMU's binary traces: what QEMU's own reader says of them, every event's arguments, damage, hostile lengths."""

from __future__ import annotations

import io
import lzma
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import qemu_events, qemu_simple
from mmiotools.formats.qemu_simple import FORMAT
from mmiotools.formats.qemu_simple_layout import DROPPED, LAYOUTS, LONGEST
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch

SAMPLE = Path(__file__).parents[2] / "samples" / "qemu-simple" / "seabios-e1000-qemu7.2.simple.xz"
EXPECTED = Path(__file__).parent / "expected" / "seabios-e1000-qemu7.2.simpletrace.txt.xz"
NAMES = ["memory_region_ops_read", "memory_region_ops_write", "memory_region_subpage_read", "vfio_region_write"]
NAMES += ["vfio_region_read", "ioapic_set_irq", "e1000_receiver_overrun"]


def header(order: str = "<", version: int = 4) -> bytes:
    return struct.pack(order + "QQQ", 2**64 - 1, 0xF2B177CB0AA429B4, version)


def mapping(number: int, name: str, order: str = "<") -> bytes:
    return struct.pack(order + "QQI", 0, number, len(name)) + name.encode()


def record(number: int, time: int, *arguments: int | str, order: str = "<", pid: int = 7) -> bytes:
    payload = b""
    for argument in arguments:
        if isinstance(argument, str):
            payload += struct.pack(order + "I", len(argument)) + argument.encode()
        else:
            payload += struct.pack(order + "Q", argument & 2**64 - 1)
    return struct.pack(order + "QQQII", 1, number, time, 24 + len(payload), pid) + payload


def head(order: str = "<") -> bytes:
    return header(order) + b"".join(mapping(number, name, order) for number, name in enumerate(NAMES))


def batches(data: bytes) -> list[Batch]:
    _, found = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return list(found)


def read(data: bytes) -> list[Event]:
    """The events behind the first, which is the file header."""
    events = [event for batch in batches(data) for event in batch.events()]
    assert events[0] == Event(Kind.HEADER, extra={"format": "qemu-simple", "version": "4"})
    return events[1:]


def lost(events: list[Event]) -> int:
    return sum(event.extra["events"] for event in events if event.extra.get("damaged"))


# -- what QEMU's own reader says ---------------------------------------------------------------------------------


def as_simpletrace(events: list[Event]) -> list[str]:
    """Accesses as QEMU's simpletrace.py prints them: what happened since the event before, in microseconds."""
    lines = []
    before: int | None = None
    for event in events:
        assert event.time is not None and event.cpu is not None and event.value is not None
        since = 0 if before is None else event.time - before
        before = event.time
        where = f"addr={event.addr:#x}" if event.addr is not None else f"offset={event.offset:#x}"
        name = "memory_region_" + ("ops" if event.addr is not None else "subpage") + f"_{event.kind.name.lower()}"
        region = "" if event.region is None else f" name={event.region.encode()!r}"
        cpu = event.cpu & 2**64 - 1
        lines.append(
            f"{name} {since / 1000.0:0.3f} pid={event.pid} cpu_index={cpu:#x} mr={event.extra['mr']:#x} {where} "
            f"value={event.value:#x} size={event.width:#x}{region}"
        )
    return lines


def test_a_recording_reads_as_qemu_itself_reads_it() -> None:
    events = read(lzma.decompress(SAMPLE.read_bytes()))
    assert as_simpletrace(events) == lzma.decompress(EXPECTED.read_bytes()).decode().splitlines()


def test_both_byte_orders_say_the_same() -> None:
    both = []
    for order in "<>":
        records = [
            record(0, 1000, -1, 0x55D0, 0xFEE00000, 0, 4, "apic-msi", order=order),
            record(1, 2000, 3, 0x55D1, 0x70, 0x8F, 1, "rtc-index", order=order),
            record(0, 2500, 0, 0x55D1, 0xFEBC0008, 0x80080783, 4, order=order),
            record(2, 3000, 0, 0x7FB7, 0x1, 0xFF, 1, order=order),
            record(3, 4000, "0000:03:00.0", 2, 0x26E120, 0x2C36, 8, order=order),
            record(4, 5000, "0000:03:00.0", 0, 0x4, 4, 0x80, order=order),
            record(5, 6000, 11, 1, order=order),
            record(6, 7000, 0xABCD, order=order),
            record(DROPPED, 9000, 17, order=order),
            record(6, 8000, order=order),
        ]
        both.append(read(head(order) + b"".join(records)))
    little, big = both
    payloads = {row: event.extra["text"] for row, event in enumerate(little) if event.kind == Kind.NOTE}
    assert payloads == {7: b"e1000_receiver_overrun cdab000000000000", 9: b"e1000_receiver_overrun"}
    assert [e for e in little if e.kind != Kind.NOTE] == [e for e in big if e.kind != Kind.NOTE]
    assert little[:7] == [
        Event(Kind.READ, 1000, 4, None, 0xFEE00000, "apic-msi", None, 0, None, 7, -1, {"mr": 0x55D0}),
        Event(Kind.WRITE, 2000, 1, None, 0x70, "rtc-index", None, 0x8F, None, 7, 3, {"mr": 0x55D1}),
        Event(Kind.READ, 2500, 4, None, 0xFEBC0008, None, None, 0x80080783, None, 7, 0, {"mr": 0x55D1}),
        Event(Kind.READ, 3000, 1, None, None, None, 1, 0xFF, None, 7, 0, {"mr": 0x7FB7}),
        Event(Kind.WRITE, 4000, 8, None, None, "03:00.0/BAR2", 0x26E120, 0x2C36, None, 7),
        Event(Kind.READ, 5000, 4, None, None, "03:00.0/BAR0", 0x4, 0x80, None, 7),
        Event(Kind.IRQ, 6000, pid=7, extra={"source": "ioapic_set_irq", "vector": 11, "level": 1}),
    ]
    assert little[8] == Event(Kind.LOST, 9000, pid=7, extra={"count": 17})


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_known_event_is_understood_in_each_version(name: str) -> None:
    data = header() + mapping(0, name)
    for layout in LAYOUTS[name]:
        data += record(0, 5, *("a text" if argument.endswith("$") else 4 for argument in layout))
    events = read(data)
    assert len(events) == len(LAYOUTS[name]) and not lost(events)
    if name.startswith("pci_cfg"):
        assert all(event.kind == Kind.NOTE and event.value == 4 for event in events)
        assert events[0].region == "04:04.4/config"
    else:
        kinds = {Kind.IRQ} if "irq" in name or "interrupt" in name else {Kind.READ, Kind.WRITE}
        assert {event.kind for event in events} <= kinds


def test_names_may_come_late_and_change() -> None:
    data = header() + mapping(0, NAMES[0]) + record(0, 1, 0, 0, 0x10, 1, 1) + mapping(1, NAMES[1])
    data += record(1, 2, 0, 0, 0x10, 2, 1) + mapping(0, NAMES[1]) + record(0, 3, 0, 0, 0x10, 3, 1)
    assert [(event.kind, event.value) for event in read(data)] == [(Kind.READ, 1), (Kind.WRITE, 2), (Kind.WRITE, 3)]


def test_files_one_behind_the_other() -> None:
    one = header() + mapping(0, NAMES[0]) + record(0, 1, 0, 0, 0x10, 1, 1)
    two = header() + mapping(0, NAMES[1]) + record(0, 1, 0, 0, 0x10, 2, 1)
    kinds = [event.kind for event in read(one + two)]
    assert kinds == [Kind.READ, Kind.HEADER, Kind.WRITE]


def test_names_of_regions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_events, "MOST_REGIONS", 3)
    data = head() + b"".join(record(0, n, 0, 0, 0xFEBC0000, n, 1, f"n{n % 5}") for n in range(50))
    found = batches(data)
    assert max(len(batch.regions.names) for batch in found) == 3
    events = [event for batch in found for event in batch.events()][1:]
    assert [event.value for event in events] == list(range(50))
    assert events[4].region is None and events[4].extra["raw"] == b"n4"


# -- damage ------------------------------------------------------------------------------------------------------

RECORDS = [
    record(0, 1000, -1, 0x55D0, 0xFEE00000, 0, 4, "apic-msi"),
    record(1, 2000, 3, 0x55D1, 0x70, 0x8F, 1, "rtc-index"),
    record(3, 4000, "0000:03:00.0", 2, 0x26E120, 0x2C36, 8),
    record(5, 6000, 11, 1),
    record(2, 7000, 0, 0x7FB7, 0x1, 0xFF, 1),
    record(0, 8000, 0, 0x55D1, 0xFEBC0008, 0x80080783, 4),
]
DATA = head() + b"".join(RECORDS)


def test_a_cut_is_damage_or_between_records() -> None:
    whole = read(DATA)
    ends = [len(head())]
    for one in RECORDS:
        ends.append(ends[-1] + len(one))
    for at in range(len(head()), len(DATA)):
        events = read(DATA[:at])
        complete = sum(end <= at for end in ends[1:])
        assert events[:complete] == whole[:complete]
        assert [event.extra.get("reason") for event in events[complete:]] == (
            [] if at in ends else ["the last record is cut off"]
        )
        assert all(event.extra["offset"] == ends[complete] for event in events[complete:])


def test_no_change_of_one_byte_loses_an_event_silently() -> None:
    """The number and the contents of an event may be changed into another's; what follows is never lost unsaid."""
    whole = read(DATA)
    for at in range(len(head()), len(DATA)):
        for bit in range(8):
            changed = bytearray(DATA)
            changed[at] ^= 1 << bit
            events = read(bytes(changed))
            good = [event for event in events if not event.extra.get("damaged")]
            assert len(good) == len(whole) or lost(events), (at, bit)
            assert len(good) >= len(whole) - 2, (at, bit)


@pytest.mark.parametrize("length", [0, 23, LONGEST + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_absurd_lengths_are_refused(length: int) -> None:
    bad = struct.pack("<QQQII", 1, 0, 5, length, 7)
    events = read(head() + bad + b"".join(RECORDS))
    assert [event.extra.get("reason") for event in events[:1]] == ["bytes that are no record"]
    assert events[1:] == read(DATA)
    long_name = struct.pack("<QQI", 0, 99, length | 1 << 20)
    events = read(head() + long_name + b"".join(RECORDS))
    assert events[0].extra["damaged"] and events[1:] == read(DATA)


def test_an_event_without_name_is_damage_of_one_event() -> None:
    events = read(head() + record(77, 5, 1, 2, 3) + b"".join(RECORDS))
    assert events[0].extra["reason"] == "event 77 has no name in this file"
    assert events[1:] == read(DATA)


def test_a_record_that_is_not_its_event_is_damage_of_one_event() -> None:
    bad = record(0, 5, 1, 2, 3)
    events = read(DATA + bad + b"".join(RECORDS))
    assert events[: len(RECORDS)] == read(DATA) == events[len(RECORDS) + 1 :]
    assert events[len(RECORDS)].extra["reason"] == "a malformed record"


def test_much_garbage_comes_in_pieces_and_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = bytes(range(1, 255)) * 9000
    events = read(head() + garbage + b"".join(RECORDS))
    notes = [event for event in events if event.extra.get("damaged")]
    assert b"".join(event.extra["text"] for event in notes) == garbage
    assert max(len(event.extra["text"]) for event in notes) <= 1 << 16
    assert lost(events) == 1
    assert events[len(notes) :] == read(DATA)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("version", "said"),
    [
        (0, "version 0 .* QEMU 0.13 to 1.1, numbers .* scripts/simpletrace.py, or record with QEMU 2.8 or later"),
        (2, "version 2 .* QEMU 1.2 to 2.0, numbers events "),
        (3, "version 3 .* QEMU 2.1 to 2.7, numbers events "),
        (1, "version 1 .* is not known; 4 is the one"),
        (5, "version 5 .* is not known; 4 is the one"),
    ],
)
def test_other_versions_are_refused_and_what_to_do_is_said(version: int, said: str, order: str) -> None:
    with pytest.raises(FormatError, match=f"^x: {said}") as refused:
        FORMAT.read(ByteSource(io.BytesIO(header(order, version)), "x"))
    assert "\n" not in str(refused.value)


def test_a_cut_header_is_refused() -> None:
    with pytest.raises(FormatError, match="cut off"):
        FORMAT.read(ByteSource(io.BytesIO(header()[:20]), "x"))


# -- the stream --------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(RECORDS) | st.binary(max_size=60) | st.just(mapping(6, "other")), max_size=30),
    st.integers(1, 90),
    st.integers(1, 9),
)
def test_pieces_of_any_size_give_the_same(some: list[bytes], size: int, room: int) -> None:
    data = head() + b"".join(some)

    class Slow(ByteSource):
        def read(self, n: int = 0) -> bytes:
            return super().read(size)

    _, found = FORMAT.read(Slow(io.BytesIO(data), "x"))
    usual = qemu_simple.MAX_EVENTS
    expected = [event for batch in batches(data) for event in batch.events()]
    try:
        qemu_simple.MAX_EVENTS = room
        events = [event for batch in found for event in batch.events()]
    finally:
        qemu_simple.MAX_EVENTS = usual
    good = [event for event in events if not event.extra.get("damaged")]
    assert good == [event for event in expected if not event.extra.get("damaged")]
    assert lost(events) == lost(expected)
