"""mpqemu: QEMU's x-pci-proxy-dev, which works without KVM up to QEMU 8.1, over a socket that QEMU was given.

One message: a head of 16 bytes (command, size of the payload), and the payload in the machine's own layout. Facts about
the protocol: include/hw/remote/mpqemu-link.h of QEMU 7.2. Accesses to BARs come with bus addresses, so it is known here
where the BARs are. Interrupts do not reach a guest that runs without KVM by this protocol; they go another way.
"""

from __future__ import annotations

import struct

from mmiotools.errors import ProtocolError
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.serve.messages import Message
from mmiotools.serve.stream import Stream, close_all
from mmiotools.trace.registry import API
from mmiotools.typed import ClassVar, Protocol

_HEAD = struct.Struct("=i4xQ")
_RET = struct.Struct("=i4xQQ")
_SYSMEM = struct.Struct("=8Q8Q8q")
_CONFIG = struct.Struct("=IIi")
_ACCESS = struct.Struct("=QQI?3x")
_SYNC, _ANSWER, _CFG_WRITE, _CFG_READ, _BAR_WRITE, _BAR_READ, _IRQFD, _RESET = range(8)
_SIZES = {_SYNC: 192, _CFG_WRITE: 12, _CFG_READ: 12, _BAR_WRITE: 24, _BAR_READ: 24, _IRQFD: 0, _RESET: 0}
_FDS = {_SYNC: range(9), _IRQFD: range(2, 3)}
_FAILED = (1 << 64) - 1
_WIDTHS = (1, 2, 4, 8)


class Injector(Protocol):
    """The other way of interrupts into the guest."""

    def line(self, number: int, level: int) -> bool:
        """Set the interrupt line that the firmware has given the function, as it wrote it to the configuration; False
        when it goes nowhere.
        """

    def message(self, message: Message) -> bool:
        """A message-signalled interrupt; False when it goes nowhere."""


class Mpqemu:
    """One QEMU. `injector` may be set later than the connection begins; there are no interrupts without."""

    api: ClassVar[int] = API
    name: ClassVar[str] = "mpqemu"
    title: ClassVar[str] = "A socket for x-pci-proxy-dev of QEMU before 8.2; interrupts through QEMU's qtest socket."
    wide: ClassVar[bool] = False

    def __init__(self, stream: Stream, function: Function, host: ServedHost) -> None:
        self.stream = stream
        self.notes: list[str] = []
        self.injector: Injector | None = None
        self._function = function
        self._host = host
        self._level = 0
        host.deliver = self._deliver
        function.messages.send = self._send_message

    def close(self) -> None:
        """Memory is given up."""
        self._host.memory.clear()

    def handle(self) -> None:
        """One message."""
        head, fds = self.stream.head(_HEAD.size)
        try:
            command, size = _HEAD.unpack(head)
            if command not in _SIZES:
                raise ProtocolError(f"mpqemu: command {command} came, which there is not")
            if size != _SIZES[command]:
                raise ProtocolError(f"mpqemu: command {command} says that it has {size} bytes, not {_SIZES[command]}")
            if len(fds) not in _FDS.get(command, range(1)):
                raise ProtocolError(f"mpqemu: command {command} came with {len(fds)} file descriptors")
            body = self.stream.body(size)
            if command == _SYNC:
                self._share(body, fds)
                return
            if command == _IRQFD:
                # For a kernel with KVM to take interrupts from; no use to a guest without.
                return
        finally:
            close_all(fds)
        self.stream.send(_RET.pack(_ANSWER, 8, self._do(command, body)))

    def _do(self, command: int, body: bytes) -> int:
        function = self._function
        if command in (_CFG_READ, _CFG_WRITE):
            offset, value, width = _CONFIG.unpack(body)
            if width not in (1, 2, 4) or offset + width > function.config_size:
                return _FAILED
            if command == _CFG_READ:
                return function.config_read(offset, width)
            function.config_write(offset, width, value)
            return 0
        if command == _RESET:
            function.reset()
            return 0
        address, value, width, memory = _ACCESS.unpack(body)
        found = function.find(address, not memory)
        if width not in _WIDTHS:
            return _FAILED
        if found is None or found[1] + width > function.bar_size(found[0]):
            function.stray += 1
            return _FAILED
        if command == _BAR_READ:
            return function.read(*found, width)
        function.write(*found, width, value)
        return 0

    def _share(self, body: bytes, fds: list[int]) -> None:
        """The guest's memory, all of it anew."""
        held = _SYSMEM.unpack(body)
        memory = self._host.memory
        memory.clear()
        for fd, address, size, offset in zip(fds, held[:8], held[8:16], held[16:], strict=False):
            memory.map(address, size, fd, offset)

    def _deliver(self, line: int, level: int) -> bool:
        messages = self._function.messages
        if messages.msix or messages.msi:
            # A card that knows of no vectors has one cause: the first.
            return not level or messages.fire(self._function.vector(line)) or messages.fire(0)
        if level == self._level:
            return True
        self._level = level
        return self.injector.line(self._function.line, level) if self.injector is not None else not level

    def _send_message(self, message: Message) -> bool:
        return self.injector.message(message) if self.injector is not None else False
