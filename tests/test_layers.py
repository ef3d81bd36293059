"""The shape of the package: imports point down, third parties stay home, files stay short and say what they are for."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mmiotools"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: From the bottom up; a module imports from layers below its own, and from its own folder.
LAYERS = (
    ("typed",),
    ("lean", "small"),
    ("errors", "events", "_speed"),
    ("speed",),
    ("trace",),
    ("engine",),
    ("emu",),
    ("formats", "filters", "devices", "drivers", "regmaps", "models", "plugins", "serve"),
    ("record", "replay", "diff", "stats", "streams", "quick"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: Third-party package → where it may be imported. Those that are not here may be imported anywhere.
HOMES = {
    "click": ("cli",),
    "rich": ("cli",),
    "construct": ("formats",),
    "msgpack": ("formats",),
    "zstandard": ("formats",),
    "sortedcontainers": ("trace", "engine"),
    "unicorn": ("emu",),
    "iced_x86": ("emu",),
    "elftools": ("emu",),
    "pyarrow": ("formats",),
}
MAX_LINES = 450


def name_of(path: Path) -> str:
    """A module's path as an id."""
    return path.relative_to(PACKAGE).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    """A module, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """All that it consists of."""
    return list(ast.walk(tree(path)))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, also inside functions."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                assert alias.name != "*", f"{path}:{node.lineno}: star import"
                yield node.lineno, f"{node.module}.{alias.name}"


def area(path: Path) -> str:
    """The part of the package that a module belongs to: a folder's name, or a module's at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {area(path) for path in MODULES} - {"__init__", "__main__"}
    assert not list(imports(PACKAGE / "__init__.py")), "the version is read before anything is imported"
    assert parts <= LEVEL.keys(), f"give these a layer in {__file__} and in ARCHITECTURE.md: {parts - LEVEL.keys()}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    own = area(path)
    for line, name in imports(path):
        first, *rest = name.split(".")
        if first != "mmiotools" or rest[0] in ("__version__", own) or own == "__main__":
            continue
        assert LEVEL[rest[0]] < LEVEL.get(own, -1), f"{path}:{line}: {own} is not above {rest[0]}, and imports it"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_third_parties_stay_home(path: Path) -> None:
    for line, name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or area(path) in homes, f"{path}:{line}: {name} may be imported in {homes} only"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    if area(path) in ("cli", "__main__"):
        return
    for node in nodes(path):
        if isinstance(node, ast.Name) and node.id == "print":
            pytest.fail(f"{path}:{node.lineno}: print outside cli")
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"):
            value = node.value
            is_sys = isinstance(value, ast.Name) and value.id == "sys"
            assert not is_sys, f"{path}:{node.lineno}: sys.{node.attr} outside cli"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_are_short_and_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{path} has no docstring"
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, f"{path} has {lines} lines; a file holds one idea, in at most {MAX_LINES}"
