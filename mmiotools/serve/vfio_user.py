"""vfio-user: QEMU's vfio-user-pci, and any other client of that protocol, at a UNIX socket.

One message: a head of 16 bytes (id, command, size with the head, flags, error) and a payload. Facts about the
protocol: docs/interop/vfio-user.rst of QEMU 10.1. Message numbers and sizes are checked before anything is done; what
is well formed and cannot be had is answered with an errno, and what is not ends the connection.
"""

from __future__ import annotations

import errno
import json
import os
import select
import struct

from mmiotools.errors import ProtocolError
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.serve.stream import MAX_FDS, Stream, close_all
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar

_HEAD = struct.Struct("=HHIII")
_REPLY, _NO_REPLY, _ERROR, _TYPE = 0x01, 0x10, 0x20, 0x0F
_VERSION = 1

#: Bytes that one access may move, and what a message may have besides: heads, and the text of a version.
MAX_TRANSFER = 1 << 16
_MAX_BODY = MAX_TRANSFER + 4096

_CONFIG_REGION, _REGIONS = 7, 9
_INTX, _MSI, _MSIX, _IRQS = 0, 1, 2, 5
_NONE, _BOOL, _EVENTFD, _MASK, _UNMASK, _TRIGGER = 1, 2, 4, 8, 16, 32
_NOTES = 10


