"""Batches: absent is absent, rows keep their extras, columns go back to the events they came from."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats.native_block import BlockBatch, Encoded
from mmiotools.trace import batch as batch_module
from mmiotools.trace.batch import Batch, Builder, Column, concatenate, pack_opcode, unpack_opcode

U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(list(Kind)))
    extra = {}
    if draw(st.booleans()):
        extra["text"] = draw(st.binary(max_size=5))
    if draw(st.booleans()):
        extra["opcode"] = draw(st.binary(max_size=9))
    if draw(st.booleans()):
        extra["eol"] = draw(st.sampled_from(["crlf", "none"]))
    maybe = st.none()
    return Event(
        kind,
        time=draw(maybe | I64),
        width=draw(maybe | st.integers(0, 255)),
        map=draw(maybe | I64),
        addr=draw(maybe | U64),
        region=draw(maybe | st.sampled_from(["a", "b"])),
        offset=draw(maybe | U64),
        value=draw(maybe | U64 | st.integers(2**64, 2**256)),
        pc=draw(maybe | U64),
        pid=draw(maybe | I64),
        cpu=draw(maybe | st.integers(-(2**31), 2**31 - 1)),
        extra=extra,
    )


@given(st.lists(events(), max_size=12))
def test_events_come_back(some: list[Event]) -> None:
    assert list(Batch.from_events(some).events()) == some


@given(st.lists(events(), min_size=1, max_size=12), st.data())
def test_take_and_slice_keep_the_rows(some: list[Event], data: st.DataObject) -> None:
    batch = Batch.from_events(some)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(some), max_size=len(some))))
    kept = [event for event, keep in zip(some, mask, strict=True) if keep]
    assert list(batch.take(mask).events()) == kept
    assert list(batch.take(np.flatnonzero(mask)).events()) == kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_module, "_FEW", data.draw(st.sampled_from([0, 100])))
        assert list(batch.take(np.flatnonzero(mask)).events()) == kept
    start = data.draw(st.integers(0, len(some)))
    stop = data.draw(st.integers(start, len(some)))
    assert list(batch.slice(start, stop).events()) == some[start:stop]


@given(st.lists(st.lists(events(), max_size=4), min_size=1, max_size=4))
def test_concatenation_is_concatenation(parts: list[list[Event]]) -> None:
    builder = Builder()
    batches = []
    for part in parts:
        for event in part:
            builder.append(event)
        batches.append(builder.finish())
    assert list(concatenate(batches).events()) == [event for part in parts for event in part]


def test_an_unknown_column_keeps_its_type_when_joined() -> None:
    known = Batch(np.zeros(2, np.uint8), {"novel": Column(np.array([-1, -2], np.int64))})
    joined = concatenate([known, Batch(np.zeros(1, np.uint8))])
    assert joined.data("novel").dtype == np.int64
    assert joined.data("novel").tolist() == [-1, -2, 0]
    assert joined.present("novel").tolist() == [True, True, False]


@pytest.mark.parametrize("opcode", [b"", b"\x00", b"\xf3\xa5\xf6", bytes(range(7))])
def test_opcodes_pack(opcode: bytes) -> None:
    assert unpack_opcode(pack_opcode(opcode)) == opcode


@given(st.lists(events(), max_size=20))
def test_batches_travel_between_processes(some: list[Event]) -> None:
    batch = Batch.from_events(some)
    made = pickle.loads(pickle.dumps(batch))
    assert list(made.events()) == list(batch.events()) and made.regions.names == batch.regions.names
    for name, (data, present) in batch.columns.items():
        column = made.columns[name]
        assert column.data.dtype == data.dtype and np.array_equal(column.data, data)
        assert (column.present is None) == (present is None)
        assert present is None or np.array_equal(column.present, present)


def test_batches_of_other_kinds_travel_with_all_they_have() -> None:
    block = Encoded(1, b"head", b"body", (1, 2), None, Counter(), None)
    batch = BlockBatch(Batch(np.zeros(1, np.uint8), {}, {0: {"text": b"x"}}), block)
    made = pickle.loads(pickle.dumps(batch))
    assert type(made) is BlockBatch and made.block == block and made.extras == batch.extras


def test_every_other_row_travels_alone() -> None:
    present = np.array([0, 1, 1, 1, 0, 0], np.bool_)
    batch = Batch(np.arange(6, dtype=np.uint8)[::2], {"time": Column(np.arange(6)[::2], present[::2])})
    made = pickle.loads(pickle.dumps(batch))
    assert made.kind.tolist() == [0, 2, 4] and made.data("time").tolist() == [0, 2, 4]
    assert made.present("time").tolist() == [False, True, False] and made.data("time").flags.writeable


@given(st.lists(events(), max_size=8))
def test_all_events_are_the_events_of_each_row(some: list[Event]) -> None:
    batch = Batch.from_events(some)
    found = list(batch.events())
    assert found == [batch.event(row) for row in range(len(batch))]
    assert [list(event.extra) for event in found] == [list(batch.event(row).extra) for row in range(len(batch))]
