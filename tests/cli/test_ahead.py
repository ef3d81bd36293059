"""Two large files are read at once: nobody may notice but by the clock."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import pytest

from mmiotools.cli import ahead
from mmiotools.cli.main import run


@pytest.fixture
def large(samples: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The e1000 recording as text, and the same with an access less."""
    with lzma.open(samples / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz") as packed:
        lines = packed.readlines()
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"".join(lines))
    b.write_bytes(b"".join(lines[:9000] + lines[9001:]))
    assert b.stat().st_size > ahead._WORTH_IT
    return a, b


def told(words: list[str], capfd: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """What a command gives, which has to be the same with another process and without."""
    found = []
    for workers in ("0", "2"):
        patch.setenv("MMIOTOOLS_WORKERS", workers)
        found.append((run(words), *capfd.readouterr()))
    assert found[0] == found[1]
    return found[1]


@pytest.mark.parametrize("more", [(), ("--only-writes",), ("--as-trace", "b", "-t", "mmiotrace"), ("--counts",)])
def test_the_answer_is_the_same(
    large: tuple[Path, Path], more: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, _ = told(["diff", *more, *map(str, large)], capfd, monkeypatch)
    assert out if status else more == ("--only-writes",)


def test_native_files_as_well(
    large: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = large
    for path in (a, b):
        assert run(["convert", str(path), "-o", f"{path}.mmio"]) == 0
    monkeypatch.setattr(ahead, "_WORTH_IT", 1)
    for words in ([], ["--only-writes"], ["-U", "0", "--view", "json"], ["--counts"]):
        for one, other in ((f"{a}.mmio", f"{b}.mmio"), (f"{a}.mmio", str(b)), (str(a), f"{a}.mmio")):
            told(["diff", *words, one, other], capfd, monkeypatch)


def test_repeats_as_well(
    large: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = map(str, large)
    assert told(["diff", "--repeat-a", a, "--repeat-b", b, a, b], capfd, monkeypatch)[0] == 1


def test_damage_in_the_second_file_is_told(
    large: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = large
    whole = b.read_bytes()
    b.write_bytes(whole[:-5] + b"\n" + whole[300_000:300_100])
    status, _, err = told(["diff", "-q", str(a), str(b)], capfd, monkeypatch)
    assert (status, err) == (3, "")
    status, _, err = told(["diff", str(a), str(b)], capfd, monkeypatch)
    assert status == 3
    assert f"{b}: damaged in" in err


@pytest.mark.parametrize("content", [bytes(300_000), b"x" * 300_000])
def test_what_is_no_trace(
    large: tuple[Path, Path], content: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = large
    b.write_bytes(content)
    status, out, err = told(["diff", str(a), str(b)], capfd, monkeypatch)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_a_reader_that_was_waited_for_already_is_left_without_an_error() -> None:
    with ahead.Ahead(lambda columns, told: b"read") as reading:
        # As where Ctrl-C comes when `result` has waited for it, and has not noted that yet.
        os.waitpid(reading._pid, 0)
