"""The compiled engine against numpy's: the same batches from the same text, the same text from the same batches."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import types
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mmiotrace import TEXTS, lines

from mmiotools import speed
from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.formats import mmiotrace_compiled, mmiotrace_count, mmiotrace_print, mmiotrace_scan
from mmiotools.stats.summary import Summary, bulk_summary, counted_summary
from mmiotools.trace.batch import Batch, Regions

FAST = speed.compiled.__wrapped__()
needs_engine = pytest.mark.skipif(FAST is None, reason="the compiled engine was not built")


def same(a: Batch, b: Batch) -> None:
    assert np.array_equal(a.kind, b.kind)
    assert set(a.columns) == set(b.columns)
    for name, column in a.columns.items():
        other = b.columns[name]
        assert column.data.dtype == other.data.dtype, name
        assert np.array_equal(column.data, other.data), name
        assert np.array_equal(a.present(name), b.present(name)), name
    assert a.extras == b.extras


def both(block: bytes) -> list[Batch]:
    """The batches of a block, read by either engine."""
    ours = list(mmiotrace_compiled.scan(FAST, block, 1, Regions()))
    theirs = list(mmiotrace_scan.scan(block, 1, Regions()))
    for a, b in zip(ours, theirs, strict=True):
        same(a, b)
    return ours


def printed(batches: list[Batch], patch: pytest.MonkeyPatch) -> None:
    """Either engine prints the same, and counts the same losses."""
    found: list[tuple[bytes, Counter[str]]] = []
    for engine in (FAST, None):
        patch.setattr(mmiotrace_print, "compiled", lambda engine=engine: engine)
        out = io.BytesIO()
        writer = mmiotrace_print.TextWriter(out)
        for batch in batches:
            writer.write(batch)
        found.append((out.getvalue(), writer.lost))
    assert found[0] == found[1]


@needs_engine
@settings(max_examples=300)
@given(st.lists(lines(), min_size=1, max_size=60))
def test_lines_are_read_and_printed_alike(rows: list[bytes]) -> None:
    block = b"".join(rows)
    batches = both(block)
    with pytest.MonkeyPatch.context() as patch:
        printed(batches, patch)


#: What is next to digits, letters and blanks in any code that tests for them; CR, and bytes beyond ASCII.
CHARACTERS = b"09/:afAFg`@G \t\r!x.,RWSVU\x00\x7f\x80\xb0\xe1\xff"
LINES = (
    b"R 4 12.345678 3 0xfebc0008 0x1f2e3d4c 0x0 0",
    b"W 8 7.000000 12 0x380000000010 0xfedcba9876543210 0x0 0\r",
    b"R 1 123456789.999999 999999999 0x0 0x0 0xffffffff81234567 1234",
    b"UNKNOWN 12.345678 3 0xfebc0008 0f,b6,c0 0x0 0",
)


@needs_engine
@pytest.mark.parametrize("line", LINES)
def test_lines_with_one_other_character_are_read_alike(line: bytes) -> None:
    """Each behind the whole line, of which the engine remembers what is likely to come again."""
    others = []
    for at in range(len(line)):
        others.append(line[:at] + line[at + 1 :])
        for character in CHARACTERS:
            others += [line[:at] + bytes([character]) + line[at + 1 :], line[:at] + bytes([character]) + line[at:]]
    both(b"".join(line + b"\n" + other + b"\n" for other in others))
    for other in others[::7]:
        both(line + b"\n" + other + b"\n")


@needs_engine
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_samples_are_read_and_printed_alike(path: Path) -> None:
    text = path.read_bytes()
    block = text[: text.rfind(b"\n") + 1]
    with pytest.MonkeyPatch.context() as patch:
        printed(both(block), patch)


def summed(parts: Iterable[Summary]) -> dict[str, Any]:
    whole = Summary()
    for part in parts:
        whole.merge(part)
    return whole.as_json()


@needs_engine
@settings(max_examples=300)
@given(st.lists(lines(), min_size=1, max_size=60))
def test_lines_are_counted_alike(rows: list[bytes]) -> None:
    block = b"".join(rows)
    batches = list(mmiotrace_scan.scan(block, 1, Regions()))
    counted = list(mmiotrace_count.count(FAST, block, 1))
    assert summed(map(counted_summary, counted)) == summed(map(bulk_summary, batches))
    assert sum(part.events for part in counted) == sum(map(len, batches))
    rare = [event for batch in batches for event in batch.events() if event.kind > Kind.UNKNOWN]
    assert [event for part in counted for event in part.rest if event.kind > Kind.UNKNOWN] == [
        event._replace(extra={k: v for k, v in event.extra.items() if k != "eol"}) for event in rare
    ]


@needs_engine
def test_more_registers_and_odd_lines_than_are_counted_at_once() -> None:
    rows = [b"R 4 1.%06d 1 0x%x 0x0 0x0 0\n" % (at, at * 4) for at in range(70_000)] + [b"odd\n"] * 70_000
    counted = list(mmiotrace_count.count(FAST, b"".join(rows), 1))
    assert len(counted) > 2
    assert sum(part.events for part in counted) == len(rows)
    assert summed(map(counted_summary, counted)) == summed(
        map(bulk_summary, mmiotrace_scan.scan(b"".join(rows), 1, Regions()))
    )


@needs_engine
def test_more_lines_than_a_batch_holds() -> None:
    assert [len(batch) for batch in both(b"R 4 1.000000 1 0x1000 0x0 0x0 0\n" * 70_000)] == [65536, 4464]


@needs_engine
@pytest.mark.parametrize("at", [-1, 3, 1 << 62])
def test_what_lies_outside_a_buffer_is_refused(at: int) -> None:
    small = [np.zeros(1, np.uint8)] * 3 + [np.zeros(1, np.uint64)] * 9
    with pytest.raises(ValueError):
        FAST.scan_lines(b"R\n", at, 1, *small)
    with pytest.raises(ValueError):
        FAST.scan_lines(b"R\n", 0, 1 << 61, *small)
    with pytest.raises(ValueError):
        FAST.tally_lines(b"R\n", at, 1, np.zeros(3, np.int64), np.zeros(6, np.int64))
    # The last is three times a number that 64 bits hold as 1.
    for room in (1 << 61, -1, -6148914691236517205):
        with pytest.raises(ValueError):
            FAST.tally_lines(b"#\n" * 9, 0, room, np.zeros(1, np.int64), np.zeros(6, np.int64))
    with pytest.raises(ValueError):
        FAST.print_rows(np.zeros(500, np.uint8), 0, at, *small[:2], *small[3:10])


@needs_engine
def test_buffers_that_are_not_aligned_or_cannot_be_written_are_refused() -> None:
    words = [np.zeros(16, np.uint8)[1:9]] * 9
    with pytest.raises(ValueError, match="aligned"):
        FAST.scan_lines(b"R\n", 0, 1, *[np.zeros(1, np.uint8)] * 3, *words)
    with pytest.raises((BufferError, ValueError)):
        FAST.scan_lines(b"R\n", 0, 1, *[b"x"] * 12)


def test_what_the_environment_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "numpy")
    assert speed.compiled.__wrapped__() is None
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "fortran")
    with pytest.raises(UsageError, match="none of auto, compiled, numpy"):
        speed.compiled.__wrapped__()
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "compiled")
    monkeypatch.setitem(sys.modules, "mmiotools._speed", types.ModuleType("mmiotools._speed"))
    with pytest.raises(UsageError, match="built for another version"):
        speed.compiled.__wrapped__()
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "auto")
    assert speed.compiled.__wrapped__() is None
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "compiled")
    monkeypatch.setitem(sys.modules, "mmiotools._speed", None)
    with pytest.raises(UsageError, match="was not built"):
        speed.compiled.__wrapped__()


def garbled(text: bytes, rng: random.Random) -> bytes:
    """Whole lines of a text with some bytes changed, and cut anywhere."""
    data = bytearray(text[rng.randrange(len(text)) :][: rng.randrange(1, 4096)])
    for _ in range(rng.randrange(8)):
        if data:
            data[rng.randrange(len(data))] = rng.choice(b"0 x\n\r,.RWU9f\x00\xff")
    return bytes(data) + b"\n"


def fuzz(engine: object, rounds: int, seed: int) -> None:
    """Garbled text through an engine, and what comes of it printed: under a sanitizer, see below."""
    rng = random.Random(seed)
    texts = [path.read_bytes() for path in TEXTS]
    mmiotrace_print.compiled = lambda: engine  # type: ignore[assignment]
    for _ in range(rounds):
        list(mmiotrace_count.count(engine, garbled(rng.choice(texts), rng), 1))  # type: ignore[arg-type]
        for batch in mmiotrace_compiled.scan(engine, garbled(rng.choice(texts), rng), 1, Regions()):  # type: ignore[arg-type]
            mmiotrace_print.TextWriter(io.BytesIO()).write(batch)


@pytest.mark.slow
def test_garbled_text_under_the_address_sanitizer(top: Path, tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path / "_speed.abi3.so"
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-shared", "-fPIC"]
    include = f"-I{sysconfig.get_paths()['include']}"
    sources = sorted(map(str, (top / "mmiotools" / "compiled").glob("*.c")))
    subprocess.run([compiler, *flags, include, *sources, "-o", str(built)], check=True)
    library = subprocess.run([compiler, "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    program = (
        "import importlib.util, sys, test_compiled, test_native_planes, test_speed, test_stored_rows, test_unpacking\n"
        f"spec = importlib.util.spec_from_file_location('_speed', {str(built)!r})\n"
        "engine = importlib.util.module_from_spec(spec); spec.loader.exec_module(engine)\n"
        "test_speed.fuzz(engine, int(sys.argv[1]), 1)\n"
        "test_compiled.fuzz(engine, 5 * int(sys.argv[1]), 1)\n"
        "test_native_planes.fuzz(engine, 5 * int(sys.argv[1]), 1)\n"
        "test_unpacking.fuzz(engine, 100 * int(sys.argv[1]), 1)\n"
        "test_stored_rows.fuzz(engine, 20 * int(sys.argv[1]), 1, lambda *read: None)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(top), *(str(top / "tests" / part) for part in ("formats", "diff")))),
        "LD_PRELOAD": library.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    done = subprocess.run([sys.executable, "-c", program, "80"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@needs_engine
@pytest.mark.parametrize("name", ["nv-test-1", "oddities", "hda-linux6.1"])
def test_either_engine_writes_the_same_native_file(name: str, samples: Path) -> None:
    path = samples / "mmiotrace" / f"{name}.mmiotrace"
    command = [sys.executable, "-m", "mmiotools", "convert", "-q", str(path), "-t", "native"]
    made = [
        subprocess.run(command, env={**os.environ, "MMIOTOOLS_ENGINE": engine}, capture_output=True, check=False).stdout
        for engine in ("compiled", "numpy")
    ]
    assert made[0] and made[0] == made[1]
