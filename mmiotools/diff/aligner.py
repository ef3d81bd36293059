"""Which access of B each access of A corresponds to: stretches found by anchors, what lies between solved exactly.

What this costs, for n accesses in both sides together: finding anchors sorts a sample of n, and all of a gap that the
sample leaves. Exact answers are bounded by `budget`, in cells of tables, whatever the traces are: about 2 seconds.
A gap past that is walked through (`diff.walking`), at a fraction of a millisecond for at most 256 accesses, and is
counted in `coarse`. Memory: about 40 bytes an access, and 8 MiB for a table.
"""

from __future__ import annotations

import numpy as np

from mmiotools.diff.anchors import diagonals, heaviest_chain, sampled_kgrams, shared_places, unique_pairs
from mmiotools.diff.folding import KEPT, fold
from mmiotools.diff.lcs import WHOLE_TABLE, common_subsequence
from mmiotools.diff.runs import Rows, Runs
from mmiotools.diff.stretches import common_ends, equal_runs
from mmiotools.diff.walking import along_diagonal, walk
from mmiotools.trace.arrays import steps, stretches
from mmiotools.typed import NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

#: Gaps of fewer cells than this go straight to the exact answer.
_SMALL = 1 << 14
#: Anchors of this length, one in so many sampled; each is tried on what the one before left over.
_PASSES = ((32, 64), (32, 8), (32, 1), (8, 1))
#: In gaps of more cells than this loops are folded first, if at most this share of the gap stays; the answer is taken
#: if it matches that share of the shorter side.
_LOOPS, _MOSTLY, _NEARLY = 1 << 17, 0.5, 0.9
#: Cells of exact tables that one alignment may spend, and what a row costs in cells beside its own.
_BUDGET = 1 << 32
_ROW = 3000
#: What looking for anchors once more costs, in cells.
_SPLIT = 1 << 20
#: How many times its length a stretch may be off the diagonal, and how often those that are left are looked at again.
_FAR, _ROUNDS = 16, 8


