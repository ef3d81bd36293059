"""Message-signalled interrupts of a PCI function: where its capabilities are, and what they and the table hold.

Layouts: PCI Local Bus Specification 3.0, section 6.8.
"""

from __future__ import annotations

from mmiotools.typed import Callable, Iterator, NamedTuple

_CAPABILITIES, _HAS_CAPABILITIES = 0x34, 0x10
_STATUS = 0x06
POWER, MSI, EXPRESS, MSIX = 0x01, 0x05, 0x10, 0x11
#: Bytes of a table entry: address, upper address, data, vector control.
_ENTRY = 16


class Message(NamedTuple):
    """What a device writes to interrupt: `data`, 4 bytes, at `address`."""

    address: int
    data: int


def capabilities(config: bytearray) -> Iterator[tuple[int, int]]:
    """(id, place) of every capability in a configuration space; stops at a chain that leads nowhere."""
    if not config[_STATUS] & _HAS_CAPABILITIES:
        return
    at = config[_CAPABILITIES] & 0xFC
    seen = set()
    while 0x40 <= at <= 0xF8 and at not in seen:
        seen.add(at)
        yield config[at], at
        at = config[at + 1] & 0xFC


def writable(config: bytearray) -> Iterator[tuple[int, int, int]]:
    """(place, bytes, bits) of what can be set in the capabilities that a driver or a kernel works with."""
    for kind, at in capabilities(config):
        if kind == POWER:
            yield at + 4, 2, 0x0103
        elif kind == EXPRESS:
            yield from ((at + 8, 2, 0x7FFF), (at + 0x10, 2, 0x0FFB))
        elif kind == MSIX:
            yield at + 2, 2, 0xC000
        elif kind == MSI and at + 0x18 <= 256:
            wide, masks = config[at + 2] & 0x80, config[at + 3] & 1
            yield from ((at + 2, 2, 0x0071), (at + 4, 4, 0xFFFFFFFC))
            if wide:
                yield at + 8, 4, 0xFFFFFFFF
            yield at + (12 if wide else 8), 2, 0xFFFF
            if masks:
                yield at + (16 if wide else 12), 4, 0xFFFFFFFF


class Messages:
    """MSI and MSI-X of one function, read out of its configuration space as it is; the table is kept here.

    send  takes a message to the guest; False when it goes nowhere. When a masked vector is free again, what it has
          missed is sent
    """

    def __init__(self, config: bytearray) -> None:
        self._config = config
        places = dict(capabilities(config))
        self._msi = places.get(MSI)
        self._msix = places.get(MSIX)
        #: Vectors of each kind, 0 where it has none.
        self.msi_vectors = 0 if self._msi is None else 1 << min(config[self._msi + 2] >> 1 & 7, 5)
        self.msix_vectors = 0 if self._msix is None else (self._word(self._msix + 2) & 0x7FF) + 1
        place = 0 if self._msix is None else self._word(self._msix + 4) | self._word(self._msix + 6) << 16
        #: BAR and offset of the table.
        self.table_bar, self.table_offset = place & 7, place & ~7
        self._table = bytearray(self.msix_vectors * _ENTRY)
        self._pending: set[int] = set()
        self.send: Callable[[Message], bool] = lambda message: False
        self.reset()

    def reset(self) -> None:
        """Every vector masked, nothing pending."""
        self._table[:] = (bytes(12) + b"\1\0\0\0") * self.msix_vectors
        self._pending.clear()

    @property
    def msix(self) -> bool:
        """Whether MSI-X is switched on."""
        return self._msix is not None and bool(self._config[self._msix + 3] & 0x80)

    @property
    def msi(self) -> bool:
        """Whether MSI is switched on."""
        return self._msi is not None and bool(self._config[self._msi + 2] & 1)

    def fire(self, vector: int) -> bool:
        """Send a vector of the kind that is switched on, or remember it while it is masked; False if there is none."""
        if self.msix:
            if not 0 <= vector < self.msix_vectors:
                return False
            if not self._masked(vector):
                return self.send(self._entry(vector))
            self._pending.add(vector)
            return True
        if self.msi and self._msi is not None:
            at = self._msi
            wide = self._config[at + 2] & 0x80
            count = 1 << (self._config[at + 2] >> 4 & 7)
            address = self._word(at + 4) | self._word(at + 6) << 16
            if wide:
                address |= (self._word(at + 8) | self._word(at + 10) << 16) << 32
            # With fewer messages than vectors, the vectors share them.
            return self.send(Message(address, self._word(at + (12 if wide else 8)) | vector % count))
        return False

    def stored(self, bar: int, offset: int, width: int, value: int) -> None:
        """The driver has written to a BAR: if it is the table, keep it."""
        start = self._start(bar, offset, width)
        if start >= 0:
            self._table[start : start + width] = value.to_bytes(width, "little")
            self.release()

    def shown(self, bar: int, offset: int, width: int, value: int) -> int:
        """What a read of a BAR gives: the table, or `value` outside it."""
        start = self._start(bar, offset, width)
        return value if start < 0 else int.from_bytes(self._table[start : start + width], "little")

    def _start(self, bar: int, offset: int, width: int) -> int:
        """The place in the table, -1 where that is elsewhere."""
        start = offset - self.table_offset
        return start if bar == self.table_bar and 0 <= start <= len(self._table) - width else -1

    def release(self) -> None:
        """Send what is pending and masked no more; also to be called when configuration space was written."""
        for vector in sorted(self._pending):
            if self.msix and not self._masked(vector):
                self._pending.discard(vector)
                self.send(self._entry(vector))

    def _masked(self, vector: int) -> bool:
        assert self._msix is not None
        return bool(self._config[self._msix + 3] & 0x40 or self._table[vector * _ENTRY + 12] & 1)

    def _entry(self, vector: int) -> Message:
        at = vector * _ENTRY
        address, data = self._table[at : at + 8], self._table[at + 8 : at + 12]
        return Message(int.from_bytes(address, "little"), int.from_bytes(data, "little"))

    def _word(self, at: int) -> int:
        return self._config[at] | self._config[at + 1] << 8
