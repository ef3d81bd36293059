"""Selecting by address and by time, against grep on the text, with the same lines."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from make_trace import BASES, RANGES, Range
from measure import Command, run, table
from workbench import Goals, Workbench, ask, head, same_accesses

GREP = "`LC_ALL=C grep -E`"
CLOSE, SPREAD = {"compiled": 4.0, "numpy": 1.3}, {"compiled": 3.0, "numpy": 1.1}
TIMED = {"compiled": 10.0, "numpy": 10.0}
#: The fields of a line in front of its address.
BEFORE = "^[RW] [0-9]+ [0-9.]+ [0-9]+ "


@dataclass(frozen=True, slots=True)
class Case:
    """Something to select: in words, for `filter`, and as a regular expression on the text."""

    name: str
    words: Sequence[str]
    pattern: str
    goals: Goals


def cases(log: Path) -> list[Case]:
    """The ranges that the log was made with, a register, all addresses, and a second in the middle of it."""
    found = [by_range(one) for one in RANGES]
    register = BASES[0] + 0x20
    found.append(Case("one register of a page", [f"addr == {register:#x}"], f"{BEFORE}{register:#x} ", SPREAD))
    everything = "addr in 0-0xffffffffffffffff"
    found.append(Case("all addresses", [everything], f"{BEFORE}0x[0-9a-f]+ ", {}))
    second = time_in_the_middle(log)
    window = ["--time", f"{second}-{second}.999999", "all"]
    found.append(Case("a second", window, f"^[RW] [0-9]+ {second}\\.", TIMED))
    return found


def by_range(one: Range) -> Case:
    """One page of addresses, of which the pattern leaves three digits open."""
    name = f"{one.share:.1%}, {'spread' if one.at is None else 'close together'}"
    pattern = f"{BEFORE}0x{one.start >> 12:x}[0-9a-f]{{3}} "
    return Case(name, [f"addr in {one.start:#x}-{one.last:#x}"], pattern, SPREAD if one.at is None else CLOSE)


def time_in_the_middle(log: Path) -> int:
    """The second, in the log's time, in which its middle byte lies."""
    with open(log, "rb") as file:
        file.seek(log.stat().st_size // 2)
        file.readline()
        for line in file:
            if line.startswith((b"R ", b"W ")):
                return int(line.split()[2].split(b".")[0])
    raise SystemExit(f"{log} has no accesses in its second half")


def measure(bench: Workbench) -> None:
    """What there is to find, then what it takes to find it."""
    if shutil.which("grep") is None:
        print("Not run: `grep` is not installed.")
        return
    wanted = cases(bench.text)
    selectivity(bench, wanted)
    head()
    for case in wanted:
        one(bench, "`filter` of .mmio", bench.native, case, case.goals)
    for case in (wanted[0], wanted[3]):
        one(bench, "`filter` of text", bench.text, case, {})


def one(bench: Workbench, what: str, source: Path, case: Case, goals: Goals) -> None:
    """The rows of a case, from text or .mmio."""
    found = bench.folder / "found-by-grep"
    ours = bench.ours("filter", "-t", "mmiotrace", *case.words, source, output="kept", piped=True)
    grep = Command(GREP, ["env", "LC_ALL=C", "grep", "-E", case.pattern, str(bench.text)], found, piped=True)
    bench.compare({f"{what}: {case.name}": (ours, {GREP: goals})}, [grep])
    run(grep.kept())
    for command in ours:
        run(command.kept())
        assert command.output is not None
        same_accesses(command.output, found)
        command.output.unlink()
    found.unlink()


def selectivity(bench: Workbench, wanted: Sequence[Case]) -> None:
    """What each case selects, by grep's account: a line of the log is an event."""
    size = int(ask("from mmiotools.formats.native_write import BLOCK; print(BLOCK)"))
    table("what is selected", "of all accesses", f"stretches of {size:,} events, about a block, with some of it")
    with open(bench.text, "rb") as file:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    stretches = -(-lines // size)
    for case in wanted:
        search = ["grep", "-nE", case.pattern, str(bench.text)]
        with subprocess.Popen(search, stdout=subprocess.PIPE, env=os.environ | {"LC_ALL": "C"}) as grep:
            assert grep.stdout is not None
            count, touched = 0, set[int]()
            for line in grep.stdout:
                count += 1
                touched.add((int(line[: line.index(b":")]) - 1) // size)
        print(f"| {case.name} | {count / bench.events:.3%} | {len(touched) / stretches:.1%} |", flush=True)
    print(flush=True)
