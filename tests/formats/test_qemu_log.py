"""QEMU's log: the column scanner against the line parser, identity of every input, damage, spaces, interrupts."""

from __future__ import annotations

import io
import lzma
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS, parallel, qemu_events, qemu_log_scan, source
from mmiotools.formats.base import Sniff, read_all
from mmiotools.formats.jsonl import FORMAT as JSONL
from mmiotools.formats.native import FORMAT as NATIVE
from mmiotools.formats.qemu_log import FORMAT
from mmiotools.formats.qemu_log_lines import parse_line
from mmiotools.formats.qemu_log_print import render
from mmiotools.formats.qemu_log_scan import Scanner
from mmiotools.formats.source import ByteSource, open_source
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples" / "qemu-log"
OWN = TraceHeader("qemu-log")


def batches(data: bytes) -> list[Batch]:
    _, found = FORMAT.read(ByteSource(io.BytesIO(data), "x"))
    return list(found)


def read(data: bytes) -> list[Event]:
    return [event for batch in batches(data) for event in batch.events()]


def write(some: list[Batch], header: TraceHeader = OWN) -> bytes:
    out = io.BytesIO()
    writer = FORMAT.writer(out, header)
    for batch in some:
        writer.write(batch)
    writer.close()
    assert not writer.lost
    return out.getvalue()


# -- the scanner and the line parser say the same ----------------------------------------------------------------

HEX = st.just("0") | (st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.integers(0xFFFE, 0x10002)).map(
    lambda n: f"{n:#x}"
)
PID = st.builds(
    "{}@{}.{:06d}:".format,
    st.sampled_from([1, 2175, 2181, 4194303, 12345678, 999999999]),
    st.sampled_from([1795397978, 1795397979, 1000000000, 999999999, 9223372035, 9223372036, 9999999999])
    | st.sampled_from([0, 12, 9999999, 10000000]),
    st.integers(0, 999999),
)
DATE = st.sampled_from(["2025-07-21T18:43:28", "2026-02-29T00:00:00", "1969-12-31T23:59:59", "2025-01-01T00:00:60"])
ISO = st.builds("{}.{:06d}Z ".format, DATE, st.integers(0, 999999)) | DATE.map("{}Z ".format)
PREFIX = st.just("") | PID | ISO
OP = st.sampled_from(["read", "write"])
MR = st.sampled_from(["0x55ca54d50de0", "0x7fb7d805e090", "0x0", "0xffffffffffffffff"])
NAME = st.sampled_from(["", " name 'rtc'", " name 'e1000-mmio'", " name 'a b'", " name ''", " name 'it's'", " nam"])
NAMES = NAME | st.text("'ab :0x", max_size=90).map(" name '{}'".format)
CPU = st.sampled_from(["0", "-1", "12", "255"])
MEMORY = st.builds(
    "memory_region_{}_{} cpu {} mr {} {} {} value {} size {}{}".format,
    st.sampled_from(["ops", "ops", "subpage", "ram_device"]),
    OP,
    CPU,
    MR,
    st.sampled_from(["addr", "addr", "offset"]),
    HEX,
    HEX,
    st.sampled_from([1, 2, 4, 8, 16, 300]),
    NAMES,
)
LABEL = st.sampled_from(["addr", "offset"])
OLD = st.builds("memory_region_ops_{} mr {} {} {} value {} size 4".format, OP, MR, LABEL, HEX, HEX)
BARE = st.builds(
    "memory_region_ops_{} {}{} {} value {} size 4{}".format, OP, st.sampled_from(["", "cpu 3 "]), LABEL, HEX, HEX, NAME
)
DEVICE = st.sampled_from(["0000:03:00.0", "VFIO_FD3", "vfio-user:/run/a b.sock", "x:region0+0x1, 0x2, 3)"])
SMALL = st.integers(1, 8)
VFIO = st.builds("vfio_region_read  ({}:region{}+{}, {}) = {}".format, DEVICE, SMALL, HEX, SMALL, HEX)
VFIO |= st.builds("vfio_region_write  ({}:region{}+{}, {}, {})".format, DEVICE, SMALL, HEX, HEX, SMALL)
OTHER = st.sampled_from(
    [
        "vfio_pci_read_config  (0000:06:00.0, @0x0, len=0x2) 0x1102",
        "vfio_pci_write_config  (0000:06:00.0, @0x4, 0x507, len=0x2)",
        "vfio_region_read(0000:06:00.0:region0+0x0, 4) failed: Bad address",
        "ioapic_set_irq vector: 11 level: 1",
        "pci_cfg_write e1000 00:03.0 @0x4 <- 0x103",
        "GSI x86_gsi_interrupt",
        "x86_gsi_interrupt GSI interrupt #4 level:1",
        "vfio_msi_interrupt (0000:06:00.0) vector 1 0xfee01004/0x4023",
        "pci_nvme_irq_msix raising MSI-X IRQ vector 3",
        "pci_nvme_irq_msix raising none",
        "e1000x_mac_indicate addr 0x12 len 5",
        "a size 5 at 3:4",
        "# a comment",
        "qemu-system-x86_64: terminating on signal 15",
        "",
    ]
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    line = (draw(PREFIX) + draw(st.one_of(MEMORY, MEMORY, VFIO, OLD, BARE, OTHER))).encode()
    how = draw(st.integers(0, 9))
    if how == 0:
        old, new = draw(st.sampled_from([(b" ", b"  "), (b"0x", b"0x0"), (b"a", b"A"), (b" ", b"\t"), (b"0x", b"")]))
        line = line.replace(old, new, draw(st.integers(1, 4)))
    elif how == 1 and line:
        at = draw(st.integers(0, len(line) - 1))
        line = line[:at] + bytes([draw(st.integers(0, 255))]) + line[at + 1 :]
    return line.replace(b"\n", b"?") + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))


