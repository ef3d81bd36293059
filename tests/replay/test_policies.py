"""The two policies, access by access."""

from __future__ import annotations

import pytest
from replay_helpers import tape_of

from mmiotools.replay import POLICIES, MockCard
from mmiotools.replay.ledger import KEEP

A, B = ("BAR0", 0x10), ("BAR0", 0x20)


def play(tape, policy, *accesses):
    """Do accesses (op, bar, offset, width[, value]); what the reads gave, and the books."""
    card = MockCard(tape, policy)
    answers = []
    for op, bar, offset, width, *value in accesses:
        if op == "R":
            answers.append(card.read(bar, offset, width))
        else:
            card.write(bar, offset, width, value[0])
    return answers, card.finish()


def counts(ledger):
    return ledger.matched, ledger.extra_count, ledger.missed_count, ledger.differing_count


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_the_recording_itself_matches(policy):
    tape = tape_of(("R", *A, 4, 1), ("W", *B, 2, 5), ("R", *A, 4, 2), ("R", "BAR2", 0x10, 1, 0xFF))
    answers, ledger = play(tape, policy, ("R", *A, 4), ("W", *B, 2, 5), ("R", *A, 4), ("R", "BAR2", 0x10, 1))
    assert answers == [1, 2, 0xFF]
    assert counts(ledger) == (4, 0, 0, 0)
    assert ledger.first is None


def test_strict_says_where_the_order_was_left():
    tape = tape_of(("R", *A, 4, 1), ("R", *B, 4, 2), ("W", *A, 4, 3))
    answers, ledger = play(tape, "strict", ("R", *A, 4), ("W", *A, 4, 3), ("R", *B, 4))
    assert answers == [1, 2]
    assert counts(ledger) == (2, 1, 1, 0)
    assert (ledger.first.kind, ledger.first.position, ledger.first.expected) == ("extra", 1, True)
    assert ledger.first.done[:5] == (1, "W", "BAR0", 0x10, 4)


def test_queue_does_not_look_at_the_order_between_registers():
    tape = tape_of(("R", *A, 4, 1), ("R", *B, 4, 2), ("W", *A, 4, 3))
    answers, ledger = play(tape, "queue", ("W", *A, 4, 3), ("R", *B, 4), ("R", *A, 4))
    assert answers == [2, 1]
    assert counts(ledger) == (3, 0, 0, 0)


def test_queue_last_value_sticks_and_is_extra():
    tape = tape_of(("R", *A, 4, 1), ("R", *A, 4, 2))
    answers, ledger = play(tape, "queue", *[("R", *A, 4)] * 4)
    assert answers == [1, 2, 2, 2]
    assert counts(ledger) == (2, 2, 0, 0)
    assert (ledger.first.kind, ledger.first.done.number) == ("extra", 2)


@pytest.mark.parametrize("policy", ["window", "strict", "queue"])
def test_unrecorded_reads_get_the_last_known_value_or_all_ones(policy):
    tape = tape_of(("R", *A, 4, 1), ("W", *B, 4, 9))
    answers, _ = play(tape, policy, ("R", *A, 4), ("R", *B, 2), ("W", *B, 4, 9), ("R", *B, 4), ("R", "BAR1", 0, 8))
    assert answers == [1, 0xFFFF, 9, (1 << 64) - 1]


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_another_value_is_differing(policy):
    tape = tape_of(("W", *A, 4, 1), ("W", *B, 4, 2))
    _, ledger = play(tape, policy, ("W", *A, 4, 7), ("W", *B, 4, 2))
    assert counts(ledger) == (1, 0, 0, 1)
    assert (ledger.first.kind, ledger.first.position, ledger.first.done.value) == ("differing", 0, 7)


