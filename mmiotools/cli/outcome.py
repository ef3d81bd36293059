"""How a command ends: every error becomes one line and an exit status."""

from __future__ import annotations

import os
import sys

from mmiotools.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, MmioToolsError
from mmiotools.typed import Callable


def outcome(work: Callable[[], int | None]) -> int:
    """Do it; the exit status, 0 where it gives none. No exception leaves it but those that end the process."""
    try:
        status = work()
        sys.stdout.flush()
        return EXIT_OK if status is None else status
    except BrokenPipeError:
        return _end_by_sigpipe()
    except KeyboardInterrupt:
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except MmioToolsError as error:
        _complain(str(error))
        return error.status
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{(error.strerror or str(error)).lower()}")
        return EXIT_USAGE
    except MemoryError:
        _complain("out of memory")
        return EXIT_USAGE
    except Exception as error:
        if os.environ.get("MMIOTOOLS_DEBUG"):
            raise
        _complain(f"internal error: {error!r}; set MMIOTOOLS_DEBUG=1 for the traceback, and please report it")
        return EXIT_USAGE


def _complain(message: str) -> None:
    try:
        print(f"mmiotools: {message}", file=sys.stderr)
    except OSError:
        pass


def _end_by_sigpipe() -> int:
    """The reader of our output went away: end as any Unix filter does, without a word."""
    import signal

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 128 + signal.SIGPIPE
