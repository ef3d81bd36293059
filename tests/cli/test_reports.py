"""info, check, show and list on small traces: what they print, and their exit statuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.cli.show import changed_bits, printable

TEXT = """\
VERSION 20070824
PCIDEV 0018 8086100e b febc0000 c001 0 0 0 0 feb80000 20000 40 0 0 0 0 40000 e1000
MAP 4.445767 1 0xfebc0000 0xffffcfc4405c0000 0x20000 0x0 0
R 4 4.447778 1 0xfebc0008 0x80080783 0x0 0
W 4 4.448000 1 0xfebc0008 0x80080780 0x0 0
R 1 4.449000 1 0xfebc0008 0xffffff80 0x0 0
UNKNOWN 4.450000 1 0xfebc0010 f3,a5,f6 0x0 0
MARK 4.451000 bell \x07
UNMAP 4.452000 1 0x0 0
"""


@pytest.fixture
def clean(tmp_path: Path) -> str:
    path = tmp_path / "clean.mmiotrace"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.mmiotrace"
    lost = TEXT.replace("MARK 4.451000 bell \x07", "MARK 0.000000 Lost 42 events.")
    path.write_text(lost.replace("0x80080783", "0xzz"))
    return str(path)


def test_info_counts_as_grep_does(clean: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--json", clean]) == 0
    found = json.loads(capsys.readouterr().out)
    words = {"READ": "R", "WRITE": "W", "HEADER": "VERSION", "DEVICE": "PCIDEV"}
    for kind, count in found["kinds"].items():
        assert count == sum(line.split(" ")[0] == words.get(kind, kind) for line in TEXT.splitlines())
    assert found["schema"] == "mmiotools.info/1" and found["events"] == len(TEXT.splitlines())
    assert found["time_ns"] == {
        "first": 4445767000,
        "last": 4452000000,
        "min": 4445767000,
        "max": 4452000000,
    }
    assert found["registers"]["hottest"][0] == {
        "region": "00:03.0/BAR0",
        "offset": "0x8",
        "address": "0xfebc0008",
        "reads": 2,
        "writes": 1,
        "unknown": 0,
    }


def test_info_is_one_screen(clean: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", clean]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 40
    assert "READ 2, WRITE 1, UNKNOWN 1" in out and "00:03.0/BAR0+0x8" in out


def test_several_files_go_on_after_an_error(clean: str, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--json", broken, clean]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["damage"]["places"] for line in lines] == [1, 0]
    assert run(["info", clean, "/nonexistent/x", clean]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("file  ") == 2 and "/nonexistent/x" in captured.err
    assert run(["check", "-q", "/nonexistent/x", broken]) == 2
    assert "problem" in capsys.readouterr().out


def test_check(clean: str, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--json", clean]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "clean" and [r["name"] for r in found["remarks"]] == ["unknown", "wide"]
    assert run(["check", "--json", broken]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(p["name"], p["count"], p["events"]) for p in found["problems"]] == [("damaged", 1, 1), ("lost", 1, 42)]
    assert found["problems"][0]["first"]["line"] == 4
    assert run(["check", "-q", broken]) == 1
    captured = capsys.readouterr()
    assert "line 4" in captured.out and "42 in 1 records" in captured.out and captured.err == ""
    assert run(["check", "/nonexistent/x"]) == 2


def test_damage_is_found_after_a_detour(broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "-q", "-t", "jsonl", broken, "-o", str(tmp_path / "x.jsonl")]) == 3
    assert run(["check", "-q", str(tmp_path / "x.jsonl")]) == 1
    assert run(["convert", "-q", "-t", "mmiotrace", str(tmp_path / "x.jsonl"), "-o", str(tmp_path / "back")]) == 3
    assert (tmp_path / "back").read_bytes() == Path(broken).read_bytes()


def test_show(clean: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", clean]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(TEXT.splitlines())
    assert lines[3] == ["+0.002011", "R4", "00:03.0/BAR0+0x8", "0x80080783"]
    assert lines[4] == ["+0.002233", "W4", "00:03.0/BAR0+0x8", "0x80080783", "->", "0x80080780", "-1..0"]
    assert lines[5][-1] == "0xffffff80"  # another width: no comparison
    assert lines[6] == ["+0.004233", "U", "00:03.0/BAR0+0x10", "?", "opcode", "f3", "a5", "f6"]
    assert lines[7] == ["+0.005233", "MARK", "bell", "\\x07"]
    assert run(["show", "--time", "absolute", clean]) == 0
    assert "4.447778" in capsys.readouterr().out
    assert run(["show", "--time", "delta", "--color", "always", clean]) == 0
    out = capsys.readouterr().out
    assert "+0.000222" in out and "\x1b[33m" in out and "\x07" not in out


def test_show_says_damage(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "-q", broken]) == 3
    out = capsys.readouterr().out
    assert "DAMAGED malformed R record (line 4)" in out and "LOST 42 events" in out


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [(0, 1, "+0"), (0x80, 0, "-7"), (0xF0, 0x0F, "-7..4 +3..0"), (0, 1 << 63, "+63"), (5, 0xA0, "+7 +5 -2 -0")],
)
def test_changed_bits(old: int, new: int, shown: str) -> None:
    assert changed_bits(old, new) == shown


def test_printable() -> None:
    assert printable(b"\x1b[31m\xff\x00") == "\\x1b[31m\\xff\\x00"


@pytest.mark.parametrize("family", ["formats", "drivers", "devices", "predicates", "views", "policies"])
def test_list(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", family]) == 0
    plain = capsys.readouterr().out.splitlines()
    assert run(["list", "--json", family]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(plain) == len(found) > 0
    for line, item in zip(plain, found, strict=True):
        assert line.startswith(item["name"]) and (item["problem"] or item["title"])


def test_list_of_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mmiotools.cli.list import FAMILIES

    monkeypatch.setitem(FAMILIES, "rules", None)
    assert run(["list", "rules"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "rules" in captured.err


def test_list_names_a_broken_plugin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from mmiotools.formats import FORMATS

    class Broken:
        name = "acme"
        dist = None
        value = "acme:FORMAT"

        def load(self) -> object:
            raise ImportError("no module named acme")

    monkeypatch.setattr(FORMATS, "_foreign", {"acme": Broken()})
    assert run(["list", "formats"]) == 0
    assert "does not work" in capsys.readouterr().out
    assert run(["list", "nonsense"]) == 2
