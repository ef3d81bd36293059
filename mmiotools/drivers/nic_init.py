"""Brings up an 8254x network card, sends four frames to itself, reads the statistics and shuts the card down.

Reset, EEPROM with checksum, address filter, PHY and link, rings, interrupts; then frames of 60 to 1514 bytes go out in
loopback and are compared as they come back; then the counters are compared with what was sent. Everything is undone on
the way out, and after a failure as well. Version 2 sends its frames through the PHY's loopback instead of the
controller's, has twice the receive descriptors, sets the inter-packet gap earlier, and hands over all frames at once,
so that one interrupt does for four: `DIFFERENCES`.
"""

from __future__ import annotations

import struct

from mmiotools.drivers import nic_hardware as hw
from mmiotools.drivers.differences import Difference
from mmiotools.drivers.nic_hardware import Failure, Hardware
from mmiotools.engine.interface import Kernel
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping, NamedTuple

MAPPED = 0x20000
DESCRIPTOR, BUFFER = 16, 2048
TX_DESCRIPTORS = 8
LENGTHS = (60, 300, 1000, 1514)

TX_COMMAND = 0x0B  # end of packet, insert the check sequence, report status
RX_DONE_AND_WHOLE = 0x03
TXDW, LSC, RXDMT0, RXO, RXT0 = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7
INTERRUPTS = TXDW | LSC | RXDMT0 | RXO | RXT0
#: Receiver on, broadcasts, 2048-byte buffers, no check sequences; transmitter on, padding, 16 tries, full duplex.
RCTL_ON, TCTL_ON = 1 << 26 | 1 << 15 | 1 << 1, 0x40 << 12 | 0x10 << 4 | 1 << 3 | 1 << 1
GAPS = 0x0060200A

GPRC, GPTC, GORCL, GORCH, TOTL, TOTH, TPR, TPT, MPC, CRCERRS = (
    *(0x4074, 0x4080, 0x4088, 0x408C, 0x40C8, 0x40CC, 0x40D0, 0x40D4, 0x4010, 0x4000),
)
COUNTERS = (CRCERRS, MPC, GPRC, GPTC, GORCL, GORCH, TOTL, TOTH, TPR, TPT)

WAIT_US, WAIT_TRIES = 100, 20


class Variant(NamedTuple):
    """In what the versions differ."""

    phy_loopback: bool
    rx_descriptors: int
    gaps_first: bool
    all_at_once: bool

    @property
    def rctl(self) -> int:
        """Receive control, with the loopback mode in bits 7-6: 1 inside the controller, 3 at the PHY."""
        return RCTL_ON | (3 if self.phy_loopback else 1) << 6


_V1 = Variant(phy_loopback=False, rx_descriptors=8, gaps_first=False, all_at_once=False)
_V2 = Variant(phy_loopback=True, rx_descriptors=16, gaps_first=True, all_at_once=True)

#: What a diff of version 1 against version 2 has to find.
DIFFERENCES = (
    Difference("move", "W", 4, hw.TIPG, old=GAPS, new=GAPS),
    Difference("insert", "W", 4, hw.MDIC, new=hw.MDIC_WRITE | hw.PHY << 21 | hw.PHY_LOOPBACK),
    Difference("insert", "R", 4, hw.MDIC, new=hw.MDIC_READY | hw.MDIC_WRITE | hw.PHY << 21 | hw.PHY_LOOPBACK),
    Difference("change", "W", 4, hw.RDLEN, old=8 * DESCRIPTOR, new=16 * DESCRIPTOR),
    Difference("change", "W", 4, hw.RDT, old=7, new=15),
    Difference("change", "W", 4, hw.RCTL, old=_V1.rctl, new=_V2.rctl),
    Difference("delete", "W", 4, hw.TDT),
    Difference("delete", "R", 4, hw.ICR, times=3),
)


