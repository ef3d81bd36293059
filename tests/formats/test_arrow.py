"""Parquet and Arrow: every event comes back, other readers understand them, and damage is told."""

from __future__ import annotations

import gc
import importlib.util
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.cli.main import run
from mmiotools.errors import FormatError, MmioToolsError, UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS, open_trace
from mmiotools.formats.arrow import ARROW, PARQUET, ArrowFormat
from mmiotools.formats.base import Sniff, damaged, read_all
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader

HAVE = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAVE, reason="needs the [arrow] extra: pip install 'mmiotools[arrow]'")
BOTH = pytest.mark.parametrize("form", [PARQUET, ARROW], ids=["parquet", "arrow"])
HEADER = TraceHeader("mmiotrace", "boot", 6, {"driver": "nv-test", "raw": b"\xff"})


def written(form: ArrowFormat, events: list[Event], cuts: int = 1000) -> bytes:
    out = io.BytesIO()
    writer = form.writer(out, HEADER)
    regions = Regions()
    for start in range(0, len(events), cuts):
        writer.write(Batch.from_events(events[start : start + cuts], regions))
    writer.close()
    assert not writer.lost
    return out.getvalue()


def read(form: ArrowFormat, data: bytes) -> tuple[TraceHeader, list[Event]]:
    header, batches = form.read(ByteSource(io.BytesIO(data), "x"))
    return header, read_all(batches)


U64 = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 0xFEBC0000])
EVENT = st.builds(
    Event,
    st.sampled_from([Kind.READ, Kind.WRITE, Kind.UNKNOWN, Kind.UNMAP, Kind.IRQ]),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(-5, 5),
    st.none() | U64,
    st.sampled_from([None, "a", "00:03.0/BAR0", "é"]),
    st.none() | U64,
    st.none() | U64 | st.just(1 << 200),
    st.none() | U64,
    st.none() | st.integers(-1, 1 << 40),
    st.none() | st.integers(-1, 300),
    st.sampled_from(
        [
            {},
            {},
            {"opcode": b"\x8b\x04"},
            {"opcode": bytes(9)},
            {"raw": b"R ?"},
            {"eol": "crlf"},
            {"novel": [1, {"a": b"\0"}]},
        ]
    ),
)
RARE = st.sampled_from(
    [
        Event(
            Kind.DEVICE,
            extra={
                "bdf": 24,
                "vendor": 1,
                "device": 2,
                "irq": 0,
                "bars": [{"number": 0, "addr": 0xFEBC0000, "size": 4096, "flags": 0}],
                "driver": "x",
            },
        ),
        Event(Kind.MAP, 1, map=1, addr=0xFEBC0000, extra={"virt": 1 << 63, "length": 16}),
        Event(Kind.MAP, 1, map=2, addr=1, extra={"virt": None, "length": 1 << 70}),
        Event(Kind.MARK, extra={"text": "é\n".encode()}),
        Event(Kind.MARK, extra={"text": b"\xff"}),
        Event(Kind.LOST, cpu=1, extra={"count": None}),
        Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"}),
        damaged("torn", text=b"R", line=3, offset=9),
    ]
)


@needs_pyarrow
@BOTH
@settings(max_examples=60)
@given(st.lists(EVENT | RARE, max_size=20), st.integers(1, 9))
def test_every_event_comes_back(form: ArrowFormat, events: list[Event], cuts: int) -> None:
    header, found = read(form, written(form, events, cuts))
    assert found == events
    assert header == HEADER


