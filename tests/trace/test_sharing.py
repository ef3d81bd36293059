"""Columns that grow, and columns that another process reads."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.events import Kind
from mmiotools.trace.accesses import accesses_of
from mmiotools.trace.growing import GrowingColumn
from mmiotools.trace.sharing import SharedColumns, map_accesses

_PARTS = st.lists(st.one_of(st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), min_size=1, max_size=5)))


@given(_PARTS)
def test_a_growing_column_is_its_parts(parts: list[int | list[int] | None]) -> None:
    column = GrowingColumn("u8")
    expected: list[int] = []
    for part in parts:
        if isinstance(part, list):
            column.add(np.array(part, np.uint8), len(part))
            expected += part
        else:
            column.add(part, 2)
            expected += [part or 0] * 2
    whole = column.whole()
    assert whole.dtype == np.uint64
    assert whole.tolist() == expected
    if len(set(expected)) == 1:
        assert whole.strides == (0,)


def test_it_grows_beyond_its_first_room() -> None:
    column = GrowingColumn("u4")
    for at in range(40):
        column.add(np.arange(at * 5000, (at + 1) * 5000), 5000)
    assert np.array_equal(column.whole(), np.arange(200_000))


@given(st.lists(st.tuples(st.integers(0, 0xFF), st.none() | st.integers(0, 1 << 70))), st.booleans())
def test_accesses_go_through_a_file(rows: list[tuple[int, int | None]], hashed: bool) -> None:
    identity = ("8086:100e", 0, "BAR0")
    given_ = accesses_of([(Kind.READ, 4, identity, offset, value) for offset, value in rows])
    fd = os.memfd_create("test")
    shared = SharedColumns(fd)
    if hashed:
        given_ = given_.hashed(shared.growing("u8"))
    try:
        found = map_accesses(fd, shared.write(given_))
    finally:
        os.close(fd)
    for field in given_._fields:
        ours, theirs = getattr(given_, field), getattr(found, field)
        same = np.array_equal(ours, theirs) if isinstance(ours, np.ndarray) else ours == theirs
        assert same, field
