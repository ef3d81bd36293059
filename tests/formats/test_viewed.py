"""VCD and Perfetto: what a viewer would read is what the trace says, at every access."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS
from mmiotools.formats.base import Sniff, damaged, read_all
from mmiotools.formats.perfetto import FORMAT as PERFETTO
from mmiotools.formats.source import ByteSource
from mmiotools.formats.vcd import FORMAT as VCD
from mmiotools.formats.vcd import escaped, identifier
from mmiotools.formats.viewed import ViewFormat
from mmiotools.regmaps import load_names
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader


def written(
    form: ViewFormat, events: list[Event], cuts: int = 1000, digits: int = 9, regs: str | None = None
) -> tuple[str, dict[str, int]]:
    out = io.BytesIO()
    writer: Any = form.writer(out, TraceHeader("mmiotrace", "boot", digits))
    if regs is not None:
        writer.names = load_names([regs])
    for start in range(0, len(events), cuts):
        writer.write(Batch.from_events(events[start : start + cuts]))
    writer.close()
    return out.getvalue().decode("ascii"), dict(writer.lost)


def waves(text: str) -> tuple[dict[str, int], list[tuple[int, str, str]]]:
    """Size of each variable by its full name, and every change: time, name, value. By the standard, not by our code."""
    head, _, body = text.partition("$enddefinitions $end\n")
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}
    scope: list[str] = []
    for word, rest in re.findall(r"\$(scope|upscope|var)\s+(.*?)\s*\$end", head):
        if word == "scope":
            scope.append(rest.split()[1])
        elif word == "upscope":
            scope.pop()
        else:
            _, size, code, name, *_ = rest.split()
            full = ".".join([*scope, name])
            assert code not in names and full not in sizes
            names[code], sizes[full] = full, int(size)
    changes = []
    now = -1
    for line in body.splitlines():
        if line.startswith("#"):
            assert int(line[1:]) > now
            now = int(line[1:])
        elif line[0] in "bs":
            value, code = line[1:].split(" ")
            changes.append((now, names[code], value))
        else:
            changes.append((now, names[line[1:]], line[0]))
    return sizes, changes


ADDRESSES = st.sampled_from([0x1000, 0x1004, 0x1008, 0x9000])
VALUES = st.none() | st.sampled_from([0, 1, 0xFFFFFFFF, (1 << 64) - 1, 1 << 100])
ACCESS = st.builds(
    lambda kind, time, width, addr, value: Event(kind, time, width, None, addr, value=value),
    st.sampled_from([Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
    st.none() | st.integers(0, 30),
    st.sampled_from([1, 4, 8, None]),
    st.none() | ADDRESSES,
    VALUES,
)
OTHER = st.sampled_from(
    [
        Event(Kind.MAP, 0, map=1, addr=0x1000, extra={"length": 0x100}),
        Event(Kind.MARK, 5, extra={"text": b"a b\n\xff"}),
        Event(Kind.LOST, 0, extra={"count": 3}),
        damaged("torn", text=b"R 4", line=3),
    ]
)


@given(st.lists(ACCESS | OTHER, min_size=1, max_size=30), st.integers(1, 9))
def test_vcd_shows_every_access(events: list[Event], cuts: int) -> None:
    sizes, changes = waves(written(VCD, events, cuts)[0])
    accesses = [event for event in events if event.kind <= Kind.UNKNOWN]
    fired = [name.rpartition(".")[2] for _, name, _ in changes if name.endswith((".read", ".write", ".unknown"))]
    assert fired == [event.kind.name.lower() for event in accesses]
    held: dict[str, str] = {}
    seen = []
    for _, name, value in [*changes, (0, ".read", "1")]:
        if name.endswith((".read", ".write", ".unknown")):
            seen.append(dict(held))
            held.pop("", None)
            scope = name.rpartition(".")[0]
        else:
            held[name] = value
            assert value[0] in "sx" or name.startswith("trace") or len(value) <= sizes[name]
            held[""] = scope if not name.startswith("trace") else held.get("", "")
    for event, state in zip(accesses, seen[1:], strict=True):
        shown = [value for name, value in state.items() if name.endswith(".value")]
        assert ("x" if event.value is None else f"{event.value:b}") in shown
        registers = [value for name, value in state.items() if ".reg_" in name]
        if event.addr is not None:
            assert ("x" if event.value is None else f"{event.value:b}") in registers


@given(st.lists(ACCESS | OTHER, max_size=30), st.integers(1, 9))
def test_perfetto_holds_every_event(events: list[Event], cuts: int) -> None:
    found = json.loads(written(PERFETTO, events, cuts)[0])["traceEvents"]
    instants = [item for item in found if item["ph"] == "i"]
    assert [item["args"]["kind"] for item in instants] == [event.kind.name for event in events]
    for item, event in zip(instants, events, strict=True):
        value = None if event.value is None else f"{event.value:#x}"
        assert item["args"].get("value") == value and item["args"].get("width") == event.width
    tracks = {(item["pid"], item["tid"]) for item in found if item["name"] == "thread_name"}
    assert {(item["pid"], item["tid"]) for item in instants} <= tracks
    assert len({tid for _, tid in tracks}) == len(tracks)
    counters: dict[tuple[int, str], int] = {}
    for item in found:
        if item["ph"] == "C":
            key = (item["pid"], item["name"])
            counters[key] = item["args"]["value"]


@pytest.mark.parametrize("form", [VCD, PERFETTO], ids=lambda form: form.name)
@given(events=st.lists(ACCESS | OTHER, max_size=30), cuts=st.integers(1, 9))
def test_one_trace_gives_the_same_bytes_however_it_comes(form: ViewFormat, events: list[Event], cuts: int) -> None:
    events = [Event(Kind.READ, 3, 4, addr=0x9004, value=1), *events]
    assert written(form, events, cuts) == written(form, events)


def test_times() -> None:
    events = [
        Event(Kind.MARK, extra={"text": b"before"}),
        *(Event(Kind.READ, time, 4, addr=0) for time in (-5, 1500, 1400, None)),
    ]
    text, lost = written(VCD, events, digits=6)
    assert re.findall(r"^#(\d+)", text, re.MULTILINE) == ["0", "1", "2"]
    assert lost == {"time finer than 1 us": 3, "times before 0": 2}
    stamps = [item["ts"] for item in json.loads(written(PERFETTO, events)[0])["traceEvents"] if item["ph"] == "i"]
    assert stamps == [-0.005, -0.005, 1.5, 1.4, 1.4]
    untimed = [Event(Kind.READ, None, 4, addr=0, value=number) for number in range(3)]
    text, _ = written(VCD, untimed, 2)
    assert "the number of the event" in text and [
        time for time, name, _ in waves(text)[1] if name.endswith("read")
    ] == [0, 1, 2]
    made = json.loads(written(PERFETTO, untimed, 2)[0])
    assert "numbers of events" in made["otherData"]["times"]
    assert [item["ts"] for item in made["traceEvents"] if item["ph"] == "i"] == [0, 1, 2]


def test_names_come_from_register_maps() -> None:
    bar = {"number": 0, "addr": 0xFEBC0000, "size": 0x20000, "flags": 0}
    events = [
        Event(
            Kind.DEVICE, extra={"bdf": 0x18, "vendor": 0x8086, "device": 0x100E, "irq": 0, "bars": [bar], "driver": ""}
        ),
        *(Event(Kind.READ, 1, width, addr=0xFEBC0008, value=1) for width in (4, 1)),
        Event(Kind.READ, 1, 4, addr=0xFEBC0001, value=1),
    ]
    sizes, _ = waves(written(VCD, events, regs="e1000")[0])
    assert {"00_03_0_BAR0.STATUS", "00_03_0_BAR0.STATUS_w1", "00_03_0_BAR0.CTRL_1"} <= sizes.keys()
    tracks = [
        item["args"]["name"]
        for item in json.loads(written(PERFETTO, events, regs="e1000")[0])["traceEvents"]
        if item["name"] == "thread_name"
    ]
    assert {"STATUS", "CTRL+1"} <= set(tracks)


def test_many_registers_share_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmiotools.formats.viewed.MAX_REGISTERS", 2)
    events = [Event(Kind.READ, 1, 4, addr=0x10 * number, value=number) for number in range(4)]
    sizes, changes = waves(written(VCD, events)[0])
    assert sum(".reg_" in name for name in sizes) == 2
    assert [value for _, name, value in changes if name == "memory.value"] == ["0", "1", "10", "11"]
    names = [
        item["args"]["name"]
        for item in json.loads(written(PERFETTO, events)[0])["traceEvents"]
        if item["name"] == "thread_name"
    ]
    assert "other accesses" in names and len(names) == 3


def test_spelling() -> None:
    codes = [identifier(number) for number in range(10000)]
    assert len(set(codes)) == 10000 and all(33 <= byte <= 126 for code in codes for byte in code)
    assert escaped(b"a b\\\n") == b"a\\x20b\\x5c\\x0a"
    assert len(escaped(b"x" * 1000)) == 203


def test_never_read() -> None:
    for form in (VCD, PERFETTO):
        assert form.sniff(b"$version") == Sniff.NO
        with pytest.raises(UsageError, match="written but not read"):
            form.read(ByteSource(io.BytesIO(b"x"), "x"))


def test_of_columns_that_nobody_knows() -> None:
    from mmiotools.trace.batch import Column

    out = io.BytesIO()
    writer = PERFETTO.writer(out, TraceHeader())
    batch = Batch.from_events([Event(Kind.READ, 1, 4, addr=0, value=0)])
    writer.write(Batch(batch.kind, {**batch.columns, "novel": Column(np.ones(1, np.uint8))}))
    assert writer.lost == {"column 'novel'": 1}


@pytest.mark.parametrize("name", ["mmiotrace", "panda", "conware", "qemu-log"])
def test_a_value_that_its_reader_would_refuse_is_not_written(name: str) -> None:
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, TraceHeader("native"))
    event = Event(Kind.WRITE, 1000, 16, map=1, addr=8, value=1 << 64, pc=0, pid=0)
    writer.write(Batch.from_events([event, event._replace(width=8, value=7)]))
    writer.close()
    assert sum(count for phrase, count in writer.lost.items() if phrase.startswith("WRITE")) == 1
    _, batches = FORMATS.get(name).read(ByteSource(io.BytesIO(out.getvalue()), "x"))
    found = [event for event in read_all(batches) if event.kind != Kind.NOTE]
    assert [event.value for event in found if event.kind == Kind.WRITE] == [7]


def test_damage_of_another_format_stays_damage_in_a_log_or_is_named() -> None:
    out = io.BytesIO()
    writer = FORMATS.get("qemu-log").writer(out, TraceHeader("mmiotrace"))
    writer.write(Batch.from_events([damaged("torn", text=b"W 4 1.0 zz", line=3)]))
    writer.close()
    (note,) = read_all(FORMATS.get("qemu-log").read(ByteSource(io.BytesIO(out.getvalue()), "x"))[1])
    assert note.damaged and note.extra["reason"] == "torn" and not writer.lost
    writer = FORMATS.get("ftrace").writer(out, TraceHeader("mmiotrace"))
    writer.write(Batch.from_events([damaged("torn", text=b"W 4 1.0 zz", line=3)]))
    assert writer.lost == {"NOTE that was no line of ftrace": 1}


def test_fields_that_a_dialect_has_no_place_for_are_counted() -> None:
    events = [
        Event(Kind.READ, -5, 4, map=1, addr=8, value=1, pc=0, pid=0, cpu=0, extra={"mr": 7}),
        Event(Kind.WRITE, 86_400_000_000_001, 4, map=1, addr=8, value=1, pc=9, pid=3, region="r", offset=0),
        Event(Kind.MARK, -1, extra={"text": b"x"}),
    ]
    header = TraceHeader("mmiotrace")
    below, late, fine = "time below zero", "time that is too late", "time below 100000 ns"
    for name, lost in {
        "conware": {"MARK": 1, "map": 2, "region": 1, "offset": 1, "pid": 1, "cpu": 1, "mr": 1, below: 1},
        "panda": {"MARK": 1, "time": 2, "map": 2, "region": 1, "offset": 1, "pid": 1, "cpu": 1, "mr": 1},
        "renode": {"READ": 1, "MARK": 1, "map": 1, "addr": 1, "pid": 1, late: 1, fine: 1},
        "mmiotrace": {below: 2, "time below one microsecond": 1, "region": 1, "offset": 1, "cpu": 1, "mr": 1},
    }.items():
        form = FORMATS.get(name)
        writer = form.writer(io.BytesIO(), header)
        writer.write(Batch.from_events(events))
        writer.close()
        assert writer.lost == lost, name
