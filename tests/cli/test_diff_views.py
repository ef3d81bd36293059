"""The options of diff that say what is shown and where to."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmiotools.cli import diff_work as diff
from mmiotools.cli.common import Run
from mmiotools.cli.main import run
from mmiotools.diff.hunks import Comparison

HEAD = "VERSION 20070824\nMAP 1.000000 1 0x1000 0xffffc90000000000 0x1000 0x0 0\n"
A = HEAD + "".join(
    f"{line}\n"
    for line in (
        "R 4 1.1 1 0x1000 0x1 0x0 0",
        "W 4 1.2 1 0x1004 0x2 0x0 0",
        "MARK 1.3 now",
        "R 4 1.35 1 0x1010 0x9 0x0 0",
        "R 4 1.4 1 0x1008 0x3 0x0 0",
        "W 4 1.5 1 0x100c 0x4 0x0 0",
    )
)
B = A.replace("0x1004 0x2", "0x1004 0x6").replace("0x1008 0x3", "0x1008 0x7")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name, text in (("a", A), ("b", B)):
        (tmp_path / name).write_text(text)
    return str(tmp_path / "a"), str(tmp_path / "b")


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hunk that begins at access 3 of A is volatile."""
    plain = diff.show

    def noisily(run: Run, comparison: Comparison, *rest: Any) -> None:
        why = np.array([hunk.a.start == 3 for hunk in comparison.hunks], np.int32)
        hunks = comparison.hunks._replace(why=why, reasons=("", "a status"))
        plain(run, comparison._replace(hunks=hunks), *rest)

    monkeypatch.setattr(diff, "show", noisily)


