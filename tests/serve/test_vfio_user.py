"""vfio-user, from a client's side: what there is, accesses, memory, interrupts, and everything that is no message."""

from __future__ import annotations

import errno
import gc
import os
import select
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_clients import PCI, VfioClient, config_with_messages, memory, send, served

from mmiotools.errors import ProtocolError

CONFIG, INTX, MSI, MSIX = 7, 0, 1, 2
ATTACH, DETACH, UNMASK, MASK = 0x24, 0x21, 0x11, 0x09


@pytest.fixture(autouse=True, scope="module")
def nothing_of_other_tests_is_left() -> None:
    """A file that one of them dropped must not be closed while those of a test are counted."""
    gc.collect()


def fired(fd: int) -> int:
    """How often an eventfd was written; emptied."""
    return os.eventfd_read(fd) if select.select([fd], [], [], 0)[0] else 0


def test_what_there_is() -> None:
    with served("vfio-user", config=config_with_messages()) as (stream, _):
        client = VfioClient(stream)
        assert client.greet()["max_msg_fds"] == 16
        assert client.ask(4, struct.pack("=IIII", 16, 0, 0, 0)) == (0, struct.pack("=IIII", 16, 3, 9, 5))
        sizes = []
        for index in range(9):
            error, body = client.ask(5, struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0))
            assert error == 0
            sizes.append(struct.unpack("=IIIIQQ", body)[4])
        assert sizes == [0x1000, 0, 0x20, 0, 0, 0, 0, 256, 0]
        counts = [struct.unpack("=IIII", client.ask(7, struct.pack("=IIII", 16, 0, n, 0))[1])[3] for n in range(5)]
        assert counts == [1, 4, 4, 0, 0]
        assert client.ask(5, struct.pack("=IIIIQQ", 32, 0, 9, 0, 0, 0))[0] == errno.EINVAL
        assert client.ask(16)[0] == errno.EOPNOTSUPP


def test_bars_are_sized_and_moved_as_on_a_bus() -> None:
    with served("vfio-user") as (stream, serving):
        client = VfioClient(stream)
        client.greet()
        assert client.read(CONFIG, 0, 4) == PCI.device << 16 | PCI.vendor
        assert client.read(CONFIG, 0x3D, 1) == 1
        for at in (0x10, 0x14, 0x18, 0x30):
            client.write(CONFIG, at, 4, 0xFFFFFFFF)
        assert [client.read(CONFIG, at, 4) for at in (0x10, 0x14, 0x18, 0x30)] == [
            0xFFFFF004,
            0xFFFFFFFF,
            0xFFFFFFE1,
            0,
        ]
        client.write(CONFIG, 0x10, 4, 0x23456000)
        client.write(CONFIG, 0x14, 4, 1)
        client.write(CONFIG, 4, 2, 7)
        assert client.read(CONFIG, 4, 2) == 7
        assert client.read(CONFIG, 0x10, 8) == 0x1_23456004
        assert serving.function.find(0x1_23456010, False) == (0, 0x10)


def test_accesses_reach_the_device_in_natural_pieces() -> None:
    with served("vfio-user") as (stream, serving):
        client = VfioClient(stream)
        client.greet()
        client.write(0, 0x20, 4, 0x12345678)
        client.write(0, 0x40, 8, 0x1122334455667788, posted=True)
        assert client.read(0, 0x20, 4) == 0x12345678
        assert client.read(0, 0x40, 8) == 0x1122334455667788
        client.write(2, 0x11, 3, 0xABCDEF)
        assert [seen[:4] for seen in serving.device.seen if seen.region != "config"] == [
            ("W", "BAR0", 0x20, 4),
            ("W", "BAR0", 0x40, 8),
            ("R", "BAR0", 0x20, 4),
            ("R", "BAR0", 0x40, 8),
            ("W", "BAR2", 0x11, 1),
            ("W", "BAR2", 0x12, 2),
        ]
        for region, offset, count in ((0, 0xFFD, 4), (1, 0, 4), (9, 0, 4), (0, 1 << 63, 4), (0, 0, 0)):
            assert client.ask(9, struct.pack("=QII", offset, region, count))[0] == errno.EINVAL
        assert client.ask(13) == (0, b"")
        assert serving.device.resets == 1


