"""QEMU as a process: found, asked, and ended whatever happens. Programs that stand in for it, and the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mmiotools.errors import QemuError, UsageError
from mmiotools.serve.qemu import Qemu, QemuProcess, find_qemu
from mmiotools.serve.qtest import QtestSocket


def stand_in(tmp_path: Path, script: str) -> str:
    """A program in the place of QEMU."""
    path = tmp_path / "qemu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def gone(pid: int) -> bool:
    """Whether a process has ended, within a minute; a zombie that its new parent has not met counts."""
    for _ in range(1200):
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_found_by_argument_environment_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stand_in(tmp_path, "echo 'QEMU emulator version 7.2.22 (Debian)'")
    assert find_qemu(path) == Qemu(path, (7, 2, 22))
    assert find_qemu(path).shown == "7.2.22"
    monkeypatch.setenv("QEMU", path)
    assert find_qemu().path == path
    monkeypatch.delenv("QEMU")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt install"):
        find_qemu()


@pytest.mark.parametrize("script", ["echo hello", "exit 1", "echo 'QEMU emulator version x'"])
def test_what_is_no_qemu_is_refused(tmp_path: Path, script: str) -> None:
    with pytest.raises(UsageError, match="does not say that it is QEMU"):
        find_qemu(stand_in(tmp_path, script))


def test_it_ends_with_the_block_even_if_it_does_not_want_to(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "trap '' TERM; sleep 1000 & echo $! $$; wait; sleep 1000")
    out = tmp_path / "out"
    with out.open("wb") as stdout, pytest.raises(KeyError), QemuProcess(Qemu(path, (7, 2, 0)), [], stdout=stdout):
        while not out.read_text().endswith("\n"):
            time.sleep(0.01)
        raise KeyError
    assert all(gone(int(pid)) for pid in out.read_text().split())


def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "exec sleep 1000")
    code = f"""
        import time
        from mmiotools.serve.qemu import Qemu, QemuProcess
        with QemuProcess(Qemu({path!r}, (7, 2, 0)), []) as qemu:
            print(qemu.pid, flush=True)
            time.sleep(1000)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        pid = int(ours.stdout.readline())
        ours.kill()
    assert gone(pid)


def test_how_it_ended_is_told(tmp_path: Path) -> None:
    path = stand_in(tmp_path, r"yes | head -c 100000 >&2; printf 'no such \033[1m thing\n\n' >&2; exit 3")
    heard = bytearray()
    why = r"QEMU 7\.2\.0 ended with status 3: no such \?\[1m thing"
    started = QemuProcess(Qemu(path, (7, 2, 0)), [], heard=heard.extend)
    with QtestSocket() as ends, started as qemu, ends.client(qemu) as qtest, pytest.raises(QemuError, match=why):
        qtest.read(0, 4)
    assert len(heard) > 100000
    with QemuProcess(Qemu(stand_in(tmp_path, "kill -SEGV $$"), (7, 2, 0)), []) as qemu:
        qemu.wait(5)
        assert "was killed by SIGSEGV" in str(qemu.failure())
    ends = QtestSocket()
    started = QemuProcess(Qemu(stand_in(tmp_path, "exec sleep 1000"), (7, 2, 0)), [], pass_fds=ends.fds)
    with started as qemu, ends.client(qemu, timeout=0.1) as qtest, pytest.raises(QemuError, match="did not answer"):
        qtest.read(0, 4)
    assert qemu.poll() == -signal.SIGTERM


def test_descriptors_are_passed(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        path = stand_in(tmp_path, f"echo hello >/proc/self/fd/{write}")
        with QemuProcess(Qemu(path, (7, 2, 0)), [], pass_fds=[write]):
            os.close(write)
            assert os.read(read, 100) == b"hello\n"
    finally:
        os.close(read)


@pytest.mark.slow
def test_a_real_qemu(qemu: Qemu) -> None:
    assert qemu.version > (2, 0, 0)
    assert qemu.has_device("e1000") and not qemu.has_device("no-such-device")
    accel = "qtest" if qemu.qtest_accel else "tcg"
    if not qemu.vfio_user:
        assert qemu.version < (11, 0, 0) and (qemu.proxy_device or qemu.version >= (8, 2, 0))
    with QtestSocket() as ends:
        words = ["-machine", f"pc,accel={accel}", "-nodefaults", "-display", "none", "-S", *ends.arguments]
        with QemuProcess(qemu, words, pass_fds=ends.fds) as process, ends.client(process) as qtest:
            assert qtest.port_read(0xCF8, 4) == 0
            qtest.write(0x1000, 4, 0x12345678)
            assert qtest.read(0x1001, 2) == 0x3456
            os.kill(process.pid, signal.SIGKILL)
            with pytest.raises(QemuError, match="was killed by SIGKILL"):
                qtest.read(0, 4)
    assert gone(process.pid)
