"""Binary streams of records: sub-buffers, padding, hostile lengths, other versions, what other formats give them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS
from mmiotools.formats.base import Sniff, read_all
from mmiotools.formats.records import PIECE
from mmiotools.formats.relay_layout import SUBBUFFER
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples"


def read(name: str, data: bytes) -> tuple[TraceHeader, list[Batch]]:
    header, batches = FORMATS.get(name).read(ByteSource(io.BytesIO(data), "x"))
    return header, list(batches)


def events(name: str, data: bytes) -> list[Event]:
    return read_all(iter(read(name, data)[1]))


def write(name: str, header: TraceHeader, batches: list[Batch]) -> tuple[bytes, dict[str, int]]:
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, header)
    for batch in batches:
        writer.write(batch)
    writer.close()
    return out.getvalue(), dict(+writer.lost)


def relay(opcode: int, body: bytes, width: int = 0, padding: int = 0, version: int = 4) -> bytes:
    word = 0x6F000000 | version << 16 | width << 8 | opcode
    return struct.pack("<IIIIHH", word, 1, 2, 3, len(body), padding) + body


def access(virt: int, value: int = 1, padding: int = 0) -> bytes:
    return relay(1, struct.pack("<QQQ", virt, value, 0), 4, padding)


def probe(phys: int, virt: int, length: int) -> bytes:
    return relay(3, struct.pack("<QQQQ", phys, virt, length, 0))


def test_padding_of_a_header_is_a_column_and_comes_back() -> None:
    data = probe(0x1000, 0x8000, 64) + access(0x8000, padding=0xBEEF) + access(0x8004)
    header, batches = read("relay", data)
    assert batches[0].data("padding").tolist() == [0, 0xBEEF, 0]
    assert write("relay", header, batches) == (data, {})


@pytest.mark.parametrize("left", [bytes(24), b"\x17" * 24])
def test_the_end_of_a_sub_buffer_is_no_damage(left: bytes) -> None:
    mark = relay(5, b"x" * 1000)
    fill = SUBBUFFER - 24 - 44
    first = access(0x8000) + mark * (fill // len(mark))
    first += relay(5, b"y" * (SUBBUFFER - 24 - len(first) - 20))
    data = first + left + access(0x8004)
    header, batches = read("relay", data)
    found = read_all(iter(batches))
    assert not any(event.extra.get("damaged") for event in found)
    assert [event.kind for event in found[-2:]] == [Kind.NOTE, Kind.READ]
    assert write("relay", header, batches) == (data, {})


def test_a_probe_ends_those_that_it_lies_over() -> None:
    data = probe(0x1000, 0x8000, 0x100) + probe(0x5000, 0x8080, 0x100) + access(0x8000) + access(0x8080)
    *_, outside, inside = events("relay", data)
    assert (outside.region, outside.offset, outside.map) == ("virt", 0x8000, None)
    assert (inside.addr, inside.map) == (0x5000, 2)


def test_many_probes_alternating_with_accesses() -> None:
    pairs = [probe(n << 12, n << 13, 0x1000) + access((n << 13) + 8) for n in range(1, 2000)]
    found = [event for event in events("relay", b"".join(pairs)) if event.kind == Kind.READ]
    assert [event.addr for event in found] == [(n << 12) + 8 for n in range(1, 2000)]


def test_another_version_is_refused() -> None:
    data = relay(1, bytes(24), 4, version=3)
    assert FORMATS.get("relay").sniff(data) == Sniff.LIKELY
    with pytest.raises(FormatError, match="version 3"):
        read("relay", data * 5)


def test_a_mark_of_a_wrong_length_swallows_no_records() -> None:
    mark = bytearray(relay(5, b"hello"))
    mark[16:18] = b"\xff\xff"
    found = events("relay", bytes(mark) + access(0x8000) * 2000)
    assert found[0].extra["damaged"] and len(found) == 2001


@pytest.mark.parametrize("name", ["relay", "mmt"])
def test_garbage_between_comes_in_pieces_and_is_counted_once(name: str) -> None:
    path = next(path for path in sorted((SAMPLES / name).iterdir()) if path.stem == "oddities")
    good = path.read_bytes()
    data = good + b"\xfe" * (5 << 20) + good
    header, batches = read(name, data)
    found = read_all(iter(batches))
    damage = [event.extra for event in found if event.extra.get("damaged")]
    assert max(len(extra["text"]) for extra in damage) <= PIECE
    assert sum(bool(extra["events"]) for extra in damage) == 1
    assert len(found) - len(damage) == 2 * len(events(name, good))
    assert write(name, header, batches) == (data, {})


def test_a_length_of_four_gigabytes_is_refused() -> None:
    dump = b"y" + struct.pack("<QI", 0, 0xFFFFFFFF) + b"\n"
    store = b"w" + struct.pack("<IIBI", 1, 0, 4, 7) + b"\n"
    found = events("mmt", b"==1== x\n" + store + dump + store * 3)
    assert [event.kind for event in found] == [Kind.NOTE, Kind.WRITE, Kind.NOTE] + [Kind.WRITE] * 3
    assert found[2].extra["damaged"]


def test_text_inside_a_record_costs_that_record_alone() -> None:
    store = b"w" + struct.pack("<IIBI", 1, 0x10, 4, 7) + b"\n"
    found = events("mmt", b"==1== x\n" + store + store[:8] + b"--1-- late\n" + store[8:] + store * 2)
    assert [event.kind for event in found if not event.extra.get("damaged")].count(Kind.WRITE) == 3


def test_a_text_trace_becomes_records_and_comes_back() -> None:
    source = FORMATS.get("mmiotrace")
    text = (SAMPLES / "mmiotrace" / "nvme-linux6.1.mmiotrace").read_bytes()
    header, batches = read("mmiotrace", text)
    data, lost = write("relay", header, batches)
    assert set(lost) == {"HEADER", "DEVICE"}
    out = io.BytesIO()
    writer = source.writer(out, TraceHeader("relay"))
    for batch in read("relay", data)[1]:
        writer.write(batch)
    kept = [line for line in text.splitlines() if line.startswith((b"R ", b"W ", b"M", b"U"))]
    assert [line for line in out.getvalue().splitlines() if line] == kept


def test_what_a_stream_cannot_hold_is_named() -> None:
    some = [
        Event(Kind.READ, 0, 4, region="uart", offset=4, value=1),
        Event(Kind.WRITE, 0, 3, 1, region="map1", offset=4, value=1),
        Event(Kind.WRITE, 0, 2, 1, region="map1", offset=4, value=0x12345),
        Event(Kind.LOST, extra={"count": 1}),
        Event(Kind.READ, 0, 4, extra={"raw": b"spelled otherwise"}),
    ]
    data, lost = write("mmt", TraceHeader("mmiotrace"), [Batch.from_events(some)])
    assert data == b"w" + struct.pack("<IIBH", 1, 4, 2, 0x2345) + b"\n"
    assert lost == {
        "upper bits of values wider than their access": 1,
        "READ in no map": 2,
        "WRITE of a width, value or offset that has no record": 1,
        "LOST": 1,
        "time": 1,
    }
    assert write("relay", TraceHeader("mmiotrace"), [Batch.from_events(some)])[0] == b""


@pytest.mark.parametrize("length", [1 << 64, (1 << 202) + 5])
def test_a_map_of_more_than_64_bits_is_named(length: int) -> None:
    some = [
        Event(Kind.MAP, 0, map=1, addr=0x1000, extra={"virt": 0x8000, "length": length}),
        Event(Kind.READ, 0, 4, 1, addr=0x1004, value=5),
        Event(Kind.UNMAP, 0, map=1),
        Event(Kind.MAP, 0, map=2, addr=0x1000, extra={"virt": length + 7, "length": 16}),
        Event(Kind.READ, 0, 4, 2, addr=0x1004, value=5),
        Event(Kind.UNMAP, 0, map=2),
    ]
    data, lost = write("relay", TraceHeader("mmiotrace"), [Batch.from_events(some)])
    assert lost == {
        "MAP with a number of more than 64 bits": 2,
        "UNMAP with a number of more than 64 bits": 1,
        "READ outside every map": 1,
    }
    assert [event.kind for event in events("relay", data)] == [Kind.READ, Kind.UNMAP]


def test_another_format_does_not_take_the_bytes_for_its_own() -> None:
    data = (SAMPLES / "mmt" / "oddities.mmt").read_bytes()
    header, batches = read("mmt", data + b"\x01\xff")
    text, _ = write("mmiotrace", header, batches)
    assert text.isascii() and b'# mmiotools damaged: {"events":1' in text
