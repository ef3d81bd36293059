"""The NVMe-like model: registers, start and stop, queues that wrap, commands, data pages, the interrupt, state."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmiotools.devices import block as b
from mmiotools.devices import block_commands as c
from mmiotools.devices import block_queues as q
from mmiotools.devices.block import Block
from mmiotools.engine.interface import CONFIG, Seen

ADMIN_SQ, ADMIN_CQ, IO_SQ, IO_CQ, DATA, LIST = 0x10000, 0x20000, 0x30000, 0x40000, 0x100000, 0x200000
CC_ON = b.CC_SETTINGS | b.CC_EN


class FakeHost:
    """A clock, lines, and memory."""

    def __init__(self) -> None:
        self.time = 9_000
        self.lines: list[tuple[int, int]] = []
        self.memory = bytearray(0x300000)

    def now(self) -> int:
        return self.time

    def irq(self, line: int, level: int) -> None:
        self.lines.append((line, level))

    def dma_read(self, address: int, n: int) -> bytes:
        return bytes(self.memory[address : address + n])

    def dma_write(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = data


class Desk:
    """A card and a host, and what a driver would do to them."""

    def __init__(self, stride: int = 0, entries: int = 8, start: bool = True) -> None:
        self.card, self.host = Block(stride=stride), FakeHost()
        self.card.attach(self.host)
        self.stride = 4 << stride
        #: queue → entries; (submission tail, completion head, phase)
        self.sizes = {0: entries}
        self.places = {0: [0, 0, 1]}
        if start:
            self.put(b.AQA, (entries - 1) << 16 | entries - 1)
            self.card.write("BAR0", b.ASQ, 8, ADMIN_SQ)
            self.card.write("BAR0", b.ACQ, 8, ADMIN_CQ)
            self.put(b.CC, CC_ON)
            self.host.time += b.READY_NS

    def get(self, offset: int) -> int:
        return self.card.read("BAR0", offset, 4)

    def put(self, offset: int, value: int) -> None:
        self.card.write("BAR0", offset, 4, value)

    def ring(self, number: int, completion: int, value: int) -> None:
        self.put(b.DOORBELLS + (2 * number + completion) * self.stride, value)

    def queue(self, opcode: int, *words: int, number: int = 0, nsid: int = 0, prp: tuple[int, int] = (0, 0)) -> None:
        """Put a command into a submission queue without ringing; its id is its place in the queue."""
        place = self.places[number]
        base = IO_SQ if number else ADMIN_SQ
        words = (*words, *[0] * (6 - len(words)))
        entry = struct.pack("<BBHI16xQQ6I", opcode, 0, 0x100 + place[0], nsid, *prp, *words)
        self.host.dma_write(base + 64 * place[0], entry)
        place[0] = (place[0] + 1) % self.sizes[number]

    def completed(self, number: int = 0) -> tuple[int, int, int, int, int] | None:
        """Take a completion without ringing: result, submission head, queue, command, status; or None."""
        place = self.places[number]
        base = IO_CQ if number else ADMIN_CQ
        entry = self.host.dma_read(base + 16 * place[1], 16)
        result, zero, head, queue, command, status = struct.unpack("<IIHHHH", entry)
        if status & 1 != place[2]:
            return None
        assert zero == 0
        place[1] = (place[1] + 1) % self.sizes[number]
        place[2] ^= place[1] == 0
        return result, head, queue, command, status >> 1

    def run(self, opcode: int, *words: int, number: int = 0, nsid: int = 0, prp: tuple[int, int] = (0, 0)) -> q.Status:
        """A command from submission to the head doorbell."""
        sent = 0x100 + self.places[number][0]
        self.queue(opcode, *words, number=number, nsid=nsid, prp=prp)
        self.ring(number, 0, self.places[number][0])
        done = self.completed(number)
        assert done is not None
        self.ring(number, 1, self.places[number][1])
        _, head, queue, command, status = done
        assert (head, queue, command) == (self.places[number][0], number, sent)
        return q.Status(status >> 8 & 7, status & 0xFF)

    def with_io(self, entries: int = 8, interrupts: bool = True) -> Desk:
        """I/O queues 1."""
        size = (entries - 1) << 16 | 1
        assert self.run(c.CREATE_CQ, size, 3 if interrupts else 1, prp=(IO_CQ, 0)) == q.OK
        assert self.run(c.CREATE_SQ, size, 1 << 16 | 1, prp=(IO_SQ, 0)) == q.OK
        self.sizes[1], self.places[1] = entries, [0, 0, 1]
        return self

    def io(self, opcode: int, first: int, count: int, prp: tuple[int, int] = (DATA, DATA + 4096)) -> q.Status:
        """Read or write blocks of namespace 1."""
        return self.run(opcode, first & 0xFFFFFFFF, first >> 32, count - 1, number=1, nsid=1, prp=prp)


# -- registers, start and stop ---------------------------------------------------------------------------------


def test_identity_and_capabilities():
    desk = Desk(stride=3, start=False)
    card = desk.card
    assert card.pci.ids == "1b36:0010"
    assert card.read(CONFIG, 8, 4) >> 8 == 0x010802
    assert card.read(CONFIG, 0x10, 4) & 15 == 4
    capabilities = card.read("BAR0", b.CAP, 8)
    assert (capabilities & 0xFFFF, capabilities >> 32 & 15, capabilities >> 37 & 0xFF) == (63, 3, 1)
    assert capabilities == desk.get(b.CAP) | desk.get(b.CAP_HIGH) << 32
    assert (desk.get(b.VS), desk.get(b.CSTS), desk.get(0x3FFC)) == (0x10200, 0, 0)
    assert card.read("BAR2", 0, 1) == 0xFF


@pytest.mark.parametrize("offset", [b.CAP, b.CAP_HIGH, b.VS, b.CSTS])
def test_read_only_registers(offset):
    desk = Desk()
    before = desk.get(offset)
    desk.put(offset, ~before & 0xFFFFFFFF)
    assert desk.get(offset) == before


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([b.ASQ, b.ACQ]))
@settings(max_examples=30)
def test_wide_registers_take_halves(value, offset):
    desk = Desk(start=False)
    desk.put(offset, value & 0xFFFFFFFF)
    desk.put(offset + 4, value >> 32)
    assert desk.card.read("BAR0", offset, 8) == value & ~0xFFF
    desk.card.write("BAR0", offset, 8, ~value & (1 << 64) - 1)
    assert desk.card.read("BAR0", offset + 2, 4) == (~value & (1 << 64) - 1 & ~0xFFF) >> 16 & 0xFFFFFFFF
    desk.card.write("BAR0", offset, 2, 0)
    assert desk.card.read("BAR0", offset, 8) == ~value & (1 << 64) - 1 & ~0xFFF


def test_ready_takes_its_time_both_ways():
    desk = Desk()
    desk.host.time -= 1
    assert desk.get(b.CSTS) == 0
    desk.ring(0, 0, 1)  # too early: not heard
    desk.host.time += 1
    assert desk.get(b.CSTS) == b.CSTS_RDY
    assert desk.completed() is None
    desk.put(b.CC, 0)
    desk.host.time += b.STOP_NS - 1
    assert desk.get(b.CSTS) == b.CSTS_RDY
    desk.host.time += 1
    assert desk.get(b.CSTS) == 0


@pytest.mark.parametrize(
    "settings",
    [
        {b.CC: CC_ON | 1 << 7},
        {b.CC: CC_ON | 1 << 4},
        {b.CC: b.CC_EN},
        {b.ASQ: 0},
        {b.ACQ: 0xFFF},
        {b.AQA: 7 << 16},
        {b.AQA: 7},
    ],
)
def test_settings_that_are_not_possible(settings):
    desk = Desk(start=False)
    for offset, value in ({b.AQA: 7 << 16 | 7, b.ASQ: ADMIN_SQ, b.ACQ: ADMIN_CQ} | settings).items():
        desk.put(offset, value)
    desk.put(b.CC, settings.get(b.CC, CC_ON))
    desk.host.time += b.READY_NS
    assert desk.get(b.CSTS) == b.CSTS_CFS
    desk.put(b.CC, 0)
    desk.host.time += b.STOP_NS
    assert desk.get(b.CSTS) == 0


def test_shutdown():
    desk = Desk()
    desk.put(b.CC, CC_ON | 1 << 14)
    assert desk.get(b.CSTS) == b.CSTS_RDY | b.CSTS_SHUTTING
    desk.host.time += b.SHUTDOWN_NS
    assert desk.get(b.CSTS) == b.CSTS_RDY | b.CSTS_SHUT
    desk.put(b.CC, 0)
    desk.host.time += b.STOP_NS
    assert desk.get(b.CSTS) == 0


def test_disabling_forgets_queues_and_keeps_the_disk():
    desk = Desk().with_io()
    desk.host.dma_write(DATA, b"kept" * 128)
    assert desk.io(c.WRITE, 5, 1) == q.OK
    desk.put(b.CC, 0)
    desk.host.time += b.STOP_NS
    desk.get(b.CSTS)
    desk.put(b.CC, CC_ON)
    desk.host.time += b.READY_NS
    desk.host.memory[ADMIN_CQ : ADMIN_CQ + 4096] = bytes(4096)
    desk.places[0] = [0, 0, 1]
    desk.ring(1, 0, 1)
    desk.host.memory[IO_CQ : IO_CQ + 4096] = desk.host.memory[DATA : DATA + 4096] = bytes(4096)
    desk.with_io()
    assert desk.io(c.READ, 5, 1) == q.OK
    assert desk.host.dma_read(DATA, 512) == b"kept" * 128
    desk.card.reset()
    assert desk.card.queues.disk.read(5 * 512, 4) == 0


# -- queues ----------------------------------------------------------------------------------------------------


@given(st.integers(2, 9), st.integers(0, 3), st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=12))
@settings(max_examples=60)
def test_queues_wrap_and_wait_for_room(entries, stride, rounds):
    """Every command ends once, in order, whatever the sizes; with a full completion queue the rest waits."""
    desk = Desk(stride).with_io(entries)
    sent = ended = 0
    ids: list[int] = []
    for send, take in rounds:
        for _ in range(min(send, entries - 1 - (sent - ended))):
            ids.append(0x100 + desk.places[1][0])
            desk.queue(c.FLUSH, number=1, nsid=1)
            sent += 1
        desk.ring(1, 0, desk.places[1][0])
        for _ in range(min(take, sent - ended)):
            done = desk.completed(1)
            assert done is not None
            assert done[2:] == (1, ids[ended], 0)
            ended += 1
        desk.ring(1, 1, desk.places[1][1])
        assert desk.card._line == (ended < sent)
    while ended < sent:
        done = desk.completed(1)
        assert done is not None and done[3] == ids[ended]
        ended += 1
    assert desk.completed(1) is None


def test_a_small_completion_queue_holds_commands_back():
    desk = Desk()
    assert desk.run(c.CREATE_CQ, 1 << 16 | 1, 3, prp=(IO_CQ, 0)) == q.OK
    assert desk.run(c.CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1, prp=(IO_SQ, 0)) == q.OK
    desk.places[1], desk.sizes[1] = [0, 0, 1], 8
    for _ in range(5):
        desk.queue(c.FLUSH, number=1, nsid=1)
    desk.ring(1, 0, 5)
    heads = []
    for turn in range(5):
        entry = desk.host.dma_read(IO_CQ + 16 * (turn % 2), 16)
        assert entry[14] & 1 == (turn // 2 + 1) % 2
        heads.append(struct.unpack_from("<H", entry, 8)[0])
        desk.ring(1, 1, (turn + 1) % 2)
    assert heads == [1, 2, 3, 4, 5]
    assert desk.card.queues.submission[1].head == 5


def test_doorbells_that_mean_nothing():
    desk = Desk()
    before = desk.card.snapshot()
    for at, value in ((0x1000, 8), (0x1008, 1), (0x3FF8, 1), (0x1001, 1)):
        desk.put(at, value)
    after = Desk()
    after.get(0)
    desk.get(0)
    assert desk.card.snapshot() == after.card.snapshot() != before
    desk = Desk(stride=1)
    desk.queue(c.IDENTIFY, 1, prp=(DATA, 0))
    desk.put(0x1004, 1)  # between two doorbells
    assert desk.completed() is None
    desk.put(0x1000, 1)
    assert desk.completed() is not None


# -- admin commands --------------------------------------------------------------------------------------------


def test_identify():
    desk = Desk()
    assert desk.run(c.IDENTIFY, 1, prp=(DATA, 0)) == q.OK
    controller = desk.host.dma_read(DATA, 4096)
    assert struct.unpack_from("<HH", controller) == (0x1B36, 0x1AF4)
    assert controller[24:64].decode() == "mmiotools block device".ljust(40)
    assert (controller[77], controller[512], controller[513]) == (1, 0x66, 0x44)
    assert struct.unpack_from("<I", controller, 516) == (1,)
    assert desk.run(c.IDENTIFY, 0, nsid=1, prp=(DATA, 0)) == q.OK
    namespace = desk.host.dma_read(DATA, 4096)
    assert struct.unpack_from("<Q", namespace) == (b.BLOCKS,)
    assert namespace[130] == 9
    assert desk.run(c.IDENTIFY, 2, prp=(DATA, 0)) == q.OK
    assert desk.host.dma_read(DATA, 8) == b"\1" + bytes(7)
    assert desk.run(c.IDENTIFY, 2, nsid=1, prp=(DATA, 0)) == q.OK
    assert desk.host.dma_read(DATA, 4) == bytes(4)
    assert desk.run(c.IDENTIFY, 0, nsid=2, prp=(DATA, 0)) == q.INVALID_NAMESPACE
    assert desk.run(c.IDENTIFY, 9, prp=(DATA, 0)) == q.INVALID_FIELD


def test_number_of_queues():
    desk = Desk()
    for opcode in (c.SET_FEATURES, c.GET_FEATURES):
        desk.queue(opcode, 7, 0x00FF00FF)
        desk.ring(0, 0, desk.places[0][0])
        done = desk.completed()
        assert done is not None and (done[0], done[4]) == (0x00030003, 0)
    assert desk.run(c.SET_FEATURES, 1) == q.INVALID_FIELD


CREATE_ERRORS = [
    ((c.CREATE_CQ, 7 << 16 | 0, 3), q.INVALID_QUEUE),
    ((c.CREATE_CQ, 7 << 16 | 5, 3), q.INVALID_QUEUE),
    ((c.CREATE_CQ, 7 << 16 | 1, 3), q.INVALID_QUEUE),
    ((c.CREATE_CQ, 0 << 16 | 2, 3), q.INVALID_SIZE),
    ((c.CREATE_CQ, 64 << 16 | 2, 3), q.INVALID_SIZE),
    ((c.CREATE_CQ, 7 << 16 | 2, 2), q.INVALID_FIELD),
    ((c.CREATE_CQ, 7 << 16 | 2, 1 << 16 | 3), q.INVALID_VECTOR),
    ((c.CREATE_SQ, 7 << 16 | 2, 0 << 16 | 1), q.INVALID_COMPLETION_QUEUE),
    ((c.CREATE_SQ, 7 << 16 | 2, 3 << 16 | 1), q.INVALID_COMPLETION_QUEUE),
    ((c.CREATE_SQ, 7 << 16 | 1, 1 << 16 | 1), q.INVALID_QUEUE),
    ((c.DELETE_CQ, 1), q.INVALID_DELETION),
    ((c.DELETE_CQ, 2), q.INVALID_QUEUE),
    ((c.DELETE_SQ, 0), q.INVALID_QUEUE),
    ((0x02,), q.INVALID_OPCODE),
]


@pytest.mark.parametrize(("command", "status"), CREATE_ERRORS)
def test_admin_errors(command, status):
    desk = Desk().with_io()
    assert desk.run(*command, prp=(IO_CQ, 0)) == status
    assert desk.run(c.CREATE_CQ, 7 << 16 | 3, 3, prp=(IO_CQ + 64, 0)) == q.INVALID_PRP_OFFSET


def test_queues_can_be_deleted_and_made_again():
    desk = Desk(entries=3).with_io()
    for _ in range(3):
        assert desk.io(c.FLUSH, 0, 1) == q.OK
        assert desk.run(c.DELETE_SQ, 1) == q.OK
        assert desk.run(c.DELETE_CQ, 1) == q.OK
        desk.host.memory[IO_CQ : IO_CQ + 4096] = bytes(4096)
        desk.with_io()


# -- the disk --------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 16), st.integers(0, 1023), st.binary(min_size=1, max_size=8)),
        min_size=1,
        max_size=8,
    )
)
@example([(3, 16, 100, b"a list of pages"), (3, 16, 0, b"two pages")])
@settings(max_examples=30)
def test_blocks_against_a_model(writes):
    """Up to 8 KiB at any place, from memory that begins anywhere in a page: two pages, or a list of pages."""
    desk, disk = Desk().with_io(), bytearray(64 * 512)
    for first, count, offset, seed in writes:
        length, offset = 512 * count, 4 * offset
        data = (seed * length)[:length]
        on_first = min(length, 4096 - offset)
        prp = (DATA + offset, DATA + 0x3000)
        places = [(DATA + offset, 0, on_first), (DATA + 0x3000, on_first, min(length, on_first + 4096))]
        if length - on_first > 4096:
            # The list begins in the last entry of its page, which leads to the next page of it.
            desk.host.dma_write(LIST + 4088, struct.pack("<Q", LIST + 0x2000))
            desk.host.dma_write(LIST + 0x2000, struct.pack("<QQ", DATA + 0x3000, DATA + 0x1000))
            prp = (DATA + offset, LIST + 4088)
            places.append((DATA + 0x1000, on_first + 4096, length))
        for address, start, end in places:
            desk.host.dma_write(address, data[start:end])
        assert desk.io(c.WRITE, first, count, prp) == q.OK
        disk[512 * first : 512 * first + length] = data
        for address, _, _ in places:
            desk.host.memory[address : address + 8] = bytes(8)
        assert desk.io(c.READ, first, count, prp) == q.OK
        assert b"".join(desk.host.dma_read(address, max(0, end - start)) for address, start, end in places) == data
    for first in range(0, 56, 8):
        assert desk.io(c.READ, first, 8) == q.OK
        assert desk.host.dma_read(DATA, 4096) == disk[512 * first : 512 * first + 4096]


@pytest.mark.parametrize(
    ("opcode", "first", "count", "prp", "status"),
    [
        (c.READ, b.BLOCKS - 1, 1, (DATA, 0), q.OK),
        (c.READ, b.BLOCKS - 1, 2, (DATA, 0), q.OUT_OF_RANGE),
        (c.WRITE, 1 << 40, 1, (DATA, 0), q.OUT_OF_RANGE),
        (c.WRITE, 0, 17, (DATA, DATA + 4096), q.INVALID_FIELD),
        (c.WRITE, 0, 1, (DATA + 2, 0), q.INVALID_PRP_OFFSET),
        (c.WRITE, 0, 16, (DATA, DATA + 8), q.INVALID_PRP_OFFSET),
        (c.WRITE, 0, 16, (DATA + 4, LIST + 4), q.INVALID_PRP_OFFSET),
        (3, 0, 1, (DATA, 0), q.INVALID_OPCODE),
    ],
)
def test_io_errors(opcode, first, count, prp, status):
    desk = Desk().with_io()
    assert desk.io(opcode, first, count, prp) == status


def test_namespaces():
    desk = Desk().with_io()
    assert desk.run(c.READ, number=1, nsid=2, prp=(DATA, 0)) == q.INVALID_NAMESPACE
    assert desk.run(c.READ, number=1, nsid=0xFFFFFFFF, prp=(DATA, 0)) == q.INVALID_NAMESPACE
    assert desk.run(c.FLUSH, number=1, nsid=0xFFFFFFFF) == q.OK


# -- interrupt and state ---------------------------------------------------------------------------------------


def test_line_mask_and_queues_that_do_not_interrupt():
    desk = Desk()
    desk.queue(c.GET_FEATURES, 7)
    desk.ring(0, 0, 1)
    assert desk.host.lines == [(9, 1)]
    desk.put(b.INTMS, 1)
    assert (desk.get(b.INTMS), desk.get(b.INTMC)) == (1, 1)
    desk.put(b.INTMC, 1)
    assert desk.host.lines == [(9, 1), (9, 0), (9, 1)]
    assert desk.get(b.INTMC) == 0
    desk.completed()
    desk.ring(0, 1, 1)
    assert desk.host.lines[3:] == [(9, 0)]
    desk.with_io(interrupts=False)
    count = len(desk.host.lines)
    assert desk.io(c.FLUSH, 0, 1) == q.OK
    assert len(desk.host.lines) == count


def test_log_and_reset():
    desk = Desk().with_io()
    desk.queue(c.FLUSH, number=1, nsid=1)
    desk.ring(1, 0, 1)
    assert desk.host.lines[-1] == (9, 1)
    desk.card.reset()
    assert desk.host.lines[-1] == (9, 0)
    assert desk.card.seen == []
    assert desk.card.snapshot() == Desk(start=False).card.snapshot()
    desk.put(b.INTMS, 3)
    assert desk.get(b.INTMS) == 1
    assert desk.card.seen == [Seen("W", "BAR0", b.INTMS, 4, 3), Seen("R", "BAR0", b.INTMS, 4, 1)]


def test_snapshot_and_restore():
    desk = Desk().with_io(entries=3)
    desk.host.dma_write(DATA, bytes(range(256)) * 2)
    for block in range(4):
        assert desk.io(c.WRITE, block, 1) == q.OK
    desk.queue(c.READ, 2, number=1, nsid=1, prp=(DATA + 4096, 0))
    desk.ring(1, 0, desk.places[1][0])
    desk.put(b.CC, CC_ON | 1 << 14)
    state = desk.card.snapshot()
    other = Desk(start=False)
    other.host.time, other.host.memory[:] = desk.host.time, desk.host.memory
    other.card.restore(state)
    assert other.card.snapshot() == state
    assert other.host.lines == [(9, 1)]
    other.places, other.sizes = {key: list(place) for key, place in desk.places.items()}, dict(desk.sizes)
    for each in (desk, other):
        each.host.time += b.SHUTDOWN_NS
        assert each.get(b.CSTS) == b.CSTS_RDY | b.CSTS_SHUT
        assert each.completed(1) is not None
        each.ring(1, 1, each.places[1][1])
        assert each.io(c.READ, 3, 1, (DATA + 8192, 0)) == q.OK
    assert other.host.memory == desk.host.memory
    assert desk.host.dma_read(DATA + 8192, 512) == bytes(range(256)) * 2
