"""Memory and configuration space that device models are made of. No behaviour of a particular card here."""

from __future__ import annotations

from mmiotools.trace.header import ROM, PciDevice

_PAGE = 1 << 12


class SparseMemory:
    """Byte storage of any size that costs memory only where it was written; the rest reads as 0. Little-endian."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def read(self, offset: int, width: int) -> int:
        """`width` bytes at `offset`, which may cross pages."""
        page, at = divmod(offset, _PAGE)
        if at + width <= _PAGE:
            held = self._pages.get(page)
            return int.from_bytes(held[at : at + width], "little") if held is not None else 0
        return sum(self.read(offset + i, 1) << 8 * i for i in range(width))

    def write(self, offset: int, width: int, value: int) -> None:
        """Store the low `width` bytes of `value` at `offset`."""
        data = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        for i in range(width):
            page, at = divmod(offset + i, _PAGE)
            held = self._pages.get(page)
            if held is None:
                held = self._pages[page] = bytearray(_PAGE)
            held[at] = data[i]

    def clear(self) -> None:
        """Everything reads as 0 again."""
        self._pages.clear()

    def dump(self) -> dict[str, str]:
        """The pages that were written, JSON fit: page number → hex."""
        return {str(page): held.hex() for page, held in sorted(self._pages.items())}

    def load(self, pages: dict[str, str]) -> None:
        """Back to what `dump` gave."""
        self._pages = {int(page): bytearray.fromhex(held) for page, held in pages.items()}


#: Where things are in a type 0 configuration header, and which bits of the command register can be set.
COMMAND, CLASS, BARS, ROM_BAR, INTERRUPT = 0x04, 0x08, 0x10, 0x30, 0x3C
_COMMAND_BITS = 0x0547


class ConfigSpace:
    """The 256 bytes of a PCI function's configuration header, as firmware left them.

    The command register and the interrupt line can be written; all else is read-only, because nothing here moves
    BARs. `class_code` is class << 16 | subclass << 8 | interface.
    """

    def __init__(self, pci: PciDevice, class_code: int = 0, revision: int = 0) -> None:
        self._pci = pci
        self._class = class_code
        self._revision = revision
        self._memory = SparseMemory()
        self.reset()

    def reset(self) -> None:
        """Command register 0, everything else as the device is described."""
        memory = self._memory
        memory.clear()
        memory.write(0, 2, self._pci.vendor)
        memory.write(2, 2, self._pci.device)
        memory.write(CLASS, 4, self._class << 8 | self._revision)
        for bar in self._pci.bars:
            if bar.number <= 5:
                memory.write(BARS + 4 * bar.number, 4, bar.addr | bar.flags & 15)
            elif bar.number == ROM:
                memory.write(ROM_BAR, 4, bar.addr)
        memory.write(INTERRUPT, 1, self._pci.irq & 0xFF)
        memory.write(INTERRUPT + 1, 1, 1 if self._pci.irq else 0)

    @property
    def command(self) -> int:
        """The command register."""
        return self._memory.read(COMMAND, 2)

    def read(self, offset: int, width: int) -> int:
        """`width` bytes at `offset`; all ones beyond the 256 bytes."""
        if offset + width > 256:
            return (1 << 8 * width) - 1
        return self._memory.read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Store what can be stored."""
        for i in range(width):
            byte = value >> 8 * i & 0xFF
            at = offset + i
            if at in (COMMAND, COMMAND + 1):
                self._memory.write(at, 1, byte & _COMMAND_BITS >> 8 * (at - COMMAND))
            elif at == INTERRUPT:
                self._memory.write(at, 1, byte)

    def dump(self) -> dict[str, str]:
        """State, JSON fit."""
        return self._memory.dump()

    def load(self, state: dict[str, str]) -> None:
        """Back to what `dump` gave."""
        self._memory.load(state)
