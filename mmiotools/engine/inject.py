"""Fault injection: a device around a device, that makes it misbehave as rules say and marks every act in the trace.

The rules stand between the bus and the card, and between the card and its host, so that any device can be inside.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Protocol, runtime_checkable

from mmiotools.engine.inject_carrier import Carrier
from mmiotools.engine.inject_data import Delay, Drop, Remove, Rule, Spurious, locate
from mmiotools.engine.inject_irq import Lines
from mmiotools.engine.interface import CONFIG, Device, Host, Seen, Timed
from mmiotools.errors import ExpressionError, UsageError
from mmiotools.trace.header import PciDevice
from mmiotools.trace.intervals import IntervalIndex
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Iterable, NamedTuple, TypeAlias

#: Registers whose rules are remembered; beyond that they are looked up anew.
_KNOWN = 1 << 16

#: What Seen(...) does, in a third of the time; this happens at every access.
_tuple = tuple.__new__

_NAMES = {"R": "read", "W": "write"}

#: (region, offset) → the rules on it.
_Known: TypeAlias = dict[tuple[str, int], tuple[Carrier, ...]]


@runtime_checkable
class Delays(Protocol):
    """A host that can let virtual time pass."""

    def delay(self, nanoseconds: int) -> None:
        """Let virtual time pass."""


class Tally(NamedTuple):
    """What became of one rule: how many accesses or interrupts it counted, and how often it was its turn."""

    text: str
    matched: int
    acted: int


class Injector:
    """A device that is another one, but for what the rules do. It is attached and used as that one would be.

    inner  the device that it is around
    seen   what passed the bus: what the CPU got and sent. What reached the device inside is in that one's log.
    mark   takes a line of text for each act, before the access that it befalls; for who runs the device to set

    Raises ExpressionError when a rule names registers that the device does not have.
    """

    api: ClassVar[int] = API

    def __init__(self, device: Device, rules: Iterable[Rule], seed: int = 0) -> None:
        self.name = device.name
        self.title = device.title
        self.inner = device
        self.mark: Callable[[str], None] = _nobody
        self._seen: list[Seen] = []
        self._delay: Callable[[int], None] | None = None
        self._mute = self._removed = False
        copies: Counter[str] = Counter()
        self._carriers: list[Carrier] = []
        for number, rule in enumerate(rules, 1):
            # By its text, not by its number: a rule that is put in front of others changes nothing for them.
            self._carriers.append(Carrier(rule, number, f"{seed}/{copies[rule.text]}/{rule.text}"))
            copies[rule.text] += 1
        self._places: dict[str, dict[str, IntervalIndex[Carrier]]] = {"R": {}, "W": {}}
        self._known_reads: _Known = {}
        self._known_writes: _Known = {}
        for carrier in self._carriers:
            self._place(carrier)
        self._removals = [c for c in self._carriers if isinstance(c.rule.action, Remove) and c.rule.place is None]
        self._lines = Lines(self._carriers, self.pci.irq, self._say)
        #: Is there something to do at every access, whatever its register?
        self._busy = bool(self._removals or self._lines.busy)

    def _place(self, carrier: Carrier) -> None:
        rule = carrier.rule
        if isinstance(rule.action, Spurious) and rule.line is None and not self.pci.irq:
            raise ExpressionError("the card has no interrupt line; write 'irq line N spurious'", rule.text)
        for window in locate(rule, self.pci):
            for op in rule.ops:
                index = self._places[op].setdefault(window.region, IntervalIndex(overlaps=True))
                index.insert(window.start, window.end, carrier)

    # -- the device ---------------------------------------------------------------------------------------

    @property
    def pci(self) -> PciDevice:
        """The device's own."""
        return self.inner.pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset, as it passed the bus."""
        return self._seen

    def attach(self, host: Host) -> None:
        """Sit between the device and its host. Raises UsageError when a rule needs what the host cannot do."""
        self._delay = host.delay if isinstance(host, Delays) else None
        for carrier in self._carriers:
            if self._delay is None and isinstance(carrier.rule.action, Delay) and carrier.rule.ops:
                raise UsageError(f"this machine cannot let time pass within an access: {carrier.rule.text}")
        self._lines.host = host
        self.inner.attach(_Between(self, host))

    def read(self, region: str, offset: int, width: int) -> int:
        """What the device reads, or what the rules make of it."""
        ones = (1 << 8 * width) - 1
        rules = self._known_reads.get((region, offset))
        if rules is None:
            rules = self._find("R", self._known_reads, region, offset)
        if not (rules or self._busy):
            value = self.inner.read(region, offset, width) & ones
            self._seen.append(_tuple(Seen, ("R", region, offset, width, value)))
            return value
        self._begin("R", region, offset)
        early = [c for c in rules if c.rule.early and c.due(width)] if not self._removed else []
        value = ones
        if self._arrives("R", region, offset, early, f" dropped, {ones:#x} instead"):
            value = self.inner.read(region, offset, width) & ones
        if not self._removed:
            late = [c for c in rules if not c.rule.early and c.due(width, value)]
            value = self._changed("R", region, offset, width, value, late)
        self._seen.append(_tuple(Seen, ("R", region, offset, width, value)))
        self._end(region)
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Let the device have the value, or what the rules make of it, or nothing."""
        value &= (1 << 8 * width) - 1
        self._seen.append(_tuple(Seen, ("W", region, offset, width, value)))
        rules = self._known_writes.get((region, offset))
        if rules is None:
            rules = self._find("W", self._known_writes, region, offset)
        if not (rules or self._busy):
            self.inner.write(region, offset, width, value)
            return
        self._begin("W", region, offset)
        due = [c for c in rules if c.due(width, value)] if not self._removed else []
        early = [c for c in due if c.rule.early]
        if self._arrives("W", region, offset, early, f" {value:#0{2 * width + 2}x} dropped"):
            late = [c for c in due if not c.rule.early]
            self.inner.write(region, offset, width, self._changed("W", region, offset, width, value, late))
        self._end(region)

    def due(self) -> int | None:
        """When the device inside does something by itself, if it ever does."""
        return self.inner.due() if isinstance(self.inner, Timed) else None

    def tick(self) -> None:
        """It does."""
        if isinstance(self.inner, Timed):
            self.inner.tick()

    def _find(self, op: str, known: _Known, region: str, offset: int) -> tuple[Carrier, ...]:
        """The rules on a register, in the order in which they were given; from now on it is known."""
        index = self._places[op].get(region)
        if index is None:
            return ()
        if len(known) >= _KNOWN:
            known.clear()
        found = known[region, offset] = tuple(interval.value for interval in index.stab(offset))
        return found

    def _begin(self, op: str, region: str, offset: int) -> None:
        """What an access does whatever its register. Configuration space is not counted, as it is not traced."""
        if not self._busy or self._removed or region == CONFIG:
            return
        for carrier in self._removals:
            if carrier.due() and not self._removed:
                self._remove(op, region, offset, carrier)
        self._lines.begin()

    def _end(self, region: str) -> None:
        if self._lines.busy and region != CONFIG:
            self._lines.end()

    def _arrives(self, op: str, region: str, offset: int, due: list[Carrier], dropped: str) -> bool:
        """Carry out what comes before an access: removal, loss, delay. Whether the access reaches the device."""
        for carrier in due:
            action = carrier.rule.action
            if isinstance(action, Remove):
                self._remove(op, region, offset, carrier)
                break
            place = f"{_NAMES[op]} {region}+{offset:#x}"
            if isinstance(action, Drop):
                self._say(place + dropped, carrier.label)
                return False
            if isinstance(action, Delay) and self._delay is not None:
                self._say(f"{place} delayed {action.text}", carrier.label)
                self._delay(action.nanoseconds)
        return not self._removed

    def _changed(self, op: str, region: str, offset: int, width: int, value: int, due: list[Carrier]) -> int:
        """The value after every rule whose turn it is, in their order. One that changes nothing makes no mark."""
        digits = 2 * width + 2
        for carrier in due:
            new = carrier.change(value, width)
            if new != value:
                place = f"{_NAMES[op]} {region}+{offset:#x}"
                self._say(f"{place} {value:#0{digits}x} -> {new:#0{digits}x}", carrier.label)
            value = new
        return value

    def _remove(self, op: str, region: str, offset: int, carrier: Carrier) -> None:
        self._say(f"card removed at {_NAMES[op]} {region}+{offset:#x}", carrier.label)
        self._removed = self._busy = True
        self._lines.cut()

    def _say(self, what: str, label: str) -> None:
        self.mark(f"inject: {what} {label}")

    def line(self, line: int, level: int) -> None:
        """The device inside raises or lowers an interrupt line, or sends a vector."""
        if not self._mute:
            self._lines.change(line, level)

    # -- the whole ----------------------------------------------------------------------------------------

    @property
    def tally(self) -> list[Tally]:
        """What became of each rule since reset, in order."""
        return [Tally(carrier.rule.text, carrier.matched, carrier.acted) for carrier in self._carriers]

    @property
    def unused(self) -> list[str]:
        """The rules whose turn it never was."""
        return [tally.text for tally in self.tally if not tally.acted]

    def reset(self) -> None:
        """Power-on: the device is there again, and every rule counts from the beginning."""
        self._present(True)
        for carrier in self._carriers:
            carrier.reset()
        self._lines.clear()
        self._seen = []
        self.inner.reset()
        self._lines.settle()

    def snapshot(self) -> bytes:
        """The device's state and that of the rules, as JSON; the log of accesses is no part of it."""
        state = {
            "inner": base64.b64encode(self.inner.snapshot()).decode(),
            "rules": [carrier.save() for carrier in self._carriers],
            "lines": self._lines.save(),
            "removed": self._removed,
        }
        return json.dumps(state).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave, under the same rules."""
        held = json.loads(state)
        # What the device does to its lines on the way is no interrupt that rules count.
        self._mute = True
        try:
            self.inner.restore(base64.b64decode(held["inner"]))
        finally:
            self._mute = False
        for carrier, saved in zip(self._carriers, held["rules"], strict=True):
            carrier.load(saved)
        self._present(not held["removed"])
        self._lines.load(held["lines"])

    def _present(self, there: bool) -> None:
        self._removed = not there
        self._busy = bool(self._removed or self._removals or self._lines.busy)


class _Between:
    """The host as the device inside sees it."""

    def __init__(self, injector: Injector, host: Host) -> None:
        self._injector = injector
        self._host = host

    def now(self) -> int:
        """Virtual time, nanoseconds."""
        return self._host.now()

    def irq(self, line: int, level: int) -> None:
        """Raise or lower a line, which the rules may keep from the host."""
        self._injector.line(line, level)

    def dma_read(self, address: int, n: int) -> bytes:
        """n bytes of memory at a bus address."""
        return self._host.dma_read(address, n)

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes at a bus address."""
        self._host.dma_write(address, data)


def _nobody(text: str) -> None:
    """Takes marks when there is no trace."""
