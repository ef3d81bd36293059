"""convert of many inputs: which files, where they go, and that one stops no other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.cli.many_files import Job, are_many, plan
from mmiotools.cli.many_work import FileRun, do_all
from mmiotools.errors import UsageError
from mmiotools.formats import open_trace


@pytest.fixture
def folder(tmp_path: Path, samples: Path) -> Path:
    """Three traces, one of them damaged; two files that are no trace, an empty one, and a hidden one."""
    there = tmp_path / "logs"
    (there / "deep").mkdir(parents=True)
    shutil.copy(samples / "mmiotrace" / "nvme-linux6.1.mmiotrace", there / "a.txt")
    shutil.copy(samples / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz", there / "deep" / "b.log.xz")
    shutil.copy(samples / "broken" / "mmiotrace-truncated.mmiotrace", there / "c.mmiotrace")
    (there / "notes").write_text("hello\n")
    (there / "nothing").mkdir()
    (there / "nothing" / "README.txt").write_text("hello\n")
    (there / "empty").touch()
    (there / ".hidden").touch()
    return there


def made(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.mmio"))


@pytest.mark.parametrize("workers", ["0", "2", "8"])
def test_a_folder_whatever_is_in_it(
    folder: Path, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    out = tmp_path / "out"
    assert run(["convert", str(folder), "-o", str(out)]) == 3
    assert not (out / "nothing").exists()
    assert made(out) == ["a.mmio", "c.mmio", "deep/b.mmio"]
    assert sum(len(batch) for batch in open_trace(str(out / "deep" / "b.mmio")).batches) == 14104
    told = sorted(capfd.readouterr().err.splitlines())
    assert told == sorted(
        [
            f"mmiotools: {folder}/notes: no trace, passed over",
            f"mmiotools: {folder}/nothing/README.txt: no trace, passed over",
            f"mmiotools: {folder}/empty: no trace, passed over",
            f"mmiotools: {folder}/c.mmiotrace:169: the last line is cut off",
            f"mmiotools: {folder}/c.mmiotrace: damaged in 1 place, events lost: 1",
            "mmiotools: 6 files, 1 damaged, 3 passed over",
        ]
    )
    assert run(["convert", "-q", str(folder / "*.mmiotrace"), str(folder / "a.txt"), "-t", "csv"]) == 3
    told = capfd.readouterr().err.splitlines()
    assert told == []
    assert sorted(path.name for path in folder.glob("*.csv")) == ["a.csv", "c.csv"]


def test_beside_and_again(folder: Path) -> None:
    for _ in range(2):
        assert run(["convert", "-q", str(folder)]) == 3
        assert made(folder) == ["a.mmio", "c.mmio", "deep/b.mmio"]


def test_what_is_named_has_to_be_a_trace(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By itself, by a pattern, or by a suffix that only traces have."""
    unknown = "in no known format; name one with --from (see `mmiotools list formats`)"
    for inputs in (["notes", "nothing"], ["no*s", "nothing"], ["nothing", "notes", "a.txt"]):
        assert run(["convert", *(str(folder / word) for word in inputs)]) == 2
        told = capfd.readouterr().err
        assert f"{folder}/notes: {unknown}" in told and f"{folder}/nothing/README.txt: no trace, passed over" in told
    assert run(["convert", str(folder), str(folder / "notes")]) == 2
    assert f"{folder}/notes: {unknown}" in capfd.readouterr().err
    shutil.copy(folder / "notes", folder / "nothing" / "x.mmio")
    (folder / "nothing" / "y.mmt.gz").touch()
    assert run(["convert", str(folder / "nothing"), "-t", "jsonl"]) == 2
    told = capfd.readouterr().err
    assert f"{folder}/nothing/x.mmio: {unknown}" in told and f"{folder}/nothing/y.mmt.gz: is empty" in told
    assert "3 files, 2 could not be converted, 1 passed over" in told


