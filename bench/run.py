"""Compares mmiotools with well-known programs on the same data: python bench/run.py [OPTIONS].

Prints Markdown. Every number is of whole processes on this machine in this run; only the ratios travel.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

from measure import Others, about
from topics import dialects, differences, filters, ingest, memory, native, recording, sizes, startup
from workbench import Workbench

#: By the word of --only: a heading, and what prints the tables.
TOPICS = {
    "ingest": ("Reading text", ingest.measure),
    "dialects": ("Reading what other tools write", dialects.measure),
    "native": ("Reading .mmio", native.measure),
    "filters": ("Filters", filters.measure),
    "diff": ("Diff", differences.measure),
    "startup": ("Start-up", startup.measure),
    "record": ("Recording", recording.measure),
    "sizes": ("Sizes", sizes.measure),
    "memory": ("Memory", memory.measure),
}
#: Between these lines of the file of --write lies what is replaced.
BEGIN, END = "<!-- printed by bench/run.py -->", "<!-- end of what bench/run.py printed -->"


class Both(io.TextIOBase):
    """Standard output, and a copy of what went there."""

    def __init__(self) -> None:
        self.copy, self._out = io.StringIO(), sys.stdout

    def write(self, text: str) -> int:
        self.copy.write(text)
        return self._out.write(text)

    def flush(self) -> None:
        self._out.flush()


def replaced(document: str, printed: str) -> str:
    """The document with something else between its two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"no lines '{BEGIN}' and '{END}' to write between")
    return f"{before}{BEGIN}\n\n{printed.strip()}\n\n{END}{after}"


def print_all(given: argparse.Namespace, folder: Path) -> None:
    """The topics that are wanted."""
    bench = Workbench(folder, given.events, given.rounds)
    size = bench.text.stat().st_size / 1e6
    print(f"{given.events:,} accesses, {size:.0f} MB of text; {given.rounds} rounds; {about()}.", flush=True)
    for topic in given.only or TOPICS:
        title, measure = TOPICS[topic]
        print(f"\n### {title}\n", flush=True)
        others = Others()
        measure(bench)
        print(f"\nMeanwhile others kept {others.processors():.2f} processors busy.", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N", help="accesses in the long log")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count")
    parser.add_argument("--only", action="append", choices=TOPICS, metavar="TOPIC", help="one of " + ", ".join(TOPICS))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="put the data there and leave it, to be used again")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put what is printed between the marks in FILE, too")
    given = parser.parse_args()
    if given.events < 20_000 or given.rounds < 1:
        parser.error("takes at least 20000 events and one round")
    if given.write and given.only:
        parser.error("--write takes all topics")
    document = given.write.read_text(encoding="utf-8") if given.write else f"{BEGIN}{END}"
    replaced(document, "")
    os.environ.pop("MMIOTOOLS_ENGINE", None)
    # What is installed has its bytecode, so this checkout may keep its own.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    both = Both()
    with tempfile.TemporaryDirectory(prefix="mmiotools-bench-") as scratch, contextlib.redirect_stdout(both):
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print_all(given, folder)
    if given.write:
        given.write.write_text(replaced(document, both.copy.getvalue()), encoding="utf-8")


if __name__ == "__main__":
    main()
