"""Serves one connection: its messages as they come, and the device's own doings when they are due."""

from __future__ import annotations

import os
import select
import time

from mmiotools.engine.interface import Timed
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.serve.stream import PeerGone, Stream
from mmiotools.typed import ClassVar, Protocol


class Connection(Protocol):
    """One peer that uses a card, by a protocol."""

    stream: Stream
    #: What the peer asked for and did not get, a line each.
    notes: list[str]

    def handle(self) -> None:
        """Take one message, and answer it. Raises PeerGone at the end, ProtocolError for a message without sense."""

    def close(self) -> None:
        """Give up everything that the peer has sent."""


class Stop:
    """Something that another thread or a signal handler may ask to stop what waits in poll."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.asked = False

    def fileno(self) -> int:
        """Readable once asked."""
        return self._read

    def ask(self) -> None:
        """Stop soon. Safe in a signal handler."""
        self.asked = True
        try:
            os.write(self._write, b"\0")
        except OSError:
            pass

    def close(self) -> None:
        """Give up the pipe."""
        os.close(self._read)
        os.close(self._write)


#: How serving ended: the peer hung up, the time was over, somebody asked to stop.
GONE, LATE, STOPPED = "gone", "late", "stopped"


class Timer:
    """Calls a device that is `Timed` when it is due; does nothing for others."""

    def __init__(self, function: Function, host: ServedHost) -> None:
        device = function.device
        self._device: Timed | None = device if isinstance(device, Timed) else None
        self._now = host.now

    def run(self) -> float | None:
        """Do what is due; the seconds until something is again, None for never."""
        if self._device is None:
            return None
        due = self._device.due()
        if due is None:
            return None
        now = self._now()
        if now < due:
            return (due - now) / 1e9
        self._device.tick()
        due = self._device.due()
        return None if due is None else max((due - self._now()) / 1e9, 0.0)


def serve(
    connection: Connection, function: Function, host: ServedHost, stop: Stop, deadline: float | None = None
) -> str:
    """Serve until the peer hangs up, the monotonic time `deadline` comes, or `stop` is asked for; which of them it was.

    Raises ProtocolError, and whatever the device raises.
    """
    poll = select.poll()
    poll.register(connection.stream, select.POLLIN)
    poll.register(stop, select.POLLIN)
    timer = Timer(function, host)
    peer = connection.stream.fileno()
    while True:
        wait = timer.run()
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return LATE
            wait = left if wait is None else min(wait, left)
        # In milliseconds, which poll rounds up: never early.
        ready = poll.poll(None if wait is None else wait * 1000)
        if stop.asked:
            return STOPPED
        for fd, _ in ready:
            if fd == peer:
                try:
                    connection.handle()
                except PeerGone:
                    return GONE


class Transport(Protocol):
    """A way to let others use a card. A class of the registry `TRANSPORTS`."""

    api: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]
    #: May BARs take 64 bits?
    wide: ClassVar[bool]

    def __call__(self, stream: Stream, function: Function, host: ServedHost) -> Connection:
        """Begin to talk with a peer that has connected."""
