"""Inputs chosen by what they reach in the code: libFuzzer by way of atheris, where that is installed."""

from __future__ import annotations

import importlib.util
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

HAVE = importlib.util.find_spec("atheris") is not None


def instrument() -> None:
    """Count what is reached in the package: to be called before it is imported."""
    import atheris

    with atheris.instrument_imports(include=["mmiotools"]):
        import targets  # noqa: F401


def campaign(name: str, number: int, folder: Path, seconds: float) -> Any:
    """As `running.campaign`, in a process of its own that libFuzzer ends."""
    folder.mkdir(parents=True, exist_ok=True)
    tally = folder / f".{name}-{os.getpid()}"
    child = os.fork()
    if child == 0:
        _fuzz(name, number, folder, seconds, tally)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    from running import Tally

    inputs, events, findings, cpu = 0, 0, 0, 0.0
    if tally.exists():
        words = tally.read_text().split()
        inputs, events, findings, cpu = int(words[0]), int(words[1]), int(words[2]), float(words[3])
        tally.unlink()
    place = folder / name
    if status:
        findings += 1
    kinds = tuple(sorted(path.name for path in place.iterdir())) if place.exists() else ()
    return Tally(
        f"{name} guided", inputs, events, findings, cpu, (*kinds, *([f"status {status:#x}"] if status else []))
    )


def _fuzz(name: str, number: int, folder: Path, seconds: float, tally: Path) -> None:
    import atheris
    import limits
    import mutation
    import running
    from targets import Input, targets

    target = targets()[name]
    target.prepare(number)
    os.environ["MMIOTOOLS_WORKERS"] = "0"
    counts = [0, 0, 0]
    start = time.process_time()

    def one(data: bytes) -> None:
        used = time.process_time() - start
        if counts[0] % 50 == 0 or used > seconds:
            tally.write_text(f"{counts[0]} {counts[1]} {counts[2]} {used}")
        if used > seconds:
            os._exit(0)
        if not data:
            return
        counts[0] += 1
        given = Input(data)
        events, finding = limits.run(target.check, given)
        counts[1] += events
        if finding is not None:
            counts[2] += 1
            place = folder / name / finding.sign.replace("/", "_")[:120]
            if not place.exists():
                running.save(folder / name, target, given, finding, number, counts[0])

    def mutate(data: bytes, most: int, chosen: int) -> bytes:
        rng = Random(chosen)
        if not data or rng.random() < 0.25:
            return bytes(atheris.Mutate(data, most))[:most]
        for _ in range(rng.choice([1, 1, 2, 3])):
            data = rng.choice(target.mutations)(rng, data, target.seeds)[:most] or b"\n"
        return data

    with tempfile.TemporaryDirectory() as corpus:
        for index, data in enumerate(target.seeds):
            (Path(corpus) / str(index)).write_bytes(data)
        options = [
            f"-seed={number}",
            f"-max_len={mutation.USUAL}",
            "-rss_limit_mb=4096",
            "-timeout=300",
            "-verbosity=0",
        ]
        options += ["-print_final_stats=0", f"-artifact_prefix={folder / name}-", corpus]
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
        atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutate)
        atheris.Fuzz()
