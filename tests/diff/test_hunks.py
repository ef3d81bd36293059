"""Hunks: together they turn A into B, each access is in one at most, and known edits come out as what they are."""

from __future__ import annotations

import numpy as np
import pytest
from diff_helpers import edited_pairs, keys, patched, recording, shape, writes
from hypothesis import given, settings

from mmiotools.diff.hunks import compare, differ
from mmiotools.trace.accesses import Accesses


@settings(max_examples=300)
@given(edited_pairs())
def test_hunks_turn_a_into_b(pair: tuple[list, list]) -> None:
    a, b = recording(pair[0]), recording(pair[1])
    comparison = compare(a, b)
    hunks = list(comparison.hunks)
    assert patched(comparison, hunks) == keys(b)
    assert differ(a, b) == bool(hunks) == (keys(a) != keys(b))
    assert comparison.same == len(a) - sum(len(hunk.a) for hunk in hunks)
    assert [(hunk.a.start, hunk.b.start) for hunk in hunks] == sorted((h.a.start, h.b.start) for h in hunks)
    for hunk in hunks:
        assert hunk.category == "driver" and hunk.reason
        before, after = a.span(hunk.a.start, hunk.a.stop), b.span(hunk.b.start, hunk.b.stop)
        if hunk.kind == "change":
            assert all(
                (old.op, old.width, old.register) == (new.op, new.width, new.register) and old.value != new.value
                for old, new in zip(before, after, strict=True)
            )
        elif hunk.kind == "move":
            assert all(old.key == new.key for old, new in zip(before, after, strict=True))
        else:
            assert (len(hunk.a) == 0) == (hunk.kind == "insert")
            assert (len(hunk.b) == 0) == (hunk.kind == "delete")


@given(edited_pairs())
def test_what_is_between_hunks_is_the_same(pair: tuple[list, list]) -> None:
    """The place that an insertion names in A is where the views show it."""
    a, b = recording(pair[0]), recording(pair[1])
    hunks = list(compare(a, b).hunks)
    gone, new = {i for h in hunks for i in h.a}, {i for h in hunks for i in h.b}
    kept = [i for i in range(len(a)) if i not in gone]
    for hunk in hunks:
        if hunk.kind == "insert":
            moved_or_changed = {i for h in hunks if h.kind == "change" and h.a.start < hunk.a.start for i in h.b}
            fill = [j for j in range(hunk.b.start) if j not in new]
            assert sum(i < hunk.a.start for i in kept) == len(fill)
            assert all(j < hunk.b.start for j in moved_or_changed)


@given(edited_pairs())
def test_a_recording_does_not_differ_from_itself(pair: tuple[list, list]) -> None:
    a = recording(pair[0])
    comparison = compare(a, recording(pair[0]))
    assert not list(comparison.hunks) and comparison.same == len(a)


def mirrored(kind: str) -> str:
    return {"insert": "delete", "delete": "insert"}.get(kind, kind)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("abcdef", "abcdef", []),
        ("abcdef", "abdef", [("delete", [2], [])]),
        ("abcdef", "abcxdef", [("insert", [], [3])]),
        ("abcdef", "abCdef", [("change", [2], [2])]),
        ("abcdef", "aBCdef", [("change", [1, 2], [1, 2])]),
        ("", "abc", [("insert", [], [0, 1, 2])]),
        ("abc", "", [("delete", [0, 1, 2], [])]),
        ("abcdxyef", "abcdef", [("delete", [4, 5], [])]),
        ("abcxyzdef", "abcdpqef", [("delete", [3, 4, 5], []), ("insert", [], [4, 5])]),
        ("abcxyzdef", "abcXqzdef", [("change", [3], [3]), ("delete", [4], []), ("insert", [], [4])]),
    ],
)
def test_known_edits(a: str, b: str, expected: list) -> None:
    hunks = compare(writes(a), writes(b)).hunks
    assert shape(hunks) == expected
    swapped = sorted((mirrored(kind), y, x) for kind, x, y in shape(compare(writes(b), writes(a)).hunks))
    assert swapped == sorted(expected)


def test_two_swapped_writes_are_one_move_of_one_access() -> None:
    for a, b in (("abcdef", "abdcef"), ("ab", "ba"), ("xabcdef", "xbacdef")):
        (hunk,) = compare(writes(a), writes(b)).hunks
        assert hunk.kind == "move" and len(hunk.a) == len(hunk.b) == 1


def test_the_smaller_of_two_blocks_moves() -> None:
    assert shape(compare(writes("abcdefgh"), writes("defghabc")).hunks) == [("move", [0, 1, 2], [5, 6, 7])]


def test_a_change_never_crosses_another() -> None:
    """B writes the two registers in the other order and with other values: one change, one out, one in."""
    kinds = sorted(hunk.kind for hunk in compare(writes("mxyn"), writes("mYXn")).hunks)
    assert kinds == ["change", "delete", "insert"]


def test_operation_and_width_belong_to_the_register() -> None:
    a, b = recording([("R", 4, 1)]), recording([("W", 4, 1)])
    assert [hunk.kind for hunk in compare(a, b).hunks] == ["delete", "insert"]
    a, b = recording([("R", 4, 1)], width=4), recording([("R", 4, 1)], width=2)
    assert [hunk.kind for hunk in compare(a, b).hunks] == ["delete", "insert"]


def test_a_longer_poll_loop_is_one_hunk() -> None:
    rows = [("R", 8, 0)] * 100
    start, end = [("W", 4, 1), ("W", 5, 2)], [("R", 8, 1), ("W", 6, 1)]
    (hunk,) = compare(recording(start + rows + end), recording(start + rows * 3 + end)).hunks
    assert (hunk.kind, len(hunk.b)) == ("insert", 200)


def test_hunks_are_right_even_if_every_hash_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accesses, "keys", lambda self, keep=None: np.zeros(len(self), np.uint64))
    monkeypatch.setattr(Accesses, "register_keys", lambda self, rows: np.zeros(len(rows), np.uint64))
    a, b = writes("abcdefgHi"), writes("abdcefghx")
    comparison = compare(a, b)
    assert patched(comparison, comparison.hunks) == keys(b)
