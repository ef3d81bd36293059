"""JSON Lines: everything that an event holds comes back, and damage costs only the lines that it hit."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats.base import Sniff, damaged, read_all
from mmiotools.formats.extras import extra_fits
from mmiotools.formats.jsonl import FORMAT
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Column, Regions
from mmiotools.trace.header import Bar, PciDevice, TraceHeader

HEADER = b'{"schema":"mmiotools.trace/1","format":"mmiotrace","clock":"boot","time_digits":6}\n'


def write(events: list[Event], header: TraceHeader | None = None) -> bytes:
    out = io.BytesIO()
    writer = FORMAT.writer(out, header or TraceHeader("mmiotrace", "boot", 6))
    writer.write(Batch.from_events(events))
    writer.close()
    assert not writer.lost
    return out.getvalue()


def read(data: bytes) -> list[Event]:
    return read_all(FORMAT.read(ByteSource(io.BytesIO(data), "test"))[1])


def tally(events: list[Event]) -> tuple[int, int]:
    """Events that came out, and events that damage says were lost."""
    broken = [e for e in events if e.extra.get("damaged")]
    return len(events) - len(broken), sum(e.extra["events"] for e in broken)


SAMPLE = [
    Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"}),
    Event(Kind.DEVICE, extra=PciDevice(0x18, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000, 8),), "e1000").extra()),
    Event(Kind.MAP, 1_000_000, map=1, addr=0xFEBC0000, extra={"virt": 0xFFFFCFC4405C0000, "length": 0x20000}),
    Event(Kind.READ, 2_000_000, 4, 1, 0xFEBC0008, value=0x80080783, pc=0, pid=0),
    Event(Kind.WRITE, 3_000_000, 1, -3, 0xFFFFFFFFFFFFFFFF, value=0xFFFFFF80, pc=0, pid=7, cpu=1),
    Event(Kind.UNKNOWN, 4_000_000, map=1, addr=0xFEBC0010, pc=0, pid=0, extra={"opcode": b"\xf3\xa5\xf6"}),
    Event(Kind.WRITE, 5_000_000, 32, region="ymm", offset=0x40, value=1 << 255),
    Event(Kind.MARK, 6_000_000, extra={"text": 'say "kind": \n\t\u00e9'.encode()}),
    Event(Kind.MARK, 6_000_001, extra={"text": b"\xff\x00", "raw": b"MARK\xff", "eol": "crlf"}),
    Event(Kind.LOST, 0, extra={"count": 42}),
    Event(Kind.LOST, cpu=3, extra={"count": None}),
    Event(Kind.IRQ, 7_000_000, extra={"vector": 33, "level": 1}),
    Event(Kind.UNMAP, 8_000_000, map=-1, pc=0, pid=0),
    damaged("torn", text=b"R 4 1.0", events=2, line=9),
    damaged("a block", offset=1234, events=4096),
    Event(Kind.NOTE, extra={"text": b"# tracer: mmiotrace"}),
]


def test_everything_comes_back() -> None:
    data = write(SAMPLE)
    assert data.isascii() and data.count(b"\n") == len(SAMPLE) + 1
    assert read(data) == SAMPLE
    assert write(read(data)) == data


def test_contract_line() -> None:
    event = Event(Kind.READ, 4447778000, 4, 1, 0xFEBC0008, value=0x80080783, pc=0, pid=0)
    assert write([event]).splitlines() == [
        HEADER.strip(),
        b'{"kind":"READ","time_ns":4447778000,"width":4,"map":1,"addr":"0xfebc0008","value":"0x80080783",'
        b'"pc":"0x0","pid":0}',
    ]


def test_an_opcode_that_a_batch_says_twice_is_written_once() -> None:
    column = Column(np.array([1 << 56 | 0x90, 0], np.uint64), np.array([True, False]))
    extras = {row: {"opcode": b"another one"} for row in range(2)}
    batch = Batch(np.full(2, Kind.UNKNOWN, np.uint8), {"opcode": column}, extras)
    out = io.BytesIO()
    writer = FORMAT.writer(out, TraceHeader("mmiotrace", "boot", 6))
    writer.write(batch)
    writer.close()
    assert out.getvalue().count(b'"opcode"') == 2
    assert read(out.getvalue()) == list(batch.events())
    assert [event.extra["opcode"] for event in batch.events()] == [b"\x90", b"another one"]


def test_header_comes_back() -> None:
    header = TraceHeader("native", "start", 9, {"seed": 7, "blob": b"\xff", "$odd": [1, None]})
    found, _ = FORMAT.read(ByteSource(io.BytesIO(write([], header)), "test"))
    assert found == header


def test_region_spaces_and_unknown_columns() -> None:
    regions = Regions()
    code = regions.code("cfg", "config")
    batch = Batch(
        np.array([0, 1], np.uint8),
        {
            "region": Column(np.array([code, 0], np.uint32), np.array([True, False])),
            "offset": Column(np.array([4, 0], np.uint64), np.array([True, False])),
            "temperature": Column(np.array([0, -40], np.int16), np.array([False, True])),
        },
        {},
        regions,
    )
    out = io.BytesIO()
    FORMAT.writer(out, TraceHeader()).write(batch)
    (found,) = FORMAT.read(ByteSource(io.BytesIO(out.getvalue()), "test"))[1]
    assert (found.regions.names, found.regions.spaces) == (["cfg"], ["config"])
    column = found.columns["temperature"]
    assert column.data.dtype == np.int16 and column.data.tolist() == [0, -40]
    assert column.present is not None and column.present.tolist() == [False, True]


U64 = st.integers(0, 2**64 - 1)
I63 = st.integers(-(2**63), 2**63 - 1)
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.binary(max_size=20),
        "raw": st.binary(max_size=20) | st.text(max_size=5),
        "opcode": st.binary(max_size=12),
        "eol": st.sampled_from(["crlf", "none"]),
        "virt": U64,
        "length": U64 | st.none(),
        "count": st.none() | st.integers(0, 2**40) | st.just(-1),
        "bdf": st.integers(0, 1 << 17),
        "vendor": st.integers(0, 1 << 16),
        "bars": ODD,
        "config": st.binary(max_size=8),
        "line": st.integers(1, 9) | st.text(max_size=3),
        "time_ns": ODD,
        "source_line": ODD,
        "x": ODD,
        "novel": ODD,
    },
)
EVENTS = st.builds(
    Event,
    st.sampled_from(list(Kind)),
    time=st.none() | I63,
    width=st.none() | st.integers(0, 255),
    map=st.none() | I63,
    addr=st.none() | U64,
    region=st.none() | st.text(max_size=5),
    offset=st.none() | U64,
    value=st.none() | U64 | st.integers(2**64, 2**256 - 1),
    pc=st.none() | U64,
    pid=st.none() | I63,
    cpu=st.none() | st.integers(-(2**31), 2**31 - 1),
    extra=EXTRAS.map(lambda extra: {k: v for k, v in extra.items() if k == "eol" or extra_fits(k, v)}),
)


@pytest.mark.parametrize(
    "torn",
    [
        (b'{"kind":"MARK","text":"x}', b'{"kind":"READ"}'),
        (b'{"kind":"READ","x":[{"a":1}', b'{"kind":"READ"}]}'),
        (b'{"kind":"DEVICE","bars":[{"number":1}', b'{"kind":"READ"}]}'),
    ],
)
def test_lines_that_make_up_for_each_other_are_damage(torn: tuple[bytes, bytes]) -> None:
    lines = [b'{"schema":"mmiotools.trace/1"}', *torn, b'{"kind":"WRITE"},{"kind":"WRITE"}', b""]
    events = read(b"\n".join(lines))
    assert Kind.WRITE not in [event.kind for event in events]
    assert sum(event.extra.get("events", 0) for event in events) >= 3


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=8))
def test_random_events_come_back(events: list[Event]) -> None:
    # What a batch holds is the event: it drops "lf", for one.
    held = list(Batch.from_events(events).events())
    assert read(write(events)) == held


@pytest.mark.parametrize("extra", ['"virt":"abc"', '"value":"s"', '"text":5', '"bars":null', '"damaged":"yes"'])
def test_a_well_known_name_of_a_wrong_type_is_damage(extra: str) -> None:
    data = b'{"schema":"mmiotools.trace/1"}\n{"kind":"MAP","x":{%s}}\n{"kind":"READ"}\n' % extra.encode()
    note, good = read(data)
    assert note.extra["damaged"] and "wrong type" in note.extra["reason"]
    assert good == Event(Kind.READ)


# -- damage ----------------------------------------------------------------------------------------------------


BIG = [event for event in SAMPLE if not event.extra.get("damaged")] * 6


def damages(data: bytes, n: int, seed: int) -> list[tuple[int, bytes]]:
    """Random single-byte changes of the part after the first line: (place, changed bytes)."""
    rng = random.Random(seed)
    first = data.index(b"\n") + 1
    out = []
    for _ in range(n):
        at = rng.randrange(first, len(data))
        byte = rng.choice([data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 10, 44, 32])
        out.append((at, data[:at] + bytes([byte]) + data[at + 1 :]))
    return out


def test_flipped_bytes_cost_only_their_lines() -> None:
    data = write(BIG)
    whole = read(data)
    for at, changed in damages(data, 600, 1):
        found = read(changed)
        hit = data.count(b"\n", 0, at) - 1  # the event whose line was hit; its line end belongs to it
        after = hit + 1 + (data[at : at + 1] == b"\n" and at < len(data) - 1)
        assert found[:hit] == whole[:hit], at
        tail = whole[after:]
        assert not tail or found[-len(tail) :] == tail, at
        assert sum(tally(found)) == len(whole), (at, data[at - 30 : at + 30], changed[at - 30 : at + 30])


def test_a_damaged_schema_line_is_no_lost_event() -> None:
    data = write(BIG)
    whole = read(data)
    rng = random.Random(5)
    for _ in range(200):
        at = rng.randrange(data.index(b"\n") + 1)
        try:
            found = read(data[:at] + bytes([rng.choice([data[at] ^ 1 << rng.randrange(8), 10])]) + data[at + 1 :])
        except FormatError:
            continue  # the damage hides the version
        assert sum(tally(found)) == len(whole), at
        assert found[-len(whole) + 1 :] == whole[1:]


@pytest.mark.parametrize("begins", [b"[" * 65_500 + b"\n", b"  \n" * 30_000 + b"[\n", b"\n \r\n" * 17_000])
def test_damage_before_events_is_the_same_however_it_is_read(begins: bytes) -> None:
    event = write([Event(Kind.READ, 1, 4, value=5)]).splitlines(keepends=True)[1]
    found: list[Any] = []
    for size in (None, len(begins) + len(event)):
        source = ByteSource(io.BytesIO(begins + event), "x", size)
        try:
            found.append(read_all(FORMAT.read(source)[1]))
        except FormatError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_cut_anywhere() -> None:
    data = write(BIG)
    whole = read(data)
    rng = random.Random(2)
    for at in [rng.randrange(len(HEADER), len(data)) for _ in range(300)]:
        found = read(data[:at])
        complete = data.count(b"\n", 0, at) - 1
        assert found[:complete] == whole[:complete]
        rest = data[:at].rsplit(b"\n", 1)[1]
        if not rest:
            assert len(found) == complete
        elif rest.endswith(b"}") and at < len(data) and data[at : at + 1] == b"\n":
            assert found[complete:] == [whole[complete]]
        else:
            (note,) = found[complete:]
            assert note.extra["damaged"] and note.extra["events"] == 1 and note.extra["text"] == rest
            assert note.extra["line"] == complete + 2


BAD = {
    "negative address": b'"addr":"-0x1"',
    "no 0x": b'"addr":"12"',
    "underscore": b'"addr":"0x1_0"',
    "address too large": b'"addr":"0x10000000000000000"',
    "address a number": b'"addr":5',
    "width too large": b'"width":256',
    "width a string": b'"width":"4"',
    "a boolean": b'"pid":true',
    "a float": b'"time_ns":1.5',
    "time out of range": b'"time_ns":9223372036854775808',
    "not a number": b'"time_ns":NaN',
    "long integer": b'"time_ns":' + b"9" * 5000,
    "value too long": b'"value":"0x' + b"f" * 1025 + b'"',
    "a list": b'"map":[1]',
    "deep": b'"new":' + b"[" * 100_000 + b"]" * 100_000,
    "too deep to write": b'"new":' + b"[" * 200 + b"]" * 200,
    "half a surrogate pair": b'"text":"\\ud800"',
    "bad base64": b'"text_b64":"!"',
    "bad opcode": b'"opcode":"0g"',
    "region a number": b'"region":1',
    "bad eol": b'"eol":"cr"',
    "bad tag": b'"x":{"a":{"$b64":5}}',
    "bad bars": b'"bars":[{"number":0}]',
    "bad column": b'"col":{"t":["u1",300]}',
}


@pytest.mark.parametrize("field", BAD.values(), ids=list(BAD))
def test_impossible_values_are_damage(field: bytes) -> None:
    good = b'{"kind":"READ","time_ns":1,"width":4,"addr":"0x10","value":"0x1"}\n'
    bad = b'{"kind":"WRITE",' + field + b"}"
    before, note, after = read(HEADER + good + bad + b"\n" + good)
    assert before == after == Event(Kind.READ, 1, 4, addr=16, value=1)
    assert note.kind == Kind.NOTE and note.extra["damaged"] and note.extra["line"] == 3 and note.extra["events"] == 1
    assert bad.startswith(note.extra["text"]) and note._replace(extra={}) == Event(Kind.NOTE)


def test_merged_lines_count_twice() -> None:
    line = b'{"kind":"READ","time_ns":1}'
    (note,) = read(HEADER + line + b"," + line + b"\n")
    assert note.extra["events"] == 2


def test_unknown_kind_is_kept_and_a_broken_kind_is_damage() -> None:
    line = b'{"kind":"DMA","time_ns":5,"bytes":"00ff"}'
    (note,) = read(HEADER + line + b"\n")
    assert note.extra["text"] == line and "damaged" not in note.extra
    assert write([note]).splitlines()[1] == line
    (note,) = read(HEADER + b'{"kind":"REAE","time_ns":5}\n')
    assert note.extra["damaged"]


def test_unknown_keys_and_nulls() -> None:
    (event,) = read(HEADER + b'{"kind":"READ","pid":null,"novel":{"a":[1,null]}}\n')
    assert event == Event(Kind.READ, extra={"novel": {"a": [1, None]}})


def test_crlf_blank_lines_and_blanks() -> None:
    body = b'\n{"kind":"READ","time_ns":1}\n  \n { "time_ns" : 2 , "kind" : "WRITE" } \n'
    for data in (HEADER + body, (HEADER + body).replace(b"\n", b"\r\n")):
        assert read(data) == [Event(Kind.READ, 1), Event(Kind.WRITE, 2)]


def test_concatenated_files() -> None:
    data = write([Event(Kind.READ, 1)])
    first, header, second = read(data + data)
    assert first == second == Event(Kind.READ, 1)
    assert header.kind == Kind.HEADER and header.extra["version"] == "mmiotools.trace/1"


def test_versions_and_sniffing() -> None:
    assert FORMAT.sniff(HEADER) == Sniff.YES
    assert FORMAT.sniff(b'garbage\n{"kind":"READ"}\n') == Sniff.LIKELY
    assert FORMAT.sniff(b"VERSION 20070824\n") == Sniff.NO
    with pytest.raises(FormatError, match="trace/2"):
        read(HEADER.replace(b"trace/1", b"trace/2"))
    with pytest.raises(FormatError, match=r"diff/1"):
        read(HEADER.replace(b"trace/1", b"trace/1").replace(b"mmiotools.trace", b"mmiotools.diff"))
    with pytest.raises(FormatError, match="no schema line"):
        read(b"garbage\n")
    assert read(HEADER.replace(b"trace/1", b"trace/1.5") + b'{"kind":"READ"}\n') == [Event(Kind.READ)]
    note, event = read(b'{"schemX":1}\n{"kind":"READ"}\n')
    assert note.extra["damaged"] and event == Event(Kind.READ)


def test_a_line_without_end_stays_small() -> None:
    class Endless(io.RawIOBase):
        """20 MiB of one line, then a good one."""

        left = 20

        def read(self, n: int = -1) -> bytes:
            self.left -= 1
            if self.left == 19:
                return HEADER + b'{"kind":"READ"}\n{"kind":"MARK","text":"'
            if self.left > 0:
                return b'"kind":' + b"x" * (1 << 20)
            return b'"}\n{"kind":"WRITE"}\n' if self.left == 0 else b""

    batches = FORMAT.read(ByteSource(Endless(), "test"))[1]  # type: ignore[arg-type]
    first, note, last = read_all(batches)
    assert (first.kind, last.kind) == (Kind.READ, Kind.WRITE)
    assert note.extra["damaged"] and note.extra["events"] == 19 and len(note.extra["text"]) <= 1 << 16