def test_queue_pairs_writes_by_value_first():
    tape = tape_of(*(("W", *A, 4, value) for value in (0, 1, 2, 1)))
    _, ledger = play(tape, "queue", *(("W", *A, 4, value) for value in (5, 1, 2, 1, 0, 6)))
    assert counts(ledger) == (4, 2, 0, 0)
    assert [done.value for done in ledger.extra] == [5, 6]
    _, ledger = play(tape, "queue", ("W", *A, 4, 8), ("W", *A, 4, 1), ("W", *A, 4, 1))
    assert counts(ledger) == (2, 0, 1, 1)
    assert [(place, done.value) for place, done in ledger.differing] == [(0, 8)]
    assert ledger.missed() == [2]


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_what_the_driver_left_out_is_missed(policy):
    tape = tape_of(("R", *A, 4, 1), ("W", *B, 4, 2), ("W", *B, 4, 3))
    _, ledger = play(tape, policy, ("R", *A, 4))
    assert counts(ledger) == (1, 0, 2, 0)
    assert (ledger.first.kind, ledger.first.position, ledger.first.done) == ("missed", 1, None)


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_width_is_part_of_the_register(policy):
    _, ledger = play(tape_of(("R", *A, 4, 1)), policy, ("R", *A, 2))
    assert counts(ledger) == (0, 1, 1, 0)


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_values_wider_than_the_access_are_cut(policy):
    tape = tape_of(("R", *A, 1, 0xFFFFFF80), ("W", *B, 2, 0x12345))
    answers, ledger = play(tape, policy, ("R", *A, 1), ("W", *B, 2, 0x2345))
    assert answers == [0x80]
    assert counts(ledger) == (2, 0, 0, 0)


R_A, W_A = ("R", *A, 4), ("W", *A, 4, 5)


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
@pytest.mark.parametrize(
    ("unknown", "accesses"),
    [
        (1, [R_A]),
        (1, [W_A]),
        (1, [R_A, W_A]),
        (2, [R_A, W_A, R_A, W_A]),
        (2, [R_A, W_A]),
        (2, [W_A, R_A]),
        (3, [R_A, W_A, W_A]),
    ],
)
def test_unknown_stands_for_one_instruction(policy, unknown, accesses):
    tape = tape_of(*[("U", *A)] * unknown, ("R", *B, 4, 6))
    answers, ledger = play(tape, policy, *accesses, ("R", *B, 4))
    assert answers[-1] == 6
    assert counts(ledger) == (unknown + 1, 0, 0, 0)


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
@pytest.mark.parametrize(
    ("recording", "accesses"),
    [
        ([("U", *A), W_A], [R_A, W_A, W_A]),
        ([("U", *A), W_A], [R_A, W_A]),
        ([("U", *A), W_A, W_A], [R_A, W_A, W_A]),
        ([("U", *A), ("R", *A, 4, 1)], [R_A, W_A, R_A]),
        ([("U", *A), ("R", *A, 4, 1)], [W_A, R_A]),
    ],
)
def test_unknown_beside_known_accesses_of_its_register(policy, recording, accesses):
    _, ledger = play(tape_of(*recording), policy, *accesses)
    assert counts(ledger) == (len(recording), 0, 0, 0)


def test_lists_are_bounded_and_counts_are_not():
    _, ledger = play(tape_of(("R", *A, 4, 1)), "strict", *[("R", *B, 4)] * (KEEP + 5))
    assert len(ledger.extra) == KEEP
    assert ledger.extra_count == KEEP + 5


def test_many_writes_out_of_order_in_one_register_are_found_quickly():
    n = 50_000
    tape = tape_of(*(("W", *A, 4, value) for value in range(n)))
    _, ledger = play(tape, "queue", *(("W", *A, 4, value) for value in [*range(1, n), 0]))
    assert counts(ledger) == (n, 0, 0, 0)


def test_policies_are_listed():
    assert [(row.name, row.problem, bool(row.title)) for row in POLICIES.listing()] == [
        ("window", None, True),
        ("strict", None, True),
        ("queue", None, True),
        ("model", None, True),
    ]


@pytest.mark.parametrize("policy", ["window", "strict", "queue", "model"])
def test_card_snapshot_and_reset(policy):
    tape = tape_of(("R", *A, 4, 1), ("R", *A, 4, 2), ("R", *A, 4, 3))
    card = MockCard(tape, policy)
    assert card.read(*A, 4) == 1
    state = card.snapshot()
    assert card.read(*A, 4) == 2
    card.restore(state)
    assert [card.read(*A, 4), card.read(*A, 4)] == [2, 3]
    card.reset()
    assert card.seen == []
    assert card.read(*A, 4) == 1
    assert card.read("config", 0, 4) == 0x56781234
    assert card.finish().matched == 1