@needs_pyarrow
@BOTH
def test_a_writer_that_is_given_up_ends_no_file(form: ArrowFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    writer: Any = form.writer(out, HEADER)
    writer._piece = 1
    writer.write(Batch.from_events([Event(Kind.READ, 1, 4, addr=1, value=1)]))
    before = out.getvalue()
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    del writer
    gc.collect()
    assert not told and out.getvalue() == before


@needs_pyarrow
@BOTH
def test_a_region_that_the_source_names_is_not_taken_for_the_bar_at_its_address(form: ArrowFormat) -> None:
    bar = {"number": 0, "addr": 0xFEBC0000, "size": 4096, "flags": 0}
    device = {"bdf": 24, "vendor": 1, "device": 2, "irq": 0, "bars": [bar], "driver": ""}
    events = [
        Event(Kind.DEVICE, extra=device),
        Event(Kind.READ, addr=0xFEBC0000, region="regs", offset=4),
        Event(Kind.READ, addr=0xFEBC0008),
    ]
    assert read(form, written(form, events, 2))[1] == events


@needs_pyarrow
@BOTH
def test_many_pieces(form: ArrowFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmiotools.formats import arrow_files

    monkeypatch.setattr(arrow_files.ParquetWriter, "_piece", 10)
    monkeypatch.setattr(arrow_files.ArrowWriter, "_piece", 10)
    monkeypatch.setattr(arrow_files, "RECORDS", 7)
    events = [Event(Kind.READ, time, 4, region=f"r{time // 10}", offset=time) for time in range(100)]
    data = written(form, events, 5)
    assert read(form, data)[1] == events
    if form is ARROW:
        for at in range(len(data) // 3, len(data), 97):
            _, found = read(form, data[:at])
            assert found[:-1] == events[: len(found) - 1] and found[-1].extra["damaged"]
    else:
        broken = bytearray(data)
        broken[data.index(b"\x28\xb5\x2f\xfd") + 9] ^= 0xFF
        _, found = read(form, bytes(broken))
        (note,) = [event for event in found if event.extra.get("damaged")]
        assert note.extra["events"] == 10 and [event for event in found if event is not note] == events[10:]
        with pytest.raises(FormatError, match="table of contents"):
            read(form, data[:-20])


@needs_pyarrow
@BOTH
@settings(max_examples=60)
@given(st.data())
def test_garbled_files_raise_nothing_else(form: ArrowFormat, samples: Path, data: st.DataObject) -> None:
    whole = bytearray((samples / form.name / f"nvme-linux6.1.{form.name}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(8, len(whole) - 9))] = data.draw(st.integers(0, 255))
    try:
        read(form, bytes(whole))
    except MmioToolsError as error:
        assert "\n" not in str(error)


@needs_pyarrow
@BOTH
def test_text_and_back_through_pipes(form: ArrowFormat, samples: Path, cli: Any) -> None:
    for name in ("nvme-linux6.1", "oddities"):
        text = (samples / "mmiotrace" / f"{name}.mmiotrace").read_bytes()
        table = cli("convert", "-q", "-t", form.name, input=text).stdout
        assert form.sniff(table) == Sniff.YES
        assert cli("convert", "-q", "-t", "mmiotrace", input=table).stdout == text


@needs_pyarrow
@BOTH
def test_other_programs_read_it(form: ArrowFormat, samples: Path) -> None:
    import pyarrow.feather
    import pyarrow.parquet

    path = samples / form.name / f"nvme-linux6.1.{form.name}"
    table = pyarrow.parquet.read_table(path) if form is PARQUET else pyarrow.feather.read_table(path)
    metadata = pyarrow.parquet.read_metadata(path).metadata if form is PARQUET else table.schema.metadata
    assert json.loads(metadata[b"mmiotools"])["clock"] == "boot"
    rows = [row for row in table.to_pylist() if row["kind"] == "WRITE" and row["region"] == "00:03.0/BAR0"]
    assert len(rows) == 245 and rows[0]["offset"] == rows[0]["addr"] - 0xFEBF0000 and not rows[0]["named"]
    if importlib.util.find_spec("polars") is None:
        pytest.skip("polars is not installed; pyarrow reads it")
    import polars

    frame = polars.read_parquet(path) if form is PARQUET else polars.read_ipc(path)
    assert frame.filter(polars.col("kind") == "WRITE").height == 245


@needs_pyarrow
def test_what_a_query_made_is_read_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "q.parquet")
    columns = {
        "value": pa.array([1, None], pa.int64()),
        "kind": ["READ", "NEW"],
        "addr": pa.array([5, 6], pa.int32()),
        "n": [0, 0],
    }
    pq.write_table(pa.table(columns), path)
    first, second = read_all(open_trace(path).batches)
    assert first == Event(Kind.READ, addr=5, value=1)
    assert second.extra["reason"] == "an event of an unknown kind 'NEW'" and second.addr == 6
    assert run(["convert", path, "-o", str(tmp_path / "out.mmio")]) == 3
    pq.write_table(pa.table({"kind": ["READ"], "extra": ['{"raw":5']}), path)
    assert run(["convert", path, "-o", str(tmp_path / "out.mmio")]) == 3
    pq.write_table(pa.table({"kind": ["READ"], "addr": [-1]}), path)
    assert read_all(open_trace(path).batches)[0].extra["damaged"]
    for table, why in (
        ({"a": [1]}, "no column 'kind'"),
        ({"kind": [1]}, "column 'kind' holds int64, not string"),
        ({"kind": ["READ"], "time": ["1"]}, "column 'time' holds string, not int64"),
        ({"kind": ["READ"], "named": [1]}, "column 'named' holds int64, not bool"),
    ):
        pq.write_table(pa.table(table), path)
        with pytest.raises(FormatError, match=why):
            open_trace(path)


@needs_pyarrow
def test_a_file_that_has_its_schema_at_the_end_alone(samples: Path) -> None:
    import pyarrow as pa

    def viewed(column: Any) -> Any:
        if pa.types.is_dictionary(column.type):
            return pa.DictionaryArray.from_arrays(column.indices, viewed(column.dictionary))
        if pa.types.is_string(column.type):
            return column.cast(pa.string_view())
        return column.cast(pa.binary_view()) if pa.types.is_binary(column.type) else column

    events = read_all(open_trace(str(samples / "mmiotrace" / "nvme-linux6.1.mmiotrace")).batches)
    usual = pa.ipc.open_file(written(ARROW, events, 50)).read_all().combine_chunks().to_batches()[0]
    table = pa.RecordBatch.from_arrays(list(map(viewed, usual.columns)), usual.schema.names)
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        for start in range(0, len(table), 100):
            writer.write_batch(table.slice(start, 100))
    data = bytearray(out.getvalue())
    data[8:16] = bytes(8)
    assert read(ARROW, bytes(data))[1] == events
    last = [found.start() for found in re.finditer(b"\xff{4}(?!\0{4})", data) if not found.start() % 8][-1]
    data[last + 8 : last + 24] = bytes(16)
    *rest, lost = read(ARROW, bytes(data))[1]
    assert rest == events[: len(events) // 100 * 100] and lost.extra["damaged"]


@needs_pyarrow
@BOTH
def test_memory_regions_of_qemu_come_back(form: ArrowFormat) -> None:
    events = [
        Event(Kind.READ, 1, 4, addr=8, value=1 << 70, extra={"mr": (1 << 64) - 1, "dialect": "x"}),
        Event(Kind.WRITE, 2, 4, addr=8, value=3, extra={"mr": 5}),
        Event(Kind.MARK, 3, extra={"text": b"x"}),
    ]
    assert read(form, written(form, events))[1] == events
    assert read(form, written(form, events[1:2]))[1] == events[1:2]


@needs_pyarrow
def test_an_opcode_is_as_long_as_a_table_says_it_is(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "q.parquet")
    long, said = b"123456789", json.dumps({"opcode": (b"9" * 9).hex()})
    table = {"kind": ["UNKNOWN"] * 4, "opcode": [b"12", long, None, long], "extra": [said, said, said, None]}
    pq.write_table(pa.table(table), path)
    found = [event.extra for event in read_all(open_trace(path).batches)]
    assert found == [{"opcode": word} for word in (b"12", long, b"9" * 9, long)]
    # A row has it once, however it is looked at.
    assert run(["convert", "-q", path, "-o", str(tmp_path / "x.jsonl")]) == 0
    assert [event.extra for event in read_all(open_trace(str(tmp_path / "x.jsonl")).batches)] == found


def test_without_pyarrow_it_says_what_to_install(
    samples: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert FORMATS.get("parquet").sniff(b"PAR1") == Sniff.YES
    with pytest.raises(UsageError, match=r"pip install 'mmiotools\[arrow\]'"):
        PARQUET.writer(io.BytesIO(), TraceHeader())
    assert run(["convert", str(samples / "parquet" / "nvme-linux6.1.parquet")]) == 2
    assert run(["list", "formats"]) == 0
    out, err = capfd.readouterr()
    assert err.count("\n") == 1 and "needs pyarrow" in err
    assert "(read and write; .parquet)  needs: pip install 'mmiotools[arrow]'" in out