def test_memory_is_read_and_written_where_it_is_shared() -> None:
    with served("vfio-user") as (stream, serving), memory(0x3000) as (fd, view):
        client = VfioClient(stream)
        client.greet()
        assert client.map(fd, 0x1000, 0x80000000, 0x2000) == 0
        view[0x1004] = 41
        client.write(0, 8, 8, 0x80000004)
        assert view[0x1004] == 42
        assert client.map(None, 0, 0x90000000, 0x1000) == 0
        client.write(0, 8, 8, 0x90000000)
        assert serving.host.memory.outside == 2
        body = struct.pack("=IIQQ", 24, 0, 0x80000000, 0x1000)
        assert client.ask(3, body)[0] == errno.EINVAL, "half of what was mapped"
        body = struct.pack("=IIQQ", 24, 0, 0x80000000, 0x2000)
        assert client.ask(3, body) == (0, body)
        client.write(0, 8, 8, 0x80000004)
        assert view[0x1004] == 42
        os.ftruncate(fd, 0x3000)


def test_a_file_that_shrinks_is_no_memory_any_more() -> None:
    with served("vfio-user") as (stream, serving), memory(0x3000) as (fd, _):
        client = VfioClient(stream)
        client.greet()
        assert client.map(fd, 0, 0, 0x3000) == 0
        os.ftruncate(fd, 0x1000)
        client.write(0, 8, 8, 0x2000)
        client.write(0, 8, 8, 0x10)
        assert serving.host.memory.outside == 2
        os.ftruncate(fd, 0x3000)


def test_the_line_is_masked_until_the_client_unmasks_it() -> None:
    with served("vfio-user") as (stream, serving):
        client = VfioClient(stream)
        client.greet()
        client.write(0, 0, 4, 1)
        assert serving.host.lost == 1
        event = os.eventfd(0)
        assert client.irqs(ATTACH, INTX, 0, 1, [event]) == 0
        assert fired(event) == 1, "it was up already"
        client.write(0, 0, 4, 1)
        assert fired(event) == 0
        assert client.irqs(UNMASK, INTX, 0, 1) == 0
        assert fired(event) == 1, "it is still up"
        client.write(0, 0, 4, 0)
        assert client.irqs(UNMASK, INTX, 0, 1) == 0
        assert fired(event) == 0
        assert client.irqs(MASK, INTX, 0, 1) == 0
        client.write(0, 0, 4, 1)
        assert fired(event) == 0
        assert client.irqs(DETACH, INTX, 0, 0) == 0
        assert client.irqs(UNMASK, INTX, 0, 1) == 0
        assert fired(event) == 0
        os.close(event)


def test_vectors_and_what_fits_none() -> None:
    with served("vfio-user", config=config_with_messages()) as (stream, _):
        client = VfioClient(stream)
        client.greet()
        events = [os.eventfd(0) for _ in range(3)]
        assert client.irqs(ATTACH, MSIX, 0, 3, events) == 0
        client.write(0, 0, 4, 3)
        assert [fired(fd) for fd in events] == [0, 0, 1]
        client.write(0, 0, 4, 9)
        assert [fired(fd) for fd in events] == [1, 0, 0], "a vector that is not there is the first"
        assert client.irqs(ATTACH, MSIX, 3, 2, events[:2]) == errno.EINVAL
        assert client.irqs(ATTACH, MSIX, 0, 2, events) == errno.EINVAL
        assert client.irqs(ATTACH, MSIX, 2, 1) == 0
        client.write(0, 0, 4, 3)
        assert [fired(fd) for fd in events] == [1, 0, 0]
        for fd in events:
            os.close(fd)


def test_a_device_acts_by_itself_when_it_is_due() -> None:
    with served("vfio-user") as (stream, _):
        client = VfioClient(stream)
        client.greet()
        event = os.eventfd(0)
        assert client.irqs(ATTACH, INTX, 0, 1, [event]) == 0
        client.write(0, 0x10, 8, 20_000_000)
        assert select.select([event], [], [], 20)[0]
        os.close(event)


