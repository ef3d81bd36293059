"""The driver of 2007 in C leaves the same trace as the one in Python, under every policy of the engine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from emu_helpers import FLAGS, GCC, needs_emu, needs_gcc, run_probe

from mmiotools.devices import make_device
from mmiotools.drivers import find_driver
from mmiotools.emu import load_driver
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.engine.setup import Setup
from mmiotools.engine.truth import compare
from mmiotools.errors import UsageError
from mmiotools.events import Event

pytestmark = needs_emu


@pytest.fixture(params=["shipped", "compiled"])
def nv_test(request: pytest.FixtureRequest, samples: Path, tmp_path: Path) -> str:
    """The object: the one that is in the samples, and what the compiler makes of the source."""
    if request.param == "shipped":
        return str(samples / "drivers" / "nv-test.o")
    if GCC is None:
        pytest.skip("no gcc")
    import subprocess

    for name in ("nv-test.c", "mmiotools.h"):
        shutil.copy(samples / "drivers" / name, tmp_path)
    subprocess.run([GCC, "-c", *FLAGS, "nv-test.c", "-o", "nv-test.o"], cwd=tmp_path, check=True)
    return str(tmp_path / "nv-test.o")


def record(probe: Any, **options: Any) -> tuple[Outcome, list[Event]]:
    """A run on the card of 2007."""
    events: list[Event] = []
    return run_driver(probe, make_device("nv-card"), emit=events.append, **options), events


@pytest.mark.parametrize("engine", ["emulate", "step", "stop-the-world"])
def test_the_same_trace_as_the_driver_in_python(nv_test: str, engine: str) -> None:
    setup = Setup(engine=engine)
    driver = load_driver(nv_test)
    outcome, events = record(driver.versions["1"], setup=setup, seed=7)
    python, expected = record(find_driver("nv-test")[0].versions["1"], setup=setup, seed=7)
    assert events == expected
    assert len(events) == 5
    assert (outcome.returned, outcome.error, outcome.log) == (0, None, python.log)
    assert outcome.seen == python.seen
    assert compare(events, outcome.seen, make_device("nv-card").pci).clean
    # A load into another register than ax is carried out under every policy: a tracer that steps could not tell it.
    assert outcome.steps == (0 if engine == "emulate" else 1)


@pytest.mark.parametrize("compat", ["seed", "mainline"])
def test_on_the_kernels_with_their_defects(nv_test: str, compat: str) -> None:
    outcome, events = record(load_driver(nv_test).versions["1"], setup=Setup(compat=compat))
    python, expected = record(find_driver("nv-test")[0].versions["1"], setup=Setup(compat=compat))
    assert outcome.seen == python.seen
    assert [(e.kind, e.addr) for e in events] == [(e.kind, e.addr) for e in expected]


def test_untraced(nv_test: str) -> None:
    outcome, events = record(load_driver(nv_test).versions["1"], trace=False)
    assert (outcome.returned, len(outcome.seen), outcome.faults, events) == (0, 2, 0, [])


@pytest.mark.parametrize("call", ["pci_enable_device", "pci_request_regions"])
def test_its_error_paths(nv_test: str, call: str) -> None:
    outcome, events = record(load_driver(nv_test).versions["1"], fail={call: -16})
    python, expected = record(find_driver("nv-test")[0].versions["1"], fail={call: -16})
    assert (outcome.returned, outcome.log, events) == (-16, python.log, expected)
    assert not outcome.seen


def test_a_failed_ioremap_is_its_own_fault(nv_test: str) -> None:
    outcome, _ = run_probe(load_driver(nv_test).versions["1"], fail={"ioremap": -12})
    assert "read at 0x101000, which is not mapped" in str(outcome.error)
    assert "mmio_driver_probe+" in str(outcome.error)
    assert ".h:" in str(outcome.error) or ".c:" in str(outcome.error)


def test_what_the_object_says_of_itself(nv_test: str) -> None:
    driver = load_driver(nv_test)
    assert (driver.name, driver.device, list(driver.versions)) == ("nv-test.o", "nv-card", ["1"])
    assert "2007" in driver.title


def test_the_shipped_object_is_small_and_names_no_folder(samples: Path) -> None:
    held = (samples / "drivers" / "nv-test.o").read_bytes()
    assert len(held) < 8192
    assert not re.search(rb"/[a-z]{2,}/", held)


def test_without_the_extra(nv_test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmiotools.emu.find_spec", lambda name: None if name == "unicorn" else object())
    with pytest.raises(UsageError, match=r"machine code needs the \[emu\] extra: pip install 'mmiotools\[emu\]'"):
        load_driver(nv_test)


@needs_gcc
def test_nothing_heavy_is_imported_before_a_driver_is_loaded() -> None:
    import subprocess
    import sys

    code = "import sys, mmiotools.emu; sys.exit(any(n in sys.modules for n in ('unicorn', 'iced_x86', 'elftools')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
