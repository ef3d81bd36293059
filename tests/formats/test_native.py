"""The native format: what is written comes back, whole and in pieces, and what cannot be is named."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import native_layout as layout
from mmiotools.formats import native_pieces, open_trace
from mmiotools.formats.native import FORMAT
from mmiotools.formats.native_write import NativeWriter
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Column
from mmiotools.trace.header import PciDevice, TraceHeader

pytestmark = pytest.mark.usefixtures("shared_rows")


def write(events: list[Event], block: int = 4, *, pipe: bool = False) -> bytes:
    out = io.BytesIO()
    if pipe:
        out.seekable = lambda: False  # type: ignore[method-assign]
    writer = NativeWriter(out, TraceHeader("mmiotrace", "boot", 6, {"driver": "x"}), block)
    writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue()


def read(data: bytes) -> list[Event]:
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return [event for batch in batches for event in batch.events()]


def split(events: list[Event]) -> tuple[list[Event], int]:
    """The good events, and how many the damaged ones say are lost."""
    good = [event for event in events if not event.extra.get("damaged")]
    return good, sum(event.extra["events"] for event in events if event.extra.get("damaged"))


def some(n: int) -> list[Event]:
    card = PciDevice(0x18, 0x8086, 0x100E, 11)
    head = [
        Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"}),
        Event(Kind.DEVICE, extra=card.extra()),
        Event(Kind.MARK, 1000, extra={"text": b"\xff"}),
    ]
    return head + [Event(Kind.READ, k * 1000, 4, 1, 0xFEBC0000 + k % 7, value=k * 3, pc=0, pid=0) for k in range(n)]

U64 = st.integers(0, 2**64 - 1)

I64 = st.integers(-(2**63), 2**63 - 1)


def blocks_of(data: bytes) -> list[tuple[int, int, int]]:
    """(start, end, events) of each block."""
    found = []
    at = data.index(layout.SYNC)
    while (frame := layout.unpack_frame(data[at : at + layout.FRAME_SIZE])) is not None:
        size = layout.FRAME_SIZE + frame.head_length + frame.body_length
        found.append((at, at + size, frame.events))
        at += size
    return found


EVENT = st.builds(
    Event,
    st.sampled_from(list(Kind)),
    time=st.none() | I64 | st.integers(0, 10**6).map(lambda n: n * 1000),
    width=st.none() | st.sampled_from([0, 1, 2, 4, 8, 16, 32]),
    map=st.none() | I64,
    addr=st.none() | U64 | st.integers(0, 20),
    region=st.none() | st.sampled_from(["BAR0", "regs"]),
    offset=st.none() | U64,
    value=st.none() | U64 | st.integers(0, 2**300),
    pc=st.none() | U64,
    pid=st.none() | I64,
    cpu=st.none() | st.integers(-1, 64),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "text": st.binary(max_size=9),
            "raw": st.binary(max_size=9),
            "opcode": st.binary(max_size=9),
            "eol": st.sampled_from(["crlf", "none"]),
            "count": st.integers(0, 2**80),
            "novel": st.lists(st.integers(-(2**70), 2**70) | st.none() | st.text(max_size=3), max_size=3),
        },
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(EVENT, max_size=20), st.integers(1, 9))
def test_events_come_back(events: list[Event], block: int) -> None:
    assert read(write(events, block)) == events


def test_the_header_comes_back_and_a_file_knows_its_number_of_events() -> None:
    header, batches = FORMAT.read(ByteSource(io.BytesIO(write(some(9))), "x"))
    assert (header.format, header.clock, header.time_digits, header.meta) == ("mmiotrace", "boot", 6, {"driver": "x"})
    assert [len(batch) for batch in batches] == [4, 4, 4]
    on_file, on_pipe = write(some(9)), write(some(9), pipe=True)
    assert layout.unpack_file_header(on_file).events == 12
    assert layout.unpack_file_header(on_pipe).events == layout.UNKNOWN_COUNT
    assert read(on_pipe) == read(on_file) == some(9)


def test_files_one_after_the_other_are_one_stream() -> None:
    one, two = some(5), some(9)
    assert read(write(one) + write(two, pipe=True)) == one + two
    good, lost = split(read(write(one)[:-40] + write(two)))
    assert good == one + two and lost == 0


def test_a_row_without_region_holds_zero_whatever_the_codes_of_the_stream_are() -> None:
    data = write([Event(Kind.READ, region="a")]) + write([Event(Kind.READ, region="b"), Event(Kind.READ)])
    *_, last = FORMAT.read(ByteSource(io.BytesIO(data), "x"))[1]
    assert last.data("region").tolist() == [1, 0]


def test_a_column_of_a_newer_writer_is_kept() -> None:
    novel = Column(np.array([5, -6, 0], np.int64), np.array([True, True, False]))
    batch = Batch(np.zeros(3, np.uint8), {"novel": novel})
    out = io.BytesIO()
    for _ in range(2):  # written, read, and written again
        out = io.BytesIO()
        writer = FORMAT.writer(out, TraceHeader())
        writer.write(batch)
        writer.close()
        (batch,) = FORMAT.read(ByteSource(io.BytesIO(out.getvalue()), "x"))[1]
    assert batch.data("novel").tolist() == [5, -6, 0]
    assert batch.present("novel").tolist() == [True, True, False]


def test_much_text_makes_small_blocks() -> None:
    events = [Event(Kind.NOTE, extra={"text": bytes([k]) * (1 << 20)}) for k in range(20)]
    data = write(events, 4096)
    assert len(blocks_of(data)) > 2
    assert read(data) == events


def nested(depth: int) -> list[object]:
    """Lists in lists."""
    found: list[object] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "extra",
    [
        {"line": "nine"},
        {"text": "no bytes"},
        {"damaged": "yes"},
        {"bars": [{"number": None}]},
        {"version": None},
        {"eol": "crlf", "meta": []},
        {"novel": object()},
        {"novel": [0] * (layout.MAX_OBJECTS + 1)},
        {"novel": nested(1_040)},
        {"novel": nested(3_000)},
    ],
    ids=range(10),
)
def test_the_writer_names_what_a_reader_would_refuse(extra: dict[str, object]) -> None:
    """Otherwise a file would be damaged from its beginning, and the block's other events lost with it."""
    events = [Event(Kind.NOTE, extra={"text": b"before"}), Event(Kind.NOTE, extra={"reason": "kept", **extra})]
    out = io.BytesIO()
    writer = FORMAT.writer(out, TraceHeader())
    writer.write(Batch.from_events(events))
    writer.close()
    assert sum(writer.lost.values()) == 1
    found = read(out.getvalue())
    assert found[0] == events[0]
    assert found[1].extra["reason"] == "kept" and len(found[1].extra) == len(extra)


