"""What it takes to start, against an empty program of the same Python."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from measure import Command, run
from workbench import SAMPLES, Case, Workbench, head

SMALL = SAMPLES / "nvme-linux6.1.mmiotrace"
PASS = "`python -c pass`"
#: The times are short, and so vary more.
MORE_ROUNDS = 5


def measure(bench: Workbench) -> None:
    """One table."""
    head(inverse=True)
    native = bench.folder / "small.mmio"
    run(Command("", [*bench.tool, "convert", str(SMALL), "-o", str(native)]))

    def filtered(source: Path, goal: float) -> Case:
        return bench.ours("filter", "write", source, output="small"), {PASS: dict.fromkeys(bench.engines, goal)}

    cases = {
        "`--version`": ([Command("", [*bench.tool, "--version"])], {PASS: {"": 2.5}}),
        "`filter` of a small text file": filtered(SMALL, 8.0),
        "`filter` of a small .mmio file": filtered(native, 11.0),
    }
    bench.compare(cases, [Command(PASS, [sys.executable, "-c", "pass"])], MORE_ROUNDS * bench.rounds, inverse=True)
    if any(Path(sysconfig.get_path("purelib")).glob("__editable__*mmiotools*")):
        print("\nmmiotools is installed for editing here: every start of Python is slower, the peer's too, so ours")
        print("looks better than after a plain installation.")
