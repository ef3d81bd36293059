"""`check --repair`: what survives is in a good file, what is missing is said there, and OUT is whole or not there."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.cli.common import Sink
from mmiotools.cli.main import run
from mmiotools.events import Event, Kind
from mmiotools.formats import native_layout as layout
from mmiotools.formats import open_trace
from mmiotools.formats.native_index import read_index
from mmiotools.formats.native_write import NativeWriter
from mmiotools.trace.batch import Batch, Column
from mmiotools.trace.header import TraceHeader

META = {"driver": "x"}


def written(events: list[Event], block: int = 4, pipe: bool = False) -> bytes:
    out = io.BytesIO()
    if pipe:
        out.seekable = lambda: False  # type: ignore[method-assign]
    writer = NativeWriter(out, TraceHeader("mmiotrace", "boot", 6, META), block)
    writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue()


def some(count: int, start: int = 0) -> list[Event]:
    marks = [Event(Kind.MARK, start, extra={"text": b"begin \xff"}), Event(Kind.UNKNOWN, start, 4, None, 0xFEB00000)]
    return marks + [
        Event(Kind.READ, start + at * 1000, 4, None, 0xFEBC0000 + at % 7, value=at * 3, pc=0, pid=0, cpu=at % 2 or None)
        for at in range(count)
    ]


def events_of(path: Path) -> list[Event]:
    return [event for batch in open_trace(str(path)).batches for event in batch.events()]


def parted(events: list[Event]) -> tuple[list[Event], list[Event]]:
    """What is no damage, and the notes that are."""
    return (
        [event for event in events if not event.extra.get("damaged")],
        [event for event in events if event.extra.get("damaged")],
    )


def lost_of(notes: list[Event]) -> int:
    return sum(note.extra["events"] for note in notes)


def blocks_of(data: bytes) -> list[bytes]:
    """The blocks of events of a good file."""
    found, at = [], data.index(layout.SYNC)
    while (frame := layout.unpack_frame(data[at : at + layout.FRAME_SIZE])) is not None:
        end = at + layout.FRAME_SIZE + frame.head_length + frame.body_length
        if frame.type == layout.EVENTS:
            found.append(data[at:end])
        at = end
    return found


def repaired(data: bytes, folder: Path) -> tuple[int, Path]:
    """The exit status, and OUT."""
    broken, out = folder / "broken.mmio", folder / "out.mmio"
    broken.write_bytes(data)
    status = run(["check", "-q", "--repair", str(out), str(broken)])
    assert broken.read_bytes() == data
    return status, out


def is_in_order(part: list[Event], whole: list[Event]) -> bool:
    """Whether part is of whole, where an event may lack what the other has."""
    rest = iter(whole)
    return all(any(is_less(event, other) for other in rest) for event in part)


def is_less(event: Event, other: Event) -> bool:
    fields = all(mine is None or mine == theirs for mine, theirs in zip(event[:-1], other[:-1], strict=True))
    return fields and event.extra.items() <= other.extra.items()


@st.composite
def damages(draw: st.DrawFn, size: int) -> list[tuple[str, int, int]]:
    """Up to three things that happen to a file of that size: (what, where, how much)."""
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(["flip", "cut", "drop", "insert", "zero"]),
                st.integers(8, size),
                st.integers(1, 255),
            ),
            min_size=1,
            max_size=3,
        )
    )


def hit(data: bytes, damage: list[tuple[str, int, int]]) -> bytes:
    for what, at, much in damage:
        if what == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ much]) + data[at + 1 :]
        elif what == "cut":
            data = data[:at]
        elif what == "drop":
            data = data[:at] + data[at + much :]
        elif what == "insert":
            data = data[:at] + bytes(range(much)) + data[at:]
        elif what == "zero":
            data = data[:at] + bytes(len(data[at : at + much])) + data[at + much :]
    return data


@settings(max_examples=150)
@given(st.data())
def test_what_survives_is_in_it_and_what_does_not_is_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("repair")
    events = some(data.draw(st.integers(1, 30)))
    whole = written(events, data.draw(st.integers(1, 6)), data.draw(st.booleans()))
    if data.draw(st.booleans()):
        more = some(9, 50_000)
        events, whole = events + more, whole + written(more)
    broken = hit(whole, data.draw(damages(len(whole))))
    status, out = repaired(broken, folder)
    assert status in (0, 1)
    good, notes = parted(events_of(out))
    # Nothing but what was there, in order; and all of every block that is still there.
    assert is_in_order(good, events)
    found = out.read_bytes()
    for block in blocks_of(whole):
        if block in broken:
            assert block[layout.FRAME_SIZE :] in found
    with out.open("rb") as file:
        index = read_index(file.fileno(), len(found))
    assert index is not None and int(index[0].events.sum()) == len(good) + len(notes)
    # What reads the damaged file finds as many, and no more than that; the notes of places where nothing is missing
    # are gone.
    before, told = parted(events_of(folder / "broken.mmio"))
    assert is_in_order(before, good)
    assert all(event.kind > Kind.UNKNOWN for event in good if event not in before)
    assert len(good) + lost_of(notes) == len(before) + lost_of(told)
    assert run(["check", "-q", str(out)]) == bool(notes) <= status
    # A file that was repaired needs no repair.
    again = folder / "again.mmio"
    assert run(["check", "-q", "--repair", str(again), str(out)]) == bool(notes)
    assert again.read_bytes() == found


@settings(max_examples=12)
@given(st.data())
def test_a_diff_with_the_original_shows_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("repair")
    events = some(30)
    whole = written(events, 4)
    at = data.draw(st.integers(layout.FILE_HEADER_SIZE, len(whole) - 1))
    _, out = repaired(hit(whole, [("flip", at, data.draw(st.integers(1, 255)))]), folder)
    (folder / "whole.mmio").write_bytes(whole)
    shown = subprocess.run(
        [sys.executable, "-m", "mmiotools", "diff", "--view", "json", str(out), str(folder / "whole.mmio")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    hunks = [line for line in lines if line["type"] == "hunk"]
    good, notes = parted(events_of(out))
    assert is_in_order(good, events) and lost_of(notes) == len(events) - len(good)
    before, after = ([event for event in some if event.kind <= Kind.UNKNOWN] for some in (events, good))
    told = [one for hunk in hunks for one in hunk["accesses"]]
    shown_of = {side: [one["index"] for one in told if one["side"] == side] for side in "ab"}
    lacking = [at for at, event in enumerate(after) if event not in before]
    assert set(shown_of["a"]) <= set(lacking)
    assert len(shown_of["b"]) == len(before) - len(after) + len(shown_of["a"])
    if not lacking:
        assert {hunk["kind"] for hunk in hunks} <= {"insert"}


@pytest.mark.parametrize("at", [0, 9, 17, layout.FILE_HEADER_SIZE + 5])
@pytest.mark.parametrize("way", ["file", "pipe", "gzip"])
def test_a_damaged_header_is_found_again_in_the_footer(
    at: int,
    way: str,
    cli,
    tmp_path: Path,  # type: ignore[no-untyped-def]
) -> None:
    events = some(20)
    data = hit(written(events), [("flip", at, 0x41)])
    path = tmp_path / "broken.mmio"
    path.write_bytes(gzip.compress(data) if way == "gzip" else data)
    words = ["check", "--repair", str(tmp_path / "out.mmio")]
    done = cli(*words, input=data) if way == "pipe" else cli(*words, str(path))
    assert (done.returncode, b"0 lost in 1 place" in done.stderr) == (1, True), done.stderr
    found = open_trace(str(tmp_path / "out.mmio"))
    assert (found.header.format, found.header.clock, found.header.meta) == ("mmiotrace", "boot", META)
    assert [event for batch in found.batches for event in batch.events()] == events
    if way == "file":
        assert open_trace(str(path)).header == found.header


def with_maps() -> list[Event]:
    """Ten blocks of four, in the fourth of which a map begins that is used up to the end."""
    plain = [Event(Kind.READ, at * 1000, 4, None, 0xFEB00000 + at, value=at) for at in range(40)]
    plain[13] = Event(Kind.MAP, 13_000, map=7, addr=0xFEBC0000, extra={"virt": None, "length": 0x1000})
    plain[14] = Event(Kind.MARK, 14_000, extra={"text": b"mapped"})
    return plain[:20] + [Event(Kind.READ, at * 1000, 4, 7, 0xFEBC0000 + at, value=at) for at in range(20, 40)]


@pytest.mark.parametrize("pipe", [False, True])
def test_what_the_footer_has_of_a_lost_block_is_saved(pipe: bool, tmp_path: Path) -> None:
    events = with_maps()
    whole = written(events, 4, pipe)
    lost = whole.index(blocks_of(whole)[3])
    status, out = repaired(hit(whole, [("flip", lost + 60, 1)]), tmp_path)
    good, notes = parted(events_of(out))
    assert (status, good) == (1, events[:12] + events[13:15] + events[16:])
    assert [note.extra["events"] for note in notes] == [2]
    # A file that has lost bytes as well: only a header that knows the number of events shows whose footer it is.
    status, out = repaired(hit(whole, [("drop", lost + 60, 9)]), tmp_path)
    assert parted(events_of(out))[0] == events[:12] + ([] if pipe else events[13:15]) + events[16:]


def test_the_footer_of_another_file_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """Of two joined files the first has no footer, and the second no header."""
    first = written(some(38), 4, pipe=True)
    first = hit(first[: first.rindex(layout.SYNC)], [("flip", first.index(blocks_of(first)[3]) + 60, 1)])
    second = written(with_maps(), 4)
    status, out = repaired(first + hit(second, [("flip", 3, 1)]), tmp_path)
    assert status == 1
    assert parted(events_of(out))[0] == some(38)[:12] + some(38)[16:] + with_maps()


def test_the_header_of_another_file_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """The first of two joined files has neither header nor footer; what follows says nothing about it."""
    first = written(some(9))
    first = hit(first[: first.rindex(layout.SYNC)], [("flip", 20, 1)])
    status, out = repaired(first + written(some(5)), tmp_path)
    assert status == 1
    assert parted(events_of(out))[0] == some(9) + some(5)


def test_a_good_file_comes_back_as_it_is(tmp_path: Path) -> None:
    whole = written(some(20))
    status, out = repaired(whole, tmp_path)
    assert (status, out.read_bytes()) == (0, whole)


def test_a_column_in_an_encoding_that_is_not_known_is_kept(tmp_path: Path) -> None:
    whole = written(some(20))
    at = whole.index(b"\xa3pid")
    entry = msgpack.Unpacker(io.BytesIO(whole[at + 4 :])).unpack()
    assert entry[0] == 0  # a constant: what it says lies in the head alone
    changed = bytearray(whole)
    changed[at + 5] = 99
    start = whole.index(layout.SYNC)
    frame = layout.unpack_frame(whole[start : start + layout.FRAME_SIZE])
    assert frame is not None and at < start + layout.FRAME_SIZE + frame.head_length
    head = bytes(changed[start + layout.FRAME_SIZE :][: frame.head_length])
    changed[start : start + layout.FRAME_SIZE] = layout.pack_frame(frame._replace(head_crc=zlib.crc32(head)))
    status, out = repaired(bytes(changed), tmp_path)
    assert (status, out.read_bytes()) == (0, bytes(changed))
    # A reader that needs the column says that it lacks it.
    assert "'pid'" in parted(events_of(out))[1][0].extra["reason"]


def with_another_head(whole: bytes, change: Callable[[dict[str, Any]], object]) -> tuple[bytes, bytes]:
    """The file up to its first block, of which the head was changed, and what comes behind it."""
    start = whole.index(layout.SYNC)
    frame = layout.unpack_frame(whole[start : start + layout.FRAME_SIZE])
    assert frame is not None
    begin = start + layout.FRAME_SIZE
    behind = begin + frame.head_length + frame.body_length
    head = msgpack.unpackb(whole[begin : begin + frame.head_length], strict_map_key=False)
    change(head)
    packed = msgpack.packb(head)
    block = layout.pack_frame(frame._replace(head_length=len(packed), head_crc=zlib.crc32(packed)))
    return whole[:start] + block + packed + whole[begin + frame.head_length : behind], whole[behind:]


def test_where_addresses_are_not_known_the_footer_says_nothing_of_them(tmp_path: Path) -> None:
    """In an encoding that is not known they are kept, and a later reader may look for them."""
    whole = written(some(20))
    assert b"\xa4seen" in whole

    def change(head: dict[str, Any]) -> None:
        assert head["columns"]["addr"][0] == 3
        head["columns"]["addr"][0] = 99

    changed = b"".join(with_another_head(whole, change))
    status, out = repaired(changed, tmp_path)
    assert status == 0 and blocks_of(out.read_bytes())[0] == blocks_of(changed)[0]
    assert b"\xa4seen" not in out.read_bytes()
    assert b"\xa4seen" in repaired(whole, tmp_path)[1].read_bytes()


def test_a_block_that_lies_about_its_addresses_is_made_anew(tmp_path: Path) -> None:
    batch = Batch.from_events(some(6))
    batch.columns["novel"] = Column(batch.data("time"))
    out = io.BytesIO()
    writer = NativeWriter(out, TraceHeader())
    writer.write(batch)
    writer.close()
    lying, _ = with_another_head(out.getvalue(), lambda head: head["zone"].update(addr=[1, 2]))
    status, path = repaired(lying, tmp_path)
    assert status == 1  # its end is missing
    assert parted(events_of(path))[0] == some(6)
    found = run(["filter", "-q", "addr == 0xfebc0003", str(path), "-o", str(tmp_path / "some.mmio")])
    assert found == 3 and [event.value for event in parted(events_of(tmp_path / "some.mmio"))[0]] == [9]
    assert b"novel" in path.read_bytes()


# -- what is said, and what becomes of files -------------------------------------------------------------------


@pytest.fixture
def broken(samples: Path) -> str:
    return str(samples / "broken" / "native-flipped.mmio")


def test_what_it_says(broken: str, cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = str(tmp_path / "out.mmio")
    done = cli("check", "--repair", out, broken)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == f"mmiotools: {out}: 14104 events saved, 0 lost in 1 place"
    assert done.stdout.startswith(broken.encode() + b": problems of 1 kind")
    done = cli("check", "-q", "--json", "--repair", out, broken)
    assert json.loads(done.stdout)["repaired"] == {"file": out, "saved": 14104, "lost": 0}
    assert done.stderr == b""
    piped = cli("check", "--repair", "-", input=Path(broken).read_bytes())
    # A pipe's header cannot be given the number of events afterwards.
    size = layout.FILE_HEADER_SIZE
    assert (piped.returncode, piped.stdout[size:]) == (1, Path(out).read_bytes()[size:])
    assert b"<stdin>: problems of 1 kind" in piped.stderr


@pytest.mark.parametrize("name", ["jsonl-flipped.jsonl", "mmiotrace-truncated.mmiotrace"])
def test_text_becomes_native_with_its_damage_as_notes(name: str, samples: Path, tmp_path: Path) -> None:
    path, out = samples / "broken" / name, tmp_path / "out.mmio"
    assert run(["check", "-q", "--repair", str(out), str(path)]) == 1
    assert events_of(out) == events_of(path)


def test_what_is_refused(broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, reason in [
        (["--repair", str(tmp_path / "x.jsonl"), broken], "writes native files"),
        (["--repair", str(tmp_path / "x.txt.gz"), broken], "writes native files"),
        (["--repair", str(tmp_path / "x.mmio"), broken, broken], "takes one trace"),
        (["--repair", "-", "--json", broken], "name a file"),
        (["--repair", str(tmp_path), broken], "is a directory"),
        (["--repair", str(tmp_path / "x.mmio"), str(tmp_path / "none")], "no such file"),
        (["--repair", str(tmp_path / "x.mmio"), broken.replace("flipped", "future-version")], "version 99"),
    ]:
        assert run(["check", *words]) == 2
        assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_input_is_never_overwritten(broken: str, cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = Path(broken).read_bytes()
    own = tmp_path / "own.mmio"
    own.write_bytes(data)
    (tmp_path / "soft.mmio").symlink_to("own.mmio")
    os.link(own, tmp_path / "hard.mmio")
    (tmp_path / "folder").mkdir()
    for name in ("own.mmio", "soft.mmio", "hard.mmio", "folder/../own.mmio"):
        done = cli("check", "--repair", name, "own.mmio", cwd=tmp_path)
        assert (done.returncode, b"is also the input" in done.stderr) == (2, True)
        with own.open("rb") as standard_input:
            words = [sys.executable, "-m", "mmiotools", "check", "--repair", str(tmp_path / name)]
            piped = subprocess.run(words, stdin=standard_input, capture_output=True, timeout=60)
        assert (piped.returncode, b"is also the input" in piped.stderr) == (2, True)
    assert own.read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "hard.mmio", "own.mmio", "soft.mmio"]


def test_an_interrupt_leaves_the_old_file_and_nothing_else(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mmio"
    out.write_bytes(b"before")
    copied = Sink.__init__

    def interrupted(sink: Sink, *words: object) -> None:
        copied(sink, *words)  # type: ignore[arg-type]
        write, left = sink.write, [2]

        def once_or_twice(batch: Batch) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            write(batch)

        sink.write = once_or_twice

    monkeypatch.setattr(Sink, "__init__", interrupted)
    assert run(["check", "-q", "--repair", str(out), broken]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out.mmio"] and out.read_bytes() == b"before"


def test_an_interrupt_while_a_pipe_is_read(broken: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mmiotools", "check", "--repair", str(tmp_path / "out.mmio")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        # More than a pipe holds: when all is written the program is reading.
        process.stdin.write(Path(broken).read_bytes() * 20)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert b"Traceback" not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(broken: str, tmp_path: Path) -> None:
    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    words = [sys.executable, "-m", "mmiotools", "check", "--repair", str(tmp_path / "out.mmio"), broken]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, preexec_fn=narrow)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"mmiotools: {tmp_path}/out.mmio: file too large; nothing was written"
    assert list(tmp_path.iterdir()) == []
