"""The rules about noise: what each explains, and what it does not."""

from __future__ import annotations

import pytest
from diff_helpers import recording

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.learn import Noise
from mmiotools.diff.rules import RULES, check_rules
from mmiotools.errors import UsageError

Rows = list[tuple[str, int, int | None]]
AROUND: Rows = [("W", 0x100 + 4 * n, n) for n in range(8)]


def classes(a: Rows, b: Rows, *names: str) -> list[str]:
    """The classes of the hunks, with these rules on."""
    rules = [rule for rule in RULES if rule.name in names]
    comparison = compare_noisy([recording(AROUND + a + AROUND)], [recording(AROUND + b + AROUND)], Noise(), rules)
    return [hunk.category for hunk in comparison.hunks]


@pytest.mark.parametrize(
    ("rule", "a", "b"),
    [
        ("poll-length", [("R", 8, 0)] * 3, [("R", 8, 0)] * 9),
        ("poll-length", [("R", 8, 0), ("R", 12, 1)] * 2, [("R", 8, 0), ("R", 12, 1)] * 5),
        ("ring-address", [("W", 8, 0x1234000)], [("W", 8, 0x1277000)]),
        ("ring-address", [("W", 8, 0x1234000), ("W", 12, 0x1234040)], [("W", 8, 0x1277000), ("W", 12, 0x1277040)]),
        ("ring-address", [("W", 8, 0x1234000), ("R", 8, 0x1234000)], [("W", 8, 0x1277000), ("R", 8, 0x1277000)]),
        ("read-value", [("R", 8, 5)], [("R", 8, 6)]),
    ],
)
def test_what_a_rule_explains(rule: str, a: Rows, b: Rows) -> None:
    assert set(classes(a, b, rule)) == {"volatile"}
    assert set(classes(b, a, rule)) == {"volatile"}
    assert set(classes(a, b)) == {"driver"}, "without the rule"


@pytest.mark.parametrize(
    ("rule", "a", "b"),
    [
        ("poll-length", [("R", 8, 0)], [("R", 8, 0)] * 2),
        ("poll-length", [("W", 8, 0)] * 3, [("W", 8, 0)] * 9),
        ("poll-length", [], [("R", 8, 0)] * 9),
        ("poll-length", [("R", 8, 0)] * 5, [("R", 8, 0)] * 5 + [("R", 12, 0)]),
        ("ring-address", [("W", 8, 0x1234000)], [("W", 8, 0x1235000)]),  # one bit: a flag perhaps
        ("ring-address", [("W", 8, 0x1234000)], [("W", 8, 0x1277010)]),
        ("ring-address", [("W", 8, 0x1234000)], [("W", 8, 0)]),
        ("ring-address", [("W", 8, 0x3000)], [("W", 8, 0x6000)]),
        ("ring-address", [("W", 8, 0x1234000), ("W", 8, 3)], [("W", 8, 0x1277000), ("W", 8, 3)]),
        ("ring-address", [("W", 8, 0x1234000)] * 2, [("W", 8, 0x1277000), ("W", 8, 0x1299000)]),
        ("ring-address", [("R", 8, 0x1234000)], [("R", 8, 0x1277000)]),
        ("read-value", [("R", 8, 5), ("W", 8, 1)], [("R", 8, 6), ("W", 8, 1)]),
        ("read-value", [("W", 8, 5)], [("W", 8, 6)]),
        ("read-value", [], [("R", 8, 6)]),
    ],
)
def test_what_a_rule_leaves_alone(rule: str, a: Rows, b: Rows) -> None:
    assert "driver" in classes(a, b, rule)
    assert "driver" in classes(b, a, rule)


BLOCK: Rows = [("W", 0x20, 1), ("R", 0x24, 2), ("W", 0x28, 3), ("R", 0x2C, 4), ("W", 0x30, 5)]
REST: list[Rows] = [[("W", 0x200 + 32 * part + 4 * n, n) for n in range(8)] for part in range(8)]


def interleaved(places: set[int]) -> Rows:
    return [row for part, rest in enumerate(REST) for row in (BLOCK if part in places else []) + rest]


def test_a_repeated_block_in_another_place() -> None:
    a, b = interleaved({0, 1, 2, 3, 4}), interleaved({0, 1, 2, 3, 6})
    assert set(classes(a, b, "repeated-block")) == {"volatile"}
    once_more = interleaved({0, 1, 2, 3, 4, 6})
    assert set(classes(a, once_more, "repeated-block")) == {"driver"}, "one more is not the same number"
    assert set(classes(interleaved({1, 4}), interleaved({1, 6}), "repeated-block")) == {"driver"}, "too seldom"
    changed = [(op, at, value) if at != 0x30 else (op, at, 6) for op, at, value in b]
    assert "driver" in classes(a, changed, "repeated-block")


def test_names() -> None:
    check_rules(tuple(rule.name for rule in RULES))
    with pytest.raises(UsageError, match="mmiotools list rules"):
        check_rules(("no-such",))