class Rings:
    """Receive and transmit descriptors with their buffers, and the interrupt handler that looks after them."""

    def __init__(self, kernel: Kernel, card: Hardware, rx_descriptors: int) -> None:
        self.kernel = kernel
        self.card = card
        self.rx_descriptors = rx_descriptors
        self.came: list[bytes] = []
        self.bad = 0
        self._taken = self._filled = 0
        self._allocated: list[int] = []
        self.rx, self.rx_bus = self._memory(rx_descriptors * DESCRIPTOR)
        self.tx, self.tx_bus = self._memory(TX_DESCRIPTORS * DESCRIPTOR)
        self.rx_data, rx_data_bus = self._memory(rx_descriptors * BUFFER)
        self.tx_data, self.tx_data_bus = self._memory(TX_DESCRIPTORS * BUFFER)
        for i in range(rx_descriptors):
            kernel.writeq(rx_data_bus + i * BUFFER, self.rx + i * DESCRIPTOR)

    def _memory(self, length: int) -> tuple[int, int]:
        virt, bus = self.kernel.dma_alloc(length)
        if not virt:
            self.free()
            raise Failure(hw.ENOMEM, "no memory for the rings")
        self._allocated.append(virt)
        return virt, bus

    def free(self) -> None:
        """Give the memory back. The card must not use it any more."""
        while self._allocated:
            self.kernel.dma_free(self._allocated.pop())

    def start(self) -> None:
        """Tell the card where the rings are, the receiver's full of empty buffers."""
        for base, bus, length, tail in (
            (hw.RDBAL, self.rx_bus, self.rx_descriptors, self.rx_descriptors - 1),
            (hw.TDBAL, self.tx_bus, TX_DESCRIPTORS, 0),
        ):
            self.card.write(base, bus & 0xFFFFFFFF)
            self.card.write(base + hw.RDBAH - hw.RDBAL, bus >> 32)
            self.card.write(base + hw.RDLEN - hw.RDBAL, length * DESCRIPTOR)
            self.card.write(base + hw.RDH - hw.RDBAL, 0)
            self.card.write(base + hw.RDT - hw.RDBAL, tail)

    def fill(self, frame: bytes) -> int:
        """Put a frame into the next transmit descriptor; what TDT has to be set to."""
        index = self._filled
        self.kernel.memcpy_toio(self.tx_data + index * BUFFER, frame)
        at = self.tx + index * DESCRIPTOR
        self.kernel.writeq(self.tx_data_bus + index * BUFFER, at)
        self.kernel.writeq(struct.unpack("<Q", struct.pack("<HBBI", len(frame), 0, TX_COMMAND, 0))[0], at + 8)
        self._filled = (index + 1) % TX_DESCRIPTORS
        return self._filled

    def handler(self) -> None:
        """Reading ICR says what happened, and lowers the line."""
        causes = self.card.read(hw.ICR)
        if causes & (RXT0 | RXDMT0 | RXO):
            self._receive()

    def _receive(self) -> None:
        """Take what has come, and give every descriptor back."""
        while True:
            index = self._taken
            back = self.kernel.readq(self.rx + index * DESCRIPTOR + 8).to_bytes(8, "little")
            length, _, status, errors, _ = struct.unpack("<HHBBH", back)
            if not status & 1:
                return
            if errors or status & RX_DONE_AND_WHOLE != RX_DONE_AND_WHOLE:
                self.bad += 1
            else:
                self.came.append(self.kernel.memcpy_fromio(self.rx_data + index * BUFFER, length))
            self.kernel.writeq(0, self.rx + index * DESCRIPTOR + 8)
            self.card.write(hw.RDT, index)
            self._taken = (index + 1) % self.rx_descriptors


def _frames(station: bytes) -> list[bytes]:
    """Frames to ourselves, of a type for experiments."""
    return [
        station + station + b"\x88\xb5" + bytes((n + i) & 0xFF for i in range(length - 14))
        for n, length in enumerate(LENGTHS)
    ]


def _set_station(card: Hardware, station: bytes) -> None:
    card.write(hw.RAL, int.from_bytes(station[:4], "little"))
    card.write(hw.RAH, int.from_bytes(station[4:], "little") | 1 << 31)
    for i in range(hw.MTA_WORDS):
        card.write(hw.MTA + 4 * i, 0)


def _exchange(kernel: Kernel, card: Hardware, rings: Rings, station: bytes, variant: Variant) -> None:
    """Send the frames, see that they come back."""
    kernel.trace_marker("frames")
    sent = _frames(station)
    for frame in sent:
        tail = rings.fill(frame)
        if not variant.all_at_once or frame is sent[-1]:
            card.write(hw.TDT, tail)
    for _ in range(WAIT_TRIES):
        if len(rings.came) + rings.bad >= len(sent):
            break
        kernel.udelay(WAIT_US)
        card.read(hw.STATUS)
    if rings.came != sent:
        same = sum(a == b for a, b in zip(rings.came, sent, strict=False))
        raise Failure(hw.EIO, f"{same} of {len(sent)} frames came back whole, {rings.bad} with errors")


