"""A driver for several CPUs, for the card in samples/cards/blinker.py: one sets the lamp going, all of them watch it.

Try it: mmiotools record samples/scenarios/watch.toml --check -o watch.mmio
"""

from __future__ import annotations

import errno

from mmiotools.engine.instructions import Load, Store

PERIOD, COUNT = 0x04, 0x08
SWITCHES = 3
MICROSECONDS = 4


def watch(base):
    """What each CPU does: poll until the lamp has switched three times. How often it polled is the task's result."""
    polls = 0
    while True:
        polls += 1
        # The read happens while this waits, and other CPUs may go first. What was read is sent back in.
        if (yield Load(base + COUNT, 4)) >= SWITCHES:
            return polls


def probe(kernel):
    """A generator runs on the first CPU. It starts others on the rest, and waits for them."""
    err = kernel.pci_enable_device()
    if err:
        return err
    base = kernel.ioremap(kernel.pci_resource_start(0), kernel.pci_resource_len(0))
    if not base:
        kernel.pci_disable_device()
        return -errno.ENOMEM
    yield Store(base + PERIOD, 4, MICROSECONDS)
    others = [kernel.start(number, watch(base)) for number in range(1, kernel.cpus)]
    polls = yield from watch(base)
    for task in others:
        yield task.done
        polls += task.result
    kernel.printk(f"watch: {kernel.cpus} CPUs polled {polls} times")
    kernel.iounmap(base)
    kernel.pci_disable_device()
    return 0


class DRIVER:
    """What `mmiotools record FILE.py` looks for."""

    name = "watch"
    title = "Every CPU watches a lamp blink."
    versions = {"1": probe}
