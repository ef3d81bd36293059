"""What belongs together in two recordings: accesses that are the same in order, changed in place, or moved, as runs."""

from __future__ import annotations

import numpy as np

from mmiotools.diff.align import align
from mmiotools.diff.aligner import Aligner
from mmiotools.diff.moves import Left, block_moves, not_in_run, single_moves
from mmiotools.diff.runs import Runs, ranges
from mmiotools.trace.accesses import Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.matching import same, same_register
from mmiotools.typed import NDArray, Record

Indexes = NDArray[np.int64]
Keys = NDArray[np.uint64]

#: Shortest blocks that are moved as such, in the order in which they are looked for.
_BLOCKS = (16, 4)
#: What pairing changes may cost, see `Aligner`: in large gaps without likeness there is little to pair.
_BUDGET = 1 << 29
#: What makes keys unlike those of the other side.
_APART_A, _APART_B = np.uint64(0x6A09E667F3BCC908), np.uint64(0xBB67AE8584CAA73B)
#: Keys that are compared at a time to find the first that differs.
_CHUNK = 1 << 15


class Pairing(Record):
    """same and changed accesses as runs, which do not cross; moved ones as pairs, ascending on the left.

    coarse           accesses (both sides) in stretches where another pairing may be shorter
    keys_a, keys_b   of all accesses
    """

    same: Runs
    changed: Runs
    moved: tuple[Indexes, Indexes]
    coarse: int
    keys_a: Keys
    keys_b: Keys

    def chain(self) -> Runs:
        """What keeps its order: same and changed."""
        return self.same.joined(self.changed)

    def free(self, length_a: int, length_b: int) -> tuple[Indexes, Indexes]:
        """Rows of each side that are in no pair, ascending."""
        found = []
        for start, stop in self.free_stretches(length_a, length_b):
            found.append(ranges(start, stop - start))
        return found[0], found[1]

    def free_stretches(self, length_a: int, length_b: int) -> tuple[tuple[Indexes, Indexes], tuple[Indexes, Indexes]]:
        """The same as stretches, from and to."""
        gaps = self.chain().gaps(length_a, length_b)
        return (
            _stretches(gaps[:, 0], gaps[:, 1], self.moved[0]),
            _stretches(gaps[:, 2], gaps[:, 3], self.moved[1]),
        )

    def mirrored(self) -> Pairing:
        """The same with the sides swapped."""
        right, left = self.moved
        order = np.argsort(left, kind="stable")
        moved = left[order], right[order]
        return Pairing(
            self.same.mirrored(), self.changed.mirrored(), moved, self.coarse, keys_a=self.keys_b, keys_b=self.keys_a
        )


class Side(Record):
    """One recording, and how it is to be looked at.

    keys    (n,), see `Accesses.keys`
    keep    (n,), the bits of its values that count, None for all
    apart   (n,) bool, accesses that are to keep their place in no case; None for none
    """

    accesses: Accesses
    keys: Keys
    keep: Keys | None = None
    apart: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def aligned_by(self, unlike: np.uint64) -> Keys:
        """Keys of which those that are apart are like none of the other side."""
        return self.keys if self.apart is None else self.keys ^ self.apart * unlike


def pair_runs(a: Side, b: Side, *, singles: bool = True) -> Pairing:
    """Pair two recordings, field by field.

    In each gap of the alignment, a deleted and an inserted access of the same register are a change (in order, so
    that changes never cross); what is deleted at one place and inserted at another is a move, see `diff.moves`;
    without `singles` only blocks move.

    Where several answers are as good, one has to be chosen: so that the choice does not depend on which recording
    comes first, they are always looked at in the same order.
    """
    if _in_order(a.keys, b.keys):
        return _pair(a, b, singles)
    return _pair(b, a, singles).mirrored()


def _in_order(a: Keys, b: Keys) -> bool:
    """The shorter first; of two equally long ones that whose first different key is smaller."""
    if len(a) != len(b):
        return len(a) < len(b)
    for low in range(0, len(a), _CHUNK):
        differs = a[low : low + _CHUNK] != b[low : low + _CHUNK]
        if differs.any():
            at = low + int(np.argmax(differs))
            return bool(a[at] < b[at])
    return True