def test_what_is_passed_over_is_in_the_way_of_nothing(folder: Path) -> None:
    for name in ("a.log", "c.txt"):
        (folder / name).write_text("about a recording\n")
    assert run(["convert", "-q", str(folder)]) == 3
    assert made(folder) == ["a.mmio", "c.mmio", "deep/b.mmio"]
    shutil.copy(folder / "a.txt", folder / "a.log")
    with pytest.raises(UsageError, match="would both become"):
        plan([str(folder)], None, "native")


def test_a_folder_without_a_trace(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(folder / "nothing")]) == 2
    assert capfd.readouterr().err.splitlines()[-1] == f"mmiotools: {folder}/nothing: there is no trace in it"


def test_a_loss_is_told_with_its_file(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(folder / "a.txt"), str(folder / "deep"), "-t", "csv", "--strict"]) == 2
    assert f"{folder}/a.txt: format 'csv' cannot hold: " in capfd.readouterr().err
    assert not list(folder.rglob("*.csv*"))


def test_what_cannot_be_meant(folder: Path, tmp_path: Path) -> None:
    a, c = str(folder / "a.txt"), str(folder / "c.mmiotrace")
    shutil.copy(a, folder / "a.log")
    (tmp_path / "nothing").mkdir()
    for inputs, output in (
        ([a, str(folder / "a.log")], None),
        ([a, c], c),
        ([a, "-"], None),
        ([a, c], "-"),
        ([a, str(folder / "new.mmio")], None),
        ([str(folder / "x*")], None),
        ([str(tmp_path / "nothing")], None),
    ):
        with pytest.raises(UsageError):
            plan(inputs, output, "native")
    native = str(folder / "n.mmio")
    assert run(["convert", a, "-o", native]) == 0
    with pytest.raises(UsageError, match="overwritten"):
        plan([native, c], None, "native")
    assert plan([a, a, c, c], "out", "jsonl") == [Job(a, "out/a.jsonl"), Job(c, "out/c.jsonl")]
    assert plan(["deep/x.2024", "y.mmio.gz", "y.mmio.gz"], "o", "jsonl") == [
        Job("deep/x.2024", "o/x.2024.jsonl"),
        Job("y.mmio.gz", "o/y.jsonl"),
    ]
    assert are_many([a], f"{tmp_path}/") and are_many([a], str(tmp_path)) and not are_many([a], native)
    assert not are_many([], None) and not are_many(["-"], None)


def test_a_process_that_dies_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMIOTOOLS_WORKERS", "2")

    def work(run: FileRun, job: Job) -> None:
        if job.input == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.input == "fail":
            raise ValueError("no")

    told: list[tuple[str, str, object]] = []
    jobs = [Job(name, "") for name in ("one", "kill", "two", "fail", "three")]
    do_all(jobs, work, True, lambda job, what, value: told.append((job.input, what, value)))
    assert {(name, value) for name, what, value in told if what == "done"} == {
        ("one", 0),
        ("kill", 2),
        ("two", 0),
        ("fail", 2),
        ("three", 0),
    }
    assert ("kill", "say", "kill: the process that worked on it died") in told


def test_interrupted_it_leaves_no_half_files(folder: Path, tmp_path: Path, top: Path) -> None:
    out = tmp_path / "out"
    os.mkfifo(tmp_path / "never")
    words = [
        sys.executable,
        "-m",
        "mmiotools",
        "convert",
        str(tmp_path / "never"),
        str(folder / "a.txt"),
        "-o",
        str(out),
    ]
    environment = os.environ | {"PYTHONPATH": str(top), "MMIOTOOLS_WORKERS": "2"}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    with open(tmp_path / "never", "wb") as pipe:
        pipe.write(b"VERSION 20070824\n" + b"R 4 1.000000 1 0x1000 0x0 0x0 0\n" * 5000)
        pipe.flush()
        wait_for(lambda: (out / "a.mmio").exists() and len(list(out.glob("*"))) >= 2)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and b"interrupted" in told and b"Traceback" not in told
    assert [path.name for path in out.iterdir()] == ["a.mmio"]


def wait_for(seen: Callable[[], bool]) -> None:
    """Until something is so; a minute at most."""
    import time

    for _ in range(600):
        if seen():
            return
        time.sleep(0.1)
    raise AssertionError("it never came")
