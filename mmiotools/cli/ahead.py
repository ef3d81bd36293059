"""Reads the inputs of a command that compares whole traces in other processes, while this one does something else."""

from __future__ import annotations

import mmap
import os
import select
import stat
import struct
import sys

from mmiotools.formats.parallel import workers_wanted
from mmiotools.small import suppress
from mmiotools.trace.in_c import signal
from mmiotools.trace.uninterrupted import uninterrupted
from mmiotools.typed import BinaryIO, Callable, Iterator, TypeAlias

Told: TypeAlias = Callable[[int], None]

#: Files of fewer bytes are read here, one after the other.
_WORTH_IT = 1 << 18
#: How a number lies where both processes see it; and seconds after which one looks at it again.
_COUNT, _MOMENT = struct.Struct("=Q"), 0.1


class Ahead:
    """A file that is being read in a forked process. A context manager: leaving it ends the process.

    read     what that process does: it is given the descriptor of a file without a name, `columns`, to put columns
             there, and what it calls with the number of bytes that it has read; what it returns goes to this process
    """

    def __init__(self, read: Callable[[int, Told], bytes]) -> None:
        self.columns = os.memfd_create("mmiotools")
        self._done = mmap.mmap(-1, _COUNT.size)
        ours, theirs = os.pipe()
        sys.stdout.flush()
        with uninterrupted():
            self._pid = os.fork()
            if not self._pid:
                os.close(ours)
                _serve(read, self.columns, lambda done: _COUNT.pack_into(self._done, 0, done), theirs)
        os.close(theirs)
        self._answer: BinaryIO = os.fdopen(ours, "rb")

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            # It may be gone: Ctrl-C comes at any moment, also when it was waited for, and that is not noted yet.
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid = 0
        self._answer.close()
        self._done.close()
        os.close(self.columns)

    def done(self) -> int:
        """Bytes that it has read."""
        return int(_COUNT.unpack_from(self._done)[0])

    def waiting(self) -> Iterator[None]:
        """Now and then, until it has an answer."""
        while not select.select([self._answer], [], [], _MOMENT)[0]:
            yield

    def result(self) -> bytes | None:
        """What it returned; None where anything was out of the ordinary, so that the file is to be read again, here."""
        answer = self._answer.read()
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return None if status else answer


def worth_reading_ahead(path: str) -> bool:
    """Is it a large enough file, and is there a processor for it?"""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return False
    large = stat.S_ISREG(about.st_mode) and about.st_size >= _WORTH_IT
    return large and hasattr(os, "memfd_create") and workers_wanted() > 1


def _serve(read: Callable[[int, Told], bytes], columns: int, told: Told, answer: int) -> None:
    """What the forked process does: it leaves its answer, ends with status 0 if all was well, and never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        found = read(columns, told)
        with os.fdopen(answer, "wb") as out:
            out.write(found)
        status = 0
    finally:
        os._exit(status)
