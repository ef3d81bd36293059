"""Plans: words, scenario files, and every way in which they can be wrong."""

from __future__ import annotations

import pytest

from mmiotools.errors import MmioToolsError, UsageError
from mmiotools.record import make_plan
from mmiotools.record.plan import parse_errno, parse_failure
from mmiotools.regmaps import load_names


def test_words_alone():
    plan = make_plan("nv-test@2", seed=7, fail={"ioremap": -12})
    assert (plan.chosen.driver.name, plan.chosen.version, plan.card) == ("nv-test", "2", "nv-card")
    assert plan.meta() == {
        "driver": "nv-test",
        "driver_version": "2",
        "card": "nv-card",
        "options": {"fail": {"ioremap": -12}},
        "seed": 7,
        "scenario": None,
    }


def test_scenario_and_what_wins_over_it(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('driver = "nv-init"\nseed = 3\ncard = "nv-card"\n[fail]\npci_enable_device = "EIO"\nioremap = 12\n')
    plan = make_plan(str(file))
    assert (plan.chosen.driver.name, plan.seed, plan.scenario) == ("nv-init", 3, str(file))
    assert plan.fail == {"pci_enable_device": -5, "ioremap": -12}
    plan = make_plan(str(file), seed=0, fail={"ioremap": -5})
    assert plan.seed == 0
    assert plan.fail == {"pci_enable_device": -5, "ioremap": -5}


def test_driver_file_beside_the_scenario(tmp_path):
    (tmp_path / "mine.py").write_text("class DRIVER:\n name = 'mine'\n versions = {'2': lambda k: 0}\n")
    (tmp_path / "s.toml").write_text('driver = "mine.py@2"\ncard = "nv-card"\n')
    plan = make_plan(str(tmp_path / "s.toml"))
    assert plan.chosen.version == "2"
    assert plan.meta()["driver_file"] == str(tmp_path / "mine.py")
    (tmp_path / "s.toml").write_text('driver = "mine.py@2"\n')
    with pytest.raises(UsageError, match="give --card"):
        make_plan(str(tmp_path / "s.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("driver = 3", r"s\.toml: key 'driver' must be a string"),
        ("driver = 'nv-test'\nseed = true", r"s\.toml: key 'seed' must be a whole number"),
        (
            "driver = 'nv-test'\ncolour = 1",
            r"s\.toml: unknown key 'colour'; there are: title, driver, card, seed, fail, inject",
        ),
        ("seed = 1", r"s\.toml: key 'driver' is missing"),
        ("driver = ", r"s\.toml: is not valid TOML"),
        ("seed = " + "9" * 5000, r"s\.toml: is not valid TOML"),
        ("driver = 'nv-test'\ncpus = 0x" + "f" * 5000, r"s\.toml: holds a number of more than 4096 bits"),
        ("fail = " + "[" * 50_000, r"s\.toml: is nested too deep"),
        ("driver = 'nv-test'\nfail = 5", r"s\.toml: key 'fail' must be a table"),
        ("driver = 'nv-test'\ninject = 4", r"s\.toml: key 'inject' must be a list of strings"),
        ("driver = 'nv-test'\nprobe = [4]", r"s\.toml: key 'probe' must be a list of strings"),
        (
            "driver = 'nv-test'\n[fail]\nkmalloc = -12",
            r"s\.toml: key 'fail\.kmalloc': 'kmalloc' cannot be made to fail",
        ),
        ("driver = 'nv-test'\n[fail]\nioremap = 0", r"s\.toml: key 'fail\.ioremap': '0' is no errno"),
    ],
)
def test_wrong_scenarios(tmp_path, text, message):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(MmioToolsError, match=message):
        make_plan(str(file))


def test_missing_scenario(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml: no such file"):
        make_plan(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("value", [5, -5, "5", "-5", "EIO", "-EIO"])
def test_errno_spellings(value):
    assert parse_errno(value) == -5


@pytest.mark.parametrize("value", [0, 4096, "", "EWHAT", "5.0", None, True, 1.5, "errorcode"])
def test_no_errno(value):
    with pytest.raises(UsageError, match="is no errno"):
        parse_errno(value)


def test_failures():
    assert parse_failure("ioremap=ENOMEM") == ("ioremap", -12)
    with pytest.raises(UsageError, match="CALL=ERRNO"):
        parse_failure("ioremap")
    with pytest.raises(UsageError, match="cannot be made to fail"):
        parse_failure("kmalloc=ENOMEM")


def test_names_of_registers_become_offsets(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('driver = "nic-init"\ninject = ["read ICR -> 0"]\nprobe = ["TDBAL-TDT"]\n')
    names = load_names(["auto"])
    plan = make_plan(str(file), inject=["remove at TDT after 3"], probe=["RAL[0]"], names=names)
    assert plan.inject == ("read BAR0+0xc0-0xc3 -> 0", "remove at BAR0+0x3818-0x381b after 3")
    assert plan.probe == ("BAR0+0x3800-0x381b", "BAR0+0x5400-0x5403")
    assert plan.meta()["options"]["probe"] == ["BAR0+0x3800-0x381b", "BAR0+0x5400-0x5403"]
    with pytest.raises(MmioToolsError, match="'becomes'"):
        make_plan("nic-init", inject=["read ICR becomes 0"], names=names)
    with pytest.raises(MmioToolsError, match=r"s\.toml: the range should end here"):
        make_plan(str(file))
