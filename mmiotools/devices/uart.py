"""A 16550A serial port on a PCI card, its eight byte registers at the start of a memory BAR.

  0  RBR (read), THR (write)  data; with LCR.DLAB the low byte of the divisor
  1  IER  interrupts: bit 0 received data, 1 transmitter empty, 2 line status, 3 modem; with DLAB the high byte
  2  IIR (read)   bit 0 clear: one is pending, bits 3-1 say which; bits 7-6 set while the FIFOs are on
     FCR (write)  bit 0 FIFOs on, 1 and 2 empty the receiver's and the transmitter's, 7-6 trigger level 1, 4, 8, 14
  3  LCR  bits 1-0 data bits - 5, 2 more than one stop bit, 3 parity, 7 DLAB
  4  MCR  bit 0 DTR, 1 RTS, 2 OUT1, 3 OUT2, 4 loopback
  5  LSR  bit 0 data ready, 1 overrun (cleared by reading), 5 room in the transmitter, 6 all sent; read-only
  6  MSR  bits 7-4 DCD, RI, DSR, CTS, bits 3-0 what changed in them (cleared by reading); read-only
  7  SCR  a byte of storage

The transmitter sends at 115200 baud divided by the divisor, in the host's time; with divisor 0 it stands still. A
byte written to a full FIFO is lost; without FIFOs it replaces the one that waits. A received byte that finds the FIFO
full is lost, without FIFOs it replaces the unread one; both are overruns. Received bytes below the trigger level
interrupt when nothing came or went for four characters' time. In loopback the transmitter feeds the receiver, DTR, RTS,
OUT1 and OUT2 appear as DSR, CTS, RI and DCD, and the cable is cut.

Not modelled: break, parity and framing errors (this cable makes none), DMA signalling, stick parity's effect.
An access of several bytes is as many accesses of one, lowest first. Other offsets read as all ones.

References: the PC16550D data sheet (registers, FIFO interrupts, table of times). The PCI ids are those that virtual
machines give a single-port 16550A; theirs has its registers in port space, which no tracer of memory sees.
"""

from __future__ import annotations

from mmiotools.devices.card import Card
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.typed import Any

DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 2, 3, 4, 5, 6, 7

IER_RX, IER_THRE, IER_LINE, IER_MODEM = 1, 2, 4, 8
IIR_NONE, IIR_MODEM, IIR_THRE, IIR_RX, IIR_LINE, IIR_TIMEOUT, IIR_FIFOS = 0x01, 0x00, 0x02, 0x04, 0x06, 0x0C, 0xC0
FCR_ENABLE, FCR_CLEAR_RX, FCR_CLEAR_TX = 1, 2, 4
LCR_STOP, LCR_PARITY, LCR_DLAB = 0x04, 0x08, 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP = 1, 2, 4, 8, 16
LSR_DR, LSR_OE, LSR_THRE, LSR_TEMT = 0x01, 0x02, 0x20, 0x40
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80

FIFO = 16
TRIGGERS = (1, 4, 8, 14)
#: The crystal's 1.8432 MHz through the fixed prescaler of 16.
BASE_BAUD = 115_200
#: Bytes kept of what went out on the cable.
CABLE = 1 << 16

_PCI = PciDevice(bdf=0x0020, vendor=0x1B36, device=0x0002, irq=5, bars=(Bar(0, 0xFEBE0000, 0x1000),))


