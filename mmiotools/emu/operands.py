"""What memory an instruction touches, and how: decoded by iced-x86, and corrected where that is known to be wrong."""

from __future__ import annotations

import iced_x86
from iced_x86 import (
    Code,
    CodeSize,
    Decoder,
    Instruction,
    InstructionInfoFactory,
    MemorySizeExt,
    Mnemonic,
    OpAccess,
    OpKind,
    Register,
)
from unicorn import x86_const

from mmiotools.errors import DriverError
from mmiotools.typed import Callable, NamedTuple

LONGEST = 15

_MASK = (1 << 64) - 1
_READS = (OpAccess.READ, OpAccess.COND_READ, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
_WRITES = (OpAccess.WRITE, OpAccess.COND_WRITE, OpAccess.READ_WRITE, OpAccess.READ_COND_WRITE)
_STRINGS = ("MOVS", "STOS", "LODS", "CMPS", "SCAS")
_SIZES = {"B": 1, "W": 2, "D": 4, "Q": 8}


def _names(kind: object) -> dict[int, str]:
    """Number → name of one of the decoder's enumerations."""
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


#: With a REP prefix the decoder says that a string instruction touches 0 bytes, for it counts the whole as one. MOVSD
#: and CMPSD are also names of instructions on floating-point numbers.
STRING_WIDTH = {
    number: _SIZES[name[4]]
    for number, name in _names(Mnemonic).items()
    if len(name) == 5 and name[:4] in _STRINGS and name[4] in _SIZES
}
#: The decoder gives the dword at the base; the bit may lie far from it when its number is in a register.
_BIT_TESTS = (Mnemonic.BT, Mnemonic.BTS, Mnemonic.BTR, Mnemonic.BTC)
#: Which of their bytes are written is in a register; no access of a device is like that.
_MASKED = (Mnemonic.MASKMOVDQU, Mnemonic.MASKMOVQ)
#: The decoder says that these read. They do not.
_HINTS = (Mnemonic.CLFLUSH, Mnemonic.CLFLUSHOPT, Mnemonic.CLWB)

#: The decoder's registers → Unicorn's, for those that can be part of an address or a bit number.
REGISTERS = {
    number: getattr(x86_const, f"UC_X86_REG_{name}")
    for number, name in _names(Register).items()
    if hasattr(x86_const, f"UC_X86_REG_{name}")
}
_SEGMENT_BASES = {Register.FS: x86_const.UC_X86_REG_FS_BASE, Register.GS: x86_const.UC_X86_REG_GS_BASE}

ReadRegister = Callable[[int], int]


class Touch(NamedTuple):
    """A piece of memory at this moment."""

    virt: int
    width: int
    read: bool
    write: bool


class Address(NamedTuple):
    """Where an operand is: the sum of displacement, base and scaled index, cut to `mask`, plus the segment's base.

    Registers are Unicorn's numbers, 0 for none. `bit` is the register with the bit's number, of `width` bytes.
    """

    displacement: int
    base: int
    scaled: int
    scale: int
    segment: int
    mask: int
    width: int
    read: bool
    write: bool
    bit: int

    def now(self, register: ReadRegister) -> Touch:
        """The operand with the registers as they are."""
        at = self.displacement
        if self.base:
            at += register(self.base)
        if self.scaled:
            at += register(self.scaled) * self.scale
        if self.bit:
            bits = 8 * self.width
            number = register(self.bit)
            number -= number >> bits - 1 << bits
            at += (number // bits) * self.width
        at &= self.mask
        if self.segment:
            at = at + register(self.segment) & _MASK
        return Touch(at, self.width, self.read, self.write)


class Decoded(NamedTuple):
    """An instruction. `counter` is the register that a REP prefix counts down, 0 without one."""

    opcode: bytes
    text: str
    addresses: tuple[Address, ...]
    counter: int

    def touches(self, register: ReadRegister) -> list[Touch]:
        """What it touches with the registers as they are."""
        return [address.now(register) for address in self.addresses]


_FACTORY = InstructionInfoFactory()


def decode(code: bytes, ip: int) -> Decoded:
    """The instruction at the start of `code`. Raises DriverError when it is none, or one that cannot be traced."""
    instruction = Decoder(64, code[:LONGEST], ip=ip).decode()
    if instruction.code == Code.INVALID:
        raise DriverError(f"illegal instruction ({code[:4].hex(' ')} …)")
    text = str(instruction)
    if instruction.mnemonic in _MASKED:
        raise DriverError(f"'{text}' on memory that is not the driver's own cannot be carried out")
    addresses: list[Address] = []
    if instruction.mnemonic not in _HINTS:
        used = _FACTORY.info(instruction).used_memory()
        addresses = [_address(instruction, memory) for memory in used if memory.access in _READS + _WRITES]
    counter = 0
    if instruction.is_string_instruction and (instruction.has_rep_prefix or instruction.has_repne_prefix):
        counter = x86_const.UC_X86_REG_RCX
        if addresses and addresses[0].mask != _MASK:
            counter = x86_const.UC_X86_REG_ECX
    return Decoded(code[: instruction.len], text, tuple(addresses), counter)


def _address(instruction: Instruction, memory: iced_x86.UsedMemory) -> Address:
    width = MemorySizeExt.size(memory.memory_size)
    if instruction.is_string_instruction:
        width = STRING_WIDTH.get(instruction.mnemonic, 0)
    if not width:
        raise DriverError(f"'{instruction}' on memory that is not the driver's own cannot be carried out")
    bit = 0
    if instruction.mnemonic in _BIT_TESTS and instruction.op1_kind == OpKind.REGISTER:
        bit = REGISTERS[instruction.op1_register]
    return Address(
        displacement=memory.displacement,
        base=_register(memory.base),
        scaled=_register(memory.index),
        scale=memory.scale,
        segment=_SEGMENT_BASES.get(memory.segment, 0),
        mask=0xFFFFFFFF if memory.address_size == CodeSize.CODE32 else _MASK,
        width=width,
        read=memory.access in _READS,
        write=memory.access in _WRITES,
        bit=bit,
    )


def _register(number: int) -> int:
    return REGISTERS[number] if number != Register.NONE else 0
