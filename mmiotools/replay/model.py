"""The model policy: answers are learned from the recording, so that a driver that leaves it gets sensible ones."""

from __future__ import annotations

from mmiotools.models.card import Card, learn_card
from mmiotools.models.predict import Predictor, path_of
from mmiotools.models.stream import Place, Vocabulary
from mmiotools.replay.ledger import Ledger
from mmiotools.replay.policy import POLICIES, ByCpu, Policy
from mmiotools.replay.settings import Settings, Tunable
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, ClassVar

#: The policy that keeps the books.
_BOOKS = "window"


class Model:
    """Reads are answered from the recorded path while the driver is on it, over small gaps and repetitions, and from
    the models of the card's registers where it is not (`mmiotools.models`): they are learned from the recording, or
    come from card files. The books are those of the policy window: what the driver did, whatever it was answered.
    """

    api: ClassVar[int] = API
    name: ClassVar[str] = "model"
    title: ClassVar[str] = "Learned register models, and the recorded path where the driver is on it."

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._books: Policy = POLICIES.get(_BOOKS)(tape)
        self._predictor: Predictor | None = None
        self._vocabulary = Vocabulary()
        self._cards: tuple[Card, ...] = ()
        self._cpu = -1

    @property
    def ledger(self) -> Ledger:
        """The books."""
        return self._books.ledger

    def tune(self, settings: Settings, now: Callable[[], int]) -> None:
        """What the books go by, and the card files that win over what is learned here."""
        self._cards = settings.cards
        if isinstance(self._books, Tunable):
            self._books.tune(settings, now)

    @property
    def cpu(self) -> int:
        """Which CPU makes the next access: the books may keep an order on each."""
        return self._cpu

    @cpu.setter
    def cpu(self, cpu: int) -> None:
        self._cpu = cpu
        if isinstance(self._books, ByCpu):
            self._books.cpu = cpu

    def read(self, bar: str, offset: int, width: int) -> int:
        """What is predicted."""
        self._books.read(bar, offset, width)
        predictor = self._predictor or self._learn()
        return predictor.read(self._vocabulary.number(Place(bar, offset, width))).value

    def write(self, bar: str, offset: int, width: int, value: int) -> None:
        """Told to the models, and booked."""
        self._books.write(bar, offset, width, value)
        predictor = self._predictor or self._learn()
        predictor.write(self._vocabulary.number(Place(bar, offset, width)), value)

    def finish(self) -> Ledger:
        """The books, closed."""
        return self._books.finish()

    def _learn(self) -> Predictor:
        """At the first access: a policy may be made and never used."""
        card, stream = learn_card([self._tape])
        self._vocabulary = stream.vocabulary
        registers = {learned.place: learned for learned in card.registers}
        for held in reversed(self._cards):
            registers |= {learned.place: learned for learned in held.registers}
        path = path_of(stream, registers.values())
        self._predictor = Predictor(registers.values(), self._vocabulary, path, as_recorded=True)
        return self._predictor
