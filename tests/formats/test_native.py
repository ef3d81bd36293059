"""The native format: round trips, every kind of damage, hostile and newer files."""

from __future__ import annotations

import functools
import io
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools import speed
from mmiotools.cli.main import run
from mmiotools.errors import FormatError
from mmiotools.events import Event, Kind
from mmiotools.formats import native_layout as layout
from mmiotools.formats import native_pieces, open_trace
from mmiotools.formats.native import FORMAT
from mmiotools.formats.native_write import NativeWriter
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Column
from mmiotools.trace.header import PciDevice, TraceHeader


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


def blocks_of(data: bytes) -> list[tuple[int, int, int]]:
    """(start, end, events) of each block."""
    found = []
    at = data.index(layout.SYNC)
    while (frame := layout.unpack_frame(data[at : at + layout.FRAME_SIZE])) is not None:
        size = layout.FRAME_SIZE + frame.head_length + frame.body_length
        found.append((at, at + size, frame.events))
        at += size
    return found


@pytest.mark.parametrize("pipe", [False, True])
def test_any_changed_byte_costs_at_most_its_block(pipe: bool) -> None:
    events = some(13)
    data = write(events, pipe=pipe)
    places = blocks_of(data)
    silent = 0
    for at in range(len(data)):
        for value in (data[at] ^ 0x01, data[at] ^ 0xFF) if at % 3 else (10,):
            if value == data[at]:
                continue
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                out = read(changed)
            except FormatError:
                assert at < len(layout.MAGIC) + 2
                continue
            good, lost = split(out)
            assert len(good) + lost == len(events), at
            start = 0
            for begin, end, n in places:
                if not begin <= at < end:
                    assert all(event in good for event in events[start : start + n]), at
                start += n
            silent += out == events
    assert silent == 0


@pytest.mark.parametrize("pipe", [False, True])
def test_a_cut_keeps_every_whole_block(pipe: bool) -> None:
    events = some(13)
    data = write(events, pipe=pipe)
    places = blocks_of(data)
    for at in range(1, len(data)):
        try:
            out = read(data[:at])
        except FormatError:
            assert at < len(layout.MAGIC)
            continue
        good, lost = split(out)
        whole = sum(n for _, end, n in places if end <= at)
        assert good == events[:whole]
        assert any(event.extra.get("damaged") for event in out)
        if not pipe and at >= layout.FILE_HEADER_SIZE:
            assert len(good) + lost == len(events)


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


def assemble(head: dict[str, object], body: dict[str, bytes], events: int, kind: int = layout.EVENTS) -> bytes:
    """A file of one block, made by hand, whatever the block says."""
    packed, content = msgpack.packb(head), msgpack.packb(body)
    frame = layout.Frame(kind, len(packed), len(content), 0, events, zlib.crc32(packed))
    return layout.pack_file_header(0, events, msgpack.packb({})) + layout.pack_frame(frame) + packed + content


def entry(payload: bytes, encoding: int = 1, bits: int = 8) -> list[object]:
    return [encoding, bits, len(payload), zlib.crc32(payload), None]


#: Parameters of DELTA that are none.
_NO_TIMES = {"times beyond 64 bits": [(1 << 64) - 1, 1], "a unit beyond 64 bits": [0, 1 << 63], "no time": [None, 1]}


