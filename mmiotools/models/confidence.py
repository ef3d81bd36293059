"""How sure an answer is: the chance that a card of the kind gives this value to a driver like the recorded one.

An answer can come about in some ways, *cells*, and each has a share of answers that were right. These shares, the
priors, were counted on recordings of e1000, e1000e, nvme, xhci, ehci, ahci, hda, megasas, rtl8139 and vmxnet3 cards,
learned from one and held against another, as recorded and with accesses dropped or repeated; each kind of card counted
alike. They say nothing of a particular card. What its recordings say of it is `Evidence`, which the priors give way to:
parts of them, held out and answered from the rest (`mmiotools.models.holdout`). `mmiotools learn --score` measures how
far the confidences hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log

from mmiotools.typed import Hashable, NamedTuple

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


#: A way in which an answer comes about: words and flags.
Cell = tuple[str | bool, ...]


def alone(known: Known) -> float:
    """Of a model without a path."""
    return ALONE[known.quality] * (1 - known.wrong / known.tried if known.tried else 1.0)


def lost(known: Known) -> tuple[Cell, float]:
    """Of a model, where the path has nothing to say: the cell and its prior."""
    quality = known.quality
    return ("lost", quality), LOST[quality]


def beside(known: Known, score: float, exact: bool, fresh: bool, agree: bool) -> tuple[Cell, float]:
    """Of an answer that model and path had a say in: the cell and its prior.

    score, exact  how good the place on the path is, and whether it is the one where the register was read
    fresh         whether what the model goes by was written as on the path
    agree         whether both say the same
    """
    quality = known.quality
    place = "near" if not exact else "on" if score > _ON else "off"
    return (quality, place, fresh, agree), (FRESH if fresh else STALE)[quality][place][0 if agree else 1]


@dataclass(slots=True)
class Tally:
    """Answers to held-out reads, and how many of them were right."""

    count: int = 0
    right: int = 0

    def add(self, right: bool) -> None:
        """One more."""
        self.count += 1
        self.right += right

    def shrunk(self, prior: float, weight: float) -> float:
        """The share of right ones, where the prior counts for so many answers."""
        return (weight * prior + self.right) / (weight + self.count)


#: What a prior counts for, in answers: against a cell's, a register's, and a register's in that cell.
_WEIGHT = 4.0
#: A share that is expected of a register of which nothing is known.
_USUAL = 0.9
#: Of one recording, where a part is answered from the others: how far the logits of the prior, and of the register's
#: share, bear on that of an answer to another recording. Fitted on the recordings that the priors were counted on.
_OFFSET, _BY_PRIOR, _BY_SHARE = -0.04, 0.66, 0.51
#: No answer is surer, or less sure.
_SUREST = 0.999


@dataclass(slots=True)
class Evidence:
    """How held-out reads of a card's recordings were answered.

    across  whether whole recordings were held out, which is what confidences are about; else they are parts of the only
            one, where a driver does what it did nowhere else, and say which registers can be known at all
    """

    across: bool
    _tallies: dict[Hashable, Tally] = field(default_factory=dict)

    def add(self, register: int, cell: Cell, right: bool) -> None:
        """A read was answered."""
        for key in (cell, register, (register, cell)):
            self._tallies.setdefault(key, Tally()).add(right)

    def sure(self, register: int, cell: Cell, prior: float) -> float:
        """The chance that an answer is right."""
        if self.across:
            for key in (cell, register, (register, cell)):
                prior = self._tallies.get(key, _NONE).shrunk(prior, _WEIGHT)
            return prior
        share = self._tallies.get(register, _NONE).shrunk(_USUAL, _WEIGHT)
        return 1 / (1 + exp(-(_OFFSET + _BY_PRIOR * _logit(prior) + _BY_SHARE * _logit(share))))


_NONE = Tally()


def _logit(share: float) -> float:
    share = min(max(share, 1 - _SUREST), _SUREST)
    return log(share / (1 - share))
