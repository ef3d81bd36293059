"""A device made of learned models: what a driver can be recorded against without the card, and without a recording."""

from __future__ import annotations

import json

from mmiotools.engine.interface import CONFIG, Host, Seen
from mmiotools.models.board import Board
from mmiotools.models.card import Card
from mmiotools.models.stream import Place, Vocabulary
from mmiotools.trace.header import PciDevice
from mmiotools.trace.registry import API
from mmiotools.typed import ClassVar, Protocol


class Configuration(Protocol):
    """Configuration space, as `mmiotools.devices.storage.ConfigSpace` is."""

    def read(self, offset: int, width: int) -> int: ...
    def write(self, offset: int, width: int, value: int) -> None: ...
    def reset(self) -> None: ...
    def dump(self) -> dict[str, str]: ...
    def load(self, state: dict[str, str]) -> None: ...


class ModelDevice:
    """A PCI function whose registers are the models of a card. It raises no interrupts and masters no bus: a recording
    holds neither. Counters with a rate, and polls that end by time, go by the host's clock.

    config  its configuration space
    """

    api: ClassVar[int] = API
    name = "learned"
    title = "A card made of learned register models."

    def __init__(self, card: Card, config: Configuration) -> None:
        self._card = card
        self._config = config
        self._host: Host | None = None
        self._start = 0
        self.reset()

    @property
    def pci(self) -> PciDevice:
        """The function that was recorded."""
        return self._card.pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset."""
        return self._seen

    def attach(self, host: Host) -> None:
        """Sit in a machine, whose clock counts from now."""
        self._host = host
        self._start = host.now()

    def read(self, region: str, offset: int, width: int) -> int:
        """What the register's model answers."""
        if region == CONFIG:
            value = self._config.read(offset, width)
        else:
            value = self._board.read(self._vocabulary.number(Place(region, offset, width)), self._now())
        self._seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Told to the register's model, and to those that go by it."""
        value &= (1 << 8 * width) - 1
        self._seen.append(Seen("W", region, offset, width, value))
        if region == CONFIG:
            self._config.write(offset, width, value)
        else:
            self._board.write(self._vocabulary.number(Place(region, offset, width)), value, self._now())

    def _now(self) -> int:
        return 0 if self._host is None else self._host.now() - self._start

    def reset(self) -> None:
        """Power-on; the log is emptied."""
        self._config.reset()
        self._vocabulary = Vocabulary()
        self._board = Board([learned.model for learned in self._card.registers], self._vocabulary)
        self._board.restart()
        self._seen: list[Seen] = []

    def snapshot(self) -> bytes:
        """The whole state but the log, as JSON."""
        state = {"config": self._config.dump(), "places": self._vocabulary.places, "board": self._board.dump()}
        return json.dumps(state).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave."""
        held = json.loads(state)
        self.reset()
        for place in held["places"]:
            self._vocabulary.number(Place(*place))
        self._config.load(held["config"])
        self._board.load(held["board"])