@functools.cache
def hostile() -> dict[str, bytes]:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    planes = msgpack.packb({"v": [bomb]})
    kind = [0, 8, 0, 0, 0]
    extras = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    wrong = zstandard.ZstdCompressor().compress(msgpack.packb({0: {"text": 5}}))
    lists = zstandard.ZstdCompressor().compress(
        b"\x81\x00\x81\xa1a\xdc\x04\x00" + (b"\xdc\xff\xff" + b"\x80" * 65535) * 1024
    )
    kinds = {"kind": [0, 8, 0, 0, 0]}
    steps = msgpack.packb({"v": zstandard.ZstdCompressor().compress(bytes(2))})
    times = {what: [4, -64, len(steps), zlib.crc32(steps), pair] for what, pair in _NO_TIMES.items()}
    return {
        **{
            what: assemble({"n": 2, "columns": {**kinds, "time": time}}, {"time": steps}, 2)
            for what, time in times.items()
        },
        "as many addresses as a truth value": assemble({"n": 2, "addresses": [True, bomb], "columns": kinds}, {}, 2),
        "objects in the extras": assemble(
            {"n": 2, "columns": {**kinds, "extras": entry(lists, 5)}}, {"extras": lists}, 2
        ),
        "an entry too short": assemble({"n": 2, "columns": {**kinds, "extras": [5]}}, {}, 2),
        "an entry that is none": assemble({"n": 2, "columns": {**kinds, "value": 5}}, {}, 2),
        "too many columns": assemble(
            {"n": 2, "columns": {**kinds, **{f"c{k}": [0, 64, 0, 0, 0] for k in range(10_000)}}}, {}, 2
        ),
        "a line end that is none": assemble({"n": 2, "columns": {**kinds, "eol": [0, 8, 0, 0, 77]}}, {}, 2),
        "an opcode too long": assemble({"n": 2, "columns": {**kinds, "opcode": [0, 64, 0, 0, 9 << 56]}}, {}, 2),
        "a constant that is no number": assemble({"n": 2, "columns": {**kinds, "time": [0, -64, 0, 0, "7"]}}, {}, 2),
        "a negative value": assemble({"n": 2, "columns": {**kinds, "value": [0, -64, 0, 0, -5]}}, {}, 2),
        "a presence bomb": assemble(
            {"n": 2, "present": [bomb], "columns": {**kinds, "value": [0, 64, 0, 0, 5, 0]}}, {}, 2
        ),
        "bomb in a column": assemble({"n": 2, "columns": {"kind": entry(planes)}}, {"kind": planes}, 2),
        "bomb in the extras": assemble(
            {"n": 2, "columns": {"kind": kind, "extras": entry(extras, 5)}}, {"extras": extras}, 2
        ),
        "extras of a wrong type": assemble(
            {"n": 2, "columns": {"kind": kind, "extras": entry(wrong, 5)}}, {"extras": wrong}, 2
        ),
        "too many events": assemble({"n": 1 << 40, "columns": {"kind": kind}}, {}, (1 << 32) - 1),
        "no kinds": assemble({"n": 2, "columns": {}}, {}, 2),
        "kind beyond all": assemble({"n": 2, "columns": {"kind": [0, 8, 0, 0, 99]}}, {}, 2),
        "no columns": assemble({"n": 2}, {}, 2),
        "deep nesting": assemble({"n": 2, "columns": {"kind": kind}, "x": None}, {}, 2).replace(
            b"\xc0", b"\x91" * 200 + b"\xc0"
        ),
    }


