"""Rings of legacy descriptors in the host's memory, as 8254x network cards use them. A descriptor is 16 bytes:

  receive   buffer 8, length 2, checksum 2, status 1, errors 1, special 2
  transmit  buffer 8, length 2, checksum offset 1, command 1, status 1, checksum start 1, special 2

The card owns those from head up to, not including, tail; software moves the tail, the card the head.

Reference: the 8254x software developer's manual's chapters on receive and transmit descriptors.
"""

from __future__ import annotations

import struct

from mmiotools.engine.interface import Host
from mmiotools.typed import NamedTuple

SIZE = 16
STATUS_DD, STATUS_EOP, STATUS_IXSM = 1, 2, 4
ERROR_CE = 1
EOP, IFCS, IC, RS, DEXT = 1, 2, 4, 8, 32

#: Offsets from a ring's first register.
LOW, HIGH, LENGTH, HEAD, TAIL = 0x00, 0x04, 0x08, 0x10, 0x18
_WRITABLE = {LOW: 0xFFFFFFF0, HIGH: 0xFFFFFFFF, LENGTH: 0x000FFF80, HEAD: 0xFFFF, TAIL: 0xFFFF}

#: Where the status byte of a transmit descriptor and the written part of a receive descriptor begin.
_TX_STATUS, _RX_BACK = 12, 8


class Ring:
    """The five registers of a ring, and what follows from them."""

    def __init__(self) -> None:
        self.registers = dict.fromkeys(_WRITABLE, 0)

    def read(self, offset: int) -> int:
        """A register, by its offset from the first."""
        return self.registers.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Store what can be stored."""
        if offset in _WRITABLE:
            self.registers[offset] = value & _WRITABLE[offset]

    @property
    def count(self) -> int:
        """Descriptors in the ring."""
        return self.registers[LENGTH] // SIZE

    @property
    def available(self) -> int:
        """Descriptors that the card owns; none when head or tail lie outside the ring, where a real one goes astray."""
        head, tail = self.registers[HEAD], self.registers[TAIL]
        return (tail - head) % self.count if self.count and head < self.count and tail < self.count else 0

    @property
    def address(self) -> int:
        """Bus address of the descriptor at the head."""
        return (self.registers[HIGH] << 32 | self.registers[LOW]) + SIZE * self.registers[HEAD]

    def advance(self) -> None:
        """The card is done with the descriptor at the head."""
        self.registers[HEAD] = (self.registers[HEAD] + 1) % self.count


class Transmit(NamedTuple):
    """A legacy transmit descriptor."""

    buffer: int
    length: int
    checksum_offset: int
    command: int
    checksum_start: int


def fetch_transmit(host: Host, address: int) -> Transmit:
    """Read a transmit descriptor."""
    buffer, length, cso, command, _, css, _ = struct.unpack("<QHBBBBH", host.dma_read(address, SIZE))
    return Transmit(buffer, length, cso, command, css)


def finish_transmit(host: Host, address: int) -> None:
    """Say in a transmit descriptor that it is done."""
    host.dma_write(address + _TX_STATUS, bytes([STATUS_DD]))


def store_frame(host: Host, ring: Ring, frame: bytes, buffer_size: int, errors: int) -> bool:
    """Spread a frame over the buffers from the head on; False, and nothing done, when there are not enough."""
    pieces = [frame[at : at + buffer_size] for at in range(0, len(frame), buffer_size)]
    if len(pieces) > ring.available:
        return False
    for piece in pieces:
        (buffer,) = struct.unpack("<Q", host.dma_read(ring.address, 8))
        host.dma_write(buffer, piece)
        last = piece is pieces[-1]
        status = STATUS_DD | STATUS_IXSM | (STATUS_EOP if last else 0)
        back = struct.pack("<HHBBH", len(piece), 0, status, errors if last else 0, 0)
        host.dma_write(ring.address + _RX_BACK, back)
        ring.advance()
    return True
