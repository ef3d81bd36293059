"""The fuzzer of every reader (tests/fuzz): a short run of it over everything, and what it does with what it finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmiotools.formats import FORMATS

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import limits
import running
import targets
from readings import Broken
from targets import Input, Target

INPUTS = 12


def fuzz(top: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(top / "tests" / "fuzz"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(top)}
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600)


def test_every_reader_is_fuzzed() -> None:
    readable = {name for name in FORMATS.builtin_names() if FORMATS.get(name).readable}
    assert set(targets.FORMATS) == readable, "add the format to FORMATS in tests/fuzz/targets.py"


def test_a_few_inputs_of_every_target(top: Path, tmp_path: Path) -> None:
    told = fuzz(top, "--inputs", str(INPUTS), "--built", "6", "--findings", str(tmp_path))
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert {line.split()[0] for line in lines} == set(targets.targets())
    assert all(line.split()[1] == str(INPUTS) for line in lines if "left out" not in line)


def found(tmp_path: Path, check: object) -> tuple[running.Tally, dict[str, bytes]]:
    """A campaign of a few inputs, and the inputs that were saved by the name of their finding."""
    target = Target("toy", targets.TEXT, lambda number, built: [b"one 7\ntwo\nthree\n"], check)  # type: ignore[arg-type]
    target.prepare(1)
    tally = running.campaign(target, 1, tmp_path, seconds=60, most=30)
    return tally, {path.parent.name: path.read_bytes() for path in tmp_path.glob("toy/*/input")}


def test_what_is_found_is_made_small_and_told(tmp_path: Path) -> None:
    def check(data: bytes) -> int:
        if b"7" in data:
            raise Broken("a seven", "somewhere")
        return 1

    tally, inputs = found(tmp_path, check)
    assert tally.inputs == 30 and tally.findings and tally.kinds == ("broken-a-seven",)
    assert inputs == {"broken-a-seven": b"7"}
    assert "python tests/fuzz toy --input" in (tmp_path / "toy" / "broken-a-seven" / "why.txt").read_text()


@pytest.mark.parametrize("how", ["dies", "takes memory", "hangs"])
def test_an_input_that_ends_the_process_does_not_end_the_campaign(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.2)

    def check(data: bytes) -> int:
        if b"7" not in data:
            if how == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "takes memory":
                return len(bytes(1 << 40))
            while how == "hangs":
                pass
        return 1

    tally, inputs = found(tmp_path, check)
    assert tally.inputs == 30 and 0 < tally.findings < 30
    assert [name.split("-")[0] for name in inputs] == [
        {"dies": "died", "takes memory": "MemoryError", "hangs": "Hang"}[how]
    ]
    assert running.survives(
        Target("toy", (), lambda number, built: [], check), Input(next(iter(inputs.values())))
    ) == next(iter(inputs))