def one_by_one(block: bytes) -> list[Event]:
    """What the line parser makes of each line, line ends noted as the scanner notes them."""
    events = []
    for number, line in enumerate(block.split(b"\n")[:-1], 1):
        crlf = line.endswith(b"\r")
        event = parse_line(line[:-1] if crlf else line, number)
        events.append(event._replace(extra={**event.extra, "eol": "crlf"}) if crlf else event)
    return events


@pytest.mark.parametrize("text", [b"\n", b"a\n", b" \r\n", b"\n\n", b"ab cd \n", b"abcdefghijklmn\n"])
def test_blocks_of_a_few_bytes(text: bytes) -> None:
    found = [event for batch in Scanner().scan(text, 1, Regions()) for event in batch.events()]
    assert found == one_by_one(text)


@settings(max_examples=300)
@given(st.lists(lines(), min_size=1, max_size=60), st.sampled_from([1, 16]))
@example([b"0x0 mr value\n"] * 20, 1)
@example(
    [b"memory_region_ops_read cpu 0 mr 0x1 addr 0x1 value 0 size %d name 'x'\n" % n for n in (1, 4, 4, 300)] * 9, 1
)
@example([b"memory_region_ops_read cpu 0 mr 0x%x addr 0x1 value 0x1 size 4\n" % n for n in range(4200)], 1)
def test_the_scanner_agrees_with_the_line_parser(some: list[bytes], worthwhile: int) -> None:
    block = b"# head\n" * 20 + b"".join(some)
    usual = qemu_log_scan._WORTHWHILE
    regions = Regions()
    try:
        qemu_log_scan._WORTHWHILE = worthwhile
        scanned = list(Scanner().scan(block, 1, regions))
    finally:
        qemu_log_scan._WORTHWHILE = usual
    expected = one_by_one(block)
    assert [event for batch in scanned for event in batch.events()] == expected
    single = qemu_events.single_events(list(expected), Regions(), render)
    assert spaces(scanned) == spaces([single])


def spaces(some: list[Batch]) -> list[str]:
    """The space of each event's region, in order."""
    return [
        batch.regions.spaces[int(batch.data("region")[row])] if here else ""
        for batch in some
        for row, here in enumerate(batch.present("region").tolist())
    ]