class Uart(Card):
    """The model. `sent` is what went out on the cable, `hear` is what comes in."""

    name = "uart"
    title = "16550A serial port with registers in memory."

    def __init__(self, pci: PciDevice = _PCI) -> None:
        super().__init__(pci, class_code=0x070002)

    def power_on(self) -> None:
        """Master reset: FIFOs off and empty, no divisor, the other end of the cable ready."""
        self.divisor = 0
        self.ier = self.fcr = self.lcr = self.mcr = self.scr = 0
        self.overrun = False
        self.thre_pending = False
        #: MSR as the wires stood at the last look, and which of them changed since it was read.
        self.wires = MSR_CTS | MSR_DSR | MSR_DCD
        self.changed = 0
        self.tx: list[int] = []
        self.shifting: int | None = None
        self.shift_ends = 0
        self.rx: list[int] = []
        self.rx_moved = 0
        #: (time of its last bit, byte) of what is on its way in.
        self.coming: list[tuple[int, int]] = []
        self.sent = bytearray()

    def hear(self, data: bytes) -> None:
        """The other end of the cable starts to send, at this port's own speed. Nothing arrives while that is 0."""
        each = self.character_ns()
        if each:
            start = max([self.now(), *(time for time, _ in self.coming)])
            self.coming += [(start + each * (n + 1), byte) for n, byte in enumerate(data)]

    def character_ns(self) -> int:
        """Nanoseconds of one character with start, parity and stop bits; 0 when the divisor is 0."""
        bits = 5 + (self.lcr & 3)
        stop_halves = 2 if not self.lcr & LCR_STOP else 3 if bits == 5 else 4
        halves = 2 * (1 + bits + (1 if self.lcr & LCR_PARITY else 0)) + stop_halves
        return halves * self.divisor * 1_000_000_000 // (2 * BASE_BAUD)

    # -- registers ----------------------------------------------------------------------------------------

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        """Byte by byte, each with its side effects."""
        value = 0
        for i in range(width):
            at = offset + i
            value |= (self._read_byte(at) if bar == "BAR0" and at < 8 else 0xFF) << 8 * i
        return value

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        """Byte by byte, each with its side effects."""
        for i in range(width):
            if bar == "BAR0" and offset + i < 8:
                self._write_byte(offset + i, value >> 8 * i & 0xFF)

    def _read_byte(self, at: int) -> int:
        if self.lcr & LCR_DLAB and at in (DATA, IER):
            return self.divisor >> 8 * at & 0xFF
        if at == DATA:
            self.rx_moved = self.now()
            return self.rx.pop(0) if self.rx else 0
        if at == IIR:
            source = self._source()
            if source == IIR_THRE:
                self.thre_pending = False
            return source | (IIR_FIFOS if self.fcr & FCR_ENABLE else 0)
        if at == LSR:
            status = self._line_status()
            self.overrun = False
            return status
        if at == MSR:
            status = self.wires | self.changed
            self.changed = 0
            return status
        return {IER: self.ier, LCR: self.lcr, MCR: self.mcr, SCR: self.scr}[at]

    def _write_byte(self, at: int, byte: int) -> None:
        if self.lcr & LCR_DLAB and at in (DATA, IER):
            self.divisor = self.divisor & ~(0xFF << 8 * at) | byte << 8 * at
            self._start(self.now())
        elif at == DATA:
            self._transmit(byte)
        elif at == IER:
            if byte & ~self.ier & IER_THRE and not self.tx:
                self.thre_pending = True
            self.ier = byte & 0x0F
        elif at == FCR:
            self._control_fifos(byte)
        elif at == LCR:
            self.lcr = byte
        elif at == MCR:
            self.mcr = byte & 0x1F
            self._look_at_wires()
        elif at == SCR:
            self.scr = byte

    def _line_status(self) -> int:
        status = (LSR_DR if self.rx else 0) | (LSR_OE if self.overrun else 0) | (0 if self.tx else LSR_THRE)
        return status | (LSR_TEMT if not self.tx and self.shifting is None else 0)

    def _control_fifos(self, byte: int) -> None:
        switched = (byte ^ self.fcr) & FCR_ENABLE
        if switched or (byte & FCR_ENABLE and byte & FCR_CLEAR_RX):
            self.rx = []
        if switched or (byte & FCR_ENABLE and byte & FCR_CLEAR_TX):
            self.thre_pending |= bool(self.tx)
            self.tx = []
        # The other bits can only be set together with the enable bit; those that empty a FIFO clear themselves.
        self.fcr = byte & 0xC9 if byte & FCR_ENABLE else 0

    def _look_at_wires(self) -> None:
        if self.mcr & MCR_LOOP:
            pairs = ((MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD))
            now = sum(wire for output, wire in pairs if self.mcr & output)
        else:
            now = MSR_CTS | MSR_DSR | MSR_DCD
        # Of the ring indicator only the end of a ring counts.
        moved = (now ^ self.wires) & (0xFF & ~MSR_RI) | self.wires & ~now & MSR_RI
        self.changed |= moved >> 4
        self.wires = now

    # -- transmitter and receiver -------------------------------------------------------------------------

    def _transmit(self, byte: int) -> None:
        self.thre_pending = False
        if not self.fcr & FCR_ENABLE:
            self.tx = [byte]
        elif len(self.tx) < FIFO:
            self.tx.append(byte)
        self._start(self.now())

    def _start(self, now: int) -> None:
        """Move the next byte into the shift register, if that is free and clocked."""
        if self.shifting is None and self.tx and self.divisor:
            self.shifting = self.tx.pop(0) & (1 << 5 + (self.lcr & 3)) - 1
            self.shift_ends = now + self.character_ns()
            if not self.tx:
                self.thre_pending = True

    def pass_time(self) -> None:
        """Send and receive what had the time for it, in the order of its last bits."""
        now = self.now()
        while True:
            out = self.shift_ends if self.shifting is not None else now + 1
            into = self.coming[0][0] if self.coming else now + 1
            if min(out, into) > now:
                return
            if out <= into and self.shifting is not None:
                byte, self.shifting = self.shifting, None
                if self.mcr & MCR_LOOP:
                    self._receive(out, byte)
                else:
                    self.sent.append(byte)
                    del self.sent[:-CABLE]
                self._start(out)
            else:
                time, byte = self.coming.pop(0)
                if not self.mcr & MCR_LOOP:
                    self._receive(time, byte)

    def _receive(self, time: int, byte: int) -> None:
        self.rx_moved = time
        if len(self.rx) < (FIFO if self.fcr & FCR_ENABLE else 1):
            self.rx.append(byte)
            return
        self.overrun = True
        if not self.fcr & FCR_ENABLE:
            self.rx = [byte]

    # -- interrupts and state -----------------------------------------------------------------------------

    def _source(self) -> int:
        """What IIR says: the pending interrupt of the highest priority."""
        if self.overrun and self.ier & IER_LINE:
            return IIR_LINE
        if self.rx and self.ier & IER_RX:
            if not self.fcr & FCR_ENABLE or len(self.rx) >= TRIGGERS[self.fcr >> 6]:
                return IIR_RX
            if self.divisor and self.now() - self.rx_moved >= 4 * self.character_ns():
                return IIR_TIMEOUT
        if self.thre_pending and self.ier & IER_THRE:
            return IIR_THRE
        if self.changed and self.ier & IER_MODEM:
            return IIR_MODEM
        return IIR_NONE

    def interrupt(self) -> bool:
        """Something is pending and enabled."""
        return self._source() != IIR_NONE

    _NUMBERS = ("divisor", "ier", "fcr", "lcr", "mcr", "scr", "overrun", "thre_pending", "wires", "changed")
    _REST = ("tx", "shifting", "shift_ends", "rx", "rx_moved", "coming")

    def dump(self) -> dict[str, Any]:
        """Registers, both FIFOs, what is on the cable, and what was sent."""
        return {key: getattr(self, key) for key in self._NUMBERS + self._REST} | {"sent": self.sent.hex()}

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        for key in self._NUMBERS + self._REST:
            setattr(self, key, state[key])
        self.coming = [(time, byte) for time, byte in state["coming"]]
        self.sent = bytearray.fromhex(state["sent"])
