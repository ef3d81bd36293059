"""The mock card while it is served: what it keeps does not grow with how long that takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from replay_helpers import tape_of_file

from mmiotools.cli.main import run
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.replay.run import mock_card
from mmiotools.replay.serving import Serving
from mmiotools.serve import function


@pytest.mark.parametrize("recorded_with", [[], ["--inject", "read BAR0+0x8 -> 1 once"]])
@pytest.mark.parametrize("rules", [[], ["read BAR0+0x8 flip 0.5"]])
def test_logs_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded_with: list[str], rules: list[str]
) -> None:
    path = tmp_path / "nic.mmio"
    assert run(["record", "-q", "nic-init", "-o", str(path), *recorded_with]) == 0
    monkeypatch.setattr(function, "_SEEN", 100)
    tape = tape_of_file(path)
    card, shadow = mock_card(tape)
    assert shadow is not None
    serving = Serving(tape, (card, shadow), rules=parse_rules(rules))
    logs = {"card": card, "model": shadow.device, "served": serving.function.device}
    if recorded_with:
        logs["inside"] = shadow.device.inner  # type: ignore[attr-defined]
    for _ in range(1000):
        serving.function.config_read(0, 4)
        serving.function.config_write(0x40, 4, 0)
    for number in range(1000):
        serving.function.read(0, 8, 4)
        serving.function.write(0, 0x5400, 4, number)
    assert {name: len(device.seen) for name, device in logs.items() if len(device.seen) > 101} == {}
    assert serving.report("vfio-user", "window").ledger.extra_count > 1000
