"""One input under limits: CPU time, memory; and the name of what went wrong."""

from __future__ import annotations

import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from readings import Broken

#: CPU seconds for one input. Bytes that it may take, of which the window of zstd is most, and how many more for each of
#: its own.
SECONDS = 10.0
MEMORY, EACH = 320 << 20, 100
#: Address space beside what is there before: what asks for more is refused.
ROOM = 2 << 30
_PACKAGE = str(Path(__file__).resolve().parents[2] / "mmiotools")


class Hang(BaseException):
    """The input takes too long."""


class Finding(NamedTuple):
    """What went wrong. `sign` is the same for the same defect, as far as can be told."""

    sign: str
    text: str


@contextmanager
def time_limit() -> Iterator[None]:
    """Raises Hang when the block takes more than SECONDS of CPU time."""
    seconds = SECONDS

    def too_long(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def limit_memory() -> None:
    """What this process takes from now on is bounded."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, resource.RLIM_INFINITY))


def peak() -> int:
    """Most bytes that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run(check: Callable[[Any], int], given: Any) -> tuple[int, Finding | None]:
    """check(given) under limits: its number of events, or what went wrong."""
    before = peak()
    events = 0
    try:
        with time_limit():
            events = check(given)
    except Exception as error:
        return 0, Finding(sign(error), "".join(traceback.format_exception(error))[-6000:])
    except Hang as error:
        return 0, Finding(sign(error), "".join(traceback.format_exception(error))[-6000:])
    grown = peak() - before
    if grown > MEMORY + EACH * len(given.data):
        return events, Finding("memory", f"{grown >> 20} MiB for {len(given.data)} bytes")
    return events, None


def sign(error: BaseException) -> str:
    """The error's type and where in the package it came from, or what is broken."""
    if isinstance(error, Broken):
        return "broken-" + "-".join(error.what.replace("'", "").replace(":", "").split())
    place = "elsewhere"
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(_PACKAGE):
            place = f"{Path(frame.filename).stem}.{frame.name}"
    return f"{type(error).__name__}-{place}"
