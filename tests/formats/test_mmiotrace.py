"""mmiotrace text: the column scanner against the line parser, identity of every input, damage, worker processes."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import lines as lines_module
from mmiotools.formats import mmiotrace, mmiotrace_scan, parallel, source
from mmiotools.formats.mmiotrace import FORMAT
from mmiotools.formats.mmiotrace_lines import parse_alone, parse_line
from mmiotools.formats.mmiotrace_scan import scan
from mmiotools.formats.source import ByteSource, open_source
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples" / "mmiotrace"
TEXTS = sorted(SAMPLES.glob("*.mmiotrace"))


def read(data: bytes) -> list[Event]:
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return [event for batch in batches for event in batch.events()]


def write(events: list[Event]) -> bytes:
    out = io.BytesIO()
    writer = FORMAT.writer(out, mmiotrace.TraceHeader())
    writer.write(Batch.from_events(events))
    writer.close()
    assert not writer.lost
    return out.getvalue()


# -- the scanner and the line parser say the same ----------------------------------------------------------------

HEX = st.integers(0, 2**64 - 1).map(lambda n: f"{n:#x}") | st.integers(0, 300).map(lambda n: f"{n:#x}")
TIME = st.builds(lambda s, us: f"{s}.{us:06d}", st.integers(0, 12) | st.integers(0, 2**32 - 1), st.integers(0, 999_999))
ID = st.integers(0, 9) | st.integers(-3, 10**9)
PC = st.just("0x0") | HEX
PID = st.just("0") | st.integers(0, 10**8).map(str)
ACCESS = st.builds(
    "{} {} {} {} {} {} {} {}".format, st.sampled_from("RW"), st.integers(0, 32), TIME, ID, HEX, HEX, PC, PID
)
OPCODE = st.lists(st.integers(0, 255), min_size=1, max_size=4).map(lambda b: ",".join(f"{x:02x}" for x in b))
UNKNOWN = st.builds("UNKNOWN {} {} {} {} {} {}".format, TIME, ID, HEX, OPCODE, PC, PID)
OTHER = st.sampled_from(
    [
        "VERSION 20070824",
        "MAP 1.000000 1 0xfebc0000 0xffffb7b187000000 0x20000 0x0 0",
        "UNMAP 1.000001 -1 0x0 0",
        "MARK 1.000002 text",
        "MARK 0.000000 Lost 5 events.",
        "CPU:1 [LOST 5 EVENTS]",
        "PCIDEV 0000 80861237 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 ",
        "# comment",
        "",
        "UNKNOWN",
        "R 4",
    ]
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    line = draw(st.one_of(ACCESS, ACCESS, UNKNOWN, OTHER)).encode("latin-1")
    how = draw(st.integers(0, 9))
    if how == 0:
        line = line.upper()
    elif how == 1:
        line = line.replace(b" ", draw(st.sampled_from([b"  ", b"\t", b" 0", b"\r"])), 1)
    elif how == 2 and line:
        at = draw(st.integers(0, len(line) - 1))
        line = line[:at] + bytes([draw(st.integers(0, 255))]) + line[at + 1 :]
    return line.replace(b"\n", b"?") + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))


def one_by_one(block: bytes) -> list[Event]:
    """What the line parser makes of each line, line ends noted as the scanner notes them."""
    events: list[Event] = []
    at = 0
    for row, line in enumerate(block.split(b"\n")[:-1]):
        crlf = line.endswith(b"\r")
        event = parse_alone(block, [(row, at, at + len(line) - crlf)], 1)[0]
        if crlf:
            event = event._replace(extra={**event.extra, "eol": "crlf"})
        events.append(event)
        at += len(line) + 1
    return events


@settings(max_examples=300)
@given(st.lists(lines(), min_size=1, max_size=60), st.sampled_from([1, 16]))
@example([b"R 4 1.000000 1 0x0 0x0 0x0 0\n"] * 40, 1)
def test_the_scanner_agrees_with_the_line_parser(some: list[bytes], worthwhile: int) -> None:
    block = b"# head\n" * 20 + b"".join(some)
    usual = mmiotrace_scan._WORTHWHILE
    try:
        mmiotrace_scan._WORTHWHILE = worthwhile
        scanned = [event for batch in scan(block, 1, Regions()) for event in batch.events()]
    finally:
        mmiotrace_scan._WORTHWHILE = usual
    assert scanned == one_by_one(block)


@settings(max_examples=200)
@given(st.lists(lines() | st.binary(max_size=30), max_size=12))
def test_every_text_comes_back_byte_for_byte(some: list[bytes]) -> None:
    data = b"# no magic of a compressed file\n" + b"".join(some)
    assert write(read(data)) == data


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_samples_come_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    assert write(read(data)) == data
    unix = data.replace(b"\r\n", b"\n")
    crlf = unix.replace(b"\n", b"\r\n")
    assert write(read(crlf)) == crlf
    plain, ended = read(unix), read(crlf)
    assert [e.kind for e in plain] == [e.kind for e in ended]


def test_long_blocks_are_cut_into_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmiotrace_scan, "MAX_EVENTS", 7)
    block = b"".join(b"R 4 1.%06d 1 0x1000 0x%x 0x0 0\n" % (n, n) for n in range(40)) + b"bad\nR x\n"
    batches = list(scan(block, 1, Regions()))
    assert [len(batch) for batch in batches] == [7] * 6
    events = [event for batch in batches for event in batch.events()]
    assert events == one_by_one(block)
    assert events[-1].extra["line"] == 42


# -- damage ------------------------------------------------------------------------------------------------------

RECORDS = b"""VERSION 20070824
PCIDEV 0018 8086100e b febc0000 c041 0 0 0 0 feb80000 20000 40 0 0 0 0 40000 e1000
MARK 0.000000 Lost 7 events.
MAP 12.000001 1 0xfebc0000 0xffffb7b187000000 0x20000 0x0 0
R 4 12.000010 1 0xfebc0008 0x80080783 0x0 0
W 8 12.000014 1 0xfebc0038 0xfee0100c00000000 0x0 0
UNKNOWN 12.000021 1 0xfebc4000 f3,a5,f6 0x0 0
CPU:1 [LOST 23 EVENTS]
UNMAP 12.000050 1 0x0 0
R 1 12.000060 1 0xfebc0008 0x0 0x0 0
"""


def tally(data: bytes) -> tuple[int, int, list[bytes]]:
    """Events, events reported lost, and the lines that came out whole."""
    events = read(data)
    lost = sum(event.extra["events"] for event in events if event.extra.get("damaged"))
    whole = [line for event, line in zip(events, data.split(b"\n"), strict=False) if not event.extra.get("damaged")]
    return len([event for event in events if not event.extra.get("damaged")]), lost, whole


def test_no_change_of_one_byte_loses_an_event_silently() -> None:
    """Every bit, and what is likely to be mistaken for something, at each place of ten records. What is left out is
    a new line end: it makes a line more, and which piece of a VERSION or LOST record is the event cannot be told.
    The changes of one place are read together, and one of them alone; all of them where a line end is changed.
    """
    count = RECORDS.count(b"\n")
    likely = set(b"\0\t\r #-.09ACEMPRUVWafx\x7f\xff")
    for at in range(len(RECORDS)):
        values = sorted((likely | {RECORDS[at] ^ 1 << bit for bit in range(8)}) - {10, RECORDS[at]})
        changed = [RECORDS[:at] + bytes([value]) + RECORDS[at + 1 :] for value in values]
        ends = RECORDS[at] == 10
        for data in changed if ends else [changed[at % len(changed)], b"".join(changed)]:
            times = max(data.count(b"\n") // count, 1)
            out, lost, whole = tally(data)
            assert out + lost == times * count, (at, data[max(0, at - 60) : at + 20])
            if not ends:
                number = RECORDS[:at].count(b"\n")
                before = Counter(line for row, line in enumerate(RECORDS.split(b"\n")[:-1]) if row != number)
                kept = Counter(whole)
                assert [line for line, n in before.items() if kept[line] < n * times] == []


def test_a_stray_line_end_in_an_access_is_one_loss() -> None:
    line = b"R 4 12.000010 1 0xfebc0008 0x80080783 0x0 0\n"
    for at in range(3, len(line) - 2):
        out, lost, _ = tally(line + line[:at] + b"\n" + line[at + 1 :] + line)
        assert (out, lost) == (2, 1), line[:at]


def test_a_cut_is_damage_or_between_events() -> None:
    whole = RECORDS.split(b"\n")[:-1]
    for at in range(1, len(RECORDS)):
        events = read(RECORDS[:at])
        good = [event for event in events if not event.extra.get("damaged")]
        assert [e._replace(extra={k: v for k, v in e.extra.items() if k != "eol"}) for e in good] == [
            parse_line(line, 1) for line in whole[: len(good)]
        ]
        assert len(events) - len(good) <= 1
        if RECORDS[at - 1] != 10 and len(good) < RECORDS[:at].count(b"\n") + 1:
            assert events[-1].extra["reason"] == "the last line is cut off"


@pytest.mark.parametrize(
    "text", [b"R 4 1.000000 1 0x1000 0x2 0x0 0", b"a W 4 1.000000 1 0x1000 0x2 0x0 0", b"", b"\xff\x00\t", b"<faulted>"]
)
def test_a_mark_may_look_like_anything(text: bytes) -> None:
    (event,) = read(b"MARK 1.000000 " + text + b"\n")
    assert event.kind == Kind.MARK and event.extra == {"text": text}


def test_a_line_without_end_comes_in_pieces() -> None:
    record = b"R 4 1.000000 1 0x0 0x0 0x0 0\n"
    data = record + b"x" * (2 * lines_module.MAX_LINE + 5) + b"\n" + record
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    events = [event for batch in batches for event in batch.events()]
    assert [event.kind for event in events] == [Kind.READ, Kind.NOTE, Kind.NOTE, Kind.NOTE, Kind.READ]
    assert "longer than" in events[1].extra["reason"]
    assert write(events) == data


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            [b"R 4 1.000000 1 0x0 0x0 0x0 0\n", b"R 4 1.0000\n", b"R 4\r\n", b"00 1 0x0 0x0\n", b" \n", b"0 x\r\n"]
        ),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(1, 40), max_size=20),
)
@example([b"R 4 1.0000\n", b"00 1 0x0 0x0\n"], [11])
def test_a_record_cut_in_two_is_one_loss_however_the_input_comes(some: list[bytes], sizes: list[int]) -> None:
    text = b"".join(some)
    whole = read(text)
    pieces, at = [], 0
    for size in [*sizes, len(text)]:
        pieces.append(text[at : at + size])
        at += size
    opened = ByteSource(io.BytesIO(text), "x")
    opened.chunks = lambda: iter([piece for piece in pieces if piece])  # type: ignore[method-assign]
    _, batches = FORMAT.read(opened)
    assert [event for batch in batches for event in batch.events()] == whole
    if some == [b"R 4 1.0000\n", b"00 1 0x0 0x0\n"]:
        assert [event.extra["events"] for event in whole] == [1, 0]


# -- worker processes --------------------------------------------------------------------------------------------


def kinds_and_lines(batch: Batch) -> tuple[bytes, int]:
    return batch.kind.tobytes(), int(batch.data("value").sum())


@pytest.mark.parametrize("workers", ["0", "2", "3"])
def test_worker_processes_change_nothing(workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"".join(
        b"R 4 %d.%06d 1 0xfebc%04x 0x%x 0x0 0\n" % (n // 100, n, n, n * 77) if n % 97 else b"R 4 broken %d\n" % n
        for n in range(5000)
    )
    path = tmp_path / "text"
    path.write_bytes(text + b"W 4 1.0 1 0x0")
    monkeypatch.setattr(source, "_CHUNK", 1 << 14)
    monkeypatch.setattr(parallel, "ALONE", 1)
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    _, batches = FORMAT.read(open_source(str(path)))
    alone = list(batches)
    expected = [event for batch in alone for event in batch.events() if event.kind > Kind.UNKNOWN]
    for opened in (open_source(str(path)), ByteSource(io.BytesIO(path.read_bytes()), "pipe")):
        _, batches = FORMAT.read(opened)
        results = list(batches.spread(kinds_and_lines))  # type: ignore[attr-defined]
        assert b"".join(result.result[0] for result in results) == b"".join(batch.kind.tobytes() for batch in alone)
        assert sum(result.result[1] for result in results) == sum(int(b.data("value").sum()) for b in alone)
        assert sum(result.events for result in results) == 5001
        rare = [event for result in results for event in result.rare.events()]
        assert rare == expected
        assert [e.extra["line"] for e in rare if "line" in e.extra][-1] == 5001


def test_an_exception_in_a_worker_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMIOTOOLS_WORKERS", "2")

    def fail_at_seven(n: int) -> int:
        if n == 7:
            raise ValueError("seven")
        return n * n

    done = []
    with pytest.raises(ValueError, match="seven"):
        for result in parallel.ordered_map(fail_at_seven, range(100)):
            done.append(result)
    assert done == [n * n for n in range(7)]


def test_what_an_event_lacks_is_zero_and_a_time_is_told() -> None:
    out = io.BytesIO()
    writer = FORMAT.writer(out, TraceHeader("jsonl"))
    plain = Event(Kind.READ, width=4, addr=0x10, value=1)
    writer.write(Batch.from_events([plain, plain._replace(time=1000, pc=2, map=3), Event(Kind.MARK), Event(Kind.NOTE)]))
    assert out.getvalue().splitlines()[:3] == [
        b"R 4 0.000000 0 0x10 0x1 0x0 0",
        b"R 4 0.000001 3 0x10 0x1 0x2 0",
        b"MARK 0.000000 ",
    ]
    assert writer.lost == {"absent time": 2}


def test_the_printer_prints_what_the_parser_reads() -> None:
    rng = np.random.default_rng(3)
    lines = []
    for n in range(3000):
        width = int(rng.choice([1, 2, 4, 8]))
        value = int(rng.integers(0, 2**64, dtype=np.uint64)) >> int(rng.integers(0, 64))
        lines.append(f"{'RW'[n % 2]} {width} {n}.{n:06d} {n % 11} {n * 4096:#x} {value:#x} {n % 5:#x} {n % 3}\n")
        if n % 3 == 0:
            lines.append(f"UNKNOWN {n}.{n:06d} 1 {n:#x} {n % 256:02x},a5,f6 0x0 0\n")
    data = "".join(lines).encode()
    assert write(read(data)) == data
    assert not re.search(rb"MARK", data)
