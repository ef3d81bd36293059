"""Predicts what a read gives: from the recorded path where the driver is on it, from the register's model where not.

How sure it is, is stated with each answer, as the chance that a card of the same kind gives this very value to a
driver like the recorded one. It follows from what is known when the answer is made: how often the model was right
and how often it was tried, how well the path fits, whether the two agree, whether what the register goes by was
written as on the path, whether the register's values change at all, and how held-out parts of the recordings were
answered.
"""

from __future__ import annotations

from mmiotools.models.board import Board
from mmiotools.models.confidence import FAIR, UNSEEN, UNSEEN_LIKE, Cell, Evidence, Known, alone, beside, lost
from mmiotools.models.learn import Learned
from mmiotools.models.path import Follower, Found, Path
from mmiotools.models.stream import READ, WRITE, Stream, Vocabulary
from mmiotools.typed import Iterable, NamedTuple

#: Where an answer came from.
MODEL, PATH, PLAIN = "model", "path", "plain"
_ALONE: Cell = ("alone",)


class Prediction(NamedTuple):
    """An answer, the chance that it is right, 0 to 1, where it came from, and the way in which it came about."""

    value: int
    confidence: float
    source: str
    cell: Cell


def path_of(stream: Stream, learned: Iterable[Learned]) -> Path:
    """The path of some recordings, told what their registers are."""
    driven = {stream.vocabulary.number(one.place): one.model.driven for one in learned if one.model.driven}
    return Path(stream, driven)


class Predictor:
    """The models of a card's registers and, if there is one, a recorded path. The driver's accesses come one by one.

    evidence     what confidences go by, besides what counts for any card
    as_recorded  the path is the recording of this very card: its answers hold as long as the driver never left it
    About 5 microseconds an access.
    """

    def __init__(
        self,
        learned: Iterable[Learned],
        vocabulary: Vocabulary,
        path: Path | None = None,
        evidence: Evidence | None = None,
        as_recorded: bool = False,
    ) -> None:
        learned = list(learned)
        self._as_recorded = as_recorded
        self._evidence = evidence
        self.vocabulary = vocabulary
        self.board = Board([one.model for one in learned], vocabulary)
        self._known = {vocabulary.number(one.place): one.known for one in learned}
        self._path = path
        #: Each register and what else its model goes by.
        self._goes_by: dict[int, tuple[int, ...]] = {}
        for one in learned:
            number, after = vocabulary.number(one.place), one.model.after
            self._goes_by[number] = (number,) if after is None else (number, vocabulary.number(after))
        self.restart()

    def restart(self) -> None:
        """Power-on, and the driver at the start of the path."""
        self.board.restart()
        self._follower = None if self._path is None else Follower(self._path)
        self._written: dict[int, int] = {}

    def write(self, register: int, value: int, now: int = 0) -> None:
        """The driver writes."""
        if self._follower is not None and self._path is not None:
            seen = value & ~self._path.driven.get(register, 0)
            self._follower.step(register, WRITE, seen)
            self._written[register] = seen
        self.board.write(register, value, now)

    def read(self, register: int, now: int = 0) -> Prediction:
        """The driver reads: the answer."""
        board = self.board
        value = board.peek(register, now)
        board.took(register, now)
        found = None if self._follower is None else self._follower.step(register, READ)
        known = self._known.get(register)
        if known is None:
            return self._unmodelled(register, value, found)
        if found is None:
            if self._path is None:
                return Prediction(value, alone(known), MODEL, _ALONE)
            return self._answer(register, value, MODEL, *lost(known))
        fresh = self._same_writes(register, found)
        agree = found.value == value
        cell, prior = beside(known, found.score, found.exact, fresh, agree)
        if agree or known.pinned:
            return self._answer(register, value, MODEL, cell, prior)
        if not self._still_on_it() and not self._path_answers(known, found, fresh):
            return self._answer(register, value, MODEL, cell, prior)
        return self._answer(register, found.value, PATH, cell, prior)

    def _answer(self, register: int, value: int, source: str, cell: Cell, prior: float) -> Prediction:
        sure = prior if self._evidence is None else self._evidence.sure(register, cell, prior)
        return Prediction(value, sure, source, cell)

    def _still_on_it(self) -> bool:
        return self._as_recorded and self._follower is not None and not self._follower.left

    @staticmethod
    def _path_answers(known: Known, found: Found, fresh: bool) -> bool:
        """Which to believe where they differ: a model that was never wrong, else the path if the driver is where it
        was recorded, else the model if it was seldom wrong.
        """
        if not known.wrong and known.tried:
            return False
        return (found.exact and fresh) or known.wrong >= FAIR * known.tried

    def _same_writes(self, register: int, found: Found) -> bool:
        """Whether what the register goes by was last written as before the row of the path."""
        if self._path is None:
            return False
        for other in self._goes_by[register]:
            if self._path.last_write(other, found.row) != self._written.get(other):
                return False
        return True

    def _unmodelled(self, register: int, value: int, found: Found | None) -> Prediction:
        if found is not None:
            return self._answer(register, found.value, PATH, ("unmodelled", "path"), UNSEEN_LIKE)
        if self.board.has_neighbour(register):
            return self._answer(register, value, PLAIN, ("unmodelled", "neighbour"), UNSEEN_LIKE)
        return self._answer(register, value, PLAIN, ("unmodelled", "plain"), UNSEEN)
