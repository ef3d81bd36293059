"""formats/native.md is complete: a reader written from it alone gives the same events as mmiotools, damage included."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from native_by_the_page import Reader, footer, index, pages
from vectors import ROOT, load

from mmiotools.events import NUMERIC_FIELDS, Event, Kind
from mmiotools.formats import native_pages
from mmiotools.formats.native import FORMAT
from mmiotools.formats.native_layout import FRAME_SIZE, unpack, unpack_frame
from mmiotools.formats.native_write import NativeWriter
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Column, Regions
from mmiotools.trace.header import Bar, PciDevice, TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples" / "native"
DEVICE = PciDevice(0x18, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000, 4), Bar(6, 0xC0000, 0x20000, 2)), "e1000")


def all_kinds() -> list[Event]:
    """A trace by hand that has every kind, every column, every encoding and every odd spelling."""
    dice = random.Random(20070824)
    events = [
        Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"}),
        Event(
            Kind.HEADER, extra={"format": "mmiotools", "meta": {"seed": 1 << 70, "deep": [None, 1.5, {"a": b"\xff"}]}}
        ),
        Event(Kind.DEVICE, extra={**DEVICE.extra(), "config": bytes(range(64))}),
        Event(Kind.MAP, 1_000, map=1, addr=0xFEBC0000, pc=0, pid=0, extra={"virt": 2**64 - 4096, "length": 0x20000}),
        Event(Kind.MAP, 1_001, map=-7, addr=0, extra={"virt": None, "length": None}),
        Event(Kind.UNKNOWN, 2_000, map=1, addr=0xFEBC0010, pc=1, pid=2, extra={"opcode": b"\x00\xa5"}),
        Event(Kind.UNKNOWN, 2_000, map=1, addr=0xFEBC0010, extra={"opcode": b""}),
        Event(Kind.UNKNOWN, 2_000, map=1, addr=0xFEBC0010, extra={"opcode": bytes(range(12))}),
        Event(Kind.WRITE, 3_000, 32, region="ymm", offset=0x40, value=1 << 255),
        Event(Kind.WRITE, -(2**63), 16, region="cfg", offset=2**64 - 1, value=2**64),
        Event(Kind.READ, 2**63 - 1, 8, -3, 2**64 - 1, value=2**64 - 1, pc=2**64 - 1, pid=-(2**63), cpu=-(2**31)),
        Event(Kind.READ, 5, 1, 2**63 - 1, 0, value=0, pc=0, pid=2**63 - 1, cpu=2**31 - 1),
        Event(Kind.MARK, 6, extra={"text": b"\xff\x00 \r", "raw": b"MARK  0.0 \xff", "eol": "crlf"}),
        Event(Kind.LOST, 0, extra={"count": 42}),
        Event(Kind.LOST, cpu=3, extra={"count": None}),
        Event(Kind.IRQ, 7_000, extra={"vector": 33, "level": 1}),
        Event(Kind.UNMAP, 8_000, map=-1, pc=0, pid=0),
        Event(
            Kind.NOTE, extra={"damaged": True, "reason": "torn", "events": 2, "line": 9, "offset": 4, "text": b"R 4"}
        ),
        Event(
            Kind.NOTE, extra={"text": b"# comment", "\ud800": "\ud800", "novel": {"x": [1, -(2**80)]}, "eol": "none"}
        ),
    ]
    now = 0
    registers = [dice.randrange(2**64) for _ in range(40)]
    for number in range(1500):
        now += dice.choice((0, 1_000, 254_000, 255_000, 256_000, -3_000, 10**12))
        present = number % 3 or None
        events.append(
            Event(
                dice.choice((Kind.READ, Kind.WRITE)),
                now,
                dice.choice((1, 2, 4, 8)),
                dice.choice((1, 1, 2, -300)) if present else None,
                dice.choice(registers),
                value=dice.randrange(2 ** dice.choice((3, 17, 64))) if number < 700 else dice.choice(registers[:9]),
                pc=dice.choice(registers[:5]),
                pid=dice.choice((0, -5, 70_000)) if present else None,
                extra={"eol": "crlf"} if number % 5 == 0 else {},
            )
        )
    return events


def recurring() -> list[Event]:
    """Accesses that recur, with what some of them lack, between events of all other kinds."""
    dice = random.Random(5)
    registers = [dice.randrange(2**64) for _ in range(40)]
    accesses = [
        Event(
            dice.choice((Kind.READ, Kind.WRITE)),
            width=dice.choice((1, 8)),
            map=dice.choice((1, -300, None)),
            addr=dice.choice(registers),
            value=dice.choice((0, 2**64 - 1, None)),
        )
        for _ in range(300)
    ]
    events = [dice.choice(accesses)._replace(time=at * 1000) for at in range(3000)]
    for at, event in enumerate(all_kinds()[:19]):
        events.insert(100 * at, event)
    return events


def write(events: list[Event], block: int, header: TraceHeader | None = None) -> bytes:
    out = io.BytesIO()
    writer = NativeWriter(out, header or TraceHeader("mmiotrace", "boot", 6, {"driver": "nv-test"}), block)
    regions = Regions()
    regions.code("ymm", "reg")
    regions.code("cfg", "config")
    writer.write(Batch.from_events(events, regions))
    writer.close()
    assert not writer.lost
    return out.getvalue()


def as_records(data: bytes) -> list[dict[str, Any]]:
    """What mmiotools reads, in the form of the other reader."""
    records: list[dict[str, Any]] = []
    for batch in FORMAT.read(ByteSource(io.BytesIO(data), "test"))[1]:
        for event in batch.events():
            if event.extra.get("damaged") and "offset" in event.extra and "line" not in event.extra:
                records.append({"gap": event.extra["events"]})
                continue
            record: dict[str, Any] = {"kind": int(event.kind), "extra": dict(event.extra)}
            record |= {name: getattr(event, name) for name in NUMERIC_FIELDS if getattr(event, name) is not None}
            if event.region is not None:
                record["region"] = event.region
                record["space"] = batch.regions.spaces[batch.regions.names.index(event.region)]
            records.append(record)
    return records


@pytest.mark.parametrize(
    ("block", "make"), [(1, all_kinds), (7, all_kinds), (100, all_kinds), (4096, all_kinds), (4096, recurring)]
)
def test_same_events(block: int, make: Callable[[], list[Event]]) -> None:
    events = make() if block > 7 else make()[:60]
    data = write(events, block)
    reader = Reader(data)
    assert reader.records == as_records(data)
    assert [record["kind"] for record in reader.records] == [event.kind for event in events]
    assert {record.get("space") for record in reader.records} == {None, "reg", "config"}
    assert reader.header["clock"] == "boot" and reader.header["meta"] == {"driver": "nv-test"}


def test_every_encoding_occurs() -> None:
    """The comparison above means something: each encoding, both forms of planes and both escapes are in its input."""
    seen: set[object] = set()
    jumps = [Event(Kind.READ, time) for time in (0, 5, 10**9, 10**9 + 3)]
    traces = ((all_kinds()[:60], 7), (all_kinds(), 100), (all_kinds(), 4096), (jumps, 4096), (recurring(), 4096))
    for data in (write(events, block) for events, block in traces):
        for line in index(data):
            frame = unpack_frame(data[line["offset"] :])
            assert frame is not None
            at = line["offset"] + FRAME_SIZE + frame.head_length
            head, body = unpack(data[at - frame.head_length : at]), unpack(data[at : at + frame.body_length])
            for name, entry in head["columns"].items():
                seen.add(entry[0])
                if name in body and entry[0] in (1, 2, 3, 4, 6, 7):
                    parts = unpack(body[name])
                    seen.update(parts.keys() & {"x", "z"})
                    seen.update(type(part) for key, part in parts.items() if key != "k" and entry[0] != 4)
    assert seen == {*range(8), "x", "z", bytes, list}


def test_index() -> None:
    data = write(all_kinds(), 100)
    lines = index(data)
    assert [line["first"] for line in lines] == list(range(0, 1519, 100))
    assert sum(line["events"] for line in lines) == 1519
    records = Reader(data).records
    for line in lines:
        rows = records[line["first"] : line["first"] + line["events"]]
        times = [row["time"] for row in rows if "time" in row]
        addresses = [row["addr"] for row in rows if "addr" in row]
        assert (line["time_min"], line["time_max"]) == (min(times), max(times))
        assert (line["addr_min"], line["addr_max"]) == (min(addresses), max(addresses))
        assert line["kinds"] == sum({1 << row["kind"] for row in rows})


@pytest.mark.parametrize("most", [4096, 20])
def test_pages(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has addresses in the pages that are said, and nowhere else."""
    monkeypatch.setattr(native_pages, "MOST", most)
    data = write(all_kinds(), 100)
    records = Reader(data).records
    assert (footer(data)["pages"][0] == 0) == (most == 4096)
    for line, there in zip(index(data), pages(data), strict=True):
        rows = records[line["first"] : line["first"] + line["events"]]
        addresses = {row["addr"] for row in rows if "addr" in row}
        assert all(any(address in page for page in there) for address in addresses)
        assert all(any(address in page for address in addresses) for page in there)


