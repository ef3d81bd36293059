"""What differs between recordings of one version of a driver: noise, learned to be told from what a change does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from mmiotools.diff.floating import Blocks
from mmiotools.diff.moves import Left, block_moves
from mmiotools.diff.pairs import Pairs, pair, runs
from mmiotools.diff.runs import gaps
from mmiotools.diff.varying import Values
from mmiotools.filters.masks import NOTHING_SAID, Mask, MaskFile
from mmiotools.trace.accesses import Accesses, accesses_of
from mmiotools.trace.arrays import distinct, flatnonzero
from mmiotools.typed import Iterator, NDArray, Sequence

Indexes = NDArray[np.int64]
Rows = NDArray[np.bool_]

#: Recordings of one version that are all held against each other; of more, each against the first and the next.
_ALL_PAIRS = 4
#: Rounds after which values that still turn out to vary are left.
_ROUNDS = 6
#: Registers of a sequence that is taken for the same one in another place.
_SEQUENCE = 16
#: So many accesses around something that varies are near it.
_NEAR = 32


@dataclass(slots=True)
class Noise:
    """What varies without a change of the driver.

    values   registers that do not always have the same value
    masks    what the user says about registers
    blocks   accesses that come at other times, or more or less often
    near     by recording (its `id`): (n,) bool, accesses near something that varied
    """

    values: Values = field(default_factory=Values)
    masks: tuple[Mask, ...] = ()
    blocks: Blocks = field(default_factory=Blocks)
    near: dict[int, Rows] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Is there anything?"""
        return bool(self.values or self.masks or self.blocks)

    def keep(self, accesses: Accesses) -> NDArray[np.uint64]:
        """The bits of each value that count, (n,)."""
        kept = self.values.keep(accesses)
        for mask in self.masks:
            kept[mask.rows(accesses)] &= ~np.uint64(mask.bits)
        return kept


def learn(groups: Sequence[Sequence[Accesses]], said: MaskFile = NOTHING_SAID) -> Noise:
    """Learn from recordings of the same version each, and from masks. A group of one teaches nothing.

    Values come first: what is left unpaired between two runs is told apart better once those that vary do not count.
    """
    noise = Noise(masks=said.masks)
    couples = [couple for group in groups for couple in _couples(group)]
    for _ in range(_ROUNDS):
        before = len(noise.values)
        for a, b in couples:
            keep_a, keep_b = noise.keep(a), noise.keep(b)
            rows_a, rows_b = _differing(a, b, pair(a, b, keep_a, keep_b, singles=False))
            noise.values.observe(a, rows_a, b, rows_b)
        noise.values.settle()
        if len(noise.values) == before:
            break
    for a, b in couples:
        pairs = pair(a, b, noise.keep(a), noise.keep(b))
        _learn_blocks(noise, a, pairs.keys_a, pairs.free_a, flatnonzero(pairs.moved >= 0))
        moved = np.sort(pairs.moved[pairs.moved >= 0])
        _learn_blocks(noise, b, pairs.keys_b, pairs.free_b, moved)
    for block in said.blocks:
        rows = accesses_of(block.filled())
        keep = np.where(block.any_value(), np.uint64(0), noise.keep(rows))
        noise.blocks.add_block(tuple(rows.keys(keep).tolist()))
    return noise


def _couples(group: Sequence[Accesses]) -> Iterator[tuple[Accesses, Accesses]]:
    if len(group) <= _ALL_PAIRS:
        yield from combinations(group, 2)
        return
    for at in range(1, len(group)):
        yield group[0], group[at]
        if at > 1:
            yield group[at - 1], group[at]


def _differing(a: Accesses, b: Accesses, pairs: Pairs) -> tuple[Indexes, Indexes]:
    """Accesses that are the same one in two runs, for all that can be told, and differ in value."""
    left = flatnonzero(pairs.partner >= 0)
    found_a, found_b = [left], [pairs.partner[left]]
    registers_a, registers_b = a.register_keys(), b.register_keys()
    free_a, free_b = (pairs.partner < 0) & (pairs.moved < 0), pairs.free_b.copy()
    free_b[pairs.changed[pairs.changed >= 0]] = True
    for alo, ahi, blo, bhi in gaps(pairs.partner, len(b)).tolist():
        rows_a, rows_b = alo + flatnonzero(free_a[alo:ahi]), blo + flatnonzero(free_b[blo:bhi])
        # Only where the same registers stand in the same order is it sure which value belongs to which.
        if len(rows_a) == len(rows_b) and bool((registers_a[rows_a] == registers_b[rows_b]).all()):
            found_a.append(rows_a)
            found_b.append(rows_b)
    # The same of long sequences of registers in another place, whatever of them has moved with the same values.
    loose_b = np.ones(len(b), np.bool_)
    loose_b[found_b[0]] = False
    loose = Left.of(flatnonzero(pairs.partner < 0), registers_a), Left.of(flatnonzero(loose_b), registers_b)
    at_a, at_b = block_moves(*loose, _SEQUENCE)
    rows_a, rows_b = (np.concatenate((*found_a, loose[0].rows[at_a])), np.concatenate((*found_b, loose[1].rows[at_b])))
    unequal = (a.value[rows_a] != b.value[rows_b]) | np.isin(rows_a, list(a.wide))
    return rows_a[unequal], rows_b[unequal]


def _learn_blocks(noise: Noise, side: Accesses, keys: NDArray[np.uint64], free: Rows, moved: Indexes) -> None:
    listed = keys.tolist()
    loose = flatnonzero(free)
    both = distinct(np.concatenate((loose, moved)))
    for rows in (loose, moved, both):
        for start, stop in zip(*(ends.tolist() for ends in runs(rows)), strict=True):
            noise.blocks.add(listed, start, stop)
    near = noise.near.setdefault(id(side), np.zeros(len(side), np.bool_))
    edges = np.zeros(len(side) + 1, np.int64)
    for start, stop in zip(*(ends.tolist() for ends in runs(both)), strict=True):
        edges[max(0, start - _NEAR)] += 1
        edges[min(len(side), stop + _NEAR)] -= 1
    near |= np.cumsum(edges[:-1]) > 0
