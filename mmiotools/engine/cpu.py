"""The CPU as far as a fault engine can see it: registers, flags, and what an instruction is to it.

An instruction checks every page that it needs before it touches any, so a restarted instruction repeats no access.
"""

from __future__ import annotations

from mmiotools.engine.mmu import Mm, Tlb
from mmiotools.typed import NamedTuple, Protocol

#: Bits of the flags register: single-step trap, and interrupts enabled.
TF = 1 << 8
IF = 1 << 9

#: Bits of the debug status register: this trap is a single step; breakpoint 0 was hit.
DR6_STEP = 1 << 14
DR6_B0 = 1 << 0

#: Each instruction lies on a line of its own of this many bytes, the rest of which is filled with nops.
LINE = 16
_NOP = b"\x90"

#: Where the emulated driver's code starts.
CODE_START = 0xFFFFFFFFA0000000


class Operand(NamedTuple):
    """A piece of memory that an instruction touches, `width` bytes from `virt`."""

    virt: int
    width: int
    write: bool


class Memory(Protocol):
    """What an instruction needs of the machine.

    A page fault is an answer, not an exception, because every traced access has one. Then nothing has happened but
    that the CPU knows the address and the cause (`cr2`, `error_code`).
    """

    def check(self, cpu: Cpu, virt: int, width: int, write: bool) -> bool:
        """Is the operand accessible as a whole? False for a page fault at the first byte that is not."""

    def load(self, cpu: Cpu, virt: int, width: int) -> int:
        """The value of `width` bytes; negative for a page fault."""

    def store(self, cpu: Cpu, virt: int, width: int, value: int) -> bool:
        """Store `width` bytes; False for a page fault."""


class Instruction(Protocol):
    """What a CPU can run."""

    @property
    def opcode(self) -> bytes:
        """Its bytes, as a decoder finds them at ip."""

    def operands(self) -> tuple[Operand, ...]:
        """Every piece of memory that it touches, in order; the one of a read-modify-write once, as a write."""

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        """Carry it out. False for a page fault, and then it has changed nothing."""


class Cpu:
    """One CPU. `flags`, `ip` and `ax` are the interrupted program's while a trap handler runs.

    number      0 for the first
    mm          the page directory in use (what cr3 points to)
    cr2         address of the last page fault, `error_code` what the CPU said about it (PF_ bits)
    dr0         address that a hardware breakpoint watches, None for none
    dr6         debug status; the handler that takes a trap clears its bit
    """

    __slots__ = ("ax", "cr2", "dr0", "dr6", "error_code", "flags", "instruction", "ip", "mm", "number", "tlb")

    def __init__(self, number: int, mm: Mm) -> None:
        self.number = number
        self.mm = mm
        self.tlb = Tlb()
        self.ip = CODE_START
        self.flags = IF
        self.ax = 0
        self.cr2 = 0
        self.error_code = 0
        self.dr0: int | None = None
        self.dr6 = 0
        self.instruction: Instruction | None = None

    def fetch(self, n: int = LINE) -> bytes:
        """The first n bytes at ip: the instruction that is running, then nops."""
        opcode = self.instruction.opcode if self.instruction is not None else b""
        return opcode[:n].ljust(n, _NOP)
