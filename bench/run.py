"""Compares mmiotools with well-known programs on the same data: python bench/run.py [--events N] [--keep DIR].

Prints Markdown. Every number is of whole processes on this machine in this run; only the ratios travel.
"""

from __future__ import annotations

import argparse
import filecmp
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from busy_driver import ACCESSES
from measure import Command, Others, about, floor, interleaved, memory, run, table, times_as_fast

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "samples" / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz"
TOOL = [sys.executable, "-m", "mmiotools"]

#: Address ranges to filter by: words, range, and the same as a regular expression on the text.
RANGES = (
    ("a block of registers", "0xfebc5400-0xfebc54ff", "^[RW] [0-9]+ [0-9.]+ [0-9]+ 0xfebc54[0-9a-f]{2} "),
    ("a whole card", "0xfebc0000-0xfebdffff", "^[RW] [0-9]+ [0-9.]+ [0-9]+ 0xfeb[cd][0-9a-f]{4} "),
)
#: Accesses on either side of the diff.
DIFF_EVENTS = 1_000_000
EDITS = 0.001
EDITED = ("--weather", "1", "--edits", str(EDITS))
#: Blocks that are moved, and poll loops.
BLOCKS, LOOPS = 20, 200
#: Accesses above which xz, which takes half a minute a million, is left out; and the most for a memory run.
XZ_LIMIT, MEMORY_LIMIT = 2_000_000, 10_000_000


