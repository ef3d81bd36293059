"""A card that is plain RAM behind two BARs, and the short way to a traced machine, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from mmiotools.engine.interface import Host, Seen
from mmiotools.engine.kernel import Kernel
from mmiotools.engine.kmmio import Kmmio
from mmiotools.engine.machine import Machine
from mmiotools.engine.mmiotrace import MmioTrace
from mmiotools.engine.quirks import Quirks
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.events import ACCESSES, Event, Kind
from mmiotools.trace.header import Bar, PciDevice

BAR0, BAR0_SIZE = 0xFD000000, 0x10000
BAR1, BAR1_SIZE = 0xE0000000, 0x4000
BAR2, BAR2_SIZE = 0xC0000000, 0x1000000

#: op, address, width, value
Access = tuple[str, int, int, int]


@cache
def pattern(bar: Bar) -> bytes:
    """What an untouched BAR holds."""
    return bytes((7 * n + n // 251 + bar.number) & 0xFF for n in range(bar.size))


class RamCard:
    """Every byte of the BARs holds what was written; untouched ones are a pattern that differs from byte to byte."""

    api = 1
    name = "ram-card"
    title = "RAM behind two BARs."
    pci = PciDevice(0x0108, 0x1234, 0x5678, 11, (Bar(0, BAR0, BAR0_SIZE), Bar(1, BAR1, BAR1_SIZE, 8)), "ram")

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.reset()

    def attach(self, host: Host) -> None:
        self.host = host

    def read(self, region: str, offset: int, width: int) -> int:
        value = int.from_bytes(self.bytes[region][offset : offset + width], "little")
        self.seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        self.bytes[region][offset : offset + width] = value.to_bytes(width, "little")
        self.seen.append(Seen("W", region, offset, width, value))

    def reset(self) -> None:
        self.bytes = {bar.name: bytearray(pattern(bar)) for bar in self.pci.bars}
        self.seen.clear()

    def snapshot(self) -> bytes:
        return b"".join(bytes(self.bytes[bar.name]) for bar in self.pci.bars)

    def restore(self, state: bytes) -> None:
        for bar in self.pci.bars:
            self.bytes[bar.name], state = bytearray(state[: bar.size]), state[bar.size :]


class WideCard(RamCard):
    """The same with a third BAR that is large enough for large pages of either machine; its bytes are kept sparsely."""

    name = "wide-card"
    pci = PciDevice(
        0x0108, 0x1234, 0x5678, 11,
        (Bar(0, BAR0, BAR0_SIZE), Bar(1, BAR1, BAR1_SIZE, 8), Bar(2, BAR2, BAR2_SIZE)), "wide",
    )  # fmt: skip

    def read(self, region: str, offset: int, width: int) -> int:
        at = range(offset, offset + width)
        value = int.from_bytes(bytes(self.stored.get((region, n), 11 * n + n // 251 & 0xFF) for n in at), "little")
        self.seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        for n, byte in enumerate(value.to_bytes(width, "little"), offset):
            self.stored[region, n] = byte
        self.seen.append(Seen("W", region, offset, width, value))

    def reset(self) -> None:
        self.stored: dict[tuple[str, int], int] = {}
        self.seen.clear()

    def snapshot(self) -> bytes:
        return repr(sorted(self.stored.items())).encode()


class Rig:
    """A machine with the card, the tracer and a kernel, open for inspection between accesses."""

    def __init__(self, policy: str = "emulate", quirks: Iterable[str] = ()) -> None:
        self.events: list[Event] = []
        self.machine = Machine()
        self.kmmio = Kmmio(self.machine, policy, Quirks(quirks))
        self.card = RamCard()
        self.tracer = MmioTrace(self.kmmio, self.events.append)
        self.kernel = Kernel(self.machine, self.card, tracer=self.tracer)
        self.cpu = self.machine.cpus[0]

    def accesses(self) -> list[Access]:
        return accesses(self.events)


def accesses(events: list[Event]) -> list[Access]:
    """The reads and writes among events."""
    names = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}
    return [(names[e.kind], e.addr, e.width, e.value) for e in events if e.kind in ACCESSES]


def run(probe: Callable[[Any], Any], **options: Any) -> tuple[Outcome, list[Event], RamCard]:
    """Run a driver on a new card; the outcome, the events and the card."""
    events: list[Event] = []
    card = RamCard()
    outcome = run_driver(probe, card, emit=events.append, **options)
    return outcome, events, card
