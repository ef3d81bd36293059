"""What can be said about how policies and interrupts work, and how time counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mmiotools.errors import UsageError
from mmiotools.typed import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from mmiotools.models.card import Card

#: Recorded accesses not yet done that the policy window looks at.
WINDOW = 300


@dataclass(frozen=True, slots=True)
class Timing:
    """How recorded times count: a recorded nanosecond is `scale` of the host's. None: not at all.

    Waits then end after as many reads as recorded, and an interrupt comes at once where it came soon.
    """

    scale: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """For policies and the interrupt line. Models of `cards` win over what the policy model learns."""

    window: int = WINDOW
    timing: Timing = Timing()
    cards: tuple[Card, ...] = ()


@runtime_checkable
class Tunable(Protocol):
    """A policy that settings are for. `now` is the host's clock, nanoseconds."""

    def tune(self, settings: Settings, now: Callable[[], int]) -> None:
        """Called once before the first access."""


def parse_timing(text: str) -> Timing:
    """From "none", "recorded" or "scaled=X". Raises UsageError."""
    word, equals, factor = text.partition("=")
    if word == "none" and not equals:
        return Timing()
    if word == "recorded" and not equals:
        return Timing(1.0)
    try:
        scale = float(factor) if word == "scaled" else math.nan
    except ValueError:
        scale = math.nan
    if not 0 < scale < math.inf:
        raise UsageError(f"--timing is none, recorded or scaled=X with X above 0, not '{text}'")
    return Timing(scale)
