"""Exact longest common subsequences of two key sequences, bit-parallel: a row of the table is one big integer.

The cost is rows x columns / 30 digit operations however different the sides are, so it is bounded by area alone.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.anchors import shared_places
from mmiotools.speed import compiled
from mmiotools.trace.arrays import split
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

#: Tables of up to this many cells are kept whole for the way back (2 MiB); larger ones are divided.
WHOLE_TABLE = 1 << 24
#: Bytes of position masks that are kept at a time; past it each is made when it is needed.
_MASK_BYTES = 1 << 25


def common_subsequence(a: Keys, b: Keys) -> tuple[Indexes, Indexes]:
    """Index pairs (i, j), both ascending, of one longest common subsequence of a (n,) and b (m,).

    Memory is linear in n + m beyond `WHOLE_TABLE` bits. Of equally long answers, the one whose matches lie early
    in both is preferred, so that a removed repetition is the last one.
    """
    if len(a) * len(b) <= WHOLE_TABLE:
        return small_subsequence(a, b)
    keep_a, keep_b = shared_places(a, b)
    left: list[Indexes] = []
    right: list[Indexes] = []
    stack = [(0, len(keep_a), 0, len(keep_b))]
    common_a, common_b = a[keep_a], b[keep_b]
    while stack:
        alo, ahi, blo, bhi = stack.pop()
        if alo == ahi or blo == bhi:
            continue
        part_a, part_b = common_a[alo:ahi], common_b[blo:bhi]
        if len(part_a) * len(part_b) <= WHOLE_TABLE or len(part_b) == 1:
            found = small_subsequence(part_a, part_b)
            left.append(found[0] + alo)
            right.append(found[1] + blo)
            continue
        half = len(part_b) // 2
        forward = _lengths(part_a, part_b[:half])
        backward = _lengths(part_a[::-1], part_b[half:][::-1])[::-1]
        cut = int(np.argmax(forward + backward))
        stack.append((alo + cut, ahi, blo + half, bhi))
        stack.append((alo, alo + cut, blo, blo + half))
    if not left:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return keep_a[np.concatenate(left)], keep_b[np.concatenate(right)]


def small_subsequence(a: Keys, b: Keys) -> tuple[Indexes, Indexes]:
    """Index pairs (i, j), ascending, of one longest common subsequence; the whole table is held, n x m bits."""
    if len(a) > len(b):
        # A row, and the mask of each key, is as long as the shorter side.
        right, left = small_subsequence(b, a)
        return left, right
    engine = compiled()
    if engine is not None:
        places = np.empty((2, len(a)), np.int64)
        count = engine.common_subsequence(np.ascontiguousarray(a), np.ascontiguousarray(b), *places)
        return places[0, :count], places[1, :count]
    found = np.array(_pairs(a.tolist(), b.tolist()), np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _pairs(a: list[int], b: list[int]) -> list[tuple[int, int]]:
    masks: dict[int, int] = {}
    bit = 1
    for key in a:
        masks[key] = masks.get(key, 0) | bit
        bit <<= 1
    full = bit - 1
    row = full
    rows = []
    for key in b:
        mask = masks.get(key)
        if mask is not None:
            used = row & mask
            row = (row + used | row - used) & full
        rows.append(row)
    # A clear bit i in row j: the subsequence grows when a[i] is added to a[:i], given b[:j + 1].
    pairs = []
    i, j = len(a), len(b)
    while i and j:
        if rows[j - 1] >> i - 1 & 1:
            i -= 1
            continue
        j -= 1
        if not j or rows[j - 1] >> i - 1 & 1:
            i -= 1
            pairs.append((i, j))
    pairs.reverse()
    return pairs


def _lengths(a: Keys, b: Keys) -> Indexes:
    """Length of the longest common subsequence of a[:i] and b, for every i; (n + 1,)."""
    n = len(a)
    order = np.argsort(a, kind="stable")
    keys, first = np.unique(a[order], return_index=True)
    where = dict(zip(keys.tolist(), split(order, first[1:]), strict=True))
    keep = len(keys) * n // 8 <= _MASK_BYTES
    masks: dict[int, int] = {}
    row = full = (1 << n) - 1
    for key in b.tolist():
        mask = masks.get(key)
        if mask is None:
            positions = where.get(key)
            mask = 0 if positions is None else _mask(positions, n)
            if keep:
                masks[key] = mask
        used = row & mask
        row = (row + used | row - used) & full
    bits = np.unpackbits(np.frombuffer(row.to_bytes(n // 8 + 1, "little"), np.uint8), bitorder="little")[:n]
    lengths = np.zeros(n + 1, np.int64)
    np.cumsum(bits == 0, out=lengths[1:])
    return lengths


def _mask(positions: Indexes, n: int) -> int:
    bits = np.zeros(n, np.uint8)
    bits[positions] = 1
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
