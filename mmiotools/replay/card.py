"""The mock card: a device like any model, that answers from a recording. It knows BARs and offsets, no addresses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar

from mmiotools.devices.storage import ConfigSpace
from mmiotools.engine.interface import CONFIG, Host, Plugin, Seen
from mmiotools.replay.ledger import Ledger
from mmiotools.replay.policy import POLICIES, ByCpu, Policy
from mmiotools.trace.header import PciDevice
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape


class MockCard:
    """One recorded PCI function. Configuration space is no part of a recording: it is made up from ids and BARs,
    works as on any card, and is not in the report.

    pci   the function as it shall appear, if not as recorded: its BARs may lie elsewhere
    plugin  what the card does to memory, which no recording holds
    initiator  says which CPU makes the access under way, where policies shall know it; for who runs the card to set
    """

    api: ClassVar[int] = API
    name = "mock"
    title = "A card that answers from a recording."

    def __init__(
        self, tape: Tape, policy: str = "strict", pci: PciDevice | None = None, plugin: Plugin | None = None
    ) -> None:
        self._tape = tape
        self._make = POLICIES.get(policy)
        self._policy: Policy = self._make(tape)
        self._pci = tape.pci if pci is None else pci
        self._config = ConfigSpace(self._pci)
        self._plugin = plugin
        self._seen: list[Seen] = []
        self._cpus: list[int] = []
        self.initiator: Callable[[], int] | None = None

    @property
    def pci(self) -> PciDevice:
        """The recorded function."""
        return self._pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset."""
        return self._seen

    def attach(self, host: Host) -> None:
        """The mock card itself needs nothing of its host: it has no time of its own and raises no interrupts."""
        if self._plugin is not None:
            self._plugin.attach(host)

    def read(self, region: str, offset: int, width: int) -> int:
        """What the policy finds in the recording."""
        if region == CONFIG:
            value = self._config.read(offset, width)
        else:
            self._tell()
            value = self._policy.read(region, offset, width)
        self._seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Held against the recording."""
        value &= (1 << 8 * width) - 1
        self._seen.append(Seen("W", region, offset, width, value))
        if region == CONFIG:
            self._config.write(offset, width, value)
        else:
            self._tell()
            self._policy.write(region, offset, width, value)
            if self._plugin is not None:
                self._plugin.wrote(region, offset, width, value)

    def _tell(self) -> None:
        if self.initiator is not None and isinstance(self._policy, ByCpu):
            self._policy.cpu = self.initiator()
            self._cpus.append(self._policy.cpu)

    def reset(self) -> None:
        """The tape is wound back, and the books are opened anew."""
        self._policy = self._make(self._tape)
        self._config.reset()
        if self._plugin is not None:
            self._plugin.reset()
        self._seen = []
        self._cpus = []

    def finish(self) -> Ledger:
        """The driver has ended: what was matched, extra, missed and differing."""
        return self._policy.finish()

    def snapshot(self) -> bytes:
        """The accesses since reset and their CPUs, as JSON: with the recording, they are the whole state."""
        return json.dumps([self._seen, self._cpus]).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave, by doing its accesses again."""
        self.reset()
        seen, cpus = json.loads(state)
        now, left = self.initiator, iter(cpus)
        self.initiator = (lambda: next(left)) if cpus else None
        for op, region, offset, width, value in seen:
            if op == "R":
                self.read(region, offset, width)
            else:
                self.write(region, offset, width, value)
        self.initiator = now
