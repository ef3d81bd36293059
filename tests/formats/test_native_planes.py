"""The loops of native columns: equal on both engines, and each the inverse of the other."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import EVENT

from mmiotools import speed
from mmiotools.events import Event
from mmiotools.formats import native_planes, open_trace
from mmiotools.formats.native_planes import (
    OFTEN,
    Coded,
    Packed,
    Rows,
    Steps,
    What,
    alike,
    ascending,
    chosen,
    code,
    distinct_rows,
    from_differences,
    from_steps,
    join,
    look_up,
    pack_column,
    split,
    to_differences,
    to_steps,
)
from mmiotools.formats.native_write import NativeWriter
from mmiotools.trace.batch import Batch, Column
from mmiotools.trace.header import TraceHeader

FAST = speed.compiled.__wrapped__()
needs_engine = pytest.mark.skipif(FAST is None, reason="the compiled engine was not built")

R = TypeVar("R")
SIZES = (1, 2, 4, 8, 3)
TYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
WORDS = st.integers(0, 255) | st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 255, 256, (1 << 64) - 1])
NUMBERS = st.lists(WORDS, min_size=1, max_size=40).flatmap(
    lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=400)
)
TIMES = st.lists(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 1000).map(lambda ms: ms * 1_000_000),
    min_size=1,
    max_size=60,
)


def words(numbers: list[int]) -> Any:
    return np.array(numbers, np.uint64)


def on_both(function: Callable[[], R]) -> list[R]:
    """What it gives on the compiled engine, and on numpy's; a ValueError as its text."""
    found: list[Any] = []
    for engine in (FAST, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native_planes, "compiled", lambda engine=engine: engine)
            try:
                found.append(function())
            except ValueError as error:
                found.append(str(error))
    return found


def plain(made: Any) -> Any:
    """Arrays and buffers as what can be compared."""
    if isinstance(made, Coded | Packed | Rows | Steps | list | tuple):
        return [plain(part) for part in made]
    if isinstance(made, np.ndarray):
        return [str(made.dtype), made.tolist()]
    return bytes(made) if isinstance(made, bytearray | memoryview) else made


def same(function: Callable[[], R]) -> R:
    ours, theirs = on_both(function)
    assert plain(ours) == plain(theirs)
    return ours


@needs_engine
@given(NUMBERS)
def test_planes_and_back(numbers: list[int]) -> None:
    planes = same(lambda: split(words(numbers)))
    assert same(lambda: join(planes, len(numbers))).tolist() == numbers


@needs_engine
@given(NUMBERS, st.integers(0, 50))
def test_dictionaries_and_back(numbers: list[int], most: int) -> None:
    coded = same(lambda: code(words(numbers), most))
    assert (coded is None) == (len(set(numbers)) > most)
    if coded is not None:
        assert coded.values.tolist() == sorted(set(numbers))
        back = same(lambda: look_up(coded.planes, len(numbers), coded.values, np.dtype(np.uint64)))
        assert back.tolist() == numbers


@needs_engine
@given(NUMBERS, st.none() | st.lists(WORDS, max_size=300), st.sampled_from(TYPES))
def test_whatever_the_planes_say(numbers: list[int], values: list[int] | None, dtype: str) -> None:
    planes = split(words(numbers))
    same(lambda: look_up(planes, len(numbers), None if values is None else words(values), np.dtype(dtype)))


@needs_engine
@given(NUMBERS, st.sampled_from([np.uint8, np.uint32, np.uint64]))
def test_whether_all_are_alike(numbers: list[int], dtype: Any) -> None:
    column = words(numbers).astype(dtype)
    assert same(lambda: alike(column)) == (len(set(column.tolist())) == 1)


@needs_engine
@given(TIMES)
def test_times_and_back(times: list[int]) -> None:
    steps = same(lambda: to_steps(np.array(times, np.int64)))
    assert same(lambda: from_steps(steps)).tolist() == times
    for step in (1, 2, 7, len(times) + 1):
        rows = np.arange(len(times) - 1, -1, -step)[::-1]
        assert same(lambda rows=rows: from_steps(steps, rows)).tolist() == np.array(times)[rows].tolist()
    assert same(lambda: from_steps(steps, np.zeros(0, np.intp))).tolist() == []


@needs_engine
@given(st.binary(min_size=1, max_size=50), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-9, 1 << 40), st.data())
def test_whatever_the_steps_say(small: bytes, first: int, unit: int, data: st.DataObject) -> None:
    many = small.count(255)
    large = data.draw(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=many, max_size=many))
    steps = Steps(first, unit, small, np.array(large, np.int64))
    same(lambda: from_steps(steps))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(small) - 1)))), np.intp)
    same(lambda: from_steps(steps, rows))


def held_to_ascending(steps: Steps) -> bool:
    """Whether it says ends; these are held to the times."""
    ends, times = ascending(steps), from_steps(steps)
    assert ends is None or ends == (times[0], times[-1]) == (times.min(), times.max())
    return ends is not None


