"""A QEMU of our own for a mock card: which transport it can, its command line, and one run of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import tempfile
import time
from typing import IO

from mmiotools.errors import EXIT_DIFFERENT, UsageError
from mmiotools.replay.serving import Serving
from mmiotools.serve.injector import QtestInjector
from mmiotools.serve.listen import Listener
from mmiotools.serve.loop import Stop
from mmiotools.serve.mpqemu import Mpqemu
from mmiotools.serve.qemu import Qemu, QemuProcess, find_qemu
from mmiotools.serve.qtest import QtestSocket
from mmiotools.serve.stream import Stream
from mmiotools.serve.vfio_user import VfioUser
from mmiotools.trace.header import PciDevice
from mmiotools.typed import NamedTuple, Sequence

#: Memory of the guest when the user asks for none.
MEMORY = "512M"
_RAM = "mmiotools-ram"
#: Slots that neither `pc` nor `q35` has something in; the card goes to the recorded one if it is among them.
_SLOTS = range(3, 31)
#: Seconds that QEMU has for ending by itself when it has let go of the card.
_PARTING = 10.0
_SIZE = re.compile(r"(?:size=)?(\d+)([bBkKmMgGtT]?)")


class Command(NamedTuple):
    """What the user wants to be run: the QEMU, and its arguments without the binary."""

    qemu: Qemu
    words: list[str]


def parse_command(text: str) -> Command:
    """The words of --qemu: arguments, with the program before them if it is another than usual. Raises UsageError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--qemu: {error}".lower()) from error
    binary = words.pop(0) if words and not words[0].startswith("-") else None
    return Command(find_qemu(binary), words)


def choose_transport(qemu: Qemu, asked: str | None = None) -> str:
    """The best transport that a QEMU can, or the one that was asked for. Raises UsageError when it can not."""
    able = [VfioUser.name] if qemu.vfio_user else []
    able += [Mpqemu.name] if qemu.proxy_device else []
    if asked is not None and asked not in able:
        raise UsageError(f"{qemu.path} {qemu.shown} cannot use a card by {asked}: {_able(able)}")
    if not able:
        raise UsageError(
            f"{qemu.path} {qemu.shown} cannot use a card from outside: that takes vfio-user-pci (QEMU 10.1 or later), "
            "or x-pci-proxy-dev before QEMU 8.2 (as in Debian 12)"
        )
    return asked or able[0]


def _able(able: list[str]) -> str:
    return f"it can {' and '.join(able)}" if able else "it can none of them"


def qemu_arguments(words: Sequence[str], transport: str) -> list[str]:
    """The user's arguments, and before them what the card needs and they do not say. Raises UsageError.

    Memory is shared, so that the card can reach it; there is no device that was not asked for, no window, and no
    second boot; the first serial port is QEMU's standard output.
    """
    options = [word.lstrip("-") for word in words if word.startswith("-")]
    made = ["-nodefaults", "-no-reboot"]
    if not {"display", "nographic", "vnc"} & set(options):
        made += ["-display", "none"]
    if not {"serial", "nographic"} & set(options):
        made += ["-serial", "stdio"]
    if transport == Mpqemu.name:
        if {"accel", "enable-kvm"} & set(options) or any("accel=" in word for word in words):
            raise UsageError("--qemu: by mpqemu, interrupts reach a guest only without an accelerator: leave it out")
        made += ["-accel", "tcg"]
    if not any("memory-backend" in word for word in words):
        size = MEMORY
        if "m" in options:
            size = _memory(words)
        else:
            made += ["-m", size]
        made += ["-object", f"memory-backend-memfd,id={_RAM},size={size},share=on"]
        made += ["-machine", f"memory-backend={_RAM}"]
    return [*made, *words]


def _memory(words: Sequence[str]) -> str:
    at = next(n for n, word in enumerate(words) if word in ("-m", "--m"))
    value = words[at + 1] if at + 1 < len(words) else ""
    found = _SIZE.fullmatch(value.split(",")[0])
    if found is None:
        raise UsageError(f"--qemu: the memory size in '-m {value}' cannot be understood")
    return f"{found[1]}{found[2] or 'M'}"