@settings(max_examples=200)
@given(st.lists(lines() | st.binary(max_size=30), max_size=12))
def test_every_log_comes_back_byte_for_byte(some: list[bytes]) -> None:
    data = b"# no magic of a compressed file\n" + b"".join(some)
    direct = batches(data)
    assert write(direct) == data
    for other in (NATIVE, JSONL):
        out = io.BytesIO()
        writer = other.writer(out, OWN)
        for batch in direct:
            writer.write(batch)
        writer.close()
        header, again = other.read(ByteSource(io.BytesIO(out.getvalue()), "x"))
        assert write(list(again), header) == data


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_samples_come_back_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    data = lzma.decompress(data) if path.suffix == ".xz" else data
    assert write(batches(data)) == data
    crlf = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert write(batches(crlf)) == crlf


def test_long_blocks_are_cut_into_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_log_scan, "MAX_EVENTS", 7)
    line = b"memory_region_ops_read cpu 0 mr 0x7f00 addr 0x%x value 0x%x size 4 name 'x'\n"
    block = b"".join(line % (0xFEBC0000 + n, n) for n in range(41)) + b"vfio_region_read  (bad\n"
    found = list(Scanner().scan(block, 1, Regions()))
    assert [len(batch) for batch in found] == [7] * 6
    events = [event for batch in found for event in batch.events()]
    assert events == one_by_one(block)
    assert events[-1].extra["line"] == 42


# -- what lines mean ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "space"),
    [
        (b"memory_region_ops_read cpu 0 mr 0x1 addr 0x70 value 0x0 size 1 name 'rtc-index'", "port"),
        (b"memory_region_ops_read cpu 0 mr 0x1 addr 0xffff value 0x0 size 1 name 'io'", "port"),
        (b"memory_region_ops_read cpu 0 mr 0x1 addr 0x10000 value 0x0 size 1 name 'io'", "mem"),
        (b"memory_region_ops_write cpu 0 mr 0x1 addr 0xaaaa value 0x55 size 1 name 'virt.flash0'", "mem"),
        (b"vfio_pci_read_config  (0000:06:00.0, @0x0, len=0x2) 0x1102", "config"),
        (b"pci_cfg_read e1000 00:03.0 @0x10 -> 0xfebc0000", "config"),
        (b"vfio_region_read  (0000:06:00.0:region0+0x4, 4) = 0x80", "mem"),
        (b"vfio_vga_write  (0x3c4, 0x1, 1)", "port"),
        (b"vfio_vga_write  (0xa0004, 0x1, 1)", "mem"),
    ],
)
def test_space(line: bytes, space: str) -> None:
    assert spaces(batches(line + b"\n")) == [space]


def test_one_name_in_two_spaces_is_two_regions() -> None:
    line = b"memory_region_ops_read cpu 0 mr 0x1 addr 0x%x value 0x0 size 1 name 'io'\n"
    found = batches(b"".join(line % addr for addr in [0x402, 0xFEBC0000] * 40))
    assert spaces(found) == ["port", "mem"] * 40
    assert {event.region for batch in found for event in batch.events()} == {"io"}


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"ioapic_set_irq vector: 11 level: 1", {"vector": 11, "level": 1, "source": "ioapic_set_irq"}),
        (b"x86_gsi_interrupt GSI interrupt #4 level:0", {"vector": 4, "level": 0, "source": "x86_gsi_interrupt"}),
        (b"vfio_intx_interrupt  (0000:06:00.0) Pin A", {"source": "0000:06:00.0", "pin": "A"}),
        (b"vfio_msi_interrupt  (0000:06:00.0) vector 2 0xfee01004/0x4022", {"vector": 2, "source": "0000:06:00.0"}),
        (b"e1000e_irq_legacy_notify IRQ line state: 1", {"level": 1, "source": "e1000e_irq_legacy_notify"}),
    ],
)
def test_interrupt(line: bytes, fields: dict[str, object]) -> None:
    (event,) = read(b"2181@1795397978.450915:" + line + b"\n")
    assert event.kind == Kind.IRQ and (event.time, event.pid) == (1795397978450915000, 2181)
    assert {name: event.extra.get(name) for name in fields} == fields


