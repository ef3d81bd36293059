"""What `nic-init` needs of an 8254x network card below the level of frames: registers, EEPROM, PHY.

Reference: Intel's 8254x software developer's manual. Every failure is a `Failure`.
"""

from __future__ import annotations

from mmiotools.engine.interface import Kernel

CTRL, STATUS, EECD, EERD, MDIC = 0x0000, 0x0008, 0x0010, 0x0014, 0x0020
ICR, IMS, IMC, RCTL, TCTL, TIPG = 0x00C0, 0x00D0, 0x00D8, 0x0100, 0x0400, 0x0410
RDBAL, RDBAH, RDLEN, RDH, RDT = 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
TDBAL, TDBAH, TDLEN, TDH, TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
MTA, MTA_WORDS, RAL, RAH = 0x5200, 128, 0x5400, 0x5404

CTRL_SLU, CTRL_RST, STATUS_LU = 1 << 6, 1 << 26, 1 << 1
SK, CS, DI, DO, EE_REQ, EE_GNT = 1, 2, 4, 8, 64, 128
EERD_START, EERD_DONE = 1, 1 << 4
MDIC_WRITE, MDIC_READ, MDIC_READY, MDIC_ERROR = 1 << 26, 2 << 26, 1 << 28, 1 << 30
PHY = 1
PHY_CONTROL, PHY_STATUS, PHY_ID1, PHY_ID2, PHY_ADVERTISE, PHY_GIGABIT = 0, 1, 2, 3, 4, 9
PHY_NEGOTIATE_AGAIN, PHY_LOOPBACK, PHY_POWER_DOWN = 0x1200, 0x5140, 0x0800
PHY_LINK = 0x0004

EEPROM_WORDS, EEPROM_SUM = 64, 0xBABA
#: Start bit, the two bits for "read", and how many address bits follow.
MICROWIRE_READ, MICROWIRE_ADDRESS_BITS = 0b110, 6

EIO, ENOMEM, ENODEV, ETIMEDOUT = 5, 12, 19, 110

#: A word of the EEPROM takes some 30 microseconds by EERD, a PHY register 26 by MDIC.
EERD_US = MDIC_US = 50
TRIES = 10
LINK_US, LINK_TRIES = 5000, 20


class Failure(Exception):
    """Ends the bring-up: an errno, positive, and a line for the kernel log."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


class Hardware:
    """The mapped registers of a card."""

    def __init__(self, kernel: Kernel, base: int) -> None:
        self.kernel = kernel
        self.base = base

    def read(self, offset: int) -> int:
        """A register."""
        return self.kernel.readl(self.base + offset)

    def write(self, offset: int, value: int) -> None:
        """Set a register."""
        self.kernel.writel(value, self.base + offset)

    def reset(self) -> None:
        """Everything but the PHY; no cause is pending and none is let through afterwards."""
        self.write(IMC, 0xFFFFFFFF)
        self.write(CTRL, self.read(CTRL) | CTRL_RST)
        self.kernel.udelay(10)
        if self.read(CTRL) & CTRL_RST:
            raise Failure(EIO, "the reset does not end")
        self.write(IMC, 0xFFFFFFFF)
        self.read(ICR)

    # -- EEPROM -------------------------------------------------------------------------------------------

    def eeprom_word(self, address: int) -> int:
        """A word by EERD."""
        self.write(EERD, address << 8 | EERD_START)
        for _ in range(TRIES):
            self.kernel.udelay(EERD_US)
            value = self.read(EERD)
            if value & EERD_DONE:
                return value >> 16
        raise Failure(EIO, f"EEPROM word {address:#x} does not come")

    def eeprom_word_by_pins(self, address: int) -> int:
        """A word by moving the EEPROM's pins, as cards without EERD need it."""
        self.write(EECD, EE_REQ)
        if not self.read(EECD) & EE_GNT:
            raise Failure(EIO, "the EEPROM is not granted")
        self._pins(CS)
        instruction = MICROWIRE_READ << MICROWIRE_ADDRESS_BITS | address
        for bit in reversed(range(3 + MICROWIRE_ADDRESS_BITS)):
            data = DI if instruction >> bit & 1 else 0
            self._pins(CS | data)
            self._pins(CS | data | SK)
        word = 0
        for _ in range(16):
            self._pins(CS)
            self._pins(CS | SK)
            word = word << 1 | (1 if self.read(EECD) & DO else 0)
        self._pins(0)
        self.write(EECD, 0)
        return word

    def _pins(self, pins: int) -> None:
        self.write(EECD, EE_REQ | pins)
        self.kernel.udelay(1)

    def station_address(self) -> bytes:
        """The card's Ethernet address. The whole EEPROM is read, and its checksum verified."""
        words = [self.eeprom_word(address) for address in range(EEPROM_WORDS)]
        if sum(words) & 0xFFFF != EEPROM_SUM:
            raise Failure(EIO, f"the EEPROM's checksum is {sum(words) & 0xFFFF:#x}, not {EEPROM_SUM:#x}")
        by_pins = self.eeprom_word_by_pins(0)
        if by_pins != words[0]:
            raise Failure(EIO, f"EEPROM word 0 is {words[0]:#x} by EERD, {by_pins:#x} by its pins")
        return b"".join(word.to_bytes(2, "little") for word in words[:3])

    # -- PHY ----------------------------------------------------------------------------------------------

    def phy_read(self, register: int) -> int:
        """A PHY register by MDIC."""
        return self._mdic(MDIC_READ | PHY << 21 | register << 16) & 0xFFFF

    def phy_write(self, register: int, value: int) -> None:
        """Set a PHY register by MDIC."""
        self._mdic(MDIC_WRITE | PHY << 21 | register << 16 | value)

    def _mdic(self, command: int) -> int:
        self.write(MDIC, command)
        for _ in range(TRIES):
            self.kernel.udelay(MDIC_US)
            value = self.read(MDIC)
            if value & MDIC_READY:
                if value & MDIC_ERROR:
                    raise Failure(EIO, f"PHY register {command >> 16 & 31} cannot be accessed")
                return value
        raise Failure(ETIMEDOUT, f"PHY register {command >> 16 & 31} does not come")

    def link_up(self) -> None:
        """Negotiate, and wait until both the PHY and the controller have a link."""
        identity = self.phy_read(PHY_ID1) << 16 | self.phy_read(PHY_ID2)
        if identity & 0xFFFFFFF0 != 0x01410C20:
            raise Failure(ENODEV, f"unknown PHY {identity:#010x}")
        self.phy_write(PHY_ADVERTISE, 0x01E1)
        self.phy_write(PHY_GIGABIT, 0x0300)
        self.phy_write(PHY_CONTROL, PHY_NEGOTIATE_AGAIN)
        self.write(CTRL, self.read(CTRL) | CTRL_SLU)
        for _ in range(LINK_TRIES):
            # A link that was lost stays lost in this register until it is read; the next read is the present.
            if self.phy_read(PHY_STATUS) & PHY_LINK and self.read(STATUS) & STATUS_LU:
                return
            self.kernel.udelay(LINK_US)
        raise Failure(ETIMEDOUT, "no link")