def output(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().out.splitlines()


def test_stat_is_a_view(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--stat", *files]) == 1
    short = output(capfd)
    assert run(["diff", "--view", "stat", *files]) == 1
    assert output(capfd) == short and short[-1] == "2 registers: 1 change (~), 1 volatile (.)"


def test_counts(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--counts", *files]) == 1
    assert output(capfd) == [
        "-1 W 4 map1+0x4 0x2",
        "+1 W 4 map1+0x4 0x6",
        "-1 R 4 map1+0x8 0x3",
        "+1 R 4 map1+0x8 0x7",
    ]
    lines = A.splitlines(keepends=True)
    turned = tmp_path / "turned"
    turned.write_text("".join(lines[:2] + lines[:1:-1]))
    assert run(["diff", "--brief", files[0], str(turned)]) == 1
    assert output(capfd) == [f"{files[0]} and {turned} differ"]
    assert run(["diff", "--counts", files[0], str(turned)]) == 0
    assert run(["diff", "--counts", "--brief", files[0], str(turned)]) == 0
    assert output(capfd) == []
    assert run(["diff", "--counts", "--brief", *files]) == 1
    assert output(capfd) == [f"{files[0]} and {files[1]} differ"]


def test_only_writes(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--only-writes", *files]) == 1
    assert output(capfd)[2:] == [
        "@@ -1,1 +1,1 @@ change, driver: value differs",
        "-W 4 map1+0x4 0x2",
        "+W 4 map1+0x4 0x2 -> 0x6",
        " W 4 map1+0xc 0x4",
    ]
    reads = tmp_path / "reads"
    reads.write_text(A.replace("0x1008 0x3", "0x1008 0x9"))
    for option in ([], ["--counts"], ["--brief"]):
        assert run(["diff", "--only-writes", *option, files[0], str(reads)]) == 0
    added = tmp_path / "added"
    added.write_text(A + "R 4 1.6 1 0x1000 0x1 0x0 0\nW 4 1.7 1 0x1000 0x1 0x0 0\n")
    capfd.readouterr()
    assert run(["diff", "--only-writes", "--view", "json", files[0], str(added)]) == 1
    (hunk,) = [json.loads(line) for line in output(capfd)][1:-1]
    assert [(access["side"], access["index"]) for access in hunk["accesses"]] == [("b", 6)]
    assert run(["diff", "--only-writes", files[0], str(added)]) == 1
    assert "@@ -5,0 +6,1 @@ insert, driver: only in B" in output(capfd)


def test_state_at_a_mark(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--view", "state", "--at", "^no.$", *files]) == 1
    assert [line.split() for line in output(capfd)[1:]] == [
        ["4", "map1+0x0", "-", "-", "0x1", "0x1"],
        ["*", "4", "map1+0x4", "0x2", "0x6", "-", "-"],
    ]
    assert run(["diff", "--view", "state", "--only-writes", "--at", "now", *files]) == 1
    assert len(output(capfd)) == 2
    bare = tmp_path / "bare"
    bare.write_text(A.replace("MARK 1.3 now\n", ""))
    assert run(["diff", "--view", "state", "--at", "now", files[0], str(bare)]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err == f"mmiotools: {bare}: no mark matches 'now'\n"


def test_as_trace(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--no-rule", "all", "--as-trace", "a", "-t", "jsonl", *files]) == 1
    made = [json.loads(line) for line in output(capfd)[1:]]
    assert [(event["kind"], event.get("text"), event.get("value")) for event in made if event["kind"] != "HEADER"] == [
        ("MAP", None, None),
        ("MARK", "diff: change 1, driver: value differs", None),
        ("WRITE", None, "0x2"),
        ("MARK", "diff: change 2, driver: value differs", None),
        ("READ", None, "0x3"),
    ]
    out = tmp_path / "b.jsonl"
    assert run(["diff", "--no-rule", "read-value", "--as-trace", "b", "-o", str(out), *files]) == 1
    kinds = [json.loads(line).get("kind") for line in out.read_text().splitlines()]
    assert kinds.count("MARK") == kinds.count("WRITE") + kinds.count("READ") == 2
    assert run(["check", str(out)]) == 0


def test_as_trace_of_standard_input(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for side in "ab":
        assert run(["diff", "--as-trace", side, "-t", "jsonl", *files]) == 1
        expected = output(capfd)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((A if side == "a" else B).encode())))
        names = ["-", files[1]] if side == "a" else [files[0], "-"]
        assert run(["diff", "--as-trace", side, "-t", "jsonl", *names]) == 1
        assert output(capfd) == expected


def test_as_trace_tells_damage_once(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_text(B + "W 4 1.9 1 0x10")
    assert run(["diff", "--as-trace", "b", "-t", "jsonl", files[0], str(damaged)]) == 3
    out, err = capfd.readouterr()
    assert err.count(f"{damaged}:9") == 1
    assert '"damaged"' in out


def test_html(files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert run(["diff", "--html", str(page), *files]) == 1
    assert capfd.readouterr() == ("", "")
    assert run(["diff", "--view", "html", "--color", "always", *files]) == 1
    assert capfd.readouterr().out == page.read_text()
    assert run(["diff", "--html", files[0], *files]) == 2
    assert "is also the input" in capfd.readouterr().err
    assert Path(files[0]).read_text() == A


@pytest.mark.usefixtures("noisy")
def test_volatile_hunks_are_set_aside_and_counted(
    files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = "mmiotools: 1 volatile hunk (1 access) set aside; --show-volatile shows them\n"
    for options, expected in (
        ([], told),
        (["-v"], ""),
        (["-q"], ""),
        (["--view", "side-by-side"], told),
        (["--view", "registers"], told),
        (["--as-trace", "b"], told),
        (["--view", "json"], ""),
        (["--stat"], ""),
        (["--html", str(tmp_path / "page.html")], ""),
    ):
        assert run(["diff", *options, *files]) == 1, options
        out, err = capfd.readouterr()
        assert err == expected, options
        if not options:
            assert "@@ -3,1 +3,1 @@ change, volatile: a status" in out and "0x3 -> 0x7" not in out
        if options == ["-v"]:
            assert "0x3 -> 0x7" in out
    only = tmp_path / "only"
    only.write_text(A.replace("0x1008 0x3", "0x1008 0x7"))
    assert run(["diff", files[0], str(only)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stat", "--view", "json"], "--view and --stat do not go together"),
        (["--html", "x", "--as-trace", "a"], "--html and --as-trace do not go together"),
        (["--brief", "--stat"], "--stat and --brief do not go together"),
        (["--at", "x"], "--at is for --view state"),
        (["--at", "(", "--view", "state"], "bad regular expression"),
        (["--all"], "--all is for --view registers"),
        (["-o", "x"], "-o is for --as-trace"),
        (["-t", "native", "--counts"], "-t is for --as-trace"),
        (["--as-trace", "b", "-t", "nonesuch"], "nonesuch"),
    ],
)
def test_options_that_make_no_sense(
    arguments: list[str], message: str, files: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", *arguments, *files]) == 2
    out, err = capfd.readouterr()
    assert out == "" and message in err and err.count("\n") <= 3
