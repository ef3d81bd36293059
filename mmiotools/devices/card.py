"""What card models have in common: the log of accesses, configuration space, an interrupt line, snapshots.

A model derives from `Card` and says what its registers do:

  power_on()                        set every attribute to its value at power-on; called by __init__ and reset
  read_bar(bar, offset, width)      the value of `width` bytes, as one access of the bus
  write_bar(bar, offset, width, v)  the same for a store
  pass_time()                       catch up with `now()`; called before every access
  interrupt()                       whether the card wants its line up; asked after every access
  dump(), load(state)               the state as JSON-fit values, and back

Only accesses make a card run: a line goes up, and time is noticed, when something reads or writes it.
"""

from __future__ import annotations

import json

from mmiotools.devices.storage import ConfigSpace
from mmiotools.engine.interface import CONFIG, Host, Seen
from mmiotools.trace.header import PciDevice
from mmiotools.trace.registry import API
from mmiotools.typed import Any, ClassVar

#: Bit of the command register that holds the interrupt pin down.
INTX_DISABLE = 1 << 10


class Card:
    """A PCI function with an INTx pin, without registers. See the module's text for what a model adds."""

    api: ClassVar[int] = API
    name = "card"
    title = "A card without registers."

    def __init__(self, pci: PciDevice, class_code: int = 0, revision: int = 0) -> None:
        self._pci = pci
        self._seen: list[Seen] = []
        self._line = 0
        self.host: Host | None = None
        self.config = ConfigSpace(pci, class_code, revision)
        self.power_on()

    @property
    def pci(self) -> PciDevice:
        """Ids and BARs."""
        return self._pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset."""
        return self._seen

    def attach(self, host: Host) -> None:
        """Sit in a machine."""
        self.host = host

    def now(self) -> int:
        """Nanoseconds of the host's clock; 0 before the card is in a machine."""
        return self.host.now() if self.host is not None else 0

    # -- what a model says --------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Every attribute as it is at power-on."""

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        """The value of `width` bytes; all ones where there is nothing."""
        return (1 << 8 * width) - 1

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        """Store `width` bytes."""

    def pass_time(self) -> None:
        """Do what happened up to now."""

    def interrupt(self) -> bool:
        """Whether the line should be up."""
        return False

    def dump(self) -> dict[str, Any]:
        """The state of the model, JSON fit."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""

    # -- the bus ------------------------------------------------------------------------------------------

    def read(self, region: str, offset: int, width: int) -> int:
        """The value of `width` bytes at `offset`."""
        self.pass_time()
        if region == CONFIG:
            value = self.config.read(offset, width)
        else:
            value = self.read_bar(region, offset, width) & (1 << 8 * width) - 1
        self._seen.append(Seen("R", region, offset, width, value))
        self._drive_line()
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Store `width` bytes at `offset`."""
        value &= (1 << 8 * width) - 1
        self.pass_time()
        self._seen.append(Seen("W", region, offset, width, value))
        if region == CONFIG:
            self.config.write(offset, width, value)
        else:
            self.write_bar(region, offset, width, value)
        self._drive_line()

    def _drive_line(self) -> None:
        self._set_line(1 if self.interrupt() and not self.config.command & INTX_DISABLE else 0)

    def _set_line(self, level: int) -> None:
        if level != self._line:
            self._line = level
            if self.host is not None:
                self.host.irq(self._pci.irq, level)

    # -- state --------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Power-on state, an empty log."""
        self.config.reset()
        self.power_on()
        self._drive_line()
        self._seen = []

    def snapshot(self) -> bytes:
        """The whole state but the log of accesses, as JSON."""
        state = {"config": self.config.dump(), "line": self._line, "card": self.dump()}
        return json.dumps(state).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave."""
        held = json.loads(state)
        self.config.load(held["config"])
        self.load(held["card"])
        self._set_line(held["line"])
