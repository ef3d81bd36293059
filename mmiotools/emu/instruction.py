"""An instruction of machine code, as the fault engine runs it: exact, whatever the instruction is.

What it reads is put on scratch pages that Unicorn is shown in the place of the device's, then the real instruction runs
on them, and what it wrote there is stored. Pages are checked first, so nothing is read or written twice.
"""

from __future__ import annotations

from unicorn.x86_const import UC_X86_REG_RAX

from mmiotools.emu.elf import PAGE
from mmiotools.emu.operands import Decoded, Touch
from mmiotools.emu.space import Space
from mmiotools.engine.cpu import Cpu, Memory, Operand
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT
from mmiotools.errors import DriverError
from mmiotools.typed import Iterator, Sequence

#: Accesses that the bus carries in one piece, bytes.
_WHOLE = (1, 2, 4, 8, 16)


class CodeInstruction:
    """One run of one instruction at `ip`; of one with REP, one round.

    `touched` are its operands; those on pages of the driver's own are left to Unicorn.
    """

    __slots__ = ("_decoded", "_ip", "_operands", "_reads", "_space", "_writes")

    def __init__(self, space: Space, decoded: Decoded, ip: int, touched: Sequence[Touch]) -> None:
        self._space = space
        self._decoded = decoded
        self._ip = ip
        self._reads: list[tuple[int, int]] = []
        self._writes: list[tuple[int, int]] = []
        operands: list[Operand] = []
        for touch in touched:
            for virt, width in foreign(space, touch.virt, touch.width):
                operands.append(Operand(virt, width, touch.write))
                if touch.read:
                    self._reads.append((virt, width))
                if touch.write:
                    self._writes.append((virt, width))
        self._operands = tuple(operands)

    @property
    def opcode(self) -> bytes:
        """Its bytes, prefixes and all."""
        return self._decoded.opcode

    def operands(self) -> tuple[Operand, ...]:
        """Every piece of memory that it touches and that is not the driver's own."""
        return self._operands

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        """Carry it out. False for a page fault, before anything has happened."""
        pages: dict[int, None] = {}
        for virt, width, write in self._operands:
            if not memory.check(cpu, virt, width, write):
                return False
            pages[virt >> PAGE_SHIFT] = pages[virt + width - 1 >> PAGE_SHIFT] = None
        space = self._space
        space.show(pages)
        try:
            for virt, width in self._reads:
                space.put(virt, memory.load(cpu, virt, width).to_bytes(width, "little"))
            space.refused = None
            error = space.go(self._ip, 1)
            if error is not None:
                # Either the CPU objects, or it touches what the decoder does not know of.
                why = f"touches {space.refused.virt:#x} as well" if space.refused is not None else str(error)
                raise DriverError(f"'{self._decoded.text}' cannot be carried out: {why}")
            for virt, width in self._writes:
                memory.store(cpu, virt, width, int.from_bytes(space.take(virt, width), "little"))
        finally:
            space.hide()
        cpu.ax = space.register(UC_X86_REG_RAX)
        return True


def foreign(space: Space, virt: int, width: int) -> Iterator[tuple[int, int]]:
    """The pieces (address, bytes) of an operand that are not the driver's own memory, in sizes that a bus carries."""
    first = PAGE - (virt & OFFSET_MASK)
    if first >= width:
        pieces = [(virt, width)]
    else:
        pieces = [(virt, first), (virt + first, width - first)]
        if space.owns(virt) == space.owns(virt + first):
            pieces = [(virt, width)]
    for start, size in pieces:
        if space.owns(start):
            continue
        while size:
            piece = size if size in _WHOLE else max(n for n in _WHOLE if n <= min(size, 8))
            yield start, piece
            start, size = start + piece, size - piece
