"""ftrace text: the scanner against the line parser, pairs of lines, identity of every input, damage, workers."""

from __future__ import annotations

import io
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS, detect, ftrace_pairs, ftrace_scan, parallel, source
from mmiotools.formats.base import Sniff, read_all
from mmiotools.formats.ftrace import FORMAT
from mmiotools.formats.ftrace_lines import Role, parse_line
from mmiotools.formats.lines import LineBatches
from mmiotools.formats.source import ByteSource, open_source
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples" / "ftrace"


def read(data: bytes) -> list[Event]:
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return read_all(batches)


def write(events: list[Event]) -> bytes:
    out = io.BytesIO()
    writer = FORMAT.writer(out, TraceHeader("ftrace"))
    writer.write(Batch.from_events(events))
    writer.close()
    assert not writer.lost
    return out.getvalue()


# -- lines by the grammar ------------------------------------------------------------------------------------------

HEX = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 300), st.integers(2**48, 2**61)).map(lambda n: f"{n:#x}")
BARE = st.integers(0, 2**32 - 1).map(lambda n: f"{n:x}")
COMM = st.sampled_from(["kworker/3:4", "<idle>", "a b-7", "x", "", "-", "fifteen-letters", "#1", "a: b"])
TGID = st.sampled_from(["", "", "(-------) ", "(    212) "])
FLAGS = st.sampled_from(["..... ", "d..2. ", "....... ", ".... ", "", "... ", "........ "])
TIME = st.builds(
    lambda s, f, n: f"{s:5d}.{f:0{n}d}", st.integers(0, 99) | st.integers(0, 10**8), st.integers(0, 999_999), st.just(6)
) | st.builds(lambda s, f: f"{s}.{f:09d}", st.integers(0, 99), st.integers(0, 10**9 - 1))
PREFIX = st.builds(
    lambda comm, pid, tgid, cpu, flags, time: f"{comm:>16s}-{pid:<7d} {tgid}[{cpu:03d}] {flags}{time}: ",
    COMM,
    st.sampled_from([0, 1, 70, 99999, 1234567, 12345678]),
    TGID,
    st.sampled_from([0, 1, 12, 1023]),
    FLAGS,
    TIME,
)
WIDTH = st.sampled_from([8, 16, 32, 64, 7, 0, 512, 2040, 2048])
CALLER = st.sampled_from(["poll+0x94/0x138 -> readl+0x4/0x8 [mod]", "f+0x1/0x2", "0xffff800012345678", "", "a width=8"])
RWMMIO = st.builds(
    lambda what, caller, width, value, addr: f"rwmmio_{what}: {caller} width={width}{value} addr={addr}",
    st.sampled_from(["read", "write", "post_read", "post_write", "post_reed", "rite"]),
    CALLER,
    WIDTH,
    st.just("") | HEX.map(" val={}".format) | st.just(" val=0"),
    HEX | st.just("0"),
)
KVM = st.builds(
    "kvm_mmio: mmio {} len {} gpa {} val {}".format,
    st.sampled_from(["read", "write", "unsatisfied-read", "ied-read", "exec"]),
    st.sampled_from([1, 4, 8, 300]),
    HEX,
    HEX,
)
REGMAP = st.builds(
    "regmap_reg_{}: {} reg={} val={}".format,
    st.sampled_from(["read", "write", "read_cache"]),
    st.sampled_from(["0-0034", "ethernet-switch", "a reg=1 b"]),
    BARE,
    BARE,
)
MSR = st.builds(
    "{}_msr: {}, value {}{}".format, st.sampled_from(["read", "write"]), BARE, BARE, st.sampled_from(["", " #GP"])
)
I915 = st.builds(
    "i915_reg_rw: {} reg={}, len={}, val=({}, {})".format, st.sampled_from(["read", "write"]), HEX, st.just(4), HEX, HEX
)
OTHER = st.sampled_from(
    [
        "sched_switch: prev_comm=a prev_pid=1 ==> next_comm=b",
        "tracing_mark_write: hello",
        "print: tracing_mark_write: B|1|x",
        "regmap_bulk_read: 0-0034 reg=10 val=aa bb",
        "kvm_pio: pio_write at 0xcf8 size 4 count 1 val 0x80000000 ",
        "kvm_msr: msr_read 1b = 0xfee00900",
        "amdgpu_device_wreg: 0x73bf, 0x00001234, 0x00000001",
        "iwlwifi_dev_iowrite32: [0000:01:00.0] write io[0x24] = 0x80)",
        "reg_rr: phy0 1234=00000001",
    ]
)
EVENT = st.builds("{}{}".format, PREFIX, st.one_of(RWMMIO, RWMMIO, KVM, REGMAP, MSR, I915, OTHER))
PLAIN = st.sampled_from(["# tracer: nop", "CPU:1 [LOST 5 EVENTS]", "", " => stack", "cpus=4", "CPU:2 [EVENTS DROPPED]"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    line = draw(st.one_of(EVENT, EVENT, EVENT, PLAIN)).encode("latin-1")
    how = draw(st.integers(0, 9))
    if how == 0:
        line = line.upper()
    elif how == 1:
        line = line.replace(b" ", draw(st.sampled_from([b"  ", b"\t", b"", b"\r"])), 1)
    elif how == 2 and line:
        at = draw(st.integers(0, len(line) - 1))
        line = line[:at] + bytes([draw(st.integers(0, 255))]) + line[at + 1 :]
    elif how == 3:
        line = line.lstrip()
    elif how == 4:
        line = re.sub(rb"(\d: )(\w+:) ", lambda m: m[1] + m[2].ljust(22), line, count=1)
    return line.replace(b"\n", b"?") + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))


