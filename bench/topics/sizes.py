"""Bytes an access: of the long log, and of the recording that it was made from."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

from measure import Command, run, table
from workbench import RECORDING, Workbench, lines_with

PACKERS = (("gzip", "-6"), ("zstd", "-3"), ("zstd", "-19"), ("xz", "-6"))
#: xz and zstd -19 take half a minute a million accesses: above so many they are left out.
SLOW, SLOW_LIMIT = (PACKERS[2], PACKERS[3]), 2_000_000


def measure(bench: Workbench) -> None:
    """One table."""
    recording = bench.folder / "recording.mmiotrace"
    with lzma.open(RECORDING) as packed, open(recording, "wb") as out:
        shutil.copyfileobj(packed, out)
    logs = [(log, lines_with(log)) for log in (recording, bench.text)]
    table("bytes an access", *(f"{what} ({n:,})" for what, (_, n) in zip(("recording", "long log"), logs, strict=True)))
    write("text", [f"{log.stat().st_size / n:.2f}" for log, n in logs])
    write(".mmio", [f"{bench.converted(log).stat().st_size / n:.2f}" for log, n in logs])
    for packer in PACKERS:
        write(f"`{' '.join(packer)}` of the text", [packed_size(bench, packer, log, n) for log, n in logs])


def write(what: str, cells: list[str]) -> None:
    """A line of the table."""
    print(f"| {what} | {' | '.join(cells)} |", flush=True)


def packed_size(bench: Workbench, packer: tuple[str, ...], log: Path, events: int) -> str:
    """Bytes an access, or why not."""
    if shutil.which(packer[0]) is None:
        return "not installed"
    if packer in SLOW and events > SLOW_LIMIT:
        return f"not run above {SLOW_LIMIT:,}"
    target = bench.folder / "packed"
    run(Command("", [*packer, "-q", "-c", str(log)], target))
    return f"{target.stat().st_size / events:.2f}"
