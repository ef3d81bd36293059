"""When are two accesses "the same"? The one place that says so; diff, replay and poll folding all ask here.

Two accesses are the same when operation, width, register (region identity and offset) and value agree. Time,
map ids, absolute addresses, pc, pid and cpu do not count. A value that is absent equals only an absent one.
"""

from __future__ import annotations

import numpy as np

from mmiotools.speed import compiled
from mmiotools.trace.accesses import ALL_BITS, EVERY, Accesses, Rows, flat
from mmiotools.trace.arrays import flatnonzero
from mmiotools.typed import NDArray


def all_same(
    a: Accesses,
    b: Accesses,
    runs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    keep: NDArray[np.uint64] | None = None,
) -> bool | None:
    """Are accesses a[i].. of a and b[i].. of b, count[i] of them, all the same, see `same`? None where the compiled
    engine, which is asked, is not there or cannot tell.
    """
    engine = compiled()
    if engine is None or a.wide or b.wide:
        return None
    ends = tuple(map(np.ascontiguousarray, runs))
    kept = EVERY if keep is None else flat(keep)
    sides = a.lookup(), b.lookup()
    if keep is not None or any(codes is None for codes, _ in sides):
        sides = (None, a), (None, b)
    halves = [(len(rows), rows.compared(), codes) for codes, rows in sides]
    return bool(engine.same_runs(len(runs[0]), ends, *halves, _codes_of(a, b), kept))


def _codes_of(a: Accesses, b: Accesses) -> NDArray[np.int32]:
    """Which identity of a each of b is, -2 for none; -1 at the end, for having none."""
    codes = {identity: code for code, identity in enumerate(a.identities)}
    return np.array([codes.get(known, -2) for known in b.identities] + [-1], np.int32)


def same(
    a: Accesses,
    rows_a: Rows,
    b: Accesses,
    rows_b: Rows,
    keep: NDArray[np.uint64] | None = None,
) -> NDArray[np.bool_]:
    """Are accesses rows_a[i] of a and rows_b[i] of b the same? Compared field by field; (n,) bool.

    keep   for each access of a the bits of its value that count, as for `Accesses.keys`
    """
    equal = same_register(a, rows_a, b, rows_b)
    value_a, has_a = a.picked(rows_a, "value", "has_value")
    value_b, has_b = b.picked(rows_b, "value", "has_value")
    differs = value_a ^ value_b
    if keep is not None:
        differs &= keep[rows_a]
    equal &= (differs == 0) & (has_a == has_b)
    if a.wide or b.wide:
        # A wide value has no number in the column, so the comparison above takes it for an absent one.
        rows_a, rows_b = _numbers(rows_a), _numbers(rows_b)
        is_wide = np.isin(rows_a, list(a.wide)) | np.isin(rows_b, list(b.wide))
        if keep is not None:
            is_wide &= keep[rows_a] == ALL_BITS
        for at in flatnonzero(equal & is_wide).tolist():
            equal[at] = a.wide.get(int(rows_a[at])) == b.wide.get(int(rows_b[at]))
    return equal


def _numbers(rows: Rows) -> NDArray[np.intp]:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def same_register(a: Accesses, rows_a: Rows, b: Accesses, rows_b: Rows) -> NDArray[np.bool_]:
    """Do accesses rows_a[i] of a and rows_b[i] of b touch one register with one operation and width? (n,) bool."""
    identity_a, *touched_a = a.picked(rows_a, "identity", "offset", "op", "width")
    identity_b, *touched_b = b.picked(rows_b, "identity", "offset", "op", "width")
    if a.identities != b.identities:
        identity_b = _codes_of(a, b)[identity_b]
    equal = identity_a == identity_b
    for one, other in zip(touched_a, touched_b, strict=True):
        equal &= one == other
    return np.asarray(equal, np.bool_)
