"""What a document points to is there: links, their anchors, and every path of the checkout that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
FOLDERS = ("docs", "samples", "formats", "bench")
DOCUMENTS = [
    *(TOP / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted(path for folder in FOLDERS for path in (TOP / folder).rglob("*.md")),
]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
PACKAGE = sorted(path.name for path in (TOP / "mmiotools").iterdir() if path.is_dir() and path.name != "__pycache__")
#: A path with a folder of the checkout, or of the package, in front.
PATH = re.compile(
    rf"(?<![\w./-])(?:\./)?((?:mmiotools|tests|man|\.ci|{'|'.join(FOLDERS)}|{'|'.join(PACKAGE)})/[\w.*{{}}<>/-]*\w/?)"
)
#: The name of a file alone.
NAME = re.compile(r"[\w-]+\.(?:py|md|toml|c|h|o)")
#: Stands for many: wildcards, a name that the reader chooses, words in capitals.
PATTERN = re.compile(r"[*{}<>]|\bfoo\b|\b[A-Z]{3,}\b(?!\.)|samples/native/v$")
#: Names in examples of what a reader writes.
INVENTED = {"driver.o", "driver.c"}
FILES = {path.name for path in TOP.rglob("*.*") if not {".git", ".venv"} & set(path.parts)}


def named(path: Path) -> str:
    """A document as the tests call it."""
    return path.relative_to(TOP).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text_of(path)), re.MULTILINE):
        word = re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).replace(" ", "-")
        number = 0
        while word + (f"-{number}" if number else "") in found:
            number += 1
        found.add(word + (f"-{number}" if number else ""))
    return found


def test_documents_are_found() -> None:
    assert len(DOCUMENTS) >= 14
    assert sum(len(LINK.findall(FENCE.sub("", text_of(path)))) for path in DOCUMENTS) >= 20


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", text_of(path))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{named(path)}: {link} does not exist"
        assert there.is_relative_to(TOP), f"{named(path)}: {link} leads out of the checkout"
        if anchor:
            assert there.suffix == ".md" and anchor in anchors(there), f"{named(path)}: {link} has no such heading"


def paths_in(text: str) -> set[str]:
    """The paths that a text names, in its examples and between backquotes."""
    pieces = FENCE.findall(text) + re.findall(r"^    .+$", text, re.MULTILINE) + QUOTED.findall(FENCE.sub("", text))
    found = {word for piece in pieces for word in PATH.findall(piece)}
    return {word for word in found if not PATTERN.search(word)}


def names_in(text: str) -> set[str]:
    """The files that a text names without a folder, between backquotes."""
    quoted = QUOTED.findall(FENCE.sub("", text))
    return {word for word in quoted if NAME.fullmatch(word) and not PATTERN.search(word)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_files_that_are_named_exist(path: Path) -> None:
    text = text_of(path)
    for word in sorted(paths_in(text)):
        places = (TOP / word, path.parent / word, TOP / "mmiotools" / word)
        assert any(place.exists() for place in places), f"{named(path)}: there is no {word}"
    missing = names_in(text) - FILES - INVENTED
    assert not missing, f"{named(path)}: there is no {', '.join(sorted(missing))}"


def test_what_is_not_there_is_noticed() -> None:
    text = "`samples/nowhere.mmio`, `gone.md`, `cards/*.py`:\n```console\n$ mmiotools info samples/gone.mmio\n```\n"
    assert paths_in(text) == {"samples/nowhere.mmio", "samples/gone.mmio"}
    assert names_in(text) == {"gone.md"}
    assert {"the-recursive-fault-of-january-2007", "any-range"} <= anchors(TOP / "docs" / "quirks.md")
