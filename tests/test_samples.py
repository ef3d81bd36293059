"""The samples: listed, unchanged, readable, and the same recording in every format."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmiotools.errors import FormatError
from mmiotools.events import Event
from mmiotools.formats import FORMATS, open_trace
from mmiotools.formats.base import read_all

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
ROWS: list[dict[str, Any]] = tomllib.loads((SAMPLES / "INDEX.toml").read_text())["sample"]
PATHS = [row["path"] for row in ROWS]
READ = [row for row in ROWS if FORMATS.get(row["format"]).readable and row.get("status") != 2]
REMAKE = "run: python samples/remake.py"
#: What is no recording.
OTHERS = {"INDEX.toml", "README.md", "remake.py"}


def events(row: dict[str, Any]) -> list[Event]:
    """Every event of a sample."""
    return read_all(open_trace(str(SAMPLES / row["path"])).batches)


def test_index_lists_every_sample_once() -> None:
    there = {
        path.relative_to(SAMPLES).as_posix()
        for path in SAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not {"scenarios", "drivers", "cards"} & set(path.parts)  # noqa: E501
    }
    assert sorted(PATHS) == sorted(there - OTHERS), "give every sample a row in samples/INDEX.toml, and only those"


def test_samples_are_small() -> None:
    sizes = {path: (SAMPLES / path).stat().st_size for path in PATHS}
    assert max(sizes.values()) <= 64 << 10
    assert sum(sizes.values()) <= 2 << 20


@pytest.mark.parametrize("row", ROWS, ids=PATHS)
def test_row_is_complete_and_the_file_unchanged(row: dict[str, Any]) -> None:
    needed = {"path", "format", "version", "device", "licence", "sha256"}
    assert needed <= row.keys()
    assert ("origin" in row) != ("make" in row), "a row says either its origin or the command that makes it"
    assert ("events" in row) == (row in READ)
    digest = hashlib.sha256((SAMPLES / row["path"]).read_bytes()).hexdigest()
    assert digest == row["sha256"], REMAKE


@pytest.mark.parametrize("row", READ, ids=[row["path"] for row in READ])
def test_is_recognised_and_read_whole(row: dict[str, Any]) -> None:
    trace = open_trace(str(SAMPLES / row["path"]))
    assert trace.container == row["format"]
    found = read_all(trace.batches)
    assert len(found) == row["events"], REMAKE
    assert any(event.extra.get("damaged") for event in found) == (row.get("status") == 3)


@pytest.mark.parametrize("row", [row for row in ROWS if row.get("status") == 2], ids=lambda row: row["path"])
def test_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="version 99"):
        events(row)


def test_one_stem_holds_the_same_events_in_every_format() -> None:
    compared = 0
    texts = {Path(row["path"]).name.split(".mmiotrace")[0]: row for row in READ if row["path"].startswith("mmiotrace/")}
    for row in READ:
        folder, _, name = row["path"].partition("/")
        stem = name.removesuffix(FORMATS.get(row["format"]).suffixes[0])
        # The text of a harness recording has a comment line for what the other formats have in their header.
        if folder in ("native", "jsonl") and stem in texts and not stem.startswith("nv-"):
            assert events(row) == events(texts[stem]), f"{row['path']}: {REMAKE}"
            compared += 1
    assert compared >= 4


def test_every_format_has_a_sample() -> None:
    for name in FORMATS.builtin_names():
        suffix = FORMATS.get(name).suffixes[0]
        assert any(row["format"] == name for row in ROWS), (
            f"format '{name}' has no sample: expected samples/{name}/nvme-linux6.1{suffix}\n"
            f'  add a row to samples/INDEX.toml with make = "mmiotools convert -t {name} '
            f'samples/mmiotrace/nvme-linux6.1.mmiotrace", then {REMAKE}'
        )


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if "make" in row and row["format"] in ("mmiotrace", "jsonl") and "record" in row["make"]],
    ids=lambda row: row["path"],
)
def test_harness_recordings_are_made_again_byte_for_byte(row: dict[str, Any], top: Path) -> None:
    words = re.fullmatch(r"mmiotools (record [\w@ -]+)", row["make"])
    assert words is not None
    done = subprocess.run(
        [sys.executable, "-m", "mmiotools", *words[1].split()], cwd=top, stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert done.stdout == (SAMPLES / row["path"]).read_bytes(), REMAKE
