"""The benchmark runs, and its data is what it says. What it measures is printed there, never asserted here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EVENTS = 20_000
TOPICS = ("ingest", "dialects", "native", "filters", "diff", "startup", "record", "sizes", "memory")
#: By page of the fourth card: its share of the accesses, and whether they lie in one stretch.
PAGES = {0xFC000: (0.001, True), 0xFC001: (0.1, True), 0xFC002: (0.001, False), 0xFC003: (0.1, False)}

Script = Callable[..., str]


@pytest.fixture(scope="module")
def script(top: Path) -> Script:
    """Runs a script of bench/, which must end well: what it printed."""

    def run(name: str, *arguments: str | Path) -> str:
        words = [sys.executable, str(top / "bench" / name), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run


@pytest.fixture(scope="module")
def log(script: Script, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log as the benchmark has it."""
    path = tmp_path_factory.mktemp("bench") / "log"
    script("make_trace.py", samples / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz", path, str(EVENTS), "--ranges")
    return path


def test_the_same_arguments_give_the_same_log(script: Script, samples: Path, log: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    script("make_trace.py", samples / "mmiotrace" / "e1000-linux6.1.mmiotrace.xz", again, str(EVENTS), "--ranges")
    assert again.read_bytes() == log.read_bytes()


def test_ranges_have_their_share_of_the_log(log: Path) -> None:
    accesses = [line.split() for line in log.read_text().splitlines() if line[:2] in ("R ", "W ")]
    assert len(accesses) == EVENTS
    for page, (share, together) in PAGES.items():
        at = [number for number, words in enumerate(accesses) if int(words[4], 16) >> 12 == page]
        assert share / 2 < len(at) / EVENTS < 2 * share
        stretch = (at[-1] - at[0]) / EVENTS
        assert stretch < 1.2 * share + 0.001 if together else stretch > 0.5


def test_the_plain_parser_counts_what_is_there(script: Script, log: Path) -> None:
    wanted = Counter((words[4], words[0]) for words in map(str.split, log.read_text().splitlines()) if words[0] in "RW")
    told = script("plain_parser.py", log).splitlines()
    found = {(address, op): int(n) for address, *both in map(str.split, told) for op, n in zip("RW", both, strict=True)}
    assert {key: count for key, count in found.items() if count} == wanted


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what topics measure on, made by the first that needs it."""
    return tmp_path_factory.mktemp("data")


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_prints_its_tables(script: Script, topic: str, data: Path) -> None:
    printed = script("run.py", "--events", str(EVENTS), "--rounds", "1", "--only", topic, "--keep", str(data))
    assert f"{EVENTS:,} accesses" in printed
    tables = re.findall(r"(^\|.*\|\n\|[-|]+\|\n(?:\|.*\|\n)+)", printed, re.MULTILINE)
    assert tables
    for table in tables:
        heads, _, *rows = table.splitlines()
        assert {line.count("|") for line in rows} == {heads.count("|")}


def test_only_what_lies_between_the_marks_is_written(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(top / "bench"))
    import run

    document = f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n"
    assert run.replaced(document, "\nnew\n\n") == f"before\n{run.BEGIN}\n\nnew\n\n{run.END}\nafter\n"
    with pytest.raises(SystemExit, match="no lines"):
        run.replaced("before\n", "new")
    assert tuple(run.TOPICS) == TOPICS
    assert run.BEGIN in (top / "bench" / "README.md").read_text(encoding="utf-8")


def test_dialects_are_read_without_damage(script: Script, log: Path, tmp_path: Path, cli: Any) -> None:
    script("make_dialects.py", log, tmp_path, "2000")
    made = sorted(path.name.partition(".")[2] for path in tmp_path.iterdir())
    assert made == ["conware", "ftrace", "panda", "qemu-log", "renode", "serialice"]
    for name in made:
        told = json.loads(cli("info", "--json", str(tmp_path / f"dialect.{name}")).stdout)
        assert told["format"] == name and told["damage"]["places"] == 0
        assert told["kinds"].get("READ", 0) + told["kinds"].get("WRITE", 0) == 2000
