"""Cautious rules about what is no work of the driver, for when there is no other run to learn from.

Each looks at differences that nothing has explained yet and says of which it is sure. All can be switched off by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.floating import loop_around
from mmiotools.diff.pairs import Pairs, runs
from mmiotools.errors import UsageError
from mmiotools.events import Kind
from mmiotools.trace.matching import Accesses

Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]

#: A poll loop goes round at least so often on the side where it is longer, and so often on the other one.
_POLLS, _POLLS_LEFT = 4, 2
_PAGE = 0x1000
#: Addresses in memory: page aligned, above the first MiB, of at most 48 bits.
_LOWEST_ADDRESS, _HIGHEST_ADDRESS = 0x100000, 1 << 48


class Open(NamedTuple):
    """Two recordings, how they are paired, and which accesses nothing explains so far; (n,) and (m,) bool."""

    a: Accesses
    b: Accesses
    pairs: Pairs
    open_a: Mask
    open_b: Mask


#: What a rule explains: accesses of A and of B, (n,) and (m,) bool. Of pairs the access of A.
Explained: TypeAlias = tuple[Mask, Mask]


class Rule(NamedTuple):
    """A rule: name, one line about it, the reason it gives, and the function that applies it."""

    name: str
    title: str
    why: str
    apply: Callable[[Open], Explained]


def _nothing(it: Open) -> Explained:
    return np.zeros(len(it.a), np.bool_), np.zeros(len(it.b), np.bool_)


def poll_length(it: Open) -> Explained:
    """Rounds, of reads alone, that a loop went round more on one side; what it read is the same in every round."""
    found = _nothing(it)
    sides = (it.a, it.pairs.keys_a, it.open_a & it.pairs.free_a), (it.b, it.pairs.keys_b, it.open_b & it.pairs.free_b)
    for (side, keys, free), explained in zip(sides, found, strict=True):
        rows = np.flatnonzero(free)
        if not len(rows):
            continue
        listed = keys.tolist()
        for start, stop in zip(*(ends.tolist() for ends in runs(rows)), strict=True):
            if (side.op[start:stop] != Kind.READ).any():
                continue
            loop = loop_around(listed, start, stop)
            if loop is None:
                continue
            size = len(loop[1])
            left = _rounds(listed, start, stop, size)
            if left >= _POLLS_LEFT and left + (stop - start) // size >= _POLLS:
                explained[start:stop] = True
    return found


def _rounds(keys: list[int], start: int, stop: int, size: int) -> int:
    """Whole rounds of a loop beside keys[start:stop], which are rounds of it."""
    low, high = start, stop
    while low > 0 and keys[low - 1] == keys[low - 1 + size]:
        low -= 1
    while high < len(keys) and keys[high] == keys[high - size]:
        high += 1
    return (high - low - (stop - start)) // size


def ring_address(it: Open) -> Explained:
    """Page-aligned values that differ but behave alike: registers that both sides write equally often, addresses or 0
    alone, each address of A always standing where a certain one of B does.
    """
    found = _nothing(it)
    a, b = it.a, it.b
    left = np.flatnonzero((it.pairs.changed >= 0) & it.open_a & (a.op == Kind.WRITE))
    registers_a, registers_b = a.register_keys(), b.register_keys()
    for register in np.unique(registers_a[left]).tolist():
        rows_a = np.flatnonzero(registers_a == np.uint64(register))
        rows_b = np.flatnonzero(registers_b == np.uint64(register))
        mates = np.maximum(it.pairs.partner, it.pairs.changed)[rows_a]
        if len(rows_a) != len(rows_b) or (mates < 0).any():
            continue
        old, new = a.value[rows_a], b.value[mates]
        if _addresses(old) and _addresses(new) and _one_to_one(old, new):
            found[0][rows_a[(old != new) & it.open_a[rows_a]]] = True
    return found


def _addresses(values: NDArray[np.uint64]) -> bool:
    some = values[values != 0]
    return not (some % np.uint64(_PAGE)).any() and bool(((some >= _LOWEST_ADDRESS) & (some < _HIGHEST_ADDRESS)).all())


def _one_to_one(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> bool:
    couples = set(zip(old.tolist(), new.tolist(), strict=True))
    return len(couples) == len(set(old.tolist())) == len(set(new.tolist())) and all(
        bool(x) == bool(y) and (x == y or (x ^ y).bit_count() > 1) for x, y in couples
    )


def read_value(it: Open) -> Explained:
    """Reads in the same place that gave another value, of registers that neither side ever writes: the device's
    answer, not what the driver did.
    """
    found = _nothing(it)
    written = _places(it.a, it.a.op != Kind.READ) | _places(it.b, it.b.op != Kind.READ)
    left = np.flatnonzero((it.pairs.changed >= 0) & it.open_a & (it.a.op == Kind.READ))
    for row in left.tolist():
        found[0][row] = not any(place in written for place in _bytes(it.a, row))
    return found


def _places(side: Accesses, rows: Mask) -> set[tuple[object, int]]:
    chosen = np.flatnonzero(rows)
    if not len(chosen):
        return set()
    width = np.maximum(side.width[chosen], 1).astype(np.int64)
    shape = np.stack((side.identity[chosen].astype(np.int64), side.offset[chosen].astype(np.int64), width), axis=1)
    return {
        (side.identities[identity] if identity >= 0 else (), offset + n)
        for identity, offset, wide in np.unique(shape, axis=0).tolist()
        for n in range(wide)
    }


def _bytes(side: Accesses, row: int) -> Iterator[tuple[object, int]]:
    access = side.access(row)
    for n in range(access.width or 1):
        yield access.identity, access.offset + n


RULES = (
    Rule("poll-length", "A loop of reads went round more or less often.", "a poll loop of another length", poll_length),
    Rule(
        "ring-address",
        "Page-aligned values in registers that hold nothing else differ, but behave alike.",
        "an address in memory, another one in each run",
        ring_address,
    ),
    Rule(
        "read-value",
        "A read gave another value, of a register that the driver never writes.",
        "the device answered otherwise",
        read_value,
    ),
)


def check_rules(names: tuple[str, ...]) -> None:
    """Nothing, or UsageError when a name is no rule's."""
    for name in names:
        if name not in {rule.name for rule in RULES}:
            raise UsageError(f"no rule is called '{name}'; see: mmiotools list rules")
