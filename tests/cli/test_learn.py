"""`mmiotools learn`, as a user meets it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mmiotools.cli.main import run


@pytest.fixture(scope="module")
def nvme(samples):
    return [str(samples / "mmiotrace" / f"nvme-linux{version}.mmiotrace") for version in ("6.1", "6.12")]


def test_the_card_goes_to_standard_output_and_the_summary_beside(nvme, capfd):
    assert run(["learn", "--regs", "nvme", nvme[0]]) == 0
    out, err = capfd.readouterr()
    held = tomllib.loads(out)
    assert held["registers"]["CSTS"]["model"]["kind"] == "status"
    assert held["registers"]["CSTS"]["model"]["after"] == "BAR0+0x14/4"
    assert "86 registers from 281 accesses in 1 recording" in err
    assert run(["learn", "-q", nvme[0]]) == 0
    assert capfd.readouterr().err == ""


def test_several_recordings_and_standard_input(nvme, cli, tmp_path):
    done = cli("learn", nvme[0], "-", "-o", str(tmp_path / "card.toml"), input=Path(nvme[1]).read_bytes())
    assert done.returncode == 0
    assert b"562 accesses in 2 recordings" in done.stderr
    assert cli("show", "--regs", str(tmp_path / "card.toml"), nvme[0]).stdout.count(b"BAR0_001c") == 5


def test_scores(nvme, tmp_path, capfd):
    assert (
        run(["learn", "--json", nvme[0], "--score", nvme[1], "--score", nvme[0], "--seed", "3", "--rate", "0.1"]) == 0
    )
    told = json.loads(capfd.readouterr().out)
    assert (told["schema"], told["card"], told["registers"]) == ("mmiotools.learn/1", "1b36:0010", 86)
    assert sum(told["kinds"].values()) + told["never_read"] == told["registers"]
    other, same = told["scores"]
    assert same["as_recorded"]["right"]["model"] == same["as_recorded"]["right"]["sequence"] == 1
    assert other["as_recorded"]["reads"] == sum(one["reads"] for one in other["as_recorded"]["bins"]) == 35
    assert (other["changed"]["seed"], other["changed"]["rate"]) == (3, 0.1)
    assert run(["learn", nvme[0], "--score", nvme[1], "-o", str(tmp_path / "card.toml")]) == 0
    assert "models and path" in capfd.readouterr().out
    assert (tmp_path / "card.toml").exists()


def test_replay_answers_from_a_card_file(tmp_path, capfd):
    trace, card = str(tmp_path / "a.mmio"), str(tmp_path / "card.toml")
    assert run(["record", "-q", "nv-init", "-o", trace]) == 0
    assert run(["learn", "-q", trace, "-o", card]) == 0
    assert run(["replay", "-q", "--policy", "model", "--card", card, trace]) == 0
    # A person who says that the chip is another one is believed.
    text = Path(card).read_text()
    start = text.index("[registers.BAR0_0000")
    place = text.index('kind = "constant"', start)
    edited = text[:place] + 'pinned = true\nkind = "constant"' + text[place + len('kind = "constant"') :]
    reset = edited.index("reset = ", place)
    edited = edited[:reset] + "reset = 0xdead" + edited[edited.index("\n", reset) :]
    Path(card).write_text(edited)
    capfd.readouterr()
    assert run(["replay", "--policy", "model", "--card", card, trace]) == 1
    assert "policy model" in capfd.readouterr().out


@pytest.mark.parametrize("policy", ["window", "model"])
def test_another_version_goes_on_to_the_end(policy, tmp_path, capfd):
    trace = str(tmp_path / "a.mmio")
    assert run(["record", "-q", "nv-init@1", "-o", trace]) == 0
    assert run(["replay", "--json", "--policy", policy, "--driver", "nv-init@2", trace]) == 1
    report = json.loads(capfd.readouterr().out)
    assert report["problem"] is None
    assert report["matched"] > 80


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-", "-"], "standard input can be read once only"),
        (["none.mmio"], "none.mmio: no such file"),
        (["{nvme}", "--score", "{xhci}"], "1b36:0010 is not accessed"),
        (["{nvme}", "{xhci}"], "the recordings are of different cards"),
        (["{nvme}", "--pci", "1234:5678"], "1234:5678 is not accessed"),
        (["{nvme}", "-o", "{nvme}"], "is also the input"),
        (["{nvme}", "--rate", "2"], "Invalid value for '--rate'"),
        (["{empty}"], "has no access to a PCI device"),
    ],
)
def test_what_cannot_be_done(args, message, samples, nvme, tmp_path, capfd):
    (tmp_path / "empty.mmiotrace").write_text("VERSION 20070824\n")
    known = {
        "nvme": nvme[0],
        "xhci": str(samples / "mmiotrace" / "xhci-linux6.1.mmiotrace"),
        "empty": str(tmp_path / "empty.mmiotrace"),
    }
    assert run(["learn", *(word.format(**known) for word in args)]) == 2
    err = capfd.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_damage_is_told_and_the_rest_is_learned(nvme, tmp_path, capfd):
    text = Path(nvme[0]).read_text()
    (tmp_path / "cut.mmiotrace").write_text(text[: len(text) // 2])
    assert run(["learn", str(tmp_path / "cut.mmiotrace"), "-o", str(tmp_path / "card.toml")]) == 3
    assert (tmp_path / "card.toml").exists()


def test_the_card_that_is_chosen(tmp_path, nvme, capfd):
    assert run(["learn", "-q", "--pci", "1b36:0010", nvme[0], "-o", str(tmp_path / "card.toml")]) == 0
    assert 'ids = ["1b36:0010"]' in (tmp_path / "card.toml").read_text()


def test_a_card_file_is_a_device_to_replay_on(tmp_path, capfd):
    trace, card = str(tmp_path / "nv.mmio"), str(tmp_path / "nv.toml")
    assert run(["record", "-q", "nv-init", "-o", trace]) == 0
    assert run(["learn", "-q", trace, "-o", card]) == 0
    status = run(["replay", "-q", "--json", trace, "--device", card])
    report = json.loads(capfd.readouterr().out)
    assert (report["subject"], report["missed_count"]) == ("device learned", 0)
    assert report["differing_count"] <= 0.1 * report["reads"] and status == (report["differing_count"] > 0)
    assert run(["replay", trace, "--device", str(tmp_path / "none.toml")]) == 2
