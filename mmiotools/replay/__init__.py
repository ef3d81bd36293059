"""replay: a recording as a mock card, a driver run against it, and where the two part."""

from __future__ import annotations

from mmiotools.replay.apply import apply_to
from mmiotools.replay.card import MockCard
from mmiotools.replay.policy import DEFAULT, POLICIES
from mmiotools.replay.report import Report
from mmiotools.replay.run import Replayed, recorded_driver, replay
from mmiotools.trace.tape import Tape, load_tape

__all__ = [
    "DEFAULT",
    "POLICIES",
    "MockCard",
    "Replayed",
    "Report",
    "Tape",
    "apply_to",
    "load_tape",
    "recorded_driver",
    "replay",
]
