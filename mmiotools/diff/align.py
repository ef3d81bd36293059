"""Which access of B each access of A corresponds to: aligned by key, then compared field by field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.aligner import Aligner
from mmiotools.diff.sliding import join
from mmiotools.trace.matching import Accesses, same

Indexes = NDArray[np.int64]
Keys = NDArray[np.uint64]

#: What makes keys unlike those of the other side.
_APART_A, _APART_B = np.uint64(0x6A09E667F3BCC908), np.uint64(0xBB67AE8584CAA73B)

#: Matched pairs that are compared field by field at a time.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Alignment:
    """`partner` (n,) int64: for each access of A the index of its match in B, ascending, -1 for none.

    `coarse` counts the accesses of both sides in gaps whose answer is right, but perhaps not the shortest.
    The keys of both sides, (n,) and (m,), come along.
    """

    partner: Indexes
    coarse: int
    keys_a: Keys
    keys_b: Keys


def align(
    a: Accesses,
    b: Accesses,
    keep_a: Keys | None = None,
    keep_b: Keys | None = None,
    apart: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> Alignment:
    """Match the accesses of two recordings that are the same, in order. Every pair is compared field by field.

    keep_a, keep_b   the bits of values that count, see `Accesses.keys`
    apart            (n,) and (m,), accesses that are to have no match
    """
    keys_a, keys_b = a.keys(keep_a), b.keys(keep_b)
    aligned_a, aligned_b = keys_a, keys_b
    if apart is not None:
        aligned_a, aligned_b = keys_a ^ apart[0] * _APART_A, keys_b ^ apart[1] * _APART_B
    aligner = Aligner(aligned_a, aligned_b)
    aligner.run()
    partner = aligner.partner
    join(partner, aligned_a, aligned_b)
    for start in range(0, len(partner), _CHUNK):
        rows = start + np.flatnonzero(partner[start : start + _CHUNK] >= 0)
        rows = rows[~same(a, rows, b, partner[rows], keep_a)]
        partner[rows] = -1
    return Alignment(partner, aligner.coarse, keys_a, keys_b)
