"""A driver that does nothing but access registers, 200,000 times: what does it cost to be traced?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mmiotools.engine.interface import Kernel

ROUNDS = 50_000
#: Accesses in one run.
ACCESSES = 4 * ROUNDS
MAPPED = 0x1000000
BOOT_ID, INTERRUPT, INTERRUPT_ENABLE = 0x000000, 0x600100, 0x600140


def probe(kernel: Kernel) -> int:
    """Three reads and a write in every round, on two pages."""
    err = kernel.pci_enable_device()
    if err:
        return err
    base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
    for number in range(ROUNDS):
        kernel.readl(base + BOOT_ID)
        kernel.readl(base + INTERRUPT)
        kernel.writel(number & 1, base + INTERRUPT_ENABLE)
        kernel.readl(base + INTERRUPT_ENABLE)
    kernel.iounmap(base)
    kernel.pci_disable_device()
    return 0


class Busy:
    """`bench/busy_driver.py`"""

    api: ClassVar[int] = 1
    name = "busy"
    title = "Accesses registers as fast as it can."
    device = "nv-card"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe}


DRIVER = Busy()
