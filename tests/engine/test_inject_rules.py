"""The language of fault injection: what rules say, what is wrong with others, and the examples of its manual."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.engine.inject_data import (
    Delay,
    Drop,
    Flip,
    Hold,
    Place,
    Remove,
    Replace,
    Rule,
    Spurious,
    Stuck,
    ValueTest,
    locate,
)
from mmiotools.engine.inject_names import spell_rule
from mmiotools.engine.inject_rules import MAX_TEXT, parse_rule, parse_rules
from mmiotools.errors import ExpressionError
from mmiotools.regmaps import AUTO, load_names
from mmiotools.trace.header import ROM, Bar, PciDevice

MANUAL = (Path(__file__).parents[2] / "docs" / "injection.md").read_text(encoding="utf-8")
#: The first column of the manual's tables.
EXAMPLES = re.findall(r"^\| `([^`]+)` \|", MANUAL, re.MULTILINE)

#: The card of the examples.
CARD = PciDevice(
    0x0100, 0x10DE, 0x0286, 11, (Bar(0, 0xFD000000, 1 << 24), Bar(1, 0xF0000000, 1 << 26), Bar(ROM, 0xFEB00000, 4096))
)

#: One whose registers have names.
NAMED = CARD._replace(vendor=0x8086, device=0x100E)

R8 = Place("BAR0", 8, 8)


def spelled(text):
    """A rule as it is after the names of registers were replaced."""
    return spell_rule(text, load_names([AUTO]), NAMED)


def test_the_manual_has_an_example_of_every_action_and_condition():
    rules = [parse_rule(spelled(text)) for text in EXAMPLES]
    assert {type(rule.action) for rule in rules} == {Replace, Flip, Stuck, Drop, Delay, Hold, Spurious, Remove}
    said = {
        name
        for rule in rules
        for name in ("after", "every", "at", "times", "probability", "width", "test", "line", "place")
        if getattr(rule, name) != getattr(Rule("", "", Drop()), name)
    }
    assert said == {"after", "every", "at", "times", "probability", "width", "test", "line", "place"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_example_of_the_manual_fits_its_card(text):
    rule = parse_rule(spelled(text))
    assert rule.text == spelled(text)
    assert bool(locate(rule, CARD)) == (rule.place is not None)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("read BAR0+0x8 -> 0xffffffff after 10", Rule("", "R", Replace(0xFFFFFFFF), R8, after=10)),
        ("read BAR0+8->0x1 once", Rule("", "R", Replace(1), R8, times=1)),
        ("write BAR0+0x8 flip bit 3 times 3 reads", None),
        ("write BAR0+0x8 flip bit 3 every 3 writes", Rule("", "W", Flip(3), R8, every=3)),
        ("read BAR0+0x8 stuck 0x80=0", Rule("", "R", Stuck(0x80, 0), R8)),
        ("read BAR0+0x8 stuck bit 4 = 1", Rule("", "R", Stuck(16, 1), R8)),
        ("access BAR0+0x8 delay 1.5us", Rule("", "RW", Delay(1500), R8)),
        ("access BAR0+0x8 delay 12ns at 2", Rule("", "RW", Delay(12), R8, at=2)),
        ("read BAR0+1k+0x10 flip 2.5%", Rule("", "R", Flip(), Place("BAR0", 1024, 1039), probability=0.025)),
        ("read 0000:01:00.0/BAR0+0x8 flip", Rule("", "R", Flip(), Place("BAR0", 8, 8, "01:00.0"))),
        ("remove at 7 accesses", Rule("", "RW", Remove(), at=7)),
        ("remove at 0x7", Rule("", "RW", Remove(), Place(None, 7, 7))),
        ("remove at read BAR0+0x8 at 7", Rule("", "R", Remove(), R8, at=7)),
        ("remove", Rule("", "RW", Remove())),
        ("irq line 5 lose after 2", Rule("", "", Drop(), line=5, after=2)),
        ("irq delay 3 accesses every 2 interrupts", Rule("", "", Hold(3), every=2)),
        ("irq delay 3us 0.5", Rule("", "", Delay(3000), probability=0.5)),
        ("irq spurious every 100 accesses", Rule("", "RW", Spurious(), every=100)),
        (
            "write BAR0+0x8 drop width 2 if value & 0xf0 != 0x10",
            Rule("", "W", Drop(), R8, width=2, test=ValueTest(0xF0, False, 0x10)),
        ),
    ],
)
def test_what_a_rule_says(text, rule):
    if rule is None:
        with pytest.raises(ExpressionError):
            parse_rule(text)
        return
    found = parse_rule(text)
    values = {name: getattr(found, name) for name in Rule.__slots__ if name != "text"}
    assert values == {name: getattr(rule, name) for name in Rule.__slots__ if name != "text"}


def test_blanks_are_squeezed():
    assert parse_rule("  read\tBAR0+0x8 ->\n 0x1 ").text == "read BAR0+0x8 -> 0x1"
    assert parse_rules(["remove", "irq drop"]) == (parse_rule("remove"), parse_rule("irq drop"))


@pytest.mark.parametrize(
    ("text", "wrong", "message"),
    [
        ("", "", "begins with read, write, access, remove or irq, but the rule ends"),
        ("wrote BAR0 drop", "wrote", "did you mean 'write'"),
        ("read", "", "a register as BAR0+0x100 is expected here, but the rule ends"),
        ("read 8 -> 1", "8 ->", "an address is written 0x"),
        ("read 01:00.0 drop", "01:00.0", "a region is missing, as in '01:00.0/BAR0'"),
        ("read BAR0+0x8", "", "'-> VALUE', flip, stuck, drop or delay is expected here"),
        ("read BAR0+ -> 3", "->", "an offset is expected here"),
        ("read BAR0+0x8 becomes 3", "becomes", "expected here, not 'becomes'"),
        ("read BAR0+0x8-0x4 drop", "0x4", "ends before it begins"),
        ("read BAR0+0x8+0 drop", "0 drop", "length is 0"),
        ("read BAR0+0x8-BAR1+0x9 drop", "BAR1", "ends in the region where it begins, 'BAR0'"),
        ("read BAR0+0x8-BAR0 drop", "drop", "an offset is expected"),
        ("read BAR0+0x8 -> 0x1_0000_0000_0000_0000", "0x1_", "more than 64 bits"),
        ("read BAR0+0x8 -> 0x_", "0x_", "is no number"),
        ("read BAR0+0x8 -> five", "five", "a value is expected"),
        ("read BAR0+0x8 flip 3", "3", "alone may mean much"),
        ("read BAR0+0x8 flip bit 64", "64", "from 0 to 63"),
        ("read BAR0+0x8 flip bit 0x3", "0x3", "in decimal"),
        ("read BAR0+0x8 stuck 0 = 1", "0 =", "no bits"),
        ("read BAR0+0x8 stuck 0x80", "", "'= 0' or '= 1' is expected"),
        ("read BAR0+0x8 stuck 0x80 = 2", "2", "at 0 or at 1"),
        ("read BAR0+0x8 delay 5", "5", "a time with its unit"),
        ("read BAR0+0x8 delay 0.5ns", "0.5ns", "finer than a nanosecond"),
        ("read BAR0+0x8 drop if value == 1", "if", "not known before the card was asked"),
        ("access BAR0+0x8 delay 1us if value == 1", "if", "not known before the card was asked"),
        ("read BAR0+0x8 flip if 3", "3", "'value' is expected"),
        ("read BAR0+0x8 flip if value = 3", "= 3", "'==' or '!='"),
        ("read BAR0+0x8 flip after", "", "a count, in decimal, is expected here"),
        ("read BAR0+0x8 flip every 0", "0", "at least 1"),
        ("read BAR0+0x8 flip after 3 after 4", "after 4", "said before"),
        ("read BAR0+0x8 flip once times 4", "times 4", "'times' was said before"),
        ("read BAR0+0x8 flip at 3 every 4", "at 3", "'at' stands alone"),
        ("read BAR0+0x8 flip after 3 interrupts", "interrupts", "this rule counts reads"),
        ("read BAR0+0x8 flip width 3", "3", "1, 2, 4 or 8"),
        ("read BAR0+0x8 flip probability 1.5", "1.5", "more than 0 and at most 1"),
        ("read BAR0+0x8 flip 0.0", "0.0", "more than 0 and at most 1"),
        ("read BAR0+0x8 flip probability lots", "lots", "a probability as 0.01"),
        ("read BAR0+0x8 flip soon", "soon", "conditions are: after N,"),
        ("read BAR0+0x8 # 3", "#", "unexpected character '#'"),
        ("remove every 3", "every", "does not come back"),
        ("remove once", "once", "does not come back"),
        ("remove width 4", "width", "needs a register"),
        ("irq", "", "drop, lose, delay or spurious is expected here, but the rule ends"),
        ("irq flip", "flip", "drop, lose, delay or spurious is expected here, not 'flip'"),
        ("irq delay 3", "3", "write '3 accesses' or '3us'"),
        ("irq line x drop", "x", "the number of an interrupt line"),
        ("irq drop after 3 accesses", "accesses", "this rule counts interrupts"),
        ("irq drop if value == 3", "if", "needs a register"),
    ],
)
def test_errors_point_at_the_word_that_is_wrong(text, wrong, message):
    with pytest.raises(ExpressionError) as caught:
        parse_rule(text)
    assert message in str(caught.value)
    assert caught.value.column == (text.rindex(wrong) if wrong else len(text))


def test_a_rule_has_a_longest_length():
    with pytest.raises(ExpressionError, match="1000 are the most"):
        parse_rule("read BAR0 drop" + " " * MAX_TEXT)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("read BAR0 drop", [("BAR0", 0, 0x1000000)]),
        ("read BAR0+0xffffff drop", [("BAR0", 0xFFFFFF, 0x1000000)]),
        ("read 0xfd000008 drop", [("BAR0", 8, 9)]),
        ("read 0xfd000008+8 drop", [("BAR0", 8, 16)]),
        ("read 0xf3ffffff-0xfd000001 drop", [("BAR0", 0, 2), ("BAR1", 0x3FFFFFF, 0x4000000)]),
        ("read config+4 drop", [("config", 4, 5)]),
        ("irq drop", []),
    ],
)
def test_where_the_registers_lie(text, windows):
    assert [tuple(window) for window in locate(parse_rule(text), CARD)] == windows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("write bar0 drop", "has no region 'bar0'; there are: BAR0, BAR1, ROM, config"),
        ("write BAR0+0x1000000 drop", "BAR0 has only 0x1000000 bytes"),
        ("write 02:00.0/BAR0 drop", "the card is 01:00.0, not 02:00.0"),
        ("write 0x1000 drop", "no BAR of the card 01:00.0 lies there"),
    ],
)
def test_registers_that_the_card_does_not_have(text, message):
    with pytest.raises(ExpressionError) as caught:
        locate(parse_rule(text), CARD)
    assert message in str(caught.value)
    assert caught.value.column == len("write ")


SIGNS = ["->", "=", "==", "%", "&", "+", "-", "0x10", "0x10-0x20", "7", "0.5", "5ms", "BAR0+0x8", "01:00.0/BAR1", "\0"]
WORDS = [*SIGNS, *re.findall(r"[a-z]+", MANUAL.partition("The grammar")[2].partition("### Places")[0])]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_rule_or_an_error_in_it(text):
    try:
        rule = parse_rule(text)
    except ExpressionError as error:
        assert 0 <= error.column <= len(text)
        assert error.text == " ".join(text.split())
    else:
        assert parse_rule(rule.text) == rule