def test_configuration_without_width_is_a_note_that_says_where() -> None:
    (event,) = read(b"pci_cfg_write e1000 00:03.0 @0x10 <- 0xfebc0000\n")
    assert event.kind == Kind.NOTE and "damaged" not in event.extra and event.width is None
    assert (event.region, event.offset, event.value) == ("00:03.0/config", 0x10, 0xFEBC0000)


def test_names_of_regions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_events, "MOST_REGIONS", 5)
    line = b"memory_region_ops_read cpu 0 mr 0x1 addr 0xfebc0000 value 0x0 size 1 name 'n%d'\n"
    data = b"".join(line % (n % 9) for n in range(90)) + b"vfio_region_read  (x:region9+0x4, 4) = 0x80\n"
    found = batches(data)
    assert max(len(batch.regions.names) for batch in found) == 5
    assert write(found) == data


def test_a_trace_of_another_format_is_spelled_anew() -> None:
    raw = {"raw": b"R 1 1.000000 1 0x70 0x1 0x0 0"}
    some = [Batch.from_events([Event(Kind.READ, 10**9, 1, addr=0x70, value=1, pid=0, extra=raw)])]
    assert write(some, TraceHeader("mmiotrace")) == b"0@1.000000:memory_region_ops_read addr 0x70 value 0x1 size 1\n"


# -- damage ------------------------------------------------------------------------------------------------------

RECORDS = b"""\
2181@1795397978.450915:memory_region_ops_write cpu 0 mr 0x55ca5571a130 addr 0x70 value 0x8f size 1 name 'rtc-index'
2181@1795397978.450938:memory_region_ops_read cpu -1 mr 0x55ca5571a020 addr 0xfebc0008 value 0x0 size 4
2181@1795397978.450942:memory_region_subpage_read cpu 0 mr 0x7fb7d805e090 offset 0x1 value 0xff size 1
2181@1795397978.450944:vfio_region_write  (0000:03:00.0:region2+0x26e120, 0x2c36382c37392c39, 8)
2181@1795397978.450945:vfio_region_read  (0000:09:00.0:region0+0x4, 4) = 0x80
2181@1795397978.450946:vfio_pci_read_config  (0000:06:00.0, @0x0, len=0x2) 0x1102
2181@1795397978.450947:vfio_pci_write_config  (0000:06:00.0, @0x4, 0x507, len=0x2)
"""


def told(data: bytes) -> int:
    """Accesses that are read and those that are said to be lost."""
    events = read(data)
    lost = sum(event.extra["events"] for event in events if event.extra.get("damaged"))
    return sum(event.kind <= Kind.WRITE for event in events) + lost


