"""Sets up a 16550A serial port, tests it in loopback, and writes a line to it.

It looks for the scratch register, sets 115200 baud and 8 bits without parity, switches the FIFOs on, sends sixteen
bytes to itself, writes the line, and waits until the last bit is out. Version 1 writes byte by byte and polls LSR
before each; version 2 fills the FIFO whenever the port interrupts. `DIFFERENCES` lists what a diff has to find.
"""

from __future__ import annotations

from mmiotools.drivers.differences import Difference
from mmiotools.engine.interface import Kernel
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping, NamedTuple

DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 2, 3, 4, 5, 6, 7
DIVISOR_LOW, DIVISOR_HIGH = 0, 1

IER_THRE = 0x02
IIR_NONE, IIR_FIFOS = 0x01, 0xC0
FCR_ON_AND_EMPTY = 0x07
LCR_8N1, LCR_DLAB = 0x03, 0x80
MCR_READY, MCR_LOOP = 0x0B, 0x10
LSR_DR, LSR_THRE, LSR_TEMT = 0x01, 0x20, 0x40
MSR_DCD_DSR_CTS = 0xB0

MAPPED = 0x1000
FIFO = 16
DIVISOR = 1
LINE = b"hello from a 16550A at 115200 baud, 8n1\r\n"

EIO, ENOMEM, ENODEV, ETIMEDOUT = 5, 12, 19, 110

#: A character takes 87 microseconds.
LOOP_POLL_US, LOOP_TRIES = 100, 40
THRE_POLL_US, THRE_TRIES = 10, 50
TEMT_POLL_US, TEMT_TRIES = 50, 1000


class Variant(NamedTuple):
    """In what the versions differ."""

    trigger: int
    by_interrupt: bool


_V1 = Variant(trigger=0xC0, by_interrupt=False)
_V2 = Variant(trigger=0x80, by_interrupt=True)

#: What a diff of version 1 against version 2 has to find. LSR is read by both; how much less often by version 2 is
#: for the clock to say.
DIFFERENCES = (
    Difference("change", "W", 1, FCR, old=FCR_ON_AND_EMPTY | _V1.trigger, new=FCR_ON_AND_EMPTY | _V2.trigger),
    Difference("insert", "W", 1, IER, new=IER_THRE),
    Difference("insert", "R", 1, IIR, times=None),
    Difference("delete", "R", 1, LSR, times=None),
)


def _poll(kernel: Kernel, base: int, bits: int, each_us: int, tries: int) -> bool:
    """Read LSR until all of `bits` are set; False if that takes too long."""
    for _ in range(tries):
        if kernel.readb(base + LSR) & bits == bits:
            return True
        kernel.udelay(each_us)
    return False


def _set_up(kernel: Kernel, base: int, variant: Variant) -> int:
    kernel.trace_marker("set up")
    for value in (0x5A, 0xA5):
        kernel.writeb(value, base + SCR)
        if kernel.readb(base + SCR) != value:
            kernel.printk("uart-hello: no scratch register, so no 16450 or better")
            return -ENODEV
    kernel.writeb(0, base + IER)
    kernel.writeb(LCR_8N1 | LCR_DLAB, base + LCR)
    kernel.writeb(DIVISOR & 0xFF, base + DIVISOR_LOW)
    kernel.writeb(DIVISOR >> 8, base + DIVISOR_HIGH)
    divisor = kernel.readb(base + DIVISOR_LOW) | kernel.readb(base + DIVISOR_HIGH) << 8
    kernel.writeb(LCR_8N1, base + LCR)
    if divisor != DIVISOR:
        kernel.printk(f"uart-hello: the divisor is {divisor}, not {DIVISOR}")
        return -EIO
    kernel.writeb(FCR_ON_AND_EMPTY | variant.trigger, base + FCR)
    if kernel.readb(base + IIR) & IIR_FIFOS != IIR_FIFOS:
        kernel.printk("uart-hello: the FIFOs stay off, so no 16550A")
        return -ENODEV
    return 0


