"""How sure an answer is: the chance that a card of the kind gives this value to a driver like the recorded one.

A share of answers that were right, for each way in which an answer can come about. The shares were counted on
recordings of e1000, e1000e, nvme, xhci, hda and megasas cards, learned from one and held against another, as recorded
and with accesses dropped or repeated; they say nothing of a particular card. `mmiotools learn --score` measures how
far they hold.
"""

from __future__ import annotations

from typing import NamedTuple

#: A model is perfect, good, fair or poor by the share of reads that it got wrong; "once" was tried once only, "unread"
#: never.
GOOD, FAIR = 0.02, 0.25
#: The driver is on the path when the place's score is above this.
_ON = 0.5


class Known(NamedTuple):
    """What counts about a register's model: reads tried, how many were wrong, and whether a person has pinned it."""

    tried: int
    wrong: int
    pinned: bool = False

    @property
    def quality(self) -> str:
        """In a word."""
        if self.tried == 0:
            return "unread"
        if self.wrong == 0:
            return "perfect" if self.tried > 1 else "once"
        share = self.wrong / self.tried
        return "good" if share < GOOD else "fair" if share < FAIR else "poor"


#: quality → where no path helps.
ALONE = {"perfect": 0.9, "once": 0.9, "good": 0.95, "fair": 0.75, "poor": 0.4, "unread": 0.7}

#: quality → place ("on" the path, "off" it, or "near": read out of turn) → path and model agree, or do not. Where what
#: the model goes by was written as on the path, the path answers, unless the model was never wrong.
FRESH = {
    "perfect": {"on": (0.995, 0.3), "off": (0.99, 0.6), "near": (0.98, 0.5)},
    "once": {"on": (0.97, 0.5), "off": (0.96, 0.5), "near": (0.9, 0.5)},
    "good": {"on": (0.997, 0.97), "off": (0.97, 0.7), "near": (0.95, 0.7)},
    "fair": {"on": (0.98, 0.9), "off": (0.93, 0.45), "near": (0.65, 0.3)},
    "poor": {"on": (0.98, 0.62), "off": (0.5, 0.5), "near": (0.5, 0.45)},
    "unread": {"on": (0.8, 0.6), "off": (0.8, 0.6), "near": (0.7, 0.5)},
}
#: The same where it was written otherwise: the model answers, unless it is poor.
STALE = {
    "perfect": {"on": (0.65, 0.85), "off": (0.45, 0.6), "near": (0.4, 0.5)},
    "once": {"on": (0.9, 0.8), "off": (0.8, 0.8), "near": (0.7, 0.7)},
    "good": {"on": (0.93, 0.96), "off": (0.9, 0.95), "near": (0.9, 0.9)},
    "fair": {"on": (0.85, 0.5), "off": (0.9, 0.75), "near": (0.7, 0.4)},
    "poor": {"on": (0.7, 0.4), "off": (0.5, 0.4), "near": (0.5, 0.3)},
    "unread": {"on": (0.7, 0.5), "off": (0.7, 0.5), "near": (0.7, 0.5)},
}
#: A register that the recordings never touched: with a neighbour to go by, and without.
UNSEEN_LIKE, UNSEEN = 0.7, 0.3


def alone(known: Known) -> float:
    """Of a model without a path."""
    return ALONE[known.quality]


def beside(known: Known, score: float, exact: bool, fresh: bool, agree: bool) -> float:
    """Of an answer that model and path had a say in.

    score, exact  how good the place on the path is, and whether it is the one where the register was read
    fresh         whether what the model goes by was written as on the path
    agree         whether both say the same
    """
    place = "near" if not exact else "on" if score > _ON else "off"
    return (FRESH if fresh else STALE)[known.quality][place][0 if agree else 1]
