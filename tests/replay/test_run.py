"""Drivers against the mock cards of recordings, reports, and models against recordings."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replay_helpers import CARD, chosen, recorded, tape_of, tape_of_run, trace_of

from mmiotools.devices.nv_card import NvCard
from mmiotools.drivers import DRIVERS, choose_driver
from mmiotools.errors import UsageError
from mmiotools.events import Event, Kind
from mmiotools.replay import POLICIES, apply_to, load_tape, recorded_driver, replay
from mmiotools.replay import run as run_module

POLICY = pytest.mark.parametrize("policy", ["window", "strict", "queue"])

#: Every bundled driver of one CPU, and every version.
BUNDLED = [
    f"{name}@{version}"
    for name in DRIVERS.builtin_names()
    if name != "nv-smp"
    for version in DRIVERS.get(name).versions
]


@POLICY
@pytest.mark.parametrize("word", BUNDLED)
def test_a_driver_completes_against_its_own_recording(word, policy):
    tape = recorded(word)
    done = replay(tape, recorded_driver(tape.meta), policy)
    assert done.outcome.returned == 0
    report = done.report.to_json()
    assert report["verdict"] == "completed"
    assert report["matched"] == report["accesses"] == len(tape) > 1
    assert report["first_divergence"] is None


def test_version_2_against_version_1_parts_at_its_first_access():
    report = replay(recorded("nv-test@1"), choose_driver("nv-test@2"), "strict").report.to_json()
    first = report["first_divergence"]
    assert report["verdict"] == "diverged"
    assert first["kind"] == "extra"
    assert (first["expected"]["op"], first["expected"]["offset"], first["expected"]["index"]) == ("R", "0x101000", 0)
    assert (first["got"]["op"], first["got"]["offset"], first["got"]["value"]) == ("W", "0x600100", "0x1")
    assert [after["offset"] for after in first["after"]] == ["0x600140"]
    assert report["missed_count"] == 2


def test_version_2_against_version_1_under_queue_shows_what_is_different():
    report = replay(recorded("nv-test@1"), choose_driver("nv-test@2"), "queue").report.to_json()
    assert report["verdict"] == "diverged"
    assert [(entry["offset"], entry["value"], entry["got"]) for entry in report["differing"]] == [
        ("0x600140", "0x0", "0x1")
    ]
    assert [entry["offset"] for entry in report["missed"]] == ["0x101000"]
    assert {(entry["op"], entry["offset"]) for entry in report["extra"]} == {("W", "0x600100"), ("R", "0x600100")}


def test_nv_init_2_against_1():
    tape = recorded("nv-init@1")
    strict = replay(tape, choose_driver("nv-init@2"), "strict").report.to_json()["first_divergence"]
    assert strict["expected"]["offset"] == "0x101000"
    assert strict["got"]["offset"] == "0x680600"
    assert [entry["index"] for entry in strict["before"] + [strict["expected"]] + strict["after"]] == list(
        range(strict["expected"]["index"] - 3, strict["expected"]["index"] + 4)
    )
    queue = replay(tape, choose_driver("nv-init@2"), "queue").report.to_json()
    assert [entry["offset"] for entry in queue["missed"]] == ["0x101000"]
    assert [entry["offset"] for entry in queue["differing"]] == ["0x680600"]
    assert queue["extra_count"] == 0


@POLICY
def test_the_card_answers_wherever_its_bars_lie(policy):
    tape = recorded("nv-init@1")
    moved = tape.pci._replace(bdf=0x0208, bars=tuple(bar._replace(addr=bar.addr ^ 0x40000000) for bar in tape.pci.bars))
    done = replay(tape, choose_driver("nv-init@1"), policy, pci=moved)
    assert done.report.verdict == "completed"
    assert done.report.ledger.matched == len(tape)


PLACE = st.tuples(
    st.sampled_from([0, 1]), st.sampled_from([0x0, 0x100, 0x9400, 0x101000, 0x600100, 0x600140, 0x700000])
)
STEP = st.one_of(
    st.tuples(st.just("read"), PLACE, st.sampled_from([1, 2, 4, 8])),
    st.tuples(st.just("write"), PLACE, st.sampled_from([1, 2, 4, 8]), st.integers(0, 3)),
    st.tuples(st.just("set_bits"), PLACE, st.sampled_from([1, 4]), st.integers(0, 3)),
    st.tuples(st.just("udelay"), st.integers(0, 20_000)),
)


@settings(max_examples=150)
@given(st.lists(STEP, max_size=40))
@example(
    [
        ("read", (0, 0), 1),
        ("read", (0, 0), 1),
        ("read", (0, 0x9400), 4),
        ("write", (0, 0x9400), 1, 0),
        ("set_bits", (0, 0x9400), 4, 0),
    ]
)
def test_any_program_matches_its_own_recording(program):
    def probe(kernel) -> int:
        # Page by page: mapping all of it is what would take the time.
        pages: dict[tuple[int, int], int] = {}

        def virtual(kernel, place: tuple[int, int]) -> int:
            bar, offset = place
            page = (bar, offset & ~0xFFF)
            if page not in pages:
                pages[page] = kernel.ioremap(kernel.pci_resource_start(bar) + page[1], 0x1000)
            return pages[page] + (offset & 0xFFF)

        for name, *rest in program:
            if name == "udelay":
                kernel.udelay(rest[0])
            else:
                getattr(kernel, name)(*(virtual(kernel, x) if isinstance(x, tuple) else x for x in rest))
        return 0

    if all(step[0] == "udelay" for step in program):
        return
    tape = tape_of_run(probe, NvCard())
    for policy in POLICIES.names():
        report = replay(tape, chosen(probe), policy).report
        assert report.verdict == "completed", "\n".join(report.lines())
        assert report.ledger.matched == len(tape)


def test_a_driver_that_never_ends_is_stopped(monkeypatch):
    monkeypatch.setattr(run_module, "BEYOND", 50)

    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        while kernel.readl(base):
            pass
        return 0

    report = replay(tape_of(("R", "BAR0", 0, 4, 1)), chosen(probe), "queue").report
    assert report.diverged
    assert report.ledger.extra_count == 50
    assert "did not come to its end" in "\n".join(report.lines())


def test_accesses_where_no_device_is_are_a_divergence():
    def probe(kernel) -> int:
        kernel.readl(kernel.ioremap(0x50000000, 0x1000))
        return kernel.readl(kernel.ioremap(kernel.pci_resource_start(0), 0x1000))

    report = replay(tape_of(("R", "BAR0", 0, 4, 0)), chosen(probe)).report
    assert (report.ledger.matched, report.stray, report.verdict) == (1, 1, "diverged")


def test_failures_of_the_recording_fail_again():
    tape = tape_of(("R", "BAR0", 0, 4, 0))
    tape.meta = {"options": {"fail": {"pci_enable_device": -5, "nonsense": 3}}}
    assert replay(tape, choose_driver("nv-test")).outcome.returned == -5


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "names no driver: give --driver"),
        ({"driver": 5}, "names no driver"),
        ({"driver": "nv-test", "driver_file": "/tmp/x.py"}, "not run unasked: give --driver FILE"),
        ({"driver": "/tmp/x.py"}, "no driver is called"),
        ({"driver": "nv-test", "driver_version": "9"}, "has no version '9'"),
    ],
)
def test_a_trace_cannot_make_us_run_a_file(meta, message):
    with pytest.raises(UsageError, match=message):
        recorded_driver(meta)


def test_the_card_with_most_accesses_is_mocked():
    other = CARD._replace(bdf=0x20, device=0x9999, bars=(CARD.bars[0]._replace(addr=0xD0000000),))
    events = [Event(Kind.DEVICE, extra=device.extra()) for device in (CARD, other)]
    for addr in (0xE0000000, 0xD0000004, 0xD0000008, 0x1000):
        events.append(Event(Kind.READ, 0, 4, 1, addr, value=1))
    events.append(Event(Kind.IRQ, 0, extra={"vector": 1}))
    tape = load_tape(trace_of(events))
    assert (tape.pci.device, len(tape), tape.elsewhere, tape.irqs) == (0x9999, 2, 2, 1)
    assert [tape.access(n).index for n in range(2)] == [1, 2]
    assert load_tape(trace_of(events), "00:03.0").pci == CARD
    assert load_tape(trace_of(events), "1234:5678").pci == CARD
    with pytest.raises(UsageError, match=r"8086:100e is not accessed; there are: 00:03\.0 \(1234:5678\)"):
        load_tape(trace_of(events), "8086:100e")
    with pytest.raises(UsageError, match="no card to mock"):
        load_tape(trace_of([Event(Kind.READ, 0, 4, 1, 0x1000, value=1)]))


def test_report_for_people_points_at_the_place():
    lines = replay(recorded("nv-init@1"), choose_driver("nv-init@2"), "strict").report.lines()
    at = next(n for n, line in enumerate(lines) if line.startswith("  -> "))
    assert "R 4 01:00.0/BAR0+0x101000 = 0x400000" in lines[at]
    assert lines[at + 1].startswith("   + ")
    assert "W 4 01:00.0/BAR0+0x680600 = 0x101130" in lines[at + 1]
    assert "0x6013d5" in lines[at - 1]


def test_model_against_recording():
    tape = recorded("nv-test@2")
    report = apply_to(tape, NvCard())
    assert report.ledger.matched + report.ledger.differing_count == len(tape)
    tape = tape_of(("W", "BAR0", 0x700, 4, 5), ("R", "BAR0", 0x700, 4, 5), ("U", "BAR0", 0), ("R", "BAR0", 0x700, 4, 6))
    report = apply_to(tape, NvCard())
    held = json.loads(json.dumps(report.to_json()))
    assert (held["policy"], held["matched"], held["unknown"], held["verdict"]) == ("device", 2, 1, "diverged")
    assert held["registers"] == [
        {"region": "00:03.0/BAR0", "offset": "0x700", "register": None, "reads": 2, "differing": 1}
    ]
    assert (held["differing"][0]["value"], held["differing"][0]["got"]) == ("0x6", "0x5")