def test_no_change_of_one_byte_loses_an_event_silently() -> None:
    """The changes of one place are read together, and one of them alone; all of them where a line end is changed."""
    likely = set(b"\0\t\r #-.09':@Zx()=\x7f\xff")
    count = RECORDS.count(b"\n")
    for at in range(len(RECORDS)):
        values = sorted((likely | {RECORDS[at] ^ 1 << bit for bit in range(8)}) - {10, RECORDS[at]})
        changed = [RECORDS[:at] + bytes([value]) + RECORDS[at + 1 :] for value in values]
        for data in changed if RECORDS[at] == 10 else [changed[at % len(changed)], b"".join(changed)]:
            times = max(data.count(b"\n") // count, 1)
            assert told(data) == times * count, (at, data[max(0, at - 60) : at + 20])


def test_a_cut_is_damage_or_between_events() -> None:
    whole = [parse_line(line, 1) for line in RECORDS.split(b"\n")[:-1]]
    for at in range(1, len(RECORDS)):
        events = read(RECORDS[:at])
        good = [event for event in events if not event.extra.get("damaged")]
        bare = [event._replace(extra={k: v for k, v in event.extra.items() if k != "eol"}) for event in good]
        ended = RECORDS[:at].count(b"\n")
        rest = RECORDS[:at].rpartition(b"\n")[2]
        assert bare[:ended] == whole[:ended]
        # A stamp or a few digits of one are no record yet, and cannot be told from other text.
        assert bare[ended:] in ([], [whole[ended]]) or (b":" not in rest and bare[-1].kind == Kind.NOTE)


def test_records_that_run_into_each_other_are_counted() -> None:
    glued = RECORDS.replace(b"\n", b"?", 1)
    damage = [event for event in read(glued) if event.extra.get("damaged")]
    assert [event.extra["events"] for event in damage] == [2]
    (event,) = read(b"SeaBIOS (vers" + RECORDS.split(b"\n")[0] + b"\n")
    assert event.extra["damaged"] and event.extra["reason"] == "a record that something else runs into"


# -- the stream --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "2"])
def test_worker_processes_change_nothing(workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"%d@1795397978.%06d:memory_region_ops_write cpu 0 mr 0x5571a130 addr 0x%x value 0x%x size 4 name 'n%d'\n"
    text = b"".join(line % (n, n, n * 64, n, n % 7) if n % 97 else b"ioapic_set_irq x%d\n" % n for n in range(5000))
    path = tmp_path / "log"
    path.write_bytes(text + b"memory_region_ops_write cp")
    monkeypatch.setattr(source, "_CHUNK", 1 << 15)
    monkeypatch.setattr(parallel, "ALONE", 1)
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    _, found = FORMAT.read(open_source(str(path)))
    alone = [event.region for batch in found for event in batch.events()]
    _, found = FORMAT.read(open_source(str(path)))
    results = list(found.spread(lambda batch: [event.region for event in batch.events()]))  # type: ignore[attr-defined]
    assert [name for result in results for name in result.result] == alone
    rare = [event for result in results for event in result.rare.events()]
    assert rare[-1].extra["line"] == 5001


@pytest.mark.parametrize(
    ("head", "sure"),
    [
        (b"memory_region_ops_read cpu 0 mr 0x1 addr 0x70 value", Sniff.YES),
        (b"2025-07-21T18:43:28Z vfio_region_read  (0000:09", Sniff.YES),
        (b"2025-07-21 18:43:28.089+0000: starting up\nqemu \\\n1@1.000000:vfio_region_write  (x", Sniff.LIKELY),
        (b"2181@1795397978.450915:e1000_receiver_overrun Receiver overrun\n", Sniff.MAYBE),
        (b"-trace memory_region_ops_read -trace vfio_region_read\n", Sniff.NO),
    ],
)
def test_sniff(head: bytes, sure: Sniff) -> None:
    assert FORMAT.sniff(head) == sure


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            b" memory_region_ops_write  cpu 0 mr 0xAB addr 0xFEBC0000  value 0x1F size 4 name 'a  b' ",
            Event(Kind.WRITE, None, 4, None, 0xFEBC0000, "a  b", value=0x1F, cpu=0, extra={"mr": 0xAB}),
        ),
        (
            b"vfio_region_read  (0000:09:00.0:region0+0xC, 4) =  0xAB",
            Event(Kind.READ, None, 4, region="09:00.0/BAR0", offset=12, value=0xAB),
        ),
        (
            b"vfio_pci_write_config  (0000:09:00.0, @0xAC,  0x1f, len=0x4)",
            Event(Kind.WRITE, None, 4, region="09:00.0/config", offset=0xAC, value=0x1F),
        ),
    ],
)
def test_another_spelling_is_an_event_that_keeps_it(line: bytes, event: Event) -> None:
    (found,) = read(line + b"\n")
    assert found == event._replace(extra={**event.extra, "raw": line})


@pytest.mark.parametrize(
    ("name", "line", "whole"),
    [
        ("mmt-text", b"--1234-- w 1:0x0190, 0x98765432 ", True),
        ("mmt-text", b"--1234-- w 1:0x0190, 0x98765432", False),
        ("serialice", b"0000.7cd1    RH..    [f000:e05b]   IO: outl 0cf8 <= 80008858", True),
        ("serialice", b"0000.7cd1    RH..    [f000:e05b]   IO: outl 0cf8 <= 8000885", False),
        ("serialice", b"0000.7cd1    RH..    [f000:e05b]   MEM: writell 00000cf8 <= 1111111180008858", False),
    ],
)
def test_a_last_line_without_end_is_whole_where_nothing_can_be_missing(name: str, line: bytes, whole: bool) -> None:
    (found,) = read_all(FORMATS.get(name).read(ByteSource(io.BytesIO(line), "x"))[1])
    assert found.damaged is not whole
