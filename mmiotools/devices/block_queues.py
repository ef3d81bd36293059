"""Queues of an NVMe-like controller in the host's memory, and the pages that a command's data lies in.

A submission queue has entries of 64 bytes, a completion queue of 16. Both are rings: the host moves a submission
queue's tail and a completion queue's head by doorbells, the controller moves the other ends. A completion entry's
phase bit is 1 in the first round through the queue and changes with every round.

Reference: the NVM Express base specification, revision 1.2, sections 4.1 to 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mmiotools.engine.interface import Host
from mmiotools.typed import NamedTuple

ENTRY, COMPLETION = 64, 16
PAGE = 4096


@dataclass(slots=True)
class Submission:
    """A submission queue: bus address, entries, its completion queue's id."""

    base: int
    size: int
    completion: int
    head: int = 0
    tail: int = 0


@dataclass(slots=True)
class Completion:
    """A completion queue: bus address, entries, whether it interrupts."""

    base: int
    size: int
    interrupts: bool
    head: int = 0
    tail: int = 0
    phase: int = 1

    @property
    def full(self) -> bool:
        """One entry always stays free, so that full and empty differ."""
        return (self.tail + 1) % self.size == self.head

    def post(self, host: Host, entry: bytes) -> None:
        """Store an entry; its phase bit is set here."""
        entry = entry[:14] + struct.pack("<H", struct.unpack_from("<H", entry, 14)[0] & 0xFFFE | self.phase)
        host.dma_write(self.base + COMPLETION * self.tail, entry)
        self.tail = (self.tail + 1) % self.size
        if self.tail == 0:
            self.phase ^= 1


class Command(NamedTuple):
    """A submission entry. `words` are command dwords 10 to 15."""

    opcode: int
    flags: int
    id: int
    namespace: int
    prp1: int
    prp2: int
    words: tuple[int, ...]


def fetch(host: Host, queue: Submission) -> Command:
    """The entry at the head of a submission queue; the head moves on."""
    raw = host.dma_read(queue.base + ENTRY * queue.head, ENTRY)
    opcode, flags, number, namespace, prp1, prp2, *words = struct.unpack("<BBHI16xQQ6I", raw)
    queue.head = (queue.head + 1) % queue.size
    return Command(opcode, flags, number, namespace, prp1, prp2, tuple(words))


class Status(NamedTuple):
    """How a command ended: status code type and status code."""

    type: int = 0
    code: int = 0


OK = Status()
INVALID_OPCODE, INVALID_FIELD, INVALID_NAMESPACE = Status(0, 0x01), Status(0, 0x02), Status(0, 0x0B)
INVALID_PRP_OFFSET, OUT_OF_RANGE = Status(0, 0x13), Status(0, 0x80)
INVALID_COMPLETION_QUEUE, INVALID_QUEUE, INVALID_SIZE = Status(1, 0x00), Status(1, 0x01), Status(1, 0x02)
INVALID_VECTOR, INVALID_DELETION = Status(1, 0x08), Status(1, 0x0C)


class CommandError(Exception):
    """A command that fails; `status` is what its completion says."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"status {status.type}/{status.code:#x}")
        self.status = status


def completion_entry(result: int, head: int, queue: int, command: int, status: Status) -> bytes:
    """A completion entry without phase. `head` and `queue` are the submission queue's."""
    return struct.pack("<IIHHHH", result, 0, head, queue, command, (status.type << 8 | status.code) << 1)


def data_pieces(host: Host, command: Command, length: int) -> list[tuple[int, int]]:
    """Where `length` bytes of a command's data are: (bus address, bytes).

    The first piece is at PRP1, up to the end of its page. If one more page holds the rest, PRP2 is its address,
    otherwise PRP2 points to a list of page addresses, the last of a full page of the list leading to the next page.
    Raises CommandError.
    """
    if command.prp1 & 3:
        raise CommandError(INVALID_PRP_OFFSET)
    pieces = [(command.prp1, min(length, PAGE - command.prp1 % PAGE))]
    left = length - pieces[0][1]
    if left <= PAGE:
        pages = [command.prp2] if left else []
    else:
        if command.prp2 & 7:
            raise CommandError(INVALID_PRP_OFFSET)
        pages = _list_of_pages(host, command.prp2, (left + PAGE - 1) // PAGE)
    for page in pages:
        if page % PAGE:
            raise CommandError(INVALID_PRP_OFFSET)
        pieces.append((page, min(left, PAGE)))
        left -= PAGE
    return pieces


def _list_of_pages(host: Host, at: int, count: int) -> list[int]:
    pages: list[int] = []
    while True:
        here = (PAGE - at % PAGE) // 8
        wanted = count - len(pages)
        entries = struct.unpack(f"<{min(here, wanted)}Q", host.dma_read(at, 8 * min(here, wanted)))
        if wanted <= here:
            return [*pages, *entries]
        pages += entries[:-1]
        at = entries[-1]
        if at % PAGE:
            raise CommandError(INVALID_PRP_OFFSET)


def to_host(host: Host, command: Command, data: bytes) -> None:
    """Give a command its data."""
    done = 0
    for address, length in data_pieces(host, command, len(data)):
        host.dma_write(address, data[done : done + length])
        done += length


def from_host(host: Host, command: Command, length: int) -> bytes:
    """Take a command's data."""
    return b"".join(host.dma_read(address, n) for address, n in data_pieces(host, command, length))
