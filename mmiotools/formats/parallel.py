"""One function over many pieces in worker processes, results in order: for reading, which is the most work.

Workers are forked, so the function and what it closes over need no pickling; pieces and results travel by pipe.
A worker has at most two pieces: the next one lies in its pipe when it is done with the first. So memory stays flat.
"""

from __future__ import annotations

import marshal
import os
import select
from itertools import chain, islice, pairwise

from mmiotools.errors import MmioToolsError
from mmiotools.small import deque, suppress
from mmiotools.trace.in_c import dumps, loads, signal
from mmiotools.trace.uninterrupted import uninterrupted
from mmiotools.typed import Any, Callable, Iterable, Iterator, NoReturn, TypeVar

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
#: Items in each of these, where pieces are made of many; and of how many items one is in a piece for who is done first.
_SMALL, _LEFT_OVER = 2, 5
#: Pieces that are given before the first of them is told, for each worker: so many answers are kept.
_KEPT = 2


def workers_wanted() -> int:
    """Worker processes: one for each processor, at most 8; none on a single processor.

    MMIOTOOLS_WORKERS overrides it; 0 keeps all work in this process.
    """
    given = os.environ.get("MMIOTOOLS_WORKERS", "")
    if given.isdigit():
        return min(int(given), 64)
    processors = len(os.sched_getaffinity(0))
    return 0 if processors < 2 or not hasattr(os, "fork") else min(processors, 8)