def test_a_header_that_nests_too_deep_is_written_without_it() -> None:
    out = io.BytesIO()
    writer = FORMAT.writer(out, TraceHeader("mmiotrace", "boot", 6, {"deep": nested(1_040)}))
    writer.write(Batch.from_events(some(3)))
    writer.close()
    assert sum(writer.lost.values()) == 1
    assert read(out.getvalue()) == some(3)


def test_extras_that_are_unusual_but_not_wrong() -> None:
    events = [
        Event(Kind.LOST, cpu=1, extra={"count": None}),
        Event(Kind.MAP, extra={"virt": None, "length": None}),
        Event(Kind.NOTE, extra={"novel": "\ud800", "\udfff": -(2**200)}),
    ]
    assert read(write(events)) == events


def _sendable(batch: Batch) -> list[Event]:
    """Its events, so that they can be sent from one process to another."""
    return [event._replace(extra=dict(event.extra)) for event in batch.events()]


@pytest.mark.parametrize("workers", ["0", "2"])
@settings(max_examples=40)
@given(
    st.lists(EVENT, min_size=1, max_size=60),
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=3),
    st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 60)),
)
def test_spread_gives_what_reading_in_order_gives(
    tmp_path_factory: pytest.TempPathFactory,
    workers: str,
    events: list[Event],
    block: int,
    flips: list[tuple[float, int]],
    moved: tuple[float, float, int] | None,
) -> None:
    data = bytearray(write(events, block))
    if moved is not None:
        # Blocks between these places are not where the index says.
        taken, put, count = int(moved[0] * len(data)), int(moved[1] * len(data)), moved[2]
        del data[taken : taken + count]
        data[put:put] = bytes(count)
    for place, bits in flips:
        data[int(place * (len(data) - 1))] ^= bits
    path = tmp_path_factory.mktemp("spread") / "trace.mmio"
    path.write_bytes(data)
    try:
        expected = [event for batch in open_trace(str(path), "native").batches for event in batch.events()]
    except FormatError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMIOTOOLS_WORKERS", workers)
        patch.setattr(native_pieces, "_TOGETHER", 2)
        results = list(open_trace(str(path), "native").map(_sendable))
    assert [event for result in results for event in result.result] == expected
    assert [event for result in results for event in result.rare.events()] == [
        event for event in expected if event.kind > Kind.UNKNOWN
    ]
    assert sum(result.events for result in results) == len(expected)


