"""Reads a file in a thread, while this one imports what comes next: for what needs Python a small part of the time."""

from __future__ import annotations

import sys
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterator
from types import TracebackType

from mmiotools.typed import Generic, TypeVar

T = TypeVar("T")

#: Seconds after which a thread that waits for Python gets it: it leaves it again at once. And after which the one that
#: waits for the file looks at how far it is.
_TURN, _MOMENT = 0.0005, 0.1


class Beside(Generic[T]):
    """A file that is being read. A context manager: leaving it ends the reading.

    read     what the thread does: it is given what it calls with the number of bytes that it has read, and raises
             anything where the file is to be read in another way. It must import nothing: of two threads that do, one
             may see a module half done.
    """

    def __init__(self, read: Callable[[Callable[[int], None]], T]) -> None:
        self._read = read
        self._found: T | None = None
        self._bytes = 0
        self._left = False
        self._busy = allocate_lock()
        self._busy.acquire()
        sys.setswitchinterval(_TURN)
        start_new_thread(self._run, ())

    def __enter__(self) -> Beside[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._wait()

    def done(self) -> int:
        """Bytes that it has read."""
        return self._bytes

    def waiting(self) -> Iterator[None]:
        """Now and then, until it has an answer."""
        while not self._busy.acquire(timeout=_MOMENT):
            yield
        self._busy.release()

    def result(self) -> T | None:
        """What it read; None where the file is to be read again, in another way."""
        self._wait()
        return self._found

    def _wait(self) -> None:
        with self._busy:
            pass

    def _run(self) -> None:
        try:
            self._found = self._read(self._told)
        except Exception:
            self._found = None
        finally:
            self._busy.release()

    def _told(self, count: int) -> None:
        self._bytes = count
        if self._left:
            raise InterruptedError("nobody waits for it any more")
