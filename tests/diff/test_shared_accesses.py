"""Accesses that a process without numpy has put into a file are those that are collected from batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS, native_write, open_trace
from mmiotools.formats.native_stored import Unfit
from mmiotools.quick.accesses import share_accesses
from mmiotools.speed import compiled
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import COLLECTED, collect
from mmiotools.trace.header import Bar, PciDevice, TraceHeader
from mmiotools.trace.shared import Description
from mmiotools.trace.sharing import map_accesses

pytestmark = [
    pytest.mark.skipif(compiled() is None, reason="the compiled engine was not built"),
    pytest.mark.usefixtures("shared_rows"),
]

CARD = PciDevice(0x18, 0x8086, 0x100E, bars=(Bar(0, 0x100000, 0x1000), Bar(1, 0x800000, 0x100)))
MOVED = PciDevice(0x18, 0x8086, 0x100E, bars=(Bar(0, 0x900000, 0x1000), Bar(1, 0x800000, 0x100)))
OTHER = PciDevice(0x20, 0x10DE, 0x0040, bars=(Bar(0, 0xA00000, 0x1000),))
devices = st.sampled_from([CARD, OTHER, OTHER, MOVED]).map(lambda device: Event(Kind.DEVICE, extra=device.extra()))
accesses = st.builds(
    lambda kind, width, addr, value: Event(kind, 1000, width, 1, addr, value=value, pc=0, pid=0),
    st.sampled_from([Kind.READ, Kind.WRITE]),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([0x100000, 0x100004, 0x800010, 0xA00FFF, 0xA00000]),
    st.integers(0, 3) | st.integers(0, (1 << 64) - 1),
)
maps = st.builds(
    lambda map_id, addr: Event(Kind.MAP, 1000, map=map_id, addr=addr, pc=0, pid=0, extra={"virt": 1, "length": 0x100}),
    st.integers(1, 3),
    st.sampled_from([0x3000, 0x4000]),
)
marks = st.just(Event(Kind.MARK, 1000, extra={"text": b"here"}))
plain = st.lists(st.one_of(accesses, accesses, accesses, maps, marks), max_size=60)
#: What needs more than the quick way.
odd = st.sampled_from(
    [
        Event(Kind.READ, 1000, 4, 1, 0x3004, value=1, pc=0, pid=0),
        Event(Kind.UNKNOWN, 1000, map=1, addr=0x100000, pc=0, pid=0, extra={"opcode": b"\x0f\xb6\x00"}),
        Event(Kind.READ, 1000, 16, 1, 0x100000, pc=0, pid=0, extra={"value": 1 << 70}),
        Event(Kind.NOTE, extra={"damaged": True, "reason": "lost", "events": 2}),
    ]
)


def shared(path: Path, format_name: str | None = None) -> Accesses:
    """What a process would have put there."""
    columns = os.memfd_create("test")
    try:
        described = share_accesses(str(path), format_name, columns, lambda done: None)
        told = Description.unpacked(described.packed())
        assert told == described
        return map_accesses(columns, told)
    finally:
        os.close(columns)


def written(folder: Path, events: list[Event], name: str, together: int) -> Path:
    """A file of them, in blocks of some."""
    path = folder / "trace"
    with path.open("wb") as out:
        header = TraceHeader("mmiotrace", "boot", 6)
        made = native_write.NativeWriter(out, header) if name == "native" else FORMATS.get(name).writer(out, header)
        for at in range(0, len(events), together):
            made.write(Batch.from_events(events[at : at + together]))
        made.close()
    return path


def assert_the_same(path: Path) -> None:
    ours, theirs = shared(path), collect(open_trace(str(path), columns=COLLECTED).batches)
    theirs_keys = theirs.keys()
    for field in set(ours._fields) - {"codes", "table"}:
        one, other = getattr(ours, field), getattr(theirs, field)
        if field in ("time", "has_time"):
            continue  # nobody asked for them
        if field == "hashes":
            assert np.array_equal(one, theirs_keys)
        elif isinstance(other, np.ndarray):
            assert (one.dtype, one.tolist()) == (other.dtype, other.tolist()), field
        else:
            assert one == other, field


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


first = st.just([Event(Kind.DEVICE, extra=CARD.extra()), Event(Kind.DEVICE, extra=OTHER.extra())])


@given(first, plain, st.sampled_from(["native", "mmiotrace"]), st.integers(1, 70))
def test_plain_traces(folder: Path, head: list[Event], rest: list[Event], name: str, together: int) -> None:
    path = written(folder, head + rest, name, together)
    if any(event.kind <= Kind.UNKNOWN for event in rest):
        assert_the_same(path)
    else:
        with pytest.raises(Unfit):
            shared(path)


@given(
    first,
    st.lists(st.one_of(accesses, accesses, accesses, maps, devices, odd), max_size=40),
    st.sampled_from(["native", "mmiotrace"]),
    st.integers(1, 70),
)
def test_others_are_the_same_or_unfit(
    folder: Path, head: list[Event], rest: list[Event], name: str, together: int
) -> None:
    path = written(folder, head + rest, name, together)
    try:
        shared(path)
    except Unfit:
        return
    assert_the_same(path)


def test_a_long_trace(folder: Path) -> None:
    """More lines than are read at once, columns that vary late, and so many values that a table is given up."""
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    events += [Event(Kind.READ, 1000, 4, 1, 0x100000, value=at, pc=0, pid=0) for at in range(100_000)]
    events += [Event(Kind.WRITE, 1000, 2, 1, 0x800000, value=1, pc=0, pid=0)] * 3
    for name in ("native", "mmiotrace"):
        path = written(folder, events, name, 65_536)
        assert shared(path).codes is None
        assert_the_same(path)


@pytest.mark.parametrize("name", ["native", "mmiotrace"])
def test_what_recurs_is_a_row_of_a_table(folder: Path, name: str) -> None:
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    events += [Event(Kind.READ, 1000, 4, 1, 0x100000, value=at % 7, pc=0, pid=0) for at in range(5_000)]
    path = written(folder, events, name, 5_000)
    found = shared(path)
    assert found.table is not None and len(found.table) == 7
    assert_the_same(path)


@pytest.mark.parametrize("name", ["native", "mmiotrace"])
def test_a_file_that_is_cut_anywhere_is_unfit_or_shorter(folder: Path, name: str) -> None:
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    events += [Event(Kind.READ, 1000, 4, 1, 0x100000 + at, value=at, pc=0, pid=0) for at in range(40)]
    whole = written(folder, events, name, 8).read_bytes()
    path = folder / "cut"
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        try:
            assert len(shared(path, name)) < 40
        except Unfit:
            continue
        assert whole[:size].endswith(b"\n")
        assert_the_same(path)


def test_damaged_bytes_of_a_native_file_are_never_taken(folder: Path) -> None:
    events = [Event(Kind.DEVICE, extra=CARD.extra())]
    events += [Event(Kind.READ, 1000, 4, 1, 0x100000 + at, value=at, pc=0, pid=0) for at in range(40)]
    path = written(folder, events, "native", 8)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        try:
            found: Any = shared(path, "native")
        except Unfit:
            continue
        assert len(found) == 40
        assert_the_same(path)


def test_other_formats_and_pipes_are_unfit(folder: Path) -> None:
    path = written(folder, [Event(Kind.READ, 1000, 4, 1, 0x100000, value=1, pc=0, pid=0)], "jsonl", 8)
    with pytest.raises(Unfit):
        shared(path)


def test_it_needs_no_numpy(folder: Path) -> None:
    events = [Event(Kind.DEVICE, extra=CARD.extra()), Event(Kind.READ, 1000, 4, 1, 0x100000, value=1, pc=0, pid=0)]
    for name in ("native", "mmiotrace"):
        path = written(folder, events, name, 8)
        code = (
            "import os, sys; from mmiotools.quick.accesses import share_accesses\n"
            f"print(share_accesses({str(path)!r}, None, os.memfd_create('x'), id).length)\n"
            "print({'numpy', 'click'} & sys.modules.keys())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.split() == ["1", "set()"]
