"""A gigabit network card of the 8254x kind (82540EM), as far as a driver needs it to send and receive frames.

BAR0, 32-bit registers at the offsets of the public manual; those marked * are storage without effect here:

  0000 CTRL      0 full duplex, 6 set link up, 26 reset (clears itself), 31 PHY reset
  0008 STATUS    0 full duplex, 1 link up, 7-6 speed; read-only
  0010 EECD      0 SK, 1 CS, 2 DI, 3 DO, 6 request, 7 grant, 8 present: the pins of the EEPROM (`nic_eeprom`)
  0014 EERD      0 start, 4 done, 15-8 word, 31-16 data
  0018 CTRL_EXT* 0028 FCAL* 002c FCAH* 0030 FCT* 0038 VET*
  0020 MDIC      15-0 data, 20-16 register, 25-21 PHY (1), 27-26 1 write 2 read, 28 ready, 29 interrupt, 30 error
  00c0 ICR       causes; reading clears them, a one that is written clears that one
  00c4 ITR*      00c8 ICS sets causes, 00d0 IMS sets mask bits and reads as the mask, 00d8 IMC clears mask bits
  0100 RCTL      1 on, 2 store bad frames, 3 and 4 promiscuous, 5 long frames, 7-6 loopback, 9-8 threshold,
                 13-12 multicast offset, 15 broadcasts, 17-16 and 25 buffer size, 26 strip the check sequence
  0400 TCTL      1 on, 3 pad short frames; 0410 TIPG* 0458 AIT* 0e00 LEDCTL* 1000 PBA* 2160 FCRTL* 2168 FCRTH*
  2800 RDBAL, RDBAH, RDLEN, 2810 RDH, 2818 RDT: the receive ring; 2820 RDTR* 2828 RXDCTL* 282c RADV*
  3800 TDBAL, TDBAH, TDLEN, 3810 TDH, 3818 TDT: the transmit ring; 3820 TIDV* 3828 TXDCTL* 382c TADV*
  4000 statistics (`nic_frames`), cleared by reading
  5000 RXCSUM*   5200 MTA, 128 words; 5400 RAL, RAH, 16 pairs; 5600 VFTA*, 128 words; 5800 WUC*

Causes: 0 descriptor written back, 1 transmit queue empty, 2 link change, 4 few receive descriptors left, 6 no room for
a frame, 7 frame received, 9 MDIC done. RAL0 and RAH0 come from the EEPROM at reset. Frames take no time on the wire. A
frame is sent when TCTL is on and there is a link, or in loopback: RCTL 7-6 = 1, inside the controller, or 3 with the
PHY's control register in loopback. What is looped back passes the address filter like any frame.

Not modelled: VLAN, flow control, interrupt and descriptor delays, extended descriptors (skipped), receive checksums,
wake-up, the window in port space. Accesses of 8 bytes are two; narrower reads give a part of the register, narrower
writes do nothing, as the manual allows 32-bit accesses only. Other offsets read as 0.

Reference: Intel's PCI/PCI-X family of gigabit ethernet controllers (8254x) software developer's manual.
"""

from __future__ import annotations

from collections import deque

from mmiotools.devices import nic_frames as frames
from mmiotools.devices import nic_rings as rings
from mmiotools.devices.card import Card
from mmiotools.devices.nic_eeprom import Microwire, factory_words
from mmiotools.devices.nic_phy import Phy
from mmiotools.engine.interface import Host
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.typed import Any

CTRL, STATUS, EECD, EERD, MDIC = 0x0000, 0x0008, 0x0010, 0x0014, 0x0020
ICR, ICS, IMS, IMC, RCTL, TCTL = 0x00C0, 0x00C8, 0x00D0, 0x00D8, 0x0100, 0x0400
RX_RING, TX_RING, MTA, RAL, STATISTICS = 0x2800, 0x3800, 0x5200, 0x5400, frames.FIRST
_RING_BYTES = 0x20

CTRL_SLU, CTRL_RST, CTRL_PHY_RST = 1 << 6, 1 << 26, 1 << 31
CTRL_DEFAULT = 0x0201
STATUS_LU, STATUS_GIGABIT_FULL = 0x02, 0x0281
SK, CS, DI, DO, EE_REQ, EE_GNT, EE_PRES = 1, 2, 4, 8, 64, 128, 256
EERD_START, EERD_DONE = 1, 1 << 4
MDIC_WRITE, MDIC_READ, MDIC_READY, MDIC_INTERRUPT, MDIC_ERROR = 1 << 26, 2 << 26, 1 << 28, 1 << 29, 1 << 30
PHY_ADDRESS = 1
TXDW, TXQE, LSC, RXDMT0, RXO, RXT0, MDAC = 1 << 0, 1 << 1, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 9
CAUSES = 0x1FFFF
ON, STORE_BAD, LONG, STRIP, PAD = 1 << 1, 1 << 2, 1 << 5, 1 << 26, 1 << 3
LOOP_MAC, LOOP_PHY = 1, 3

