"""The reader of line-oriented text: blocks, line numbers, records that span lines, in one process and in several."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.formats import lines, parallel, source
from mmiotools.formats.base import damaged, read_all
from mmiotools.formats.lines import LineBatches, by_line
from mmiotools.formats.source import ByteSource, open_source
from mmiotools.stats.summary import Summary, bulk_summary
from mmiotools.trace import batch as batches
from mmiotools.trace.batch import Batch, Regions


def parse(line: bytes, number: int, ended: bool, regions: Regions) -> Event | None:
    if line.startswith(b"bad") or not ended:
        return damaged("bad", text=line, line=number)
    if line.startswith(b"R "):
        name = line[2:].decode("latin-1")
        regions.code(name, "reg")
        return Event(Kind.READ, region=name, offset=len(name))
    return None


def spelled(event: Event) -> bytes:
    text = event.extra["text"] if event.kind == Kind.NOTE else b"R " + str(event.region).encode("latin-1")
    return text + {"lf": b"\n", "crlf": b"\r\n", "none": b""}[event.extra.get("eol", "lf")]


@given(st.lists(st.sampled_from([b"R a", b"R b", b"x", b"bad", b"", b"\r", b"\n", b"\r\n", b"R c\n"])))
def test_every_line_comes_back_in_its_place(parts: list[bytes]) -> None:
    data = b"# head\n" + b"".join(parts)
    events = read_all(LineBatches(ByteSource(io.BytesIO(data), "x"), by_line(parse)))
    assert b"".join(map(spelled, events)) == data
    assert [event.extra["line"] for event in events if "line" in event.extra] == [
        number for number, event in enumerate(events, 1) if event.extra.get("damaged")
    ]


def test_regions_are_counted_by_name_in_any_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"".join(b"R region%d\n" % (n // 7 * 11 % 100) for n in range(5000)))
    monkeypatch.setattr(source, "_CHUNK", 1 << 14)
    monkeypatch.setattr(parallel, "ALONE", 1)
    counted = []
    for workers in ("0", "2"):
        monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
        summary = Summary()
        for part in LineBatches(open_source(str(path)), by_line(parse)).spread(bulk_summary):
            summary.merge(part.result)
        counted.append(summary.hottest(200))
    assert counted[0] == counted[1] and sum(register.accesses for register in counted[0]) == 5000
    assert {register.region for register in counted[0]} == {f"region{n}" for n in range(100)}


@pytest.mark.parametrize("workers", ["0", "2"])
def test_many_short_lines_are_not_held_at_once(workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of 2 MiB may be two million notes; what a worker makes of it is too much for a pipe, or for memory."""
    path = tmp_path / "text"
    path.write_bytes((b"\n" * 999 + b"bad\n") * 100 + b"R a\n" * 1000)
    monkeypatch.setattr(batches, "MAX_EVENTS", 500)
    monkeypatch.setattr(lines, "MAX_RARE", 2000)
    monkeypatch.setattr(source, "_CHUNK", 1 << 15)
    monkeypatch.setattr(parallel, "ALONE", 1)
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    told = []
    tracemalloc.start()
    for part in LineBatches(open_source(str(path)), by_line(parse)).spread(len):
        assert part.result == part.events
        told += [extra["line"] for extra in part.rare.extras.values() if "line" in extra]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told == list(range(1000, 100_001, 1000))
    assert peak < 6 << 20


def hold_open(text: bytes) -> int:
    """Hold what follows the last "(" unless a ")" does."""
    begin = text.rfind(b"(")
    return len(text) - (text.rfind(b"\n", 0, begin) + 1) if begin > text.rfind(b")") else 0


def together(block: bytes, line: int, regions: Regions) -> Iterator[lines.Parsed]:
    """A batch a block; a block with more "(" than ")" is told."""
    whole = block.count(b"(") == block.count(b")")
    texts = block.split(b"\n")[: -1 if block.endswith(b"\n") else None]
    notes = [Event(Kind.NOTE, extra={"text": text, "line": line + at}) for at, text in enumerate(texts)]
    if not whole:
        notes[0] = damaged("open", text=texts[0], line=line)
    yield lines.Parsed(Batch.from_events(notes, regions), len(notes))


def test_what_is_held_from_the_first_line_on_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"(\n" + b"-\n" * 20_000
    path = tmp_path / "text"
    path.write_bytes(text)
    monkeypatch.setattr(source, "_CHUNK", 1 << 14)
    alone = read_all(LineBatches(open_source(str(path)), together, hold=hold_open))
    results = list(LineBatches(open_source(str(path)), together, hold=hold_open).spread(len))
    assert sum(result.result for result in results) == len(alone) == 20_001


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("end", [b"", b"(\n", b"(\ncut"])
def test_what_spans_lines_is_read_together(
    workers: str, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"".join(b"%d %s\n" % (n, b"(" if n % 5 == 1 else b")" if n % 5 == 4 else b"-") for n in range(5000)) + end
    path = tmp_path / "text"
    path.write_bytes(text)
    monkeypatch.setattr(source, "_CHUNK", 1 << 14)
    monkeypatch.setattr(parallel, "ALONE", 1)
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)

    def stream() -> LineBatches:
        return LineBatches(open_source(str(path)), together, hold=hold_open)

    alone = read_all(stream())
    assert b"\n".join(event.extra["text"] for event in alone) == text.removesuffix(b"\n")
    assert [event.extra["line"] for event in alone] == list(range(1, len(alone) + 1))
    assert sum(bool(event.extra.get("damaged")) for event in alone) == bool(end)
    results = list(stream().spread(len))
    assert [event for result in results for event in result.rare.events()] == alone
    assert sum(result.result for result in results) == len(alone)


def test_what_is_held_at_the_end_of_a_file_is_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"".join(b"%d -\n" % n for n in range(40)) + b"(\n" + b"-\n" * 20
    path = tmp_path / "text"
    path.write_bytes(text)
    # The only extent would reach a few bytes beyond the end.
    monkeypatch.setattr(source, "_CHUNK", len(text) + 5 + 2 * source._LOOK)
    alone = read_all(LineBatches(open_source(str(path)), together, hold=hold_open))
    results = list(LineBatches(open_source(str(path)), together, hold=hold_open).spread(len))
    assert [event for result in results for event in result.rare.events()] == alone


def test_what_is_held_for_ever_is_given_up() -> None:
    data = b"(\n" + b"-\n" * 200 + b"end"
    source = ByteSource(io.BytesIO(data), "x")
    chunks = iter([data[at : at + 10] for at in range(0, len(data), 10)])
    source.chunks = lambda: chunks  # type: ignore[method-assign]
    sizes = [len(batch) for batch in LineBatches(source, together, hold=hold_open, reach=100)]
    assert len(sizes) > 20 and sum(sizes) == 202
