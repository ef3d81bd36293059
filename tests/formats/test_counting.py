"""Who counts a trace gets what who adds up its batches gets: on either engine, alone and in workers, damaged or not."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import EVENT, write
from vectors import Vector, vectors

from mmiotools import speed
from mmiotools.cli.info_screen import summary_of
from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import native_counting, native_pieces, native_read, native_tally_numpy, open_trace, parallel
from mmiotools.formats.base import damaged
from mmiotools.stats.summary import LOOKED_AT, Summary
from mmiotools.trace.tally import ENTRY

pytestmark = pytest.mark.usefixtures("shared_rows")

FAST = speed.compiled.__wrapped__()
needs_engine = pytest.mark.skipif(FAST is None, reason="the compiled engine was not built")

#: Mostly accesses to few registers, as of a device, so that blocks can be counted; at times in regions with names.
PLAIN = st.tuples(
    st.sampled_from([Kind.READ] * 4 + [Kind.WRITE] * 4 + [Kind.UNKNOWN, Kind.MARK, Kind.UNMAP]),
    st.integers(0, 5000).map(lambda at: at * 1000) | st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([None, 1, 4, 4, 4, 8]),
    st.sampled_from([None, 1, 1, 1, 2, -5, 1 << 40]),
    st.sampled_from([None, 0, *range(0xFEBC0000, 0xFEBC0040, 4), 0xFFFF888000000000, 1 << 63]),
).map(lambda fields: Event(*fields))
MORE = st.sampled_from(
    [
        damaged("x", events=3, line=7),
        Event(Kind.LOST, 0, extra={"count": 5}),
        Event(Kind.MAP, 5, map=1, addr=0xFEBC0000, extra={"virt": 0, "length": 0x20}),
        Event(Kind.DEVICE, extra={"bdf": 24, "vendor": 1, "device": 2, "bars": [{"addr": 0xFEBC0000, "size": 16}]}),
        Event(Kind.READ, 7, 4, region="named", offset=8),
    ]
)
EVENTS = st.lists(PLAIN, min_size=1, max_size=80) | st.lists(PLAIN | MORE | EVENT, min_size=1, max_size=60)
FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3)


@contextmanager
def engine(name: str, workers: int = 0) -> Iterator[None]:
    """With this engine, and so many workers for small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMIOTOOLS_ENGINE", name)
        patch.setenv("MMIOTOOLS_WORKERS", str(workers))
        patch.setattr(native_tally_numpy, "_MANY", 64)
        patch.setattr(native_pieces, "_TOGETHER", 2)
        patch.setattr(native_counting, "_TOGETHER", 3)
        patch.setattr(parallel, "_SMALL", 1)
        speed.compiled.cache_clear()
        yield
    speed.compiled.cache_clear()


def told(summary: Summary) -> dict[str, Any]:
    """All that a summary says."""
    return {**summary.as_json(), "registers": summary.hottest(10_000), "distinct": summary.registers()}


def counted(path: Path, name: str | None = None) -> dict[str, Any]:
    return told(summary_of(open_trace(str(path), name, LOOKED_AT)))


def added_up(path: Path, name: str | None = None) -> dict[str, Any]:
    summary = Summary()
    for batch in open_trace(str(path), name, LOOKED_AT).batches:
        summary.add(batch)
    return told(summary)


def same(path: Path, name: str | None = None, workers: int = 0) -> None:
    with engine("numpy"):
        try:
            expected = added_up(path, name)
        except FormatError:
            return
    for kind in ("compiled", "numpy") if FAST is not None else ("numpy",):
        with engine(kind, workers):
            assert counted(path, name) == expected, kind
            assert added_up(path, name) == expected, kind


@pytest.mark.parametrize("workers", [0, 2])
@settings(max_examples=60)
@given(EVENTS, st.integers(1, 30), FLIPS)
def test_native_files(
    tmp_path_factory: pytest.TempPathFactory,
    workers: int,
    events: list[Event],
    block: int,
    flips: list[tuple[float, int]],
) -> None:
    data = bytearray(write(events, block))
    for place, bits in flips:
        data[int(place * (len(data) - 1))] ^= bits
    path = tmp_path_factory.mktemp("counted") / "trace.mmio"
    path.write_bytes(data)
    same(path, "native", workers)


