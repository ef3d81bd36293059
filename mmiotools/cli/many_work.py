"""Many files worked on in processes side by side: one file a process at a time, one progress display, and whatever
happens to one file stops no other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from mmiotools.cli.common import Run
from mmiotools.cli.many_files import Job
from mmiotools.errors import EXIT_USAGE, MmioToolsError, NotATrace
from mmiotools.formats.parallel import workers_wanted
from mmiotools.formats.source import describe
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Spread, Trace
from mmiotools.trace.uninterrupted import uninterrupted
from mmiotools.typed import TYPE_CHECKING, Any, Callable, Iterator, Sequence, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

T = TypeVar("T")
#: What is done with a job; progress is told by `watched`.
Work = Callable[["FileRun", Job], None]
#: Where it goes: ("say", text), ("bytes", number), ("passed over", None) or ("done", status).
Tell = Callable[[str, Any], None]

#: Seconds between two reports of progress.
_EVERY = 0.1


class FileRun(Run):
    """The run of one file of many. What it says goes where `tell` takes it, with the name of the file before it."""

    def __init__(self, job: Job, quiet: bool, tell: Tell) -> None:
        super().__init__(quiet)
        self._job, self._tell = job, tell

    def say(self, message: str) -> None:
        """A line, which begins with the name of the file."""
        if not self.quiet:
            self.complain(message)

    def complain(self, message: str) -> None:
        """A line about an error, which -q does not silence."""
        named = message.startswith((self._job.input, self._job.output))
        self._tell("say", message if named else f"{self._job.input}: {message}")

    def watched(self, trace: Trace) -> None:
        """Tell the progress of a trace as it is read."""
        spread, batches = trace.spread, trace.batches
        trace.batches = self._follow(batches, trace)
        if spread is not None:

            def followed(function: Callable[[Batch], Any]) -> Iterator[Spread[Any]]:
                return self._follow(spread(function), trace)

            trace.spread = followed

    def _follow(self, items: Iterator[T], trace: Trace) -> Iterator[T]:
        told = time.monotonic()
        for item in items:
            yield item
            if time.monotonic() - told > _EVERY:
                told = time.monotonic()
                self._tell("bytes", trace.progress())


def do_job(work: Work, job: Job, quiet: bool, tell: Tell) -> None:
    """One file. Every error becomes a line and a status; only what ends the process goes through."""
    run = FileRun(job, quiet, tell)
    try:
        work(run, job)
    except NotATrace as error:
        if job.may_be_no_trace:
            run.say(f"{job.input}: no trace, passed over")
            tell("passed over", None)
        else:
            run.complain(str(error))
            run.set_status(error.status)
    except MmioToolsError as error:
        run.complain(str(error))
        run.set_status(error.status)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        run.complain(f"{where}{describe(error)}")
        run.set_status(EXIT_USAGE)
    except MemoryError:
        run.complain("out of memory")
        run.set_status(EXIT_USAGE)
    except Exception as error:
        if os.environ.get("MMIOTOOLS_DEBUG"):
            raise
        run.complain(f"internal error: {error!r}; set MMIOTOOLS_DEBUG=1 for the traceback, and please report it")
        run.set_status(EXIT_USAGE)
    tell("done", run.status)


def do_all(jobs: Sequence[Job], work: Work, quiet: bool, tell: Callable[[Job, str, Any], None]) -> None:
    """Every job, in as many processes as there are processors. `tell` is called here, with what happens in any."""
    wanted = min(workers_wanted(), len(jobs))
    if wanted < 2:
        for job in jobs:
            do_job(work, job, quiet, lambda what, value, job=job: tell(job, what, value))  # type: ignore[misc]
        return
    from multiprocessing.connection import wait

    # Fewer files than processors: the processes that are left read text for them.
    helpers = workers_wanted() // wanted
    remaining = iter(jobs)
    with contextlib.ExitStack() as stack:
        pool: dict[Connection, _Worker] = {}

        def start(job: Job | None) -> None:
            if job is not None:
                worker = stack.enter_context(_Worker(work, quiet, helpers, list(pool)))
                pool[worker.connection] = worker
                worker.give(job)

        for _ in range(wanted):
            start(next(remaining, None))
        while pool:
            for ready in wait(list(pool)):
                assert not isinstance(ready, int)
                worker = pool[ready]  # type: ignore[index]
                current = worker.job
                try:
                    what, value = worker.connection.recv()
                except (EOFError, OSError):
                    del pool[worker.connection]
                    if current is not None:
                        tell(current, "say", f"{current.input}: the process that worked on it died")
                        tell(current, "done", EXIT_USAGE)
                        start(next(remaining, None))
                    continue
                assert current is not None
                tell(current, what, value)
                if what == "done":
                    worker.give(next(remaining, None))


class _Worker:
    """A forked process that does one job at a time. A context manager: leaving it ends the process."""

    def __init__(self, work: Work, quiet: bool, helpers: int, older: list[Connection]) -> None:
        import multiprocessing  # takes a while, and few runs have many files

        context = multiprocessing.get_context("fork")
        self.job: Job | None = None
        self.connection, theirs = context.Pipe()
        ours = [self.connection, *older]
        self._process = context.Process(target=_serve, args=(work, quiet, helpers, theirs, ours))
        with uninterrupted():
            self._process.start()
        theirs.close()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self.connection.close()
        self._process.join()

    def give(self, job: Job | None) -> None:
        """The next job; None for none, by which it ends."""
        self.job = job
        try:
            self.connection.send(job)
        except OSError:
            pass  # it died; whoever waits for its answer is told so


def _serve(work: Work, quiet: bool, helpers: int, connection: Connection, parents: list[Connection]) -> None:
    """What the process does. It never returns: what is left to do at the end of a process is its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, _interrupt)  # so that half a file is removed
    for parent in parents:
        parent.close()
    os.environ["MMIOTOOLS_WORKERS"] = str(helpers if helpers > 1 else 0)
    try:
        while (job := connection.recv()) is not None:
            do_job(work, job, quiet, lambda what, value: connection.send((what, value)))
    except (EOFError, OSError, KeyboardInterrupt):
        pass
    finally:
        os._exit(0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