class Refused(Exception):
    """A request that is understood and cannot be had: `number` is the errno of the answer."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class VfioUser:
    """One client."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "vfio-user"
    title: ClassVar[str] = "A UNIX socket for vfio-user-pci, which QEMU has since 10.1; interrupts by eventfd."
    wide: ClassVar[bool] = True

    def __init__(self, stream: Stream, function: Function, host: ServedHost) -> None:
        self.stream = stream
        self.notes: list[str] = []
        self._function = function
        self._host = host
        self._agreed = False
        self._lines = EventLines(function)
        host.deliver = self._lines.deliver
        #: Command → what does it, the bytes of its fixed part, whether more may follow, whether descriptors may come.
        self._commands: dict[int, tuple[Callable[[bytes, list[int]], bytes], int, bool, bool]] = {
            1: (self._version, 4, True, False),
            2: (self._dma_map, 32, False, True),
            3: (self._dma_unmap, 24, True, False),
            4: (self._info, 16, False, False),
            5: (self._region_info, 32, True, False),
            7: (self._irq_info, 16, False, False),
            8: (self._set_irqs, 20, True, True),
            9: (self._read, 16, False, False),
            10: (self._write, 16, True, False),
            13: (self._reset, 0, False, False),
        }

    def close(self) -> None:
        """Memory and eventfds are given up."""
        self._lines.close()
        self._host.memory.clear()

    def handle(self) -> None:
        """One message."""
        head, fds = self.stream.head(_HEAD.size)
        try:
            number, command, size, flags, _ = _HEAD.unpack(head)
            if not _HEAD.size <= size <= _HEAD.size + _MAX_BODY:
                raise ProtocolError(f"vfio-user: a message says that it has {size} bytes")
            body = self.stream.body(size - _HEAD.size)
            if flags & _TYPE:
                raise ProtocolError(f"vfio-user: a message of type {flags & _TYPE} came where a command may come")
            try:
                answer, error = self._do(command, body, fds), 0
            except Refused as refused:
                answer, error = b"", refused.number
        finally:
            close_all(fds)
        if not flags & _NO_REPLY:
            told = _REPLY | (_ERROR if error else 0)
            self.stream.send(_HEAD.pack(number, command, _HEAD.size + len(answer), told, error) + answer)

    def _do(self, command: int, body: bytes, fds: list[int]) -> bytes:
        """The payload of the answer. Takes out of `fds` what it keeps."""
        if command not in self._commands:
            self._note(f"the client asked for command {command} of vfio-user, which is not served")
            raise Refused(errno.EOPNOTSUPP)
        if not self._agreed and command != _VERSION:
            raise ProtocolError(f"vfio-user: command {command} came before a version was agreed")
        function, least, more, takes_fds = self._commands[command]
        if len(body) < least or (len(body) > least and not more):
            raise ProtocolError(f"vfio-user: command {command} came with {len(body)} bytes, which it cannot have")
        if fds and not takes_fds:
            raise ProtocolError(f"vfio-user: command {command} came with file descriptors, which it cannot have")
        return function(body, fds)

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < _NOTES:
            self.notes.append(text)

    # -- what there is ------------------------------------------------------------------------------------

    def _version(self, body: bytes, fds: list[int]) -> bytes:
        major, minor = struct.unpack_from("=HH", body)
        if major != 0:
            raise ProtocolError(f"vfio-user: the client speaks version {major}.{minor}, and 0 is spoken here")
        try:
            asked = json.loads(body[4:].rstrip(b"\0") or b"{}")
        except (ValueError, RecursionError) as error:
            raise ProtocolError("vfio-user: the client's version is not followed by JSON") from error
        if not isinstance(asked, dict):
            raise ProtocolError("vfio-user: the client's version is not followed by a JSON object")
        self._agreed = True
        able = {"max_msg_fds": MAX_FDS, "max_data_xfer_size": MAX_TRANSFER, "pgsizes": 4096, "write_multiple": False}
        return struct.pack("=HH", 0, 0) + json.dumps({"capabilities": able}).encode() + b"\0"

    def _info(self, body: bytes, fds: list[int]) -> bytes:
        return struct.pack("=IIII", 16, 3, _REGIONS, _IRQS)

    def _region_size(self, index: int) -> int:
        return self._function.config_size if index == _CONFIG_REGION else self._function.bar_size(index)

    def _region_info(self, body: bytes, fds: list[int]) -> bytes:
        argsz, _, index, _, _, _ = struct.unpack_from("=IIIIQQ", body)
        if argsz < 32 or index >= _REGIONS:
            raise Refused(errno.EINVAL)
        size = self._region_size(index)
        return struct.pack("=IIIIQQ", 32, 3 if size else 0, index, 0, size, 0)

    def _irq_info(self, body: bytes, fds: list[int]) -> bytes:
        argsz, _, index, _ = struct.unpack("=IIII", body)
        if argsz < 16 or index >= _IRQS:
            raise Refused(errno.EINVAL)
        count = self._lines.count(index)
        flags = 0 if not count else 7 if index == _INTX else 9
        return struct.pack("=IIII", 16, flags, index, count)

    # -- memory -------------------------------------------------------------------------------------------

    def _dma_map(self, body: bytes, fds: list[int]) -> bytes:
        argsz, flags, offset, address, size = struct.unpack("=IIQQQ", body)
        if argsz < 32 or flags & ~3 or len(fds) > 1:
            raise Refused(errno.EINVAL)
        self._host.memory.map(address, size, fds[0] if fds else None, offset, bool(flags & 2))
        return b""

    def _dma_unmap(self, body: bytes, fds: list[int]) -> bytes:
        argsz, flags, address, size = struct.unpack_from("=IIQQ", body)
        if argsz < 24 or flags & ~2 or len(body) != 24:
            raise Refused(errno.EINVAL)
        if flags & 2:
            self._host.memory.clear()
        elif not self._host.memory.unmap(address, size):
            raise Refused(errno.EINVAL)
        return body

    # -- accesses -----------------------------------------------------------------------------------------

    def _range(self, body: bytes) -> tuple[int, int, int]:
        offset, region, count = struct.unpack_from("=QII", body)
        if not 0 < count <= MAX_TRANSFER or region >= _REGIONS or offset + count > self._region_size(region):
            raise Refused(errno.EINVAL)
        return offset, region, count

    def _read(self, body: bytes, fds: list[int]) -> bytes:
        offset, region, count = self._range(body)
        if region != _CONFIG_REGION:
            return body + self._function.read(region, offset, count).to_bytes(count, "little")
        read = self._function.config_read
        parts = (read(at, width).to_bytes(width, "little") for at, width in _pieces(offset, count))
        return body + b"".join(parts)

    def _write(self, body: bytes, fds: list[int]) -> bytes:
        offset, region, count = self._range(body)
        if len(body) != 16 + count:
            raise ProtocolError(f"vfio-user: a write of {count} bytes came with {len(body) - 16} bytes")
        if region != _CONFIG_REGION:
            self._function.write(region, offset, count, int.from_bytes(body[16:], "little"))
        else:
            for at, width in _pieces(offset, count):
                start = 16 + at - offset
                self._function.config_write(at, width, int.from_bytes(body[start : start + width], "little"))
        return body[:16]

    def _reset(self, body: bytes, fds: list[int]) -> bytes:
        self._function.reset()
        return b""

    def _set_irqs(self, body: bytes, fds: list[int]) -> bytes:
        argsz, flags, index, start, count = struct.unpack_from("=IIIII", body)
        if argsz < 20 or index >= _IRQS or start + count > max(self._lines.count(index), 0):
            raise Refused(errno.EINVAL)
        states = body[20:]
        if len(states) != (count if flags & _BOOL else 0):
            raise ProtocolError(f"vfio-user: states of {count} interrupts came as {len(states)} bytes")
        chosen = [number for number in range(start, start + count) if not flags & _BOOL or states[number - start]]
        if fds and flags != _EVENTFD | _TRIGGER:
            raise Refused(errno.EINVAL)
        if flags == _EVENTFD | _TRIGGER:
            self._lines.attach(index, start, count, fds)
        elif flags == _NONE | _TRIGGER and not count:
            self._lines.detach(index)
        elif flags in (_NONE | _TRIGGER, _BOOL | _TRIGGER):
            for number in chosen:
                self._lines.fire(index, number)
        elif flags in (_NONE | _MASK, _BOOL | _MASK, _NONE | _UNMASK, _BOOL | _UNMASK) and index == _INTX:
            if chosen:
                self._lines.mask(bool(flags & _MASK))
        else:
            raise Refused(errno.EINVAL)
        return b""