@pytest.mark.parametrize("what", hostile())
def test_hostile_blocks_are_damage(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile()[what]
    tracemalloc.start()
    found = read(data)
    good, lost = split(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 << 20
    assert good == []
    assert lost in (2, (1 << 32) - 1)
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "numpy")
    speed.compiled.cache_clear()
    assert read(data) == found
    speed.compiled.cache_clear()


def test_unknown_blocks_are_passed_over() -> None:
    data = write(some(5))
    at = data.index(layout.SYNC)
    strange = layout.pack_frame(layout.Frame(ord("Z"), 1, 3, 0, 0, zlib.crc32(b"\x80"))) + b"\x80" + b"abc"
    footer, end = layout.TRAILER.unpack(data[-layout.TRAILER.size :])
    trailer = layout.TRAILER.pack(footer + len(strange), end)
    assert read(data[:at] + strange + data[at : -layout.TRAILER.size] + trailer) == some(5)


def test_a_newer_major_version_is_refused() -> None:
    data = bytearray(write(some(1)))
    struct.pack_into("<H", data, 8, layout.MAJOR + 1)
    struct.pack_into("<I", data, layout.FILE_HEADER_SIZE - 4, zlib.crc32(bytes(data[: layout.FILE_HEADER_SIZE - 4])))
    with pytest.raises(FormatError, match="version 2, this mmiotools reads up to 1"):
        read(bytes(data))


def test_a_footer_that_is_not_whole_gives_no_header_to_a_file_nor_to_a_pipe(tmp_path: Path) -> None:
    data = bytearray(write(some(5)))
    data[layout.FILE_HEADER_SIZE + 3] ^= 1
    at = bytes(data).rindex(layout.SYNC)
    frame = layout.unpack_frame(bytes(data[at : at + layout.FRAME_SIZE]))
    assert frame is not None and frame.type == layout.FOOTER
    path = tmp_path / "x.mmio"
    for body, format in ((0, "mmiotrace"), (1, "mmiotrace"), (1 << 20, "native")):
        data[at : at + layout.FRAME_SIZE] = layout.pack_frame(frame._replace(body_length=body))
        path.write_bytes(data)
        header = open_trace(str(path)).header
        assert header.format == format
        piped, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
        list(batches)
        assert (piped.format or "native", piped.meta) == (format, header.meta)


def test_a_footer_inside_of_a_block_that_is_passed_over_gives_no_header(tmp_path: Path) -> None:
    data = write(some(5))
    at = data.rindex(layout.SYNC)
    inside = data[at : -layout.TRAILER.size]
    strange = layout.pack_frame(layout.Frame(ord("Z"), 1, len(inside), 0, 0, zlib.crc32(b"\x80"))) + b"\x80" + inside
    path = tmp_path / "x.mmio"
    for broken, format in ((b"x" + strange, "native"), (b"x" + strange + inside, "mmiotrace")):
        path.write_bytes(broken)
        assert open_trace(str(path)).header.format == format
        piped, batches = FORMAT.read(ByteSource(io.BytesIO(broken), "x"))
        list(batches)
        assert (piped.format or "native") == format


@pytest.mark.parametrize("command", ["info", "check", "show"])
def test_a_footer_that_promises_events_is_told_by_all(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write(some(5))
    at = data.rindex(layout.SYNC)
    frame = layout.unpack_frame(data[at : at + layout.FRAME_SIZE])
    assert frame is not None
    lying = layout.pack_frame(frame._replace(events=7))
    path = tmp_path / "x.mmio"
    path.write_bytes(data[:at] + lying + data[at + layout.FRAME_SIZE :])
    assert run([command, str(path)]) == (1 if command == "check" else 3)
    out, err = capfd.readouterr()
    assert "events lost: 7" in out + err


def test_much_text_makes_small_blocks() -> None:
    events = [Event(Kind.NOTE, extra={"text": bytes([k]) * (1 << 20)}) for k in range(20)]
    data = write(events, 4096)
    assert len(blocks_of(data)) > 2
    assert read(data) == events


def test_a_header_map_that_is_no_map_is_damage_without_loss() -> None:
    frame = write(some(1))
    blocks = frame[frame.index(layout.SYNC) :]
    for strange in (b"\xc1", b"\x93", b"\x81\xa6format\x05"):
        good, lost = split(read(layout.pack_file_header(0, 4, strange) + blocks))
        assert (good, lost) == (some(1), 0)


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


def test_an_unknown_encoding_is_told_once() -> None:
    columns = {"kind": [0, 8, 0, 0, 0], "value": [99, 64, 0, 0, None]}
    data = assemble({"n": 2, "columns": columns}, {}, 2)
    at = data.index(layout.SYNC)
    block = data[at:]
    frame = layout.unpack_frame(block)
    assert frame is not None
    more = layout.pack_frame(frame._replace(first=2)) + block[layout.FRAME_SIZE :]
    found = read(layout.pack_file_header(0, 4, b"\x80") + block + more)
    assert [event.kind for event in found] == [Kind.NOTE, *[Kind.READ] * 4]
    assert "'value'" in found[0].extra["reason"] and found[0].extra["events"] == 0


def test_marks_without_blocks_are_searched_once() -> None:
    """A file full of sync marks takes no longer than any other of its size."""
    data = write(some(5))
    at = data.index(layout.SYNC, data.index(layout.SYNC) + 1)
    good, lost = split(read(data[:at] + layout.SYNC * (1 << 19) + data[at:]))
    assert (good, lost) == (some(5), 0)


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
