"""Texts of other tools: the scanner against the line parser, other spellings, and what a filter leaves of a file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.errors import FormatError, UsageError
from mmiotools.events import Event, Kind
from mmiotools.formats import FORMATS, PLAIN_SUFFIXES, alike, format_for_path, line_shapes
from mmiotools.formats.base import Sniff, read_all
from mmiotools.formats.json_objects import LONGEST, PIECE, pieces
from mmiotools.formats.line_format import LineFormat
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch, Regions
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples"


def read(name: str, data: bytes) -> tuple[TraceHeader, list[Event]]:
    header, batches = FORMATS.get(name).read(ByteSource(io.BytesIO(data), "x"))
    return header, read_all(batches)


def write(name: str, header: TraceHeader, events: list[Event]) -> tuple[bytes, dict[str, int]]:
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, header)
    writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue(), dict(+writer.lost)


# -- what is taken in bulk and what a line alone gives are the same ------------------------------------------------

HEX = st.integers(0, 2**32 - 1) | st.integers(0, 300)
PID = st.sampled_from(["0000", "0", "1", "1234", "00123", "9999999"]) | st.integers(1, 10**9).map(str)
VALUE = st.builds("0x{:0{}x}".format, HEX, st.sampled_from([2, 4, 8, 16, 3]))
MMT_LINE = st.builds(
    "--{}-- {} {}:0x{:0{}x}, {}{}\n".format,
    PID,
    st.sampled_from("rwx"),
    st.integers(0, 9) | st.integers(0, 10**10),
    HEX,
    st.integers(3, 8),
    VALUE,
    st.sampled_from([" ", " ", "", "  ", " \r"]),
)
RENODE_LINE = st.builds(
    "{}:43:39.{} [{}] {}: [{}: 0x{:X}] {} 0x{:X} ({}), {} 0x{:X}\n".format,
    st.sampled_from(["00", "19", "23", "24", "99"]),
    st.sampled_from(["0000", "4383"]),
    st.sampled_from(["INFO", "DEBUG"]),
    st.sampled_from(["uart0", "m/uart0", "a b", "é"]),
    st.sampled_from(["cpu", "cpu 1"]),
    HEX,
    st.sampled_from(["ReadUInt32 from", "WriteUInt64 to", "ReadByte to", "WriteUInt16 from", "WriteByte to"]),
    HEX,
    st.sampled_from(["Mode", "unknown", "", "a (b)"]),
    st.sampled_from(["returned", "value"]),
    HEX,
)


PANDA_LINE = st.builds(
    '{{ "type": "{}", "guest_pc": "0x{:0{}x}", "phys_addr": "0x{:08x}", "virt_addr": "0x{:08x}", "size": "0x{}", '
    '"value": "0x{:08x}", "device": "{}" }}{}\n'.format,
    st.sampled_from("RW"),
    HEX,
    st.sampled_from([8, 8, 9, 16]),
    HEX | st.just(1 << 40),
    HEX,
    st.sampled_from(["00000004", "00000000", "000000ff", "00000100", "4", "0000000A"]),
    HEX | st.just((1 << 64) - 1),
    st.sampled_from(["[NONE]", "", "e1000-mmio", "a\\b", 'a"b', "é"]),
    st.sampled_from([",", ",", "", ", ", ",\r"]),
)
SERIALICE_LINE = st.builds(
    "{:04x}.{}    {}    [{:04x}:{:04x}]   {} {} {} {}{}\n".format,
    HEX,
    st.sampled_from(["0001", "abcd", "00001", "12345", "A"]),
    st.sampled_from(["RH..", "I.QD", "RHQX"]),
    st.integers(0, 70000),
    HEX,
    st.sampled_from(["MEM:  readl", "MEM: writew", "MEM:  readb", "IO:  inb", "IO: outl", "IO: outw", "MEM: writell"]),
    st.sampled_from(["0cf8", "fee00000", "1fee00000", "0fee00000", "10000"]),
    st.sampled_from(["=>", "<="]),
    st.sampled_from(["00", "12", "1234", "89abcdef", "  12345678901234", "ABCD"]),
    st.sampled_from(["", "", " ", "\r"]),
)
CONWARE_LINE = st.builds(
    "{}\t{}\t0x{:08x}\t{:08x}\t{}\t{}\t{}\t{}\t{}{}\n".format,
    st.sampled_from(["READ", "READ", "WRITE", "INTERRUPT", "ENTER"]),
    st.sampled_from(["0", "1", "", "01", "123456789012345678", "x"]),
    HEX,
    HEX | st.just(1 << 63),
    st.sampled_from(["", "", "5", "a b", "é", "|a|"]),
    st.sampled_from(["0x080184", "", "0x12345678", "0x1", "080184"]),
    st.sampled_from(["4", "1", "0", "", "255", "256", "04"]),
    st.sampled_from(["0", "0.0", "1523456789.123", "8999999999.5", "9000000000.5", "1.10", "5", ".5"]),
    st.sampled_from(["", "", "SimpleStorage", "a|b"]),
    st.sampled_from(["", "\r", "\r", "\r\r"]),
)
BULK = {
    "mmt-text": MMT_LINE,
    "renode": RENODE_LINE,
    "panda": PANDA_LINE,
    "serialice": SERIALICE_LINE,
    "conware": CONWARE_LINE,
}


#: Lines as tools write them, of a number and a value.
USUAL = {
    "renode": "11:43:39.{0:04} [INFO] uart0: [cpu: 0x80{0:X}] ReadUInt32 from 0x{0:X} (Mode), returned 0x{1:X}".format,
    "panda": '{{ "type": "W", "guest_pc": "0x{0:08x}", "phys_addr": "0x{0:08x}", "virt_addr": "0x{1:08x}", '
    '"size": "0x00000004", "value": "0x{1:08x}", "device": "e1000-mmio" }},'.format,
    "serialice": "{0:04x}.{0:04x}    RH..    [f000:{0:04x}]   MEM: writel {0:08x} <= {1:08x}".format,
    "conware": "READ\t{0}\t0x400e0a00\t{1:08x}\t\t0x080180\t4\t{0}.25\tSimpleStorageModel".format,
}


@pytest.mark.parametrize(("name", "line"), BULK.items(), ids=BULK)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_bulk_and_single_lines_agree(name: str, line: st.SearchStrategy[str], data: st.DataObject) -> None:
    dialect = FORMATS.get(name)
    assert isinstance(dialect, LineFormat)
    lines = [one.encode() for one in data.draw(st.lists(line, min_size=1, max_size=12))]
    # The same with other digits: they have their numbers at the same places.
    for digits in data.draw(st.lists(st.permutations(b"0123456789abcdef"), max_size=4)):
        lines += [one.translate(bytes.maketrans(b"0123456789abcdef", bytes(digits))) for one in lines[:12]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_shapes, "_WORTHWHILE", data.draw(st.sampled_from([1, 4])))
        patch.setattr(line_shapes, "_TOGETHER", data.draw(st.sampled_from([5, 1 << 12])))
        patch.setattr(alike, "MOST", data.draw(st.sampled_from([0, 3, 1 << 12])))
        before = data.draw(st.sampled_from([0, 30]))
        together = read(name, b"".join([b"# padding\n" * before, *lines]))[1][before:]
    alone = []
    for number, one in enumerate(lines, before + 1):
        alone.append(dialect._alone(one[:-1], number, Regions()))
    assert together == read_all(iter([Batch.from_events(alone)]))


def test_digits_of_other_scripts_are_no_numbers() -> None:
    heading = "Operation\tSeqn\tAddress\tValue\tValue (Model)\tPC\tSize\tTimestamp\tModel\n"
    row = "READ\t{}\t0x0\t0\t\t\t{}\t{}\t".format
    rows = [row(0, "\u0664", 0), row(0, 4, "\u06612.5"), row("\u0661", 4, 0)]
    events = read("conware", (heading + "\n".join([*rows, ""])).encode())[1][1:]
    assert [event.damaged for event in events] == [True, True, False]
    assert events[2].extra["seqn"] == "\u0661"


def test_accesses_are_read_together_among_thousands_of_other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineFormat, "_alone", lambda *_: Event(Kind.NOTE))
    others = [f"11:43:39.0000 [INFO] uart0: {n * 0x9E3779B97F4A7C15 % (1 << 64):x} is {n}" for n in range(20_000)]
    usual = [USUAL["renode"](n % 10_000, n) for n in range(20_000)]
    text = "\n".join([*others[:9], *(line for pair in zip(usual, others, strict=True) for line in pair), ""])
    kinds = [event.kind for event in read("renode", text.encode())[1][9:]]
    assert kinds[1::2] == [Kind.NOTE] * 20_000
    # Few have a layout of which there is no other line among those that are looked at together.
    assert kinds[::2].count(Kind.READ) > 19_900


def test_what_begins_a_block_is_not_taken_for_what_ends_it() -> None:
    usual = [USUAL["renode"](n, n) for n in range(100, 200)]
    first, long = usual[-1].replace("uart0", "uart1"), usual[0].replace("uart0", "u" * 100)
    for before in range(90, 180):
        text = "\n".join(["#" * before, first, long, *usual, ""]).encode()
        assert [event.region for event in read("renode", text)[1][1:4]] == ["uart1", "u" * 100, "uart0"], before


@pytest.mark.parametrize("name", ["renode", "panda", "serialice", "conware"])
def test_most_lines_are_read_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LineFormat, "_alone", lambda *_: Event(Kind.NOTE))
    values = [n * 0x01F3_A7B5 % (1 << 32) for n in range(1, 200)]
    lines = [USUAL[name](n, value).encode() + b"\n" for n, value in enumerate(values)]
    events = read(name, b"".join([b"# padding\n" * 30, *lines]))[1]
    assert [event.kind for event in events[:30]] == [Kind.NOTE] * 30
    assert [event.value for event in events[30:]] == values


# -- single formats ---------------------------------------------------------------------------------------------------


def test_a_filtered_array_of_panda_is_still_json() -> None:
    data = (SAMPLES / "panda" / "oddities.panda.json").read_bytes()
    header, events = read("panda", data)
    kept = [event for event in events if event.kind == Kind.READ]
    text, lost = write("panda", header, kept)
    assert not lost and [item["type"] for item in json.loads(text)] == ["R", "R"]
    assert json.loads(write("panda", header, kept[:1])[0])[0]["device"] == "e1000-mmio"
    assert json.loads(write("panda", TraceHeader("native"), [Event(Kind.WRITE, 0, 4, addr=16, value=1)])[0])
    assert json.loads(write("panda", header, [])[0]) == []


def test_a_foreign_trace_gets_the_heading_of_conware_and_its_line_ends() -> None:
    text, lost = write("conware", TraceHeader("jsonl"), [Event(Kind.READ, None, 4, addr=0x40, value=1, pc=2)])
    assert not lost and text.count(b"\r\n") == 2 and text.startswith(b"Operation\tSeqn\t")
    assert read("conware", text)[1][1][:8] == (Kind.READ, None, 4, None, 0x40, None, None, 1)


def test_a_second_heading_of_conware_holds_for_the_rows_behind_it() -> None:
    first = b"Operation\tSeqn\tAddress\tValue\tPC\tSize\n"
    second = b"Operation\tSeqn\tSize\tPC\tValue\tAddress\n"
    data = first + b"READ\t1\t0x10\t2\t0x3\t4\n" + second + b"READ\t1\t4\t0x3\t2\t0x10\n"
    _, events = read("conware", data)
    assert events[1][:8] == events[3][:8] == (Kind.READ, None, 4, None, 0x10, None, None, 2)


@pytest.mark.parametrize(
    "cell", ["9999999999999", "9999999999", "1.5e9", "-1", "nan"], ids=lambda cell: f"timestamp {cell}"
)
def test_a_time_that_is_none_is_damage(cell: str) -> None:
    data = f"Operation\tSeqn\tAddress\tValue\tPC\tSize\tTimestamp\nREAD\t1\t0x10\t2\t0x3\t4\t{cell}\n".encode()
    assert read("conware", data)[1][1].extra["damaged"]


def test_a_config_space_and_bars_become_a_device() -> None:
    _, (device,) = read("pcileech", (SAMPLES / "pcileech" / "device.pcileech.json").read_bytes())
    assert device.kind == Kind.DEVICE and device.extra["config"][:4] == bytes.fromhex("86800e10")
    assert [bar["flags"] for bar in device.extra["bars"]] == [0, 1]


def test_a_wrapped_trace_of_pcileech_and_another_schema() -> None:
    trace = (SAMPLES / "pcileech" / "trace.pcileech.json").read_bytes()
    wrapped = b'{"trace": ' + trace + b"}"
    assert FORMATS.get("pcileech").sniff(wrapped) == Sniff.YES
    assert read("pcileech", wrapped)[1] == read("pcileech", trace)[1]
    behind = read("pcileech", trace + b"and more")[1][-1].extra
    assert behind["damaged"] and behind["events"] == 0 and behind["offset"] == trace.rindex(b"]") + 1
    with pytest.raises(FormatError, match="schema 2"):
        read("pcileech", trace.replace(b'"schema_version": 1', b'"schema_version": 2'))
    with pytest.raises(UsageError, match="mmiotrace"):
        FORMATS.get("pcileech").writer(io.BytesIO(), TraceHeader())


@pytest.mark.parametrize("word", ["[null]", "{}", "true", "0.0", "null", '"peek"'])
def test_a_record_of_pcileech_whose_operation_is_none_is_damage(word: str) -> None:
    data = b'{"bar_index":0,"records":[{"operation":%s,"offset":0,"value":1}]}' % word.encode()
    assert read("pcileech", data)[1][-1].extra["damaged"]


def test_a_description_that_is_none_is_refused_soon() -> None:
    data = b'{"tool_version": "1", "device": [' + b"[]," * (1 << 21)
    with pytest.raises(FormatError, match="more than 4194304 bytes"):
        read("pcileech", data)


def test_a_bar_of_a_strange_type_is_left_out() -> None:
    data = json.loads((SAMPLES / "pcileech" / "device.pcileech.json").read_bytes())
    data["bars"][0]["type"] = ["mem32"]
    _, (device,) = read("pcileech", json.dumps(data).encode())
    assert len(device.extra["bars"]) == 1


@pytest.mark.parametrize("wrap", [(b"", b""), (b'{"trace": ', b"}\n")], ids=["plain", "wrapped"])
def test_a_trace_of_pcileech_that_is_cut_off_anywhere_says_so(wrap: tuple[bytes, bytes]) -> None:
    trace = wrap[0] + (SAMPLES / "pcileech" / "trace.pcileech.json").read_bytes() + wrap[1]
    assert not any(event.extra.get("damaged") for event in read("pcileech", trace)[1])
    for end in range(trace.index(b"[") + 1, len(trace.rstrip())):
        events = read("pcileech", trace[:end])[1]
        assert sum(bool(event.extra.get("damaged")) for event in events) == 1, end


@given(text=st.lists(st.sampled_from([b'{"a":1}', b"{", b"}", b'"', b"\\", b",", b" ", b"]", b"x", b'{"b":"}"}'])))
@settings(max_examples=200, deadline=None)
def test_pieces_of_an_array_are_all_of_it(text: list[bytes]) -> None:
    data = b"".join(text)
    for size in (1, 3, 1000):
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        found = list(pieces(chunks, 0))
        assert all(data[piece.offset :].startswith(piece.text) and len(piece.text) <= PIECE for piece in found)
        covered = sum(len(piece.text) for piece in found)
        assert covered <= len(data)


@pytest.mark.parametrize("length", [100, LONGEST, LONGEST + 1, PIECE - 8, PIECE, PIECE + LONGEST, 3 * PIECE])
@pytest.mark.parametrize("rest", [b"}, {\"a\": 1}] x", b"", b", ", b"]"])
def test_pieces_of_what_is_no_object_are_the_same_whatever_the_chunks(length: int, rest: bytes) -> None:
    data = b'{"a":1}, {"b": ' + b"[ " * (length // 2) + rest
    whole = list(pieces([data], 0))
    assert len(whole) <= 5 + length // PIECE
    for size in (1000, 4096, 1 << 16):
        assert list(pieces([data[at : at + size] for at in range(0, len(data), size)], 0)) == whole


BLANKS = b" " * 50_000
OBJECT = b'{ "type": "R", "guest_pc": "0x1", "phys_addr": "0x1", "virt_addr": "0x1", "size": "0x4", "value": "0x1", '


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("renode", b"19:43:39.3542 [INFO] " + BLANKS),
        ("renode", b"19:43:39.3542 [INFO] a: [" + BLANKS),
        ("panda", OBJECT + b'"device": "x" }' + BLANKS + b"x"),
        ("serialice", b"0000.0001    RHQ.    [f000:fff0]   MEM:  readb 0 => ea" + BLANKS + b"x"),
        ("mmt-text", b"--1234-- removed mmap " + b"x for: " * 8000),
        ("conware", b"Operation\tSeqn\t" + b"|" * 50_000),
        ("pcileech", b'{"bar_index":0,"records":[]' + b" ," * 25_000),
    ],
)
def test_a_long_line_takes_no_time_that_grows_with_its_square(name: str, line: bytes) -> None:
    FORMATS.get(name).sniff(line)
    assert len(read(name, line + b"\n")[1]) >= 1


@pytest.mark.parametrize("piece", [b"\n", b" \n", b"\t", b"{", b"{ \n", b"[ ", b"CPU", b"0.0 "])
@pytest.mark.parametrize("name", FORMATS.builtin_names())
def test_sniffing_takes_no_time_that_grows_with_its_square(name: str, piece: bytes) -> None:
    assert FORMATS.get(name).sniff((piece * 65536)[:65536]) < Sniff.YES


def test_the_longest_suffix_chooses() -> None:
    assert format_for_path("a.mmt.txt") == "mmt-text"
    assert format_for_path("a.txt") == "mmiotrace"
    assert format_for_path("a.renode.log.xz") == "renode"
    assert format_for_path("a.conware.tsv") == "conware"
    assert format_for_path("a.tsv") == "tsv"
    assert format_for_path("a") is None


def test_plain_suffixes_are_of_one_format_each() -> None:
    formats = [FORMATS.get(name) for name in FORMATS.builtin_names()]
    for suffix, name in PLAIN_SUFFIXES.items():
        assert [other.name for other in formats for own in other.suffixes if own.endswith(suffix)] == [name]
        assert FORMATS.get(name).writable
