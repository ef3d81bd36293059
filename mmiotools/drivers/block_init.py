"""Brings up an NVMe-like controller, writes two blocks, reads them back, and shuts the controller down.

Disable, admin queues, enable, identify; then one pair of I/O queues, and the blocks through it, each command ended by
an interrupt. Everything is undone on the way out, and after a failure as well. Version 2 has twice the admin queue,
polls CSTS less often while the controller starts, asks for the list of namespaces, flushes what it wrote, and leaves
INTMS alone in its interrupt handler: `DIFFERENCES`.
"""

from __future__ import annotations

import struct

from mmiotools.drivers import block_queues as q
from mmiotools.drivers.block_queues import Controller, Failure, Memory, Pair, Request
from mmiotools.drivers.differences import Difference
from mmiotools.engine.interface import Kernel
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping, NamedTuple

MAPPED = 0x4000
BLOCK = 512
IO_ENTRIES = 8
#: Entries of 64 and of 16 bytes, pages of 4 KiB, the command set for disks; and a normal shutdown.
CC_ON, CC_SHUTDOWN = 4 << 20 | 6 << 16 | 1, 1 << 14
ALL = 0xFFFFFFFF

DELETE_SQ, CREATE_SQ, DELETE_CQ, CREATE_CQ, IDENTIFY, SET_FEATURES = 0, 1, 4, 5, 6, 9
FLUSH, WRITE, READ = 0, 1, 2
CNS_NAMESPACE, CNS_CONTROLLER, CNS_LIST = 0, 1, 2
NUMBER_OF_QUEUES = 7

SHUTDOWN_POLL_US, SHUTDOWN_WITHIN_US = 400, 5_000_000


class Variant(NamedTuple):
    """In what the versions differ."""

    admin_entries: int
    poll_us: int
    lists: bool
    flushes: bool
    masks: bool

    @property
    def aqa(self) -> int:
        """Sizes of the admin queues, as AQA has them."""
        return (self.admin_entries - 1) << 16 | self.admin_entries - 1


_V1 = Variant(admin_entries=16, poll_us=100, lists=False, flushes=False, masks=True)
_V2 = Variant(admin_entries=32, poll_us=1000, lists=True, flushes=True, masks=False)

#: Doorbells at stride 4: tail and head of the admin queues, tail and head of the I/O queues.
_DOORBELLS = tuple(q.DOORBELLS + 4 * n for n in range(4))

#: What a diff of version 1 against version 2 has to find. A command more makes the doorbells count one further.
DIFFERENCES = (
    Difference("change", "W", 4, q.AQA, old=_V1.aqa, new=_V2.aqa),
    Difference("delete", "R", 4, q.CSTS, old=0, times=None),
    Difference("insert", "W", 4, _DOORBELLS[0], new=8),
    Difference("insert", "W", 4, _DOORBELLS[1], new=8),
    Difference("insert", "W", 4, _DOORBELLS[2], new=5),
    Difference("insert", "W", 4, _DOORBELLS[3], new=5),
    Difference("delete", "W", 4, q.INTMS, old=1, times=None),
    Difference("delete", "W", 4, q.INTMC, old=1, times=None),
)


class Disk:
    """A controller with its queues, as far as they exist."""

    def __init__(self, kernel: Kernel, base: int, variant: Variant) -> None:
        self.kernel = kernel
        self.card = Controller(kernel, base)
        self.variant = variant
        self.memory = Memory(kernel)
        self.pairs: list[Pair] = []
        capabilities = kernel.readq(base + q.CAP)
        self.entries = (capabilities & 0xFFFF) + 1
        self.timeout_us = (capabilities >> 24 & 0xFF) * 500_000
        self.stride = 4 << (capabilities >> 32 & 0xF)
        if not capabilities >> 37 & 1 or capabilities >> 48 & 0xF:
            raise Failure(q.ENODEV, f"capabilities {capabilities:#x}: not a disk with pages of 4 KiB")

    def pair(self, number: int, size: int) -> Pair:
        """A new pair of queues; the controller does not know it yet."""
        pair = Pair(self.kernel, self.memory, self.card.base + q.DOORBELLS, self.stride, number, size)
        self.pairs.append(pair)
        return pair

    def handler(self) -> None:
        """Look into every completion queue; taking the entries lowers the line."""
        if self.variant.masks:
            self.card.write(q.INTMS, 1)
        for pair in self.pairs:
            pair.reap()
        if self.variant.masks:
            self.card.write(q.INTMC, 1)

    def start(self) -> Pair:
        """Disable, set up the admin queues, enable; the admin queues."""
        card = self.card
        card.write(q.CC, 0)
        card.wait(q.CSTS_RDY, 0, self.variant.poll_us, self.timeout_us)
        card.write(q.INTMS, ALL)
        admin = self.pair(0, min(self.variant.admin_entries, self.entries))
        card.write(q.AQA, (admin.size - 1) << 16 | admin.size - 1)
        self.kernel.writeq(admin.submission_bus, card.base + q.ASQ)
        self.kernel.writeq(admin.completion_bus, card.base + q.ACQ)
        card.write(q.CC, CC_ON)
        card.wait(q.CSTS_RDY, q.CSTS_RDY, self.variant.poll_us, self.timeout_us)
        card.write(q.INTMC, ALL)
        return admin

    def stop(self) -> None:
        """Shut down, and disable; the controller does not touch memory after this."""
        card = self.card
        card.write(q.CC, CC_ON | CC_SHUTDOWN)
        card.wait(q.CSTS_SHUT_MASK, q.CSTS_SHUT, SHUTDOWN_POLL_US, SHUTDOWN_WITHIN_US)
        self.disable()

    def disable(self) -> None:
        """What is left to do when a shutdown is not possible, too."""
        self.card.write(q.INTMS, ALL)
        self.card.write(q.CC, 0)
        self.card.wait(q.CSTS_RDY, 0, SHUTDOWN_POLL_US, SHUTDOWN_WITHIN_US)


