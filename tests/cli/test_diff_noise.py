"""`mmiotools diff`: what the options about noise do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmiotools.cli.main import run

VERSIONS = Path(__file__).resolve().parents[2] / "samples" / "versions" / "e1000"
BASE, AGAIN, VALUE, DROP = (str(VERSIONS / f"{name}.mmio") for name in ("base-1", "base-2", "value-1", "drop-1"))


def output(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().out.splitlines()


def test_repeats(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", BASE, VALUE, "--repeat-a", AGAIN, "--view", "json"]) == 1
    rows = [json.loads(line) for line in output(capfd)]
    hunks = [row for row in rows if row["type"] == "hunk" and row["class"] == "driver"]
    assert [access["offset"] for hunk in hunks for access in hunk["accesses"]] == ["0x410"] * 2 + ["0x2820"] * 2
    assert rows[-1]["hunks"]["driver"] == 2
    assert run(["diff", VALUE, BASE, "--repeat-b", AGAIN, "--brief"]) == 1
    assert output(capfd) == [f"{VALUE} and {BASE} differ"]
    assert run(["diff", BASE, AGAIN, "--repeat-a", AGAIN, "--brief"]) == 0
    assert run(["diff", BASE, AGAIN, "--brief"]) == 1


def test_groups(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "--group", f"old={BASE}", "--group", f"old={AGAIN}", "--group", f"new={VALUE}", "--stat"]) == 1
    assert output(capfd)[-1].startswith("17 registers: 2 changes (~), ")
    assert (
        run(["diff", "--group", f"x={BASE}", "--group", f"x={AGAIN}", "--group", f"y={VALUE}", "--group", f"z={DROP}"])
        == 1
    )
    text = output(capfd)
    assert text[0].startswith("accesses that differ") and any(line.startswith("odd one out: z") for line in text)
    assert run(["diff", BASE, BASE, BASE]) == 0
    assert "odd one out: none, all are the same" in output(capfd)
    assert run(["diff", BASE, AGAIN, VALUE, "--view", "json"]) == 1
    assert json.loads(output(capfd)[0])["schema"] == "mmiotools.diff-groups/1"


def test_what_was_learned_is_written_and_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mask = tmp_path / "mask.toml"
    assert run(["diff", BASE, AGAIN, "--repeat-a", AGAIN, "--learn-mask", str(mask)]) == 0
    assert 'register = "BAR0+0x3800"' in mask.read_text()
    assert run(["diff", BASE, AGAIN, "--mask", str(mask), "--no-rule", "all"]) == 0
    assert run(["diff", BASE, AGAIN, "--learn-mask", BASE]) == 2
    assert "is also the input" in capfd.readouterr().err


def test_ignore_and_rules(capfd: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["diff", "--repeat-a", AGAIN, "--ignore", "BAR0+0x410", "--ignore", "BAR0+0x2820-0x2823", BASE, VALUE]) == 0
    )
    capfd.readouterr()
    assert run(["list", "rules"]) == 0
    names = [line.split()[0] for line in output(capfd)]
    assert names == ["poll-length", "ring-address", "read-value", "repeated-block"]
    shown = []
    for rules in ([], *(["--no-rule", name] for name in names), ["--no-rule", "all"]):
        run(["diff", *rules, BASE, AGAIN, "--view", "json"])
        shown.append(json.loads(output(capfd)[-1])["hunks"]["driver"])
    assert shown[0] <= min(shown[1:]) and shown[-1] == max(shown) > shown[0]


def test_names_of_registers_and_fields(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = ["diff", "-q", "--regs", "e1000", "--repeat-a", AGAIN, BASE, VALUE]
    assert run([*common, "--ignore", "TIPG", "--ignore", "RDTR"]) == 0
    mask = tmp_path / "mask.toml"
    mask.write_text('[[mask]]\nregister = "TIPG.IPGR1"\n[[mask]]\nregister = "RDTR"\nbits = 0xf\n')
    assert run([*common, "--mask", str(mask)]) == 0
    mask.write_text('[[mask]]\nregister = "TIPG.IPGT"\n')
    assert run([*common, "--mask", str(mask)]) == 1
    capfd.readouterr()
    assert run([word for word in common if word != "-q"] + ["--ignore", "TIPGG"]) == 1
    assert "mask 'TIPGG' is for no access of these traces" in capfd.readouterr().err
    assert run(["diff", "--regs", "e1000", "--repeat-a", AGAIN, "--view", "json", BASE, VALUE]) == 1
    rows = [json.loads(line) for line in output(capfd)]
    changed = [row for row in rows if row["type"] == "hunk" and row["class"] == "driver"]
    assert [access["register"] for row in changed for access in row["accesses"]] == ["TIPG"] * 2 + ["RDTR"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([BASE], "two traces are needed"),
        (["--group", "x"], "NAME=FILE"),
        (["--group", f"x={BASE}"], "two names"),
        (["--group", f"x={BASE}", "--group", f"y={BASE}", BASE], "all recordings are named by it"),
        ([BASE, BASE, BASE, "--repeat-a", BASE], "use --group"),
        ([BASE, BASE, BASE, "--stat"], "is for two traces"),
        ([BASE, BASE, "--no-rule", "nonesuch"], "no rule is called"),
        ([BASE, BASE, "--mask", BASE], "is not valid TOML"),
        ([BASE, BASE, "--ignore", "("], "is no register or range"),
        ([BASE, "-", "--repeat-a", "-"], "only one trace can be standard input"),
    ],
)
def test_usage(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and message in err and len(err.splitlines()) == 1
