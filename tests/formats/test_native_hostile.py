"""Native files in which anything may stand: what is damaged or cut costs no more than its block, and is told."""

from __future__ import annotations

import functools
import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import msgpack
import pytest
import zstandard
from test_native import blocks_of, read, some, split, write

from mmiotools import speed
from mmiotools.cli.main import run
from mmiotools.errors import FormatError
from mmiotools.events import Kind
from mmiotools.formats import native_layout as layout
from mmiotools.formats import open_trace
from mmiotools.formats.native import FORMAT
from mmiotools.formats.source import ByteSource


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
    zero, one = (
        msgpack.packb({"v": [zstandard.ZstdCompressor().compress(bytes(content))]}) for content in ([0, 0], [0, 1])
    )
    shared, places = entry(zero, 6)[:4], entry(one, 7, 16)[:4]
    rows = {
        "a place beyond the distinct rows": ([*places, 1], [*shared, 1]),
        "more distinct rows than events": ([*places, 3], [*shared, 1]),
        "no distinct rows": ([*places, 0], [*shared, 1]),
        "as many distinct rows as a truth value": ([*places, True], [*shared, 1]),
        "places with a bitmap": ([*places, 2, 0], [*shared, 1]),
        "a shared constant": ([*places, 2], [*shared, 0]),
        "shared times": ([*places, 2], [*shared, 4]),
        "shared twice": ([*places, 2], [*shared, 6]),
        "shared, and nothing to share": (entry(one), [*shared, 1]),
    }
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
        **{
            what: assemble({"n": 2, "columns": {"kind": kind, "rows": places}}, {"kind": zero, "rows": one}, 2)
            for what, (places, kind) in rows.items()
        },
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


def test_a_header_map_that_is_no_map_is_damage_without_loss() -> None:
    frame = write(some(1))
    blocks = frame[frame.index(layout.SYNC) :]
    for strange in (b"\xc1", b"\x93", b"\x81\xa6format\x05"):
        good, lost = split(read(layout.pack_file_header(0, 4, strange) + blocks))
        assert (good, lost) == (some(1), 0)


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
