"""`diff` of two logs with other times: with few edits, with blocks moved as well, with poll loops of other lengths; and
of two long ones.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from measure import Command, run
from workbench import ROOT, Workbench, head, lines_with

#: Accesses on either side.
EVENTS = 1_000_000
EDITS = 0.001
EDITED = ("--weather", "1", "--edits", str(EDITS))
#: Blocks that are moved, and poll loops; how many times as long as usual the blocks are.
BLOCKS, LOOPS = 20, 200
LONGER = (1, 2)
OURS = (b"-R ", b"-W ", b"+R ", b"+W ")
GNU = (b"< R ", b"< W ", b"> R ", b"> W ")


def measure(bench: Workbench) -> None:
    """One table, and what is said to differ."""
    head(inverse=True)
    events = min(bench.events, EVENTS)
    a = bench.trace("diff-a", events)
    edited = bench.trace("diff-b", events, *EDITED)
    moved = {times: blocks_moved(bench, edited, times) for times in LONGER}
    loops = ("--polls", str(LOOPS))
    polls = [bench.trace("diff-polls-a", events, *loops), bench.trace("diff-polls-b", events, *EDITED, *loops)]
    native = {log: ready(bench, log) for log in (a, edited, *moved.values(), *polls)}
    size = f"{events:,} against {events:,}, {EDITS:.1%} edits"
    notes = []
    typed(bench, f"text, {size}", a, edited)
    pair(bench, f"text, {size}", (a, edited), (a, edited), 0.6)
    notes.append(pair(bench, f".mmio, {size}", (a, edited), (native[a], native[edited]), 0.6))
    for times, log in moved.items():
        what = f"the same, and {BLOCKS} blocks moved" + (f", {times} times as long" if times > 1 else "")
        notes.append(pair(bench, what, (a, log), (native[a], native[log]), 0.05))
    what = f"the same, and {LOOPS} poll loops of other lengths"
    notes.append(pair(bench, what, (polls[0], polls[1]), (native[polls[0]], native[polls[1]]), 0.15))
    if bench.events > events:
        logs = bench.trace("diff-a", bench.events), bench.trace("diff-b", bench.events, *EDITED)
        what = f".mmio, {bench.events:,} against {bench.events:,}, {EDITS:.1%} edits"
        notes.append(pair(bench, what, logs, (ready(bench, logs[0]), ready(bench, logs[1])), 0.6, others=False))
    print("\n" + "\n".join(notes), flush=True)


def blocks_moved(bench: Workbench, log: Path, times: int) -> Path:
    """The log with blocks elsewhere, so many times as long as usual."""
    moved = bench.folder / f"diff-moved-{times}-{log.stem}.mmiotrace"
    mover = str(ROOT / "bench" / "move_blocks.py")
    subprocess.run([sys.executable, mover, "--times", str(times), str(log), str(moved), str(BLOCKS)], check=True)
    return moved


def ready(bench: Workbench, log: Path) -> Path:
    """The log as .mmio; beside it, as canonical text."""
    run(Command("", ["cut", "-d", " ", "-f", "1,2,5,6", str(log)], cut(log)))
    return bench.converted(log)


def cut(log: Path) -> Path:
    """The log as canonical text, from which times are gone."""
    return log.with_suffix(".cut")


def typed(bench: Workbench, what: str, a: Path, b: Path) -> None:
    """Against what one types to the same end: cut the times away, and compare what is left."""
    cuts = [bench.folder / name for name in ("cut-a", "cut-b")]
    line = "".join(f"cut -d ' ' -f 1,2,5,6 '{log}' >'{to}'; " for log, to in zip((a, b), cuts, strict=True))
    line += f"diff '{cuts[0]}' '{cuts[1]}'"
    peer = Command("`cut`, `cut`, GNU `diff`", line, bench.folder / "peer.diff", (1,), ("cut", "diff"))
    bench.compare({f"`diff` of {what}": (ours(bench, a, b), {})}, [peer], inverse=True)


def ours(bench: Workbench, a: Path, b: Path) -> list[Command]:
    """Our command."""
    return bench.ours("diff", "-U", "0", a, b, output="ours.diff", good=(1,))


def pair(
    bench: Workbench,
    what: str,
    logs: tuple[Path, Path],
    sources: tuple[Path, Path],
    bound: float,
    *,
    others: bool = True,
) -> str:
    """The rows against GNU diff of ready-cut text; a list item about how much each program says that differs.

    bound   of the peer's time, what the compiled engine is meant to take at most
    others  git is asked, too, which takes long
    """
    a, b = (str(cut(log)) for log in logs)
    out = bench.folder / "peer.diff"
    peer = Command("GNU `diff` of canonical text", ["diff", a, b], out, (1,), ("diff",))
    commands = ours(bench, *sources)
    bench.compare({f"`diff` of {what}": (commands, {peer.name: {"compiled": bound}})}, [peer], inverse=True)
    assert commands[0].output is not None
    said = f"- {what}: mmiotools shows {lines_with(commands[0].output, OURS):,} accesses as differing"
    if peer.missing() is None:
        said += f", GNU diff prints {lines_with(out, GNU):,} lines"
    for way in ("patience", "histogram") if others and shutil.which("git") else ():
        listed = bench.folder / "git.diff"
        git = ["git", "diff", "--no-index", "--no-color", "-U0", f"--{way}", a, b]
        cost = run(Command("", git, listed, (1,)))
        said += f", `git diff --{way}` {lines_with(listed, OURS):,} in {cost.rss / 1e6:.0f} MB"
    return f"{said}."
