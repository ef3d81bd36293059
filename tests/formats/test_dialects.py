"""Formats of other tools: what every one of them must do with its sample, whole, in pieces, and damaged."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.events import Kind
from mmiotools.formats import FORMATS, open_trace
from mmiotools.formats.base import Sniff, read_all
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import MAX_EVENTS, Batch
from mmiotools.trace.header import TraceHeader

SAMPLES = Path(__file__).parents[2] / "samples"
#: Format → one of its samples.
DIALECTS = {
    "relay": "relay/oddities.relay",
    "mmt": "mmt/oddities.mmt",
    "mmt-text": "mmt-text/oddities.mmt.txt",
    "renode": "renode/oddities.renode.log",
    "serialice": "serialice/oddities.serialice",
    "panda": "panda/oddities.panda.json",
    "conware": "conware/oddities.conware.tsv",
    "pcileech": "pcileech/trace.pcileech.json",
}
NAMES = list(DIALECTS)
ROWS = tomllib.loads((SAMPLES / "INDEX.toml").read_text())["sample"]


class Pieces(io.BytesIO):
    """An input that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, n: int | None = -1) -> bytes:
        return super().read(self._size)


def sample(name: str) -> bytes:
    return (SAMPLES / DIALECTS[name]).read_bytes()


def read(name: str, data: bytes, size: int = 1 << 20) -> tuple[TraceHeader, list[Batch]]:
    header, batches = FORMATS.get(name).read(ByteSource(Pieces(data, size), "x"))  # type: ignore[arg-type]
    return header, list(batches)


def write(name: str, header: TraceHeader, batches: list[Batch]) -> bytes:
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, header)
    for batch in batches:
        writer.write(batch)
    writer.close()
    assert not +writer.lost
    return out.getvalue()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("between", ["native", "jsonl"])
def test_comes_back_through_the_formats_that_hold_everything(name: str, between: str) -> None:
    data = sample(name)
    header, batches = read(name, data)
    header, again = read(between, write(between, header, batches))
    assert read_all(iter(again)) == read_all(iter(batches))
    if FORMATS.get(name).writable:
        assert write(name, header, again) == data


def test_an_array_of_nothing_is_recognised_as_what_it_was_written_as() -> None:
    data = write("panda", TraceHeader("jsonl"), [])
    assert [name for name in FORMATS.names() if FORMATS.get(name).sniff(data) != Sniff.NO] == ["panda"]
    assert not any(event.damaged for event in read_all(iter(read("panda", data)[1])))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_a_sample_is_claimed_by_its_own_format_alone(row: dict[str, str]) -> None:
    path = SAMPLES / row["path"]
    if path.suffix == ".xz" or path.parent.name == "broken":
        pytest.skip("compressed, or damaged on purpose")
    head = path.read_bytes()[: 1 << 16]
    claims = {name: FORMATS.get(name).sniff(head) for name in FORMATS.builtin_names()}
    best = max(claims.values())
    if FORMATS.get(row["format"]).readable:
        assert claims[row["format"]] >= Sniff.LIKELY  # a log may have a preamble
        assert [name for name, claim in claims.items() if claim == best] == [row["format"]]
    else:
        assert best == Sniff.NO


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_size_of_pieces_does_not_matter(name: str, size: int) -> None:
    data = sample(name)
    assert read_all(iter(read(name, data, size)[1])) == read_all(iter(read(name, data)[1]))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_cut_off_anywhere_is_read_up_to_there(name: str) -> None:
    data = sample(name)
    for end in range(1, len(data), max(1, len(data) // 200)):
        header, batches = read(name, data[:end])
        if FORMATS.get(name).writable:
            assert write(name, header, batches) == data[:end]


def changes() -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    """Places (in 2^16ths of the input), how many bytes go there, and what comes instead."""
    one = st.tuples(
        st.integers(0, (1 << 16) - 1),
        st.integers(0, 40),
        st.binary(max_size=8) | st.sampled_from([b"\xff\xff\xff\xff", b"\0" * 40, b"\n", b"\r\n", b'"', b"\t", b"]"]),
    )
    return st.lists(one, min_size=1, max_size=4)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(changes=changes(), size=st.sampled_from([7, 100, 1 << 20]))
def test_damage_never_raises_and_nothing_is_lost(name: str, changes: list[tuple[int, int, bytes]], size: int) -> None:
    data = sample(name)
    for place, gone, come in changes:
        at = place * len(data) >> 16
        data = data[:at] + come + data[at + gone :]
    if not data or ByteSource(io.BytesIO(data), "x").compression is not None:
        return
    FORMATS.get(name).sniff(data)
    try:
        header, batches = read(name, data, size)
    except Exception as error:
        assert type(error).__name__ == "FormatError"
        return
    assert all(0 < len(batch) <= MAX_EVENTS for batch in batches)
    if name == "panda" and batches[0].kind[0] != Kind.NOTE:
        return  # without its opening bracket an array is written anew
    if FORMATS.get(name).writable:
        assert write(name, header, batches) == data


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=300))
def test_any_bytes_can_be_asked_about(name: str, data: bytes) -> None:
    FORMATS.get(name).sniff(data)


@pytest.mark.parametrize("name", ["conware", "jsonl", "mmiotrace", "qemu-log", "renode", "serialice"])
@pytest.mark.parametrize("source", [*DIALECTS.values(), "mmiotrace/nvme-linux6.1.mmiotrace"])
def test_what_is_prepared_elsewhere_is_written_as_the_rest(name: str, source: str) -> None:
    """Batch by batch, as processes do it, or all at once."""
    trace = open_trace(str(SAMPLES / source))
    batches = list(trace.batches)
    here, there = io.BytesIO(), io.BytesIO()
    one, other = (FORMATS.get(name).writer(out, trace.header) for out in (here, there))
    for batch in batches:
        one.write(batch)
        for low in range(0, len(batch), 7):
            part = other.prepare(batch.slice(low, low + 7))  # type: ignore[attr-defined]
            other.accept(part)  # type: ignore[attr-defined]
    for writer in (one, other):
        writer.close()
    assert (here.getvalue(), one.lost) == (there.getvalue(), other.lost)
