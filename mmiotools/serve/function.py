"""A device as a PCI function on a bus that moves its BARs: configuration space, and accesses by BAR or by address."""

from __future__ import annotations

from mmiotools.engine.interface import CONFIG, Device
from mmiotools.errors import UsageError
from mmiotools.serve.messages import Messages, writable
from mmiotools.typed import Callable, Container

_COMMAND, _STATUS, _CLASS, _BARS, _HEADER_TYPE, _ROM, _LINE, _PIN = 0x04, 0x06, 0x08, 0x10, 0x0E, 0x30, 0x3C, 0x3D
_COMMAND_BITS, _PIN_OFF = 0x0547, 1 << 10
_HAS_CAPABILITIES = 0x10
_PORT, _WIDE = 1, 4
#: Accesses that a device's own log keeps while it is served.
_SEEN = 1 << 16

Watch = Callable[[str, int, int, int, int], None]


class Function:
    """What a transport serves. Accesses of any length are done in natural pieces of 1, 2, 4 and 8 bytes.

    Of configuration space, the BARs, the interrupt line and pin, and what `config` holds are kept here, because a
    device's own does not move; the rest is the device's.

    wide    may BARs take 64 bits? Where not, those of the device are shown as of 32
    config  configuration space of the real card, 64 to 4096 bytes, when it is known
    class_code  class << 16 | subclass << 8 | interface, where neither `config` nor the device knows it
    plain   BARs that are memory here, because the device knows nothing of them; `aside` counts accesses to them
    rewind  what a reset does to the device when the driver has used it already; the device's own reset if not given
    trim    empties the device's log of accesses, which would grow for as long as the driver runs
    watch   called after each access to a BAR: "R" or "W", BAR, offset, width, value

    Raises UsageError for a BAR that is too large.
    """

    def __init__(
        self,
        device: Device,
        *,
        wide: bool = True,
        config: bytes = b"",
        class_code: int = 0,
        plain: Container[int] = (),
        rewind: Callable[[], None] | None = None,
        trim: Callable[[], None] | None = None,
    ) -> None:
        self.device = device
        self.accesses = 0
        self.stray = 0
        self.resets = 0
        self.aside = 0
        self.watch: Watch | None = None
        self._plain = plain
        self._bytes: dict[tuple[int, int], int] = {}
        self._rewind = rewind
        self._trim = trim
        self._sizes = {bar.number: _size(bar.size, bar.flags) for bar in device.pci.bars if 0 <= bar.number <= 5}
        for number, size in self._sizes.items():
            if size > 1 << 31 and not wide:
                raise UsageError(f"BAR{number} has {size >> 30} GiB, and this transport takes BARs of 32 bits only")
        self._flags = {bar.number: bar.flags & 15 if wide or bar.flags & _PORT else 0 for bar in device.pci.bars}
        self._first = bytearray(config or bytes(256))
        self._first.extend(bytes(max(256 - len(self._first), 0)))
        self._own = bytearray(b"\xff" if config else b"\0") * len(self._first)
        self._bits = bytearray(len(self._first))
        self._describe(len(config), class_code)
        self._held = bytearray(self._first)
        self.messages = Messages(self._held)
        self._windows: list[tuple[int, int, int, bool]] = []
        self._place()

    def _describe(self, known: int, class_code: int) -> None:
        # The six BARs, and the register behind them, which QEMU's proxy takes for a seventh.
        for at in range(_BARS, _BARS + 28, 4):
            self._keep(at, 4, 0)
        for number, size in self._sizes.items():
            flags, at = self._flags[number], _BARS + 4 * number
            self._keep(at, 4, flags, -size & ~(3 if flags & _PORT else 15))
            if flags & (_WIDE | _PORT) == _WIDE and number < 5:
                self._keep(at + 4, 4, 0, -size >> 32)
        # The expansion ROM is not served.
        self._keep(_ROM, 4, 0)
        self._keep(_LINE, 1, 0, 0xFF)
        self._keep(_PIN, 1, 1)
        if known:
            if known <= 64:
                # What the capabilities are is beyond what is known.
                self._keep(
                    _STATUS, 2, int.from_bytes(self._first[_STATUS : _STATUS + 2], "little") & ~_HAS_CAPABILITIES
                )
            # One function: no other would be there.
            self._keep(_HEADER_TYPE, 1, self._first[_HEADER_TYPE] & 0x7F)
            self._keep(_COMMAND, 2, 0, _COMMAND_BITS)
            for at, size, bits in writable(self._first):
                held = int.from_bytes(self._first[at : at + size], "little")
                self._keep(at, size, held & ~bits, bits)
        elif class_code and not self.device.read(CONFIG, _CLASS + 1, 1) | self.device.read(CONFIG, _CLASS + 2, 2) << 8:
            self._keep(_CLASS + 1, 1, class_code)
            self._keep(_CLASS + 2, 2, class_code >> 8)

    def _keep(self, at: int, size: int, value: int, bits: int = 0) -> None:
        """These bytes are kept here, and begin as `value`; `bits` of them can be set."""
        whole = (1 << 8 * size) - 1
        self._own[at : at + size] = b"\xff" * size
        self._first[at : at + size] = (value & whole).to_bytes(size, "little")
        self._bits[at : at + size] = (bits & whole).to_bytes(size, "little")

    # -- configuration space ------------------------------------------------------------------------------

    @property
    def config_size(self) -> int:
        """Bytes of configuration space, 256 or more."""
        return len(self._held)

    @property
    def line(self) -> int:
        """The interrupt line that the firmware has written."""
        return self._held[_LINE]

    def vector(self, line: int) -> int:
        """The vector that is meant, where the driver has chosen vectors: the card's line stands for its first one."""
        return 0 if line == self.device.pci.irq else line

    def bar_size(self, number: int) -> int:
        """Bytes of a BAR, a power of two; 0 where there is none."""
        return self._sizes.get(number, 0)

    def is_port(self, number: int) -> bool:
        """Whether a BAR is of port space."""
        return bool(self._flags.get(number, 0) & _PORT)

    def config_read(self, offset: int, width: int) -> int:
        """`width` bytes, 1, 2 or 4, as the bus sees them; all ones outside."""
        if offset + width > len(self._held):
            return (1 << 8 * width) - 1
        own = int.from_bytes(self._own[offset : offset + width], "little")
        held = int.from_bytes(self._held[offset : offset + width], "little")
        if own == (1 << 8 * width) - 1:
            return held
        self._bound()
        return self.device.read(CONFIG, offset, width) & ~own | held & own

    def config_write(self, offset: int, width: int, value: int) -> None:
        """Store what can be stored."""
        if offset + width > len(self._held):
            return
        value &= (1 << 8 * width) - 1
        span = slice(offset, offset + width)
        bits, held = (int.from_bytes(part[span], "little") for part in (self._bits, self._held))
        self._held[span] = (held & ~bits | value & bits).to_bytes(width, "little")
        if not _BARS <= offset < _ROM + 4:
            self._bound()
            self.device.write(CONFIG, offset, width, self._told(offset, width, value))
        self._place()
        self.messages.release()

    def _told(self, offset: int, width: int, value: int) -> int:
        """What the device is told of a write. One that knows of no messages shall not fall silent because the driver
        has switched its pin off in favour of them.
        """
        if self.messages.msi_vectors or self.messages.msix_vectors:
            value &= ~(_PIN_OFF << 8 * _COMMAND >> 8 * offset) if offset <= _COMMAND + 1 < offset + width else -1
        return value

    def _place(self) -> None:
        """Where the BARs are now."""
        self._windows = [(self.address(n), size, n, self.is_port(n)) for n, size in self._sizes.items()]

    def address(self, number: int) -> int:
        """Where a BAR begins."""
        at, flags = _BARS + 4 * number, self._flags[number]
        wide = flags & (_WIDE | _PORT) == _WIDE and number < 5
        value = int.from_bytes(self._held[at : at + (8 if wide else 4)], "little")
        return value & ~(3 if flags & _PORT else 15)

    def find(self, address: int, port: bool) -> tuple[int, int] | None:
        """BAR and offset of a bus address."""
        for start, size, number, is_port in self._windows:
            if start <= address < start + size and is_port == port:
                return number, address - start
        return None

    # -- BARs ---------------------------------------------------------------------------------------------

    def read(self, number: int, offset: int, count: int) -> int:
        """`count` bytes of a BAR."""
        value = done = 0
        while done < count:
            width = _piece(offset + done, count - done)
            part = self._read(number, offset + done, width)
            part = self.messages.shown(number, offset + done, width, part) & (1 << 8 * width) - 1
            self._count("R", number, offset + done, width, part)
            value |= part << 8 * done
            done += width
        return value

    def write(self, number: int, offset: int, count: int, value: int) -> None:
        """Store `count` bytes in a BAR."""
        done = 0
        while done < count:
            width = _piece(offset + done, count - done)
            part = value >> 8 * done & (1 << 8 * width) - 1
            self._write(number, offset + done, width, part)
            self.messages.stored(number, offset + done, width, part)
            self._count("W", number, offset + done, width, part)
            done += width

    def _read(self, number: int, offset: int, width: int) -> int:
        if number not in self._plain:
            return self.device.read(f"BAR{number}", offset, width)
        self.aside += 1
        return sum(self._bytes.get((number, offset + at), 0) << 8 * at for at in range(width))

    def _write(self, number: int, offset: int, width: int, value: int) -> None:
        if number not in self._plain:
            self.device.write(f"BAR{number}", offset, width, value)
            return
        self.aside += 1
        for at in range(width):
            self._bytes[number, offset + at] = value >> 8 * at & 0xFF

    def _count(self, op: str, number: int, offset: int, width: int, value: int) -> None:
        self.accesses += 1
        self._bound()
        if self.watch is not None:
            self.watch(op, number, offset, width, value)

    def _bound(self) -> None:
        """Keep the device's log from growing, by accesses to its configuration space, too."""
        if len(self.device.seen) > _SEEN:
            if self._trim is None:
                self.device.seen.clear()
            else:
                self._trim()

    def reset(self) -> None:
        """The bus is reset: BARs are nowhere. The device is reset too, unless `rewind` says otherwise."""
        self._held[:] = self._first
        self._place()
        self.messages.reset()
        if not self.accesses or self._rewind is None:
            self.device.reset()
        else:
            self.resets += 1
            self._rewind()


def _size(size: int, flags: int) -> int:
    """A power of two, not less than a page's sixteenth part may be: BARs are decoded by their address bits."""
    least = 4 if flags & _PORT else 16
    return 1 << max(size, least).bit_length() - (not max(size, least) & max(size, least) - 1)


def _piece(offset: int, left: int) -> int:
    """The widest natural access at an offset."""
    width = 8
    while width > left or offset % width:
        width >>= 1
    return width
