"""Recordings: the header, batches, what is kept when a run ends early, and the truth of what is in them."""

from __future__ import annotations

import pytest

from mmiotools.devices.nv_card import NvCard
from mmiotools.engine.truth import compare
from mmiotools.errors import DriverError, UsageError
from mmiotools.events import Event, Kind
from mmiotools.record import make_plan, record_to, trace_header
from mmiotools.trace.batch import Batch
from mmiotools.trace.gather import BATCH_EVENTS
from mmiotools.trace.header import Bar


def record(word: str, device=None, **more) -> tuple[list[Event], list[Batch], object]:
    batches: list[Batch] = []
    outcome = record_to(batches.append, make_plan(word, **more), device=device)
    return [event for batch in batches for event in batch.events()], batches, outcome


def test_header_names_what_remakes_the_recording():
    events, _, _ = record("nv-test")
    assert [event.kind for event in events[:4]] == [Kind.HEADER, Kind.HEADER, Kind.DEVICE, Kind.MAP]
    assert events[0].extra == {"format": "mmiotrace", "version": "20070824"}
    assert events[1].extra["format"] == "mmiotools"
    assert events[1].extra["meta"] == make_plan("nv-test").meta()
    header = trace_header(make_plan("nv-test"))
    assert (header.format, header.clock, header.time_digits) == ("mmiotrace", "boot", 6)
    assert header.meta == events[1].extra["meta"]


@pytest.mark.parametrize("word", ["nv-test", "nv-test@2", "nv-init", "nv-init@2"])
def test_recorded_is_what_the_card_saw_and_the_same_again(word):
    card = NvCard()
    events, _, _ = record(word, device=card)
    truth = compare(events, card.seen, card.pci)
    assert truth.clean
    assert truth.right == sum(event.kind <= Kind.UNKNOWN for event in events) > 1
    assert record(word)[0] == events


def busy(tmp_path, body: str) -> str:
    file = tmp_path / "busy.py"
    file.write_text(
        "def probe(kernel):\n"
        "    base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000000)\n"
        "    for i in range(10000):\n"
        f"        {body}\n"
        "    return 0\n"
        "class DRIVER:\n    name = 'busy'\n    device = 'nv-card'\n    versions = {'1': probe}\n"
    )
    return str(file)


def test_long_recordings_come_in_batches(tmp_path):
    events, batches, _ = record(busy(tmp_path, "kernel.writel(i, base + 0x700000)"))
    # The recording's own header comes on top.
    assert max(map(len, batches)) <= BATCH_EVENTS + 1
    assert len(batches) == 10_000 // BATCH_EVENTS + 1
    assert [event.value for event in events if event.kind == Kind.WRITE] == list(range(10000))


def test_interrupted_recording_keeps_what_happened(tmp_path):
    batches: list[Batch] = []
    word = busy(tmp_path, "kernel.writel(i, base + 0x700000)\n        if i == 5000: raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        record_to(batches.append, make_plan(word))
    writes = [event.value for batch in batches for event in batch.events() if event.kind == Kind.WRITE]
    assert writes == list(range(5001))


def test_crashing_driver_keeps_what_happened(tmp_path):
    events, _, outcome = record(busy(tmp_path, "kernel.writel(i, base + 0x700000 if i < 3 else 0)"))
    assert isinstance(outcome.error, DriverError)
    assert sum(event.kind == Kind.WRITE for event in events) == 3


def test_a_sink_that_fails_is_not_called_again(tmp_path):
    calls = []

    def sink(batch: Batch) -> None:
        calls.append(batch)
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        record_to(sink, make_plan(busy(tmp_path, "kernel.writel(i, base + 0x700000)")))
    assert len(calls) == 1


def test_engine_off_records_header_and_device_only():
    card = NvCard()
    events, _, outcome = record("nv-test", device=card, options={"engine": "off"})
    assert [event.kind for event in events] == [Kind.HEADER, Kind.HEADER, Kind.DEVICE]
    assert outcome.returned == 0
    assert len(card.seen) == 2


def test_card_with_overlapping_bars():
    pci = NvCard().pci
    with pytest.raises(UsageError, match="BARs overlap"):
        record("nv-test", device=NvCard(pci._replace(bars=(Bar(0, 0x1000000, 0x1000), Bar(1, 0x1000800, 0x1000)))))
