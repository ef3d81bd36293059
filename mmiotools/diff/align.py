"""Which access of B each access of A corresponds to: aligned by key, then compared field by field."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.aligner import Aligner
from mmiotools.diff.runs import Runs
from mmiotools.diff.sliding import join
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.matching import all_same, same
from mmiotools.typed import NDArray, Record

Keys = NDArray[np.uint64]

#: Matched pairs that are compared field by field at a time, and how long a run must be to be compared by itself.
_CHUNK = 1 << 15
_LONG = 128


class Alignment(Record):
    """`runs` of accesses that are the same. `coarse` counts the accesses of both sides in gaps whose answer is right,
    but perhaps not the shortest.
    """

    runs: Runs
    coarse: int


def align(a: Accesses, b: Accesses, keys_a: Keys, keys_b: Keys, keep: Keys | None = None) -> Alignment:
    """Match the accesses of two recordings that are the same, in order, by their keys. Every pair is compared field by
    field; `keep` says which bits of the values of a count, see `Accesses.keys`.
    """
    aligner = Aligner(keys_a, keys_b)
    runs = join(aligner.run(), keys_a, keys_b)
    return Alignment(_checked(runs, a, b, keep), aligner.coarse)


def _checked(runs: Runs, a: Accesses, b: Accesses, keep: Keys | None) -> Runs:
    """The runs without pairs that have equal keys but are not the same."""
    if all_same(a, b, runs.rows(), keep):
        return runs
    long = runs.count > _LONG
    bad = []
    for start_a, start_b, count in zip(*(column[long].tolist() for column in runs.rows()), strict=True):
        for low in range(0, count, _CHUNK):
            high = min(low + _CHUNK, count)
            equal = same(a, slice(start_a + low, start_a + high), b, slice(start_b + low, start_b + high), keep)
            if not equal.all():
                bad.append(flatnonzero(~equal) + start_a + low)
    short = Runs(*(column[~long] for column in runs.rows()))
    left, right = short.pairs()
    for low in range(0, len(left), _CHUNK):
        part = left[low : low + _CHUNK]
        equal = same(a, part, b, right[low : low + _CHUNK], keep)
        if not equal.all():
            bad.append(part[~equal])
    if not bad:
        return runs
    left, right = runs.pairs()
    good = ~np.isin(left, np.concatenate(bad))
    return Runs.of_pairs(left[good], right[good])
