"""One rule of fault injection at work: what it has counted, whether it is its turn, and the values it makes."""

from __future__ import annotations

import random

from mmiotools.engine.inject_data import Flip, Replace, Rule, Stuck
from mmiotools.typed import Any


class Carrier:
    """One rule with its counters and its random numbers, which depend on nothing but itself and what it counted."""

    __slots__ = ("acted", "label", "matched", "random", "rule", "seed")

    def __init__(self, rule: Rule, number: int, seed: str) -> None:
        self.rule = rule
        self.label = f"[rule {number}: {rule.text}]"
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """Nothing counted, nothing drawn."""
        self.matched = self.acted = 0
        self.random = random.Random(self.seed)

    def due(self, width: int = 0, value: int = 0) -> bool:
        """Count an access or an interrupt; whether it is the rule's turn."""
        rule = self.rule
        if rule.width is not None and width != rule.width:
            return False
        if rule.test is not None and not rule.test.holds(value):
            return False
        self.matched += 1
        count = self.matched - rule.after
        if count <= 0 or count % rule.every or (rule.at is not None and count != rule.at):
            return False
        if rule.times is not None and self.acted >= rule.times:
            return False
        if rule.probability is not None and self.random.random() >= rule.probability:
            return False
        self.acted += 1
        return True

    def change(self, value: int, width: int) -> int:
        """The value that passes the bus instead of `value`."""
        action = self.rule.action
        if isinstance(action, Flip):
            bit = self.random.randrange(8 * width) if action.bit is None else action.bit
            value ^= 1 << bit
        elif isinstance(action, Stuck):
            value = value | action.mask if action.level else value & ~action.mask
        elif isinstance(action, Replace):
            value = action.value
        return value & (1 << 8 * width) - 1

    def save(self) -> list[Any]:
        """State, JSON fit."""
        return [self.matched, self.acted, self.random.getstate()]

    def load(self, state: list[Any]) -> None:
        """Back to what `save` gave."""
        self.matched, self.acted, (version, words, gauss) = state
        self.random.setstate((version, tuple(words), gauss))