HEAD = struct.Struct("=HHIII")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEAD.pack(1, 9, 15, 0, 0), "says that it has 15 bytes"),
        (HEAD.pack(1, 9, 1 << 31, 0, 0), "says that it has 2147483648 bytes"),
        (HEAD.pack(1, 9, 32, 1, 0) + bytes(16), "of type 1"),
        (HEAD.pack(1, 9, 32, 0, 0) + bytes(16), "before a version was agreed"),
        (HEAD.pack(1, 1, 18, 0, 0) + bytes(2), "with 2 bytes, which it cannot have"),
        (HEAD.pack(1, 1, 20, 0, 0) + b"\1\0\0\0", "speaks version 1.0"),
        (HEAD.pack(1, 1, 23, 0, 0) + b"\0\0\0\0{]\0", "JSON"),
        (HEAD.pack(1, 1, 24, 0, 0) + b"\0\0\0\0[]\0\0", "JSON object"),
        (HEAD.pack(1, 1, 40, 0, 0) + b"\0\0\0\0{}\0", "nothing for 0.3 s"),
        (HEAD.pack(1, 1, 40, 0, 0)[:9], "nothing for 0.3 s"),
    ],
)
def test_nonsense_ends_the_connection_with_a_line(data: bytes, message: str) -> None:
    with served("vfio-user") as (stream, serving):
        send(stream, data)
        serving.join()
        assert isinstance(serving.error, ProtocolError)
        assert message in str(serving.error) and "\n" not in str(serving.error)


@pytest.mark.parametrize(
    ("command", "body", "fds", "message"),
    [
        (9, bytes(17), 0, "with 17 bytes"),
        (9, bytes(16), 1, "with file descriptors"),
        (10, struct.pack("=QII", 0, 0, 4) + bytes(3), 0, "a write of 4 bytes came with 3 bytes"),
        (8, struct.pack("=IIIII", 21, 0x22, 0, 0, 1), 0, "states of 1 interrupts came as 0 bytes"),
        (8, struct.pack("=IIIII", 20, 0x24, 0, 0, 1), 1, "no eventfd"),
        (2, struct.pack("=IIQQQ", 32, 3, 0, 0, 0x2000), 1, "beyond the end of the file"),
        (2, struct.pack("=IIQQQ", 32, 3, 0, (1 << 64) - 0x1000, 0x2000), 1, "outside the address space"),
        (9, bytes(16), 17, "more than 16 file descriptors"),
    ],
)
def test_nonsense_after_the_version(command: int, body: bytes, fds: int, message: str) -> None:
    with served("vfio-user") as (stream, serving), memory(0x1000) as (fd, _):
        VfioClient(stream).greet()
        send(stream, HEAD.pack(9, command, 16 + len(body), 0, 0) + body, [fd] * fds)
        serving.join()
        assert isinstance(serving.error, ProtocolError)
        assert message in str(serving.error) and "\n" not in str(serving.error)


def open_fds() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


MESSAGES = st.one_of(
    st.binary(max_size=64),
    st.builds(
        lambda command, size, flags, body: HEAD.pack(1, command, 16 + len(body) + size, flags, 0) + body,
        st.integers(0, 20),
        st.sampled_from([0, 0, 0, 0, -1, 1, 70000]),
        st.sampled_from([0, 0, 0, 0x10, 0x20, 1]),
        st.one_of(
            st.binary(max_size=48),
            st.lists(st.sampled_from([0, 1, 2, 3, 4, 7, 16, 20, 0x24, 0x21, 32, 0x1000, 0xFFFFFFFF]), max_size=8).map(
                lambda words: struct.pack(f"={len(words)}I", *words)
            ),
        ),
    ),
)


@given(st.lists(st.tuples(MESSAGES, st.integers(0, 3)), max_size=8), st.booleans())
@settings(max_examples=150)
def test_whatever_comes_it_ends_and_leaves_nothing_open(messages: list[tuple[bytes, int]], greet: bool) -> None:
    with memory(0x1000) as (fd, _):
        event = os.eventfd(0)
        before = open_fds()
        with served("vfio-user", config=config_with_messages()) as (stream, serving):
            if greet:
                VfioClient(stream).greet()
            try:
                for data, fds in messages:
                    if data:
                        send(stream, data, [fd, event, fd][:fds])
            except OSError:
                pass
        assert serving.error is None or isinstance(serving.error, ProtocolError)
        assert open_fds() == before
        os.close(event)