def _compare_counters(kernel: Kernel, card: Hardware) -> None:
    kernel.trace_marker("statistics")
    counted = {offset: card.read(offset) for offset in COUNTERS}
    octets = sum(LENGTHS) + 4 * len(LENGTHS)
    wanted = dict.fromkeys(COUNTERS, 0) | dict.fromkeys((GPRC, GPTC, TPR, TPT), len(LENGTHS))
    wanted |= {GORCL: octets, TOTL: octets}
    kernel.printk(f"nic-init: {counted[GPTC]} frames sent, {counted[GPRC]} received, {counted[GORCL]} bytes")
    for offset in COUNTERS:
        if counted[offset] != wanted[offset]:
            raise Failure(hw.EIO, f"counter {offset:#x} says {counted[offset]}, not {wanted[offset]}")


def _with_rings(kernel: Kernel, card: Hardware, rings: Rings, station: bytes, variant: Variant) -> None:
    """From the rings' start to the last counter; receiver, transmitter and interrupts are off afterwards."""
    err = kernel.request_irq(rings.handler)
    if err:
        raise Failure(-err, "no interrupt")
    try:
        kernel.trace_marker("rings")
        if variant.gaps_first:
            card.write(hw.TIPG, GAPS)
        rings.start()
        if not variant.gaps_first:
            card.write(hw.TIPG, GAPS)
        if variant.phy_loopback:
            card.phy_write(hw.PHY_CONTROL, hw.PHY_LOOPBACK)
        card.write(hw.TCTL, TCTL_ON)
        card.write(hw.RCTL, variant.rctl)
        card.write(hw.IMS, INTERRUPTS)
        _exchange(kernel, card, rings, station, variant)
        _compare_counters(kernel, card)
    except Failure:
        _stop(kernel, card)
        raise
    _stop(kernel, card)


def _stop(kernel: Kernel, card: Hardware) -> None:
    kernel.trace_marker("stop")
    card.write(hw.IMC, 0xFFFFFFFF)
    card.write(hw.RCTL, 0)
    card.write(hw.TCTL, 0)
    kernel.free_irq()


def _bring_up(kernel: Kernel, card: Hardware, variant: Variant) -> None:
    kernel.trace_marker("reset")
    card.reset()
    kernel.trace_marker("EEPROM")
    station = card.station_address()
    kernel.printk(f"nic-init: station {station.hex(':')}")
    _set_station(card, station)
    kernel.trace_marker("PHY")
    card.link_up()
    kernel.printk("nic-init: link is up")
    for offset in COUNTERS:
        card.read(offset)
    rings = Rings(kernel, card, variant.rx_descriptors)
    failures = []
    try:
        _with_rings(kernel, card, rings, station, variant)
    except Failure as failure:
        failures.append(failure)
    try:
        _shut_down(card)
    except Failure as failure:
        failures.append(failure)
    rings.free()
    if failures:
        raise failures[0]


def _shut_down(card: Hardware) -> None:
    """The card does not touch memory after this."""
    card.phy_write(hw.PHY_CONTROL, hw.PHY_POWER_DOWN)
    card.reset()


def _mapped(kernel: Kernel, variant: Variant) -> int:
    kernel.pci_set_master()
    base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
    if not base:
        kernel.printk("nic-init: cannot map the registers")
        return -hw.ENOMEM
    err = 0
    try:
        _bring_up(kernel, Hardware(kernel, base), variant)
    except Failure as failure:
        kernel.printk(f"nic-init: {failure}")
        err = -failure.errno
    kernel.iounmap(base)
    return err


def _probe(kernel: Kernel, variant: Variant) -> int:
    err = kernel.pci_enable_device()
    if err:
        return err
    err = kernel.pci_request_regions("nic-init")
    if not err:
        err = _mapped(kernel, variant)
        kernel.pci_release_regions()
    kernel.pci_disable_device()
    return err


def probe_1(kernel: Kernel) -> int:
    """Version 1."""
    return _probe(kernel, _V1)


def probe_2(kernel: Kernel) -> int:
    """Version 2."""
    return _probe(kernel, _V2)


class NicInit:
    """`nic-init`"""

    api: ClassVar[int] = API
    name = "nic-init"
    title = "Brings up a gigabit network card and sends frames in loopback."
    device = "nic"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe_1, "2": probe_2}


DRIVER = NicInit()
