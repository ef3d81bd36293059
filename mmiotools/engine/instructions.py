"""The instructions of the emulated machine: what each does, and its x86 bytes.

Encodings have the address in rdi (the source of a copy in rsi) and the value in rax, unless `form` says otherwise. A
field `ax` is what the program had in that register when it came to the instruction; `run` uses the register itself.
"""

from __future__ import annotations

from mmiotools.engine.cpu import IF, TF, Cpu, Memory, Operand
from mmiotools.typed import Callable, NamedTuple

_PREFIX = {1: b"", 2: b"\x66", 4: b"", 8: b"\x48"}

#: Addressing forms of a store of a constant: ModRM byte and what follows it up to the immediate.
#: `sib` is (%r12), `disp` an indexed one with a displacement byte of 0.
FORMS = {"plain": b"\x07", "sib": b"\x04\x24", "disp": b"\x44\x8f\x00"}


def _sized(width: int, byte_opcode: int, opcode: int, tail: bytes) -> bytes:
    return _PREFIX[width] + bytes([byte_opcode if width == 1 else opcode]) + tail


def _mask(width: int) -> int:
    return (1 << 8 * width) - 1


_LOAD = {width: _sized(width, 0x8A, 0x8B, b"\x07") for width in _PREFIX} | {16: b"\xf3\x0f\x6f\x07"}
_STORE = {width: _sized(width, 0x88, 0x89, b"\x07") for width in _PREFIX} | {16: b"\xf3\x0f\x7f\x07"}


class Load(NamedTuple):
    """mov ax, [virt]; 16 bytes wide it is movdqu, whose value ends up in `ax` here as well."""

    virt: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _LOAD[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, False),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        value = memory.load(cpu, self.virt, self.width)
        if value < 0:
            return False
        cpu.ax = value
        return True


class LoadExtended(NamedTuple):
    """movzx or movsx ax, [virt]: 1 or 2 bytes into four, with zeros or the sign above them."""

    virt: int
    width: int
    signed: bool

    @property
    def opcode(self) -> bytes:
        return bytes([0x0F, (0xBE if self.signed else 0xB6) + (self.width == 2), 0x07])

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, False),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        value = memory.load(cpu, self.virt, self.width)
        if value < 0:
            return False
        if self.signed and value >> 8 * self.width - 1:
            value |= 0xFFFFFFFF & ~_mask(self.width)
        cpu.ax = value
        return True


class Store(NamedTuple):
    """mov [virt], ax; 16 bytes wide it is movdqu."""

    virt: int
    width: int
    ax: int

    @property
    def opcode(self) -> bytes:
        return _STORE[self.width]

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        return memory.store(cpu, self.virt, self.width, cpu.ax)


class StoreImmediate(NamedTuple):
    """mov [virt], value. With width 8 the value is a sign-extended 32-bit one, as the encoding has it."""

    virt: int
    width: int
    value: int
    form: str = "plain"

    @property
    def opcode(self) -> bytes:
        size = min(self.width, 4)
        prefix = _PREFIX[self.width]
        if self.form == "sib":
            # REX.B: the base is r12.
            prefix = b"\x66\x41" if self.width == 2 else b"\x49" if self.width == 8 else b"\x41"
        code = prefix + (b"\xc6" if self.width == 1 else b"\xc7") + FORMS[self.form]
        return code + (self.value & _mask(size)).to_bytes(size, "little")

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        if self.width == 8 and (self.value + (1 << 31) & _mask(8)) >= 1 << 32:
            raise ValueError(f"{self.value:#x} is no sign-extended 32-bit immediate")
        return memory.store(cpu, self.virt, self.width, self.value & _mask(self.width))


class Copy(NamedTuple):
    """movs: from memory to memory, through no register; one round of a REP when `rep` is set."""

    dst: int
    src: int
    width: int
    rep: bool = False

    @property
    def opcode(self) -> bytes:
        return (b"\xf3" if self.rep else b"") + _sized(self.width, 0xA4, 0xA5, b"")

    def operands(self) -> tuple[Operand, ...]:
        return Operand(self.src, self.width, False), Operand(self.dst, self.width, True)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        if not memory.check(cpu, self.dst, self.width, True):
            return False
        value = memory.load(cpu, self.src, self.width)
        return value >= 0 and memory.store(cpu, self.dst, self.width, value)


class Fill(NamedTuple):
    """stos: [virt] = ax; one round of a REP when `rep` is set."""

    virt: int
    width: int
    ax: int
    rep: bool = False

    @property
    def opcode(self) -> bytes:
        return (b"\xf3" if self.rep else b"") + _sized(self.width, 0xAA, 0xAB, b"")

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        return memory.store(cpu, self.virt, self.width, cpu.ax & _mask(self.width))


#: Read-modify-write operations: opcode of the byte form, and the function of memory and register.
_ALTER: dict[str, tuple[int, Callable[[int, int], int]]] = {
    "add": (0x00, lambda old, ax: old + ax),
    "or": (0x08, lambda old, ax: old | ax),
    "and": (0x20, lambda old, ax: old & ax),
    "sub": (0x28, lambda old, ax: old - ax),
    "xor": (0x30, lambda old, ax: old ^ ax),
    "xchg": (0x86, lambda old, ax: ax),
}


class Alter(NamedTuple):
    """or [virt], ax and its like: read and write in one instruction. xchg leaves the old value in ax."""

    virt: int
    width: int
    ax: int
    operation: str = "or"

    @property
    def opcode(self) -> bytes:
        byte = _ALTER[self.operation][0]
        return _sized(self.width, byte, byte + 1, b"\x07")

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, True),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        if not memory.check(cpu, self.virt, self.width, True):
            return False
        old = memory.load(cpu, self.virt, self.width)
        memory.store(cpu, self.virt, self.width, _ALTER[self.operation][1](old, cpu.ax) & _mask(self.width))
        if self.operation == "xchg":
            cpu.ax = old
        return True


class Compare(NamedTuple):
    """cmp [virt], ax: reads memory and changes flags only, of which there are none here."""

    virt: int
    width: int

    @property
    def opcode(self) -> bytes:
        return _sized(self.width, 0x38, 0x39, b"\x07")

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, False),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        return memory.load(cpu, self.virt, self.width) >= 0


class PopFlags(NamedTuple):
    """popf with the stack pointer at `virt`: the one instruction that reads memory and changes TF and IF."""

    virt: int
    width: int = 4

    @property
    def opcode(self) -> bytes:
        return b"\x9d"

    def operands(self) -> tuple[Operand, ...]:
        return (Operand(self.virt, self.width, False),)

    def run(self, cpu: Cpu, memory: Memory) -> bool:
        value = memory.load(cpu, self.virt, self.width)
        if value < 0:
            return False
        cpu.flags = cpu.flags & ~(TF | IF) | value & (TF | IF)
        return True
