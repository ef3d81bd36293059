"""The CPU as far as a fault engine can see it: registers, flags, and instructions as data with their opcode bytes.

An instruction checks every page that it needs before it touches any, so a restarted instruction repeats no access.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mmiotools.engine.mmu import PageTable, Tlb

#: Bits of the flags register: single-step trap, and interrupts enabled.
TF = 1 << 8
IF = 1 << 9

#: Bit of the debug status register that says "this trap is a single step".
DR6_STEP = 1 << 14

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
    """What an instruction needs of the machine. All of these raise PageFault before they have any effect."""

    def check(self, cpu: Cpu, virt: int, width: int, write: bool) -> None:
        """Nothing, or a PageFault if the operand is not accessible as a whole."""

    def load(self, cpu: Cpu, virt: int, width: int) -> int:
        """The value of `width` bytes."""

    def store(self, cpu: Cpu, virt: int, width: int, value: int) -> None:
        """Store `width` bytes."""


class Instruction(Protocol):
    """What a CPU can run."""

    @property
    def opcode(self) -> bytes:
        """Its bytes, as a decoder finds them at ip."""

    def operands(self) -> tuple[Operand, ...]:
        """Every piece of memory that it touches, in order."""

    def run(self, cpu: Cpu, memory: Memory) -> None:
        """Carry it out. Raises PageFault, and then has changed nothing."""


class Cpu:
    """One CPU. `flags`, `ip` and `ax` are the interrupted program's while a trap handler runs.

    number      0 for the first
    mm          the page table in use (what cr3 points to)
    cr2         address of the last page fault, `error_code` what the CPU said about it (PF_ bits)
    dr6         debug status; the handler that takes a trap clears its bit
    """

    __slots__ = ("ax", "cr2", "dr6", "error_code", "flags", "instruction", "ip", "mm", "number", "tlb")

    def __init__(self, number: int, mm: PageTable) -> None:
        self.number = number
        self.mm = mm
        self.tlb = Tlb()
        self.ip = CODE_START
        self.flags = IF
        self.ax = 0
        self.cr2 = 0
        self.error_code = 0
        self.dr6 = 0
        self.instruction: Instruction | None = None

    def fetch(self, n: int = LINE) -> bytes:
        """The first n bytes at ip: the instruction that is running, then nops."""
        opcode = self.instruction.opcode if self.instruction is not None else b""
        return opcode[:n].ljust(n, _NOP)


# Encodings with the address in rdi (source of a copy: rsi) and the value in rax, by width.
_LOAD = {1: b"\x8a\x07", 2: b"\x66\x8b\x07", 4: b"\x8b\x07", 8: b"\x48\x8b\x07"}
_STORE = {1: b"\x88\x07", 2: b"\x66\x89\x07", 4: b"\x89\x07", 8: b"\x48\x89\x07"}
_STORE_IMMEDIATE = {1: b"\xc6\x07", 2: b"\x66\xc7\x07", 4: b"\xc7\x07", 8: b"\x48\xc7\x07"}
_COPY = {1: b"\xa4", 2: b"\x66\xa5", 4: b"\xa5", 8: b"\x48\xa5"}
_OR = {1: b"\x08\x07", 2: b"\x66\x09\x07", 4: b"\x09\x07", 8: b"\x48\x09\x07"}


class Load(NamedTuple):
    """mov ax, [virt]"""

    virt: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _LOAD[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, False),)

    def run(self, cpu: Cpu, memory: Memory) -> None:
        cpu.ax = memory.load(cpu, self.virt, self.width)


class Store(NamedTuple):
    """mov [virt], ax"""

    virt: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _STORE[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> None:
        memory.store(cpu, self.virt, self.width, cpu.ax)


class StoreImmediate(NamedTuple):
    """mov [virt], value. With width 8 the value is a sign-extended 32-bit one, as the encoding has it."""

    virt: int
    width: int
    value: int

    @property
    def opcode(self) -> bytes:
        size = min(self.width, 4)
        return _STORE_IMMEDIATE[self.width] + (self.value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> None:
        if self.width == 8 and (self.value + (1 << 31) & (1 << 64) - 1) >= 1 << 32:
            raise ValueError(f"{self.value:#x} is no sign-extended 32-bit immediate")
        memory.store(cpu, self.virt, self.width, self.value)


class Copy(NamedTuple):
    """movs: from memory to memory, through no register that a tracer could look at."""

    dst: int
    src: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _COPY[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return Operand(self.src, self.width, False), Operand(self.dst, self.width, True)

    def run(self, cpu: Cpu, memory: Memory) -> None:
        memory.check(cpu, self.dst, self.width, True)
        memory.store(cpu, self.dst, self.width, memory.load(cpu, self.src, self.width))


class Or(NamedTuple):
    """or [virt], ax: reads and writes in one instruction."""

    virt: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _OR[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> None:
        memory.check(cpu, self.virt, self.width, True)
        memory.store(cpu, self.virt, self.width, memory.load(cpu, self.virt, self.width) | cpu.ax)