def shares(start: int, stop: int, most: int, *, small: bool = True) -> Iterator[tuple[int, int]]:
    """The items start..stop-1 as pieces for `ordered_map`, of at most `most` items: small ones first, which are done
    before any worker is started, if so asked; then as many as every worker gets the same number of; and at the end
    shorter ones, for who is done first.
    """
    for _ in range(ALONE if small else 0):
        if start < stop:
            yield start, min(start + _SMALL, stop)
            start += _SMALL
    each = max(workers_wanted(), 1)
    left = min((stop - start) // _LEFT_OVER, each * most)
    for end, much in ((stop - left, most), (stop, -(-left // each) or 1)):
        count = each * -(-(end - start) // (each * much))
        ends = [start + (end - start) * part // count for part in range(count + 1)] if count > 0 else []
        yield from (piece for piece in pairwise(ends) if piece[0] < piece[1])
        start = end


def ordered_map(
    function: Callable[[P], R], pieces: Iterable[P], *, alone: int | None = None, ahead: int = 2
) -> Iterator[R]:
    """function(piece) for every piece, in order. An exception of the function is raised here, in its place.

    alone  so many pieces are worked on here before the first worker is started; None for ALONE
    ahead  pieces that a worker has at a time: 2, so that it need not wait for the next; 1 where there are few large
           ones, so that the next is given to who is done first
    """
    remaining = iter(pieces)
    for piece in islice(remaining, ALONE if alone is None else alone):
        yield function(piece)
    first = list(islice(remaining, 1))
    wanted = workers_wanted() if first else 0
    if not wanted:
        yield from map(function, chain(first, remaining))
        return
    pool: list[_Worker] = []
    try:
        for _ in range(wanted):
            pool.append(_Worker(function, pool))
        yield from _spread(pool, chain(first, remaining), ahead)
    finally:
        _end(pool)


def _end(pool: list[_Worker]) -> None:
    """The end of all, even if one of them cannot be waited for."""
    while pool:
        try:
            pool.pop().end()
        except BaseException:
            _end(pool)
            raise


def _spread(pool: list[_Worker], pieces: Iterator[Any], ahead: int) -> Iterator[Any]:
    """What workers make of pieces, in order. Each has so many at a time; of one, whoever has given an answer gets the
    next; of more, each its own in turn, so that memory that they put answers in is the same again.
    """
    answers: dict[int, bytearray | None] = {}
    given = told = 0
    free = deque(pool * ahead)
    while True:
        while free and given - told < _KEPT * len(pool):
            for piece in islice(pieces, 1):
                worker = free.popleft()
                early = worker.give(given, piece)
                answers.update(early)
                free.extend([worker] * len(early))
                given += 1
                break
            else:
                free.clear()
                for worker in pool:
                    worker.no_more()
        if told == given:
            return
        if told in answers:
            yield _opened(answers.pop(told))
            told += 1
            continue
        for worker in _ready(pool) if ahead == 1 else [worker for worker in pool if told in worker.asked]:
            fresh = worker.answer()
            answers.update(fresh)
            free.extend([worker] * len(fresh) if worker.is_fed else ())


def _opened(answer: bytearray | None) -> Any:
    if answer is None:
        raise MmioToolsError("a worker process died")
    good, value = _unpacked(answer)
    if not good:
        raise value
    return value


def _ready(pool: list[_Worker]) -> list[_Worker]:
    """Those that have an answer, or have died, once there are some."""
    poll = select.poll()
    asked = {worker.results: worker for worker in pool if worker.asked}
    for descriptor in asked:
        poll.register(descriptor, select.POLLIN)
    return [asked[descriptor] for descriptor, _ in poll.poll()]


class _Worker:
    """A forked process that answers pieces in order, until its `end`."""

    def __init__(self, function: Callable[[Any], Any], older: list[_Worker]) -> None:
        #: The numbers of the pieces that are not answered yet.
        self.asked: deque[int] = deque()
        self.is_fed = True
        pieces, self._pieces = os.pipe()
        self.results, results = os.pipe()
        _widen(results)
        # A worker ends when its pipe's other end is closed, so no worker may hold that end of any.
        parents = [end for worker in (self, *older) for end in (worker._pieces, worker.results)]
        with uninterrupted():
            self._process = os.fork()
            if not self._process:
                _serve(function, pieces, results, parents)
        os.close(pieces)
        os.close(results)

    def end(self) -> None:
        """Its end, whatever it is doing."""
        self.no_more()
        os.close(self.results)
        # Where nobody wants to be told of children that ended, it may be gone.
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)

    def give(self, number: int, piece: Any) -> dict[int, bytearray | None]:
        """Hand over a piece; of those before, one may not have been answered yet. Gives what `answer` does where it had
        to be asked first.
        """
        packed = _packed(piece)
        # Else each might wait for the other to read.
        early = self.answer() if self.asked and len(packed) > _FITS else {}
        self.asked.append(number)
        with suppress(OSError):  # it died, as whoever asks for the answer is told
            _send(self._pieces, packed)
        return early

    def no_more(self) -> None:
        """There are no more pieces: the process ends by itself with its last answer."""
        if self.is_fed:
            # In this order: Ctrl-C may come between, and what is closed must not be closed again.
            self.is_fed = False
            os.close(self._pieces)

    def answer(self) -> dict[int, bytearray | None]:
        """The next answer, by the number of its piece; where it died, None for all that it was asked."""
        try:
            answer = _receive(self.results)
        except (EOFError, OSError):
            dead: dict[int, bytearray | None] = dict.fromkeys(self.asked)
            self.asked.clear()
            return dead
        return {self.asked.popleft(): answer}


def _widen(pipe: int) -> None:
    """Let a pipe hold a result, where the system can: its worker goes on while the results before are waited for."""
    import fcntl  # not everywhere, but wherever there is fork

    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDTH)


def _serve(function: Callable[[Any], Any], pieces: int, results: int, parents: list[int]) -> NoReturn:
    """What the process does. It never returns: what is left to do at the end of a process is its parent's."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for end in parents:
            os.close(end)
        with suppress(EOFError, OSError):
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
    return dumps(item)


def _unpacked(packed: bytearray) -> Any:
    if packed[0] != _PICKLED:
        return marshal.loads(packed)
    return loads(packed)


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
