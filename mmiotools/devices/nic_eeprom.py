"""The Microwire EEPROM of a network card: 64 words of 16 bits behind chip select, clock, data in and data out.

An instruction is a start bit, two bits of operation and six of address, sampled at the clock's rising edges while the
chip is selected; each rising edge after them gives one bit, highest first. Reading goes on with the next word.

  110 aaaaaa              READ: data out gives a 0 at once, then the word
  101 aaaaaa + 16 bits    WRITE            100 01xxxx + 16 bits  WRAL, write all words
  111 aaaaaa              ERASE to ffff    100 10xxxx            ERAL, erase all words
  100 11xxxx              EWEN: writing and erasing is allowed, which it is not at power-on
  100 00xxxx              EWDS: it is not any more

Writing begins when the last bit is in and takes BUSY_NS; a chip that is selected again says with data out whether it
is done, until a start bit comes. What is clocked in while it is busy is ignored.

References: data sheets of 93C46 parts (instruction set, timing); 8254x software developer's manual (what the words
mean, and the checksum).
"""

from __future__ import annotations

import struct

from mmiotools.typed import Any, Iterable

WORDS = 64
BUSY_NS = 2_000_000

#: All words add up to this, modulo 2 to the 16; the last one is chosen so.
SUM = 0xBABA

#: A start bit and the eight bits of operation and address.
_HEADER = 9
_WRITE, _READ, _ERASE = 1, 2, 3
_EWEN, _ERAL, _WRAL = 3, 2, 1


def factory_words(address: bytes, subsystem: tuple[int, int]) -> list[int]:
    """A card as it leaves the factory: Ethernet address in words 0-2, PCI ids in 0x0b-0x0e, checksum in 0x3f."""
    words = [0xFFFF] * WORDS
    words[0:3] = struct.unpack("<3H", address)
    words[0x08:0x0A] = [0x4D4D, 0x0001]  # number of the printed circuit
    words[0x0A] = 0x640A  # initialization control 1: load the ids below
    words[0x0B], words[0x0C] = subsystem
    words[0x0D], words[0x0E] = 0x100E, 0x8086
    words[0x0F] = 0xA508  # initialization control 2
    words[WORDS - 1] = (SUM - sum(words[: WORDS - 1])) & 0xFFFF
    return words


class Microwire:
    """The chip. `pins` sets its inputs, `data_out` is its output.

    words   the contents, 64 numbers
    """

    _KEPT = ("words", "writable", "busy_until", "selected", "clock", "bits", "header", "data", "out", "status")

    def __init__(self, words: list[int]) -> None:
        self.words = list(words)
        self.writable = False
        self.busy_until = 0
        self.selected = self.clock = 0
        #: Bits of the instruction so far, start bit included; the first nine of them, and those behind them.
        self.bits = self.header = self.data = 0
        self.out = 1
        #: Whether data out shows ready or busy.
        self.status = False

    def pins(self, now: int, select: int, clock: int, data: int) -> None:
        """The input pins as they are from `now` on, each 0 or 1."""
        if not select:
            self.bits = self.header = self.data = 0
            self.out = 1
        elif clock and not self.clock and now >= self.busy_until and (self.bits or data):
            self._rise(now, data)
        self.selected, self.clock = select, clock

    def data_out(self, now: int) -> int:
        """The data out pin; 1 where the chip does not drive it."""
        if self.selected and self.status and not self.bits:
            return 0 if now < self.busy_until else 1
        return self.out

    def _rise(self, now: int, data: int) -> None:
        """A clock edge within an instruction."""
        self.bits += 1
        behind = self.bits - _HEADER
        if behind <= 0:
            self.status = False
            self.header = self.header << 1 | data
        operation, address = self.header >> 6 & 3, self.header & 63
        if behind < 0:
            return
        if operation == _READ:
            word = self.words[(address + (behind - 1) // 16) % WORDS]
            self.out = word >> 15 - (behind - 1) % 16 & 1 if behind else 0
        elif operation == _WRITE or (operation == 0 and address >> 4 == _WRAL):
            self.data = self.data << 1 | data if behind else 0
            if behind == 16:
                self._store(now, range(WORDS) if operation == 0 else (address,), self.data)
        elif behind:
            return
        elif operation == _ERASE:
            self._store(now, (address,), 0xFFFF)
        elif address >> 4 == _ERAL:
            self._store(now, range(WORDS), 0xFFFF)
        else:
            self.writable = address >> 4 == _EWEN

    def _store(self, now: int, where: Iterable[int], value: int) -> None:
        if not self.writable:
            return
        for address in where:
            self.words[address] = value
        self.busy_until = now + BUSY_NS
        self.status = True

    def dump(self) -> dict[str, Any]:
        """State, JSON fit."""
        return {key: getattr(self, key) for key in self._KEPT}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        for key in self._KEPT:
            setattr(self, key, state[key])
