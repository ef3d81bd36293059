"""A card's model beside its mock card: what the card does to memory, and when it interrupts, the model does."""

from __future__ import annotations

from mmiotools.devices import DEVICES
from mmiotools.engine.inject import Injector
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.interface import Device, Host
from mmiotools.errors import MmioToolsError
from mmiotools.trace.header import PciDevice
from mmiotools.trace.registry import API
from mmiotools.typed import Any, ClassVar, Mapping


class Shadow:
    """A plugin of a mock card that has a model see all that the driver does. What the model answers does not count.

    interrupts   whether its line is the mock card's, or goes nowhere
    """

    api: ClassVar[int] = API
    name = "shadow"
    title = "The card's model, for memory and interrupts."

    def __init__(self, device: Device, interrupts: bool) -> None:
        self.device = device
        self.raised = 0
        self.interrupts = interrupts
        self._host: Host | None = None

    def attach(self, host: Host) -> None:
        """Memory, the clock and perhaps the line are this host's."""
        self._host = host
        self.device.attach(self)

    def wrote(self, region: str, offset: int, width: int, value: int) -> None:
        """The model is written to as well."""
        self.device.write(region, offset, width, value)

    def read(self, region: str, offset: int, width: int) -> int:
        """The model is read as well: reading may have effects."""
        return self.device.read(region, offset, width)

    def reset(self) -> None:
        """Power-on."""
        self.raised = 0
        self.device.reset()

    def forget(self) -> None:
        """Empty the model's log of accesses."""
        self.device.seen.clear()
        if isinstance(self.device, Injector):
            self.device.inner.seen.clear()

    # -- the model's host ---------------------------------------------------------------------------------

    def now(self) -> int:
        """The host's clock, nanoseconds."""
        return self._host.now() if self._host is not None else 0

    def irq(self, line: int, level: int) -> None:
        """The model's line."""
        self.raised += bool(level)
        if self.interrupts and self._host is not None:
            self._host.irq(line, level)

    def dma_read(self, address: int, n: int) -> bytes:
        """n bytes of memory."""
        return self._host.dma_read(address, n) if self._host is not None else b"\xff" * n

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes in memory."""
        if self._host is not None:
            self._host.dma_write(address, data)


def recorded_model(meta: Mapping[str, Any], pci: PciDevice) -> Device | None:
    """A new model of the card that a recording was made with, under the faults that it was made with; None where it
    names no bundled or installed one (a file is not run because a trace names it), or one that is not this card.
    """
    word = meta.get("card")
    if not isinstance(word, str) or word not in DEVICES.names():
        return None
    try:
        device = DEVICES.get(word)()
    except MmioToolsError:
        return None
    if (device.pci.vendor, device.pci.device) != (pci.vendor, pci.device):
        return None
    options = meta.get("options")
    texts = options.get("inject") if isinstance(options, dict) else None
    if not isinstance(texts, list) or not texts:
        return device
    seed = meta.get("seed")
    try:
        return Injector(device, parse_rules([str(text) for text in texts]), seed if isinstance(seed, int) else 0)
    except MmioToolsError:
        return device
