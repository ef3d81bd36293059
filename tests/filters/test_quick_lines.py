"""The quick way through a small mmiotrace text gives what the other way gives, or says that it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from filter_expressions import expressions
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.cli.common import Run
from mmiotools.cli.filter_batches import select_batches
from mmiotools.cli.filtering import Asked, Request, filter_trace
from mmiotools.errors import MmioToolsError
from mmiotools.events import Event, Kind
from mmiotools.filters.expr import Expr, Not, Word
from mmiotools.filters.grammar import parse
from mmiotools.filters.window import Window
from mmiotools.formats.mmiotrace_render import render
from mmiotools.quick import lines as quick_lines
from mmiotools.quick.lines import MOST, select_lines

SAMPLES = Path(__file__).parents[2] / "samples" / "mmiotrace"

times = st.integers(0, 12).map(lambda step: 1000 * step)
addresses = st.integers(0x100F8, 0x10228) | st.sampled_from([0, 2**32, 2**64 - 1])
words = st.integers(0, 12) | st.sampled_from([255, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
accesses = st.builds(
    lambda kind, time, width, map_id, addr, value, pc, pid: Event(
        kind, time, width, map_id, addr, value=value, pc=pc, pid=pid, extra={"opcode": b"\x83\x38\x00"}
    ),
    st.sampled_from([Kind.READ, Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
    times,
    st.sampled_from([1, 2, 4, 8, 255, 256]),
    st.integers(-1, 3),
    addresses,
    words,
    st.sampled_from([0, 5, 2**64 - 1]),
    st.integers(-1, 3),
)
maps = st.builds(
    lambda kind, time, map_id, addr: Event(
        kind, time, map=map_id, addr=addr, pc=0, pid=0, extra={"virt": 0xFFFF, "length": 0x100}
    ),
    st.sampled_from([Kind.MAP, Kind.UNMAP]),
    times,
    st.integers(-1, 2),
    addresses,
)
#: Other records, notes, and spellings that no kernel has.
others = st.sampled_from(
    [
        b"VERSION 20070824",
        b"VERSION 1",
        b"PCIDEV 0018 8086100e b febc0000 c041 0 0 0 0 0 20000 40 0 0 0 0 0 e1000",
        b"PCIDEV 0018 8086100e b febc0000 c041 0 0 0 0 0 20000 40 0 0 0 0 0 ",
        b'# mmiotools: {"meta":{"a":1},"version":"1"}',
        b'# mmiotools: {"version": "20070824", "format": "mmiotrace"}',
        b"MARK 0.000004 go",
        b"MARK 0.000003 ",
        b"MARK 0.000003",
        b"MARK 0.000005 \xff\x00 R 4 0.000002 1 0x10100 0x1 0x0 0",
        b"MARK 0.000000 Lost 5 events.",
        b"MARK 0.000001 Lost 5 events.",
        b"CPU:1 [LOST 5 EVENTS]",
        b"CPU:0 [EVENTS DROPPED]",
        b"# tracer: mmiotrace",
        b"# a comment",
        b"",
        b"rw what?",
        b"R 4 0.000002 1 0X00010100 0x1 0x0 0 ",
        b"R  04 0.000002 01 0x10100 0x1\t0x0 0",
        b"W 4 0.0000025 1 0x10100 0x1 0x0 0",
        b"\tMAP 0.000004001 1 0x10100 0x1 0x100 0x0 0",
    ]
)
#: What is left to the other way.
damaged = st.sampled_from(
    [
        b"R 4 0.00",
        b"MARK 0.000004 xMARK 0.000004 ",
        b"W 4 0.000001 1 0x10100 0x1 0x0 0\r",
        b'# mmiotools: {"meta":{},"value":5}',
        b'# mmiotools damaged: {"events":2,"reason":"x"}',
    ]
)
written = (accesses | accesses | accesses | maps).map(lambda event: render(event) or b"")
texts = st.builds(
    lambda first, rest, end: b"\n".join([*first, *rest]) + end,
    st.sampled_from([[b"VERSION 20070824"], [b"# tracer: mmiotrace", b"#"], []]),
    st.lists(written | written | written | others, max_size=30),
    st.just(b"\n"),
)
broken = st.builds(
    lambda lines, odd, at, end: b"\n".join([*lines[:at], odd, *lines[at:]]) + end,
    st.lists(written | others, max_size=8),
    damaged | others | written,
    st.integers(0, 8),
    st.sampled_from([b"\n", b"", b"\n\n"]),
)
bounds = st.none() | times | st.integers(-3, 12_500)
plainly = expressions().filter(lambda node: not any(word in str(node) for word in ("offset", "bar", "region", "mark")))


def compared(path: Path, node: Expr, window: Window, bare: bool, known: bool) -> bool:
    """Compare the two ways; whether the quick one did it."""
    found = select_lines(path.read_bytes(), node, window, bare, known=known)
    if found is None:
        return False
    out, run = path.with_name("out.mmiotrace"), Run(True)
    given = "mmiotrace" if known else None
    request = Request("", str(path), bare=bare, from_format=given, output=str(out), strict=True, quiet=True)
    count = select_batches(Asked(request, run, node, None, window))
    assert (found, run.status) == ((out.read_bytes(), count), 0)
    return True


@settings(max_examples=300)
@given(texts, plainly, bounds, bounds, st.booleans(), st.booleans(), st.booleans())
@example(b"MARK 0.000000 Lost 5 events.\n", Word("lost"), 1000, None, False, False, False)
def test_what_is_kept_is_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    text: bytes,
    node: Expr,
    first: int | None,
    last: int | None,
    bare: bool,
    invert: bool,
    known: bool,
) -> None:
    path = tmp_path_factory.mktemp("quick") / "trace.mmiotrace"
    path.write_bytes(text)
    compared(path, Not(node) if invert else node, Window(first=first, last=last), bare, known)


@settings(max_examples=150)
@given(broken, expressions(), bounds, bounds, st.booleans(), st.booleans())
def test_any_lines_are_kept_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    text: bytes,
    node: Expr,
    first: int | None,
    last: int | None,
    bare: bool,
    known: bool,
) -> None:
    path = tmp_path_factory.mktemp("quick") / "trace.mmiotrace"
    path.write_bytes(text)
    compared(path, node, Window(first=first, last=last), bare, known)


@pytest.mark.parametrize("sample", [p.name for p in sorted(SAMPLES.glob("*.mmiotrace")) if "oddities" not in p.name])
@pytest.mark.parametrize(
    "expression", ["read", "write and addr in 0xfe000000-0xfe800000", "value & 1 != 0 or not access", "time < 3.1"]
)
def test_what_kernels_record_is_done_quickly(tmp_path: Path, sample: str, expression: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes((SAMPLES / sample).read_bytes())
    for window in (Window(), Window(first=3 * 10**9), Window(first=2_950_000_000, last=3_100_000_000)):
        for bare in (False, True):
            assert compared(path, parse(expression), window, bare, known=False)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"R 4 0.000001 1 0x8 0x1 0x0 0",
        b"R 4 0.000001 1 0x8 0x1 0x0 0\r\n",
        b"R 4 0.000001 1 0x8 0x1 0x0\n",
        b"CPU:1 [LOST 5 EVENTS]\nR 4 0.000001 1 0x8 0x1 0x0 0\n",
        b"# a comment\nR 4 0.000001 1 0x8 0x1 0x0 0\n",
        b"R\t4 0.000001 1 0x8 0x1 0x0 0\n",
        b'VERSION 20070824\n# mmiotools: {"eol":"crlf"}\n',
        b'VERSION 20070824\n# mmiotools: {"value":1}\n',
        b"\x1f\x8b\n",
    ],
)
def test_what_is_unusual_is_left_to_the_other_way(text: bytes) -> None:
    assert select_lines(text, parse("read"), Window(), False, known=False) is None


def test_what_a_line_does_not_say_is_left_to_the_other_way() -> None:
    text = b"R 4 0.000001 1 0x8 0x1 0x0 0\n"
    assert select_lines(text, parse("read"), Window(), False, known=False) == (text, 1)
    assert select_lines(text, parse("offset == 8"), Window(), False, known=False) is None
    assert select_lines(text * (MOST // len(text) + 1), parse("read"), Window(), False, known=False) is None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"invert": True},
        {"times": "3-3.05"},
        {"bare": True, "counts": True},
        {"from_format": "mmiotrace", "output": "-"},
        {"output": "out"},
        {"output": "out.gz"},
        {"output": "out.mmiotrace"},
        {"output": "out.mmio"},
        {"output": "out.csv"},
        {"to_format": "jsonl"},
        {"to_format": ""},
        {"to_format": "mmiotrace", "output": "out.csv"},
        {"from_format": "jsonl"},
        {"from_format": "native"},
        {"output": "trace.mmiotrace"},
        {"output": "no/such/folder"},
        {"exit_status": True, "expression": "value == 0x1234567"},
    ],
)
def test_the_command_does_the_same_either_way(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, object],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (SAMPLES / "nvme-linux6.1.mmiotrace").read_bytes()
    seen = []
    for most in (MOST, 0):
        monkeypatch.setattr(quick_lines, "MOST", most)
        Path("trace.mmiotrace").write_bytes(text)
        request = Request("write and width == 4", "trace.mmiotrace")._replace(**more)  # type: ignore[arg-type]
        status: object
        try:
            status = filter_trace(request)
        except MmioToolsError as error:
            status = str(error)
        # What is compressed has the time in it.
        files = {path.name: path.read_bytes() for path in Path().iterdir() if path.suffix != ".gz"}
        seen.append((status, capfdbinary.readouterr(), files))
        for path in Path().iterdir():
            path.unlink()
    assert seen[0] == seen[1]