@given(
    st.lists(st.sampled_from([0, 1, 7, 254, 255]), min_size=1, max_size=50).map(bytes),
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-9, 9),
    st.sampled_from([1, 1000, 1_000_000, 0, -5, 1 << 62]),
    st.data(),
)
def test_the_ends_of_times_that_ascend(small: bytes, first: int, unit: int, data: st.DataObject) -> None:
    many = small.count(255)
    step = st.integers(0, 1 << 20) | st.integers(-3, (1 << 63) - 1)
    large = data.draw(st.lists(step, min_size=many, max_size=many))
    said = held_to_ascending(Steps(first, unit, small, np.array(large, np.int64)))
    assert said or many or unit < 1 or abs(first) > 1 << 40 or unit == 1 << 62


@given(st.lists(st.integers(0, 1 << 40), min_size=1).map(sorted))
def test_times_that_ascend_are_known_by_their_ends(times: list[int]) -> None:
    assert held_to_ascending(to_steps(np.array(times, np.int64)))


COLUMNS = st.sampled_from(
    [(dtype, What.ANY) for dtype in TYPES] + [("i8", What.TIMES), ("u1", What.KINDS), ("u8", What.ADDRESSES)]
)


@needs_engine
@settings(max_examples=300)
@given(st.one_of(NUMBERS, TIMES.map(lambda times: [time % (1 << 64) for time in times])), COLUMNS, st.data())
def test_whole_columns_are_packed_alike(numbers: list[int], kind: tuple[str, What], data: st.DataObject) -> None:
    dtype, what = kind
    column = words(numbers).astype(dtype)
    rows = data.draw(st.none() | st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))
    present = None if rows is None else np.array(rows, np.bool_)
    if present is not None:
        column[~present] = 0
    values = column if present is None else column[present]

    made = same(lambda: flat(pack_column(Column(column, present), what)))
    assert made.rows == len(values)
    if what in (What.TIMES, What.ADDRESSES) and len(values):
        assert (made.low, made.high) == (values.min(), values.max())


@needs_engine
@pytest.mark.parametrize("count", [255, 256, 257, 300, 65_535, 65_536])
def test_dictionaries_of_any_size(count: int) -> None:
    numbers = np.random.default_rng(count).permutation(65_536)[:count].astype(np.uint64) << np.uint64(20)
    for rows in (numbers, np.concatenate([numbers] * 4)[: 1 << 16]):
        for what in (What.ANY, What.ADDRESSES):
            assert same(lambda rows=rows, what=what: flat(pack_column(Column(rows), what))).rows == len(rows)  # type: ignore[misc]


