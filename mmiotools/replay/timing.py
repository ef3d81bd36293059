"""--timing: when things happen in a replay, against when they happened in the recording."""

from __future__ import annotations

import math

from mmiotools.errors import UsageError


def parse_timing(text: str) -> float:
    """By what recorded times are multiplied: 1 for "recorded", X for "scaled=X", 0 for "none". Raises UsageError."""
    if text in ("recorded", "none"):
        return float(text == "recorded")
    word, _, number = text.partition("=")
    try:
        factor = float(number)
    except ValueError:
        factor = math.nan
    if word != "scaled" or not 0 < factor < math.inf:
        raise UsageError(f"'{text}' is no timing: recorded, none, or scaled=X with X above 0, as in scaled=0.5")
    return factor
