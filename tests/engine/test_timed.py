"""Devices that do something by themselves when time has passed."""

from __future__ import annotations

import pytest

from mmiotools.devices.card import Card
from mmiotools.engine.inject import Injector
from mmiotools.engine.inject_rules import parse_rules
from mmiotools.engine.interface import Device, Timed
from mmiotools.engine.session import run_driver
from mmiotools.trace.header import Bar, PciDevice

PERIOD = 40_000


class Ticker(Card):
    """Raises its line every so often once it is written to, until it is read."""

    name = "ticker"

    def __init__(self) -> None:
        super().__init__(PciDevice(0x18, 0x1234, 0x5678, 5, (Bar(0, 0xE0000000, 0x1000),)))

    def power_on(self) -> None:
        self.next: int | None = None
        self.up = False
        self.ticks: list[int] = []

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        self.up = False
        return len(self.ticks)

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        self.next = self.now() + value

    def interrupt(self) -> bool:
        return self.up

    def due(self) -> int | None:
        return self.next

    def tick(self) -> None:
        assert self.next is not None
        assert self.now() >= self.next
        self.ticks.append(self.next)
        self.next += PERIOD
        self.up = True
        self._drive_line()


def times_of(device: Device, microseconds: int, delay: int = PERIOD) -> list[int]:
    """When the driver's handler ran, after its write, while it waited in one piece."""
    found: list[int] = []

    def probe(kernel) -> int:
        base = kernel.ioremap(kernel.pci_resource_start(0), 0x1000)
        kernel.request_irq(lambda: found.append((kernel.readl(base), kernel.now() - start)))
        start = kernel.now()
        kernel.writel(delay, base)
        kernel.udelay(microseconds)
        assert kernel.now() >= start + 1000 * microseconds
        return 0

    outcome = run_driver(probe, device, emit=lambda event: None)
    assert (outcome.returned, outcome.error) == (0, None)
    return found


@pytest.mark.parametrize("wrapped", [False, True])
def test_interrupts_come_while_a_driver_waits(wrapped):
    card: Device = Ticker()
    if wrapped:
        card = Injector(card, parse_rules(["read BAR0+0x800 drop"]))
    assert isinstance(card, Timed)
    found = times_of(card, 100)
    assert [count for count, _ in found] == [1, 2]
    for (_, time), due in zip(found, (PERIOD, 2 * PERIOD), strict=True):
        assert due <= time < due + 5_000


def test_what_is_due_by_the_end_of_an_access_is_done_then():
    assert [count for count, _ in times_of(Ticker(), 1, delay=1)][:1] == [1]


def test_a_device_that_has_no_time_of_its_own_is_not_asked():
    assert Injector(Ticker(), ()).due() is None
    plain = Card(PciDevice(0x18, 0x1234, 0x5678, 5, (Bar(0, 0xE0000000, 0x1000),)))
    assert not isinstance(plain, Timed)
    assert Injector(plain, ()).due() is None
    Injector(plain, ()).tick()