def slot_of(pci: PciDevice) -> int:
    """The slot of the guest's first bus that the card goes to."""
    slot = pci.bdf >> 3 & 31
    return slot if pci.bdf >> 8 == 0 and slot in _SLOTS else _SLOTS[0]


class Run:
    """One run of a QEMU with the card in it.

    console  where the guest's first serial port goes, a file or a descriptor; nowhere if None
    timeout  seconds until the guest is taken for hung
    """

    def __init__(
        self, command: Command, transport: str, *, console: int | IO[bytes] | None = None, timeout: float | None = None
    ) -> None:
        self._command = command
        self._transport = transport
        self._console = console
        self._timeout = timeout
        self._arguments = qemu_arguments(command.words, transport)

    def __call__(self, serving: Serving, stop: Stop) -> None:
        """Run it to its end, or until `timeout` or `stop`. How it ended is in `serving`; no QEMU is left over.

        Raises UsageError when QEMU cannot be started, and QemuError when it refuses to run as asked.
        """
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        if self._transport == VfioUser.name:
            self._by_vfio_user(serving, stop, deadline)
        else:
            self._by_mpqemu(serving, stop, deadline)

    def _start(self, arguments: Sequence[str], fds: Sequence[int] = ()) -> QemuProcess:
        words = [*self._arguments, *arguments]
        return QemuProcess(self._command.qemu, words, pass_fds=fds, stdout=self._console)

    def _by_vfio_user(self, serving: Serving, stop: Stop, deadline: float | None) -> None:
        with tempfile.TemporaryDirectory(prefix="mmiotools-", ignore_cleanup_errors=True) as folder:
            path = os.path.join(folder, "card")
            device = {
                "driver": "vfio-user-pci",
                "socket": {"path": path, "type": "unix"},
                "addr": f"{slot_of(serving.card.pci):x}",
                # An interrupt that a write raises shall be there when the write is done.
                "x-no-posted-writes": True,
            }
            with Listener(path) as listener, self._start(["-device", json.dumps(device)]) as qemu:
                peer = listener.wait(stop, deadline, lambda: qemu.poll() is None)
                # Nobody else comes, and what is gone cannot be left over.
                listener.close()
                os.rmdir(folder)
                if peer is not None:
                    with Stream(peer) as stream:
                        serving.run(VfioUser(stream, serving.function, serving.host), stop, deadline)
                self._part(serving, qemu, stop, peer is not None)

    def _by_mpqemu(self, serving: Serving, stop: Stop, deadline: float | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with QtestSocket() as ends, Stream(ours) as stream:
            with theirs:
                slot = slot_of(serving.card.pci)
                device = f"x-pci-proxy-dev,fd={theirs.fileno()},addr={slot:x}"
                qemu = self._start([*ends.arguments, "-device", device], [theirs.fileno(), *ends.fds])
            with qemu, ends.client(qemu) as qtest:
                connection = Mpqemu(stream, serving.function, serving.host)
                connection.injector = QtestInjector(qtest, slot)
                serving.run(connection, stop, deadline)
                self._part(serving, qemu, stop, True)

    def _part(self, serving: Serving, qemu: QemuProcess, stop: Stop, connected: bool) -> None:
        """The card is served no longer: see how QEMU ends, if it does so by itself."""
        if stop.asked:
            serving.fail("interrupted", 130)
        if serving.problem is not None:
            return
        if not connected and qemu.poll() is None:
            serving.fail("QEMU did not come to use the card in time", EXIT_DIFFERENT)
            return
        status = qemu.wait(_PARTING)
        if status == 0 and connected:
            return
        error = qemu.failure("let go of the card, and went on")
        if status and status > 0 and not serving.function.accesses:
            # It did not like its arguments, most likely: there is nothing to report.
            raise error
        serving.fail(str(error), error.status)
