"""The filter language: what parses, how it prints, and where errors point."""

import pytest
from filter_expressions import expressions
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import ExpressionError
from mmiotools.filters.explain import explain
from mmiotools.filters.expr import And, Compare, Member, Not, Or, Place, Span, Text, Word, walk
from mmiotools.filters.grammar import parse, parse_times
from mmiotools.filters.patterns import compile_pattern
from mmiotools.filters.predicates import PREDICATES

EXAMPLES = [example for row in PREDICATES for example in row.examples]


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_documented_example_prints_to_an_equal_tree(text):
    tree = parse(text)
    assert parse(str(tree)) == tree
    assert explain(tree).startswith(str(tree) + "\n")


@given(expressions())
def test_any_tree_prints_to_an_equal_tree(tree):
    assert parse(str(tree)) == tree
    assert explain(tree)


@given(st.text("abmrkpvlue0x19.:/'\"()&|!<>={}+-,~ \\", max_size=40))
def test_any_text_gives_a_tree_or_an_error_inside_it(text):
    try:
        parse(text)
    except ExpressionError as error:
        assert error.text == text
        assert 0 <= error.column <= len(text)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", Word("all")),
        ("map", Word("map")),
        ("map == 3", Compare("map", "==", 3)),
        ("map & 1 == 1", Compare("map", "==", 1, 1)),
        ("map && read", And((Word("map"), Word("read")))),
        ("mark == begin", Text("mark", "==", ("begin",))),
        ("mark or read and write", Or((Word("mark"), And((Word("read"), Word("write")))))),
        ("not read and write", And((Not(Word("read")), Word("write")))),
        ("!(read || write)", Not(Or((Word("read"), Word("write"))))),
        ("op == W", Compare("op", "==", 1)),
        ("kind in {lost, NOTE}", Member("kind", (Span(6, 6), Span(10, 10)))),
        ("value == 1_000", Compare("value", "==", 1000)),
        ("value == 0b101", Compare("value", "==", 5)),
        ("offset < 4k", Compare("offset", "<", 4096)),
        ("offset in 1M+1G", Member("offset", (Span(1 << 20, (1 << 20) + (1 << 30) - 1),))),
        ("offset in 0x100+0x10", Member("offset", (Span(0x100, 0x10F),))),
        ("value == -1", Compare("value", "==", -1)),
        ("pid in -5--1", Member("pid", (Span(-5, -1),))),
        ("(value & 0x80) != 0", Compare("value", "!=", 0, 0x80)),
        ("time == 4.07", Compare("time", "==", 4_070_000_000)),
        ("time == 4.07s", Compare("time", "==", 4_070_000_000)),
        ("time == 0.000000001", Compare("time", "==", 1)),
        ("time == 10ms", Compare("time", "==", 10_000_000)),
        ("time == 1.5us", Compare("time", "==", 1500)),
        ("time == 12ns", Compare("time", "==", 12)),
        ("time in 1+10ms", Member("time", (Span(10**9, 10**9 + 10**7 - 1),))),
        ("bar == BAR3", Compare("bar", "==", 3)),
        ("bar == ROM", Compare("bar", "==", 6)),
        ("bar == 00:03.0/BAR0", Text("region", "==", ("00:03.0/BAR0",))),
        ("region == 0000:0A:03.0/BAR0", Text("region", "==", ("0a:03.0/BAR0",))),
        ("region == 'a\\x41\\'\\n'", Text("region", "==", ("aA'\n",))),
        ("addr == BAR0+0x100", Place("==", "BAR0", 0x100)),
        ("addr in BAR0", Member("addr", (Span(0, None, "BAR0"),))),
        ("addr in BAR0+8", Member("addr", (Span(8, 8, "BAR0"),))),
        ("addr in BAR0+8+8", Member("addr", (Span(8, 15, "BAR0"),))),
        ("addr in BAR0+8-BAR0+0x10", Member("addr", (Span(8, 16, "BAR0"),))),
    ],
)
def test_meaning(text, tree):
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("vlaue == 1", 0, "did you mean 'value'"),
        ("reed", 0, "did you mean 'read'"),
        ("value", 5, "needs a comparison"),
        ("value ==", 8, "missing"),
        ("value == read", 9, "number"),
        ("value == 0x", 9, "no number"),
        ("value == 1__0", 9, "no number"),
        ("value == 010", 9, "leading zero"),
        ("value = 1", 6, "write '=='"),
        ("read | write", 5, "'or'"),
        ("read write", 5, "missing"),
        ("read and", 8, "missing"),
        ("and read", 0, "expected"),
        ("(read", 0, "never closed"),
        ("read)", 4, "closes nothing"),
        ("()", 1, "expected"),
        ("addr in 9-3", 10, "empty"),
        ("addr in 9+0", 10, "empty"),
        ("addr in BAR0+9-3", 15, "empty"),
        ("addr in BAR0+1-BAR1+3", 15, "where it begins"),
        ("addr in {}", 8, "empty"),
        ("addr in {1", 8, "never closed"),
        ("addr in {1 2}", 11, "expected"),
        ("addr == BAR0", 12, "offset"),
        ("addr == 00:03.0+4", 8, "region is missing"),
        ("value & 3", 9, "comparison is missing"),
        ("value & -3 == 1", 8, "number"),
        ("addr & 0x10000000000000000 == 0", 7, "64 bits"),
        ("time & 1 == 1", 5, "no bits"),
        ("time == 0.0000000001", 8, "finer"),
        ("time == 4parsecs", 8, "no time"),
        ("op < read", 3, "no order"),
        ("op == reed", 6, "did you mean"),
        ("mark ~ '('", 7, "bad regular expression"),
        ("mark ~ '(a+)+b'", 7, "for ever"),
        ("mark ~ 5", 7, "in quotes"),
        ("mark == 'a", 8, "never closed"),
        ("mark == '\\q'", 9, "escape"),
        ("mark < 'a'", 5, "holds text"),
        ("value ~ 'a'", 6, "holds text"),
        ("width == 1 $", 11, "unexpected"),
        ("(" * 200 + "read" + ")" * 200, 100, "nested deeper"),
    ],
)
def test_errors_point_at_the_place(text, column, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        parse(text)
    assert caught.value.column == column
    assert caught.value.text == text


def test_nodes_know_their_columns():
    columns = {str(node): node.column for node in walk(parse("read and not value & 1 == 1"))}
    assert columns["read"] == 0
    assert columns["value & 0x1 == 0x1"] == 13


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("1-2", (10**9, 2 * 10**9)),
        ("1.5-", (1_500_000_000, None)),
        ("-2ms", (None, 2_000_000)),
        ("1+1ns", (10**9, 10**9)),
    ],
)
def test_time_ranges(text, times):
    assert parse_times(text) == times


@pytest.mark.parametrize("text", ["", "1", "2-1", "a-b", "1-2-3", "1+0", "-", "-1-2"])
def test_bad_time_ranges(text):
    with pytest.raises(ExpressionError):
        parse_times(text)


@pytest.mark.parametrize("pattern", [b"(a*)*", b"(?:a+b?)+", b"((ab)+c){2,}", b"(x(a+))*", b"a" * 1001, b"[", b"*"])
def test_patterns_that_are_refused(pattern):
    with pytest.raises(ValueError, match=r"\w"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [b"(ab)+", b"(a+)?", b"(a+){3}", rb"(\+)+", b"([+*])+", b"(a|b)*c+", b"(?:x)+y*", b"[[a]", b"[a||b]"]
)
def test_patterns_that_are_taken(pattern):
    assert compile_pattern(pattern).pattern == pattern
