"""JSON Lines on columns: whatever the lines are, they say the same as one by one."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.formats import jsonl_read, jsonl_scan
from mmiotools.formats.jsonl import FORMAT
from mmiotools.formats.jsonl_scan import Scanned, scan
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Regions

_EDGES = [0, 1, 4, 255, 256, -1, -5, 10**7, 10**8, 10**15, 10**16, 10**18, 2**63 - 1, 2**63, 2**31 - 1, 2**31, -(2**63)]
DECIMAL = st.integers(0, 8) | st.sampled_from(_EDGES)
HEX = st.sampled_from([0, 1, 0xFF, 2**32, 2**63, 2**64 - 1, 2**64]).map(hex) | st.integers(0, 2**40).map(hex)
NAME = st.sampled_from(["a", "e1000", "01:00.0/BAR0", "x,y", 'q"', "é", "", "port", "mem"])
VALUES = {
    **dict.fromkeys(("time_ns", "width", "map", "pid", "cpu"), DECIMAL),
    **dict.fromkeys(("addr", "offset", "value", "pc", "mr"), HEX),
    **dict.fromkeys(("region", "space"), NAME),
}
SETS = [
    ("time_ns", "width", "map", "addr", "value", "pc", "pid"),
    ("time_ns", "width", "addr", "region", "space", "value", "pid", "cpu", "mr"),
    ("width", "region", "offset", "value"),
    ("region", "value", "space"),
    ("addr",),
]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["READ", "WRITE", "UNKNOWN", "READ", "UNMAP", "MARK"]))
    found = {"kind": kind} | {key: draw(VALUES[key]) for key in draw(st.sampled_from(SETS))}
    line = json.dumps(found, separators=draw(st.sampled_from([(",", ":")] * 9 + [(", ", ": ")]))).encode()
    how = draw(st.integers(0, 9))
    at = draw(st.integers(0, len(line) - 1))
    if how == 0:
        line = line[:at] + draw(st.sampled_from([b"0", b'"', b",", b":", b"-", b"\xff", b"A", b" "])) + line[at + 1 :]
    elif how == 1:
        line = line[:at] + draw(st.sampled_from([b"", b"0", b",", b"x"])) + line[at + 1 :]
    return line


def batches(data: bytes) -> list[Batch]:
    _, found = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return list(found)


def said(some: list[Batch]) -> list[object]:
    """Every event, and the spaces of regions."""
    found: list[object] = []
    for batch in some:
        found += batch.events()
        codes = batch.data("region")[batch.present("region")]
        found += [batch.regions.spaces[code] for code in codes.tolist()]
    return found


@settings(max_examples=300)
@given(st.lists(lines() | st.just(b""), min_size=1, max_size=40), st.sampled_from([b"\n", b"\n", b"", b"\r\n"]))
def test_the_scanner_agrees_with_the_parser(some: list[bytes], end: bytes) -> None:
    data = b'{"schema":"mmiotools.trace/1"}\n' + (b"\r\n" if end == b"\r\n" else b"\n").join(some) + end
    usual = jsonl_scan._WORTHWHILE
    real = jsonl_read.scan
    try:
        jsonl_scan._WORTHWHILE = 2
        scanned = said(batches(data))
        jsonl_read.scan = lambda lines, regions: Scanned(np.zeros(0, np.int64), np.zeros(0, np.uint8), [])
        assert scanned == said(batches(data))
    finally:
        jsonl_scan._WORTHWHILE, jsonl_read.scan = usual, real


@pytest.mark.parametrize("keys", SETS[:3])
def test_what_the_writer_writes_is_scanned(keys: tuple[str, ...]) -> None:
    numbers = {"time_ns": 1795397978442427000, "width": 4, "map": 1, "pid": 7, "cpu": -1}
    texts = {"region": "01:00.0/BAR0", "space": "port"}
    found = {"kind": "READ"} | {key: numbers.get(key) or texts.get(key) or "0xfebc0008" for key in keys}
    line = json.dumps(found, separators=(",", ":")).encode()
    regions = Regions()
    scanned = scan([line] * 200, regions)
    # The first lines have not enough before them.
    assert len(scanned.rows) >= 198 and not scanned.kinds.any()
    held = {name: data[0] for name, _, data in scanned.columns}
    assert held.pop("time", 1795397978442427000) == 1795397978442427000
    assert held.pop("cpu", -1) == -1
    if "region" in keys:
        assert regions.names[held["region"]] == "01:00.0/BAR0"
        assert regions.spaces[held["region"]] == ("port" if "space" in keys else "mem")
