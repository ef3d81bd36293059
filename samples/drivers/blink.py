"""A driver of your own, for the card in samples/cards/blinker.py: it lets the lamp blink, and watches it.

Try it: mmiotools record samples/drivers/blink.py --card samples/cards/blinker.py -t mmiotrace
"""

from __future__ import annotations

import errno

ID, PERIOD, COUNT = 0x00, 0x04, 0x08
BLNK = 0x4B4E4C42
SWITCHES = 3


def blink(kernel, base, period):
    """Set the period, and poll until the lamp has switched three times; 0, or a negative errno."""
    # Virtual addresses are numbers. Each of these calls is one instruction, and one line of the trace.
    if kernel.readl(base + ID) != BLNK:
        kernel.printk("blink: no blinker here")
        return -errno.ENODEV
    kernel.writel(period, base + PERIOD)
    for _ in range(2 * SWITCHES):
        if kernel.readl(base + COUNT) >= SWITCHES:
            kernel.printk(f"blink: {SWITCHES} times in {SWITCHES * period} microseconds")
            return 0
        kernel.udelay(period)
    kernel.printk("blink: the lamp does not switch")
    return -errno.ETIMEDOUT


def probe(kernel, period):
    """As in a kernel: what was taken is given back, in the opposite order, also when something fails."""
    err = kernel.pci_enable_device()
    if err:
        return err
    err = kernel.pci_request_regions("blink")
    if not err:
        base = kernel.ioremap(kernel.pci_resource_start(0), kernel.pci_resource_len(0))
        if base:
            err = blink(kernel, base, period)
            kernel.writel(0, base + PERIOD)
            kernel.iounmap(base)
        else:
            err = -errno.ENOMEM
        kernel.pci_release_regions()
    kernel.pci_disable_device()
    return err


# What `mmiotools record FILE.py` looks for.
class DRIVER:
    """The versions are called FILE.py or FILE.py@1, FILE.py@2 … on the command line."""

    name = "blink"
    title = "Lets a lamp blink three times."
    versions = {
        "1": lambda kernel: probe(kernel, 500),
        "2": lambda kernel: probe(kernel, 250),
    }
