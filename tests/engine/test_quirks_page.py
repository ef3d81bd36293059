"""docs/quirks.md tells of every quirk, and of nothing else; what it shows is what the program prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quirk_helpers import NAMES

from mmiotools.engine.quirks import COMPATS, QUIRKS

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "quirks.md"
TEXT = PAGE.read_text(encoding="utf-8")

#: Section → its body, for the sections that bear names of quirks.
STORIES = dict(re.findall(r"^### (\S+)\n\n(.*?)\n(?=\n##|\Z)", TEXT, re.MULTILINE | re.DOTALL))


def test_there_is_a_section_for_every_quirk_in_the_order_of_the_list() -> None:
    assert tuple(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) == NAMES
    assert tuple(STORIES) == NAMES


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_a_story_is_complete(quirk: Any) -> None:
    story = STORIES[quirk.name]
    assert 3 <= len(story.splitlines()) <= 8
    assert re.search(r"\bEvidence: (measured|machine|code)\b[^.]*\.$", story.replace("\n", " "))
    # Whoever is told that mainline still has it has to meet it there.
    still = re.search(r"[Mm]ainline (has|still has|has it|does not look|documents|still asks)\b|oopses", story)
    if "mainline" in quirk.compats:
        assert still, quirk.name
    assert max(map(len, story.splitlines())) <= 120


def test_quirks_that_a_story_names_exist() -> None:
    words = {name for name in NAMES if "-" in name}
    for name, story in STORIES.items():
        for other in re.findall(r"\b(?:takes|has|with|With) ([a-z]+(?:-[a-z]+)+)\b", story):
            assert other in words, f"{name} names {other}"


def test_the_page_says_how_to_switch() -> None:
    opening = TEXT.partition("## The quirks")[0]
    for word in ("mmiotools list quirks", "--quirk NAME", "--no-quirk NAME", *(f"--compat {c}" for c in COMPATS)):
        assert word in opening


def commands(text: str) -> list[str]:
    """The commands of the examples."""
    return re.findall(r"^    (?:\$ )?(mmiotools .*)$", text, re.MULTILINE)


@pytest.mark.parametrize("line", commands(TEXT.partition("## The quirks")[0]))
def test_examples_run(line: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    done = cli(*line.split()[1:], cwd=tmp_path)
    err = done.stderr.decode()
    assert done.returncode in (0, 1) and "Traceback" not in err and "Usage" not in err
    assert done.stdout or "check: " in err


def test_the_mails_run_keeps_what_came_before_the_fault(cli: Callable[..., Any]) -> None:
    done = cli("record", "nv-test", "--compat", "seed", "--scenario", "stale-pgd", "-t", "mmiotrace")
    assert done.returncode == 1
    accesses = [row.split() for row in done.stdout.decode().splitlines() if row[:2] in ("R ", "W ")]
    assert [(row[0], row[4], row[5]) for row in accesses] == [("R", "0xfd101000", "0x400000")]


def test_what_is_left_out_is_told() -> None:
    section = TEXT.partition("## What is left out")[2]
    for word in ("never freed", "hash buckets", "lock", "linear list", "time or memory"):
        assert word in section
