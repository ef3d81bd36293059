"""Accesses of both sides grouped by what they have in common: dense codes, found by sorting."""

from __future__ import annotations

import numpy as np

from mmiotools.trace.accesses import Access, Accesses
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import Any, NDArray, Record, Sequence

Indexes = NDArray[np.int64]
Array = NDArray[Any]

#: What may make a register of its own.
REGISTER = ("identity", "offset", "op", "width")
LOCATION = ("identity", "offset", "width")
#: A register and a value.
VALUE = (*REGISTER, "has_value", "value")


class Groups(Record):
    """The groups of the accesses of a and b, numbered in the order of their fields.

    a, b   the group of each access, (n,) and (m,)
    first  position of a member of each group, (g,): in a, or n + position in b
    """

    a: Indexes
    b: Indexes
    first: Indexes

    def __len__(self) -> int:
        return len(self.first)

    def examples(self, a: Accesses, b: Accesses, groups: Indexes) -> list[Access]:
        """One access of each of these groups, which are distinct; of a where a has one."""
        first = self.first[groups]
        on_a = first < len(a)
        found: list[Access] = [None] * len(groups)  # type: ignore[list-item]
        for accesses, mask, shift in ((a, on_a, 0), (b, ~on_a, len(a))):
            at = flatnonzero(mask)
            at = at[np.argsort(first[at], kind="stable")]
            part = accesses.take(first[at] - shift)
            for place, access in zip(at.tolist(), part.span(0, len(part)), strict=True):
                found[place] = access
        return found


def group(a: Accesses, b: Accesses, fields: Sequence[str]) -> Groups:
    """Group by columns of `Accesses`; those that come first decide the order. Regions count by identity, in the order
    of their first appearance in a, then in b.
    """
    n = len(a) + len(b)
    columns = [_column(a, b, name) for name in fields]
    order = np.lexsort(columns[::-1]) if n else np.zeros(0, np.int64)
    begins = np.zeros(n, np.bool_)
    begins[:1] = True
    for column in columns:
        ordered = column[order]
        begins[1:] |= ordered[1:] != ordered[:-1]
    codes = np.empty(n, np.int64)
    codes[order] = np.cumsum(begins) - 1
    return Groups(codes[: len(a)], codes[len(a) :], order[begins])


def _column(a: Accesses, b: Accesses, name: str) -> Array:
    left, right = getattr(a, name), getattr(b, name)
    if name == "identity":
        codes: dict[tuple[Any, ...], int] = {}
        tables = [
            np.array([codes.setdefault(identity, len(codes)) for identity in side.identities] + [-1], np.int32)
            for side in (a, b)
        ]
        left, right = tables[0][left], tables[1][right]
    if name == "has_value" and (a.wide or b.wide):
        # A wide value has no number in its column: each distinct one stands beside "absent" and "in the column".
        wide = {value: code for code, value in enumerate(sorted({*a.wide.values(), *b.wide.values()}), 2)}
        left, right = left.astype(np.int64), right.astype(np.int64)
        for side, column in ((a, left), (b, right)):
            for position, value in side.wide.items():
                column[position] = wide[value]
    return np.concatenate((left, right))


def counts(codes: Indexes, groups: int) -> Indexes:
    """How often each group occurs, (groups,)."""
    return np.bincount(codes, minlength=groups).astype(np.int64)


def last(codes: Indexes, positions: Indexes, groups: int) -> Indexes:
    """The last of the ascending positions at which each group occurs, (groups,), -1 for never."""
    found = np.full(groups, -1, np.int64)
    np.maximum.at(found, codes, positions)
    return found


def first(codes: Indexes, positions: Indexes, groups: int) -> Indexes:
    """The first of the ascending positions at which each group occurs, (groups,), -1 for never."""
    found = np.full(groups, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(found, codes, positions)
    return np.where(found == np.iinfo(np.int64).max, -1, found)
