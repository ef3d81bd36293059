"""The mock card: a device like any model, that answers from a recording. It knows BARs and offsets, no addresses."""

from __future__ import annotations

import json

from mmiotools.devices.storage import ConfigSpace
from mmiotools.engine.interface import CONFIG, Host, Plugin, Reading, Seen
from mmiotools.filters.masks import NOTHING_SAID, MaskFile
from mmiotools.replay.entries import find_entries
from mmiotools.replay.host import CardHost
from mmiotools.replay.interrupts import Delivered, Entries, Line
from mmiotools.replay.ledger import Ledger
from mmiotools.replay.masked import Masked
from mmiotools.replay.policy import DEFAULT, POLICIES, ByCpu, Policy
from mmiotools.replay.settings import Settings, Tunable
from mmiotools.replay.window import Window
from mmiotools.trace.header import PciDevice
from mmiotools.trace.registry import API
from mmiotools.trace.tape import Tape
from mmiotools.typed import Callable, ClassVar


class MockCard:
    """One recorded PCI function. Configuration space is no part of a recording: it is made up from ids and BARs,
    works as on any card, and is not in the report.

    pci   the function as it shall appear, if not as recorded: its BARs may lie elsewhere
    plugin  what the card does to memory, which no recording holds
    settings  of the policy, and how recorded times count
    masks  registers and bits that do not count: they are answered, and not in the report
    irq   where interrupt handlers begin in the recording; found out if not given. It is a `Timed` device for that
    initiator  says which CPU makes the access under way, where policies shall know it; for who runs the card to set
    """

    api: ClassVar[int] = API
    name = "mock"
    title = "A card that answers from a recording."

    def __init__(
        self,
        tape: Tape,
        policy: str = DEFAULT,
        pci: PciDevice | None = None,
        plugin: Plugin | None = None,
        *,
        settings: Settings | None = None,
        masks: MaskFile = NOTHING_SAID,
        irq: Entries | None = None,
    ) -> None:
        self._tape = tape
        self._masked = Masked(tape, masks)
        self._make = POLICIES.get(policy)
        self._settings = Settings() if settings is None else settings
        self._pci = tape.pci if pci is None else pci
        self._config = ConfigSpace(self._pci)
        self._plugin = plugin
        self._reading = plugin if isinstance(plugin, Reading) else None
        self._entries = find_entries(tape) if irq is None else irq
        self._host = CardHost()
        self._start()
        if plugin is not None:
            plugin.attach(self._host)
        self.initiator: Callable[[], int] | None = None

    def _start(self) -> None:
        masked = self._masked
        self._policy: Policy = self._make(masked.counted)
        if isinstance(self._policy, Tunable):
            self._policy.tune(self._settings, self._host.now)
        self._by_cpu = self._policy if isinstance(self._policy, ByCpu) else None
        #: What answers accesses that are left out of the books.
        self._aside = Window(masked.ignored)
        self._line = Line(self._tape, self._entries, self._pci.irq, self._settings.timing)
        self._line.attach(self._host)
        if len(self._entries.places):
            self._policy.ledger.listener = lambda place: self._line.happened(int(masked.counted_at[place]))
            self._aside.ledger.listener = lambda place: self._line.happened(int(masked.ignored_at[place]))
        if masked.any_time is not None:
            self._policy.ledger.excuse, self._policy.ledger.any_time = masked.floats, masked.any_time
        #: Accesses that the policy was asked for, and the values of writes of which not all bits counted.
        self._count = 0
        self._whole: dict[int, int] = {}
        self._seen: list[Seen] = []
        self._cpus: list[int] = []
        self._times: list[int] = []

    @property
    def pci(self) -> PciDevice:
        """The recorded function."""
        return self._pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset."""
        return self._seen

    @property
    def interrupts(self) -> Delivered:
        """What became of the recorded interrupts, so far."""
        return self._line.summary

    def attach(self, host: Host) -> None:
        """What has a time of its own asks this host for it, and interrupts go there."""
        self._host.host = host
        self._line.attach(self._host)

    def read(self, region: str, offset: int, width: int) -> int:
        """What the policy finds in the recording."""
        self._note()
        if region == CONFIG:
            value = self._config.read(offset, width)
        else:
            value = self._asked("R", region, offset, width).read(region, offset, width)
            if self._reading is not None:
                self._reading.read(region, offset, width)
            self._line.after("R", region, offset)
        self._seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Held against the recording."""
        value &= (1 << 8 * width) - 1
        self._note()
        self._seen.append(Seen("W", region, offset, width, value))
        if region == CONFIG:
            self._config.write(offset, width, value)
        else:
            bits = self._masked.meaning("W", region, offset, width).bits
            asked = self._asked("W", region, offset, width)
            if value & ~bits and asked is self._policy:
                self._whole[self._count - 1] = value
            asked.write(region, offset, width, value & bits)
            if self._plugin is not None:
                self._plugin.wrote(region, offset, width, value)
            self._line.after("W", region, offset)

    def _note(self) -> None:
        self._times.append(self._host.now())

    def _asked(self, op: str, region: str, offset: int, width: int) -> Policy:
        """Who answers this access."""
        if self.initiator is not None and self._by_cpu is not None:
            self._by_cpu.cpu = self.initiator()
            self._cpus.append(self._by_cpu.cpu)
        if self._masked.meaning(op, region, offset, width).ignored:
            return self._aside
        self._count += 1
        return self._policy

    def due(self) -> int | None:
        """When an interrupt comes without an access."""
        return self._line.due()

    def tick(self) -> None:
        """It comes."""
        self._line.tick()

    def reset(self) -> None:
        """The tape is wound back, and the books are opened anew."""
        self._host.lower()
        self._config.reset()
        if self._plugin is not None:
            self._plugin.reset()
        self._start()

    def forget(self) -> None:
        """Empty the log of accesses, and go on; snapshots are of no use then. For who serves the card for long."""
        self._seen, self._cpus, self._times = [], [], []

    def finish(self) -> Ledger:
        """The driver has ended: what was matched, extra, missed and differing."""
        self._policy.ledger.listener = None
        ledger = self._policy.finish()
        if self._whole:
            ledger.rewrite(lambda done: done._replace(value=self._whole.get(done.number, done.value)))
        return ledger

    def snapshot(self) -> bytes:
        """The accesses since reset, their CPUs and their times, as JSON: with the recording, they are the whole
        state. What a plugin did to memory is no part of it.
        """
        return json.dumps([self._seen, self._cpus, self._times]).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave, by doing its accesses again, to no effect outside but on the line."""
        seen, cpus, times = json.loads(state)
        now, left = self.initiator, iter(cpus)
        self.initiator = (lambda: next(left)) if cpus else None
        with self._host.alone() as clock:
            self.reset()
            for time, (op, region, offset, width, value) in zip(times, seen, strict=True):
                while (due := self._line.due()) is not None and due <= time:
                    clock.time = due
                    self._line.tick()
                clock.time = time
                if op == "R":
                    self.read(region, offset, width)
                else:
                    self.write(region, offset, width, value)
        self.initiator = now
