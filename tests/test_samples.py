"""The samples: listed, unchanged, readable, and the same recording in every format; drivers and cards work."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmiotools.devices import make_device
from mmiotools.drivers import choose_driver
from mmiotools.emu import is_object_file
from mmiotools.errors import FormatError, UsageError
from mmiotools.events import Event
from mmiotools.formats import FORMATS, open_trace
from mmiotools.formats.base import read_all
from mmiotools.record.plan import make_plan
from mmiotools.regmaps import read_maps

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
INDEX = tomllib.loads((SAMPLES / "INDEX.toml").read_text())
ROWS: list[dict[str, Any]] = INDEX["sample"]
PROGRAMS: list[dict[str, Any]] = INDEX["program"]
PATHS = [row["path"] for row in ROWS]
READ = [row for row in ROWS if FORMATS.get(row["format"]).readable and row.get("status") != 2]
#: What is missing here to read the samples of a format, by format.
NEEDS = {row["format"]: getattr(FORMATS.get(row["format"]), "needs", None) for row in ROWS}
REMAKE = "run: python samples/remake.py"
#: What stands beside the samples.
OTHERS = {"INDEX.toml", "README.md", "remake.py"}
#: Folders of what makes recordings, and the kinds that lie there.
KINDS = {
    "drivers": {"driver", "header"},
    "cards": {"card"},
    "guest": {"guest"},
    "scenarios": {"scenario"},
    "regmaps": {"register map"},
}


def events(row: dict[str, Any]) -> list[Event]:
    """Every event of a sample."""
    return read_all(open_trace(str(SAMPLES / row["path"])).batches)


def programs(kind: str) -> list[dict[str, Any]]:
    """The rows of one kind of program."""
    return [row for row in PROGRAMS if row["kind"] == kind]


def test_index_lists_every_sample_once() -> None:
    there = {
        path.relative_to(SAMPLES).as_posix()
        for path in SAMPLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    listed = PATHS + [row["path"] for row in PROGRAMS]
    assert sorted(listed) == sorted(there - OTHERS), "give every sample a row in samples/INDEX.toml, and only those"


def test_samples_are_small() -> None:
    sizes = [(SAMPLES / row["path"]).stat().st_size for row in ROWS + PROGRAMS]
    assert max(sizes) <= 64 << 10
    assert sum(sizes) <= 2 << 20


@pytest.mark.parametrize("row", ROWS, ids=PATHS)
def test_row_is_complete_and_the_file_unchanged(row: dict[str, Any]) -> None:
    needed = {"path", "format", "version", "device", "licence", "sha256"}
    assert needed <= row.keys()
    assert ("origin" in row) != ("make" in row), "a row says either its origin or the command that makes it"
    assert ("events" in row) == (row in READ)
    digest = hashlib.sha256((SAMPLES / row["path"]).read_bytes()).hexdigest()
    assert digest == row["sha256"], REMAKE


@pytest.mark.parametrize("row", PROGRAMS, ids=lambda row: row["path"])
def test_row_of_a_program_is_complete_and_the_file_unchanged(row: dict[str, Any]) -> None:
    assert {"path", "kind", "language", "origin", "licence", "sha256"} <= row.keys()
    assert row["kind"] in KINDS[row["path"].partition("/")[0]]
    assert ("compiler" in row) == ("compile" in row) == row["path"].endswith(".o")
    digest = hashlib.sha256((SAMPLES / row["path"]).read_bytes()).hexdigest()
    assert digest == row["sha256"], f"{REMAKE} --index"


@pytest.mark.parametrize("row", READ, ids=[row["path"] for row in READ])
def test_is_recognised_and_read_whole(row: dict[str, Any]) -> None:
    if NEEDS[row["format"]]:
        pytest.skip(f"needs {NEEDS[row['format']]}")
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
    for row in (row for row in READ if not NEEDS[row["format"]]):
        folder, _, name = row["path"].partition("/")
        stem = name.removesuffix(FORMATS.get(row["format"]).suffixes[0])
        # The text of a harness recording has a comment line for what the other formats have in their header.
        if folder in ("native", "jsonl", "parquet", "arrow") and stem in texts and not stem.startswith("nv-"):
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


@pytest.mark.parametrize("row", programs("driver"), ids=lambda row: row["path"])
def test_driver_is_one_and_names_a_device_that_there_is(row: dict[str, Any]) -> None:
    word = row["device"].partition(",")[0]
    path = str(SAMPLES / row["path"])
    if not row["path"].endswith(".c"):
        try:
            driver = choose_driver(path).driver
        except UsageError as missing:
            if not is_object_file(path):
                raise
            pytest.skip(str(missing))
        assert getattr(driver, "device", word) == word
    make_device(str(SAMPLES / word) if "/" in word else word)


@pytest.mark.parametrize("row", programs("card"), ids=lambda row: row["path"])
def test_card_is_one(row: dict[str, Any]) -> None:
    device = make_device(str(SAMPLES / row["path"]))
    assert device.pci.bars and device.seen == []


@pytest.mark.parametrize("row", programs("scenario"), ids=lambda row: row["path"])
def test_scenario_is_one(row: dict[str, Any]) -> None:
    card = make_plan(str(SAMPLES / row["path"])).card
    assert Path(card).name == Path(row["device"].partition(",")[0]).name


@pytest.mark.parametrize("row", programs("register map"), ids=lambda row: row["path"])
def test_register_map_is_one(row: dict[str, Any]) -> None:
    (regmap,) = read_maps(str(SAMPLES / row["path"]))
    assert [register.name.rpartition(".")[2].removeprefix("LAMP_") for register in regmap.registers] == [
        "ID",
        "PERIOD",
        "COUNT",
    ]


@pytest.mark.parametrize("row", [row for row in PROGRAMS if "compile" in row], ids=lambda row: row["path"])
def test_object_is_made_again_byte_for_byte(row: dict[str, Any], tmp_path: Path) -> None:
    compiler = shutil.which(row["compile"].partition(" ")[0])
    if compiler is None:
        pytest.skip("no compiler")
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    if told.partition("\n")[0] != row["compiler"]:
        pytest.skip(f"another compiler: {told.partition(chr(10))[0]}")
    path = SAMPLES / row["path"]
    for source in path.parent.glob("*.[ch]"):
        shutil.copy(source, tmp_path)
    subprocess.run(["bash", "-c", row["compile"]], cwd=tmp_path, check=True)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes(), f"run in {path.parent}: {row['compile']}"
