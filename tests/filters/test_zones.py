"""Blocks that are left out unread change nothing: by the index of a file, and block by block on a pipe."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from filter_expressions import events, expressions
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.filters import blocks
from mmiotools.filters.compile import Predicate
from mmiotools.filters.expr import Expr, Not
from mmiotools.filters.grammar import parse
from mmiotools.filters.stages import Chunk, cut, has_more, judge, keep_selected, tail
from mmiotools.filters.window import Window
from mmiotools.filters.zones import choose, may_select
from mmiotools.formats import native_pages, native_write, open_trace
from mmiotools.formats.native_index import read_index
from mmiotools.formats.native_open import NativeBatches
from mmiotools.formats.native_table import read_table
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.zones import Choice, Last

pytestmark = pytest.mark.usefixtures("shared_rows")

bounds = st.none() | st.integers(-3, 12)
windows = st.builds(
    Window,
    st.sampled_from([None, re.compile(b"go")]),
    st.sampled_from([None, re.compile(b"stop")]),
    bounds,
    bounds,
)


def written(stream: list[Event], block: int, folder: Path) -> Path:
    """The events as a native file with blocks of so many."""
    path = folder / "trace.mmio"
    with path.open("wb") as out:
        writer = native_write.NativeWriter(out, TraceHeader(), block)
        writer.write(Batch.from_events(stream))
        writer.close()
    return path


@pytest.fixture(autouse=True, scope="module")
def the_footer_has_the_context() -> Iterator[None]:
    """However few blocks there are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_write, "MANY", 1)
        yield


def kept(batches: object, node: Expr, window: Window, bare: bool) -> list[Event]:
    chunks = judge(batches, Predicate(node))  # type: ignore[arg-type]
    if not window.is_open:
        chunks = cut(chunks, window, bare)
    return [event for chunk in keep_selected(chunks, bare) for event in chunk.batch.events()]


@settings(max_examples=200)
@given(events, expressions(), windows, st.booleans(), st.integers(1, 5))
@example(
    [Event(Kind.DEVICE, extra={"bdf": 24, "vendor": 1, "device": 2, "bars": []}), Event(Kind.MARK, 6)],
    parse("all"),
    Window(last=0),
    True,
    2,
)
@example(
    [Event(Kind.MAP, 1, map=1, addr=0x100, extra={"length": 32}), Event(Kind.READ), Event(Kind.READ, 9)],
    parse("access and device"),
    Window(first=2),
    False,
    1,
)
@example(
    [Event(Kind.READ, 0), Event(Kind.READ, 6), Event(Kind.READ), Event(Kind.READ, 0)],
    parse("all"),
    Window(first=6),
    True,
    2,
)
@example([Event(Kind.READ, 6), Event(Kind.LOST, 0), Event(Kind.LOST, 0)], parse("all"), Window(first=6), True, 1)
def test_what_is_kept_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, stream: list[Event], node: Expr, window: Window, bare: bool, block: int
) -> None:
    path = written(stream, block, tmp_path_factory.mktemp("zones"))
    choice = choose(node, window, bare)
    expected = kept(open_trace(str(path)).batches, node, window, bare)
    assert kept(open_trace(str(path), choice=choice).batches, node, window, bare) == expected
    seen = [repr(event) for batch in open_trace(str(path), choice=choice).batches for event in batch.events()]
    spread = open_trace(str(path), choice=choice).map(lambda batch: [repr(event) for event in batch.events()])
    assert [event for result in spread for event in result.result] == seen
    piped = NativeBatches(ByteSource(io.BytesIO(path.read_bytes()), "-"))
    piped.choose(choice)
    assert kept(piped, node, window, bare) == expected


def selected(batches: Iterable[Batch], node: Expr, window: Window, bare: bool) -> Iterator[Chunk]:
    chunks = judge(batches, Predicate(node))
    return keep_selected(chunks if window.is_open else cut(chunks, window, bare), bare)


def of_last(node: Expr, window: Window, bare: bool, count: int) -> Choice:
    """As `filter --tail` chooses."""
    enough = Last(count + 1, lambda batches: has_more(selected(batches, node, window, bare), count, bare))
    return choose(node, window, bare, enough)


@settings(max_examples=400)
@given(events, expressions(), windows, st.booleans(), st.integers(1, 3), st.integers(0, 4), st.booleans())
def test_the_last_events_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    stream: list[Event],
    node: Expr,
    window: Window,
    bare: bool,
    block: int,
    count: int,
    invert: bool,
) -> None:
    node = Not(node) if invert else node
    path = written(stream, block, tmp_path_factory.mktemp("zones"))
    found = []
    for choice in (None, of_last(node, window, bare, count)):
        chunks = tail(selected(open_trace(str(path), choice=choice).batches, node, window, bare), count, bare)
        found.append([event for chunk in chunks for event in chunk.batch.events()])
    assert found[1] == found[0]


def test_only_the_last_blocks_are_read(tmp_path: Path) -> None:
    stream = accesses(400)
    stream[10] = Event(Kind.MAP, 100, map=1, addr=0x1000, extra={"length": 0x10000})
    path = written(stream, 4, tmp_path)

    def last(text: str, count: int) -> list[Event]:
        choice = of_last(parse(text), Window(), False, count)._replace(rows=None)
        return [event for batch in open_trace(str(path), choice=choice).batches for event in batch.events()]

    assert last("all", 3) == [stream[10], *stream[396:]]
    assert last("all", 4) == [stream[10], *stream[392:]]
    assert last("all", 1000) == stream
    # It is only known when they were read that one in four is selected.
    assert last("value & 3 == 0", 3) == [stream[10], *stream[384:]]
    assert last("addr < 0x2000", 3) == [stream[10], *stream[60:64]]
    # Where an offset is says the map, long before.
    assert last("offset == 0x5f00", 3) == [stream[10], *stream[368:]]