def _pair(a: Side, b: Side, singles: bool) -> Pairing:
    alignment = align(a.accesses, b.accesses, a.aligned_by(_APART_A), b.aligned_by(_APART_B), a.keep)
    matched = alignment.runs
    none = np.zeros(0, np.int64)
    changed, moved = Runs(none, none, none), (none, none)
    gaps = matched.gaps(len(a), len(b))
    left = Left.of(ranges(gaps[:, 0], gaps[:, 1] - gaps[:, 0]), a.keys)
    right = Left.of(ranges(gaps[:, 2], gaps[:, 3] - gaps[:, 2]), b.keys)
    if len(left.rows) and len(right.rows):
        found = [_true_moves(a, b, left, right, *block_moves(left, right, k)) for k in _BLOCKS]
        equal, changed = _changes(a, b, left, right, gaps)
        matched = matched.joined(equal)
        if singles:
            before = matched.joined(changed).places_in_b(left.rows, len(b))[1]
            alone = not_in_run(left.rows, a.keys), not_in_run(right.rows, b.keys)
            found.append(_true_moves(a, b, left, right, *single_moves(left, right, *alone, before)))
        moved_a, moved_b = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(moved_a, kind="stable")
        moved = moved_a[order], moved_b[order]
    return Pairing(matched, changed, moved, alignment.coarse, a.keys, b.keys)


def _true_moves(a: Side, b: Side, left: Left, right: Left, at_a: Indexes, at_b: Indexes) -> tuple[Indexes, Indexes]:
    """Moves as rows, those that are equal field by field."""
    rows_a, rows_b = left.rows[at_a], right.rows[at_b]
    true = same(a.accesses, rows_a, b.accesses, rows_b, a.keep)
    return rows_a[true], rows_b[true]


def _changes(a: Side, b: Side, left: Left, right: Left, gaps: Indexes) -> tuple[Runs, Runs]:
    """Pair what is free in the same gap by register: those that turn out the same, and those with another value.

    Both stop being free.
    """
    both = gaps[(gaps[:, 0] < gaps[:, 1]) & (gaps[:, 2] < gaps[:, 3])]
    at_a, at_b = flatnonzero(left.free), flatnonzero(right.free)
    rows_a, rows_b = left.rows[at_a], right.rows[at_b]
    ends = [
        np.searchsorted(rows, both[:, column]) for rows, own in ((rows_a, 0), (rows_b, 2)) for column in (own, own + 1)
    ]
    pending = np.stack(ends, axis=1).astype(np.int64)
    keep_a, keep_b = (ranges(pending[:, own], pending[:, own + 1] - pending[:, own]) for own in (0, 2))
    registers_a, registers_b = np.zeros(len(rows_a), np.uint64), np.zeros(len(rows_b), np.uint64)
    registers_a[keep_a], registers_b[keep_b] = (
        a.accesses.register_keys(rows_a[keep_a]),
        b.accesses.register_keys(rows_b[keep_b]),
    )
    aligner = Aligner(registers_a, registers_b, _BUDGET)
    aligner.solve(pending)
    found_a, found_b = aligner.runs().pairs()
    true = same_register(a.accesses, rows_a[found_a], b.accesses, rows_b[found_b])
    found_a, found_b = found_a[true], found_b[true]
    left.free[at_a[found_a]] = right.free[at_b[found_b]] = False
    rows_a, rows_b = rows_a[found_a], rows_b[found_b]
    equal = same(a.accesses, rows_a, b.accesses, rows_b, a.keep)
    return Runs.of_pairs(rows_a[equal], rows_b[equal]), Runs.of_pairs(rows_a[~equal], rows_b[~equal])


def _stretches(start: Indexes, stop: Indexes, taken: Indexes) -> tuple[Indexes, Indexes]:
    """The stretches start..stop-1 without the accesses in `taken`, each of which is in one of them: from and to."""
    # What is taken are blocks, mostly in order: that is quick to sort in this way.
    taken = np.sort(taken, kind="stable")
    apart = taken[1:] != taken[:-1] + 1
    begins = np.sort(np.concatenate((start, taken[:-1][apart] + 1, taken[-1:] + 1)))
    ends = np.sort(np.concatenate((stop, taken[:1], taken[1:][apart])))
    some = begins < ends
    return begins[some], ends[some]
