"""What `block-init` needs of an NVMe-like controller: registers, a pair of queues, and the interrupt that serves it.

Reference: the NVM Express base specification, revision 1.2. Every failure is a `Failure`.
"""

from __future__ import annotations

import struct

from mmiotools.engine.interface import Kernel
from mmiotools.typed import NamedTuple

CAP, VS, INTMS, INTMC, CC, CSTS, AQA, ASQ, ACQ = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x24, 0x28, 0x30
DOORBELLS = 0x1000
CSTS_RDY, CSTS_CFS, CSTS_SHUT_MASK, CSTS_SHUT = 1, 2, 0x0C, 0x08

ENTRY, COMPLETION, PAGE = 64, 16, 4096

EIO, ENOMEM, ENODEV, ETIMEDOUT = 5, 12, 19, 110
WAIT_US, WAIT_TRIES = 100, 50


class Failure(Exception):
    """Ends the bring-up: an errno, positive, and a line for the kernel log."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno


class Request(NamedTuple):
    """A command without its number. `words` are command dwords 10 to 12."""

    opcode: int
    namespace: int = 0
    prp1: int = 0
    prp2: int = 0
    words: tuple[int, int, int] = (0, 0, 0)


class Memory:
    """What was allocated for the controller."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._held: list[int] = []

    def take(self, length: int) -> tuple[int, int]:
        """Virtual and bus address of zeroed memory."""
        virt, bus = self.kernel.dma_alloc(length)
        if not virt:
            raise Failure(ENOMEM, "no memory for the controller")
        self._held.append(virt)
        return virt, bus

    def free(self) -> None:
        """Give everything back. The controller must not use it any more."""
        while self._held:
            self.kernel.dma_free(self._held.pop())


class Pair:
    """A submission and a completion queue of the same number and size."""

    def __init__(self, kernel: Kernel, memory: Memory, doorbells: int, stride: int, number: int, size: int) -> None:
        self.kernel = kernel
        self.number, self.size = number, size
        self.submission, self.submission_bus = memory.take(size * ENTRY)
        self.completion, self.completion_bus = memory.take(size * COMPLETION)
        self._tail_doorbell = doorbells + 2 * number * stride
        self._head_doorbell = doorbells + (2 * number + 1) * stride
        self._tail = self._head = self._next_id = 0
        self._phase = 1
        self._done: dict[int, tuple[int, int]] = {}

    def submit(self, request: Request) -> int:
        """Put a command into the queue and ring; the command's number."""
        number = self._next_id
        self._next_id = (number + 1) & 0xFFFF
        entry = struct.pack(
            "<BBHI16xQQ3I12x", request.opcode, 0, number, request.namespace, request.prp1, request.prp2, *request.words
        )
        self.kernel.memcpy_toio(self.submission + self._tail * ENTRY, entry)
        self._tail = (self._tail + 1) % self.size
        self.kernel.writel(self._tail, self._tail_doorbell)
        return number

    def reap(self) -> int:
        """Take what is new in the completion queue, and give its entries back; how many there were."""
        taken = 0
        while True:
            at = self.completion + self._head * COMPLETION
            last = self.kernel.readl(at + 12)
            if last >> 16 & 1 != self._phase:
                break
            self._done[last & 0xFFFF] = last >> 17, self.kernel.readl(at)
            self._head = (self._head + 1) % self.size
            self._phase ^= 1 if self._head == 0 else 0
            taken += 1
        if taken:
            self.kernel.writel(self._head, self._head_doorbell)
        return taken

    def run(self, request: Request) -> int:
        """Submit a command and wait for its end; its result. Raises Failure if it fails or never ends."""
        number = self.submit(request)
        for _ in range(WAIT_TRIES):
            if number in self._done:
                break
            self.kernel.udelay(WAIT_US)
            # The interrupt may have been lost: look into the queue without it.
            self.reap()
        else:
            raise Failure(ETIMEDOUT, f"command {request.opcode:#04x} of queue {self.number} does not end")
        status, result = self._done.pop(number)
        if status & 0x7FF:
            raise Failure(EIO, f"command {request.opcode:#04x} of queue {self.number} ended with {status & 0x7FF:#x}")
        return result


class Controller:
    """The mapped registers."""

    def __init__(self, kernel: Kernel, base: int) -> None:
        self.kernel = kernel
        self.base = base

    def read(self, offset: int) -> int:
        """A 32-bit register."""
        return self.kernel.readl(self.base + offset)

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        self.kernel.writel(value, self.base + offset)

    def wait(self, mask: int, wanted: int, each_us: int, within_us: int) -> None:
        """Poll CSTS until its bits in `mask` are `wanted`. Raises Failure on a fatal error, or if it takes too long."""
        for _ in range(within_us // each_us + 1):
            status = self.read(CSTS)
            if status & CSTS_CFS and wanted:
                raise Failure(EIO, f"the controller gave up: CSTS {status:#x}")
            if status & mask == wanted:
                return
            self.kernel.udelay(each_us)
        raise Failure(ETIMEDOUT, f"CSTS stays {status:#x}")
