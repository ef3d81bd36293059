"""`mmiotools replay --serve` and `--qemu`, as a user meets them: what is served, and every way in which it may end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "serve"))

from serve_clients import MpqemuClient, VfioClient, receive

from mmiotools.cli.main import run
from mmiotools.formats import open_trace
from mmiotools.serve.qemu import Qemu
from mmiotools.trace.collect import collect

#: nv-test@1: one read and one write.
TRACE = "samples/mmiotrace/nv-test-1.mmiotrace"
STATUS, READ, START = 0x101000, 0x400000, 0x600140


class Process:
    """`mmiotools replay TRACE ...` as a process."""

    def __init__(self, top: Path, *words: str, trace: str = TRACE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mmiotools", "replay", trace, *words],
            cwd=top,
            env=os.environ | {"PYTHONPATH": str(top)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def heard(self, text: str) -> str:
        """The line of standard error that has this text, once it comes."""
        assert self.process.stderr is not None
        while select.select([self.process.stderr], [], [], 60)[0] and (line := self.process.stderr.readline()):
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not said")

    def end(self) -> tuple[int, str, str]:
        """Exit status, output, the rest of the errors."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextlib.contextmanager
def started(top: Path, *words: str, trace: str = TRACE) -> Iterator[Process]:
    """A process that does not outlive the test."""
    process = Process(top, *words, trace=trace)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.communicate()


@pytest.fixture()
def path(tmp_path: Path) -> Path:
    """Where the card is served."""
    return tmp_path / "card"