class Bench:
    """One run of all cases in a folder."""

    def __init__(self, folder: Path, events: int, rounds: int) -> None:
        self.folder, self.events, self.rounds = folder, events, rounds
        self.notes: list[str] = []
        self.text = self.trace("large", events)
        self.native = folder / "large.mmio"
        run(Command("", [*TOOL, "convert", str(self.text), "-o", str(self.native)]))

    def trace(self, name: str, events: int, *more: str) -> Path:
        """A log of so many accesses, made unless it is there."""
        path = self.folder / f"{name}-{events}.mmiotrace"
        if not path.exists():
            making = path.with_suffix(".part")
            maker = str(ROOT / "bench" / "make_trace.py")
            subprocess.run([sys.executable, maker, str(SAMPLE), str(making), str(events), *more], check=True)
            making.rename(path)
        return path

    def row(self, what: str, ours: Command, peer: Command) -> bool:
        """Measure and print one row of the table; False when the peer is not installed."""
        absent = peer.missing()
        if absent is not None:
            print(f"| {what} | not run: `{absent}` is not installed | | | | | |", flush=True)
            return False
        a, b = interleaved((ours, peer), self.rounds)
        middle, least, most = times_as_fast(a, b)
        times = f"**{middle:.3g}** ({least:.3g} to {most:.3g})"
        cells = (f"{a.wall:.3f} / {b.wall:.3f}", times, f"{a.cpu:.3f} / {b.cpu:.3f}", f"{b.cpu / a.cpu:.3g}")
        sizes = f"{a.rss / 1e6:.0f} / {b.rss / 1e6:.0f}"
        print(f"| {what} | {peer.name} | {' | '.join(cells)} | {sizes} |", flush=True)
        return True

    def speed(self) -> None:
        """Reading, converting, filtering, comparing, starting."""
        table("case", "peer", "wall s", "times as fast", "CPU s", "CPU, peer to ours", "RSS MB, largest process")
        text, native, folder = str(self.text), str(self.native), self.folder
        mawk = Command("`mawk '{print $5}'`", ["mawk", "{print $5}", text], needs=("mawk",))
        self.row("`info` of text", Command("", [*TOOL, "info", text]), mawk)
        made = folder / "made.mmio"
        self.row("`convert`, text to .mmio", Command("", [*TOOL, "convert", "-t", "native", text], made), mawk)
        back = folder / "back.mmiotrace"
        run(Command("", [*TOOL, "convert", "-t", "mmiotrace", str(made)], back))
        same_bytes(self.text, back)
        packed = folder / "large.mmiotrace.zst"
        if shutil.which("zstd"):
            run(Command("", ["zstd", "-q", "-3", "-c", text], packed))
        unpack = Command("`zstd -dc`", ["zstd", "-q", "-d", "-c", str(packed)], needs=("zstd",))
        self.row("`convert`, .mmio to text", Command("", [*TOOL, "convert", "-t", "mmiotrace", native]), unpack)
        self.filters(text, native)
        self.diff()
        started = Command("`python -c pass`", [sys.executable, "-c", "pass"])
        self.row("`--version`", Command("", [*TOOL, "--version"]), started)
        print("\n" + "\n".join(self.notes), flush=True)

    def filters(self, text: str, native: str) -> None:
        """By address, from text and from native. To a file: for /dev/null, grep would stop at the first match."""
        for words, wanted, pattern in RANGES:
            found = self.folder / "found-by-grep"
            search = ["env", "LC_ALL=C", "grep", "-E", pattern, text]
            grep = Command("`LC_ALL=C grep -E`", search, found, needs=("grep",))
            for kind, source in (("text", text), (".mmio", native)):
                kept = self.folder / "kept"
                ours = Command("", [*TOOL, "filter", "-t", "mmiotrace", f"addr in {wanted}", source], kept)
                if self.row(f"`filter` of {kind}: {words}", ours, grep):
                    same_accesses(kept, found)

    def diff(self) -> None:
        """Two logs with other times: with few edits, with blocks moved as well, with poll loops of other lengths."""
        events = min(self.events, DIFF_EVENTS)
        a = self.trace("diff-a", events)
        edited = self.trace("diff-b", events, *EDITED)
        moved = self.folder / f"diff-moved-{events}.mmiotrace"
        mover = str(ROOT / "bench" / "move_blocks.py")
        subprocess.run([sys.executable, mover, str(edited), str(moved), str(BLOCKS)], check=True)
        loops = ("--polls", str(LOOPS))
        polls_a, polls_b = (
            self.trace("diff-polls-a", events, *loops),
            self.trace("diff-polls-b", events, *EDITED, *loops),
        )
        size = f"{events:,} against {events:,}"
        self.pair(f"`diff` of text, {size}, {EDITS:.1%} edits", a, edited)
        for log in (a, edited, moved, polls_a, polls_b):
            run(Command("", [*TOOL, "convert", str(log), "-o", f"{log}.mmio"]))
        self.pair(f"`diff` of .mmio, {size}, {EDITS:.1%} edits", a, edited, ".mmio")
        self.pair(f"the same, and {BLOCKS} blocks moved", a, moved, ".mmio", ready=True)
        self.pair(f"the same, and {LOOPS} poll loops of other lengths", polls_a, polls_b, ".mmio", ready=True)

    def pair(self, what: str, a: Path, b: Path, suffix: str = "", ready: bool = False) -> None:
        """One row; and a note of how much either program says that differs, and what git says and takes.

        ready   GNU diff is given logs from which the times have been cut before
        """
        short = [f"{log}.cut" for log in (a, b)]
        cuts = [f"cut -d ' ' -f 1,2,5,6 '{log}' >'{cut}'; " for log, cut in zip((a, b), short, strict=True)]
        line = f"{'' if ready else ''.join(cuts)}diff '{short[0]}' '{short[1]}'"
        if ready:
            for log, cut in zip((a, b), short, strict=True):
                run(Command("", ["cut", "-d", " ", "-f", "1,2,5,6", str(log)], Path(cut)))
        out, said = self.folder / "peer.diff", self.folder / "ours.diff"
        name = "GNU `diff` of logs cut before" if ready else "`cut`, `cut`, GNU `diff`"
        peer = Command(name, line, out, (1,), ("cut", "diff"))
        ours = Command("", [*TOOL, "diff", "-U", "0", f"{a}{suffix}", f"{b}{suffix}"], said, (1,))
        if not self.row(what, ours, peer):
            return
        counts = (
            lines_with(said, (b"-R ", b"-W ", b"+R ", b"+W ")),
            lines_with(out, (b"< R ", b"< W ", b"> R ", b"> W ")),
        )
        note = "{}: accesses printed as differing: {:,}; lines that GNU diff prints: {:,}".format(what, *counts)
        for way in ("patience", "histogram") if suffix and shutil.which("git") else ():
            listed = self.folder / "git.diff"
            git = ["git", "diff", "--no-index", "--no-color", "-U0", f"--{way}", *short]
            cost = run(Command("", git, listed, (1,)))
            lines = lines_with(listed, (b"-R ", b"-W ", b"+R ", b"+W "))
            note += f"; `git diff --{way}`: {lines:,} in {cost.rss / 1e6:.0f} MB"
        self.notes.append(f"{note}.\n")

    def record(self) -> None:
        """What the fault engine costs the driver."""
        driver, made = str(ROOT / "bench" / "busy_driver.py"), str(self.folder / "busy.mmio")
        record = [*TOOL, "record", "-q", driver, "-o", made]
        both = Command("", record), Command("", [*record, "--engine", "off"])
        traced, untraced = interleaved(both, self.rounds)
        middle, least, most = times_as_fast(traced, untraced)
        table("`record` of a driver that only accesses registers", "accesses a second", "RSS MB")
        for name, costs in (("traced", traced), ("`--engine off`", untraced)):
            print(f"| {name} | {ACCESSES / costs.wall:,.0f} | {costs.rss / 1e6:.0f} |")
        print(f"| traced, times as fast as not | **{middle:.3g}** ({least:.3g} to {most:.3g}) | |", flush=True)

    def sizes(self) -> None:
        """Bytes an event, of the long log and of the recording it was made from."""
        real = self.folder / "real.mmiotrace"
        with lzma.open(SAMPLE) as packed, open(real, "wb") as out:
            shutil.copyfileobj(packed, out)
        real_native = self.folder / "real.mmio"
        run(Command("", [*TOOL, "convert", str(real), "-o", str(real_native)]))
        logs = ((real, real_native), (self.text, self.native))
        counts = [accesses_in(log) for log, _ in logs]
        table("bytes an access", f"the recording ({counts[0]:,})", f"the long log ({counts[1]:,})")
        for place, name in enumerate(("text", ".mmio")):
            sizes = (pair[place].stat().st_size / n for pair, n in zip(logs, counts, strict=True))
            print(f"| {name} | {' | '.join(f'{size:.2f}' for size in sizes)} |", flush=True)
        for program, level in (("gzip", "-6"), ("zstd", "-3"), ("xz", "-6")):
            cells = [self.packed([program, level], log, n) for (log, _), n in zip(logs, counts, strict=True)]
            print(f"| `{program} {level}` of the text | {' | '.join(cells)} |", flush=True)

    def packed(self, words: list[str], log: Path, events: int) -> str:
        """Bytes an event, or why not."""
        if shutil.which(words[0]) is None:
            return "not installed"
        if words[0] == "xz" and events > XZ_LIMIT:
            return f"not run above {XZ_LIMIT:,}"
        target = self.folder / "packed"
        run(Command("", [*words, "-c", str(log)], target))
        return f"{target.stat().st_size / events:.2f}"

    def memory(self) -> None:
        """Peaks at a length and at ten times that length."""
        longer = 10 * self.events if 10 * self.events <= MEMORY_LIMIT else self.events
        logs = [(events, self.trace("large", events)) for events in (longer // 10, longer)]
        heads = (f"{events:,}: largest process, all together" for events, _ in logs)
        table("peak memory, MB", *heads, "growth of the largest")
        target = str(self.folder / "memory.out")
        cases = (
            ("`convert`, text to .mmio", ["convert", "-t", "native"], ""),
            ("`convert`, .mmio to text", ["convert", "-t", "mmiotrace"], ".mmio"),
            ("`filter` of text", ["filter", "-t", "mmiotrace", f"addr in {RANGES[1][1]}"], ""),
            ("`filter` of .mmio", ["filter", "-t", "mmiotrace", f"addr in {RANGES[1][1]}"], ".mmio"),
        )
        for _, log in logs:
            run(Command("", [*TOOL, "convert", str(log), "-o", f"{log}.mmio"]))
        for name, words, suffix in cases:
            found = [memory(Command("", [*TOOL, *words, f"{log}{suffix}", "-o", target])) for _, log in logs]
            cells = " | ".join(f"{cost.rss / 1e6:.0f}, {together / 1e6:.0f}" for cost, together in found)
            print(f"| {name} | {cells} | {(found[1][0].rss - found[0][0].rss) / 1e6:+.1f} |", flush=True)


def lines_with(path: Path, beginnings: tuple[bytes, ...]) -> int:
    """Lines that begin in one of these ways."""
    with open(path, "rb") as file:
        return sum(line.startswith(beginnings) for line in file)


def accesses_in(path: Path) -> int:
    """R and W lines of a log."""
    return lines_with(path, (b"R ", b"W "))


def same_bytes(a: Path, b: Path) -> None:
    """Nothing, or the end: a fast wrong answer is none."""
    if not filecmp.cmp(a, b, shallow=False):
        raise SystemExit(f"{a} and {b} differ: the conversion is wrong, so its speed means nothing")


def same_accesses(ours: Path, greps: Path) -> None:
    """Nothing, or the end, when filter and grep did not find the same lines."""
    with open(ours, "rb") as a, open(greps, "rb") as b:
        kept = (line for line in a if line.startswith((b"R ", b"W ")))
        found = 0
        for line in b:
            found += 1
            if next(kept, None) != line:
                raise SystemExit(f"filter does not give line {found} of grep's: {line!r}")
        if not found or next(kept, None) is not None:
            raise SystemExit("filter gives more than grep, or grep nothing")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="accesses in the long log")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="put the data there and leave it, to be used again")
    given = parser.parse_args()
    if given.events < 20_000 or given.rounds < 1:
        parser.error("takes at least 20000 events and one round")
    # What is installed has its bytecode, so this checkout may keep its own.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="mmiotools-bench-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder, given.events, given.rounds)
        size = bench.text.stat().st_size / 1e6
        print(f"{given.events:,} accesses, {size:.0f} MB of text; {given.rounds} rounds; {about()}.\n", flush=True)
        for part in (bench.speed, bench.record, bench.sizes, bench.memory):
            others = Others()
            part()
            print(f"\nMeanwhile others kept {others.processors():.2f} processors busy.\n", flush=True)
        print(f"No process can be measured to be smaller than {floor() / 1e6:.0f} MB, what the benchmark itself takes.")


if __name__ == "__main__":
    main()
