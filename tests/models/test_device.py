"""A device made of a card file stands in for the card that was recorded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from model_helpers import PCI, card_of
from test_kinds import CASES, STEPS

from mmiotools.cli.main import run
from mmiotools.devices.storage import ConfigSpace
from mmiotools.engine.interface import CONFIG
from mmiotools.formats import open_trace
from mmiotools.models.device import ModelDevice
from mmiotools.trace.collect import collect


@pytest.mark.parametrize(("driver", "same"), [("nv-test", 2), ("nv-init", 86), ("nic-init", 380), ("uart-hello", 32)])
def test_a_driver_does_the_same_on_the_card_that_was_learned_from_it(driver, same, tmp_path):
    """Up to where something happens that no access tells of: a frame, an interrupt, a clock that ticks."""
    first, card, again = (str(tmp_path / name) for name in ("a.mmio", "card.toml", "b.mmio"))
    assert run(["record", "-q", driver, "-o", first]) == 0
    assert run(["learn", "-q", first, "-o", card]) == 0
    assert run(["record", "-q", "--check", driver, "--card", card, "-o", again]) == 0
    ours, theirs = (collect(open_trace(path).batches) for path in (again, first))
    keys = [[access.key for access in side.span(0, len(side))] for side in (ours, theirs)]
    assert keys[0][:same] == keys[1][:same]


def test_a_scenario_may_name_a_card_file(tmp_path):
    assert run(["record", "-q", "nv-init", "-o", str(tmp_path / "a.mmio")]) == 0
    assert run(["learn", "-q", str(tmp_path / "a.mmio"), "-o", str(tmp_path / "card.toml")]) == 0
    (tmp_path / "s.toml").write_text('driver = "nv-init"\ncard = "card.toml"\n')
    assert run(["record", "-q", str(tmp_path / "s.toml"), "-o", str(tmp_path / "b.mmio")]) == 0


def test_a_card_file_that_is_none(tmp_path, capfd):
    (tmp_path / "card.toml").write_text("[card]\nschema = 'other'\n")
    assert run(["record", "nv-init", "--card", str(tmp_path / "card.toml"), "-o", str(tmp_path / "b.mmio")]) == 2
    assert "card.schema: is 'other'" in capfd.readouterr().err


def device(*recordings):
    return ModelDevice(card_of(*recordings), ConfigSpace(PCI))


def drive(device, steps):
    got = []
    for op, (bar, offset, width), value in steps:
        if op == "R":
            got.append(device.read(bar, offset, width))
        else:
            device.write(bar, offset, width, value)
    return got


@settings(max_examples=40)
@given(STEPS, STEPS, STEPS)
def test_a_snapshot_is_the_whole_state(recording, before, after):
    one, other = device(recording), device(recording)
    drive(one, before)
    other.restore(one.snapshot())
    assert drive(other, after) == drive(one, after)
    one.reset()
    assert drive(one, before) == drive(device(recording), before)


def test_it_logs_what_it_saw_and_has_configuration_space():
    card = device(CASES["storage"][0]())
    assert card.read(CONFIG, 0, 4) == 0xB11C1234
    card.write("BAR0", 0x10, 4, 0x1_0000_00F0)
    assert card.read("BAR0", 0x10, 4) == 0x1F0
    assert [seen.op for seen in card.seen] == ["R", "W", "R"]
    assert card.seen[1].value == 0xF0