def accesses(count: int) -> list[Event]:
    return [Event(Kind.READ, at * 10, 4, 1, 0x1000 + at // 4 * 0x100, value=at) for at in range(count)]


def read(path: Path, text: str, window: Window | None = None) -> list[Event]:
    """What is read of a file block by block, whether it is selected or not."""
    choice = choose(parse(text), window or Window())._replace(rows=None)
    return [event for batch in open_trace(str(path), choice=choice).batches for event in batch.events()]


def test_only_blocks_that_may_match_are_read(tmp_path: Path) -> None:
    stream = accesses(40)
    path = written(stream, 4, tmp_path)
    assert read(path, "addr == 0x1300") == stream[12:16]
    assert read(path, "addr in 0x1100-0x1180 or addr > 0x1800") == stream[4:8] + stream[36:]
    assert read(path, "write") == []
    assert read(path, "not write") == stream
    # The block before the window tells where events without a time belong, and such may be first in the block after it.
    assert read(path, "all", Window(first=200, last=210)) == stream[16:28]


def test_blocks_are_chosen_by_the_addresses_in_them(tmp_path: Path) -> None:
    """The least and the most do not tell; the rows are not asked, so that nothing else does."""
    stream = [Event(Kind.READ, at, 4, 1, 0x1000 * (at % 2) + at // 8 * 4, value=at) for at in range(80)]
    path = written(stream, 8, tmp_path)
    assert read(path, "addr == 0x1008") == stream[16:24]
    assert read(path, "addr in 0x8-0x10 or addr in 0x1024+4") == stream[16:40] + stream[72:]
    assert read(path, "addr in 0x100-0xfff") == read(path, "addr == 0x9") == read(path, "addr > 0x1024") == []
    assert read(path, "addr != 4") == read(path, "addr < 0x10000000000000000") == stream


@settings(max_examples=100)
@given(st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), min_size=9), expressions(), st.integers(2, 4))
@example([0, 2**64 - 1] * 9, parse("addr <= 0"), 3)
def test_with_and_without_numpy_the_same_blocks_are_chosen(
    tmp_path_factory: pytest.TempPathFactory, addresses: list[int], node: Expr, most: int
) -> None:
    stream = [Event(Kind.READ, at, 4, 1, addr, value=at) for at, addr in enumerate(addresses)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_pages, "MOST", most)
        path = written(stream, 4, tmp_path_factory.mktemp("zones"))
    with path.open("rb") as file:
        index = read_index(file.fileno(), path.stat().st_size)
        table = read_table(file.fileno(), path.stat().st_size)
    assert index is not None and table.pages is not None
    chosen = may_select(node, index.zones).tolist()
    assert list(map(blocks.may_select(node, table.pages), table.zones())) == chosen
    predicate = Predicate(node)
    for at, may in enumerate(chosen):
        assert may or not predicate.mask(Batch.from_events(stream[4 * at : 4 * at + 4])).any()


def test_what_is_no_access_is_in_the_footer_too(tmp_path: Path) -> None:
    stream = accesses(40)
    stream[20] = Event(Kind.MAP, 200, map=7, addr=0x9000, extra={"virt": 1, "length": 4096})
    stream[30] = Event(Kind.DEVICE, extra={"bdf": 8, "vendor": 0x8086, "device": 1, "bars": []})
    path = written(stream, 4, tmp_path)
    assert read(path, "addr == 0x1300") == [*stream[12:16], stream[20], stream[30]]
    # The time of the event before says whether an event without one is in the window.
    assert read(path, "all", Window(first=200, last=210)) == [*stream[16:24], *stream[24:32]]


def test_damage_in_a_block_that_is_read_is_told(tmp_path: Path) -> None:
    path = written(accesses(40), 4, tmp_path)
    data = bytearray(path.read_bytes())
    starts = [mark.start() for mark in re.finditer(b"\x8aMMBLK\r\n", data)]
    data[starts[3] + 45] ^= 0xFF
    path.write_bytes(data)
    assert [event.kind for event in read(path, "addr in 0x1200-0x14ff")] == [Kind.READ] * 4 + [Kind.NOTE] + [
        Kind.READ
    ] * 4
    assert read(path, "addr in 0x1200-0x14ff")[4].extra["events"] == 4
    assert [event.kind for event in read(path, "addr == 0x1300")] == [Kind.NOTE]
    assert read(path, "addr == 0x1200") == accesses(40)[8:12]


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_index_is_not_believed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Every change of a byte of the footer is seen, or does not matter."""
    path = written(accesses(40), 4, tmp_path_factory.mktemp("zones"))
    whole = path.read_bytes()
    footer = whole.rfind(b"\x8aMMBLK\r\n")
    at = data.draw(st.integers(footer, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    with path.open("rb") as file:
        assert read_index(file.fileno(), len(changed)) is None
    assert [event for event in read(path, "addr == 0x1300") if event.kind == Kind.READ] == accesses(40)[12:16]


def test_files_that_were_joined_have_no_index(tmp_path: Path) -> None:
    path = written(accesses(40), 4, tmp_path)
    path.write_bytes(path.read_bytes() * 2)
    assert read(path, "addr == 0x1300") == accesses(40)[12:16] * 2
