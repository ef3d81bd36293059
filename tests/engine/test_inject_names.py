"""Names of registers in rules and ranges: what they become, and every way in which one can be wrong."""

from __future__ import annotations

import pytest

from mmiotools.devices import make_device
from mmiotools.engine.inject_names import spell_range, spell_rule
from mmiotools.engine.inject_rules import locate_ranges, parse_rule
from mmiotools.errors import ExpressionError
from mmiotools.regmaps import load_names
from mmiotools.trace.names import Names

NIC = make_device("nic").pci
CARD = make_device("nv-card").pci


@pytest.fixture(scope="module")
def names() -> Names:
    return load_names(["auto"])


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("read STATUS -> 0", "read BAR0+0x8-0xb -> 0"),
        ("read ICR->0 once", "read BAR0+0xc0-0xc3->0 once"),
        ("  access  TDBAL-TDT delay 5ms", "  access  BAR0+0x3800-0x381b delay 5ms"),
        ("write RAL[2] flip bit 3", "write BAR0+0x5410-0x5413 flip bit 3"),
        ("read MTA drop", "read BAR0+0x5200-0x53ff drop"),
        ("read MTA[1] - MTA[2] drop", "read BAR0+0x5204-0x520b drop"),
        ("remove at TDT after 3", "remove at BAR0+0x3818-0x381b after 3"),
        ("remove at write CTRL if value == 1", "remove at write BAR0+0x0-0x3 if value == 1"),
        ("read BAR0+0x8 -> 0", "read BAR0+0x8 -> 0"),
        ("read 0xfebc0008 -> 0", "read 0xfebc0008 -> 0"),
        ("read 00:03.0/BAR0+0x8 -> 0", "read 00:03.0/BAR0+0x8 -> 0"),
        ("read config+0x0 -> 0", "read config+0x0 -> 0"),
        ("remove after 20", "remove after 20"),
        ("irq drop", "irq drop"),
        ("flip", "flip"),
    ],
)
def test_rules(names: Names, text: str, spelled: str) -> None:
    assert spell_rule(text, names, NIC) == spelled


def test_a_spelled_rule_is_the_rule_of_its_offsets(names: Names) -> None:
    assert parse_rule(spell_rule("read STATUS stuck bit 1 = 0", names, NIC)) == parse_rule(
        "read BAR0+0x8-0xb stuck bit 1 = 0"
    )


def test_ranges(names: Names) -> None:
    base = NIC.bars[0].addr
    assert spell_range("TDBAL-TDT", names, NIC) == ["BAR0+0x3800-0x381b"]
    assert spell_range("STATUS.LU", names, NIC) == ["BAR0+0x8-0xb"]
    assert spell_range("BAR0+0x8", names, NIC) == ["BAR0+0x8"]
    apart = spell_range("RAL", names, NIC)
    assert apart == [f"BAR0+{0x5400 + 8 * n:#x}-{0x5403 + 8 * n:#x}" for n in range(16)]
    assert locate_ranges(apart, NIC)[1] == (base + 0x5408, base + 0x540B)


def test_a_map_of_another_card_says_nothing_about_this_one(names: Names) -> None:
    assert spell_rule("read PFB_SIZE drop", names, CARD) == "read BAR0+0x10020c-0x10020f drop"
    with pytest.raises(ExpressionError, match=r"the card 01:00.0 has no register 'TDBAL'"):
        spell_rule("read TDBAL drop", names, CARD)


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("read STATUSS drop", "no register or field is called 'STATUSS'; did you mean 'STATUS'?", 6),
        ("read status drop", "did you mean 'STATUS'", 6),
        ("read RAL[99] drop", "no register or field is called", 6),
        ("read RAL drop", "'RAL' is registers that do not lie side by side; name one", 6),
        ("read STATUS.LU -> 0", "'STATUS.LU' is a field; a rule is about the whole register", 6),
        ("read STATUS+4 drop", "a name stands alone, or as NAME-NAME", 12),
        ("read STATUS-4 drop", "a name stands alone, or as NAME-NAME", 12),
        ("read TDT-TDBAL drop", "the range is empty", 10),
        ("remove at TDTT", "no register or field is called 'TDTT'", 11),
    ],
)
def test_what_is_wrong_is_pointed_at(names: Names, text: str, message: str, column: int) -> None:
    with pytest.raises(ExpressionError) as found:
        spell_rule(text, names, NIC)
    assert message in str(found.value)
    assert f"(column {column})" in str(found.value)


def test_without_maps_the_way_to_names_is_told() -> None:
    with pytest.raises(ExpressionError, match=r"has no region 'STATUS'.*names of registers need --regs"):
        locate_ranges(["STATUS"], NIC)
    with pytest.raises(ExpressionError) as found:
        locate_ranges(["BAR5"], NIC)
    assert "--regs" not in str(found.value)