def _pieces(offset: int, count: int) -> list[tuple[int, int]]:
    """A range of configuration space as natural accesses: (offset, width)."""
    found = []
    end = offset + count
    while offset < end:
        width = 4
        while offset % width or offset + width > end:
            width >>= 1
        found.append((offset, width))
        offset += width
    return found


class EventLines:
    """Interrupts as eventfds of the client: the INTx line, and vectors of MSI and MSI-X, which QEMU looks after.

    The line is masked when it was raised, until the client unmasks it; it is raised again then if it is still up.
    """

    def __init__(self, function: Function) -> None:
        messages = function.messages
        self._counts = {_INTX: 1, _MSI: messages.msi_vectors, _MSIX: messages.msix_vectors}
        self._vector = function.vector
        self._fds: dict[tuple[int, int], int] = {}
        self._level = 0
        self._masked = False

    def count(self, index: int) -> int:
        """Interrupts of a kind."""
        return self._counts.get(index, 0)

    def attach(self, index: int, start: int, count: int, fds: list[int]) -> None:
        """These eventfds are for interrupts from `start` on; none of them means that these have none any more."""
        if fds and len(fds) != count:
            raise Refused(errno.EINVAL)
        if not all(_is_eventfd(fd) for fd in fds):
            raise ProtocolError("vfio-user: a file descriptor that came for an interrupt is no eventfd")
        for number in range(start, start + count):
            self._drop(index, number)
        for number, fd in enumerate(fds, start):
            self._fds[index, number] = fd
        fds.clear()
        if index == _INTX and count:
            self._masked = False
            self._raise()

    def detach(self, index: int) -> None:
        """No interrupt of this kind any more."""
        for kind, number in list(self._fds):
            if kind == index:
                self._drop(kind, number)

    def close(self) -> None:
        """No interrupts any more."""
        for kind, number in list(self._fds):
            self._drop(kind, number)

    def mask(self, masked: bool) -> None:
        """Hold the line back, or let it go."""
        self._masked = masked
        self._raise()

    def deliver(self, line: int, level: int) -> bool:
        """An interrupt of the card: a vector of the kind that has eventfds, else the line."""
        for index in (_MSIX, _MSI):
            if any(kind == index for kind, _ in self._fds):
                # A card that knows of no vectors has one cause: the first.
                number = self._vector(line) if (index, self._vector(line)) in self._fds else 0
                return self.fire(index, number) if level else True
        self._level = level
        return self._raise() or self._masked or not level

    def fire(self, index: int, number: int) -> bool:
        """Tell the client of one interrupt; False when it has not said how."""
        fd = self._fds.get((index, number))
        if fd is None:
            return False
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        # An eventfd that nobody empties has been told already; writing to it would wait.
        if poll.poll(0):
            os.eventfd_write(fd, 1)
        return True

    def _raise(self) -> bool:
        if not self._level or self._masked or not self.fire(_INTX, 0):
            return False
        self._masked = True
        return True

    def _drop(self, index: int, number: int) -> None:
        fd = self._fds.pop((index, number), None)
        if fd is not None:
            close_all([fd])


def _is_eventfd(fd: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventfd]"
    except OSError:
        return False
