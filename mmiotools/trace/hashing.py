"""64-bit hashes of accesses, as columns. They are the same in every recording of the same hardware.

A hash is a sum of fields, each times an odd number of its own, that is mixed at the end. Different accesses with equal
hashes are as rare as chance, unless somebody makes them: who uses a hash compares the fields as well.
"""

from __future__ import annotations

import numpy as np

from mmiotools.speed import compiled
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import NDArray, Sequence

U64 = NDArray[np.uint64]

#: Accesses to hash at a time: what is being computed stays in the processor's cache.
HASHED = 1 << 15

_OFFSET, _SHAPE, _VALUE, _ABSENT = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def place_sums(region: U64, offset: U64) -> U64:
    """Of where it is, (n,), from the hashes of regions, which are overwritten."""
    region += offset * _OFFSET
    return region


def register_sums(region: U64, offset: U64, op: NDArray[np.uint8], width: NDArray[np.int16]) -> U64:
    """Of what is touched, (n,), from the hashes of regions, which are overwritten."""
    place_sums(region, offset)
    shape = op.astype(np.uint16)
    shape <<= np.uint16(10)
    shape += width.view(np.uint16)
    region += shape * _SHAPE
    return region


def add_value(sums: U64, value: U64, has_value: NDArray[np.bool_]) -> U64:
    """The sums, which are changed, with the values (0 where there is none) added."""
    sums += value * _VALUE
    if not has_value.all():
        sums[~has_value] += _ABSENT
    return sums


def finish(sums: U64) -> U64:
    """The finaliser of splitmix64: every bit of a sum moves every bit of the hash. The sums are overwritten."""
    sums ^= sums >> np.uint64(30)
    sums *= _FIRST
    sums ^= sums >> np.uint64(27)
    sums *= _SECOND
    sums ^= sums >> np.uint64(31)
    return sums


def lowest_bits(numbers: Sequence[int]) -> NDArray[np.bool_]:
    """Which lowest 16 bits any of the numbers have, (65536,)."""
    table = np.zeros(1 << 16, np.bool_)
    table[[number & 0xFFFF for number in numbers]] = True
    return table


def rows_like(numbers: U64, table: NDArray[np.bool_], kept: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """Which of the numbers, ascending, have lowest bits that are in such a table: what is looked for, and a little.

    kept   (n,): those where it is 0 are left out
    """
    engine = compiled()
    if engine is None or not numbers.flags.c_contiguous:
        found = flatnonzero(table[numbers.astype(np.uint16)])
        return found if kept is None else found[kept[found] != 0]
    rows = np.empty(len(numbers), np.int64)
    count = engine.rows_like(numbers, table, None if kept is None else np.ascontiguousarray(kept), rows)
    return rows[:count]
