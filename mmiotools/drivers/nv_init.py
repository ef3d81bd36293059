"""Brings up a card as far as the model goes: some ninety accesses of every width, with marks, two maps and a poll.

It identifies the card, silences its interrupts, looks at timer and ROM, programs a display mode, tests the frame
buffer, waits for a vertical blank and unmaps. Version 2 differs from version 1 in what `DIFFERENCES` lists: a
changed value, a removed read, two swapped writes, and a poll loop that looks four times as often.
"""

from __future__ import annotations

from mmiotools.drivers.differences import Difference
from mmiotools.engine.interface import Kernel
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping, NamedTuple

PMC_BOOT_0, PMC_INTR, PMC_INTR_EN, PMC_ENABLE = 0x000000, 0x000100, 0x000140, 0x000200
PTIMER_NUMERATOR, PTIMER_DENOMINATOR, PTIMER_LOW, PTIMER_HIGH = 0x009200, 0x009210, 0x009400, 0x009410
STRAPS = 0x101000
PROM = 0x300000
PCRTC_INTR, PCRTC_INTR_EN, PCRTC_START, PCRTC_CONFIG = 0x600100, 0x600140, 0x600800, 0x600804
CRTC_INDEX, CRTC_DATA = 0x6013D4, 0x6013D5
CURSOR_CONTROL, CURSOR_POSITION = 0x680320, 0x680300
GENERAL_CONTROL = 0x680600

MAPPED = 0x1000000
FRAME_BUFFER_MAPPED = 0x10000

ENODEV = 19
EIO = 5

#: The CRTC bytes of 1024x768 at 60 Hz, index → value.
CRTC_MODE = {0x00: 0xA3, 0x01: 0x7F, 0x02: 0x7F, 0x03: 0x87, 0x04: 0x83, 0x05: 0x95, 0x06: 0x24, 0x07: 0xF5}

#: Frame-buffer test patterns: width in bytes → value.
PATTERNS = {1: 0xA5, 2: 0x5AA5, 4: 0xDEADBEEF, 8: 0x0123456789ABCDEF}

POLL_WHOLE_US = 40_000


class Variant(NamedTuple):
    """In what the versions differ."""

    pixel_format: int
    reads_straps_again: bool
    start_first: bool
    poll_us: int


_V1 = Variant(pixel_format=0x00100130, reads_straps_again=True, start_first=True, poll_us=4000)
_V2 = Variant(pixel_format=0x00101130, reads_straps_again=False, start_first=False, poll_us=1000)

#: What a diff of version 1 against version 2 has to find. PTIMER is read before the versions part, so that it
#: reads the same; which of the two swapped writes counts as the one that moved is for the diff to choose.
DIFFERENCES = (
    Difference("delete", "R", 4, STRAPS),
    Difference("change", "W", 4, GENERAL_CONTROL, old=_V1.pixel_format, new=_V2.pixel_format),
    Difference("move", "W", 4, PCRTC_START, old=0x0, new=0x0),
    Difference("insert", "R", 4, PCRTC_INTR, times=None),
)


def _identify(kernel: Kernel, base: int) -> bool:
    kernel.trace_marker("identify")
    chip = kernel.readl(base + PMC_BOOT_0) >> 20 & 0xFF
    kernel.printk(f"nv-init: chip {chip:#x}, straps {kernel.readl(base + STRAPS):#x}")
    if chip != 0x28:
        return False
    for offset in range(0, 8, 2):
        kernel.readw(base + PROM + offset)
    return kernel.readb(base + PROM) == 0x55


def _silence(kernel: Kernel, base: int) -> None:
    kernel.trace_marker("silence")
    kernel.writel(0, base + PMC_INTR_EN)
    kernel.writel(0, base + PCRTC_INTR_EN)
    kernel.writel(0xFFFFFFFF, base + PCRTC_INTR)
    kernel.readl(base + PMC_INTR)
    kernel.writel(0xFFFFFFFF, base + PMC_ENABLE)
    kernel.readl(base + PMC_ENABLE)
    kernel.writel(8, base + PTIMER_NUMERATOR)
    kernel.writel(3, base + PTIMER_DENOMINATOR)
    kernel.readl(base + PTIMER_HIGH)
    kernel.readl(base + PTIMER_LOW)


def _set_mode(kernel: Kernel, base: int, variant: Variant) -> None:
    kernel.trace_marker("mode")
    for index, value in CRTC_MODE.items():
        kernel.writeb(index, base + CRTC_INDEX)
        kernel.writeb(value, base + CRTC_DATA)
        kernel.readb(base + CRTC_DATA)
    if variant.reads_straps_again:
        kernel.readl(base + STRAPS)
    kernel.writel(variant.pixel_format, base + GENERAL_CONTROL)
    first, second = (PCRTC_START, 0x0), (PCRTC_CONFIG, 0x2)
    for offset, value in (first, second) if variant.start_first else (second, first):
        kernel.writel(value, base + offset)
    kernel.writew(0x0101, base + CURSOR_CONTROL)
    kernel.writel(0x00100010, base + CURSOR_POSITION)
    kernel.readw(base + CURSOR_CONTROL)


def _test_frame_buffer(kernel: Kernel, frame_buffer: int) -> bool:
    kernel.trace_marker("frame buffer")
    good = True
    for row in range(4):
        for width, value in PATTERNS.items():
            at = frame_buffer + 0x1000 * row + 16 * width
            kernel.write(at, width, value)
            good &= kernel.read(at, width) == value
    return good


def _wait_for_blank(kernel: Kernel, base: int, variant: Variant) -> bool:
    kernel.trace_marker("vertical blank")
    kernel.writel(1, base + PCRTC_INTR)
    for _ in range(POLL_WHOLE_US // variant.poll_us):
        if kernel.readl(base + PCRTC_INTR) & 1:
            return True
        kernel.udelay(variant.poll_us)
    return False


def _probe(kernel: Kernel, variant: Variant) -> int:
    err = kernel.pci_enable_device()
    if err:
        return err
    err = kernel.pci_request_regions("nv-init")
    if err:
        kernel.pci_disable_device()
        return err
    kernel.pci_set_master()
    base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
    frame_buffer = kernel.ioremap(kernel.pci_resource_start(1), FRAME_BUFFER_MAPPED)
    if not _identify(kernel, base):
        kernel.printk("nv-init: not a card this driver knows")
        err = -ENODEV
    else:
        _silence(kernel, base)
        _set_mode(kernel, base, variant)
        good = _test_frame_buffer(kernel, frame_buffer)
        kernel.printk(f"nv-init: frame buffer {'good' if good else 'bad'}")
        if not _wait_for_blank(kernel, base, variant) or not good:
            err = -EIO
    kernel.iounmap(frame_buffer)
    kernel.iounmap(base)
    kernel.pci_release_regions()
    kernel.pci_disable_device()
    return err


def probe_1(kernel: Kernel) -> int:
    """Version 1."""
    return _probe(kernel, _V1)


def probe_2(kernel: Kernel) -> int:
    """Version 2."""
    return _probe(kernel, _V2)


class NvInit:
    """`nv-init`"""

    api: ClassVar[int] = API
    name = "nv-init"
    title = "Brings up an nvidia card: mode, frame buffer, vertical blank."
    device = "nv-card"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe_1, "2": probe_2}


DRIVER = NvInit()
