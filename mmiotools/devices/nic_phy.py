"""The copper PHY of a network card: sixteen-bit registers behind the management interface, and a link that comes up.

  0   control: 15 reset (clears itself), 14 loopback, 12 auto-negotiation, 11 power down, 9 restart it (clears itself)
  1   status: 5 negotiation complete, 2 link (stays 0 after a loss until it is read), other bits what the chip can do
  2,3 identifier 0141:0c20
  4   what this end offers, 5 what the other end offers, 6 bit 0 the other end negotiates
  9   gigabit control, 10 gigabit status
  15  extended status
  16  PHY specific control
  17  PHY specific status: 15-14 speed, 13 full duplex, 11 resolved, 10 link
  20  extended PHY specific control

The rest reads as 0. The other end of the cable offers everything up to gigabit full duplex. A negotiation takes
NEGOTIATION_NS after power-on, reset, restart and power-up; it is some seconds in life, and made short here.

References: IEEE 802.3 clause 22 (registers 0-10, 15); the 8254x software developer's manual's chapter on the PHY.
"""

from __future__ import annotations

from mmiotools.typed import Any

CONTROL, STATUS, ID1, ID2, ADVERTISE, PARTNER, EXPANSION = 0, 1, 2, 3, 4, 5, 6
GIGABIT_CONTROL, GIGABIT_STATUS, EXTENDED = 9, 10, 15
SPECIFIC_CONTROL, SPECIFIC_STATUS, SPECIFIC_EXTENDED = 16, 17, 20

RESET, LOOPBACK, NEGOTIATE, POWER_DOWN, RESTART = 0x8000, 0x4000, 0x1000, 0x0800, 0x0200
STATUS_COMPLETE, STATUS_LINK = 0x0020, 0x0004

NEGOTIATION_NS = 20_000_000

_DEFAULTS = {
    CONTROL: 0x1140,
    ADVERTISE: 0x01E1,
    GIGABIT_CONTROL: 0x0300,
    SPECIFIC_CONTROL: 0x0068,
    SPECIFIC_EXTENDED: 0x0CE0,
}
_FIXED = {ID1: 0x0141, ID2: 0x0C20, EXTENDED: 0x3000}
#: Abilities in the status register: 100 and 10 Mb/s in both duplexes, extended status, negotiation, extended registers.
_CAN = 0x7949


class Phy:
    """The registers, by number."""

    def __init__(self) -> None:
        self.registers = dict(_DEFAULTS)
        #: When the link comes up.
        self.link_at = NEGOTIATION_NS
        self.lost = True

    def power_on(self, now: int) -> None:
        """Defaults everywhere; negotiation begins."""
        self.registers = dict(_DEFAULTS)
        self._restart(now)

    def link(self, now: int) -> bool:
        """Whether both ends agree."""
        return now >= self.link_at and not self.registers[CONTROL] & POWER_DOWN

    @property
    def loopback(self) -> bool:
        """Whether what the card sends comes back."""
        return bool(self.registers[CONTROL] & LOOPBACK)

    def read(self, now: int, number: int) -> int:
        """A register; reading the status register lets go of a lost link."""
        link = self.link(now)
        if number == STATUS:
            shown = link and not self.lost
            self.lost = not link
            complete = STATUS_COMPLETE if link and self.registers[CONTROL] & NEGOTIATE else 0
            return _CAN | complete | (STATUS_LINK if shown else 0)
        if number == PARTNER:
            return 0x45E1 if link else 0
        if number == EXPANSION:
            return 1 if link else 0
        if number == GIGABIT_STATUS:
            return 0x3C00 if link else 0
        if number == SPECIFIC_STATUS:
            return 0xAC00 if link else 0
        return _FIXED.get(number, self.registers.get(number, 0))

    def write(self, now: int, number: int, value: int) -> None:
        """Store what can be stored; resets and restarts begin."""
        if number == CONTROL:
            if value & RESET:
                self.power_on(now)
                return
            woken = self.registers[CONTROL] & POWER_DOWN and not value & POWER_DOWN
            self.registers[CONTROL] = value & ~RESTART & 0x7FFF
            if value & POWER_DOWN:
                self.lost = True
            elif woken or value & RESTART:
                self._restart(now)
        elif number in _DEFAULTS:
            self.registers[number] = value & 0xFFFF

    def _restart(self, now: int) -> None:
        self.link_at = now + NEGOTIATION_NS
        self.lost = True

    def dump(self) -> dict[str, Any]:
        """State, JSON fit."""
        return {"registers": sorted(self.registers.items()), "link_at": self.link_at, "lost": self.lost}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        self.registers = {number: value for number, value in state["registers"]}
        self.link_at, self.lost = state["link_at"], state["lost"]