def _identify(kernel: Kernel, disk: Disk, admin: Pair) -> int:
    """Blocks of namespace 1."""
    kernel.trace_marker("identify")
    data, bus = disk.memory.take(q.PAGE)
    admin.run(Request(IDENTIFY, 0, bus, 0, (CNS_CONTROLLER, 0, 0)))
    vendor = kernel.readw(data)
    model = kernel.memcpy_fromio(data + 24, 40).decode("ascii", "replace").strip()
    kernel.printk(f"block-init: {model} of vendor {vendor:#06x}")
    if disk.variant.lists:
        admin.run(Request(IDENTIFY, 0, bus, 0, (CNS_LIST, 0, 0)))
        if kernel.readl(data) != 1:
            raise Failure(q.ENODEV, "the list of namespaces does not begin with 1")
    admin.run(Request(IDENTIFY, 1, bus, 0, (CNS_NAMESPACE, 0, 0)))
    blocks = kernel.readq(data)
    if kernel.readl(data + 128) >> 16 & 0xFF != 9:
        raise Failure(q.ENODEV, f"blocks are not of {BLOCK} bytes")
    kernel.printk(f"block-init: {blocks} blocks of {BLOCK} bytes")
    return blocks


def _use(kernel: Kernel, disk: Disk, io: Pair, blocks: int) -> None:
    """Write the first and the last block, and read them back."""
    kernel.trace_marker("blocks")
    out, out_bus = disk.memory.take(2 * BLOCK)
    back, back_bus = disk.memory.take(2 * BLOCK)
    pattern = struct.pack("<128I", *(0x01000193 * n & 0xFFFFFFFF for n in range(128)))
    places = (0, blocks - 1)
    for n, block in enumerate(places):
        kernel.memcpy_toio(out + n * BLOCK, bytes([n]) + pattern[1:])
        io.run(Request(WRITE, 1, out_bus + n * BLOCK, 0, (block & ALL, block >> 32, 0)))
    if disk.variant.flushes:
        io.run(Request(FLUSH, 1))
    for n, block in enumerate(places):
        io.run(Request(READ, 1, back_bus + n * BLOCK, 0, (block & ALL, block >> 32, 0)))
    for n, block in enumerate(places):
        if kernel.memcpy_fromio(back + n * BLOCK, BLOCK) != bytes([n]) + pattern[1:]:
            raise Failure(q.EIO, f"block {block} does not read back as it was written")
    kernel.printk("block-init: two blocks written and read back")


def _with_queues(kernel: Kernel, disk: Disk, admin: Pair, blocks: int) -> None:
    """One pair of I/O queues from its creation to its end."""
    kernel.trace_marker("queues")
    admin.run(Request(SET_FEATURES, words=(NUMBER_OF_QUEUES, 0, 0)))
    io = disk.pair(1, min(IO_ENTRIES, disk.entries))
    size = (io.size - 1) << 16 | io.number
    admin.run(Request(CREATE_CQ, 0, io.completion_bus, 0, (size, 3, 0)))
    admin.run(Request(CREATE_SQ, 0, io.submission_bus, 0, (size, io.number << 16 | 1, 0)))
    _use(kernel, disk, io, blocks)
    kernel.trace_marker("end")
    admin.run(Request(DELETE_SQ, words=(io.number, 0, 0)))
    admin.run(Request(DELETE_CQ, words=(io.number, 0, 0)))


def _started(kernel: Kernel, disk: Disk) -> None:
    """Everything that needs the interrupt."""
    err = kernel.request_irq(disk.handler)
    if err:
        raise Failure(-err, "no interrupt")
    failures = []
    stop = disk.disable
    try:
        admin = disk.start()
        stop = disk.stop
        _with_queues(kernel, disk, admin, _identify(kernel, disk, admin))
    except Failure as failure:
        failures.append(failure)
    try:
        stop()
    except Failure as failure:
        failures.append(failure)
    kernel.free_irq()
    if failures:
        raise failures[0]


def _mapped(kernel: Kernel, variant: Variant) -> int:
    kernel.pci_set_master()
    base = kernel.ioremap(kernel.pci_resource_start(0), MAPPED)
    if not base:
        kernel.printk("block-init: cannot map the registers")
        return -q.ENOMEM
    err = 0
    try:
        kernel.trace_marker("start")
        disk = Disk(kernel, base, variant)
        kernel.printk(f"block-init: version {disk.card.read(q.VS):#x}")
        try:
            _started(kernel, disk)
        except Failure:
            disk.memory.free()
            raise
        disk.memory.free()
    except Failure as failure:
        kernel.printk(f"block-init: {failure}")
        err = -failure.errno
    kernel.iounmap(base)
    return err


def _probe(kernel: Kernel, variant: Variant) -> int:
    err = kernel.pci_enable_device()
    if err:
        return err
    err = kernel.pci_request_regions("block-init")
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


class BlockInit:
    """`block-init`"""

    api: ClassVar[int] = API
    name = "block-init"
    title = "Brings up a disk with queues, writes two blocks and reads them back."
    device = "block"
    versions: Mapping[str, Callable[[Kernel], int]] = {"1": probe_1, "2": probe_2}


DRIVER = BlockInit()