def _test_loopback(kernel: Kernel, base: int) -> int:
    kernel.trace_marker("loopback")
    kernel.writeb(MCR_READY | MCR_LOOP, base + MCR)
    wires = kernel.readb(base + MSR) & 0xF0
    sent = bytes(range(0x41, 0x41 + FIFO))
    for byte in sent:
        kernel.writeb(byte, base + DATA)
    came = bytearray()
    while len(came) < FIFO and _poll(kernel, base, LSR_DR, LOOP_POLL_US, LOOP_TRIES):
        came.append(kernel.readb(base + DATA))
    kernel.writeb(MCR_READY, base + MCR)
    kernel.readb(base + MSR)
    if wires != MSR_DCD_DSR_CTS or came != sent:
        kernel.printk(f"uart-hello: loopback gave {came.hex() or 'nothing'}, modem status {wires:#x}")
        return -EIO
    return 0


def _write_by_polling(kernel: Kernel, base: int) -> int:
    for byte in LINE:
        if not _poll(kernel, base, LSR_THRE, THRE_POLL_US, THRE_TRIES):
            return -ETIMEDOUT
        kernel.writeb(byte, base + DATA)
    return 0 if _poll(kernel, base, LSR_TEMT, TEMT_POLL_US, TEMT_TRIES) else -ETIMEDOUT


def _write_by_interrupt(kernel: Kernel, base: int) -> int:
    left = bytearray(LINE)

    def handler() -> None:
        # IIR is read until it says that nothing is pending: reading it is what lowers the line.
        while not kernel.readb(base + IIR) & IIR_NONE:
            for byte in left[:FIFO]:
                kernel.writeb(byte, base + DATA)
            del left[:FIFO]

    err = kernel.request_irq(handler)
    if err:
        kernel.printk(f"uart-hello: no interrupt: {err}")
        return err
    # The transmitter is empty, so that this interrupts at once.
    kernel.writeb(IER_THRE, base + IER)
    err = -ETIMEDOUT
    for _ in range(TEMT_TRIES):
        if kernel.readb(base + LSR) & LSR_TEMT and not left:
            err = 0
            break
        kernel.udelay(TEMT_POLL_US)
    kernel.free_irq()
    return err


def _run(kernel: Kernel, base: int, variant: Variant) -> int:
    """Everything between mapping and unmapping; interrupts and modem lines are off afterwards."""
    err = _set_up(kernel, base, variant) or _test_loopback(kernel, base)
    if not err:
        kernel.trace_marker("line")
        err = _write_by_interrupt(kernel, base) if variant.by_interrupt else _write_by_polling(kernel, base)
        kernel.printk(f"uart-hello: wrote {len(LINE)} bytes" if not err else f"uart-hello: the line got stuck: {err}")
    kernel.writeb(0, base + IER)
    kernel.writeb(0, base + FCR)
    kernel.writeb(0, base + MCR)
    return err


def _probe(kernel: Kernel, variant: Variant) -> int:
    err = kernel.pci_enable_device()
    if err:
        return err
    err = kernel.pci_request_regions("uart-hello")
    if not err:
        base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
        if base:
            err = _run(kernel, base, variant)
            kernel.iounmap(base)
        else:
            err = -ENOMEM
        kernel.pci_release_regions()
    kernel.pci_disable_device()
    return err


def probe_1(kernel: Kernel) -> int:
    """Version 1: by polling."""
    return _probe(kernel, _V1)


def probe_2(kernel: Kernel) -> int:
    """Version 2: by interrupt."""
    return _probe(kernel, _V2)


class UartHello:
    """`uart-hello`"""

    api: ClassVar[int] = API
    name = "uart-hello"
    title = "Sets up a serial port, tests it in loopback, writes a line."
    device = "uart"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe_1, "2": probe_2}


DRIVER = UartHello()
