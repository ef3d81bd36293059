"""Reading text: what it takes to look at a log, and to make .mmio of it; LF against CRLF."""

from __future__ import annotations

import sys
from pathlib import Path

from measure import Command, run
from workbench import ROOT, Workbench, absent, head, in_groups, installed, row, rows, same_bytes

MAWK = "`mawk '{print $5}'`"
INFO, CONVERT = {"compiled": 5.0, "numpy": 1.1}, {"compiled": 1.8, "numpy": 0.6}


def measure(bench: Workbench) -> None:
    """One table."""
    head()
    text = str(bench.text)
    plain = str(ROOT / "bench" / "plain_parser.py")
    crlf = bench.folder / f"crlf-{bench.events}.mmiotrace"
    run(Command("", ["sed", "s/$/\\r/", text], crlf))
    count = ["env", "LC_ALL=C", "grep", "-c", "^[RW] ", text]
    peers = (
        Command("`wc -l`", ["wc", "-l", text], needs=("wc",), piped=True),
        Command("`LC_ALL=C grep -c '^[RW] '`", count, needs=("grep",), piped=True),
        Command(MAWK, ["mawk", "{print $5}", text], needs=("mawk",), piped=True),
        Command("plain Python", [sys.executable, plain, text], once=True, piped=True),
        Command("`demmio`", f"demmio <'{text}'", needs=("demmio",), once=True, piped=True),
    )
    here = installed(peers)
    looked, made = looking(bench, bench.text, "lf"), making(bench, bench.text, "lf")
    looked_crlf, made_crlf = looking(bench, crlf, "crlf"), making(bench, crlf, "crlf")
    look, make, look_crlf, make_crlf, theirs = in_groups((looked, made, looked_crlf, made_crlf, here), bench.rounds)
    rows("`info` of text", (looked, look), (here, theirs), {MAWK: INFO})
    rows("text to .mmio", (made, make), (here, theirs), {MAWK: CONVERT})
    absent(peers)
    for what, costs, costs_crlf in (("`info` of text", look, look_crlf), ("text to .mmio", make, make_crlf)):
        for engine, lf, other in zip(bench.engines, costs, costs_crlf, strict=True):
            row((f"{what} with CRLF", engine, "the same with LF"), other, lf)
    for told, told_crlf in zip(looked, looked_crlf, strict=True):
        if facts(told) != facts(told_crlf):
            raise SystemExit(f"{told.output} and {told_crlf.output} do not say the same")
    for log, commands in ((bench.text, made), (crlf, made_crlf)):
        for command in commands:
            back = bench.folder / "back"
            run(Command("", [*bench.tool, "convert", "-t", "mmiotrace", str(command.output)], back))
            same_bytes(log, back)
    crlf.unlink()


def looking(bench: Workbench, log: Path, name: str) -> list[Command]:
    """`info`."""
    return bench.ours("info", log, output=f"info-{name}")


def making(bench: Workbench, log: Path, name: str) -> list[Command]:
    """`convert`."""
    return bench.ours("convert", "-t", "native", log, output=f"made-{name}.mmio")


def facts(info: Command) -> list[str]:
    """What `info` said, but for the name of the file."""
    assert info.output is not None
    return [line for line in info.output.read_text().splitlines() if not line.startswith("file ")]
