"""Reading text: what it takes to look at a log, and to make .mmio of it; LF against CRLF."""

from __future__ import annotations

import sys
from pathlib import Path

from measure import Command, run
from workbench import ROOT, Workbench, head, same_bytes

MAWK = "`mawk '{print $5}'`"
INFO, CONVERT = {"compiled": 5.0, "numpy": 1.1}, {"compiled": 1.8, "numpy": 0.6}


def measure(bench: Workbench) -> None:
    """One table."""
    head()
    text = str(bench.text)
    info = bench.ours("info", text, output="info")
    convert = bench.ours("convert", "-t", "native", text, output="made.mmio")
    plain = str(ROOT / "bench" / "plain_parser.py")
    peers = (
        Command("`wc -l`", ["wc", "-l", text], needs=("wc",)),
        Command("`LC_ALL=C grep -c '^[RW] '`", ["env", "LC_ALL=C", "grep", "-c", "^[RW] ", text], needs=("grep",)),
        Command(MAWK, ["mawk", "{print $5}", text], bench.folder / "fifth", needs=("mawk",)),
        Command("plain Python", [sys.executable, plain, text], once=True),
        Command("`demmio`", f"demmio <'{text}'", bench.folder / "demmio", needs=("demmio",), once=True),
    )
    cases = {"`info` of text": (info, {MAWK: INFO}), "text to .mmio": (convert, {MAWK: CONVERT})}
    bench.compare(cases, peers)
    for command in convert:
        back = bench.folder / "back"
        run(Command("", [*bench.tool, "convert", "-t", "mmiotrace", str(command.output)], back))
        same_bytes(bench.text, back)
        back.unlink()
    line_ends(bench)


def line_ends(bench: Workbench) -> None:
    """The log with CRLF against itself with LF, in each engine."""
    crlf = bench.folder / f"crlf-{bench.events}.mmiotrace"
    with open(bench.text, "rb") as source, open(crlf, "wb") as out:
        while lines := source.readlines(1 << 20):
            out.write(b"".join(lines).replace(b"\n", b"\r\n"))
    for words in (("info",), ("convert", "-t", "native")):
        pairs = zip(bench.ours(*words, crlf, output="crlf"), bench.ours(*words, bench.text, output="lf"), strict=True)
        for ours, lf in pairs:
            name = f"`{words[0]}` of text"
            peer = Command("the same with LF", lf.words, lf.output, engine=lf.engine)
            bench.compare({f"{name} with CRLF": ([ours], {})}, [peer])
            assert ours.output is not None and lf.output is not None
            if words == ("info",) and facts(ours.output) != facts(lf.output):
                raise SystemExit(f"{ours.output} does not say the same as {lf.output}")
    crlf.unlink()


def facts(path: Path) -> list[str]:
    """What `info` says, but for the name of the file."""
    return [line for line in path.read_text().splitlines() if not line.startswith("file ")]
