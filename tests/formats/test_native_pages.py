"""The pages in a footer: what is gathered is exact and bounded, and what is impossible is not believed."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.filters.grammar import parse
from mmiotools.filters.window import Window
from mmiotools.filters.zones import choose
from mmiotools.formats import native_layout as layout
from mmiotools.formats import native_pages, native_table, open_trace
from mmiotools.formats.native_index import read_index
from mmiotools.formats.native_pages import PageSets, pages_of
from mmiotools.formats.native_table import MAX_PAGES, MAX_SEEN
from mmiotools.formats.native_write import NativeWriter
from mmiotools.formats.native_zstd import expand, squeeze
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

#: Close together, 4 apart, and anywhere.
addresses = st.one_of(
    st.integers(0, 40), st.integers(0, 300).map(lambda n: 0xFEBC0000 + 4 * n), st.integers(0, 2**64 - 1)
)
blocks = st.lists(st.sets(addresses, max_size=60), max_size=40)


def gathered(sets: list[set[int]]) -> tuple[bool, dict[str, Any]]:
    pages = PageSets()
    fits = True
    for one in sets:
        fits &= pages.add(pages_of(np.array(sorted(one), np.uint64)))
    return fits, pages.packed()


@settings(max_examples=300)
@given(blocks, st.integers(2, 50), st.integers(1, 60))
@example([set(), {1}], 2, 60)
@example([{n << 58 for n in range(64)}, {0}], 2, 60)
def test_the_sets_are_exact_and_the_pages_as_small_as_can_be(sets: list[set[int]], most: int, room: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_pages, "MOST", most)
        patch.setattr(native_pages, "_MOST_SEEN", room)
        patch.setattr(native_pages, "_TOGETHER", 64)
        fits, packed = gathered(sets)
    whole = set().union(*sets)

    def there(shift: int) -> list[int]:
        return sorted({address >> shift for address in whole})

    def few(shift: int) -> bool:
        count = len(there(shift))
        return count <= most and len(sets) * -(-count // 8) <= room

    assert fits == few(63)
    if not fits or not whole:
        assert not fits or packed == {}
        return
    shift, count, numbers = packed["pages"]
    assert shift == next(filter(few, range(64)))
    steps = struct.unpack(f"<{count}Q", expand(numbers, 8 * count))
    pages = np.cumsum(np.array(steps, np.uint64), dtype=np.uint64).tolist()
    assert pages == there(shift)
    size = -(-count // 8)
    seen = expand(packed["seen"], len(sets) * size)
    for at, one in enumerate(sets):
        bits = int.from_bytes(seen[at * size : (at + 1) * size], "little")
        assert {pages[bit] for bit in range(8 * size) if bits >> bit & 1} == {address >> shift for address in one}


def test_many_blocks_of_addresses_anywhere_take_no_more_room_than_they_may() -> None:
    dice, pages = np.random.default_rng(1), PageSets()
    for _ in range(40):
        found = pages_of(np.unique(dice.integers(0, 1 << 63, 60_000, np.uint64)))
        assert len(found.numbers) <= native_pages.MOST
        for _ in range(250):
            assert pages.add(found)
    shift, count, _ = pages.packed()["pages"]
    assert 1000 < count <= 4096 and shift > 50
    assert 10_000 * -(-count // 8) <= MAX_SEEN // 4


def footer_of(data: bytes) -> tuple[int, dict[str, Any]]:
    at = data.rindex(layout.SYNC)
    frame = layout.unpack_frame(data[at:])
    assert frame is not None
    return at, layout.unpack(data[at + layout.FRAME_SIZE : at + layout.FRAME_SIZE + frame.head_length])


def with_footer(data: bytes, **changed: Any) -> bytes:
    """A file with another head of its footer; None leaves a key out."""
    at, head = footer_of(data)
    frame = layout.unpack_frame(data[at:])
    assert frame is not None
    packed = layout.pack({key: value for key, value in (head | changed).items() if value is not None})
    frame = frame._replace(head_length=len(packed), head_crc=zlib.crc32(packed))
    return data[:at] + layout.pack_frame(frame) + packed + layout.TRAILER.pack(at, layout.END)


def written(count: int = 40) -> bytes:
    out = io.BytesIO()
    writer = NativeWriter(out, TraceHeader(), 4)
    writer.write(Batch.from_events([Event(Kind.READ, n, 4, 1, 0x1000 + n * n % 64 * 4) for n in range(count)]))
    writer.close()
    return out.getvalue()


def numbers(*steps: int) -> bytes:
    return squeeze(struct.pack(f"<{len(steps)}Q", *steps))


@pytest.mark.parametrize(
    ("good", "changed"),
    [
        (True, {"pages": None, "seen": None}),
        (True, {"pages": [8, 1, numbers(0x10)], "seen": squeeze(b"\1" * 10)}),
        (False, {"seen": None}),
        (False, {"pages": 7}),
        (False, {"pages": [0, 0, squeeze(b"")], "seen": squeeze(b"")}),
        (False, {"pages": [64, 1, numbers(0)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [-1, 1, numbers(0)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [True, 1, numbers(0)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, True, numbers(0)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, 2, numbers(1)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, 2, numbers(1, 0)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, 2, numbers(5, 2**64 - 1)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, 9, numbers(*[1] * 9)], "seen": squeeze(bytes(10))}),
        (False, {"pages": [8, 1, numbers(1)], "seen": bytes(10)}),
        (False, {"pages": [8, 1, numbers(1)], "seen": squeeze(bytes(1 << 28))}),
        (False, {"pages": [8, 1 << 25, squeeze(bytes(1 << 28))], "seen": squeeze(bytes(10 << 22))}),
        (False, {"pages": [8, MAX_PAGES + 1, numbers(*[1] * (MAX_PAGES + 1))], "seen": squeeze(bytes(20490))}),
    ],
)
def test_pages_that_are_impossible_are_not_believed(good: bool, changed: dict[str, Any], tmp_path: Path) -> None:
    """Then the file is read in order, and nothing is lost."""
    path = tmp_path / "trace.mmio"
    path.write_bytes(with_footer(written(), **changed))
    choice = choose(parse("addr == 0x1000"), Window())
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            index = read_index(file.fileno(), path.stat().st_size)
        found = [event for batch in open_trace(str(path), choice=choice).batches for event in batch.events()]
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert (index is not None) == good
    assert [event.time for event in found if event.addr == 0x1000] == [0, 8, 16, 24, 32]


def test_more_blocks_than_there_is_room_for_are_no_pages(tmp_path: Path) -> None:
    """What they would take is looked at before anything is decompressed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_table, "MAX_SEEN", 19)
        path = tmp_path / "trace.mmio"
        path.write_bytes(written())
        with path.open("rb") as file:
            assert read_index(file.fileno(), path.stat().st_size) is None
            patch.setattr(native_table, "MAX_SEEN", 20)
            assert read_index(file.fileno(), path.stat().st_size) is not None


def test_a_short_trace_has_none() -> None:
    assert "pages" not in footer_of(written(4))[1]
    assert "pages" in footer_of(written(5))[1]
