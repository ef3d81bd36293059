"""A card of your own: a lamp that switches itself on and off. Three registers of 32 bits in BAR0:

  0x00 ID      "BLNK"; read-only
  0x04 PERIOD  microseconds between two switches; 0 holds the lamp still; writing it starts the count again
  0x08 COUNT   how often the lamp has switched; odd while it is on; read-only

Try it: mmiotools record samples/drivers/blink.py --card samples/cards/blinker.py -t mmiotrace
"""

from __future__ import annotations

from typing import Any

from mmiotools.devices.card import Card
from mmiotools.trace.header import Bar, PciDevice

ID, PERIOD, COUNT = 0x00, 0x04, 0x08


class Blinker(Card):
    """`Card` does what is alike in all cards: it keeps the log of accesses, and holds configuration space."""

    name = "blinker"
    title = "A lamp that switches itself on and off."

    def __init__(self) -> None:
        # Where the card sits and what it is. BAR 0 is 4 KiB at an address where nothing else is.
        super().__init__(PciDevice(bdf=0x0030, vendor=0x1234, device=0xB11C, bars=(Bar(0, 0xE0000000, 0x1000),)))

    def power_on(self) -> None:
        """Every attribute that changes is set here, so that reset needs no code of its own."""
        self.period = 0
        self.since = 0

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        """One access of the bus. Other offsets read as 0."""
        if offset == ID:
            return int.from_bytes(b"BLNK", "little")
        if offset == PERIOD:
            return self.period
        if offset == COUNT:
            # Time is the machine's, in nanoseconds. A card never sleeps and never asks for the real time.
            return (self.now() - self.since) // (1000 * self.period) if self.period else 0
        return 0

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        """Read-only registers ignore it."""
        if offset == PERIOD:
            self.period = value
            self.since = self.now()

    def dump(self) -> dict[str, Any]:
        """What a snapshot has to keep: numbers, strings, lists."""
        return {"period": self.period, "since": self.since}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what dump gave."""
        self.period, self.since = state["period"], state["since"]


# What `--card FILE.py` looks for: a class, or a function that makes a card.
DEVICE = Blinker
