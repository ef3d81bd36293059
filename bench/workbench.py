"""What all topics share: the data, the commands of ours in each engine, rows, and checks that an answer is right."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import Command, Costs, interleaved, run, table, times_as_fast

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "mmiotrace"
RECORDING = SAMPLES / "e1000-linux6.1.mmiotrace.xz"
ACCESSES = (b"R ", b"W ")

#: By engine: the ratio that is meant to be reached, and what a case has of these by name of peer.
Goals = Mapping[str, float]
Case = tuple[Sequence[Command], Mapping[str, Goals]]


def tool() -> list[str]:
    """The command that this Python has installed, which starts as users start it; without one, the checkout's."""
    script = Path(sys.executable).with_name("mmiotools")
    if script.exists():
        return [str(script)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return [sys.executable, "-m", "mmiotools"]


def ask(code: str) -> str:
    """What a line of Python prints, where what the command imports is found, and not in the current folder.

    Asked elsewhere, as only a small process can measure small ones.
    """
    return subprocess.check_output([sys.executable, "-P", "-c", code], text=True).strip()


def engines() -> list[str]:
    """Those that are there."""
    code = "from mmiotools.speed import compiled; print(compiled() is not None)"
    return ["compiled", "numpy"] if ask(code) == "True" else ["numpy"]


class Workbench:
    """A folder with the long log, as text and as .mmio."""

    def __init__(self, folder: Path, events: int, rounds: int) -> None:
        self.folder, self.events, self.rounds = folder, events, rounds
        self.tool, self.engines = tool(), engines()
        self.text = self.long_log(events)
        self.native = self.converted(self.text)

    def long_log(self, events: int) -> Path:
        """The log that all is measured on, or a shorter one of its kind."""
        return self.trace("long", events, "--ranges")

    def trace(self, name: str, events: int, *more: str) -> Path:
        """A log of so many accesses, made unless it is there."""
        path = self.folder / f"{name}-{events}.mmiotrace"
        if not path.exists():
            making = path.with_suffix(".part")
            maker = str(ROOT / "bench" / "make_trace.py")
            subprocess.run([sys.executable, maker, str(RECORDING), str(making), str(events), *more], check=True)
            making.rename(path)
        return path

    def converted(self, log: Path) -> Path:
        """The log as .mmio, made anew: how it is made may have changed."""
        path = log.with_suffix(".mmio")
        run(Command("", [*self.tool, "convert", str(log), "-o", str(path)]))
        return path

    def ours(self, *words: str | Path, output: str, good: tuple[int, ...] = (0,), piped: bool = False) -> list[Command]:
        """A command in each engine, its standard output in a file `output`-ENGINE."""
        line = [*self.tool, *map(str, words)]
        return [
            Command("", line, self.folder / f"{output}-{engine}", good, engine=engine, piped=piped)
            for engine in self.engines
        ]

    def compare(
        self, cases: Mapping[str, Case], peers: Sequence[Command], rounds: int = 0, inverse: bool = False
    ) -> None:
        """Run all of it in turn, and print a row for each case of ours, engine and peer.

        cases    by what is done: our command in each engine, and what is meant to be
        rounds   others than the bench's
        inverse  as for `head`
        """
        here = installed(peers)
        *measured, theirs = in_groups([*(ours for ours, _ in cases.values()), here], rounds or self.rounds)
        for (what, (ours, goals)), own in zip(cases.items(), measured, strict=True):
            rows(what, (ours, own), (here, theirs), goals, inverse)
        absent(peers)


def installed(peers: Sequence[Command]) -> list[Command]:
    """Those that can be run."""
    return [peer for peer in peers if peer.missing() is None]


def absent(peers: Sequence[Command]) -> None:
    """A row for each peer that cannot be run."""
    for peer in peers:
        if peer.missing() is not None:
            print(f"| | | {peer.name} | not run: `{peer.missing()}` is not installed | | | | |", flush=True)


def in_groups(groups: Sequence[Sequence[Command]], rounds: int) -> list[list[Costs]]:
    """What the commands of each group cost, all of them in turn."""
    found = iter(interleaved([command for group in groups for command in group], rounds))
    return [[next(found) for _ in group] for group in groups]


def head(inverse: bool = False) -> None:
    """The head of a table of rows; `inverse` ones say what we take of the peer's time."""
    ratio = "of the peer's time" if inverse else "times as fast"
    table("case", "engine", "peer", ratio, "meant to be", "wall s", "CPU s", "RSS MB")


def rows(
    what: str,
    ours: tuple[Sequence[Command], Sequence[Costs]],
    peers: tuple[Sequence[Command], Sequence[Costs]],
    goals: Mapping[str, Goals],
    inverse: bool = False,
) -> None:
    """The rows of one case: commands and what they cost, ours in each engine against each peer."""
    for peer, theirs in zip(*peers, strict=True):
        for command, own in zip(*ours, strict=True):
            goal = goals.get(peer.name, {}).get(command.engine)
            row((what, command.engine, peer.name), own, theirs, goal, inverse)


def row(
    names: tuple[str, str, str], ours: Costs, theirs: Costs, goal: float | None = None, inverse: bool = False
) -> None:
    """One line of the table, with case, engine and peer in front: pairs are ours / the peer's."""
    middle, least, most = times_as_fast(theirs, ours) if inverse else times_as_fast(ours, theirs)
    cells = (
        *names,
        f"**{middle:.3g}** ({least:.3g} to {most:.3g})",
        "" if goal is None else f"at {'most' if inverse else 'least'} {goal:g}",
        f"{ours.wall:.3f} / {theirs.wall:.3f}",
        f"{ours.cpu:.3f} / {theirs.cpu:.3f}",
        f"{ours.rss / 1e6:.0f} / {theirs.rss / 1e6:.0f}",
    )
    print(f"| {' | '.join(cells)} |", flush=True)


def lines_with(path: Path, beginnings: tuple[bytes, ...] = ACCESSES) -> int:
    """Lines that begin in one of these ways."""
    with open(path, "rb") as file:
        return sum(line.startswith(beginnings) for line in file)


def same_bytes(a: Path, b: Path) -> None:
    """Nothing, or the end: a fast wrong answer is none."""
    if not filecmp.cmp(a, b, shallow=False):
        raise SystemExit(f"{a} and {b} differ: the answer is wrong, so its speed means nothing")


def same_accesses(ours: Path, theirs: Path) -> None:
    """Nothing, or the end, when two texts have other R and W lines, or none."""
    with open(ours, "rb") as a, open(theirs, "rb") as b:
        kept = (line for line in a if line.startswith(ACCESSES))
        found = 0
        for line in b:
            found += 1
            if next(kept, None) != line:
                raise SystemExit(f"{ours} does not have line {found} of {theirs}: {line!r}")
        if not found or next(kept, None) is not None:
            raise SystemExit(f"{ours} has more lines than {theirs}, or that has none")
