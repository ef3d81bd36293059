"""Where `-o` writes to when it names no plain file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

WORDS = [sys.executable, "-m", "mmiotools", "convert", "samples/native/nv-test-1.mmio", "-t", "mmiotrace", "-o"]


@pytest.fixture
def expected(top: Path) -> bytes:
    return subprocess.run([*WORDS, "-"], cwd=top, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_its_path(top: Path, expected: bytes, path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("this system has no such path")
    done = subprocess.run([*WORDS, path], cwd=top, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, expected)


def test_a_fifo(top: Path, expected: bytes, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    reader.start()
    subprocess.run([*WORDS, str(fifo)], cwd=top, check=True, timeout=60)
    reader.join(60)
    assert found == [expected]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system has no such paths")
def test_an_open_file_that_has_no_name(top: Path, expected: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        number = file.fileno()
        subprocess.run([*WORDS, f"/proc/self/fd/{number}"], cwd=top, check=True, timeout=60, pass_fds=[number])
        file.seek(0)
        assert file.read() == expected
