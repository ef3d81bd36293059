"""Which differences are the driver's and which would be there without a change of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.anchors import kgrams
from mmiotools.diff.floating import STRETCH
from mmiotools.diff.habits import Habits
from mmiotools.diff.hunks import Comparison, Verdict, assemble
from mmiotools.diff.learn import Noise
from mmiotools.diff.pairs import Pairs, pair, runs
from mmiotools.diff.rules import RULES, Open, Rule
from mmiotools.trace.matching import Accesses, same

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]


def compare_noisy(
    group_a: Sequence[Accesses],
    group_b: Sequence[Accesses],
    noise: Noise,
    rules: Sequence[Rule] = RULES,
    name_a: str = "a",
    name_b: str = "b",
) -> Comparison:
    """Compare the first of each group, and set aside what `noise` explains, as class VOLATILE with a reason.

    Whatever is not explained is of class DRIVER. An explained access that, all through the recordings of one version,
    belongs to the one beside it, and does not in the other version, is no noise: see `Habits`.
    """
    a, b = group_a[0], group_b[0]
    keep_a, keep_b = noise.values.keep(a), noise.values.keep(b)
    pairs = pair(a, b, keep_a, keep_b)
    table = _Reasons()
    why_a, why_b = np.zeros(len(a), np.int32), np.zeros(len(b), np.int32)
    pairs = _part_values(a, b, pairs, noise, table, why_a)
    near_a, near_b = _near(noise, pairs, a, b)
    habits = Habits(
        [side.keys(noise.values.keep(side)) for side in group_a],
        [side.keys(noise.values.keep(side)) for side in group_b],
    )
    listed_a, listed_b = pairs.keys_a.tolist(), pairs.keys_b.tolist()
    known = _Repeated(pairs.keys_a), _Repeated(pairs.keys_b)
    loose_a, loose_b = np.flatnonzero(pairs.free_a), np.flatnonzero(pairs.free_b)
    for rows, listed, near, own, other, why, lost in (
        (loose_a, listed_a, near_a, known[0], known[1], why_a, True),
        (loose_b, listed_b, near_b, known[1], known[0], why_b, False),
    ):

        def repeated(block: tuple[int, ...], own: _Repeated = own, other: _Repeated = other) -> bool:
            return own.count(block) > 1 and other.count(block) > 0

        for start, stop in zip(*(ends.tolist() for ends in runs(rows)), strict=True):
            text = noise.blocks.explain(listed, start, stop, bool(near[start:stop].any()), repeated)
            if text:
                why[start:stop] = np.where(habits.broken(start, stop, lost), 0, table.number(text))
    _moves(pairs, noise, near_a, near_b, habits, table, why_a)
    for rule in rules:
        found_a, found_b = rule.apply(Open(a, b, pairs, why_a == 0, why_b == 0))
        why_a[found_a], why_b[found_b] = table.number(rule.why), table.number(rule.why)
    return assemble(a, b, pairs, Verdict(why_a, why_b, table.texts()), name_a, name_b)


def _part_values(
    a: Accesses, b: Accesses, pairs: Pairs, noise: Noise, table: _Reasons, why: NDArray[np.int32]
) -> Pairs:
    """Pairs that are the same but for values that vary become changes, with the reason; moves get theirs later."""
    left = np.flatnonzero(pairs.partner >= 0)
    left = left[~same(a, left, b, pairs.partner[left])]
    pairs.changed[left] = pairs.partner[left]
    pairs.partner[left] = -1
    registers = a.register_keys()[left]
    for register in np.unique(registers).tolist():
        why[left[registers == np.uint64(register)]] = table.number(noise.values.why(register))
    return pairs


def _near(noise: Noise, pairs: Pairs, a: Accesses, b: Accesses) -> tuple[Mask, Mask]:
    """Accesses of each side near something that varied, there or in the same place of the other."""
    chain_a, chain_b = pairs.chain
    own_a = noise.near.get(id(a), np.zeros(len(a), np.bool_))
    own_b = noise.near.get(id(b), np.zeros(len(b), np.bool_))
    return own_a | _projected(own_b, chain_b, chain_a, len(a)), own_b | _projected(own_a, chain_a, chain_b, len(b))


def _projected(near: Mask, here: Indexes, there: Indexes, length: int) -> Mask:
    """`near` of one side in the places of the other: those of partners, and all between two that are near."""
    marks = np.concatenate(([False], near[here], [False]))
    before = np.searchsorted(there, np.arange(length), "right")
    return np.asarray(marks[before] | marks[np.minimum(before + 1, len(marks) - 1)], np.bool_)


def _moves(
    pairs: Pairs, noise: Noise, near_a: Mask, near_b: Mask, habits: Habits, table: _Reasons, why: NDArray[np.int32]
) -> None:
    """Moves of accesses that were seen to come, go or move elsewhere, where something was seen to vary."""
    left = np.flatnonzero(pairs.moved >= 0)
    right = pairs.moved[left]
    restless = np.isin(pairs.keys_a[left], np.array(sorted(noise.blocks.restless), np.uint64))
    number = table.number("order varies from run to run")
    for start, stop in zip(*(ends.tolist() for ends in runs(left, right)), strict=True):
        low, high = np.searchsorted(left, (start, stop))
        to = int(right[low])
        if not restless[low:high].all() or not near_a[start:stop].any() or not near_b[to : to + stop - start].any():
            continue
        broken = habits.broken(start, stop, True) | habits.broken(to, to + stop - start, False)
        why[start:stop] = np.where(broken, 0, number)


class _Reasons:
    """Texts by number; 0 is none."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)


class _Repeated:
    """How often each stretch of STRETCH keys is in a recording."""

    def __init__(self, keys: Keys) -> None:
        self._hashes = np.sort(kgrams(keys, STRETCH))

    def count(self, block: tuple[int, ...]) -> int:
        """Occurrences of a block of STRETCH keys."""
        key = kgrams(np.array(block, np.uint64), STRETCH)[0]
        low, high = np.searchsorted(self._hashes, key, "left"), np.searchsorted(self._hashes, key, "right")
        return int(high - low)
