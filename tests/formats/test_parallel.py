"""Worker processes: results in order, whatever their size; errors in their place; and an end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmiotools.errors import FormatError, MmioToolsError
from mmiotools.formats import parallel
from mmiotools.formats.parallel import ordered_map

LARGE = 3 << 20


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMIOTOOLS_WORKERS", "2")


@pytest.mark.parametrize("large", [(), (3,), (4, 5, 6, 7), range(100)])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("taken", [True, False])
def test_pieces_and_results_of_any_size_come_in_order(large: object, given: bool, taken: bool) -> None:
    def of(number: int, wanted: bool) -> bytes:
        return b"%d " % number + bytes(LARGE if wanted and number in large else 10)  # type: ignore[operator]

    def work(piece: bytes) -> bytes:
        return of(int(piece.split()[0]), taken)

    results = ordered_map(work, (of(number, given) for number in range(20)))
    for number, result in enumerate(results):
        assert result == of(number, taken)
    assert number == 19


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("workers", ["0", "2", "7"])
@pytest.mark.parametrize("stop", [5, 6, 7, 12, 153, 1000, 12345])
def test_shares_are_all_of_it_in_order(monkeypatch: pytest.MonkeyPatch, stop: int, workers: str, small: bool) -> None:
    monkeypatch.setenv("MMIOTOOLS_WORKERS", workers)
    found = list(parallel.shares(5, stop, 128, small=small))
    assert [item for start, end in found for item in range(start, end)] == list(range(5, stop))
    assert all(0 < end - start <= 128 for start, end in found)
    if stop == 153 and workers == "2" and not small:
        assert found == [(5, 64), (64, 124), (124, 138), (138, 153)]


def test_pieces_are_asked_for_as_they_are_needed() -> None:
    asked = 0

    def piece() -> int:
        nonlocal asked
        asked += 1
        return asked

    for number, _ in enumerate(ordered_map(str, iter(piece, 1000))):
        assert asked - number <= 5


def test_errors_come_in_their_place_and_as_they_are() -> None:
    def work(number: int) -> object:
        if number == 9:
            raise FormatError("nine")
        return number

    done = []
    with pytest.raises(FormatError, match=r"^nine$"):
        for result in ordered_map(work, range(100)):
            done.append(result)
    assert done == list(range(9))


def test_a_result_that_cannot_travel_is_an_error() -> None:
    def work(number: int) -> object:
        return (lambda: number) if number == 9 else number

    with pytest.raises(Exception, match="pickle"):
        list(ordered_map(work, range(100)))


@pytest.mark.parametrize("end", [lambda: os._exit(0), lambda: os.kill(os.getpid(), signal.SIGKILL), sys.exit])
def test_a_worker_that_dies_is_an_error(end: object) -> None:
    def work(number: int) -> int:
        if number == 9:
            end()  # type: ignore[operator]
        return number

    done = []
    with pytest.raises(MmioToolsError, match=r"^a worker process died$"):
        for result in ordered_map(work, range(100)):
            done.append(result)
    assert done == list(range(9))


def test_no_worker_outlives_what_it_was_started_for() -> None:
    pids = set()
    results = ordered_map(lambda number: os.getpid(), range(1000))
    for _ in range(20):
        pids.add(next(results))
    results.close()  # type: ignore[attr-defined]
    assert len(pids) == 3 and os.getpid() in pids
    for pid in pids - {os.getpid()}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_end_with_their_parent_and_leave_its_buffers_alone(top: Path) -> None:
    program = (
        "import os, sys\n"
        "from mmiotools.formats.parallel import ordered_map\n"
        "sys.stdout.write('once\\n')\n"
        "for number, pid in enumerate(ordered_map(lambda number: os.getpid(), range(1000))):\n"
        "    print(pid)\n"
        "    if number == 20:\n"
        "        sys.stdout.flush()\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=top)
    assert done.returncode == -signal.SIGKILL
    first, *pids = done.stdout.split()
    assert first == "once" and len(pids) == 21
    deadline = time.monotonic() + 60
    for pid in set(pids):
        while Path(f"/proc/{pid}").exists() and state(pid) != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def state(pid: str) -> str:
    """The letter of a process, Z where it has ended; that too where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_small_inputs_start_no_process() -> None:
    assert set(ordered_map(lambda number: os.getpid(), range(parallel.ALONE))) == {os.getpid()}


def test_all_workers_end_though_one_cannot_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = set()
    results = ordered_map(lambda number: os.getpid(), range(1000))
    for _ in range(20):
        pids.add(next(results))
    wait, waited = os.waitpid, []

    def interrupted(pid: int, options: int) -> object:
        waited.append(wait(pid, options))
        if len(waited) == 1:
            raise KeyboardInterrupt
        return waited[-1]

    monkeypatch.setattr(os, "waitpid", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.close()  # type: ignore[attr-defined]
    assert {pid for pid, _ in waited} == pids - {os.getpid()} and len(waited) == 2


def test_a_pipe_is_closed_once_whenever_ctrl_c_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    def and_interrupted(descriptor: int, close: Callable[[int], None] = os.close) -> None:
        close(descriptor)
        raise KeyboardInterrupt

    worker = parallel._Worker(str, [])
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", and_interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker.no_more()
    worker.end()
