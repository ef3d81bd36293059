"""A disk with queues and doorbells, in the manner of NVMe: 64 MiB of 512-byte blocks, empty at power-on.

BAR0:

  00 CAP    63-32, 31-0: 15-0 entries of a queue - 1, 16 queues in one piece, 31-24 time limit in 500 ms, 35-32 doorbell
            stride, 44-37 command sets, 51-48 and 55-52 least and most page size; read-only
  08 VS     version; read-only
  0c INTMS  a one that is written masks the interrupt, 10 INTMC unmasks it; both read as the mask; bit 0 only
  14 CC     0 enable, 10-7 page size, 15-14 shutdown, 19-16 and 23-20 log2 of the size of entries (6 and 4)
  1c CSTS   0 ready, 1 fatal, 3-2 shutdown: 1 going on, 2 done; read-only
  24 AQA    entries - 1 of the admin queues: 11-0 submission, 27-16 completion
  28 ASQ, 30 ACQ  their bus addresses, 64 bits
  1000      doorbells, 4 << stride bytes apart: submission queue 0 tail, completion queue 0 head, submission queue 1 …

Setting CC.EN takes READY_NS, then CSTS.RDY is set, or CSTS.CFS if the settings are not possible. Clearing it forgets
the queues at once, not the disk, and clears CSTS after STOP_NS. Commands (`block_commands`) are carried out when a
doorbell is written, and take no time. The line is up while a completion queue that interrupts has untaken entries and
INTMS is clear. Doorbells are ignored where there is no such queue, the value lies outside of it, or CSTS.RDY is clear.

Not modelled: MSI-X, several namespaces, metadata, asynchronous events, abort, logs. Registers are accessed by 4 or 8
bytes; narrower reads give a part of the register, narrower writes do nothing. Other offsets read as 0.

References: the NVM Express base specification, revision 1.2, section 3 (registers). The PCI ids are those that virtual
machines give their NVMe controller.
"""

from __future__ import annotations

from dataclasses import asdict

from mmiotools.devices import block_queues as q
from mmiotools.devices.block_commands import ENTRIES, Queues
from mmiotools.devices.card import Card
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.typed import Any

CAP, CAP_HIGH, VS, INTMS, INTMC, CC, CSTS = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x1C
AQA, ASQ, ACQ, DOORBELLS = 0x24, 0x28, 0x30, 0x1000
CC_EN, CC_SHUTDOWN = 1, 3 << 14
CSTS_RDY, CSTS_CFS, CSTS_SHUTTING, CSTS_SHUT = 1, 2, 1 << 2, 2 << 2
VERSION = 0x00010200
#: What CC has to say of entry sizes, page size, arbitration and command set, and where it says so.
CC_SETTINGS, CC_SETTINGS_MASK = 4 << 20 | 6 << 16, 0x00FF3FF0

READY_NS, STOP_NS, SHUTDOWN_NS = 500_000, 100_000, 1_000_000
BLOCKS = 64 * 1024 * 2

_PCI = PciDevice(bdf=0x0028, vendor=0x1B36, device=0x0010, irq=9, bars=(Bar(0, 0xFEBF0000, 0x4000, 4),))


