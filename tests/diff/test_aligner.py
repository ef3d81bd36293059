"""Alignment of keys: minimal on small inputs, right and bounded on large ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_lcs import textbook

from mmiotools.diff import aligner as aligner_module
from mmiotools.diff.aligner import Aligner

Keys = np.ndarray


def mixed(values: Keys) -> Keys:
    """Values as keys look: all bits random."""
    spread = values.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return spread ^ spread >> np.uint64(31)


def aligned(a: Keys, b: Keys) -> Aligner:
    """The answer, after a check that it is one."""
    aligner = Aligner(a, b)
    left, right = aligner.run().pairs()
    assert (np.diff(left) > 0).all() and (np.diff(right) > 0).all()
    assert (a[left] == b[right]).all()
    return aligner


def matches(aligner: Aligner) -> int:
    return aligner.runs().total()


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40))
def test_small_inputs_get_the_longest_answer(a: list[int], b: list[int]) -> None:
    assert matches(aligned(mixed(np.array(a)), mixed(np.array(b)))) == textbook(a, b)


def test_scattered_edits_in_a_long_sequence_are_all_that_differs() -> None:
    rng = np.random.default_rng(2)
    a = mixed(rng.integers(0, 300, 60_000))
    changed = np.arange(500, 60_000, 1000)
    b = a.copy()
    b[changed] = mixed(changed + 1_000_000)
    b = np.insert(np.delete(b, [100, 30_200]), 45_300, mixed(np.array([5_000_000])))
    aligner = aligned(a, b)
    assert matches(aligner) == len(a) - len(changed) - 2
    assert aligner.coarse == 0


def test_a_moved_block_costs_its_own_length() -> None:
    a = mixed(np.random.default_rng(3).integers(0, 300, 40_000))
    b = np.concatenate((a[:5000], a[7000:30_000], a[5000:7000], a[30_000:]))
    assert matches(aligned(a, b)) >= len(a) - 2000


@pytest.mark.parametrize("period", [1, 3, 8, 13])
def test_loops_of_other_lengths_leave_the_rest_in_line(period: int) -> None:
    rng = np.random.default_rng(4)
    parts = [mixed(rng.integers(0, 300, 400)) for _ in range(20)]
    loop = mixed(np.arange(1000, 1000 + period))
    rounds_a, rounds_b = rng.integers(30, 400, 20), rng.integers(30, 400, 20)
    a = np.concatenate([x for part, n in zip(parts, rounds_a, strict=True) for x in (part, np.tile(loop, n))])
    b = np.concatenate([x for part, n in zip(parts, rounds_b, strict=True) for x in (part, np.tile(loop, n))])
    assert matches(aligned(a, b)) >= 20 * 400 + int(np.minimum(rounds_a, rounds_b).sum()) * period


def test_a_loop_with_edits_on_one_side_is_not_given_up() -> None:
    """Folding hides the whole loop on one side here, so the answer without folding has to win."""
    a = np.tile(mixed(np.arange(6)), 3000)
    b = a.copy()
    b[np.arange(50, 18_000, 900)] = mixed(np.arange(20) + 77)
    assert matches(aligned(a, b)) > len(a) * 0.95


@pytest.mark.parametrize("kinds", [1, 2, 20, 3000])
def test_hopeless_pairs_are_bounded_and_told(kinds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aligner_module, "_BUDGET", 1 << 22)
    rng = np.random.default_rng(5)
    a, b = mixed(rng.integers(0, kinds, 20_000)), mixed(rng.integers(0, kinds, 21_000))
    aligner = aligned(a, b)
    assert matches(aligner) > 0
    assert (aligner.coarse > 0) == (kinds > 1)


def test_nothing_in_common() -> None:
    aligner = aligned(mixed(np.arange(5000)), mixed(np.arange(5000, 12_000)))
    assert (matches(aligner), aligner.coarse) == (0, 0)
