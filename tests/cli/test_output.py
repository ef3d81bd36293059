"""Where `-o` writes to when it names no plain file, and what becomes of streams that are closed."""

from __future__ import annotations

import os
import signal
import socket
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


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system has no such paths")


@needs_proc
def test_what_stands_in_standard_output_stays(top: Path, expected: bytes, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as out:
        out.write(b"before\n")
        out.flush()
        subprocess.run([*WORDS, "/dev/stdout"], cwd=top, check=True, timeout=60, stdout=out)
        out.write(b"after\n")
    assert (tmp_path / "out").read_bytes() == b"before\n" + expected + b"after\n"


@needs_proc
def test_a_socket(top: Path, expected: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run([*WORDS, "/dev/stdout"], cwd=top, check=True, timeout=60, stdout=theirs)
        theirs.close()
        with ours.makefile("rb") as file:
            assert file.read() == expected


@needs_proc
def test_a_reader_that_goes_away_ends_it_as_it_does_on_standard_output(top: Path) -> None:
    words = [*WORDS, "/dev/stdout"]
    words[4] = str(top / "samples" / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz")
    with subprocess.Popen(words, cwd=top, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (-signal.SIGPIPE, b"")


@needs_proc
def test_an_input_without_a_name_is_not_overwritten(top: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.mmio"
    content = (top / WORDS[4]).read_bytes()
    path.write_bytes(content)
    with path.open("r+b") as file:
        path.unlink()
        (tmp_path / "trace.mmio (deleted)").write_bytes(b"another file")
        name = f"/proc/self/fd/{file.fileno()}"
        words = [*WORDS[:4], name, "-o", name]
        done = subprocess.run(words, cwd=top, capture_output=True, timeout=60, pass_fds=[file.fileno()])
        assert done.returncode == 2 and b"is also the input" in done.stderr
        assert os.pread(file.fileno(), len(content) + 1, 0) == content
    assert (tmp_path / "trace.mmio (deleted)").read_bytes() == b"another file"


@needs_proc
def test_an_open_file_that_has_no_name(top: Path, expected: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        number = file.fileno()
        subprocess.run([*WORDS, f"/proc/self/fd/{number}"], cwd=top, check=True, timeout=60, pass_fds=[number])
        file.seek(0)
        assert file.read() == expected


SAMPLE = "samples/native/nv-test-1.mmio"
CHECK, CONVERT = f"check {SAMPLE}", f"convert -q {SAMPLE} -o"


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        (f"{CHECK} 2>&-", 0, ""),
        (f"diff -q {SAMPLE} {SAMPLE} 2>&-", 0, ""),
        (f"{CHECK} >&-", 2, "mmiotools: bad file descriptor\n"),
        (f"info {SAMPLE} >&-", 2, "mmiotools: bad file descriptor\n"),
        (f"info {SAMPLE} >&- 2>&- <&-", 2, ""),
        ("info <&-", 2, "mmiotools: bad file descriptor\n"),
        ("--version >&-", 2, "mmiotools: bad file descriptor\n"),
        ("--version >/dev/full", 2, "mmiotools: no space left on device\n"),
    ],
)
def test_streams_that_are_closed(top: Path, line: str, status: int, told: str) -> None:
    if "/dev/full" in line and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = subprocess.run(f"{sys.executable} -m mmiotools {line}", shell=True, cwd=top, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (status, told)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_files_do_not_take_the_numbers_of_streams_that_are_closed(top: Path, tmp_path: Path, closed: str) -> None:
    for path in (tmp_path / "usual.mmio", tmp_path / "out.mmio"):
        redirected = closed if path.stem == "out" else ""
        line = f"{sys.executable} -m mmiotools {CONVERT} {path} {redirected}"
        assert subprocess.run(line, shell=True, cwd=top, timeout=60).returncode == 0
    assert (tmp_path / "out.mmio").read_bytes() == (tmp_path / "usual.mmio").read_bytes()


def test_an_input_that_can_be_opened_but_once(top: Path, tmp_path: Path) -> None:
    fifo, sample = tmp_path / "fifo", (top / SAMPLE).read_bytes()
    os.mkfifo(fifo)
    words = [sys.executable, "-m", "mmiotools", "filter", "--count", "write"]
    usual = subprocess.run([*words, SAMPLE], cwd=top, capture_output=True, check=True, timeout=60)
    writer = threading.Thread(target=lambda: fifo.write_bytes(sample), daemon=True)
    writer.start()
    found = subprocess.run([*words, str(fifo)], cwd=top, capture_output=True, check=True, timeout=60)
    assert found.stdout == usual.stdout
