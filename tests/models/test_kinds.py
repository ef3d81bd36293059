"""Each kind is found in the accesses of a machine that is one, with the keys that the machine has."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import learned, reg, stream_of

from mmiotools.models.kinds import KINDS
from mmiotools.models.learn import histories, learn

A, B, C = reg(0x10), reg(0x20), reg(0x30)


def noise(n, seed=1):
    return random.Random(seed).choices(range(1 << 32), k=n)


def constant():
    return [step for value in noise(5) for step in (("W", A, value), ("R", A, 0x80))]


def storage():
    """0xff00 cannot be written, and 0x100 of it is set."""
    steps = [("R", A, 0x1100)]
    for value in noise(12):
        steps += [("W", A, value), ("R", A, value & 0xFFFF00FF | 0x100)]
    return steps


def mirror():
    """A read pointer that follows the write pointer at another register."""
    return [step for value in noise(12) for step in (("W", B, value), ("R", A, value & 0xFF))]


def counter():
    return [("R", A, (0xFFFFFFF0 + 4 * n) & 0xFFFFFFFF) for n in range(12)]


def index_data():
    """Data at A for the index that was written to B, each asked twice."""
    table = dict(zip(range(1, 9), noise(8), strict=True))
    order = [*table, *reversed(table)]
    return [step for index in order for step in (("W", B, index), ("R", A, table[index]))]


def own_index():
    """A ready bit and data beside the index that was written to the register itself."""
    words = noise(16, 2)
    steps = []
    for index in [*range(16), *range(16)]:
        steps += [("W", A, index << 8 | 1), ("R", A, words[index] & 0xFFFF0000 | index << 8 | 0x11)]
    return steps


def own_sequences():
    """Indexes at the register itself; what index 2 has is another from the third time on that it is asked."""
    steps = []
    for asked in range(8):
        for index in (1, 2, 3):
            steps += [("W", A, index << 16), ("R", A, index << 16 | (0x1D if index == 2 and asked > 2 else 0x0D))]
    return steps


def status():
    steps = []
    for on in (1, 0, 1, 0, 1, 0):
        steps += [("R", C, 7), ("W", B, on), ("R", A, 0x1 if on else 0x8), ("R", A, 0x1 if on else 0x8)]
    return steps


def poll():
    """Busy for three reads after each command."""
    steps = []
    for value in noise(5):
        steps += [("W", B, value)] + [("R", A, 0x80)] * 3 + [("R", A, 0x1)] * 2
    return steps


def write_one_to_clear():
    steps, pending = [], 0
    for bit in [0, 1, 2, 3] * 4:
        pending |= 1 << bit | 0x10
        steps += [("R", A, pending), ("W", A, 0), ("R", A, pending), ("W", A, 1 << bit)]
        pending &= ~(1 << bit)
        steps.append(("R", A, pending))
    return steps


def read_to_clear():
    return [step for bit in [0, 1, 2, 3] * 4 for step in (("W", C, 0), ("R", A, 1 << bit), ("R", A, 0), ("R", A, 0))]


def fifo():
    """What is written comes back, four behind."""
    values = noise(40)
    steps = [("W", A, value) for value in values[:4]]
    for at in range(4, 40):
        steps += [("R", A, values[at - 4]), ("W", A, values[at])]
    return steps


def data_fifo():
    """Five words, again after each command."""
    words = noise(5)
    return [step for _ in range(8) for step in [("W", B, 1), *(("R", A, word) for word in words)]]


def shift(words=(0xBEEF, 0x1234, 0xFFFF, 0x0BAD)):
    """Select at bit 1, clock at bit 0, data in at bit 2, data out at bit 3: three bits of address, sixteen of data."""
    steps = []

    def put(value, out=0):
        steps.append(("W", A, value))

    for address in [*range(len(words)), *range(len(words))]:
        put(2)
        for bit in (4, 2, 1):
            level = 6 if address & bit else 2
            put(level)
            put(level | 1)
            put(level)
        for bit in range(15, -1, -1):
            put(3)
            steps.append(("R", A, 3 | (words[address] >> bit & 1) << 3))
            put(2)
        put(0)
    return steps


def cause():
    """An interrupt cause: two of its bits are set again and again, the others seldom, and all go when it is read."""
    return [("R", A, value) for value in (0, 4, 0x10, 4, 0x12, 3, 3, 3, 0x83, 0x83, 3, 0x83, 3, 0x10, 0x83, 3, 0x83, 0)]


def volatile():
    """Measurements: more than half differ from the commonest one."""
    return [("R", A, value if at % 3 else 7) for at, value in enumerate(noise(30, 5))]


CASES = {
    "constant": (constant, "constant", {}),
    "storage": (storage, "storage", {"echo": 0xFFFF00FF, "fixed": 0x100}),
    "mirror": (mirror, "storage", {"of": B, "echo": 0xFF}),
    "counter": (counter, "counter", {"step": 4}),
    "index": (index_data, "index-data", {"index": B}),
    "own index": (own_index, "index-data", {}),
    "own sequences": (own_sequences, "index-data", {"sequences": {0x20000: [(3, 0x2000D, 0), (0, 0x2001D, 0)]}}),
    "status": (status, "status", {"after": B, "table": {0: 8, 1: 1}}),
    "poll": (poll, "poll-until", {"after": B}),
    "w1c": (write_one_to_clear, "write-one-to-clear", {"clear": 0xF}),
    "rc": (read_to_clear, "read-to-clear", {"clear": 0xF}),
    "cause": (cause, "read-to-clear", {"clear": 0x94}),
    "volatile": (volatile, "volatile", {}),
    "fifo": (fifo, "fifo", {"loop": True}),
    "data fifo": (data_fifo, "fifo", {"after": B, "values": noise(5)}),
    "shift": (shift, "shift", {"select": 1, "clock": 0, "data_in": 2, "data_out": 3}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_kind_is_found(case):
    make, kind, keys = CASES[case]
    found = learned(make())[A]
    assert found.model.kind == kind
    held = found.model.keys()
    assert {key: held.get(key) for key in keys} == keys
    assert found.support + found.contradict == found.reads


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("w1c", "rc", "cause", "volatile")])
def test_what_has_no_surprises_is_learned_without_error(case):
    """Bits that the machine sets by itself cannot be foreseen; all else is, from its recording alone."""
    assert learned(CASES[case][0]())[A].contradict == 0


def test_every_kind_has_a_case():
    assert {kind for _, kind, _ in CASES.values()} == set(KINDS)


def test_a_shift_register_answers_what_was_not_recorded_in_this_order():
    model = learned(shift())[A].model
    for address, word in ((2, 0xFFFF), (0, 0xBEEF), (3, 0x0BAD)):
        model.wrote(2)
        for bit in (4, 2, 1):
            level = 6 if address & bit else 2
            for value in (level, level | 1, level):
                model.wrote(value)
        got = 0
        for _ in range(16):
            model.wrote(3)
            got = got << 1 | model.answer() >> 3 & 1
            model.wrote(2)
        assert got == word
        model.wrote(0)


def test_a_poll_ends_by_time_as_well_as_by_reads():
    model = learned(poll())[A].model
    assert [reads for reads, _, _ in model.runs] == [3, 0]
    model.triggered(1, now=1_000_000)
    assert model.answer(now=1_000_001) == 0x80
    assert model.answer(now=1_000_001 + model.runs[0][2]) == 1


def test_a_counter_follows_the_clock_where_the_recording_did():
    steps = []
    for n in noise(30, 5):
        steps += [("R", C, 0)] * (n % 7 + 1) + [("R", A, 0)]
    rows = [(op, place, 25 * at if place == A else value) for at, (op, place, value) in enumerate(steps)]
    model = learned(rows)[A].model
    assert (model.kind, model.rate) == ("counter", 25_000_000)
    assert model.answer(now=2_000) == model.reset + 50


def test_what_a_write_of_another_width_leaves_alone_is_as_it_was_read():
    low = reg(0x10, 1)
    steps = [("R", A, 0x12345678)]
    for value in noise(8, 3):
        steps += [("W", low, value & 0xFF), ("R", A, 0x12345600 | value & 0xFF)]
    model = learned(steps, steps)[A]
    assert (model.model.kind, model.contradict) == ("storage", 0)
    assert model.model.stores(0x87654321) == 0x87654321


def test_writes_of_another_width_change_their_bytes():
    word, byte = reg(0x40), reg(0x41, 1)
    steps = [("W", word, 0)]
    for value in range(1, 9):
        steps += [("W", byte, value), ("R", word, value << 8)]
    found = learned(steps)[word]
    assert (found.model.kind, found.contradict) == ("storage", 0)


def test_evidence_of_several_recordings_adds_up():
    once, other = learned(constant())[A], learned(constant(), [("W", A, 5), ("R", A, 0x81)])[A]
    assert (once.tried, once.contradict) == (5, 0)
    assert (other.tried, other.contradict) == (6, 1)


PLACES = st.sampled_from([A, B, C, reg(0x10, 1), reg(0x12, 2), reg(0x18, 8), reg(0x10, 4, "BAR2")])
STEPS = st.lists(
    st.tuples(st.sampled_from("RW"), PLACES, st.integers(0, 255) | st.integers(0, (1 << 64) - 1)).map(
        lambda step: (step[0], step[1], step[2] & step[1].mask)
    ),
    max_size=120,
)


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=3))
def test_any_recordings_can_be_learned(recordings):
    stream = stream_of(*recordings)
    found = learn(stream)
    assert {one.place for one in found} == {place for recording in recordings for _, place, _ in recording}
    reads = sum(op == "R" for recording in recordings for op, _, _ in recording)
    assert sum(one.reads for one in found) == sum(one.tried for one in found) == reads
    for one in found:
        assert 0 <= one.support <= one.tried
        assert 0 <= one.confidence <= 1
        assert one.model.answer() <= one.place.mask


@settings(max_examples=30)
@given(STEPS, STEPS)
def test_a_model_goes_on_from_where_it_was(before, after):
    for place, history, _ in histories(stream_of(before + after)):
        if history is None:
            continue
        for kind in KINDS.values():
            for model in kind.fit(history):
                copy = type(model)(place, model.reset, **model.keys())
                drive(model, place, before)
                copy.load(model.dump())
                assert drive(copy, place, after) == drive(model, place, after)


def drive(model, place, steps):
    got = []
    for op, where, value in steps:
        if where == place and op == "R":
            got.append(model.answer())
            model.took()
        elif where == place:
            model.wrote(value)
        elif where == model.after and op == "W":
            model.triggered(value)
    return got
