"""A UNIX stream socket that carries messages with file descriptors: whole messages or an error, never a hang."""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import time

from mmiotools.errors import ProtocolError

#: Seconds that a peer may take for the rest of a message that it has begun, or to take one that we send.
PATIENCE = 5.0

#: File descriptors that one message may bring; both protocols allow fewer.
MAX_FDS = 16

_ANCILLARY = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)


class PeerGone(Exception):
    """The peer has closed the connection between two messages: the ordinary end."""


class Stream:
    """One connection. Closed with `close`, or as a context manager."""

    def __init__(self, connected: socket.socket, patience: float = PATIENCE) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._patience = patience

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def head(self, size: int) -> tuple[bytes, list[int]]:
        """The first `size` bytes of a message, and the file descriptors that came with it, which are the caller's.

        Raises PeerGone when nothing comes any more, ProtocolError for half of it.
        """
        data, fds = self._receive(size)
        if not data and size:
            close_all(fds)
            raise PeerGone
        if len(data) < size:
            try:
                data += self._rest(size - len(data), size)
            except BaseException:
                close_all(fds)
                raise
        return data, fds

    def body(self, size: int) -> bytes:
        """The next `size` bytes of a message that has begun. Raises ProtocolError when they do not come."""
        return self._rest(size, size) if size else b""

    def send(self, data: bytes) -> None:
        """Send all of it. Raises PeerGone, and ProtocolError when the peer takes nothing for too long."""
        view = memoryview(data)
        end = 0.0
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                end = end or time.monotonic() + self._patience
                self._wait(select.POLLOUT, end, "takes no answers")
            except OSError as error:
                raise PeerGone from error

    def _rest(self, size: int, whole: int) -> bytes:
        parts = bytearray()
        end = time.monotonic() + self._patience
        while len(parts) < size:
            try:
                data, fds = self._receive(size - len(parts), end)
            except PeerGone:
                data, fds = b"", []
            if fds:
                close_all(fds)
                raise ProtocolError("the peer sent file descriptors in the middle of a message")
            if not data:
                have = whole - size + len(parts)
                raise ProtocolError(f"the peer hung up in the middle of a message, after {have} of {whole} bytes")
            parts += data
        return bytes(parts)

    def _receive(self, size: int, end: float = 0.0) -> tuple[bytes, list[int]]:
        """Up to `size` bytes, at least one unless the peer has hung up."""
        while True:
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(size, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                end = end or time.monotonic() + self._patience
                self._wait(select.POLLIN, end, "stopped in the middle of a message")
                continue
            except OSError as error:
                raise PeerGone from error
            if not ancillary and not flags & socket.MSG_CTRUNC:
                return data, []
            fds = array.array("i")
            for level, kind, packed in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(packed[: len(packed) - len(packed) % fds.itemsize])
            if flags & socket.MSG_CTRUNC:
                close_all(fds.tolist())
                raise ProtocolError(f"the peer sent more than {MAX_FDS} file descriptors with one message")
            return data, fds.tolist()

    def _wait(self, what: int, end: float, problem: str) -> None:
        poll = select.poll()
        poll.register(self._socket, what)
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000 + 1):
            raise ProtocolError(f"the peer {problem}: nothing for {self._patience:g} s")


def close_all(fds: list[int]) -> None:
    """Close file descriptors that came with a message and are not wanted."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
