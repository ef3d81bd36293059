"""Fixtures that every area of the tests may use: the checkout, its samples, and the command line as a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mmiotools.errors import UsageError
from mmiotools.formats import native_shared
from mmiotools.serve.qemu import Qemu, find_qemu

# No test asserts a time: neither an example's nor that of making one. The examples are the same in every run, so that a
# change is judged by what it changes; `pytest --hypothesis-profile search` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("mmiotools", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("mmiotools")

#: Processes that share the suite, at most.
PROCESSES = 8

TOP = Path(__file__).resolve().parent.parent

Cli = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Where pytest-xdist is, the whole suite runs in a process for each processor. Tests that are named run in this
    one, as all do with --pdb, -s or -n 0.
    """
    option = config.option
    processes = min(len(os.sched_getaffinity(0)), PROCESSES)
    here = config.args_source is config.ArgsSource.ARGS or option.usepdb or option.capture == "no"
    if getattr(option, "numprocesses", 0) is None and processes > 1 and not here and not hasattr(config, "workerinput"):
        option.numprocesses, option.dist, option.loadscopereorder = processes, "loadfile", False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no process has to do it alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def top() -> Path:
    """The checkout."""
    return TOP


@pytest.fixture(scope="session")
def samples(top: Path) -> Path:
    """The folder of samples."""
    return top / "samples"


@pytest.fixture(scope="session")
def cli(top: Path) -> Cli:
    """Runs `mmiotools ARGUMENTS...` as a process of its own, at the top of the checkout: bytes in, bytes out."""

    def run(*arguments: str, input: bytes = b"", cwd: Path = top) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, "-m", "mmiotools", *arguments]
        environment = os.environ | {"PYTHONPATH": str(top)}
        return subprocess.run(words, input=input, cwd=cwd, capture_output=True, env=environment, timeout=120)

    return run


@pytest.fixture(scope="module", params=["long", "any"])
def shared_rows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Native blocks have their distinct rows where that is worth it; and wherever it can be, however short."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "any":
            patch.setattr(native_shared, "_LEAST", 1)
            patch.setattr(native_shared, "_OFTEN", 1)
        yield


@pytest.fixture(scope="session")
def qemu() -> Qemu:
    """The QEMU of this machine; the test is skipped where there is none."""
    try:
        return find_qemu()
    except UsageError as error:
        pytest.skip(f"needs QEMU: {error}")
