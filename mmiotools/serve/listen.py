"""A UNIX socket that others connect to, at a path that the user names."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import time

from mmiotools.errors import UsageError
from mmiotools.serve.loop import Stop
from mmiotools.typed import Callable

_POLL = 0.05


class Listener:
    """Listens at `path`, and takes it away again when closed; use it as a context manager.

    What a server that has gone left there is replaced. Raises UsageError where something else is, or one listens.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._bound = False
        try:
            self._clear()
            self._socket.bind(path)
            self._bound = True
            self._socket.listen(1)
        except OSError as error:
            self.close()
            raise UsageError(f"{path}: cannot listen: {(error.strerror or str(error)).lower()}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
        if self._bound:
            self._bound = False
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def fileno(self) -> int:
        """Readable when somebody connects."""
        return self._socket.fileno()

    def accept(self) -> socket.socket:
        """Who has connected, or will."""
        return self._socket.accept()[0]

    def wait(
        self, stop: Stop, deadline: float | None, alive: Callable[[], bool] = lambda: True
    ) -> socket.socket | None:
        """Who connects; None when `stop` is asked for, the monotonic time `deadline` comes, or `alive` says no."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        poll.register(stop, select.POLLIN)
        while alive() and not stop.asked:
            if deadline is not None and time.monotonic() >= deadline:
                return None
            if any(fd == self.fileno() for fd, _ in poll.poll(_POLL * 1000)):
                return self.accept()
        return None

    def _clear(self) -> None:
        try:
            mode = os.lstat(self.path).st_mode
        except OSError:
            return
        if not stat.S_ISSOCK(mode):
            raise UsageError(f"{self.path}: is there already, and is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.path)
            except ConnectionRefusedError:
                os.unlink(self.path)
                return
        raise UsageError(f"{self.path}: another process listens there")
