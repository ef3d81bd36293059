"""Reading .mmio: counts of each register, and all of it as text again."""

from __future__ import annotations

import json
from pathlib import Path

from measure import Command, run
from workbench import Workbench, head, same_bytes

COUNTING = "{c[$5]++} END{for(a in c) print a, c[a]}"
MAWK = f"`mawk '{COUNTING}'` on the text"
COUNTS = {"compiled": 15.0, "numpy": 8.0}


def measure(bench: Workbench) -> None:
    """One table."""
    head()
    counted = bench.folder / "counted"
    mawk = Command(MAWK, ["mawk", COUNTING, str(bench.text)], counted, needs=("mawk",))
    info = bench.ours("info", bench.native, output="info")
    bench.compare({"counts of each register: `info` of .mmio": (info, {MAWK: COUNTS})}, [mawk])
    if mawk.missing() is None:
        for command in bench.ours("info", "--json", bench.native, output="info.json"):
            run(command)
            assert command.output is not None
            same_counts(command.output, counted)
    packed = bench.folder / "long.zst"
    unpack = Command("`zstd -dc`", ["zstd", "-q", "-d", "-c", str(packed)], needs=("zstd",), piped=True)
    if unpack.missing() is None:
        run(Command("", ["zstd", "-q", "-3", "-c", str(bench.text)], packed))
    back = bench.ours("convert", "-t", "mmiotrace", bench.native, output="back", piped=True)
    bench.compare({".mmio to text": (back, {})}, [unpack])
    for command in back:
        run(command.kept())
        assert command.output is not None
        same_bytes(bench.text, command.output)
        command.output.unlink()


def same_counts(info: Path, counted: Path) -> None:
    """Nothing, or the end, when the most used registers have other counts than those that mawk has."""
    theirs = dict(line.split() for line in counted.read_text().splitlines() if len(line.split()) == 2)
    hottest = json.loads(info.read_text())["registers"]["hottest"]
    for register in hottest:
        found = register["reads"] + register["writes"] + register["unknown"]
        if found != int(theirs[register["address"]]):
            raise SystemExit(f"{info}: {found} accesses to {register['address']}, of which mawk has other counts")
    if not hottest:
        raise SystemExit(f"{info}: has no registers")