#: How long a read of an EEPROM word, and a frame on the PHY's management interface, take: 28 bits at 1 MHz and a
#: margin, and 64 bits at 2.5 MHz.
EERD_NS, MDIC_NS = 40_000, 25_600
#: The longest frame that the card sends, without check sequence.
LONGEST_SENT = 16288
#: Frames kept of what went out on the cable.
CABLE = 256

_STORAGE = {
    *(0x18, 0x28, 0x2C, 0x30, 0x38, 0xC4, RCTL, TCTL, 0x410, 0x458, 0xE00, 0x1000, 0x2160, 0x2168, 0x2820, 0x2828),
    *(0x282C, 0x3820, 0x3828, 0x382C, 0x5000, 0x5800, *range(0x5600, 0x5800, 4)),
}
_TABLES = range(MTA, RAL + 16 * 8, 4)
_DEFAULTS = {0x1000: 0x00100030}

_PCI = PciDevice(bdf=0x0018, vendor=0x8086, device=0x100E, irq=10, bars=(Bar(0, 0xFEBC0000, 0x20000),))
STATION = bytes.fromhex("024d4d494f01")


class Nic(Card):
    """The model. `sent` is what went out on the cable, with check sequence; `receive` is what comes in."""

    name = "nic"
    title = "Gigabit network card like an 82540EM (8254x)."

    def __init__(self, pci: PciDevice = _PCI) -> None:
        super().__init__(pci, class_code=0x020000, revision=2)

    def attach(self, host: Host) -> None:
        """Sit in a machine; the link begins to come up."""
        super().attach(host)
        self.phy.power_on(self.now())

    def power_on(self) -> None:
        """Cold: the EEPROM as it left the factory, the PHY negotiating."""
        self.eeprom = Microwire(factory_words(STATION, (0x4D4D, 0x8086)))
        self.phy = Phy()
        self.phy.power_on(self.now())
        self.link = False
        self.sent: deque[bytes] = deque(maxlen=CABLE)
        self._reset_controller()

    def _reset_controller(self) -> None:
        """What CTRL.RST does: all but EEPROM, PHY and configuration space."""
        self.ctrl = CTRL_DEFAULT
        self.icr = self.ims = self.eecd = self.eerd = 0
        self.mdic = MDIC_READY
        self.eerd_at = self.mdic_at = 0
        self.storage = dict(_DEFAULTS)
        self.tables = dict.fromkeys(_TABLES, 0)
        words = self.eeprom.words
        self.tables[RAL], self.tables[RAL + 4] = words[0] | words[1] << 16, words[2] | frames.ADDRESS_VALID
        self.rx, self.tx = rings.Ring(), rings.Ring()
        self.statistics = frames.Statistics()
        self.building = b""

    # -- registers ----------------------------------------------------------------------------------------

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        """The registers that the access touches, each once."""
        if bar != "BAR0":
            return super().read_bar(bar, offset, width)
        first = offset & ~3
        touched = range(first, offset + width, 4)
        value = sum(self._register(at) << 8 * (at - first) for at in touched)
        return value >> 8 * (offset - first)

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        """Whole registers only."""
        if bar == "BAR0" and not offset & 3 and width >= 4:
            for i in range(0, width, 4):
                self._set_register(offset + i, value >> 8 * i & 0xFFFFFFFF)

    def _register(self, at: int) -> int:
        if RX_RING <= at < RX_RING + _RING_BYTES:
            return self.rx.read(at - RX_RING)
        if TX_RING <= at < TX_RING + _RING_BYTES:
            return self.tx.read(at - TX_RING)
        if frames.FIRST <= at <= frames.LAST:
            return self.statistics.read(at)
        if at == CTRL:
            return self.ctrl
        if at == STATUS:
            return STATUS_GIGABIT_FULL | (STATUS_LU if self.link else 0)
        if at == EECD:
            grant = EE_GNT if self.eecd & EE_REQ else 0
            return self.eecd | grant | EE_PRES | (DO if self.eeprom.data_out(self.now()) else 0)
        if at == EERD:
            return self.eerd
        if at == MDIC:
            return self.mdic
        if at == ICR:
            causes, self.icr = self.icr, 0
            return causes
        if at == IMS:
            return self.ims
        return self.tables.get(at, self.storage.get(at, 0))

    def _set_register(self, at: int, value: int) -> None:
        if RX_RING <= at < RX_RING + _RING_BYTES:
            self.rx.write(at - RX_RING, value)
        elif TX_RING <= at < TX_RING + _RING_BYTES:
            self.tx.write(at - TX_RING, value)
            if at - TX_RING == rings.TAIL:
                self._transmit()
        elif at == CTRL:
            self._control(value)
        elif at == EECD:
            self._drive_eeprom(value)
        elif at == EERD:
            if value & EERD_START:
                self.eerd, self.eerd_at = value & 0xFF01, self.now() + EERD_NS
        elif at == MDIC:
            self.mdic, self.mdic_at = value & 0x2FFFFFFF, self.now() + MDIC_NS
        elif at == ICR:
            self.icr &= ~value
        elif at == ICS:
            self.icr |= value & CAUSES
        elif at == IMS:
            self.ims |= value & CAUSES
        elif at == IMC:
            self.ims &= ~value
        elif at in self.tables:
            self.tables[at] = value
        elif at in _STORAGE:
            self.storage[at] = value
            if at == TCTL:
                self._transmit()

    def _control(self, value: int) -> None:
        if value & CTRL_RST:
            self._reset_controller()
        else:
            if value & ~self.ctrl & CTRL_PHY_RST:
                self.phy.power_on(self.now())
            self.ctrl = value
        self._look_at_link()

    def _drive_eeprom(self, value: int) -> None:
        self.eecd = value & (SK | CS | DI | EE_REQ)
        if value & EE_REQ:
            self.eeprom.pins(self.now(), int(value & CS > 0), int(value & SK > 0), int(value & DI > 0))

    # -- time ---------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """Finish what EERD and MDIC began; notice the link."""
        now = self.now()
        if self.eerd & EERD_START and now >= self.eerd_at:
            word = self.eerd >> 8 & 0xFF
            data = self.eeprom.words[word % len(self.eeprom.words)]
            self.eerd = data << 16 | word << 8 | EERD_DONE
        if not self.mdic & MDIC_READY and now >= self.mdic_at:
            self._finish_mdic(now)
        self._look_at_link()

    def _finish_mdic(self, now: int) -> None:
        number = self.mdic >> 16 & 31
        operation = self.mdic & (MDIC_READ | MDIC_WRITE)
        if self.mdic >> 21 & 31 != PHY_ADDRESS or operation not in (MDIC_READ, MDIC_WRITE):
            self.mdic |= MDIC_ERROR
        elif operation == MDIC_READ:
            self.mdic = self.mdic & ~0xFFFF | self.phy.read(now, number)
        else:
            self.phy.write(now, number, self.mdic & 0xFFFF)
        self.mdic |= MDIC_READY
        if self.mdic & MDIC_INTERRUPT:
            self.icr |= MDAC

    def _look_at_link(self) -> None:
        link = bool(self.ctrl & CTRL_SLU) and self.phy.link(self.now())
        if link != self.link:
            self.link = link
            self.icr |= LSC
            self._transmit()

    # -- frames -------------------------------------------------------------------------------------------

    def _loops(self) -> bool:
        mode = self.storage.get(RCTL, 0) >> 6 & 3
        return mode == LOOP_MAC or (mode == LOOP_PHY and self.phy.loopback)

    def _transmit(self) -> None:
        """Work through the descriptors that the card owns."""
        host = self.host
        if host is None or not self.storage.get(TCTL, 0) & ON or not (self.link or self._loops()):
            return
        for _ in range(self.tx.available):
            at = self.tx.address
            found = rings.fetch_transmit(host, at)
            if not found.command & rings.DEXT:
                self.building += host.dma_read(found.buffer, found.length)[: LONGEST_SENT + 1 - len(self.building)]
                if found.command & rings.EOP:
                    self._send(self.building, found)
                    self.building = b""
            if found.command & rings.RS:
                rings.finish_transmit(host, at)
                self.icr |= TXDW
            self.tx.advance()
            if not self.tx.available:
                self.icr |= TXQE

    def _send(self, data: bytes, last: rings.Transmit) -> None:
        if not data or len(data) > LONGEST_SENT:
            return
        if last.command & rings.IC and last.checksum_start <= last.checksum_offset < len(data) - 1:
            at = last.checksum_offset
            data = data[:at] + frames.internet_checksum(data[last.checksum_start :]) + data[at + 2 :]
        if last.command & rings.IFCS:
            if self.storage[TCTL] & PAD:
                data = data.ljust(frames.SHORTEST - 4, b"\0")
            data += frames.check_sequence(data)
        count = self.statistics
        count.add(frames.TPT)
        count.add(frames.GPTC)
        count.add(frames.TOT, len(data))
        count.add(frames.GOTC, len(data))
        count.add_length(frames.PTC64, len(data))
        if data[0] & 1:
            count.add(frames.BPTC if data[:6] == frames.BROADCAST else frames.MPTC)
        if self._loops():
            self._arrive(data)
        else:
            self.sent.append(data)

    def receive(self, frame: bytes) -> None:
        """A frame comes in by the cable, with its check sequence. Lost without a link, and in loopback."""
        self.pass_time()
        if self.link and not self._loops():
            self._arrive(frame)
        self._drive_line()

    def _arrive(self, frame: bytes) -> None:
        rctl = self.storage.get(RCTL, 0)
        if self.host is None or not rctl & ON or len(frame) < 4:
            return
        count, size = self.statistics, len(frame)
        count.add(frames.TPR)
        count.add(frames.TOR, size)
        tables = [self.tables[at] for at in _TABLES]
        stations = (RAL - MTA) // 4
        if not frames.accepts(frame, rctl, tables[stations:], tables[:stations]):
            return
        good = frames.check_sequence(frame[:-4]) == frame[-4:]
        fits = size <= (frames.LONGEST_LONG if rctl & LONG else frames.LONGEST)
        if size < frames.SHORTEST:
            count.add(frames.RUC if good else frames.RFC)
        elif not fits:
            count.add(frames.ROC)
        elif not good:
            count.add(frames.CRCERRS)
        if not fits or (not (good and size >= frames.SHORTEST) and not rctl & STORE_BAD):
            return
        if good and size >= frames.SHORTEST:
            self._count_received(frame)
        before = self.rx.available
        kept = frame[:-4] if rctl & STRIP else frame
        if not rings.store_frame(self.host, self.rx, kept, _buffer_size(rctl), 0 if good else rings.ERROR_CE):
            count.add(frames.MPC)
            count.add(frames.RNBC)
            self.icr |= RXO
            return
        self.icr |= RXT0
        few = self.rx.count >> 1 + (rctl >> 8 & 3)
        if self.rx.available <= few < before:
            self.icr |= RXDMT0

    def _count_received(self, frame: bytes) -> None:
        count = self.statistics
        count.add(frames.GPRC)
        count.add(frames.GORC, len(frame))
        count.add_length(frames.PRC64, len(frame))
        if frame[0] & 1:
            count.add(frames.BPRC if frame[:6] == frames.BROADCAST else frames.MPRC)

    # -- interrupts and state -----------------------------------------------------------------------------

    def interrupt(self) -> bool:
        """A cause that the mask lets through."""
        return bool(self.icr & self.ims)

    _NUMBERS = ("ctrl", "icr", "ims", "eecd", "eerd", "eerd_at", "mdic", "mdic_at", "link")

    def dump(self) -> dict[str, Any]:
        """Registers, EEPROM, PHY, counters, and the frames on the cable."""
        return {key: getattr(self, key) for key in self._NUMBERS} | {
            "storage": list(self.storage.items()),
            "tables": list(self.tables.items()),
            "rx": list(self.rx.registers.items()),
            "tx": list(self.tx.registers.items()),
            "eeprom": self.eeprom.dump(),
            "phy": self.phy.dump(),
            "statistics": self.statistics.dump(),
            "building": self.building.hex(),
            "sent": [frame.hex() for frame in self.sent],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        for key in self._NUMBERS:
            setattr(self, key, state[key])
        self.storage, self.tables = dict(state["storage"]), dict(state["tables"])
        self.rx.registers, self.tx.registers = dict(state["rx"]), dict(state["tx"])
        self.eeprom.load(state["eeprom"])
        self.phy.load(state["phy"])
        self.statistics.load(state["statistics"])
        self.building = bytes.fromhex(state["building"])
        self.sent = deque((bytes.fromhex(frame) for frame in state["sent"]), maxlen=CABLE)


def _buffer_size(rctl: int) -> int:
    """Bytes of a receive buffer; the reserved combination is taken as the largest."""
    size = 2048 >> (rctl >> 16 & 3)
    return min(size * 16, 16384) if rctl >> 25 & 1 else size
