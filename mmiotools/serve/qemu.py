"""QEMU beside us: found, asked what it can, started, and ended for certain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import threading
from functools import cache
from typing import IO

from mmiotools.errors import QemuError, UsageError
from mmiotools.typed import Callable, NamedTuple, Sequence

#: The binary that is run if neither an argument nor the environment variable QEMU names one.
DEFAULT = "qemu-system-x86_64"
INSTALL = "install it (Debian: apt install qemu-system-x86), or say where it is with QEMU=/path/to/qemu-system-x86_64"

#: Seconds that a question to a QEMU may take, and that one has for ending by itself when it is told to.
_PROBE = 30.0
_GRACE = 2.0
#: Bytes of standard error that are kept for messages.
_TAIL = 4096
_PR_SET_PDEATHSIG = 1
_VERSION = re.compile(r"version (\d+)\.(\d+)(?:\.(\d+))?")


class Qemu(NamedTuple):
    """A QEMU that can be run, and what it is able to do.

    path       the binary
    version    (major, minor, micro)
    """

    path: str
    version: tuple[int, int, int]

    @property
    def shown(self) -> str:
        """The version as text."""
        return ".".join(map(str, self.version))

    @property
    def qtest_accel(self) -> bool:
        """Whether `-machine accel=qtest` works: no CPU runs, and the virtual clock moves by clock_step alone."""
        return _has_qtest_accel(self.path)

    @property
    def proxy_device(self) -> bool:
        """Whether `x-pci-proxy-dev` works: it is there, and needs no KVM, which it does from 8.2 on."""
        return self.version < (8, 2, 0) and _has_device(self.path, "x-pci-proxy-dev")

    @property
    def vfio_user(self) -> bool:
        """Whether `vfio-user-pci` is there: QEMU 10.1 and later."""
        return _has_device(self.path, "vfio-user-pci")

    def has_device(self, name: str) -> bool:
        """Whether `-device NAME` is known."""
        return _has_device(self.path, name)


def find_qemu(binary: str | None = None) -> Qemu:
    """The QEMU of an argument, of the environment variable QEMU, or the one on the PATH.

    Raises UsageError when it is not there, or is none.
    """
    word = binary or os.environ.get("QEMU") or DEFAULT
    path = shutil.which(word)
    if path is None:
        raise UsageError(f"{word}: no such program; {INSTALL}")
    return Qemu(path, _version(path))


@cache
def _version(path: str) -> tuple[int, int, int]:
    _, out = _ask(path, ["-version"])
    found = _VERSION.search(out)
    if not out.startswith("QEMU") or found is None:
        raise UsageError(f"{path}: does not say that it is QEMU; {INSTALL}")
    major, minor, micro = found.groups("0")
    return int(major), int(minor), int(micro)


@cache
def _has_device(path: str, name: str) -> bool:
    # The exit status is 0 for an unknown device, too.
    _, out = _ask(path, ["-machine", "none", "-display", "none", "-device", f"{name},help"])
    return any(line.startswith((f"{name} options", f"There are no options for {name}")) for line in out.splitlines())


@cache
def _has_qtest_accel(path: str) -> bool:
    arguments = ["-machine", "none,accel=qtest", "-nodefaults", "-display", "none", "-monitor", "stdio"]
    status, _ = _ask(path, arguments, b"quit\n")
    return status == 0


def _ask(path: str, arguments: Sequence[str], said: bytes = b"") -> tuple[int, str]:
    """Exit status and standard output of a short run."""
    try:
        done = subprocess.run([path, *arguments], input=said, capture_output=True, timeout=_PROBE, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{path} {' '.join(arguments)}: did not end within {_PROBE:g} s") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be run: {(error.strerror or str(error)).lower()}") from error
    return done.returncode, done.stdout.decode(errors="replace")


class QemuProcess:
    """A running QEMU in a process group of its own; use it as a context manager.

    It ends with the block: SIGTERM, then SIGKILL for the group. The kernel kills it if this process dies without
    getting there, or if the thread that started it ends first. Interrupts from the keyboard do not reach it.

    arguments  without the binary
    pass_fds   file descriptors that it shall have under the same numbers
    stdout     a file or descriptor for what it prints, else nowhere
    heard      called, in another thread, with what it writes to standard error, as it comes
    """

    def __init__(
        self,
        qemu: Qemu,
        arguments: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        stdout: int | IO[bytes] | None = None,
        heard: Callable[[bytes], None] | None = None,
    ) -> None:
        self.qemu = qemu
        self._heard = heard
        self._tail = bytearray()
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        parent = os.getpid()

        def die_with_parent() -> None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(127)

        try:
            self._process = subprocess.Popen(
                [qemu.path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if stdout is None else stdout,
                stderr=subprocess.PIPE,
                pass_fds=tuple(pass_fds),
                process_group=0,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise UsageError(f"{qemu.path}: cannot be run: {(error.strerror or str(error)).lower()}") from error
        self._reader = threading.Thread(target=self._drain, name="qemu-stderr", daemon=True)
        self._reader.start()

    def __enter__(self) -> QemuProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Its exit status once it has ended; None if it still runs after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End it, and whatever it started. Does nothing the second time."""
        process = self._process
        try:
            if process.poll() is None:
                process.terminate()
                self.wait(_GRACE)
        finally:
            # The group may hold helpers of a QEMU that has gone; its id is not used again before it is empty.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._reader.join(_GRACE)

    @property
    def complaint(self) -> str:
        """The last line that it wrote to standard error and that is no warning, "" if none."""
        lines = bytes(self._tail).decode(errors="replace").splitlines()
        line = next((line for line in reversed(lines) if line.strip() and ": warning: " not in line), "")
        return "".join(c if c.isprintable() else "?" for c in line.strip())[:300]

    def failure(self, what: str = "") -> QemuError:
        """The error that says how it ended, or, where it still runs, `what` it failed to do."""
        status = self.wait(0.2)
        if status is None:
            text = f"QEMU {self.qemu.shown} {what or 'does not answer'}"
        else:
            self._reader.join(_GRACE)
            how = f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
            text = f"QEMU {self.qemu.shown} {how}"
        return QemuError(f"{text}: {self.complaint}" if self.complaint else text)

    def _drain(self) -> None:
        pipe = self._process.stderr
        assert pipe is not None
        with pipe:
            while block := os.read(pipe.fileno(), 1 << 16):
                self._tail += block
                del self._tail[:-_TAIL]
                if self._heard is not None:
                    self._heard(block)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
