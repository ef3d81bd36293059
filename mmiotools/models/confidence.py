"""How sure an answer is: the chance that a card of the kind gives this value to a driver like the recorded one.

A share of answers that were right, for each way in which an answer can come about. The shares were counted on
recordings of e1000, e1000e, nvme, xhci, ehci, ahci, hda, megasas, rtl8139 and vmxnet3 cards, learned from one and held
against another, as recorded and with accesses dropped or repeated; each kind of card counted alike. They say nothing of
a particular card. `mmiotools learn --score` measures how far they hold.
"""

from __future__ import annotations

from typing import NamedTuple

#: A model is perfect, good, fair or poor by the share of reads that it got wrong; "once" was tried once only, "unread"
#: never, and a "clock" counts by uneven steps.
GOOD, FAIR = 0.02, 0.25
#: The driver is on the path when the place's score is above this.
_ON = 0.5


class Known(NamedTuple):
    """What counts about a register's model: reads tried, how many were wrong, whether a person has pinned it, and
    whether it is a clock, of which no recording has the next value.
    """

    tried: int
    wrong: int
    pinned: bool = False
    clock: bool = False

    @property
    def quality(self) -> str:
        """In a word."""
        if self.clock and 2 * self.wrong > self.tried:
            return "clock"
        if self.tried == 0:
            return "unread"
        if self.wrong == 0:
            return "perfect" if self.tried > 1 else "once"
        share = self.wrong / self.tried
        return "good" if share < GOOD else "fair" if share < FAIR else "poor"


#: quality → where there is no recorded path; of a model that is sometimes wrong, the share of reads that it had right
#: is taken off this.
ALONE = {"perfect": 0.985, "once": 0.95, "good": 0.98, "fair": 0.98, "poor": 0.98, "unread": 0.7, "clock": 0.98}
#: The same where there is a path, and the driver has left it: it does what the recorded one never did.
LOST = {"perfect": 0.75, "once": 0.9, "good": 0.8, "fair": 0.65, "poor": 0.4, "unread": 0.8, "clock": 0.05}

#: quality → place ("on" the path, "off" it, or "near": read out of turn) → path and model agree, or do not. Where what
#: the model goes by was written as on the path, the path answers, unless the model was never wrong.
FRESH = {
    "perfect": {"on": (0.998, 0.25), "off": (0.995, 0.7), "near": (0.995, 0.5)},
    "once": {"on": (0.96, 0.5), "off": (0.96, 0.5), "near": (0.96, 0.5)},
    "good": {"on": (0.998, 0.97), "off": (0.975, 0.68), "near": (0.95, 0.68)},
    "fair": {"on": (0.965, 0.88), "off": (0.93, 0.36), "near": (0.88, 0.28)},
    "poor": {"on": (0.975, 0.74), "off": (0.75, 0.75), "near": (0.65, 0.7)},
    "unread": {"on": (0.8, 0.6), "off": (0.8, 0.6), "near": (0.7, 0.5)},
    "clock": {"on": (0.05, 0.05), "off": (0.05, 0.05), "near": (0.05, 0.05)},
}
#: The same where it was written otherwise: the model answers, unless it is poor.
STALE = {
    "perfect": {"on": (0.95, 0.84), "off": (0.86, 0.45), "near": (0.67, 0.65)},
    "once": {"on": (0.95, 0.92), "off": (0.9, 0.9), "near": (0.9, 0.9)},
    "good": {"on": (0.93, 0.9), "off": (0.93, 0.97), "near": (0.9, 0.95)},
    "fair": {"on": (0.9, 0.63), "off": (0.95, 0.72), "near": (0.65, 0.37)},
    "poor": {"on": (0.7, 0.5), "off": (0.6, 0.5), "near": (0.6, 0.4)},
    "unread": {"on": (0.7, 0.5), "off": (0.7, 0.5), "near": (0.7, 0.5)},
    "clock": {"on": (0.05, 0.05), "off": (0.05, 0.05), "near": (0.05, 0.05)},
}
#: A register that the recordings never touched: with a neighbour to go by, and without.
UNSEEN_LIKE, UNSEEN = 0.85, 0.4


def alone(known: Known) -> float:
    """Of a model without a path."""
    return ALONE[known.quality] * (1 - known.wrong / known.tried if known.tried else 1.0)


def lost(known: Known) -> float:
    """Of a model, where the path has nothing to say."""
    return LOST[known.quality]


def beside(known: Known, score: float, exact: bool, fresh: bool, agree: bool) -> float:
    """Of an answer that model and path had a say in.

    score, exact  how good the place on the path is, and whether it is the one where the register was read
    fresh         whether what the model goes by was written as on the path
    agree         whether both say the same
    """
    place = "near" if not exact else "on" if score > _ON else "off"
    return (FRESH if fresh else STALE)[known.quality][place][0 if agree else 1]
