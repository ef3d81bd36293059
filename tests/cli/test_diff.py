"""The command: what it prints where, and its exit status."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mmiotools.cli.main import run

HEAD = "VERSION 20070824\nMAP 1.000000 1 0x1000 0xffffc90000000000 0x1000 0x0 0\n"


def trace(path: Path, *rows: str, tail: str = "") -> str:
    lines = [f"{op} 4 1.{at:06} 1 {addr} {value} 0x0 0\n" for at, (op, addr, value) in enumerate(map(str.split, rows))]
    path.write_text(HEAD + "".join(lines) + tail)
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    a = trace(tmp_path / "a", "R 0x1000 0x1", "W 0x1004 0x2", "W 0x1008 0x3")
    b = trace(tmp_path / "b", "R 0x1000 0x1", "W 0x1004 0x5", "W 0x1008 0x3")
    return a, b


def test_same_files(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", files[0], files[0]]) == 0
    assert capfd.readouterr() == ("", "")


def test_different_files(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "-U", "0", *files]) == 1
    out, err = capfd.readouterr()
    assert out.splitlines()[2:] == [
        "@@ -1,1 +1,1 @@ change, driver: value differs",
        "-W 4 map1+0x4 0x2",
        "+W 4 map1+0x4 0x2 -> 0x5",
    ]
    assert err == ""


def test_quiet_changes_nothing_but_standard_error(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", *files]) == 1
    loud = capfd.readouterr().out
    assert run(["diff", "-q", *files]) == 1
    assert capfd.readouterr() == (loud, "")


def test_brief(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--brief", *files]) == 1
    assert capfd.readouterr().out == f"{files[0]} and {files[1]} differ\n"
    assert run(["diff", "--brief", files[1], files[1]]) == 0
    assert capfd.readouterr().out == ""


def test_json(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--view", "json", *files]) == 1
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["header", "hunk", "summary"]
    assert (lines[0]["a"], lines[0]["b"]) == files
    assert lines[2] == {"type": "summary", "hunks": {"driver": 1, "volatile": 0}, "same": 2}


def test_colour_when_asked(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--color=always", *files]) == 1
    assert "\x1b[" in capfd.readouterr().out
    assert run(["diff", *files]) == 1
    assert "\x1b[" not in capfd.readouterr().out


def test_damage_outranks_difference(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = trace(tmp_path / "c", "R 0x1000 0x1", "W 0x1004 0x2", tail="W 4 1.5 1 0x10")
    assert run(["diff", files[0], damaged]) == 3
    out, err = capfd.readouterr()
    assert "-W 4 map1+0x8 0x3" in out.splitlines()
    assert f"{damaged}:5" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "-"], "only one trace can be standard input"),
        (["A", "no-such-file"], "no-such-file"),
        (["--view", "nonesuch", "A", "A"], "there are: unified, side-by-side, registers, "),
        (["--context", "-1", "A", "A"], "-1"),
        (["A"], "two traces are needed"),
    ],
)
def test_trouble_is_status_2(
    arguments: list[str], message: str, files: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", *(files[0] if word == "A" else word for word in arguments)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and message in err


def test_one_side_from_standard_input(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["-", files[1]], [files[1], "-"]):
        piped = io.TextIOWrapper(io.BytesIO(Path(files[0]).read_bytes()))
        monkeypatch.setattr("sys.stdin", piped)
        assert run(["diff", "--view", "summary", *arguments]) == 1
        assert "change: 1 hunk, 1 access" in capfd.readouterr().out.splitlines()
