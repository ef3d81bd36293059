"""Accesses that are known by the rows of a table answer as those that have columns of their own."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from diff_helpers import patched
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.diff.classify import compare_noisy
from mmiotools.diff.hunks import differ
from mmiotools.diff.views import VIEWS
from mmiotools.diff.views.base import Options
from mmiotools.events import Kind
from mmiotools.speed import compiled
from mmiotools.trace.accesses import COLUMNS, Accesses, accesses_of
from mmiotools.trace.address_space import Region
from mmiotools.trace.matching import all_same, same

REGIONS = [Region("card/BAR0", ("8086:100e", 0, "BAR0"), "mem", 0x1000, 0x100, None, None)]
rows = st.lists(
    st.tuples(
        st.sampled_from([Kind.READ, Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
        st.sampled_from([1, 4]),
        st.just(REGIONS[0].identity),
        st.sampled_from([0, 4, 8]),
        st.sampled_from([0, 1, 0x12345000, 0x7654000]),
    ),
    min_size=1,
    max_size=30,
)


def plain(given: list[Any]) -> Accesses:
    found = accesses_of(given)
    nowhere: dict[str, Any] = {"address": None, "has_address": None}
    return found._replace(regions=REGIONS, region=np.zeros(len(found), np.int32), **nowhere)


def coded(accesses: Accesses, blocks: int = 2) -> Accesses:
    """The same by rows: each block has its own, of which some are alike."""
    keys = accesses.keys()
    first, codes = [], []
    for part in np.array_split(np.arange(len(accesses)), blocks):
        seen: dict[int, int] = {}
        for row in part.tolist():
            if int(keys[row]) not in seen:
                seen[int(keys[row])] = len(first)
                first.append(row)
            codes.append(seen[int(keys[row])])
    table = accesses.take(np.array(first))._replace(number=None, hashes=keys[first])
    alike = {name: np.broadcast_to(getattr(table, name)[0], len(first)) for name in ("time", "has_time", "has_value")}
    return Accesses.coded(np.array(codes, np.int32), table._replace(**alike))


@given(rows, st.data())
def test_columns_and_keys(given_rows: list[Any], data: st.DataObject) -> None:
    one = plain(given_rows)
    other = coded(one)
    some = np.array(data.draw(st.lists(st.integers(0, len(one) - 1), min_size=1)))
    assert len(other) == len(one)
    for rows in (some, slice(2, 9), slice(None)):
        names = ("op", "width", "identity", "offset", "value", "has_value")
        for ours, theirs in zip(other.picked(rows, *names), one.picked(rows, *names), strict=True):
            assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
        assert [column.tolist() for column in other.addresses(rows)] == [c.tolist() for c in one.addresses(rows)]
    for function in (Accesses.keys, Accesses.register_keys, Accesses.place_keys):
        assert np.array_equal(function(other), function(one))
    assert np.array_equal(other.register_keys(some), one.register_keys(some))
    keep = np.full(len(one), 0xFFFF, np.uint64)
    assert np.array_equal(other.keys(keep), one.keys(keep))
    assert list(other.span(0, len(other))) == list(one.span(0, len(one)))
    assert list(other.take(np.unique(some)).span(0, 1)) == list(one.take(np.unique(some)).span(0, 1))
    for name in COLUMNS:
        ours, theirs = getattr(other, name), getattr(one, name)
        assert ours is theirs is None or (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
    with pytest.raises(AttributeError):
        other.nothing  # type: ignore[attr-defined] # noqa: B018


@given(rows, rows, rows, st.integers(0, 6))
def test_comparisons(one: list[Any], two: list[Any], three: list[Any], often: int) -> None:
    a, b = plain(one + two * often + three), plain(two + one * often + three)
    expected = compare_noisy([a], [b])
    text = list(VIEWS.get("unified")().render(expected, Options()))
    for left, right in ((coded(a), coded(b, 1)), (a, coded(b)), (coded(a), b)):
        found = compare_noisy([left], [right])
        assert list(found.hunks) == list(expected.hunks)
        assert list(VIEWS.get("unified")().render(found, Options())) == text
        assert differ(left, right) == differ(a, b)
        assert not differ(left, a)


@given(rows, st.data())
def test_single_accesses(given_rows: list[Any], data: st.DataObject) -> None:
    """Every access of one side against every one of the other."""
    a, b = plain(given_rows), plain(given_rows[::-1])
    left, right = (index.ravel() for index in np.indices((len(a), len(b))))
    equal = same(a, left, b, right)
    assert np.array_equal(same(coded(a), left, coded(b), right), equal)
    ones = np.ones(len(left), np.int64)
    for some in (equal, np.ones(len(equal), np.bool_)):
        runs = left[some], right[some], ones[some]
        assert all_same(coded(a), coded(b), runs) == (None if compiled() is None else equal[some].all())


def test_a_changed_one_is_no_table_any_more() -> None:
    one = coded(plain([(Kind.READ, 4, REGIONS[0].identity, 0, at % 2) for at in range(6)]))
    other = one._replace(value=np.arange(6, dtype=np.uint64))
    assert [access.value for access in other.span(0, 6)] == [*range(6)]
    assert other.picked(slice(None), "value")[0].tolist() == [*range(6)]
    for same_again in (pickle.loads(pickle.dumps(one)), copy.copy(one)):
        assert list(same_again.span(0, 6)) == list(one.span(0, 6)) and len(same_again.table) == len(one.table)


def test_equal_hashes_of_unlike_rows_are_found_out() -> None:
    given_rows = [(Kind.READ, 4, REGIONS[0].identity, 4 * (at % 5), at % 3) for at in range(400)]
    changed = [(*row[:4], row[4] + (at % 40 == 7)) for at, row in enumerate(given_rows)]
    a, b = coded(plain(given_rows)), coded(plain(changed))
    for side in (a, b):
        assert side.table is not None
        # As if what counts were the register alone.
        object.__setattr__(side, "table", side.table._replace(hashes=side.table.register_keys()))
    found = compare_noisy([a], [b], rules=())
    assert len(found.hunks) == 10
    assert patched(found, found.hunks) == [access.key for access in b.span(0, len(b))]
