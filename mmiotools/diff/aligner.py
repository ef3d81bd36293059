"""Which access of B each access of A corresponds to: stretches found by anchors, what lies between solved exactly.

Stretches that are too large and too unlike for an exact answer get a coarser one, which is counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmiotools.diff.anchors import diagonals, heaviest_chain, kgrams, ranked_pairs, sampled, unique_pairs
from mmiotools.diff.folding import fold
from mmiotools.diff.lcs import WHOLE_TABLE, common_subsequence

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

#: Gaps of fewer cells than this go straight to the exact answer.
_SMALL = 1 << 14
#: Anchors of this length, one in so many sampled; each is tried on what the one before left over.
_PASSES = ((32, 8), (32, 1), (8, 1))
#: Cells of exact tables that one alignment may spend (a few seconds), and what a row costs in cells beside its own.
_BUDGET = 1 << 32
_ROW = 3000
#: What looking for anchors once more costs, in cells.
_SPLIT = 1 << 20
#: Anchors of one gap that are paired by rank.
_RANKED = 100_000
#: Fewer accesses than this left over on both sides do not make us doubt the folding of loops.
_LOST = 1000


class Aligner:
    """Aligns two key sequences, (n,) and (m,); the result is `partner`, and `coarse` as in `align.Alignment`.

    `budget` bounds the work on what is unlike, in cells of exact tables; past it gaps stay as they are.
    A gap is a row (start in a, end in a, start in b, end in b) of an (g, 4) array.
    """

    def __init__(self, a: Keys, b: Keys, budget: int | None = None) -> None:
        self.a, self.b = a, b
        self.partner = np.full(len(a), -1, np.int64)
        self.coarse = 0
        self._budget = _BUDGET if budget is None else budget

    def run(self) -> None:
        """Align everything, with loops folded first if there are any."""
        whole = np.array([[0, len(self.a), 0, len(self.b)]], np.int64)
        folded = self._folded()
        if folded is None:
            self.solve(whole)
            return
        if self._folding_lost(folded.partner):
            self._budget = max(folded._budget, _BUDGET // 4)
            self.solve(whole)
            if np.count_nonzero(self.partner >= 0) >= np.count_nonzero(folded.partner >= 0):
                return
        self.partner, self.coarse = folded.partner, min(folded.coarse, len(self.a) + len(self.b))

    def _folded(self) -> Aligner | None:
        """The answer found with loops folded, then unfolded again; None where nothing folds."""
        places_a, places_b = fold(self.a), fold(self.b)
        if places_a is None and places_b is None:
            return None
        places_a = np.arange(len(self.a)) if places_a is None else places_a
        places_b = np.arange(len(self.b)) if places_b is None else places_b
        short = Aligner(self.a[places_a], self.b[places_b])
        short.solve(np.array([[0, len(places_a), 0, len(places_b)]], np.int64))
        whole = Aligner(self.a, self.b)
        whole.coarse, whole._budget = short.coarse, short._budget
        matched = np.flatnonzero(short.partner >= 0)
        whole.partner[places_a[matched]] = places_b[short.partner[matched]]
        found = gaps(whole.partner, len(self.b))
        kept = np.searchsorted(places_a, found[:, 1]) - np.searchsorted(places_a, found[:, 0])
        kept += np.searchsorted(places_b, found[:, 3]) - np.searchsorted(places_b, found[:, 2])
        size = found[:, 1] - found[:, 0] + found[:, 3] - found[:, 2]
        whole.solve(found[size > kept])
        return whole

    def _folding_lost(self, partner: Indexes) -> bool:
        """Is enough left over on both sides that it may pay to align once more without folding?"""
        free_b = np.ones(len(self.b), np.bool_)
        free_b[partner[partner >= 0]] = False
        left, right = self.a[partner < 0], self.b[free_b]
        if min(len(left), len(right)) <= _LOST:
            return False
        keys_a, count_a = np.unique(left, return_counts=True)
        keys_b, count_b = np.unique(right, return_counts=True)
        _, at_a, at_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
        return int(np.minimum(count_a[at_a], count_b[at_b]).sum()) > max(_LOST, min(len(self.a), len(self.b)) // 20)

    def solve(self, pending: Indexes) -> None:
        """Align within these gaps."""
        pending = self._strip(pending)
        for k, one_in in _PASSES:
            large = (_area(pending) > _SMALL) & (_shorter(pending) >= k)
            if not large.any():
                continue
            parts = [pending[~large]]
            parts.extend(self._split(gap, k, one_in) for gap in pending[large])
            pending = self._strip(np.concatenate(parts))
        for gap in pending[np.argsort(_area(pending), kind="stable")]:
            self._solve_one(gap)

    def _solve_one(self, gap: Indexes) -> None:
        alo, ahi, blo, bhi = gap.tolist()
        if self._exact(alo, ahi, blo, bhi):
            return
        for k in (2, 1):
            if self._budget <= 0:
                break
            self._budget -= _SPLIT
            parts = self._split(gap, k, 1)
            if len(parts) > 1:
                self.solve(parts)
                return
        self.coarse += ahi - alo + bhi - blo
        if self._budget <= 0:
            return
        self._budget -= _SPLIT
        for part in self._strip(self._split(gap, 4, 1, ranked=True)).tolist():
            self._exact(*part)

    def _exact(self, alo: int, ahi: int, blo: int, bhi: int) -> bool:
        """The longest common subsequence of a gap; False, and nothing done, where that would cost too much."""
        a, b = self.a[alo:ahi], self.b[blo:bhi]
        places_a = places_b = None
        if len(a) * len(b) > WHOLE_TABLE:
            places_a, places_b = np.flatnonzero(np.isin(a, b)), np.flatnonzero(np.isin(b, a))
            a, b = a[places_a], b[places_b]
        cost = len(b) * (len(a) + _ROW) + len(a) * _ROW
        if len(a) * len(b) > WHOLE_TABLE:
            cost *= 2
        if cost > self._budget:
            return False
        self._budget -= cost
        left, right = common_subsequence(a, b)
        if places_a is not None and places_b is not None:
            left, right = places_a[left], places_b[right]
        self.partner[left + alo] = right + blo
        return True

    def _split(self, gap: Indexes, k: int, one_in: int, ranked: bool = False) -> Indexes:
        """Match along anchors of k keys; the gaps that remain, the gap itself if there are no anchors."""
        alo, ahi, blo, bhi = gap.tolist()
        hashes_a, hashes_b = kgrams(self.a[alo:ahi], k), kgrams(self.b[blo:bhi], k)
        at_a, at_b = sampled(hashes_a, one_in), sampled(hashes_b, one_in)
        pair = ranked_pairs if ranked else unique_pairs
        left, right = pair(hashes_a[at_a], hashes_b[at_b])
        if not len(left):
            return gap[None, :]
        if ranked:
            step = len(left) // _RANKED + 1
            left, right = left[::step], right[::step]
        left, right = at_a[left] + alo, at_b[right] + blo
        first, last = diagonals(left, right)
        chosen = heaviest_chain(right[first], right[last], last - first + 1)
        first, last = first[chosen], last[chosen]
        shift = right[first] - left[first]
        start, stop = left[first], left[last] + k
        past_a, past_b = np.maximum.accumulate(stop), np.maximum.accumulate(stop + shift)
        start[1:] = np.maximum(start[1:], np.maximum(past_a[:-1], past_b[:-1] - shift[1:]))
        start, count, shift = self._equal_runs(start, np.maximum(stop - start, 0), shift, max(1, k // 2))
        if not len(start):
            return gap[None, :]
        self._match(start, start + shift, count)
        parts = np.empty((len(start) + 1, 4), np.int64)
        parts[1:, 0], parts[1:, 2] = start + count, start + shift + count
        parts[:-1, 1], parts[:-1, 3] = start, start + shift
        parts[0, 0], parts[0, 2], parts[-1, 1], parts[-1, 3] = alo, blo, ahi, bhi
        return parts

    def _equal_runs(
        self, start: Indexes, count: Indexes, shift: Indexes, shortest: int
    ) -> tuple[Indexes, Indexes, Indexes]:
        """Runs of equal keys along diagonals: start, length and shift of those of at least `shortest` keys."""
        rows = _ranges(start, count)
        owner = np.repeat(np.arange(len(start)), count)
        equal = self.a[rows] == self.b[rows + shift[owner]]
        begins = equal.copy()
        begins[1:] &= ~equal[:-1] | (owner[1:] != owner[:-1])
        ends = equal.copy()
        ends[:-1] &= ~equal[1:] | (owner[1:] != owner[:-1])
        first, last = np.flatnonzero(begins), np.flatnonzero(ends)
        long = last - first + 1 >= shortest
        first, last = first[long], last[long]
        return rows[first], last - first + 1, shift[owner[first]]

    def _match(self, left: Indexes, right: Indexes, count: Indexes) -> None:
        self.partner[_ranges(left, count)] = _ranges(right, count)

    def _strip(self, pending: Indexes) -> Indexes:
        """Match what the two sides of each gap begin and end with; the gaps that still have keys on both sides."""
        pending = pending[_shorter(pending) > 0]
        for end in (False, True):
            count = self._common(pending, end)
            if end:
                pending[:, 1] -= count
                pending[:, 3] -= count
                self._match(pending[:, 1], pending[:, 3], count)
            else:
                self._match(pending[:, 0], pending[:, 2], count)
                pending[:, 0] += count
                pending[:, 2] += count
            pending = pending[_shorter(pending) > 0]
        return pending[_area(pending) > 1]  # one against one, and they differ

    def _common(self, pending: Indexes, end: bool) -> Indexes:
        """How many keys the two sides of each gap share at their beginnings, or at their ends."""
        room = _shorter(pending)
        count = np.zeros(len(pending), np.int64)
        step = -1 if end else 1
        left, right = (pending[:, 1] - 1, pending[:, 3] - 1) if end else (pending[:, 0], pending[:, 2])
        active = np.arange(len(pending))
        for done in range(16):
            active = active[self.a[left[active] + step * done] == self.b[right[active] + step * done]]
            count[active] += 1
            active = active[room[active] > done + 1]
            if not len(active):
                return count
        for gap in active.tolist():
            alo, ahi, blo, bhi = pending[gap].tolist()
            n = int(room[gap])
            if end:
                count[gap] = _leading(self.a[ahi - n : ahi][::-1], self.b[bhi - n : bhi][::-1])
            else:
                count[gap] = _leading(self.a[alo : alo + n], self.b[blo : blo + n])
        return count


def gaps(partner: Indexes, length: int) -> Indexes:
    """The gaps between matches, (g, 4): from and to in a, from and to in b, whose length is `length`."""
    left = np.flatnonzero(partner >= 0)
    right = partner[left]
    left, right = np.concatenate(([-1], left, [len(partner)])), np.concatenate(([-1], right, [length]))
    at = np.flatnonzero((np.diff(left) > 1) | (np.diff(right) > 1))
    return np.stack((left[at] + 1, left[at + 1], right[at] + 1, right[at + 1]), axis=1)


def _area(pending: Indexes) -> Indexes:
    return np.asarray((pending[:, 1] - pending[:, 0]) * (pending[:, 3] - pending[:, 2]), np.int64)


def _shorter(pending: Indexes) -> Indexes:
    return np.asarray(np.minimum(pending[:, 1] - pending[:, 0], pending[:, 3] - pending[:, 2]), np.int64)


def _ranges(start: Indexes, count: Indexes) -> Indexes:
    """start[0], start[0] + 1, … (count[0] of them), start[1], …"""
    return np.asarray(np.repeat(start - np.cumsum(count) + count, count) + np.arange(int(count.sum())), np.int64)


def _leading(a: Keys, b: Keys) -> int:
    """How many keys two sequences of one length have in common at the beginning."""
    at, size = 0, 256
    while at < len(a):
        differs = a[at : at + size] != b[at : at + size]
        if differs.any():
            return at + int(np.argmax(differs))
        at += size
        size *= 2
    return len(a)