def connect(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(30)
    stream.connect(str(path))
    return stream


def as_recorded(client: VfioClient) -> None:
    """Do what is recorded."""
    client.greet()
    assert client.read(0, STATUS, 4) == READ
    client.write(0, START, 4, 0)


def test_a_client_that_does_what_is_recorded(top: Path, path: Path) -> None:
    out_path = path.parent / "did.mmio"
    with started(top, "--serve", f"vfio-user:{path}", "--as-trace", str(out_path)) as process:
        process.heard(f"listening at {path}")
        with connect(path) as stream:
            as_recorded(VfioClient(stream))
        status, out, _ = process.end()
    assert status == 0, out
    assert out.splitlines()[0].startswith("completed: a guest's driver by vfio-user against 01:00.0 (10de:0286)")
    assert not path.exists()
    ours, theirs = (collect(open_trace(str(name)).batches) for name in (out_path, top / TRACE))
    assert [ours.access(n).key for n in range(2)] == [theirs.access(n).key for n in range(len(theirs))]


def test_mpqemu_at_a_path_and_what_differs(top: Path, path: Path) -> None:
    with started(top, "--serve", f"mpqemu:{path}", "--json") as process:
        process.heard(f"and for QEMU's qtest at {path}.qtest")
        with connect(path) as stream:
            qemu = MpqemuClient(stream)
            qemu.config_write(0x10, 4, 0xD0000000)
            assert qemu.read(0xD0000000 + STATUS, 4) == READ
            qemu.write(0xD0000000 + START, 4, 7)
        status, out, _ = process.end()
    report = json.loads(out)
    assert (status, report["matched"], report["differing_count"], report["differing"][0]["got"]) == (1, 1, 1, "0x7")


def test_nonsense_is_told_and_the_report_is_there(top: Path, path: Path) -> None:
    with started(top, "--serve", f"vfio-user:{path}") as process:
        process.heard("listening")
        with connect(path) as stream:
            as_recorded(VfioClient(stream))
            stream.sendall(b"\xff" * 64)
            with contextlib.suppress(ConnectionResetError):
                assert receive(stream, 1) == b"", "it hangs up"
        status, out, err = process.end()
    assert status == 2
    assert "2 recorded, 2 matched" in out and "did not come to its end: it broke the protocol: vfio-user:" in out
    assert err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("connected", [False, True])
def test_interrupted(top: Path, path: Path, number: signal.Signals, connected: bool) -> None:
    with started(top, "--serve", f"vfio-user:{path}", "--json") as process:
        process.heard("listening")
        with connect(path) if connected else contextlib.nullcontext() as stream:
            if stream is not None:
                as_recorded(VfioClient(stream))
            process.process.send_signal(number)
            status, out, _ = process.end()
    report = json.loads(out)
    assert (status, report["problem"], report["matched"]) == (130, "interrupted", 2 if connected else 0)
    assert not path.exists()


def test_time_is_over(top: Path, path: Path) -> None:
    with started(top, "--serve", f"vfio-user:{path}", "--timeout", "0.2") as process:
        status, out, _ = process.end()
        assert status == 2 and "nobody connected within 0.2 s" in out
    with started(top, "--serve", f"vfio-user:{path}", "--timeout", "2") as process:
        process.heard("listening")
        with connect(path) as stream:
            as_recorded(VfioClient(stream))
            status, out, _ = process.end()
    assert status == 1 and "it was still running after" in out and "2 matched" in out


def test_a_plugin_that_fails(top: Path, path: Path) -> None:
    plugin = path.parent / "mine.py"
    plugin.write_text(
        "class PLUGIN:\n    name, title, api = 'mine', 'Mine.', 1\n"
        "    def attach(self, host): pass\n    def reset(self): pass\n"
        "    def wrote(self, *access): raise ZeroDivisionError('my fault')\n"
    )
    with started(top, "--serve", f"vfio-user:{path}", "--plugin", str(plugin)) as process:
        process.heard("listening")
        with connect(path) as stream, contextlib.suppress(AssertionError, ConnectionError):
            as_recorded(VfioClient(stream))
        status, out, err = process.end()
    assert status == 2 and "the card failed: ZeroDivisionError('my fault')" in err and "Traceback" not in err
    assert "2 recorded, 2 matched" in out


def test_a_recorded_configuration_space_is_served(top: Path, path: Path) -> None:
    trace = path.parent / "with-config.jsonl"
    assert run(["convert", "-t", "jsonl", str(top / TRACE), "-o", str(trace)]) == 0
    config = bytearray(256)
    config[0:4], config[0x2C:0x30] = b"\xde\x10\x86\x02", b"\xfe\xca\xed\xac"
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    for line in lines:
        if line.get("kind") == "DEVICE":
            line["config"] = config.hex()
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with started(top, "--serve", f"vfio-user:{path}", trace=str(trace)) as process:
        process.heard("listening")
        with connect(path) as stream:
            client = VfioClient(stream)
            client.greet()
            assert client.read(7, 0x2C, 4) == 0xACEDCAFE
            assert client.read(7, 0, 4) == 0x028610DE
        process.end()


def test_what_is_at_the_path_already(top: Path, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["replay", str(top / TRACE), "--serve", f"vfio-user:{path}", "--timeout", "0.1"]
    path.write_text("mine")
    assert run(words) == 2
    assert "is there already, and is no socket" in capfd.readouterr().err
    assert path.read_text() == "mine"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        assert run(words) == 2
        assert "another process listens there" in capfd.readouterr().err
    assert run(words) == 2
    assert "nobody connected" in capfd.readouterr().out
    assert not path.exists(), "what is left of a dead server is replaced"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--serve", "pigeon:/x"], "no transport is called 'pigeon'; there are: vfio-user, mpqemu"),
        (["--serve", "mpqemu"], "needs --qemu 'ARGS', or the path of a socket: mpqemu:PATH"),
        (["--serve", "vfio-user"], "needs --qemu 'ARGS', or the path of a socket: vfio-user:PATH"),
        (["--serve", "vfio-user:/x", "--driver", "nv-test"], "leave --driver out"),
        (["--timeout", "3"], "need --serve or --qemu"),
        (["--serve", "vfio-user:/x", "--plugin", "fax"], "no plugin is called 'fax'"),
        (["--serve", "vfio-user:/x", "--config", "pyproject.toml"], "is no configuration space"),
        (["--qemu", "no-such-qemu -m 1G"], "no-such-qemu: no such program"),
        (["--qemu", "'"], "--qemu: no closing quotation"),
        (["--qemu", "true -m 1G"], "does not say that it is QEMU"),
    ],
)
def test_what_cannot_be(words: list[str], message: str, top: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", str(top / TRACE), *words]) == 2
    err = capfd.readouterr().err
    assert message in err and err.count("\n") == 1


# -- with a QEMU ------------------------------------------------------------------------------------------------


@pytest.fixture()
def able(qemu: Qemu) -> Qemu:
    """A QEMU that can use a card from outside."""
    if not (qemu.vfio_user or qemu.proxy_device):
        pytest.skip(f"QEMU {qemu.shown} can use no card from outside")
    return qemu


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_qemu(process: Process) -> int:
    """Its process id, once it runs what the firmware does."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for pid in children(process.process.pid):
            with contextlib.suppress(OSError):
                if "nodefaults" in Path(f"/proc/{pid}/cmdline").read_text():
                    return pid
        time.sleep(0.05)
    raise AssertionError("QEMU was not started")


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or is about to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_a_guest_that_hangs_is_ended(top: Path, able: Qemu) -> None:
    with started(top, "-q", "--json", "--qemu", "-m 64", "--timeout", "3") as process:
        pid = wait_for_qemu(process)
        status, out, err = process.end()
    report: dict[str, Any] = json.loads(out)
    assert status == 1 and "it was still running after 3 s" in report["problem"]
    assert (report["accesses"], report["missed_count"], err) == (2, 2, "")
    assert is_gone(pid)


@pytest.mark.slow
def test_a_qemu_that_is_killed_is_told(top: Path, able: Qemu) -> None:
    with started(top, "--qemu", "-m 64", "--timeout", "60") as process:
        pid = wait_for_qemu(process)
        time.sleep(1)
        os.kill(pid, signal.SIGKILL)
        status, out, err = process.end()
    assert status == 2 and "was killed by SIGKILL" in err and "Traceback" not in err
    assert "2 recorded, 0 matched" in out and "was killed by SIGKILL" in out


@pytest.mark.slow
def test_interrupted_with_a_qemu(top: Path, able: Qemu) -> None:
    with started(top, "--qemu", "-m 64", "--timeout", "60") as process:
        pid = wait_for_qemu(process)
        time.sleep(1)
        process.process.send_signal(signal.SIGINT)
        status, out, _ = process.end()
    assert status == 130 and "2 recorded, 0 matched" in out
    assert is_gone(pid)


@pytest.mark.slow
def test_neither_qemu_nor_files_outlive_their_server(
    top: Path, able: Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with started(top, "--qemu", "-m 64", "--timeout", "60") as process:
        pid = wait_for_qemu(process)
        time.sleep(1)
        process.process.kill()
        process.end()
        end = time.monotonic() + 30
        while not is_gone(pid) and time.monotonic() < end:
            time.sleep(0.05)
    assert is_gone(pid)
    # vfio-user has a path until QEMU has connected, which may take a while.
    assert able.vfio_user or not list(tmp_path.glob("mmiotools-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-kernel /nonexistent", "/nonexistent"),
        ("-nonsense", "invalid option"),
        ("-m lots", "the memory size in '-m lots' cannot be understood"),
        ("-device pci-testdev,addr=1", "not available"),
    ],
)
def test_arguments_that_qemu_refuses(
    words: str, message: str, top: Path, able: Qemu, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(top / TRACE), "--qemu", words, "--timeout", "60"]) == 2
    captured = capfd.readouterr()
    assert message in captured.err and not captured.out


@pytest.mark.slow
def test_a_transport_that_this_qemu_does_not_know(top: Path, able: Qemu, capfd: pytest.CaptureFixture[str]) -> None:
    other = "mpqemu" if able.vfio_user else "vfio-user"
    if able.vfio_user and able.proxy_device:
        pytest.skip("this QEMU knows both")
    assert run(["replay", str(top / TRACE), "--serve", other, "--qemu", "-m 64"]) == 2
    assert f"cannot use a card by {other}: it can" in capfd.readouterr().err


@pytest.mark.parametrize(("dies", "status", "verdict"), [("", 0, "completed"), ("1", 2, "diverged")])
def test_a_qemu_by_vfio_user(
    top: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    dies: str,
    status: int,
    verdict: str,
) -> None:
    qemu, folder = tmp_path / "qemu", tmp_path / "folder"
    qemu.write_text(f'#!/bin/sh\nexec {sys.executable} {top}/tests/serve/fake_vfio_qemu.py "$@"\n')
    qemu.chmod(0o755)
    folder.mkdir()
    monkeypatch.setenv("QEMU", str(qemu))
    monkeypatch.setenv("PYTHONPATH", str(top))
    monkeypatch.setenv("FAKE_DIES", dies)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert run(["replay", str(top / TRACE), "--json", "--qemu", "-m 64", "--timeout", "60"]) == status
    held = capfd.readouterr()
    report = json.loads(held.out)
    assert (report["verdict"], report["matched"]) == (verdict, 0 if dies else 2), held.err
    assert ("was killed by SIGKILL" in held.err) == bool(dies)
    assert not list(folder.iterdir())
