"""Runs things in turn and compares them: wall time, processor time and memory of whole processes."""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

T = TypeVar("T")

#: Bytes that a pipe holds.
PIPE = 1 << 20


@dataclass(frozen=True, slots=True)
class Command:
    """Something to run.

    name    for people
    words   the command; for the shell when it is one string
    output  file for its standard output, else /dev/null
    good    exit statuses that are no failure
    needs   the programs that it runs
    engine  which of mmiotools' engines does it, as MMIOTOOLS_ENGINE has it; empty for others' programs
    once    takes so long that it runs in the last round only
    piped   its standard output goes into a pipe and is dropped at the other end: what a page of a file costs varies too
            much for long outputs, and /dev/null makes grep stop at the first match
    """

    name: str
    words: list[str] | str
    output: Path | None = None
    good: tuple[int, ...] = (0,)
    needs: tuple[str, ...] = ()
    engine: str = ""
    once: bool = False
    piped: bool = False

    def kept(self) -> Command:
        """The same, with its output in the file."""
        return replace(self, piped=False)

    def missing(self) -> str | None:
        """The first of `needs` that is not installed."""
        return next((program for program in self.needs if shutil.which(program) is None), None)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run. wall and cpu in seconds; rss in bytes, of the largest single process."""

    wall: float
    cpu: float
    rss: int


@dataclass(slots=True)
class Costs:
    """Of several runs."""

    runs: list[Cost] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """Median, seconds."""
        return median(run.wall for run in self.runs)

    @property
    def cpu(self) -> float:
        """Median, seconds, user and system, of all processes together."""
        return median(run.cpu for run in self.runs)

    @property
    def rss(self) -> int:
        """The largest, bytes."""
        return max(run.rss for run in self.runs)


def run(command: Command, watch: Callable[[int], None] | None = None) -> Cost:
    """Run to the end. `watch` is called with the process id once it runs. Any other exit status ends everything."""
    words = command.words if isinstance(command.words, list) else ["sh", "-c", command.words]
    target = os.devnull if command.output is None else command.output
    around = os.environ | ({"MMIOTOOLS_ENGINE": command.engine} if command.engine else {})
    with _dropping() if command.piped else open(target, "wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, env=around)
        if watch is not None:
            watch(process.pid)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode not in command.good:
        shown = " ".join(words)
        raise SystemExit(f"{shown}: exit status {process.returncode}\n{said.decode(errors='replace')}")
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


@contextmanager
def _dropping() -> Iterator[int]:
    """The writing end of a pipe, from which a thread of ours takes everything away."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)

    def drop() -> None:
        with open(os.devnull, "wb", buffering=0) as nowhere:
            while os.splice(reading, nowhere.fileno(), PIPE):
                pass

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        yield writing
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)


class Others:
    """What the machine did besides this process and its children, since this was made."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.perf_counter(), _busy(), _own()

    def processors(self) -> float:
        """Processors that others kept busy on average, time that the hypervisor took away included."""
        elapsed = time.perf_counter() - self._began
        return max(0.0, (_busy() - self._busy) - (_own() - self._own)) / elapsed


def _busy() -> float:
    """Seconds that all processors together were not idle."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def floor() -> int:
    """Bytes: no child can be measured to be smaller than this process was when it started the child."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_turn(works: Sequence[Callable[[], T]], rounds: int) -> list[list[T]]:
    """A B C, then A B C, …: one round that only warms up, and `rounds` that count; what each gave in these."""
    for work in works:
        work()
    found = [[work() for work in works] for _ in range(rounds)]
    return [list(column) for column in zip(*found, strict=True)]


def interleaved(commands: Sequence[Command], rounds: int) -> list[Costs]:
    """The commands in turn, as `in_turn` has it; what is to run once runs in the last round alone.

    A single round means little, so there is none before it that warms up.
    """
    for command in commands if rounds > 1 else ():
        if not command.once:
            run(command)
    costs = [Costs() for _ in commands]
    for left in reversed(range(rounds)):
        for command, found in zip(commands, costs, strict=True):
            if not command.once or left == 0:
                found.runs.append(run(command))
    return costs


def times_as_fast(ours: Costs, peer: Costs) -> tuple[float, float, float]:
    """How many times as fast ours is, by wall clock: median, least and most over the rounds that both ran in."""
    both = zip(reversed(ours.runs), reversed(peer.runs), strict=False)
    ratios = [b.wall / a.wall for a, b in both]
    return median(ratios), min(ratios), max(ratios)


def table(*heads: str) -> None:
    """The head of a table."""
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")


def about() -> str:
    """The machine in one line."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    processors = len(os.sched_getaffinity(0))
    return f"{processors} processors, {platform.machine()}, {system}, Python {platform.python_version()}"


def memory(command: Command) -> tuple[Cost, int]:
    """The cost of one run, and the peak of all its processes together (bytes; shared pages counted once)."""
    peak = 0
    over = threading.Event()

    def sample(pid: int) -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, sum(_share(member) for member in _family(pid)))

    def watch(pid: int) -> None:
        watcher.append(threading.Thread(target=sample, args=(pid,), daemon=True))
        watcher[0].start()

    watcher: list[threading.Thread] = []
    cost = run(command, watch)
    over.set()
    watcher[0].join()
    return cost, max(peak, cost.rss)


def _family(pid: int) -> list[int]:
    """A process and what descends from it, as far as they are alive."""
    found = [pid]
    for member in found:
        try:
            for task in os.listdir(f"/proc/{member}/task"):
                found += map(int, Path(f"/proc/{member}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def _share(pid: int) -> int:
    """Bytes of a process, of shared pages its share; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
