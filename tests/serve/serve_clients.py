"""Peers of served cards, written from the protocols alone, and a thread that serves a device to them."""

from __future__ import annotations

import array
import contextlib
import json
import mmap
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

from mmiotools.devices.card import Card
from mmiotools.errors import MmioToolsError
from mmiotools.serve import TRANSPORTS
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.serve.loop import Connection, Stop, serve
from mmiotools.serve.stream import Stream
from mmiotools.trace.header import Bar, PciDevice

PCI = PciDevice(
    bdf=0x18, vendor=0x1234, device=0x5678, irq=11, bars=(Bar(0, 0xFEB00000, 0x1000, 4), Bar(2, 0xC000, 0x20, 1))
)


class Memo(Card):
    """A card of plain registers, with three that do something.

    0x0  write: raise (not 0) or lower (0) the line, or send the vector of that number plus one
    0x8  write: a bus address; 4 bytes there are increased by one
    0x10 write: nanoseconds until it raises its line by itself
    """

    name = "memo"

    def power_on(self) -> None:
        self.registers: dict[tuple[str, int, int], int] = {}
        self.when: int | None = None
        self.resets = getattr(self, "resets", -1) + 1

    def read_bar(self, bar: str, offset: int, width: int) -> int:
        return self.registers.get((bar, offset, width), 0)

    def write_bar(self, bar: str, offset: int, width: int, value: int) -> None:
        self.registers[bar, offset, width] = value
        assert self.host is not None
        if bar != "BAR0":
            return
        if offset == 0:
            self.host.irq(max(value - 1, 0), 1 if value else 0)
        elif offset == 8:
            held = int.from_bytes(self.host.dma_read(value, 4), "little")
            self.host.dma_write(value, (held + 1 & 0xFFFFFFFF).to_bytes(4, "little"))
        elif offset == 0x10:
            self.when = self.host.now() + value

    def due(self) -> int | None:
        return self.when

    def tick(self) -> None:
        assert self.host is not None
        self.when = None
        self.host.irq(0, 1)


def config_with_messages(msi: int = 2, msix: int = 4) -> bytes:
    """A configuration space with MSI (64 bits, `msi` vectors as a power of two) and MSI-X (table at BAR0+0x800)."""
    config = bytearray(256)
    struct.pack_into("<HHHHI", config, 0, PCI.vendor, PCI.device, 0, 0x10, 0x01080200)
    config[0x34] = 0x40
    struct.pack_into("<BBH", config, 0x40, 5, 0x60, 0x80 | msi << 1)
    struct.pack_into("<BBHII", config, 0x60, 0x11, 0, msix - 1, 0x800, 0xC00)
    return bytes(config)


class Served:
    """A device in a thread of its own. `error` is what ended the serving, `ended` how it ended else."""

    def __init__(self, transport: str, peer: socket.socket, device: Any, **options: Any) -> None:
        found = TRANSPORTS.get(transport)
        self.host = ServedHost()
        device.attach(self.host)
        self.device = device
        self.function = Function(device, wide=found.wide, **options)
        self.stream = Stream(peer, patience=0.3)
        self.connection: Connection = found(self.stream, self.function, self.host)
        self.stop = Stop()
        self.error: BaseException | None = None
        self.ended: str | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the end, which must come."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "hangs"

    def _run(self) -> None:
        try:
            self.ended = serve(self.connection, self.function, self.host, self.stop)
        except MmioToolsError as error:
            self.error = error
        finally:
            self.connection.close()
            self.stream.close()


@contextlib.contextmanager
def served(transport: str, device: Any = None, **options: Any) -> Iterator[tuple[socket.socket, Served]]:
    """The client's end of a connection to a device that is served."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.settimeout(20)
    serving = Served(transport, theirs, Memo(PCI) if device is None else device, **options)
    serving.start()
    try:
        yield ours, serving
    finally:
        ours.close()
        serving.stop.ask()
        serving.join()
        serving.stop.close()


def send(stream: socket.socket, data: bytes, fds: list[int] | None = None) -> None:
    """One message, with file descriptors on its first byte."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = stream.sendmsg([data], ancillary)
    if sent < len(data):
        stream.sendall(data[sent:])


