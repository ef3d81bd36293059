"""The board: the models of all registers of a card together. Writes reach the models that go by them."""

from __future__ import annotations

from mmiotools.models.kinds import Model
from mmiotools.models.learn import merge
from mmiotools.models.stream import Vocabulary
from mmiotools.typed import Any, Iterable

#: How far away a register is that a new one may be like, in bytes.
_NEAR = 64


class Board:
    """Answers reads from models; a register that has none is plain storage that reads 0 until it is written.

    vocabulary  numbers for registers; new ones may come at any time, at most MAX_NEW of them
    """

    #: Registers without a model that are remembered; what is written to further ones is forgotten.
    MAX_NEW = 1 << 16

    def __init__(self, models: Iterable[Model], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._models: list[Model | None] = []
        #: Registers that share bytes with each, and how many were known when they were looked for.
        self._sharing: dict[int, tuple[int, list[int]]] = {}
        self._watchers: dict[int, list[Model]] = {}
        self._held: dict[int, int] = {}
        #: What `_neighbour` found.
        self._like: dict[int, Model | None] = {}
        models = list(models)
        for model in models:
            number = vocabulary.number(model.place)
            self._grow()
            self._models[number] = model
        for model in models:
            if model.after is not None:
                self._watchers.setdefault(vocabulary.number(model.after), []).append(model)
        self._grow()

    def _grow(self) -> None:
        while len(self._models) < len(self.vocabulary.places):
            self._models.append(None)

    def model(self, number: int) -> Model | None:
        """The register's model, if it has one."""
        return self._models[number] if number < len(self._models) else None

    def restart(self) -> None:
        """Power-on."""
        self._held.clear()
        for model in self._models:
            if model is not None:
                model.restart()

    def read(self, number: int, now: int = 0) -> int:
        """What a read of the register gives; it has happened then."""
        model = self.model(number)
        if model is None:
            return self._plain(number, now)
        value = model.answer(now)
        model.took(now)
        return value

    def peek(self, number: int, now: int = 0) -> int:
        """What a read would give."""
        model = self.model(number)
        return self._plain(number, now) if model is None else model.answer(now)

    def took(self, number: int, now: int = 0) -> None:
        """The register was read, whoever answered."""
        model = self.model(number)
        if model is not None:
            model.took(now)

    def write(self, number: int, value: int, now: int = 0) -> None:
        """The register is written."""
        self._grow()
        model = self._models[number]
        if model is not None:
            model.wrote(value, now)
        for watcher in self._watchers.get(number, ()):
            watcher.triggered(value, now)
        known, sharing = self._sharing.get(number, (0, []))
        if known != len(self.vocabulary.places):
            sharing = self.vocabulary.near(number)
            self._sharing[number] = (len(self.vocabulary.places), sharing)
        self._held[number] = value
        if sharing:
            place = self.vocabulary.places[number]
            for other in sharing:
                there = self.vocabulary.places[other]
                before = self._held.get(other)
                model = self.model(other)
                if before is None:
                    before = model.answer(now) if model is not None else 0
                held = self._held[other] = merge(there, before, place, value)
                if model is not None:
                    model.wrote(held, now)

    def _plain(self, number: int, now: int) -> int:
        held = self._held.get(number)
        if held is not None:
            neighbour = self._neighbour(number)
            return held if neighbour is None or not neighbour.written_to else neighbour.reset
        # Another view of a register that is known?
        place = self.vocabulary.places[number]
        value, seen = 0, False
        for other in self.vocabulary.near(number):
            model = self.model(other)
            known = model.answer(now) if model is not None else self._held.get(other)
            if known is not None:
                value, seen = merge(place, value, self.vocabulary.places[other], known), True
        neighbour = None if seen else self._neighbour(number)
        return value if neighbour is None else neighbour.reset & place.mask

    def has_neighbour(self, number: int) -> bool:
        """Whether there is something to go by for a register without a model."""
        return self._neighbour(number) is not None or bool(self.vocabulary.near(number))

    def _neighbour(self, number: int) -> Model | None:
        """The nearest register of its width, if its model is one that always gives the same: elements of an array are
        alike.
        """
        place = self.vocabulary.places[number]
        if number in self._like:
            return self._like[number]
        best, distance = None, _NEAR
        for other in self.vocabulary.near(number, _NEAR):
            model, away = self.model(other), abs(self.vocabulary.places[other].offset - place.offset)
            if model is not None and model.place.width == place.width and away < distance:
                best, distance = model, away
        if best is not None and not (best.kind == "constant" and best.reset in (0, place.mask)):
            best = None
        if len(self._like) < self.MAX_NEW:
            self._like[number] = best
        return best

    def dump(self) -> dict[str, Any]:
        """The state, JSON fit: of each register by its number."""
        states = {str(n): model.dump() for n, model in enumerate(self._models) if model is not None}
        return {"models": states, "held": {str(n): value for n, value in self._held.items()}}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        self._held = {int(n): value for n, value in state["held"].items()}
        for n, held in state["models"].items():
            model = self.model(int(n))
            if model is not None:
                model.load(held)
