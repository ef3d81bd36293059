"""One function over many pieces in worker processes, results in order: for reading, which is the most work.

Workers are forked, so the function and what it closes over need no pickling; pieces and results travel by pipe.
At most one piece is with each worker, so memory stays flat.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from mmiotools.errors import MmioToolsError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

P = TypeVar("P")
R = TypeVar("R")

#: Pieces that are worked on here before the first worker is started: small inputs never start one.
ALONE = 3
#: Items in each of these, where pieces are made of many.
_SMALL = 8


def workers_wanted() -> int:
    """Worker processes: one for each processor, at most 8; none on a single processor.

    MMIOTOOLS_WORKERS overrides it; 0 keeps all work in this process.
    """
    given = os.environ.get("MMIOTOOLS_WORKERS", "")
    if given.isdigit():
        return min(int(given), 64)
    processors = len(os.sched_getaffinity(0))
    return 0 if processors < 2 or not hasattr(os, "fork") else min(processors, 8)


def shares(start: int, stop: int, most: int) -> Iterator[tuple[int, int]]:
    """The items start..stop-1 as pieces for `ordered_map`: small ones first, then as many as every worker gets the same
    number of, of at most `most` items each.
    """
    for _ in range(ALONE):
        if start < stop:
            yield start, min(start + _SMALL, stop)
            start += _SMALL
    each = max(workers_wanted(), 1)
    count = each * -(-(stop - start) // (each * most))
    for number in range(count):
        low, high = ((stop - start) * part // count for part in (number, number + 1))
        if low < high:
            yield start + low, start + high


def ordered_map(function: Callable[[P], R], pieces: Iterable[P]) -> Iterator[R]:
    """function(piece) for every piece, in order. An exception of the function is raised here, in its place."""
    remaining = iter(pieces)
    for piece in islice(remaining, ALONE):
        yield function(piece)
    ahead = list(islice(remaining, 1))
    wanted = workers_wanted() if ahead else 0
    if not wanted:
        yield from map(function, chain(ahead, remaining))
        return
    with contextlib.ExitStack() as stack:
        pool: list[_Worker] = []
        for _ in range(wanted):
            pool.append(stack.enter_context(_Worker(function, pool)))
        waiting: list[_Worker] = []
        for number, piece in enumerate(chain(ahead, remaining)):
            worker = pool[number % wanted]
            if len(waiting) == wanted:
                yield waiting.pop(0).result()
            worker.give(piece)
            waiting.append(worker)
        while waiting:
            yield waiting.pop(0).result()


class _Worker:
    """A forked process that answers one piece at a time. A context manager: leaving it ends the process."""

    def __init__(self, function: Callable[[Any], Any], older: list[_Worker]) -> None:
        import multiprocessing  # takes a while, and few inputs are so large that there are workers

        context = multiprocessing.get_context("fork")
        self._connection, theirs = context.Pipe()
        # A worker ends when its pipe's other end is closed, so no worker may hold that end of any.
        ours = [self._connection, *(worker._connection for worker in older)]
        self._process = context.Process(target=_serve, args=(function, theirs, ours), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def give(self, piece: Any) -> None:
        """Hand over a piece; the result of the one before must have been taken."""
        try:
            self._connection.send(piece)
        except OSError as error:
            raise MmioToolsError("a worker process died") from error

    def result(self) -> Any:
        """The result for the piece given last."""
        try:
            good, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise MmioToolsError("a worker process died") from error
        if not good:
            raise value
        return value


def _serve(function: Callable[[Any], Any], connection: Connection, parents: list[Connection]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for parent in parents:
        parent.close()
    while True:
        try:
            piece = connection.recv()
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            answer = (True, function(piece))
        except Exception as error:
            answer = (False, error)
        try:
            connection.send(answer)
        except OSError:
            return
