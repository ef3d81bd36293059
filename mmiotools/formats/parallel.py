"""One function over many pieces in worker processes, results in order: for reading, which is the most work.

Workers are forked, so the function and what it closes over need no pickling; pieces and results travel by pipe.
A worker has at most two pieces: the next one lies in its pipe when it is done with the first. So memory stays flat.
"""

from __future__ import annotations

import contextlib
import marshal
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from mmiotools.errors import MmioToolsError
from mmiotools.trace.uninterrupted import uninterrupted
from mmiotools.typed import Any, NoReturn, TypeVar

P = TypeVar("P")
R = TypeVar("R")

#: Pieces that are worked on here before the first worker is started: small inputs never start one.
ALONE = 3
#: A piece of at most so many bytes, pickled, may be given before the one before it is answered: a worker has read all
#: of a piece when it begins with it, and no system's empty pipe holds less than a page.
_FITS = 1 << 11
#: Bytes that a pipe of results is to hold.
_WIDTH = 1 << 20
#: Bytes before each pickled object: how many follow.
_LENGTH = 8
#: Items in each of these, where pieces are made of many.
_SMALL = 2


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


def ordered_map(function: Callable[[P], R], pieces: Iterable[P], *, alone: int | None = None) -> Iterator[R]:
    """function(piece) for every piece, in order. An exception of the function is raised here, in its place.

    alone  so many pieces are worked on here before the first worker is started; None for ALONE
    """
    remaining = iter(pieces)
    for piece in islice(remaining, ALONE if alone is None else alone):
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
        waiting: deque[_Worker] = deque()
        for number, piece in enumerate(chain(ahead, remaining)):
            worker = pool[number % wanted]
            if len(waiting) == 2 * wanted:
                yield waiting.popleft().result()
            worker.give(piece)
            waiting.append(worker)
        for worker in pool:
            worker.no_more()
        while waiting:
            yield waiting.popleft().result()


class _Worker:
    """A forked process that answers pieces in order. A context manager: leaving it ends the process."""

    def __init__(self, function: Callable[[Any], Any], older: list[_Worker]) -> None:
        self._answers: deque[bytearray] = deque()
        self._asked = 0
        self._is_fed = True
        pieces, self._pieces = os.pipe()
        self._results, results = os.pipe()
        _widen(results)
        # A worker ends when its pipe's other end is closed, so no worker may hold that end of any.
        parents = [end for worker in (self, *older) for end in (worker._pieces, worker._results)]
        with uninterrupted():
            self._process = os.fork()
            if not self._process:
                _serve(function, pieces, results, parents)
        os.close(pieces)
        os.close(results)

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        import signal

        self.no_more()
        os.close(self._results)
        # Where nobody wants to be told of children that ended, it may be gone.
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)

    def give(self, piece: Any) -> None:
        """Hand over a piece; of those before, one may not have been answered yet."""
        packed = _packed(piece)
        with contextlib.suppress(EOFError, OSError):  # it died; whoever asks for the result is told so
            if self._asked and len(packed) > _FITS:
                self._take()  # else each might wait for the other to read
            _send(self._pieces, packed)
            self._asked += 1

    def no_more(self) -> None:
        """There are no more pieces: the process ends by itself with its last answer."""
        if self._is_fed:
            os.close(self._pieces)
            self._is_fed = False

    def result(self) -> Any:
        """The next result, in the order of the pieces."""
        if not self._answers:
            try:
                self._take()
            except (EOFError, OSError) as error:
                raise MmioToolsError("a worker process died") from error
        good, value = _unpacked(self._answers.popleft())
        if not good:
            raise value
        return value

    def _take(self) -> None:
        self._answers.append(_receive(self._results))
        self._asked -= 1


def _widen(pipe: int) -> None:
    """Let a pipe hold a result, where the system can: its worker goes on while the results before are waited for."""
    import fcntl  # not everywhere, but wherever there is fork

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDTH)


def _serve(function: Callable[[Any], Any], pieces: int, results: int, parents: list[int]) -> NoReturn:
    """What the process does. It never returns: what is left to do at the end of a process is its parent's."""
    import signal

    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for end in parents:
            os.close(end)
        with contextlib.suppress(EOFError, OSError):
            while True:
                _send(results, _answer(function, _receive(pieces)))
        status = 0
    finally:
        os._exit(status)


def _answer(function: Callable[[Any], Any], packed: bytearray) -> bytes:
    """Whether all was well, and what the function gave or raised."""
    try:
        return _packed((True, function(_unpacked(packed))))
    except Exception as error:
        return _packed((False, error))


#: What every pickled object begins with, and nothing that `marshal` makes.
_PICKLED = 0x80
#: How deep tuples are nested in what is looked at for being plain, and how long they are, at most.
_DEEP, _LONG = 4, 16


def _packed(item: Any) -> bytes:
    if _is_plain(item):
        return marshal.dumps(item)
    import pickle  # takes a while, and most that is large needs none

    return pickle.dumps(item, pickle.HIGHEST_PROTOCOL)


def _unpacked(packed: bytearray) -> Any:
    if packed[0] != _PICKLED:
        return marshal.loads(packed)
    import pickle

    return pickle.loads(packed)


def _is_plain(item: Any, deep: int = _DEEP) -> bool:
    """Whether it consists of nothing but these, of which `marshal` gives back the same."""
    if type(item) is tuple:
        return deep > 0 and len(item) <= _LONG and all([_is_plain(part, deep - 1) for part in item])
    return item is None or type(item) in (int, bool, bytes, str)


def _send(descriptor: int, packed: bytes) -> None:
    """A pickled object, with its length before it."""
    rest = memoryview(len(packed).to_bytes(_LENGTH, "little") + packed)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _receive(descriptor: int) -> bytearray:
    """The next one. Raises EOFError where the other end is closed."""
    return _exactly(descriptor, int.from_bytes(_exactly(descriptor, _LENGTH), "little"))


def _exactly(descriptor: int, size: int) -> bytearray:
    found = bytearray(size)
    rest = memoryview(found)
    while rest:
        count = os.readv(descriptor, [rest])
        if not count:
            raise EOFError
        rest = rest[count:]
    return found
