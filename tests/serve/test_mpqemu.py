"""mpqemu, from QEMU's side: BARs by address, memory, interrupts beside it, and everything that is no message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_clients import PCI, Memo, MpqemuClient, config_with_messages, memory, send, served
from test_vfio_user import open_fds

from mmiotools.errors import ProtocolError, UsageError
from mmiotools.serve.messages import Message
from mmiotools.trace.header import Bar

FAILED = (1 << 64) - 1


class Wires:
    """Takes interrupts."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def line(self, number: int, level: int) -> bool:
        self.log.append((number, level))
        return True

    def message(self, message: Message) -> bool:
        self.log.append(tuple(message))
        return True


def test_accesses_by_bus_address() -> None:
    with served("mpqemu") as (stream, serving):
        qemu = MpqemuClient(stream)
        assert qemu.config_read(0, 2) == PCI.vendor and qemu.config_read(2, 2) == PCI.device
        for at in range(0x10, 0x2C, 4):
            qemu.config_write(at, 4, 0xFFFFFFFF)
        sizes = [qemu.config_read(at, 4) for at in range(0x10, 0x2C, 4)]
        assert sizes == [0xFFFFF000, 0, 0xFFFFFFE1, 0, 0, 0, 0], "no BAR of 64 bits, and no seventh one"
        qemu.config_write(0x10, 4, 0xE0001000)
        qemu.config_write(0x18, 4, 0xD000)
        assert qemu.write(0xE0001020, 4, 0xCAFE) == 0
        assert qemu.read(0xE0001020, 4) == 0xCAFE
        assert qemu.write(0xD004, 2, 0x1234, memory=False) == 0
        assert qemu.read(0xD004, 2, memory=False) == 0x1234
        assert [seen[:4] for seen in serving.device.seen if seen.region != "config"] == [
            ("W", "BAR0", 0x20, 4),
            ("R", "BAR0", 0x20, 4),
            ("W", "BAR2", 4, 2),
            ("R", "BAR2", 4, 2),
        ]
        for address, width, space in ((0xE0002000, 4, True), (0xE0001020, 4, False), (0xE0001FFE, 4, True)):
            assert qemu.read(address, width, space) == FAILED
        assert serving.function.stray == 3
        assert qemu.read(0xE0001020, 3) == FAILED
        assert qemu.config_read(255, 4) == FAILED
        assert qemu.ask(7) == 0
        assert qemu.config_read(0x10, 4) == 0 and serving.device.resets == 1


def test_memory_comes_anew_each_time() -> None:
    with served("mpqemu") as (stream, serving), memory(0x4000) as (fd, view):
        qemu = MpqemuClient(stream)
        qemu.config_write(0x10, 4, 0xE0000000)
        before = open_fds()
        for _ in range(50):
            qemu.share([(fd, 0, 0x1000, 0), (fd, 0x10000, 0x2000, 0x2000)])
        assert open_fds() <= before + 2, "what is replaced is closed"
        qemu.write(0xE0000008, 8, 0x10FFC)
        assert view[0x2FFC] == 1
        qemu.share([(fd, 0x10000, 0x1000, 0)])
        qemu.write(0xE0000008, 8, 0x10FFC)
        assert (view[0x2FFC], view[0xFFC]) == (1, 1)
        qemu.write(0xE0000008, 8, 0x0)
        assert serving.host.memory.outside == 2


def test_the_line_goes_where_the_firmware_said() -> None:
    with served("mpqemu") as (stream, serving):
        qemu, wires = MpqemuClient(stream), Wires()
        qemu.config_write(0x10, 4, 0xE0000000)
        qemu.config_write(0x3C, 1, 11)
        qemu.write(0xE0000000, 4, 1)
        assert serving.host.lost == 1, "nobody takes it"
        qemu.write(0xE0000000, 4, 0)
        serving.connection.injector = wires
        for level in (1, 1, 0, 0):
            qemu.write(0xE0000000, 4, level)
        assert wires.log == [(11, 1), (11, 0)]


def test_msi_and_msix_are_messages() -> None:
    with served("mpqemu", config=config_with_messages()) as (stream, serving):
        qemu, wires = MpqemuClient(stream), Wires()
        serving.connection.injector = wires
        qemu.config_write(0x10, 4, 0xE0000000)
        qemu.config_write(0x44, 4, 0xFEE01000)
        qemu.config_write(0x4C, 2, 0x4020)
        qemu.config_write(0x42, 2, 0x21)
        assert qemu.config_read(0x42, 2) == 0x85 | 0x20, "4 vectors at most, and all of them"
        qemu.write(0xE0000000, 4, 4)
        assert wires.log.pop() == (0xFEE01000, 0x4023)
        qemu.config_write(0x42, 2, 0)
        qemu.config_write(0x62, 2, 0x8000)
        for vector in range(4):
            for at, value in ((0, 0xFEE02000), (4, 0), (8, 0x50 + vector)):
                qemu.write(0xE0000800 + 16 * vector + at, 4, value)
        assert qemu.read(0xE0000828, 4) == 0x52
        qemu.config_write(4, 2, 0x407)
        assert serving.device.config.command == 7, "a card that knows of no messages shall not fall silent"
        qemu.write(0xE0000000, 4, 3)
        assert not wires.log, "masked"
        qemu.write(0xE0000800 + 16 * 2 + 12, 4, 0)
        assert wires.log == [(0xFEE02000, 0x52)]
        qemu.write(0xE0000000, 4, 3)
        assert wires.log == [(0xFEE02000, 0x52)] * 2
        qemu.write(0xE0000000, 4, 0)
        assert len(wires.log) == 2