class Aligner:
    """Aligns two key sequences, (n,) and (m,); the result is `runs()`, and `coarse` as in `align.Alignment`.

    A gap is a row (start in a, end in a, start in b, end in b) of an (g, 4) array.
    """

    def __init__(self, a: Keys, b: Keys, budget: int | None = None) -> None:
        self.a, self.b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        self.coarse = 0
        self._budget = _BUDGET if budget is None else budget
        self._found: list[Rows] = []
        self._reduce = self._fold = True

    def run(self) -> Runs:
        """Align everything."""
        self.solve(np.array([[0, len(self.a), 0, len(self.b)]], np.int64))
        self._mend()
        return self.runs()

    def runs(self) -> Runs:
        """What was matched so far."""
        return Runs.of(self._found)

    def solve(self, pending: Indexes) -> None:
        """Align within these gaps."""
        pending = self._strip(pending)
        for k, one_in in _PASSES:
            large = (_area(pending) > _SMALL) & (_shorter(pending) >= k * one_in)
            if not large.any():
                continue
            parts = [pending[~large]]
            parts.extend(self._split(gap, k, one_in) for gap in pending[large])
            pending = self._strip(np.concatenate(parts))
        for gap in pending[np.argsort(_area(pending), kind="stable")]:
            self._solve_one(gap)

    def _solve_one(self, gap: Indexes) -> None:
        alo, ahi, blo, bhi = gap.tolist()
        a, b = self.a[alo:ahi], self.b[blo:bhi]
        if len(a) * len(b) > _LOOPS:
            folded = self._folded(gap, _MOSTLY)
            if folded is not None and folded.total() >= _NEARLY * min(len(a), len(b)):
                self._match(folded.a + alo, folded.b + blo, folded.count)
                return
        if len(a) * len(b) > WHOLE_TABLE:
            if self._reduce:
                places_a, places_b = shared_places(a, b)
                if len(places_a) + len(places_b) < len(a) + len(b):
                    if _cost(len(places_a), len(places_b)) <= self._budget or not self._straight(gap):
                        self._reduced(gap, places_a, places_b)
                    return
            for k in (2, 1):
                if self._budget <= 0:
                    break
                self._budget -= _SPLIT
                parts = self._split(gap, k, 1)
                if len(parts) > 1:
                    self.solve(parts)
                    return
        if not self._exact(alo, blo, a, b):
            self._roughly(gap)

    def _exact(self, alo: int, blo: int, a: Keys, b: Keys) -> bool:
        """The longest common subsequence of a gap; False, and nothing done, where that would cost too much."""
        cost = _cost(len(a), len(b))
        if cost > self._budget:
            return False
        self._budget -= cost
        left, right = common_subsequence(a, b)
        self._match(left + alo, right + blo, np.ones(len(left), np.int64))
        return True

    # -- gaps without an exact answer -----------------------------------------------------------------------

    def _roughly(self, gap: Indexes) -> None:
        """A coarse answer: with loops folded first if there are any, unless walking through as it is finds more."""
        alo, ahi, blo, bhi = gap.tolist()
        if self._straight(gap):
            return
        self.coarse += ahi - alo + bhi - blo
        found = Runs.of([walk(self.a[alo:ahi], self.b[blo:bhi])])
        folded = self._folded(gap)
        if folded is not None and folded.total() > found.total():
            found = folded
        self._match(found.a + alo, found.b + blo, found.count)

    def _folded(self, gap: Indexes, most: float = 1.0) -> Runs | None:
        """The answer for a gap, counted from its beginning, with loops folded first: of each only the first rounds
        take part in the alignment, what is left out is aligned around that. None if there is no loop, or if more than
        this share of the gap stays.
        """
        alo, ahi, blo, bhi = gap.tolist()
        a, b = self.a[alo:ahi], self.b[blo:bhi]
        places_a, places_b = (fold(a), fold(b)) if self._fold else (None, None)
        if places_a is None and places_b is None:
            return None
        places_a = np.arange(len(a)) if places_a is None else places_a
        places_b = np.arange(len(b)) if places_b is None else places_b
        if len(places_a) + len(places_b) > most * (len(a) + len(b)):
            return None
        part = Aligner(a[places_a], b[places_b], self._budget)
        part._fold = False
        part.solve(np.array([[0, len(places_a), 0, len(places_b)]], np.int64))
        left, right = part.runs().pairs()
        kept = Runs.of_pairs(places_a[left], places_b[right])
        whole = Aligner(a, b, part._budget)
        whole._fold = False
        whole._match(*kept.rows())
        whole.solve(kept.gaps(len(a), len(b)))
        self._budget = whole._budget
        return whole.runs()

    def _mend(self) -> None:
        """Anchors are unique, so none of them is in a loop: where a loop stands a little earlier on one side, they
        hold on to the few accesses in between, and the loop is left over on both sides. Solve such places again.
        """
        runs = self.runs()
        gaps = runs.gaps(len(self.a), len(self.b))
        size_a, size_b = gaps[:, 1] - gaps[:, 0], gaps[:, 3] - gaps[:, 2]
        between = np.maximum(gaps[1:, 0] - gaps[:-1, 1], KEPT)
        crossed = np.minimum(size_a[:-1], size_b[1:]) > between
        crossed |= np.minimum(size_b[:-1], size_a[1:]) > between
        found = []
        lost = np.zeros(len(runs), np.bool_)
        for first, last in stretches(crossed).tolist():
            gap = np.array([gaps[first, 0], gaps[last, 1], gaps[first, 2], gaps[last, 3]])
            low, high = np.searchsorted(runs.a, gap[:2]).tolist()
            better = self._folded(gap)
            if better is not None and better.total() > int(runs.count[low:high].sum()):
                lost[low:high] = True
                found.append((better.a + gap[0], better.b + gap[2], better.count))
        if found:
            self._found = [(runs.a[~lost], runs.b[~lost], runs.count[~lost]), *found]

    def _straight(self, gap: Indexes) -> bool:
        """Match a gap whose two sides are nearly the same, key by key from the beginning; False if they are not."""
        alo, ahi, blo, bhi = gap.tolist()
        rows = along_diagonal(self.a[alo:ahi], self.b[blo:bhi])
        if rows is None:
            return False
        self._match(rows[0] + alo, rows[1] + blo, rows[2])
        last = int(rows[0][-1] + rows[2][-1])
        self.coarse += ahi - alo + bhi - blo
        parts = Runs.of([rows]).gaps(last, last) + np.array([alo, alo, blo, blo])
        rest = np.array([[alo + last, ahi, blo + last, bhi]], np.int64)
        self.solve(np.concatenate((parts, rest)))
        return True

    def _reduced(self, gap: Indexes, places_a: Indexes, places_b: Indexes) -> None:
        """Align a gap by those of its places alone whose keys both sides have."""
        alo, ahi, blo, bhi = gap.tolist()
        part = Aligner(self.a[alo:ahi][places_a], self.b[blo:bhi][places_b], self._budget)
        part._reduce, part._fold = False, self._fold
        part.solve(np.array([[0, len(places_a), 0, len(places_b)]], np.int64))
        left, right = part.runs().pairs()
        self._budget = part._budget
        self.coarse += part.coarse
        self._match(places_a[left] + alo, places_b[right] + blo, np.ones(len(left), np.int64))

    # -- anchors --------------------------------------------------------------------------------------------

    def _split(self, gap: Indexes, k: int, one_in: int) -> Indexes:
        """Match along anchors of k keys; the gaps that remain, the gap itself if there are no anchors."""
        alo, ahi, blo, bhi = gap.tolist()
        at_a, hashes_a = sampled_kgrams(self.a[alo:ahi], k, one_in)
        at_b, hashes_b = sampled_kgrams(self.b[blo:bhi], k, one_in)
        left, right = unique_pairs(hashes_a, hashes_b)
        if not len(left):
            return gap[None, :]
        left, right = at_a[left] + alo, at_b[right] + blo
        first, last = diagonals(left, right)
        chosen = heaviest_chain(right[first], right[last], last - first + 1)
        chosen = chosen[_likely(left[first[chosen]], right[first[chosen]], last[chosen] - first[chosen] + k, gap)]
        if not len(chosen):
            return gap[None, :]
        first, last = first[chosen], last[chosen]
        shift = right[first] - left[first]
        start, stop = left[first], left[last] + k
        past_a, past_b = np.maximum.accumulate(stop), np.maximum.accumulate(stop + shift)
        start[1:] = np.maximum(start[1:], np.maximum(past_a[:-1], past_b[:-1] - shift[1:]))
        stretches = start, np.maximum(stop - start, 0), shift
        start, count, shift = equal_runs(self.a, self.b, stretches, max(1, k // 2))
        if not len(start):
            return gap[None, :]
        self._match(start, start + shift, count)
        parts = np.empty((len(start) + 1, 4), np.int64)
        parts[1:, 0], parts[1:, 2] = start + count, start + shift + count
        parts[:-1, 1], parts[:-1, 3] = start, start + shift
        parts[0, 0], parts[0, 2], parts[-1, 1], parts[-1, 3] = alo, blo, ahi, bhi
        return parts

    def _match(self, left: Indexes, right: Indexes, count: Indexes) -> None:
        if len(left):
            self._found.append((left, right, count))

    # -- what the sides of a gap begin and end with ---------------------------------------------------------

    def _strip(self, pending: Indexes) -> Indexes:
        """Match what the two sides of each gap begin and end with; the gaps that still have keys on both sides."""
        pending = pending[_shorter(pending) > 0]
        for end in (False, True):
            count = common_ends(self.a, self.b, pending, end)
            if end:
                pending[:, 1] -= count
                pending[:, 3] -= count
                self._match(pending[:, 1].copy(), pending[:, 3].copy(), count)
            else:
                self._match(pending[:, 0].copy(), pending[:, 2].copy(), count)
                pending[:, 0] += count
                pending[:, 2] += count
            pending = pending[_shorter(pending) > 0]
        return pending[_area(pending) > 1]  # one against one, and they differ


def _likely(left: Indexes, right: Indexes, size: Indexes, gap: Indexes) -> Indexes:
    """Which stretches of a chain to keep: one that is far off the diagonals before and behind it, by many times its own
    length, stands there by chance, as in an endless loop with edits, and would pull the rest out of line.
    """
    kept = np.arange(len(left))
    alo, ahi, blo, bhi = gap.tolist()
    for _ in range(_ROUNDS):
        shift = np.concatenate(([blo - alo], right[kept] - left[kept], [bhi - ahi]))
        jump = np.abs(steps(shift))
        good = np.minimum(jump[:-1], jump[1:]) <= _FAR * size[kept]
        if good.all():
            break
        kept = kept[good]
    return kept


def _cost(n: int, m: int) -> int:
    """Of an exact answer, in cells; one that does not fit into a table is computed twice."""
    cost = m * (n + _ROW) + n * _ROW
    return 2 * cost if n * m > WHOLE_TABLE else cost


def _area(pending: Indexes) -> Indexes:
    return np.asarray((pending[:, 1] - pending[:, 0]) * (pending[:, 3] - pending[:, 2]), np.int64)


def _shorter(pending: Indexes) -> Indexes:
    return np.asarray(np.minimum(pending[:, 1] - pending[:, 0], pending[:, 3] - pending[:, 2]), np.int64)
