"""--regs: names and bits of registers in filter, show, info and list, and that bundled maps cover the samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmiotools.cli.main import run
from mmiotools.formats import open_trace
from mmiotools.regmaps import bundled_maps, load_names
from mmiotools.trace.collect import collect

NVME = "samples/mmiotrace/nvme-linux6.1.mmiotrace"
TEXT = """\
VERSION 20070824
PCIDEV 0018 8086100e b febc0000 c001 0 0 0 0 feb80000 20000 40 0 0 0 0 40000 e1000
MAP 1.000000 1 0xfebc0000 0xffffcfc4405c0000 0x20000 0x0 0
R 4 2.000000 1 0xfebc0000 0x140240 0x0 0
W 4 3.000000 1 0xfebc0000 0x4140280 0x0 0
R 1 4.000000 1 0xfebc0001 0x2 0x0 0
W 4 5.000000 1 0xfebc3818 0x7 0x0 0
W 4 6.000000 1 0xfebc5414 0x80001234 0x0 0
R 4 7.000000 1 0xfebc0fce 0x1 0x0 0
UNMAP 8.000000 1 0x0 0
"""


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "t.mmiotrace"
    path.write_text(TEXT)
    return str(path)


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("CTRL", "234"),
        ("reg == CTRL", "234"),
        ("reg != CTRL", "56"),
        ("reg in {TDT, CTRL}", "2345"),
        ("reg ~ '^T'", "5"),
        ("reg !~ '^T'", "2346"),
        ("not (reg ~ '^T') and access", "23467"),
        ("addr == CTRL", "23"),
        ("addr == CTRL+1", "4"),
        ("addr != CTRL", "4567"),
        ("addr <= CTRL", "23"),
        ("addr in CTRL", "234"),
        ("addr in CTRL-TDT", "23457"),
        ("addr in {TDT, 0xfebc0001, BAR0+0xfce}", "457"),
        ("CTRL == 0x140240", "2"),
        ("CTRL & 0x40 != 0", "2"),
        ("CTRL in {0x4140280}", "3"),
        ("CTRL.RST == 1", "3"),
        ("CTRL.RST == 0", "2"),
        ("CTRL.SPEED == 2", "234"),
        ("CTRL.SPEED == '1000'", "234"),
        ("CTRL.SPEED in {0, 2-3} and write", "3"),
        ("RAH.AV == 1", "6"),
        ("RAH[2].AV == 1", "6"),
        ("RAH[3].AV == 1", ""),
        ("reg == RAH[2]", "6"),
        ("write and TDT", "5"),
    ],
)
def test_filter_by_name(expression, times, trace, capsys):
    assert run(["filter", "--bare", "--regs", "e1000", expression, trace]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "".join(line.split()[2][0] for line in lines) == times
    assert run(["filter", "--regs", "e1000", "--explain", expression]) == 0
    canonical = capsys.readouterr().out.splitlines()[0]
    assert run(["filter", "--count", "--regs", "e1000", canonical, trace]) == 0
    assert capsys.readouterr().out == f"{len(times)}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CTRL.RST == 1"], "give --regs"),
        (["reg == CTRL"], "give --regs"),
        (["reg ~ x"], "give --regs"),
        (["CTRL == 1"], "unknown field 'CTRL'"),
        (["--regs", "e1000", "CTRL.RTS == 1"], "no register or field is called 'CTRL.RTS'"),
        (["--regs", "e1000", "reg == ctrl"], "did you mean 'CTRL'?"),
        (["--regs", "e1000", "CTRL.RST"], "needs a comparison"),
        (["--regs", "e1000", "CTRL.SPEED == fast"], "there are: 10, 100, 1000"),
        (["--regs", "e1000", "CTRL ~ 'x'"], "holds text"),
        (["--regs", "e1000", "RAH[99].AV == 1"], "RAH[99].AV"),
        (["--regs", "e2000", "all"], "no register map is called 'e2000'"),
        (["--regs", "/nonexistent/x.h", "all"], "/nonexistent/x.h: no such file"),
        (["--regs", "e1000@BAR9", "all"], "binds to nothing"),
    ],
)
def test_filter_says_what_is_wrong(arguments, message, trace, capsys):
    assert run(["filter", *arguments, trace]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error and "internal" not in error


def test_names_of_nothing_are_refused_also_when_explained(capsys):
    assert run(["filter", "--regs", "e1000", "--explain", "reg == NOP"]) == 2
    assert "no register or field" in capsys.readouterr().err


def test_values_of_sixteen_bytes(tmp_path, capsys):
    lines = [
        {"schema": "mmiotools.trace/1"},
        {"kind": "READ", "width": 16, "region": "r", "offset": "0x0", "value": "0x2000000000000000000000000000001"},
    ]
    path = tmp_path / "wide.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    regs = tmp_path / "wide.toml"
    regs.write_text('[registers]\nW = { offset = 0, width = 16, fields = { HIGH = "127-120", TOP = 121, LOW = 0 } }\n')
    for expression in (
        "W.HIGH == 2",
        "W.TOP == 1",
        "W.LOW == 1",
        "W & 1 == 1",
        "W in 0x2000000000000000000000000000001",
    ):
        assert run(["filter", "--count", "--regs", str(regs), expression, str(path)]) == 0
        assert capsys.readouterr().out == "1\n", expression


def test_show(trace, capsys):
    assert run(["show", "--regs", "e1000", trace]) == 0
    lines = [" ".join(line.split()[1:]) for line in capsys.readouterr().out.splitlines()]
    assert lines[3].startswith("R4 00:03.0/BAR0/CTRL 0x140240 ")
    assert "SPEED=1000 SLU" in lines[3]
    assert lines[4] == "W4 00:03.0/BAR0/CTRL 0x140240 -> 0x4140280 RST 0 -> 1, ILOS 0 -> 1, SLU 1 -> 0"
    assert lines[5] == "R1 00:03.0/BAR0/CTRL+1 0x2 SPEED=1000"
    assert lines[7] == "W4 00:03.0/BAR0/RAH[2] 0x80001234 AV AS=destination ADDR=0x1234"
    assert lines[8] == "R4 00:03.0/BAR0+0xfce 0x1"


def test_info(trace, capsys):
    assert run(["info", "--regs", "auto", trace]) == 0
    out = capsys.readouterr().out
    assert "00:03.0/BAR0/CTRL " in out and "00:03.0/BAR0/CTRL+1" in out
    assert "unnamed     1, accesses 1: 00:03.0/BAR0+0xfce (1)" in out
    assert run(["info", "--json", "--regs", "auto", trace]) == 0
    found = json.loads(capsys.readouterr().out)["registers"]
    assert [entry["register"] for entry in found["hottest"]] == ["CTRL", "CTRL+1", None, "TDT", "RAH[2]"]
    assert (found["unnamed"]["distinct"], found["unnamed"]["accesses"], found["unnamed"]["complete"]) == (1, 1, True)
    assert found["unnamed"]["list"][0]["offset"] == "0xfce"
    assert run(["info", "--json", trace]) == 0
    found = json.loads(capsys.readouterr().out)["registers"]
    assert "unnamed" not in found and "register" not in found["hottest"][0]


def test_a_binding_of_the_user_wins(trace, tmp_path, capsys):
    regs = tmp_path / "regs.txt"
    regs.write_text("0xfce ODD\n")
    for binding, count in (
        ("", 1),
        ("@8086:100e", 1),
        ("@BAR0", 1),
        ("@0xfebc0000", 1),
        ("@BAR1", 0),
        ("@1234:5678", 0),
    ):
        assert run(["filter", "--count", "--regs", f"{regs}{binding}", "reg == ODD", trace]) == 0
        assert capsys.readouterr().out == f"{count}\n", binding


def test_list(capsys):
    assert run(["list", "--json", "regmaps"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == [regmap.name for regmap in bundled_maps()]
    assert {"e1000", "nvme", "xhci", "hda", "bochs", "nv-card", "uart"} <= {row["name"] for row in rows}
    assert all(row["title"] and row["ids"] for row in rows)


@pytest.mark.parametrize("name", ["nvme-linux6.1", "nvme-linux6.12", "xhci-linux6.1", "hda-linux6.1", "nv-init-2"])
def test_bundled_maps_cover_the_samples(name, samples):
    names = load_names(["auto"])
    accesses = collect(open_trace(str(samples / "mmiotrace" / f"{name}.mmiotrace")).batches)
    for access, code in zip(accesses.span(0, len(accesses)), accesses.region.tolist(), strict=True):
        region = accesses.regions[code]
        # Video memory has no registers.
        assert names.find(region, access.offset) is not None or region.identity[::2] == ("10de:0286", "BAR1"), access