@settings(max_examples=200)
@given(st.lists(lines(), min_size=1, max_size=40), st.sampled_from([1, 16]))
def test_the_scanner_agrees_with_the_line_parser(some: list[bytes], worthwhile: int) -> None:
    block = b"# head\n" * 20 + b"".join(some) + b"# tail\n" * 6
    usual = ftrace_scan.WORTHWHILE
    found: list[list[Event]] = []
    try:
        for ftrace_scan.WORTHWHILE in (worthwhile, 1 << 20):
            found.append([e for b, _ in ftrace_scan.Scanner()(block, 1, Regions()) for e in b.events()])
    finally:
        ftrace_scan.WORTHWHILE = usual
    assert found[0] == found[1]
    whole = []
    for number, line in enumerate(block.split(b"\n")[:-1], 1):
        event, role = parse_line(line.removesuffix(b"\r"), number, Regions())
        if not role:
            whole.append((event.kind, event.addr, event.value, event.time, event.pid, event.cpu, event.width))
    rest = [(e.kind, e.addr, e.value, e.time, e.pid, e.cpu, e.width) for e in found[0]]
    assert not Counter(whole) - Counter(rest)


@settings(max_examples=200)
@given(st.lists(lines() | st.binary(max_size=30), max_size=12))
def test_every_text_comes_back_byte_for_byte(some: list[bytes]) -> None:
    data = b"# no magic of a compressed file\n" + b"".join(some)
    assert write(read(data)) == data


# -- the two lines of an access ------------------------------------------------------------------------------------


def line(
    what: str, *, pid: int = 7, cpu: int = 1, addr: int = 0xF000, value: int | None = None, width: int = 32
) -> bytes:
    value_text = "" if value is None else f" val={value:#x}"
    text = f"rwmmio_{what}: f+0x1/0x2 width={width}{value_text} addr={addr:#x}"
    return f"{'task':>16s}-{pid:<7d} [{cpu:03d}] .....  1927.139849: {text}\n".encode()


OTHER_LINE = line("x", pid=9).replace(b"rwmmio_x", b"sched_wakeup").replace(b"addr=", b"to=")


def accesses(data: bytes) -> list[tuple[str, int | None, int | None]]:
    return [(e.kind.name, e.addr, e.value) for e in read(data) if e.kind <= Kind.UNKNOWN]


def test_two_lines_are_one_access() -> None:
    both = line("read") + line("post_read", value=5)
    (event,) = read(both)
    assert event == Event(Kind.READ, 1927139849000, 4, None, 0xF000, "virt", 0xF000, 5, None, 7, 1, {"raw": both[:-1]})
    between = line("write", value=1) + OTHER_LINE + line("post_write", value=1)
    assert [event.kind for event in read(between)] == [Kind.NOTE, Kind.NOTE, Kind.WRITE]
    assert write(read(between)) == between


