"""Every CPU of the machine pokes registers of one page of an nvidia card at once: what does a tracer make of it?

CPU n, ROUNDS times over:

  W 4 0x600800 + 16 n = round
  R 4 0x600800 + 16 n           must give what was written
  R 4 0x600100                  the same register for all

A driver for several CPUs is a generator: it yields instructions, and is sent what they read.
"""

from __future__ import annotations

import errno

from mmiotools.engine.instructions import Load, Store
from mmiotools.engine.interface import SmpKernel
from mmiotools.trace.registry import API
from mmiotools.typed import Any, Callable, ClassVar, Generator, Mapping

MAPPED = 0x1000000
SCRATCH, STRIDE = 0x600800, 16
PCRTC_INTR = 0x600100
ROUNDS = 100


def _poke(base: int, number: int) -> Generator[Any, int, int]:
    """What one CPU does; how many of its reads gave something else than was written."""
    wrong = 0
    mine = base + SCRATCH + STRIDE * number
    for turn in range(ROUNDS):
        yield Store(mine, 4, turn)
        wrong += (yield Load(mine, 4)) != turn
        yield Load(base + PCRTC_INTR, 4)
    return wrong


def probe(kernel: SmpKernel) -> Generator[Any, Any, int]:
    """Start the others, do as they do, wait for them."""
    err = kernel.pci_enable_device()
    if err:
        return err
    base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
    if not base:
        kernel.pci_disable_device()
        return -errno.ENOMEM
    others = [kernel.start(number, _poke(base, number)) for number in range(1, kernel.cpus)]
    wrong = yield from _poke(base, 0)
    for task in others:
        yield task.done
        wrong += task.result
    kernel.printk(f"{kernel.cpus} CPUs, {wrong} wrong values")
    kernel.iounmap(base)
    kernel.pci_disable_device()
    return -errno.EIO if wrong else 0


class NvSmp:
    """`nv-smp`"""

    api: ClassVar[int] = API
    name = "nv-smp"
    title = "Every CPU pokes the same page of an nvidia card."
    device = "nv-card"
    versions: Mapping[str, Callable[[SmpKernel], Generator[Any, Any, int]]] = {"1": probe}


DRIVER = NvSmp()
