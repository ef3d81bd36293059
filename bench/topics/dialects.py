"""Reading what other tools write: a million accesses at most, in each of their spellings."""

from __future__ import annotations

import json
import subprocess
import sys

from make_dialects import DIALECTS
from measure import Command, run
from workbench import ROOT, Workbench, head, installed

MOST = 1_000_000
MAWK = "`mawk '{print $5}'`"


def measure(bench: Workbench) -> None:
    """One table."""
    count = min(bench.events, MOST)
    maker = str(ROOT / "bench" / "make_dialects.py")
    subprocess.run([sys.executable, maker, str(bench.text), str(bench.folder), str(count)], check=True)
    head()
    for name in DIALECTS:
        log = bench.folder / f"dialect.{name}"
        for command in bench.ours("info", "--json", log, output="info.json"):
            run(command)
            assert command.output is not None
            told = json.loads(command.output.read_text())
            found = sum(told["kinds"].get(kind, 0) for kind in ("READ", "WRITE"))
            if (told["format"], found) != (name, count):
                raise SystemExit(f"{log}: {found} accesses of {told['format']}, and not {count} of {name}")
        peers = installed([Command(MAWK, ["mawk", "{print $5}", str(log)], needs=("mawk",), piped=True)])
        info = bench.ours("info", log, output="info")
        made = bench.ours("convert", "-q", "-t", "native", log, output="made.mmio")
        bench.compare({f"`info` of {name}": (info, {}), f"{name} to .mmio": (made, {})}, peers)
        log.unlink()
