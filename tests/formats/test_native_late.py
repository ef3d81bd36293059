"""Of a block only what is looked at is decoded: what is read is the same as when all is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import EVENT, write

from mmiotools import speed
from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import native_partial, native_pieces, native_planes, open_trace
from mmiotools.formats.native_decode import decode_block
from mmiotools.formats.native_layout import FRAME_SIZE, unpack, unpack_frame
from mmiotools.formats.native_magic import SYNC
from mmiotools.formats.native_open import NativeBatches
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import DTYPES, Array, Batch, BoolArray, Regions
from mmiotools.trace.zones import Choice

pytestmark = pytest.mark.usefixtures("shared_rows")

#: Few different events, many times, so that there are dictionaries and constants.
STREAM = st.lists(EVENT, min_size=1, max_size=6).flatmap(
    lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=60)
)
ENGINES = [speed.compiled.__wrapped__(), None]
NAMES = st.sampled_from(sorted(DTYPES.keys() - {"region"}))


@pytest.fixture(params=ENGINES, ids=["compiled", "numpy"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param is None and ENGINES[0] is None:
        pytest.skip("the compiled engine was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_planes, "compiled", lambda: request.param)
        yield


def block_of(events: list[Event]) -> Callable[[Callable[[Batch], BoolArray] | None], Batch]:
    """A function that decodes a block of these events, as far as it takes for some rows."""
    data = write(events, 1 << 16)
    at = data.index(SYNC)
    frame = unpack_frame(data[at : at + FRAME_SIZE])
    assert frame is not None
    at += FRAME_SIZE
    head = unpack(data[at : at + frame.head_length])
    body = data[at + frame.head_length :][: frame.body_length]

    def decode(rows: Callable[[Batch], BoolArray] | None) -> Batch:
        batch, *lacking, sound = decode_block(frame.events, head, body, Regions(), None, None, rows)
        assert batch is not None and sound
        assert not any(lacking)
        return batch

    return decode


def passing(name: str, number: int, below: bool) -> Callable[[Array], BoolArray]:
    """Whether a number of a column is less than, or else is, another."""
    number %= 1 << 8 * DTYPES[name].itemsize - (DTYPES[name].kind == "i")
    return lambda data: np.asarray(data < number if below else data == number)


@pytest.mark.usefixtures("engine")
@settings(max_examples=150, deadline=None)
@given(STREAM, st.data())
def test_some_rows_of_a_block(events: list[Event], data: st.DataObject) -> None:
    decode = block_of(events)
    whole = decode(None)
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole))))
    name, below = data.draw(NAMES), data.draw(st.booleans())
    held = whole.data(name).tolist()
    passes = passing(name, data.draw(st.sampled_from(held) | st.integers(0, 300)), below)

    def rows(batch: Batch) -> BoolArray:
        assert len(batch) == len(whole)
        assert np.array_equal(batch.where(name, passes), whole.where(name, passes))
        if data.draw(st.booleans()):
            assert np.array_equal(batch.data(name), whole.data(name))
            assert np.array_equal(batch.present(name), whole.present(name))
        return wanted

    some = decode(rows)
    expected = whole.take(wanted | (whole.kind > Kind.UNKNOWN))
    assert some.columns.keys() == (expected.columns.keys() if len(expected) else set())
    for column, (numbers, present) in expected.columns.items() if len(expected) else ():
        assert some.columns[column].data.dtype == numbers.dtype
        assert (some.columns[column].present is None) == (present is None)
    assert list(some.events()) == list(expected.events())


@pytest.mark.usefixtures("engine")
@settings(max_examples=60, deadline=None)
@given(
    STREAM,
    st.integers(1, 9),
    NAMES,
    st.integers(0, 300),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
)
def test_damage_is_found_and_told_as_before(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    block: int,
    name: str,
    number: int,
    below: bool,
    flips: list[tuple[float, int]],
) -> None:
    data = bytearray(write(events, block))
    for place, bits in flips:
        data[int(place * (len(data) - 1))] ^= bits
    path = tmp_path_factory.mktemp("late") / "trace.mmio"
    path.write_bytes(data)
    passes = passing(name, number, below)

    def rows(batch: Batch) -> BoolArray:
        return batch.where(name, passes)

    def kept(batch: Batch) -> list[Event]:
        selected = batch.take(rows(batch) | (batch.kind > Kind.UNKNOWN))
        return [event._replace(extra=dict(event.extra)) for event in selected.events()]

    try:
        expected = [event for batch in open_trace(str(path), "native").batches for event in kept(batch)]
    except FormatError:
        return
    # A file is read by its index, so that what is wrong around the blocks is not even looked at.
    choice = Choice(lambda zones: np.ones(len(zones.kinds), np.bool_), rows=rows)
    plain = Choice(lambda zones: np.ones(len(zones.kinds), np.bool_))
    by_index = [event for batch in open_trace(str(path), "native", choice=plain).batches for event in kept(batch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMIOTOOLS_WORKERS", "0")
        patch.setattr(native_pieces, "_TOGETHER", 3)
        patch.setattr(native_pieces, "_JOINED", 4)
        in_order = [kept(batch) for batch in open_trace(str(path), "native", choice=choice).batches]
        spread = [result.result for result in open_trace(str(path), "native", choice=choice).map(kept)]
    assert [event for found in in_order for event in found] == by_index
    assert [event for found in spread for event in found] == by_index
    piped = NativeBatches(ByteSource(io.BytesIO(data), "-"))
    piped.choose(choice)
    assert [event for batch in piped for event in kept(batch)] == expected


def test_where_no_address_will_do_nothing_is_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = block_of([Event(Kind.READ, at * 10, 4, 1, 0x1000 + at % 7 * 0x100, value=at * at) for at in range(600)])
    expanded = []
    expand = native_partial.expand_planes
    monkeypatch.setattr(native_partial, "expand_planes", lambda *given: expanded.append(1) or expand(*given))
    assert len(decode(lambda batch: batch.where("addr", lambda data: np.asarray(data > 0x1600)))) == 0
    assert not expanded
    found = decode(lambda batch: batch.where("addr", lambda data: np.asarray(data == 0x1100)))
    assert [event.time for event in found.events()] == [at * 10 for at in range(1, 600, 7)]
    # Of addresses and values: all else is a constant, or time.
    assert len(expanded) == 2