def test_an_interrupt_in_between() -> None:
    inner = line("read", addr=0xE000) + line("post_read", addr=0xE000, value=1)
    assert accesses(line("read") + inner + line("post_read", value=2)) == [("READ", 0xE000, 1), ("READ", 0xF000, 2)]
    inner = line("read") + line("post_read", value=1)
    assert accesses(line("read") + inner + line("post_read", value=2)) == [("READ", 0xF000, 1), ("READ", 0xF000, 2)]
    # A task may go on on another CPU; the idle tasks of two CPUs have one pid.
    assert accesses(line("read") + line("post_read", cpu=2, value=3)) == [("READ", 0xF000, 3)]
    assert len(accesses(line("read", pid=0) + line("post_read", pid=0, cpu=2, value=3))) == 2


def test_what_has_no_partner_is_an_access_of_its_own() -> None:
    assert accesses(line("read")) == [("READ", 0xF000, None)]
    assert accesses(line("post_read", value=9)) == [("READ", 0xF000, 9)]
    assert accesses(line("write", value=9)) == [("WRITE", 0xF000, 9)]
    assert accesses(line("post_write", value=9)) == [("WRITE", 0xF000, 9)]
    for other in (
        line("post_read", addr=0xF004, value=9),
        line("post_read", width=16, value=9),
        line("post_read", pid=8, value=9),
        line("post_write", value=9),
    ):
        assert len(accesses(line("read") + other)) == 2
    assert len(accesses(line("write", value=1) + line("post_write", value=2))) == 2
    far = OTHER_LINE * (ftrace_pairs.FARTHEST // len(OTHER_LINE) + 1)
    assert len(accesses(line("read") + far + line("post_read", value=1))) == 2


def test_kvm_reads_that_user_space_satisfies() -> None:
    prefix = "             CPU 0/KVM-4711    [003] d....   100.000001: kvm_mmio: mmio "
    asked, got = (
        f"{prefix}unsatisfied-read len 4 gpa 0xfebc0008 val 0x0\n",
        f"{prefix}read len 4 gpa 0xfebc0008 val 0x7\n",
    )
    assert accesses((asked + got).encode()) == [("READ", 0xFEBC0008, 7)]
    assert accesses(asked.encode() * 40) == [("READ", 0xFEBC0008, None)] * 40
    assert accesses(got.encode() * 40) == [("READ", 0xFEBC0008, 7)] * 40


# -- blocks and workers --------------------------------------------------------------------------------------------


def big(n: int) -> bytes:
    parts = []
    for at in range(n):
        addr = 0xFFFFFBFFFDB00000 + at % 64 * 4
        asked, got = line("read", pid=at % 5, addr=addr), line("post_read", pid=at % 5, addr=addr, value=at)
        parts += [asked, OTHER_LINE, got] if at % 7 == 0 else [asked, got] if at % 11 else [asked]
        if at % 97 == 0:
            parts.append(line("read").replace(b"width=", b"wid="))
    return b"".join(parts)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_blocks_and_workers_change_nothing(workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = big(3000) + line("read") + b"  task-7 [001"
    path = tmp_path / "text"
    path.write_bytes(text)
    whole = read(text)
    assert write(whole) == text
    monkeypatch.setattr(source, "_CHUNK", 1 << 15)
    monkeypatch.setattr(parallel, "ALONE", 1)
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    _, batches = FORMAT.read(open_source(str(path)))
    assert read_all(batches) == whole
    _, batches = FORMAT.read(open_source(str(path)))
    assert isinstance(batches, LineBatches)
    results = list(batches.spread(lambda batch: list(batch.events())))
    assert [event for result in results for event in result.result] == whole
    assert whole[-2].kind == Kind.READ and whole[-1].extra["damaged"]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_the_same_however_the_input_comes_in_pieces(sizes: list[int]) -> None:
    asked = b"  vm-106 [000]  17.641282: kvm_mmio:             mmio unsatisfied-read len 1 gpa 0xd0000 val 0x0\n"
    # What two tasks did overlaps, so that a cut before what is open may go through another pair.
    other = line("read", pid=99) + asked.replace(b"unsatisfied-", b"") + OTHER_LINE + line("post_read", pid=99, value=1)
    text = (asked + OTHER_LINE + other).join([big(3)] * 8)
    whole = read(text)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    pieces.append(text[at:])
    opened = ByteSource(io.BytesIO(text), "x")
    opened.chunks = lambda: iter([piece for piece in pieces if piece])  # type: ignore[method-assign]
    _, batches = FORMAT.read(opened)
    assert read_all(batches) == whole


def test_lines_are_left_out_where_nobody_looks() -> None:
    data = big(40)
    _, batches = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    assert isinstance(batches, LineBatches)
    batches.only(frozenset({"addr", "value"}))
    bare = read_all(batches)
    whole = read(data)
    assert [e._replace(extra={}) for e in bare] == [e._replace(extra={}) for e in whole]
    assert not any("raw" in event.extra for event in bare)
    assert [e for e in bare if e.extra.get("damaged")] == [e for e in whole if e.extra.get("damaged")]


# -- damage, detection ---------------------------------------------------------------------------------------------


def test_notes_are_not_passed_over_unread() -> None:
    """What fuzzing found: lines that are read one by one where there are few, and were not where there are many."""
    prefix = b"              vm-111     (    111) [001] .....     9.458141: "
    for text in (
        b"kvmus : write_msr: c0000103, value 0",
        b"     write_msr: c0000103, value 0",
        b"# read_msr:             1d9, value 0",
        b"rw8 -> readl+0x14/0x20 [mod] width=8 addr=0xfffffbfffdb0001c",
        b"reg4       1d..1. 82924us+: read_msr: 1d9, value 0",
    ):
        alone = read(prefix + text + b"\n")[0]
        assert alone.kind == Kind.WRITE or alone.extra["damaged"]
        many = read(b"# head\n" * 20 + (prefix + text + b"\n") * 30)
        assert [e._replace(extra={**e.extra, "line": 1}) for e in many[20:]] == [
            alone._replace(extra={**alone.extra, "line": 1})
        ] * 30


EVERY_KIND = b"""\
              vm-111     (    111) [001] d..2.     9.402882: read_msr: c0000080, value d01
     kworker/3:4-70      [003] .......  1927.139849: regmap_reg_write: ethernet-switch reg=1004 val=bd
     CPU 0/KVM-4711      [003] d....  1928.000014: kvm_mmio: mmio write len 4 gpa 0xfebc0038 val 0x10
           task-7        [001] .....  1928.000015: rwmmio_post_write: f+0x1/0x2 width=32 val=0x1 addr=0xffff800009000008
           Xorg-900      [001] ....  1928.000016: i915_reg_rw: write reg=0x44040, len=8, val=(0x80000001, 0x2)
CPU:1 [LOST 5 EVENTS]
           task-7        [001] .....  1928.000017: sched_wakeup: comm=x pid=1 prio=120 target_cpu=001
           task-7        [001] .....  1928.000018: kvm_msr: msr_read 1b = 0xfee00900
"""


@pytest.mark.parametrize("worthwhile", [16, 1 << 20])
def test_no_change_of_one_byte_loses_an_access_silently(worthwhile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place of a line, and what is likely to be mistaken for something; but for a new line end."""
    monkeypatch.setattr(ftrace_scan, "WORTHWHILE", worthwhile)
    lines = EVERY_KIND.splitlines(keepends=True)
    for record in lines:
        changed = [
            record[:at] + bytes([value]) + record[at + 1 :]
            for at in range(len(record) - 1)
            for value in b"\0 #:0xz\xff"
            if value != record[at]
        ]
        (whole,) = read(record)
        for text, event in zip(changed, read(b"# head\n" * 20 + b"".join(changed))[20:], strict=True):
            assert whole.kind > Kind.LOST or event.kind <= Kind.LOST or event.extra.get("damaged"), text
    for first, second in pairwise(lines):
        count = sum(event.kind <= Kind.UNKNOWN for event in read(first + second))
        for value in b"\0 #:0xz\xff":
            events = read(first[:-1] + bytes([value]) + second)
            lost = sum(event.extra["events"] for event in events if event.extra.get("damaged"))
            assert sum(event.kind <= Kind.UNKNOWN for event in events) + lost >= count, (first, value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (line("read").replace(b"width=32", b"width=33"), "malformed rwmmio_read event"),
        (line("read").replace(b"addr=0x", b"addr=0y"), "malformed rwmmio_read event"),
        (line("post_read"), "malformed rwmmio_post_read event"),
        (line("read").replace(b"rwmmio_read", b"rwmmio_reed"), "name is damaged"),
        (line("read").replace(b"[001]", b"[0q1]"), "beginning is damaged"),
        (line("read")[:-1] + b"?" + line("post_read", value=1), "run into each other"),
        (OTHER_LINE[:-1] + b"?" + line("post_read", value=1), "name is damaged"),
        (line("read")[:-1], "cut off"),
        (line("read")[:40], "cut off"),
    ],
)
def test_damage(text: bytes, reason: str) -> None:
    (event,) = read(text)
    assert event.extra["damaged"] and reason in event.extra["reason"] and event.extra["line"] == 1
    assert write([event]) == text


def test_no_cut_gives_another_value() -> None:
    data = line("read") + line("post_read", value=0x1234) + line("write", value=0x77)
    whole = accesses(data)
    for at in range(1, len(data)):
        found = accesses(data[:at])
        assert found == [("READ", 0xF000, None)] or found == whole[: len(found)]
        last = read(data[:at])[-1]
        assert data[at - 1] == 10 or last.extra.get("damaged") or not data[:at].split(b"\n")[-1].strip()


def test_detection() -> None:
    for path in sorted(SAMPLES.iterdir()):
        assert detect(open_source(str(path))).name == "ftrace"
    event = line("read")
    for head, sure in (
        (b"# tracer: nop\n#\n", Sniff.YES),
        (event, Sniff.LIKELY),
        (b"login: root\nPassword:\n# cat trace_pipe\r\n" + event, Sniff.LIKELY),
        (b"cpus=4\n" + event, Sniff.LIKELY),
        (b"CPU:0 [LOST 7 EVENTS]\n" + event, Sniff.LIKELY),
        (b"swapper     0 [001]  1234.567890: rwmmio:rwmmio_read: f width=8 addr=0x0\n", Sniff.LIKELY),
        (b"    bash-1977    0d.... 1032us+: kvm_mmio: mmio write len 4 gpa 0x1 val 0x2\n", Sniff.LIKELY),
        (b"# tracer: mmiotrace\n#\n", Sniff.NO),
        (b"R 4 1037.681772 1 0xfebc0008 0x80080783 0x0 0\n", Sniff.NO),
        (b"[    1.234567] usb 1-1 [042] new device\n", Sniff.NO),
    ):
        assert FORMAT.sniff(head) == sure, head
        if sure:
            assert detect(ByteSource(io.BytesIO(head + b"\n"), "x")).name == "ftrace"


def test_no_other_sample_is_taken_for_this() -> None:
    for path in sorted(SAMPLES.parent.glob("*/*.*")):
        if path.parent.name not in ("ftrace", "regmaps", "drivers", "cards", "scenarios"):
            assert FORMAT.sniff(open_source(str(path)).head) == Sniff.NO, path


def test_what_the_role_of_a_line_is() -> None:
    roles = [
        parse_line(line(what, value=None if what == "read" else 1)[:-1], 1, Regions()).role
        for what in ("read", "post_read", "write", "post_write")
    ]
    assert roles == [Role.BEFORE, Role.DONE, Role.BEFORE, Role.DONE]
    assert "ftrace" in FORMATS.names()


def test_another_dialect_does_not_take_these_lines_for_its_own() -> None:
    out = io.BytesIO()
    writer = FORMATS.get("mmiotrace").writer(out, TraceHeader("ftrace"))
    kvm = b"     CPU 0/KVM-4711    [003] d....   100.000001: kvm_mmio: mmio write len 4 gpa 0xfebc0008 val 0x7\n"
    writer.write(Batch.from_events(read(kvm + line("read").replace(b"width=32", b"width=33"))))
    first, second = out.getvalue().splitlines()
    assert first == b"W 4 100.000001 0 0xfebc0008 0x7 0x0 4711"
    assert second.startswith(b"# mmiotools damaged: {")
