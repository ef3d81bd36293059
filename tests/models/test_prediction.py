"""The path bears edits, models and path together beat what learns nothing, and confidences are what they say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_helpers import reg, stream_of
from test_kinds import STEPS, A, B, noise, shift

from mmiotools.formats import open_trace
from mmiotools.models.card import learn_card
from mmiotools.models.holdout import gather
from mmiotools.models.learn import learn
from mmiotools.models.path import Follower, Path
from mmiotools.models.predict import PATH, PLAIN, Predictor, path_of
from mmiotools.models.score import MODEL, NAIVE, Judge, Score
from mmiotools.models.step import perturbed, steps
from mmiotools.models.stream import READ, WRITE, join
from mmiotools.trace.tape import load_tape

#: Forty registers, each read between writes to the next: no value can be guessed from another.
WALK = [step for n, value in enumerate(noise(40)) for step in (("W", reg(4 * n), n), ("R", reg(0x400), value))]


def follow(recording, driver):
    """What the path of a recording has for each read of a driver."""
    stream = stream_of(recording)
    follower = Follower(Path(stream))
    number = stream.vocabulary.number
    found = []
    for op, place, value in driver:
        got = follower.step(number(place), READ if op == "R" else WRITE, None if op == "R" else value)
        if op == "R":
            found.append(None if got is None else got.value)
    return found


def reads(driver):
    return [value for op, _, value in driver if op == "R"]


@given(STEPS)
def test_a_driver_that_does_what_was_recorded_reads_what_was_recorded(recording):
    assert follow(recording, recording) == reads(recording)


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_what_a_driver_leaves_out_does_not_lose_the_path(at):
    driver = WALK[:at] + WALK[at + 3 :]
    assert follow(WALK, driver)[at // 2 + 3 :] == reads(driver)[at // 2 + 3 :]


@pytest.mark.parametrize("at", range(1, 60, 6))
def test_what_a_driver_does_twice_reads_the_same_twice(at):
    driver = [*WALK[: at + 1], *WALK[at:]]
    assert follow(WALK, driver) == reads(driver)


def test_a_driver_that_does_something_else_comes_back_to_the_path():
    other = [("W", reg(0x500 + 4 * n), n) for n in range(30)]
    driver = WALK[:30] + other + WALK[30:]
    assert follow(WALK, driver)[-20:] == reads(driver)[-20:]


def test_a_driver_that_starts_in_the_middle_is_found():
    assert follow(WALK, WALK[50:])[5:] == reads(WALK[50:])[5:]


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=2), STEPS)
def test_any_driver_gets_answers(recordings, driver):
    stream = stream_of(*recordings)
    known = Predictor(learn(stream), stream.vocabulary, Path(stream))
    alone = Predictor(learn(stream), stream.vocabulary)
    for predictor in (known, alone):
        for op, place, value in driver:
            number = predictor.vocabulary.number(place)
            if op == "W":
                predictor.write(number, value)
            else:
                answer = predictor.read(number)
                assert 0 <= answer.value <= place.mask
                assert 0 <= answer.confidence <= 1


def test_storage_answers_what_this_driver_wrote_and_not_the_recorded_one():
    recording = [step for value in noise(8) for step in (("W", A, value), ("R", A, value))]
    stream = stream_of(recording)
    predictor = Predictor(learn(stream), stream.vocabulary, Path(stream))
    number = stream.vocabulary.number(A)
    for value in noise(8, 3):
        predictor.write(number, value)
        assert predictor.read(number).value == value


def test_a_register_that_was_never_seen_is_storage():
    stream = stream_of([("R", A, 5)])
    predictor = Predictor(learn(stream), stream.vocabulary, Path(stream))
    number = stream.vocabulary.number(reg(0x4000))
    assert predictor.read(number)[::2] == (0, PLAIN)
    predictor.write(number, 9)
    assert predictor.read(number).value == 9


def test_where_the_model_is_poor_the_path_answers():
    recording = [step for n, value in enumerate(noise(20)) for step in (("W", B, n % 3), ("R", A, value))]
    stream = stream_of(recording)
    predictor = Predictor(learn(stream), stream.vocabulary, Path(stream))
    number = stream.vocabulary.number
    for op, place, value in recording:
        if op == "W":
            predictor.write(number(place), value)
        else:
            answer = predictor.read(number(place))
            assert answer.value == value
            sources = answer.source
    assert sources == PATH


def test_bits_that_a_serial_device_drives_do_not_tell_writes_apart():
    """A driver that writes back what it read, from a card with other contents, is where it was."""

    def written_back(recording):
        held = 0
        for op, place, value in recording:
            held = value & 8 if op == "R" else held
            yield op, place, value if op == "R" or value == 0 else value | held

    here, there = (list(written_back(shift(words))) for words in ((0xBEEF, 0x1234, 0xFFFF), (0xBEEF, 0xEDCB, 0xFFFF)))
    stream = stream_of(here)
    found = learn(stream)
    assert [one.model.driven for one in found] == [8]
    predictor = Predictor(found, stream.vocabulary, path_of(stream, found))
    number = stream.vocabulary.number(A)
    wrong = 0
    for op, _, value in there:
        if op == "W":
            predictor.write(number, value)
        else:
            wrong += predictor.read(number).value != value
    assert wrong == 32, "the sixteen bits of the other word, twice, and no more"


def test_of_a_clock_nobody_is_sure():
    recording = [step for n, jump in enumerate(noise(20)) for step in (("R", B, 0), ("R", A, 1000 * n + jump % 900))]
    stream = stream_of(recording)
    predictor = Predictor(learn(stream), stream.vocabulary, Path(stream))
    assert max(predictor.read(stream.vocabulary.number(A)).confidence for _ in range(9)) < 0.1


# -- scores ----------------------------------------------------------------------------------------------------


def test_a_changed_driver_is_the_same_for_the_same_seed_and_counts_what_is_known():
    stream = stream_of(WALK * 20)
    once = list(perturbed(stream, 0.05, 7))
    assert once == list(perturbed(stream, 0.05, 7)) != list(perturbed(stream, 0.05, 8))
    assert list(perturbed(stream, 0.0, 7)) == list(steps(stream))
    plain = list(steps(stream))
    assert 0.01 < 1 - sum(step.counts for step in once) / sum(step.counts for step in plain) < 0.06
    values = iter(plain)
    assert all(step.value == next(v.value for v in values if v[:3] == step[:3]) for step in once if step.counts)


def test_reads_after_a_write_that_was_left_out_do_not_count():
    stream = stream_of([("W", A, 1), ("R", A, 1), ("R", B, 0)] * 200)
    left_out = False
    number = stream.vocabulary.number(A)
    before = None
    for step in perturbed(stream, 0.3, 1):
        if step.op == READ and step.register == number:
            left_out = before is None or before.register != number
            if left_out:
                assert not step.counts
        before = step


def test_a_score_against_the_recording_itself_is_perfect_and_calibration_is_the_distance():
    stream = stream_of(shift())
    score = Judge(stream, learn(stream)).score(steps(stream))
    assert (score.share(MODEL), score.share("sequence"), score.share("queue")) == (1, 1, 1)
    half = Score(4, dict.fromkeys((*NAIVE, MODEL), 2), [(4, 3.6, 2), *[(0, 0.0, 0)] * 9])
    assert half.calibration_error == pytest.approx(0.4)


@pytest.fixture(scope="module")
def e1000(samples):
    """Judge and driver of two recordings of one driver, on one card."""
    folder = samples / "versions" / "e1000"
    card, stream = learn_card([load_tape(open_trace(str(folder / "base-1.mmio")))])
    judge = Judge(stream, card.registers)
    return judge, join([load_tape(open_trace(str(folder / "base-2.mmio")))], judge.vocabulary)


def test_another_recording_of_a_network_card(e1000):
    judge, driver = e1000
    score = judge.score(steps(driver))
    assert score.share(MODEL) >= score.share(score.best_naive)
    assert score.calibration_error <= 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_driver_that_does_not_quite_what_was_recorded(e1000, seed):
    judge, driver = e1000
    score = judge.score(perturbed(driver, 0.05, seed))
    assert score.share(MODEL) >= score.share(score.best_naive) + 0.10
    assert score.calibration_error <= 0.05


def recordings(*values):
    """As many recordings of two registers: one that always gives the same, and one that is another every time."""
    return stream_of(*([("R", A, 7), ("R", B, value)] * 8 for value in values))


def test_whole_recordings_that_were_held_out_say_how_sure_to_be():
    evidence = gather(recordings(1, 2, 3, 4))
    stream = recordings(1, 2, 3, 4)
    found = learn(stream)
    answers = Predictor(found, stream.vocabulary, path_of(stream, found), evidence)
    same, other = (answers.read(stream.vocabulary.number(place)).confidence for place in (A, B))
    assert evidence.across and same > 0.95 and other < 0.2


def test_of_one_recording_parts_are_held_out():
    steady = stream_of([("R", A, 7)] * 40)
    moody = stream_of([("R", A, value * 0x9E3779B1 % 251) for value in range(40)])
    cell = ("perfect", "on", True, True)
    sure = [gather(stream).sure(stream.vocabulary.number(A), cell, 0.9) for stream in (steady, moody)]
    assert 0.9 < sure[0] <= 1 and 0 <= sure[1] < 0.8


def test_nothing_is_held_out_of_nothing():
    assert gather(stream_of([])).sure(0, ("lost", "once"), 0.9) > 0.5


def test_a_disk_is_answered_as_surely_as_rightly(samples):
    traces = [str(samples / "mmiotrace" / f"nvme-linux{version}.mmiotrace") for version in ("6.1", "6.12")]
    card, stream = learn_card([load_tape(open_trace(traces[0]))])
    judge = Judge(stream, card.registers)
    driver = join([load_tape(open_trace(traces[1]))], judge.vocabulary)
    for made in (steps(driver), perturbed(driver, 0.05, 1)):
        assert judge.score(made).calibration_error <= 0.05


def test_another_kernel_on_a_disk(samples):
    traces = [str(samples / "mmiotrace" / f"nvme-linux{version}.mmiotrace") for version in ("6.1", "6.12")]
    card, stream = learn_card([load_tape(open_trace(traces[0]))])
    judge = Judge(stream, card.registers)
    score = judge.score(steps(join([load_tape(open_trace(traces[1]))], judge.vocabulary)))
    assert score.share(MODEL) >= score.share(score.best_naive) + 0.05


def test_several_recordings_are_learned_together(samples):
    folder = samples / "versions" / "e1000"
    tapes = [load_tape(open_trace(str(folder / f"{name}.mmio"))) for name in ("base-1", "base-2")]
    card, stream = learn_card(tapes)
    assert (card.recordings, card.accesses) == (2, len(stream))
    assert len(stream.starts) == 3
