"""The test driver of January 2007 that mapped the registers of an nvidia card and poked them, and a successor.

Version 1 maps 16 MiB at BAR 0 and accesses two registers, in this order:

  R 4 0x101000        straps
  W 4 0x600140 = 0    PCRTC interrupt enable

It switches the card off again on its way out, returns the last error code, and never unmaps.

Version 2 begins and ends the same way, and accesses, in this order:

  W 4 0x600100 = 1    acknowledge an old vertical blank
  W 4 0x600140 = 1    PCRTC interrupt enable
  R 4 0x600100        until bit 0 is set, 2 ms apart, at most 20 times

Version 1 has one write, so that no two of its writes can be swapped; the versions of `nv-init` differ in that, too.
"""

from __future__ import annotations

from mmiotools.drivers.differences import Difference
from mmiotools.engine.interface import Kernel
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping

STRAPS = 0x101000
PCRTC_INTR = 0x600100
PCRTC_INTR_EN = 0x600140
MAPPED = 0x1000000

POLL_TRIES = 20
POLL_US = 2000

#: What `mmiotools diff` of version 1 against version 2 has to find, and nothing else.
DIFFERENCES = (
    Difference("delete", "R", 4, STRAPS),
    Difference("insert", "W", 4, PCRTC_INTR, new=1),
    Difference("change", "W", 4, PCRTC_INTR_EN, old=0, new=1),
    Difference("insert", "R", 4, PCRTC_INTR, times=None),
)


def _poke(kernel: Kernel, base: int) -> None:
    kernel.printk("doing a poke()")
    new = kernel.read(base + STRAPS, 4)
    kernel.printk(f"read {new:x} from 0x101000")
    kernel.write(base + PCRTC_INTR_EN, 4, 0)
    kernel.printk("wrote 0 to 0x600140")


def _poke_and_wait(kernel: Kernel, base: int) -> None:
    kernel.printk("doing a poke()")
    kernel.writel(1, base + PCRTC_INTR)
    kernel.writel(1, base + PCRTC_INTR_EN)
    kernel.printk("wrote 1 to 0x600140")
    for _ in range(POLL_TRIES):
        if kernel.readl(base + PCRTC_INTR) & 1:
            kernel.printk("saw a vertical blank")
            return
        kernel.udelay(POLL_US)
    kernel.printk("no vertical blank came")


def _probe(kernel: Kernel, poke: Callable[[Kernel, int], None]) -> int:
    """Enable, request, map, poke, and out; 0 or the negative errno of what failed."""
    err = kernel.pci_enable_device()
    if err:
        kernel.printk("nv-test: cannot enable PCI device")
        return err
    err = kernel.pci_request_regions("nv-test")
    if err:
        kernel.printk("nv-test: cannot obtain PCI resources")
    else:
        kernel.pci_set_master()
        base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
        poke(kernel, base)
        kernel.pci_set_drvdata(base)
    # Success leaves by the way of the second error, as the driver of 2007 did.
    kernel.pci_disable_device()
    kernel.pci_set_drvdata(None)
    return err


def probe_1(kernel: Kernel) -> int:
    """Version 1."""
    return _probe(kernel, _poke)


def probe_2(kernel: Kernel) -> int:
    """Version 2."""
    return _probe(kernel, _poke_and_wait)


class NvTest:
    """`nv-test`"""

    api: ClassVar[int] = API
    name = "nv-test"
    title = "Pokes two registers of an nvidia card, as in 2007."
    device = "nv-card"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe_1, "2": probe_2}


DRIVER = NvTest()