class Block(Card):
    """The model. `stride` is CAP.DSTRD: doorbells are 4 << stride bytes apart."""

    name = "block"
    title = "Disk with queues and doorbells, like NVMe."

    def __init__(self, pci: PciDevice = _PCI, stride: int = 0) -> None:
        self.stride = stride
        super().__init__(pci, class_code=0x010802)

    def power_on(self) -> None:
        """Disabled, an empty disk."""
        self.masked = 0
        self.cc = self.csts = self.aqa = self.asq = self.acq = 0
        #: When enabling, disabling and shutting down are done; 0 when nothing is going on.
        self.changes_at = self.shut_at = 0
        self.queues = Queues(BLOCKS)

    # -- registers ----------------------------------------------------------------------------------------

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        """The registers that the access touches."""
        if bar != "BAR0":
            return super().read_bar(bar, offset, width)
        first = offset & ~3
        value = sum(self._register(at) << 8 * (at - first) for at in range(first, offset + width, 4))
        return value >> 8 * (offset - first)

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        """Whole registers, or halves of the wide ones, only."""
        if bar == "BAR0" and not offset & 3 and width >= 4:
            for i in range(0, width, 4):
                self._set_register(offset + i, value >> 8 * i & 0xFFFFFFFF)

    def _register(self, at: int) -> int:
        if at == CAP:
            return 1 << 24 | 1 << 16 | ENTRIES - 1
        if at == CAP_HIGH:
            return 1 << 5 | self.stride
        if at in (ASQ, ACQ, ASQ + 4, ACQ + 4):
            return (self.asq if at < ACQ else self.acq) >> 8 * (at & 4) & 0xFFFFFFFF
        plain = {VS: VERSION, INTMS: self.masked, INTMC: self.masked, CC: self.cc, CSTS: self.csts, AQA: self.aqa}
        return plain.get(at, 0)

    def _set_register(self, at: int, value: int) -> None:
        if at == INTMS:
            self.masked |= value & 1
        elif at == INTMC:
            self.masked &= ~value
        elif at == CC:
            self._configure(value)
        elif at == AQA:
            self.aqa = value & 0x0FFF0FFF
        elif at in (ASQ, ASQ + 4):
            self.asq = _half(self.asq, at & 4, value) & ~0xFFF
        elif at in (ACQ, ACQ + 4):
            self.acq = _half(self.acq, at & 4, value) & ~0xFFF
        elif at >= DOORBELLS and self.csts & (CSTS_RDY | CSTS_CFS) == CSTS_RDY:
            number, off = divmod(at - DOORBELLS, 4 << self.stride)
            if not off:
                self._doorbell(number >> 1, number & 1, value & 0xFFFF)

    def _configure(self, value: int) -> None:
        if (value ^ self.cc) & CC_EN:
            self.changes_at = self.now() + (READY_NS if value & CC_EN else STOP_NS)
            self.queues.submission.clear()
            self.queues.completion.clear()
        if value & CC_SHUTDOWN and not self.cc & CC_SHUTDOWN:
            self.csts = self.csts & ~CSTS_SHUT | CSTS_SHUTTING
            self.shut_at = self.now() + SHUTDOWN_NS
        self.cc = value & 0x00FFFFF1

    def _doorbell(self, number: int, completion: int, value: int) -> None:
        queue = (self.queues.completion if completion else self.queues.submission).get(number)
        if queue is None or value >= queue.size or self.host is None:
            return
        if isinstance(queue, q.Completion):
            queue.head = value
        else:
            queue.tail = value
        self.queues.work(self.host)

    # -- time ---------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """Finish what CC began."""
        now = self.now()
        if self.shut_at and now >= self.shut_at:
            self.shut_at = 0
            self.csts = self.csts & ~CSTS_SHUTTING | CSTS_SHUT
        if self.changes_at and now >= self.changes_at:
            self.changes_at = 0
            if self.cc & CC_EN:
                self._enable()
            else:
                self.csts = self.shut_at = 0

    def _enable(self) -> None:
        submissions, completions = (self.aqa & 0xFFF) + 1, (self.aqa >> 16) + 1
        sizes_fit = min(submissions, completions) >= 2
        if self.cc & CC_SETTINGS_MASK != CC_SETTINGS or not sizes_fit or not self.asq or not self.acq:
            self.csts = CSTS_CFS
            return
        self.queues.submission[0] = q.Submission(self.asq, submissions, 0)
        self.queues.completion[0] = q.Completion(self.acq, completions, True)
        self.csts = CSTS_RDY

    # -- interrupts and state -----------------------------------------------------------------------------

    def interrupt(self) -> bool:
        """Something to take, and not masked."""
        return not self.masked & 1 and self.queues.unseen

    _NUMBERS = ("masked", "cc", "csts", "aqa", "asq", "acq", "changes_at", "shut_at")

    def dump(self) -> dict[str, Any]:
        """Registers, queues and the disk."""
        return {key: getattr(self, key) for key in self._NUMBERS} | {
            "submission": {number: asdict(queue) for number, queue in self.queues.submission.items()},
            "completion": {number: asdict(queue) for number, queue in self.queues.completion.items()},
            "disk": self.queues.disk.dump(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Back to what `dump` gave."""
        for key in self._NUMBERS:
            setattr(self, key, state[key])
        self.queues.submission = {int(n): q.Submission(**held) for n, held in state["submission"].items()}
        self.queues.completion = {int(n): q.Completion(**held) for n, held in state["completion"].items()}
        self.queues.disk.load(state["disk"])


def _half(whole: int, at: int, value: int) -> int:
    """`whole` with its lower (at = 0) or upper (at = 4) half replaced."""
    return whole & 0xFFFFFFFF << 32 - 8 * at | value << 8 * at