def test_a_bar_that_does_not_fit_is_refused() -> None:
    bars = (Bar(1, 0, 1 << 33, 12),)
    with pytest.raises(UsageError, match="BAR1 has 8 GiB"), served("mpqemu", Memo(PCI._replace(bars=bars))):
        pass
    with served("vfio-user", Memo(PCI._replace(bars=bars))) as (_, serving):
        assert serving.function.bar_size(1) == 1 << 33


HEAD = struct.Struct("=i4xQ")


@pytest.mark.parametrize(
    ("data", "fds", "message"),
    [
        (HEAD.pack(8, 0), 0, "command 8 came"),
        (HEAD.pack(1, 8) + bytes(8), 0, "command 1 came"),
        (HEAD.pack(-1, 0), 0, "command -1 came"),
        (HEAD.pack(5, 1 << 62), 0, "says that it has 4611686018427387904 bytes"),
        (HEAD.pack(5, 23) + bytes(23), 0, "says that it has 23 bytes"),
        (HEAD.pack(5, 24) + bytes(23), 0, "nothing for 0.3 s"),
        (HEAD.pack(5, 24) + bytes(24), 1, "with 1 file descriptors"),
        (HEAD.pack(6, 0), 1, "with 1 file descriptors"),
        (HEAD.pack(0, 192) + struct.pack("=8Q8Q8q", *[0] * 8, 1 << 40, *[0] * 7, *[0] * 8), 1, "beyond the end"),
        (HEAD.pack(0, 192) + struct.pack("=8Q8Q8q", *[0] * 8, 64, *[0] * 7, -1, *[0] * 7), 1, "beyond the end"),
        (HEAD.pack(0, 192) + struct.pack("=8Q8Q8q", *[0] * 8, 64, 64, *[0] * 6, *[0] * 8), 2, "overlaps"),
        (HEAD.pack(0, 192) + bytes(192), 9, "with 9 file descriptors"),
    ],
)
def test_nonsense_ends_the_connection_with_a_line(data: bytes, fds: int, message: str) -> None:
    with served("mpqemu") as (stream, serving), memory(0x1000) as (fd, _):
        send(stream, data, [fd] * fds)
        serving.join()
        assert isinstance(serving.error, ProtocolError)
        assert message in str(serving.error) and "\n" not in str(serving.error)


def test_hanging_up_in_the_middle_is_told() -> None:
    with served("mpqemu") as (stream, serving):
        send(stream, HEAD.pack(5, 24) + bytes(3))
        stream.close()
        serving.join()
        assert "hung up in the middle of a message, after 3 of 24 bytes" in str(serving.error)


def test_hanging_up_between_messages_is_the_end() -> None:
    with served("mpqemu") as (stream, serving):
        MpqemuClient(stream).config_read(0, 4)
        stream.close()
        serving.join()
        assert (serving.error, serving.ended) == (None, "gone")


SIZES = {0: 192, 2: 12, 3: 12, 4: 24, 5: 24, 6: 0, 7: 0}
MESSAGES = st.one_of(
    st.binary(max_size=48),
    st.sampled_from(sorted(SIZES)).flatmap(
        lambda command: st.tuples(
            st.just(command), st.sampled_from([0, 0, 0, 0, 1, -1]), st.binary(min_size=SIZES[command], max_size=256)
        ).map(lambda made: HEAD.pack(made[0], max(SIZES[made[0]] + made[1], 0)) + made[2][: SIZES[made[0]]])
    ),
)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 3)), max_size=8))
@settings(max_examples=150)
def test_whatever_comes_it_ends_and_leaves_nothing_open(messages: list[tuple[bytes, int]]) -> None:
    with memory(0x1000) as (fd, _):
        before = open_fds()
        with served("mpqemu", config=config_with_messages()) as (stream, serving):
            try:
                for data, fds in messages:
                    if data:
                        send(stream, data, [fd] * fds)
            except OSError:
                pass
        assert serving.error is None or isinstance(serving.error, ProtocolError)
        assert open_fds() == before