def receive(stream: socket.socket, size: int) -> bytes:
    """So many bytes; fewer when the peer hangs up."""
    data = b""
    while len(data) < size and (part := stream.recv(size - len(data))):
        data += part
    return data


@contextlib.contextmanager
def memory(size: int) -> Iterator[tuple[int, mmap.mmap]]:
    """A guest's memory: its file descriptor, and a view of it."""
    fd = os.memfd_create("ram")
    os.ftruncate(fd, size)
    with mmap.mmap(fd, size) as view:
        yield fd, view
    os.close(fd)


class VfioClient:
    """Speaks vfio-user."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._number = 0

    def ask(self, command: int, body: bytes = b"", fds: list[int] | None = None, flags: int = 0) -> tuple[int, bytes]:
        """Errno and payload of the answer."""
        self._number += 1
        send(self.stream, struct.pack("=HHIII", self._number, command, 16 + len(body), flags, 0) + body, fds)
        if flags & 0x10:
            return 0, b""
        head = receive(self.stream, 16)
        assert len(head) == 16, "hung up"
        number, echoed, size, told, error = struct.unpack("=HHIII", head)
        assert (number, echoed, told & 0xF) == (self._number, command, 1)
        assert bool(told & 0x20) == bool(error)
        return error, receive(self.stream, size - 16)

    def greet(self) -> dict[str, Any]:
        """Agree on a version; what the server is able to do."""
        asked = {"capabilities": {"max_msg_fds": 16, "write_multiple": True}}
        error, body = self.ask(1, struct.pack("=HH", 0, 0) + json.dumps(asked).encode() + b"\0")
        assert error == 0 and body.endswith(b"\0")
        found: dict[str, Any] = json.loads(body[4:-1])["capabilities"]
        return found

    def read(self, region: int, offset: int, count: int) -> int:
        error, body = self.ask(9, struct.pack("=QII", offset, region, count))
        assert error == 0 and len(body) == 16 + count
        return int.from_bytes(body[16:], "little")

    def write(self, region: int, offset: int, count: int, value: int, posted: bool = False) -> None:
        body = struct.pack("=QII", offset, region, count) + value.to_bytes(count, "little")
        assert self.ask(10, body, flags=0x10 if posted else 0)[0] == 0

    def irqs(self, flags: int, index: int, start: int, count: int, fds: list[int] | None = None) -> int:
        """Errno of SET_IRQS."""
        return self.ask(8, struct.pack("=IIIII", 20, flags, index, start, count), fds)[0]

    def map(self, fd: int | None, offset: int, address: int, size: int, flags: int = 3) -> int:
        body = struct.pack("=IIQQQ", 32, flags, offset, address, size)
        return self.ask(2, body, None if fd is None else [fd])[0]


class MpqemuClient:
    """Speaks as x-pci-proxy-dev does."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream

    def tell(self, command: int, body: bytes = b"", fds: list[int] | None = None) -> None:
        send(self.stream, struct.pack("=i4xQ", command, len(body)) + body, fds)

    def ask(self, command: int, body: bytes = b"") -> int:
        self.tell(command, body)
        answer = receive(self.stream, 24)
        assert len(answer) == 24, "hung up"
        kind, size, value = struct.unpack("=i4xQQ", answer)
        assert (kind, size) == (1, 8)
        return int(value)

    def config_read(self, offset: int, width: int) -> int:
        return self.ask(3, struct.pack("=IIi", offset, 0, width))

    def config_write(self, offset: int, width: int, value: int) -> None:
        assert self.ask(2, struct.pack("=IIi", offset, value, width)) == 0

    def read(self, address: int, width: int, memory: bool = True) -> int:
        return self.ask(5, struct.pack("=QQI?3x", address, 0, width, memory))

    def write(self, address: int, width: int, value: int, memory: bool = True) -> int:
        return self.ask(4, struct.pack("=QQI?3x", address, value, width, memory))

    def share(self, parts: list[tuple[int, int, int, int]]) -> None:
        """Memory as (fd, address, size, offset); answered by nothing, so something is asked behind it."""
        columns = [[part[field] for part in parts] + [0] * (8 - len(parts)) for field in (1, 2, 3)]
        self.tell(0, struct.pack("=8Q8Q8q", *columns[0], *columns[1], *columns[2]), [part[0] for part in parts])
        self.config_read(0, 4)