def test_pages_of_a_vector() -> None:
    base, elsewhere = 0xFEBC0000, 0xD000000C
    blocks = [[base, base + 4], [base + 4, base + 0x20], [elsewhere, base + 4]]
    data = load(ROOT / "native" / "pages.vec").data
    assert pages(data) == [[range(start, start + 4) for start in starts] for starts in blocks]


def test_same_damage() -> None:
    """Both say the same of a file with a wrong byte anywhere, of one cut anywhere, and of several joined."""
    data = write(all_kinds()[10:26], 5)
    dice = random.Random(1)
    for at in range(0, len(data), 7):
        broken = data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :]
        assert Reader(broken).records == as_records(broken), at
    for at in range(1, len(data), 7):
        assert Reader(data[:at]).records == as_records(data[:at]), at
    for joined in (data + data, data[:-30] + data, data[:500] + data[600:], data[:500] + data, data + b"junk"):
        assert Reader(joined).records == as_records(joined)


def test_unknown_column_and_type() -> None:
    """What a later writer adds does not disturb either reader."""
    kinds = np.zeros(3, np.uint8)
    batch = Batch(kinds, {"novel": Column(np.array([-1, 2, 300], np.int32)), "width": Column(np.ones(3, np.uint64))})
    out = io.BytesIO()
    writer = NativeWriter(out, TraceHeader())
    writer.write(batch)
    writer.close()
    records = Reader(out.getvalue()).records
    assert [record.pop("novel") for record in records] == [-1, 2, 300]
    assert records == as_records(out.getvalue())


@pytest.mark.parametrize("path", sorted((ROOT / "native").glob("*.vec")), ids=lambda path: path.stem)
def test_vectors(path: Path) -> None:
    vector = load(path)
    records = Reader(vector.data).records
    for record in records:
        record.pop("novel", None)
    assert records == as_records(vector.data)
    assert len(records) == len(vector.events)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.mmio")), ids=lambda path: path.name)
def test_samples(path: Path) -> None:
    data = path.read_bytes()
    if len(data) > 20_000:
        pytest.skip("large: the others say enough")
    reader = Reader(data)
    records = as_records(data)
    assert len(records) == len(reader.records)
    assert all(one == other for one, other in zip(reader.records, records, strict=True) if "gap" not in other)