def test_blocks_are_counted_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    events = [
        Event(rng.choice([Kind.READ, Kind.WRITE]), at * 1000, 4, 1, 0xFEBC0000 + rng.randrange(50) * 4, value=at)
        for at in range(3000)
    ]
    events[500:500] = [Event(Kind.MAP, 500_000, map=1, addr=0xFEBC0000, extra={"virt": 0, "length": 256})]
    path = tmp_path / "trace.mmio"
    path.write_bytes(write(events, 100))
    same(path)
    monkeypatch.setattr(native_read.NativeReader, "__init__", None)
    for kind in ("auto", "numpy"):
        with engine(kind):
            assert counted(path)["events"] == len(events)


def test_what_is_alike_in_many_blocks_becomes_one_entry(tmp_path: Path) -> None:
    rng = random.Random(2)
    kinds, widths, maps = (Kind.READ, Kind.WRITE), (1, 2, 4), (1, 2)
    events = [
        Event(rng.choice(kinds), at * 1000, rng.choice(widths), rng.choice(maps), 0xFEBC0000 + rng.randrange(50) * 4)
        for at in range(20_000)
    ]
    path = tmp_path / "trace.mmio"
    path.write_bytes(write(events, 2000))
    with engine("numpy"):
        trace = open_trace(str(path))
        assert trace.counting is not None
        found = [part.result for part in trace.counting(lambda part: part)]
    distinct = 50 * len(kinds) * len(widths) * len(maps)
    assert max(len(part.entries) for part in found) < 1.25 * distinct * ENTRY.size
    assert sum(part.events for part in found) == len(events)


def test_a_header_that_promises_more_is_told(tmp_path: Path) -> None:
    data = write([Event(Kind.READ, at, 4, 1, 64) for at in range(40)], 10)
    path = tmp_path / "trace.mmio"
    fixed = bytearray(data[:32])
    struct.pack_into("<Q", fixed, 16, 50)
    path.write_bytes(bytes(fixed) + struct.pack("<I", zlib.crc32(fixed)) + data[36:])
    same(path)
    with engine("auto"):
        assert counted(path)["damage"] == {"places": 1, "events": 10}


@pytest.mark.parametrize(
    "vector",
    [v for v in vectors() if v.format in ("mmiotrace", "native")],
    ids=lambda vector: f"{vector.format}-{vector.name}",
)
def test_vectors(vector: Vector, tmp_path: Path) -> None:
    path = tmp_path / "vector"
    path.write_bytes(vector.data)
    same(path, vector.format, 0)


@pytest.mark.parametrize("name", ["nvme-linux6.1.mmiotrace", "nv-init-1.mmiotrace", "e1000-linux6.1.mmiotrace.xz"])
def test_samples_as_text_and_native(name: str, samples: Path, tmp_path: Path) -> None:
    path = samples / "mmiotrace" / name
    same(path, workers=2)
    native = tmp_path / "trace.mmio"
    events = [event for batch in open_trace(str(path)).batches for event in batch.events()]
    native.write_bytes(write(events, 500))
    same(native, workers=2)


@needs_engine
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 7), max_size=60))
def test_entries_are_added_up(rows: list[tuple[int, ...]]) -> None:
    entries = [ENTRY.pack(a, b, *counts, w, 1 | h << 1) for a, b, *counts, w, h in rows]
    sums: dict[tuple[int, int, int, int], list[int]] = {}
    for addr, map_id, *counts, width, has in map(ENTRY.unpack, entries):
        each = sums.setdefault((addr, map_id, width, has), [0, 0, 0])
        each[:] = [a + b for a, b in zip(each, counts, strict=True)]
    found = {
        (addr, map_id, width, has): counts
        for addr, map_id, *counts, width, has in ENTRY.iter_unpack(FAST.add_up(b"".join(entries)))
    }
    assert found == sums
    with pytest.raises(ValueError, match="part of an entry"):
        FAST.add_up(bytes(ENTRY.size + 1))
