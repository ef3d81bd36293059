"""Ethernet frames inside a network card: check sequence, address filter, counters. Frames begin with the destination.

References: IEEE 802.3 clause 3 (frame, check sequence); the 8254x software developer's manual's chapters on receive
address filtering and on the statistics registers.
"""

from __future__ import annotations

import zlib

from mmiotools.typed import Any

BROADCAST = b"\xff" * 6

#: Frame lengths, with check sequence: the least, and the most without and with long packets allowed.
SHORTEST, LONGEST, LONGEST_LONG = 64, 1522, 16384

#: RCTL: everything for one station, everything for groups, and broadcasts.
ALL_UNICAST, ALL_MULTICAST, ACCEPT_BROADCAST = 1 << 3, 1 << 4, 1 << 15
#: RAH: this address is in use.
ADDRESS_VALID = 1 << 31


def check_sequence(frame: bytes) -> bytes:
    """The four bytes that follow a frame on the wire."""
    return zlib.crc32(frame).to_bytes(4, "little")


def internet_checksum(data: bytes) -> bytes:
    """The ones' complement of the ones' complement sum of 16-bit words, in network order."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(padded[i] << 8 | padded[i + 1] for i in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")


def multicast_bit(address: bytes, select: int) -> int:
    """Which of the 4096 bits of the multicast table stands for an address; `select` is RCTL.MO."""
    top = int.from_bytes(address, "little") >> (36, 35, 34, 32)[select]
    return top & 0xFFF


def accepts(frame: bytes, rctl: int, stations: list[int], multicast: list[int]) -> bool:
    """The address filter. `stations` are RAL and RAH in turn, `multicast` the 128 words of the table."""
    address = frame[:6]
    if address == BROADCAST and rctl & ACCEPT_BROADCAST:
        return True
    for low, high in zip(stations[::2], stations[1::2], strict=True):
        if high & ADDRESS_VALID and address == low.to_bytes(4, "little") + (high & 0xFFFF).to_bytes(2, "little"):
            return True
    if not address[0] & 1:
        return bool(rctl & ALL_UNICAST)
    bit = multicast_bit(address, rctl >> 12 & 3)
    return bool(rctl & ALL_MULTICAST or multicast[bit >> 5] >> (bit & 31) & 1)


#: Offsets of counters, as the manual names them; both halves of the wide ones are read low first.
CRCERRS, MPC, RNBC, RUC, RFC, ROC = 0x4000, 0x4010, 0x40A0, 0x40A4, 0x40A8, 0x40AC
PRC64, GPRC, BPRC, MPRC, GPTC = 0x405C, 0x4074, 0x4078, 0x407C, 0x4080
GORC, GOTC, TOR, TOT = 0x4088, 0x4090, 0x40C0, 0x40C8
TPR, TPT, PTC64, MPTC, BPTC = 0x40D0, 0x40D4, 0x40D8, 0x40F0, 0x40F4
FIRST, LAST = 0x4000, 0x40FC
_WIDE = (GORC, GOTC, TOR, TOT)
#: The six counters from PRC64 and PTC64 on count lengths up to these, and everything above.
_BINS = (64, 127, 255, 511, 1023)


class Statistics:
    """The counters. Reading one clears it (of the wide ones, reading the upper half); they stop at their largest."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, offset: int, n: int = 1) -> None:
        """Count."""
        largest = (1 << 64 if offset in _WIDE else 1 << 32) - 1
        self._counts[offset] = min(self._counts.get(offset, 0) + n, largest)

    def add_length(self, first: int, length: int) -> None:
        """Count in the one of six counters that a frame's length, with check sequence, belongs to."""
        self.add(first + 4 * sum(length > most for most in _BINS))

    def read(self, offset: int) -> int:
        """The register's 32 bits."""
        if offset in _WIDE:
            return self._counts.get(offset, 0) & 0xFFFFFFFF
        if offset - 4 in _WIDE:
            return self._counts.pop(offset - 4, 0) >> 32
        return self._counts.pop(offset, 0)

    def dump(self) -> list[list[int]]:
        """State, JSON fit."""
        return [list(item) for item in sorted(self._counts.items())]

    def load(self, state: Any) -> None:
        """Back to what `dump` gave."""
        self._counts = {offset: count for offset, count in state}
