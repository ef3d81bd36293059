"""The plug-in registry: built-ins, entry points, and plug-ins that are broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmiotools.errors import UsageError
from mmiotools.trace.registry import API, Registry


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution in a temporary folder with four plug-ins, one good."""
    (tmp_path / "acme_plugins.py").write_text(
        f"class Good:\n    api = {API}\n    title = 'Good.'\nclass Old:\n    api = {API - 1}\n    title = 'Old.'\n"
    )
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[things]\ngood = acme_plugins:Good\nold = acme_plugins:Old\n"
        "broken = acme_missing:Thing\nbuiltin = acme_plugins:Good\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_plugins", raising=False)


def registry() -> Registry[type]:
    return Registry("thing", {"builtin": "mmiotools.trace.header:TraceHeader"}, "things")


def test_built_in_and_foreign_things_are_found(plugins: None) -> None:
    assert registry().get("builtin").__name__ == "TraceHeader"
    assert registry().get("good").title == "Good."  # type: ignore[attr-defined]


def test_a_broken_plug_in_is_listed_with_its_reason(plugins: None) -> None:
    things = Registry[type]("thing", {}, "things")
    problems = {row.name: row.problem for row in things.listing()}
    assert problems["good"] is None
    assert "acme_missing" in (problems["broken"] or "")
    assert f"interface {API - 1}, not {API}" in (problems["old"] or "")


def test_a_built_in_wins_over_a_plug_in_of_its_name(plugins: None) -> None:
    things = Registry[type]("thing", {"builtin": "mmiotools.formats.csv:CSV"}, "things")
    rows = [row for row in things.listing() if row.name == "builtin"]
    assert [row.origin for row in rows] == ["built-in", "acme"]
    assert "shadowed" in (rows[1].problem or "")


def test_plug_ins_can_be_switched_off(plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMIOTOOLS_NO_PLUGINS", "1")
    assert registry().names() == ["builtin"]


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no thing is called 'x'; there are: builtin"):
        registry().get("x")