@needs_engine
@pytest.mark.parametrize("spread", [3, 60, 400, 30_000])
def test_numbers_that_are_used_most_come_first(spread: int) -> None:
    rng = np.random.default_rng(spread)
    numbers = (np.abs(rng.normal(0, spread, 1 << 16)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(9)
    coded = same(lambda: code(numbers, 1 << 16))
    assert coded is not None
    uses = Counter(numbers.tolist())
    distinct = sorted(uses)
    often = sorted(sorted(distinct, key=lambda number: (-uses[number], number))[:OFTEN])
    if len(distinct) > OFTEN:
        assert coded.values.tolist() == often + sorted(set(distinct).difference(often))
    else:
        assert coded.values.tolist() == distinct
    assert (coded.values[join(coded.planes, len(numbers)).astype(np.intp)] == numbers).all()
    steps = to_differences(coded.values)
    assert (from_differences(steps, OFTEN if len(distinct) > OFTEN else 0) == coded.values).all()
    made = same(lambda: flat(pack_column(Column(numbers), What.ADDRESSES)))
    assert (made.low, made.high) == (distinct[0], distinct[-1])
    assert (join(made.word_planes, made.words) == steps).all()


def flat(made: Packed) -> Packed:
    """What lasts: the planes of the compiled engine are overwritten by the next."""
    return made._replace(planes=[bytes(p) for p in made.planes], word_planes=[bytes(p) for p in made.word_planes])


def stored(batches: list[Batch], block: int) -> bytes:
    out = io.BytesIO()
    writer = NativeWriter(out, TraceHeader(), block)
    for batch in batches:
        writer.write(batch)
    writer.close()
    return out.getvalue()


@needs_engine
@settings(max_examples=50)
@given(st.lists(EVENT, min_size=1, max_size=40), st.integers(1, 20))
def test_files_have_the_same_bytes(events: list[Event], block: int) -> None:
    same(lambda: stored([Batch.from_events(events)], block))


@needs_engine
@pytest.mark.parametrize("name", ["mmiotrace/nvme-linux6.1.mmiotrace", "mmiotrace/e1000-linux6.1.mmiotrace.xz"])
def test_files_of_samples_have_the_same_bytes(samples: Path, name: str) -> None:
    same(lambda: stored(list(open_trace(str(samples / name)).batches), 1 << 12))


def fuzz(engine: Any, rounds: int, seed: int) -> None:
    """Arguments of any length and with any numbers: under a sanitizer, see test_speed.py."""
    rng = random.Random(seed)

    def length() -> int:
        return rng.choice((0, 1, 7, 40, 40, 40, 41, 70_000, -1, 1 << 62))

    def room(times: int = 1) -> bytearray:
        return bytearray(rng.randbytes(8 * times * rng.choice((0, 1, 7, 40, 40, 41, 80))))

    for _ in range(rounds):
        planes = [rng.randbytes(rng.choice((40, 40, 40, 7))) for _ in range(rng.randrange(10))]
        for call in (
            lambda: engine.split(room(), length(), room()),
            lambda: engine.codes(room(), length(), length(), room(), room()),
            lambda: engine.distinct_rows(
                tuple((room(), rng.choice((1, 8, 8, 3))) for _ in range(rng.choice((0, 1, 4, 5, 8, 9)))),
                length(), length(), room(), room(),
            ),
            lambda: engine.alike(room(), length()),
            lambda planes=planes: engine.join(
                planes, length(), rng.choice((None, room())), 1, rng.choice(SIZES), room()
            ),
            lambda: engine.pack_column(
                room(), length(), rng.choice(SIZES), 0, rng.choice((None, room())), rng.randrange(5), room(4)
            ),
            lambda: engine.pack_column(room(), length(), 8, 1, rng.choice((None, room())), What.TIMES, room(4)),
            lambda: engine.steps(room(), length(), room(), room()),
            lambda: engine.sum_steps(room(), length(), room(), length(), rng.getrandbits(63), -9, room()),
            lambda: engine.add_up(room()),
            lambda: engine.sums(room()),
            lambda: engine.tally_rows(length(), room(), room(), room(), room(), None, None, room()),
        ):
            try:
                call()
            except (ValueError, OverflowError, TypeError):
                pass


@needs_engine
def test_what_lies_outside_a_buffer_is_refused() -> None:
    numbers, room = np.zeros(4, np.uint64), bytearray(32)
    with pytest.raises(ValueError, match="too small"):
        FAST.split(numbers, 5, room)
    with pytest.raises(ValueError, match="too small"):
        FAST.codes(numbers, 4, 5, numbers, room)
    with pytest.raises(ValueError, match="too small"):
        FAST.join([b"123"], 4, None, False, 8, bytearray(64))
    with pytest.raises(ValueError, match="too many"):
        FAST.join([b"1234"] * 9, 4, None, False, 8, bytearray(64))
    with pytest.raises(ValueError, match="too small"):
        FAST.sum_steps(bytes(4), 4, numbers, 5, 0, 1, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="more rows"):
        FAST.split(numbers, 1 << 40, room)
    with pytest.raises((BufferError, ValueError)):
        FAST.join([b"1234"], 4, None, False, 1, b"1234")


@given(st.lists(st.booleans(), min_size=1, max_size=700), st.data())
def test_what_a_table_chooses(table: list[bool], data: st.DataObject) -> None:
    some = np.array(table)
    if data.draw(st.booleans()):
        some = np.sort(some)
    places = np.array(data.draw(st.lists(st.integers(0, len(table) - 1), max_size=50)), np.uint16)
    assert (chosen(some, places) == some[places]).all()
    small = np.array([place for place in places.tolist() if place < 256], np.uint8)
    assert (chosen(some, small) == some[small]).all()
    with pytest.raises(ValueError):
        chosen(some, np.array([0, len(table)], np.uint16))


COLUMN = st.lists(WORDS, min_size=1, max_size=9)


@needs_engine
@settings(max_examples=200)
@given(st.lists(st.tuples(COLUMN, st.booleans()), min_size=1, max_size=6), st.integers(1, 700), st.integers(0, 700))
def test_distinct_rows_are_the_same_on_both_engines(parts: list[tuple[list[int], bool]], n: int, most: int) -> None:
    dice = random.Random(n)
    columns = []
    for some, narrow in parts:
        numbers = np.array([dice.choice(some) for _ in range(n)], np.uint64)
        columns.append(numbers.astype(np.uint8) if narrow else numbers)
    fast, slow = on_both(lambda: distinct_rows(columns, min(most, n)))
    rows = list(zip(*[column.tolist() for column in columns], strict=True))
    assert (fast is None) == (slow is None) == (len(set(rows)) > min(most, n))
    if fast is None:
        return
    assert plain(fast) == plain(slow)
    places = join(fast.planes, n).tolist()
    distinct = [rows[at] for at in fast.one_of.tolist()]
    assert [distinct[place] for place in places] == rows
    assert [max(at for at in range(n) if rows[at] == row) for row in distinct] == fast.one_of.tolist()
    assert distinct[:OFTEN] == sorted(distinct[:OFTEN]) and distinct[OFTEN:] == sorted(distinct[OFTEN:])
