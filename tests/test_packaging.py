"""The wheel: it can be built, and holds the type marker and the manual pages."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest


def setuptools_version() -> tuple[int, ...]:
    """Major and minor version of the installed setuptools; (0,) when there is none."""
    try:
        found = metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        return (0,)
    return tuple(int(part) for part in found.split(".")[:2])


@pytest.fixture(scope="module")
def wheel(top: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names of the files in a wheel that is built from a copy of what goes into it."""
    if importlib.util.find_spec("pip") is None or setuptools_version() < (70, 1):
        pytest.skip("building a wheel offline needs pip and setuptools 70.1: pip install '.[dev]' brings them")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(top / name, source)
    for name in ("mmiotools", "bin", "man"):
        shutil.copytree(top / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_wheel_holds_every_module_and_the_type_marker(top: Path, wheel: list[str]) -> None:
    modules = {path.relative_to(top).as_posix() for path in (top / "mmiotools").rglob("*.py")}
    assert modules | {"mmiotools/py.typed"} <= set(wheel)


def test_wheel_holds_the_page_of_diff(top: Path, wheel: list[str]) -> None:
    assert {path.relative_to(top).as_posix() for path in (top / "mmiotools/diff/page").iterdir()} <= set(wheel)


def test_wheel_installs_the_manual_pages(top: Path, wheel: list[str]) -> None:
    pages = sorted((top / "man").glob("*.[1-9]"))
    assert len(pages) >= 12
    for page in pages:
        place = f".data/data/share/man/man{page.suffix[1:]}/{page.name}"
        assert any(name.endswith(place) for name in wheel), f"{page.name} is missing in pyproject.toml's data-files"


def test_wheel_installs_the_command(wheel: list[str]) -> None:
    assert any(name.endswith(".data/scripts/mmiotools") for name in wheel)


def test_wheel_holds_nothing_else(wheel: list[str]) -> None:
    first = {name.split("/")[0] for name in wheel}
    assert all(name == "mmiotools" or name.endswith((".dist-info", ".data")) for name in first)
