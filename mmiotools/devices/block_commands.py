"""What an NVMe-like controller's commands do: the admin set as far as queues and identities go, and a small disk.

  admin  00 delete submission queue   01 create it   04 delete completion queue   05 create it
         06 identify: CNS 0 namespace, 1 controller, 2 list of namespaces
         09 set features, 0a get features: 07, the number of queues
  I/O    00 flush   01 write   02 read

Everything else is an invalid opcode. There is one namespace, 1, of 512-byte blocks.

Reference: the NVM Express base specification, revision 1.2, sections 5 and 6.
"""

from __future__ import annotations

import struct

from mmiotools.devices import block_queues as q
from mmiotools.devices.storage import SparseMemory
from mmiotools.engine.interface import Host

DELETE_SQ, CREATE_SQ, DELETE_CQ, CREATE_CQ, IDENTIFY, SET_FEATURES, GET_FEATURES = 0, 1, 4, 5, 6, 9, 10
FLUSH, WRITE, READ = 0, 1, 2
NUMBER_OF_QUEUES = 7

BLOCK = 512
#: I/O queues of each kind, and entries of a queue at most.
IO_QUEUES = 4
ENTRIES = 64
#: log2 of the pages that one command moves at most: 8 KiB.
MDTS = 1


class Queues:
    """The queues by id; 0 are the admin queues. `blocks` is the size of the namespace."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.disk = SparseMemory()
        self.submission: dict[int, q.Submission] = {}
        self.completion: dict[int, q.Completion] = {}

    def work(self, host: Host) -> None:
        """Carry out what is submitted, queue by queue, as long as there is room to say so."""
        for number in sorted(self.submission):
            while number in self.submission:
                submission = self.submission[number]
                completion = self.completion[submission.completion]
                if submission.head == submission.tail or completion.full:
                    break
                command = q.fetch(host, submission)
                status, result = q.OK, 0
                try:
                    result = self._admin(host, command) if number == 0 else self._io(host, command)
                except q.CommandError as error:
                    status = error.status
                completion.post(host, q.completion_entry(result, submission.head, number, command.id, status))

    @property
    def unseen(self) -> bool:
        """Whether a queue that interrupts has entries that the host has not taken."""
        return any(queue.interrupts and queue.head != queue.tail for queue in self.completion.values())

    # -- admin commands -----------------------------------------------------------------------------------

    def _admin(self, host: Host, command: q.Command) -> int:
        if command.opcode == IDENTIFY:
            q.to_host(host, command, self._identity(command))
        elif command.opcode == CREATE_CQ:
            self._create_completion(command)
        elif command.opcode == CREATE_SQ:
            self._create_submission(command)
        elif command.opcode in (DELETE_SQ, DELETE_CQ):
            self._delete(command)
        elif command.opcode in (SET_FEATURES, GET_FEATURES):
            if command.words[0] & 0xFF != NUMBER_OF_QUEUES:
                raise q.CommandError(q.INVALID_FIELD)
            # Both counts start at 0; the controller gives what it has, whatever was asked for.
            return (IO_QUEUES - 1) << 16 | IO_QUEUES - 1
        else:
            raise q.CommandError(q.INVALID_OPCODE)
        return 0

    def _create_completion(self, command: q.Command) -> None:
        number, size = self._new_queue(command, number_taken=self.completion)
        if command.words[1] >> 16:
            raise q.CommandError(q.INVALID_VECTOR)
        self.completion[number] = q.Completion(command.prp1, size, bool(command.words[1] & 2))

    def _create_submission(self, command: q.Command) -> None:
        number, size = self._new_queue(command, number_taken=self.submission)
        completion = command.words[1] >> 16
        if completion not in self.completion or completion == 0:
            raise q.CommandError(q.INVALID_COMPLETION_QUEUE)
        self.submission[number] = q.Submission(command.prp1, size, completion)

    def _new_queue(
        self, command: q.Command, number_taken: dict[int, q.Submission] | dict[int, q.Completion]
    ) -> tuple[int, int]:
        """Id and entries of a queue that can be made."""
        number, size = command.words[0] & 0xFFFF, (command.words[0] >> 16) + 1
        if not 1 <= number <= IO_QUEUES or number in number_taken:
            raise q.CommandError(q.INVALID_QUEUE)
        if not 2 <= size <= ENTRIES:
            raise q.CommandError(q.INVALID_SIZE)
        if not command.words[1] & 1:
            raise q.CommandError(q.INVALID_FIELD)  # only queues in one piece, as CAP says
        if command.prp1 % q.PAGE:
            raise q.CommandError(q.INVALID_PRP_OFFSET)
        return number, size

    def _delete(self, command: q.Command) -> None:
        number = command.words[0] & 0xFFFF
        of_kind = self.submission if command.opcode == DELETE_SQ else self.completion
        if number == 0 or number not in of_kind:
            raise q.CommandError(q.INVALID_QUEUE)
        if command.opcode == DELETE_CQ and any(s.completion == number for s in self.submission.values()):
            raise q.CommandError(q.INVALID_DELETION)
        del of_kind[number]

    def _identity(self, command: q.Command) -> bytes:
        what = command.words[0] & 0xFF
        data = bytearray(q.PAGE)
        if what == 1:
            struct.pack_into("<HH20s40s8s", data, 0, 0x1B36, 0x1AF4, b"MMIO0001".ljust(20), _MODEL, b"1".ljust(8))
            data[77] = MDTS
            struct.pack_into("<I", data, 80, 0x00010200)
            data[512], data[513] = 0x66, 0x44
            struct.pack_into("<I", data, 516, 1)
            data[525] = 1
        elif what == 0 and command.namespace == 1:
            struct.pack_into("<QQQ", data, 0, self.blocks, self.blocks, self.blocks)
            struct.pack_into("<I", data, 128, 9 << 16)
        elif what == 2:
            if command.namespace < 1:
                struct.pack_into("<I", data, 0, 1)
        else:
            raise q.CommandError(q.INVALID_NAMESPACE if what == 0 else q.INVALID_FIELD)
        return bytes(data)

    # -- the disk -----------------------------------------------------------------------------------------

    def _io(self, host: Host, command: q.Command) -> int:
        if command.opcode not in (FLUSH, WRITE, READ):
            raise q.CommandError(q.INVALID_OPCODE)
        if command.namespace != 1 and not (command.opcode == FLUSH and command.namespace == 0xFFFFFFFF):
            raise q.CommandError(q.INVALID_NAMESPACE)
        if command.opcode == FLUSH:
            return 0  # every write is on the disk when its completion is posted
        first, count = command.words[1] << 32 | command.words[0], (command.words[2] & 0xFFFF) + 1
        if first + count > self.blocks:
            raise q.CommandError(q.OUT_OF_RANGE)
        if count * BLOCK > q.PAGE << MDTS:
            raise q.CommandError(q.INVALID_FIELD)
        if command.opcode == READ:
            blocks = (self.disk.read(BLOCK * (first + n), BLOCK).to_bytes(BLOCK, "little") for n in range(count))
            q.to_host(host, command, b"".join(blocks))
        else:
            data = q.from_host(host, command, BLOCK * count)
            self.disk.write(BLOCK * first, len(data), int.from_bytes(data, "little"))
        return 0


_MODEL = b"mmiotools block device".ljust(40)
