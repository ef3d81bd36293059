"""What noise explains of two recordings: values, blocks that come and go, and order, against the habits of both."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.anchors import kgrams
from mmiotools.diff.floating import STRETCH
from mmiotools.diff.habits import Habits
from mmiotools.diff.hunks import ReasonTable
from mmiotools.diff.learn import Noise
from mmiotools.diff.pairs import Pairs, pair, runs
from mmiotools.diff.rules import recurs
from mmiotools.events import Kind
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import among, distinct, flatnonzero
from mmiotools.trace.matching import same
from mmiotools.typed import NDArray, Sequence

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A run that stands so often in both recordings is a block that both repeat.
_AGAIN = 3
#: A stretch is long from so many accesses on, and restless if at least this share of it is near what varied.
_LONG, _MOSTLY = 24, 0.5


def set_aside(
    group_a: Sequence[Accesses], group_b: Sequence[Accesses], noise: Noise, table: ReasonTable
) -> tuple[Pairs, NDArray[np.int32], NDArray[np.int32]]:
    """Pair the first of each group, and give the number of the reason for each access that is explained."""
    a, b = group_a[0], group_b[0]
    keys = [[side.keys(noise.keep(side)) for side in group] for group in (group_a, group_b)]
    # A value that varies beside some accesses and not beside others hides habits, so registers alone count as well.
    every = Habits(*keys), Habits(*([side.register_keys() for side in group] for group in (group_a, group_b)))
    broken_a, broken_b = (np.logical_or(*(habits.broken(lost) for habits in every)) for lost in (True, False))
    broken = np.asarray(broken_a, np.bool_), np.asarray(broken_b, np.bool_)
    pairs = pair(a, b, noise.keep(a), noise.keep(b), apart=broken)
    whys = _part_values(a, b, pairs, noise, table)
    near_a, near_b = _near(noise, pairs, a, b)
    repeats = [*keys[0][1:], *keys[1][1:]]
    one, other = sides = (
        _Side(a, pairs.keys_a, near_a, broken[0], np.concatenate((pairs.keys_b, *repeats))),
        _Side(b, pairs.keys_b, near_b, broken[1], np.concatenate((pairs.keys_a, *repeats))),
    )
    one.meet(other)
    other.meet(one)
    one.why += whys
    _hang_together(sides, pairs, noise, table)
    for side, free in ((one, pairs.free_a), (other, pairs.free_b)):
        _explain_runs(side, flatnonzero(free & ~side.explained), noise, table)
    _moves(sides, pairs, noise, table)
    return pairs, one.why, other.why


def _part_values(a: Accesses, b: Accesses, pairs: Pairs, noise: Noise, table: ReasonTable) -> NDArray[np.int32]:
    """Pairs that are the same but for values that vary become changes, the numbers of their reasons are returned."""
    why = np.zeros(len(a), np.int32)
    left = flatnonzero(pairs.partner >= 0)
    left = left[~same(a, left, b, pairs.partner[left])]
    pairs.changed[left] = pairs.partner[left]
    pairs.partner[left] = -1
    registers = a.register_keys()[left]
    for register in distinct(registers).tolist():
        why[left[registers == np.uint64(register)]] = table.number(noise.values.why(register))
    for mask in noise.masks:
        rows = left[mask.rows(a)[left]]
        why[rows[why[rows] == 0]] = table.number(mask.why())
    return why


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


def _explain_runs(side: _Side, rows: Indexes, noise: Noise, table: ReasonTable) -> None:
    for start, stop in zip(*(ends.tolist() for ends in runs(rows)), strict=True):
        text = side.explain(noise, start, stop)
        if text:
            side.explained[start:stop] = True
            side.why[start:stop] = np.where(side.broken[start:stop], 0, table.number(text))


def _hang_together(sides: tuple[_Side, _Side], pairs: Pairs, noise: Noise, table: ReasonTable) -> None:
    """What has moved and what is left over may be parts of one block: all that hangs together is tried first.

    Where that explains both ends of a move, and one of them is part of more, the move was none: `pairs` is changed.
    """
    left = flatnonzero(pairs.moved >= 0)
    right = pairs.moved[left]
    parts = []
    for side, free, moved in zip(sides, (pairs.free_a, pairs.free_b), (left, np.sort(right)), strict=True):
        rows = distinct(np.concatenate((flatnonzero(free), moved)))
        _explain_runs(side, rows, noise, table)
        mixed = np.zeros(len(free), np.bool_)
        for start, stop in zip(*(ends.tolist() for ends in runs(rows)), strict=True):
            mixed[start:stop] = free[start:stop].any()
        parts.append(mixed)
    one, other = sides
    none = one.explained[left] & other.explained[right] & (parts[0][left] | parts[1][right])
    pairs.moved[left[none]] = -1
    pairs.free_b[right[none]] = True


def _moves(sides: tuple[_Side, _Side], pairs: Pairs, noise: Noise, table: ReasonTable) -> None:
    """Moves of accesses that were seen to come, go or move elsewhere, where something was seen to vary; and moves
    past nothing but blocks that come at other times.
    """
    left = flatnonzero(pairs.moved >= 0)
    right = pairs.moved[left]
    restless = among(pairs.keys_a[left], np.array(sorted(noise.blocks.restless), np.uint64))
    one, other = sides
    chain_a, chain_b = pairs.chain
    for start, stop in zip(*(ends.tolist() for ends in runs(left, right)), strict=True):
        low, high = np.searchsorted(left, (start, stop))
        to = int(right[low])
        explained = one.explained[start:stop], other.explained[to : to + stop - start]
        text = ""
        if explained[0].all() or explained[1].all():
            whys = one.why[start:stop] if explained[0].all() else other.why[to : to + stop - start]
            text = table.texts()[int(whys.max())]
        elif restless[low:high].all() and one.near[start:stop].any() and other.near[to : to + stop - start].any():
            text = "order varies from run to run"
        else:
            at = np.searchsorted(chain_b, to)
            place = int(chain_a[at]) if at < len(chain_a) else len(one.listed)
            text = one.explain(noise, *((stop, place) if place > start else (place, start)))
        if text:
            broken = one.broken[start:stop] | other.broken[to : to + stop - start]
            one.why[start:stop] = np.where(broken, 0, table.number(text))


class _Side:
    """One recording: its keys, what is near something that varied, and the number of the reason for each access.

    known   keys of all other recordings
    """

    def __init__(self, side: Accesses, keys: Keys, near: Mask, broken: Mask, known: Keys) -> None:
        self.listed = keys.tolist()
        self.near = near
        self.broken = broken
        self.why = np.zeros(len(keys), np.int32)
        self.explained = np.zeros(len(keys), np.bool_)
        self.stretches = _Stretches(keys)
        self.registers = side.register_keys()
        self._strange = (side.op == Kind.WRITE) & ~among(keys, distinct(known))
        self._other = self

    def meet(self, other: _Side) -> None:
        """The recording that it is compared with."""
        self._other = other

    def explain(self, noise: Noise, start: int, stop: int) -> str:
        """Why accesses start..stop-1 may be more, less or elsewhere; "" if nothing tells."""
        near = bool(self.near[start:stop].any())
        if start == stop:
            return ""
        why = noise.blocks.explain(self.listed, start, stop, near, self._repeated, self._occurs)
        if not why and noise.blocks.encloses(self.listed, start, stop) and self._restless(start, stop):
            why = "a time of blocks that come at other times, which the other run did not have"
        return why

    def _restless(self, start: int, stop: int) -> bool:
        """Is this a long stretch, most of which lies where something was seen to vary, of registers that both
        recordings go through elsewhere as well?
        """
        if stop - start < _LONG or self.near[start:stop].mean() < _MOSTLY:
            return False
        here = np.concatenate((self.registers[:start], self.registers[stop:]))
        run = self.registers[start:stop]
        return bool(among(run, distinct(here)).all() and among(run, distinct(self._other.registers)).all())

    def _repeated(self, block: tuple[int, ...]) -> bool:
        return self.stretches.count(block) > 1 and self._other.stretches.count(block) > 0

    def _occurs(self, start: int, stop: int) -> bool:
        """Are there such accesses, but for values, again and again on both sides? What is written is no news."""
        if self._strange[start:stop].any():
            return False
        run = self.registers[start:stop]
        return all(recurs(side.registers, run, _AGAIN) for side in (self, self._other))


class _Stretches:
    """How often each stretch of STRETCH keys is in a recording."""

    def __init__(self, keys: Keys) -> None:
        self._hashes = np.sort(kgrams(keys, STRETCH))

    def count(self, block: tuple[int, ...]) -> int:
        """Occurrences of a block of STRETCH keys."""
        key = kgrams(np.array(block, np.uint64), STRETCH)[0]
        return int(np.searchsorted(self._hashes, key, "right") - np.searchsorted(self._hashes, key, "left"))