def test_a_block_that_lies_before_its_place_in_the_index_is_found(tmp_path: Path) -> None:
    """One block has become shorter, a later one as much longer, and between them stands what lies elsewhere than the
    index says.
    """
    data = write(some(40), 10)
    marks = [found.start() for found in re.finditer(re.escape(layout.SYNC), data)]
    short, long = marks[2] - 30, marks[4] - 30
    path = tmp_path / "trace.mmio"
    path.write_bytes(data[:short] + data[short + 20 : long] + bytes(20) + data[long:])
    in_order = [event for batch in open_trace(str(path), "native").batches for event in batch.events()]
    spread = [event for part in open_trace(str(path), "native").map(_sendable) for event in part.result]
    assert spread == in_order
    trace = open_trace(str(path), "native")
    assert trace.counting is not None
    assert sum(part.events for part in trace.counting(lambda counted: None)) == len(in_order)


def test_blocks_that_all_lie_before_their_places_in_the_index_are_found(tmp_path: Path) -> None:
    """The header has become shorter, and what it lost stands between two blocks."""
    data = write(some(40), 10)
    header = layout.unpack_file_header(data)
    assert header is not None
    marks = [found.start() for found in re.finditer(re.escape(layout.SYNC), data)]
    short = layout.pack_file_header(header.flags, header.events, layout.pack({"clock": "boot"}))
    lost = marks[0] - len(short)
    assert lost > 0
    path = tmp_path / "trace.mmio"
    path.write_bytes(short + data[marks[0] : marks[2]] + bytes(lost) + data[marks[2] :])
    in_order = [event for batch in open_trace(str(path), "native").batches for event in batch.events()]
    assert [event for event in in_order if not event.damaged] == some(40)
    spread = [event for part in open_trace(str(path), "native").map(_sendable) for event in part.result]
    assert spread == in_order


def test_a_pipe_does_not_wait_for_a_whole_block() -> None:
    """Blocks onto a pipe are written as soon as there is something to see, and are no smaller than they need be."""
    some_rows, many_rows = (Batch(np.zeros(count, np.uint8)) for count in (1024, 50_000))
    for is_pipe in (True, False):
        out = io.BytesIO()
        if is_pipe:
            out.seekable = lambda: False  # type: ignore[method-assign]
        writer = NativeWriter(out, TraceHeader())
        for number in range(1, 9):
            assert layout.SYNC not in out.getvalue(), number
            writer.write(some_rows)
        assert out.getvalue().count(layout.SYNC) == is_pipe
        writer.write(many_rows)
        assert out.getvalue().count(layout.SYNC) == 2 * is_pipe
        writer.close()
        assert out.getvalue().count(layout.SYNC) == 2 + is_pipe
        batches = FORMAT.read(ByteSource(io.BytesIO(out.getvalue()), "test"))[1]
        assert sum(map(len, batches)) == 8 * 1024 + 50_000
