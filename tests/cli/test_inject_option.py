"""`mmiotools replay --inject`, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Kind
from mmiotools.formats import open_trace


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("recording") / "nv-init.mmio")
    assert run(["record", "-q", "nv-init", "-o", path]) == 0
    return path


def test_faults_are_in_the_report_and_marked_in_the_trace(recording, tmp_path, capfd):
    out = [str(tmp_path / name) for name in ("one.mmiotrace", "two.mmiotrace")]
    rules = ["--inject", "write BAR1 drop 0.3", "--inject", "read BAR0+0x101000 flip", "--seed", "4"]
    for path in out:
        assert run(["replay", "--json", "--policy", "queue", recording, *rules, "--as-trace", path]) == 1
        report = json.loads(capfd.readouterr().out)
        assert report["missed_count"] > 0
        assert {entry["region"] for entry in report["missed"]} == {"01:00.0/BAR1"}
    batches = list(open_trace(out[0]).batches)
    texts = [batch.extras[row]["text"].decode() for batch in batches for row in batch.rows(Kind.MARK).tolist()]
    told = [text for text in texts if text.startswith("inject: ")]
    assert sum("dropped [rule 1: write BAR1 drop 0.3]" in text for text in told) == report["missed_count"]
    assert sum("[rule 2: read BAR0+0x101000 flip]" in text for text in told) == 2
    contents = [Path(path).read_bytes() for path in out]
    assert contents[0] == contents[1]
    assert b'"inject":["write BAR1 drop 0.3","read BAR0+0x101000 flip"]' in contents[0]


def test_rules_that_never_act_are_told(recording, capfd):
    rules = ["--inject", "read BAR0+0x101000 -> 0 after 100", "--inject", "irq drop"]
    assert run(["replay", recording, *rules]) == 0
    err = capfd.readouterr().err
    assert "inject: matched 2 times, never acted: read BAR0+0x101000 -> 0 after 100\n" in err
    assert "inject: matched nothing: irq drop\n" in err
    assert run(["replay", "-q", recording, *rules]) == 0
    assert capfd.readouterr().err == ""


def test_a_rule_may_name_a_register(recording, capfd):
    reports = []
    for place, *regs in (("PFB_STRAPS", "--regs", "auto"), ("BAR0+0x101000-0x101003",)):
        assert run(["replay", recording, *regs, "--inject", f"read {place} -> 0 after 100"]) == 0
        reports.append(capfd.readouterr().err)
    told = "inject: matched 2 times, never acted: read BAR0+0x101000-0x101003 -> 0 after 100\n"
    assert reports[0] == reports[1] and told in reports[0]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--inject", "read BAR0+0x8 becomes 3"], "not 'becomes' (column 15)\n  read BAR0+0x8 becomes 3\n"),
        (["--inject", "read BAR5 drop"], "the card 01:00.0 has no region 'BAR5'"),
        (["--inject", "read PFB_SIZE drop"], "names of registers need --regs"),
        (["--regs", "auto", "--inject", "read PFB_SIZ drop"], "did you mean 'PFB_SIZE'"),
        (["--inject", ""], "a rule begins with read, write, access, remove or irq"),
        (["--inject", "remove", "--device", "nv-card"], "--inject and --device exclude each other"),
    ],
)
def test_usage(recording, args, message, capfd):
    assert run(["replay", recording, *args]) == 2
    err = capfd.readouterr().err
    assert message in err and "Traceback" not in err


def test_nothing_is_written_for_a_rule_that_does_not_fit(recording, tmp_path):
    out = tmp_path / "out.mmio"
    assert run(["replay", "-q", recording, "--inject", "read BAR5 drop", "--as-trace", str(out)]) == 2
    assert list(tmp_path.iterdir()) == []
