"""The bytes of every instruction are what it does: a decoder of somebody else's says so."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from mmiotools.engine.cpu import Instruction
from mmiotools.engine.instructions import (
    FORMS,
    Alter,
    Compare,
    Copy,
    Fill,
    Load,
    LoadExtended,
    PopFlags,
    Store,
    StoreImmediate,
)

iced = pytest.importorskip("iced_x86")

INTEGERS = (1, 2, 4, 8)
ALTERATIONS = ("add", "or", "and", "sub", "xor", "xchg")
LETTERS = {1: "B", 2: "W", 4: "D", 8: "Q"}
ACCUMULATORS = {1: "AL", 2: "AX", 4: "EAX", 8: "RAX", 16: "XMM0"}
SOURCE, DESTINATION = 0x10000, 0x20000
CONSTANT = 0x7A5B3C1D


class Row(NamedTuple):
    """An instruction, the mnemonic that it must have, and its register operand or None."""

    instruction: Instruction
    mnemonic: str
    register: str | None
    bits: int = 64


def rows() -> list[Row]:
    """Every class, width, operation and form."""
    found = []
    for width in (*INTEGERS, 16):
        move = "MOVDQU" if width == 16 else "MOV"
        found.append(Row(Load(SOURCE, width), move, ACCUMULATORS[width]))
        found.append(Row(Store(DESTINATION, width, 0), move, ACCUMULATORS[width]))
    for width in (1, 2):
        found.append(Row(LoadExtended(SOURCE, width, False), "MOVZX", "EAX"))
        found.append(Row(LoadExtended(SOURCE, width, True), "MOVSX", "EAX"))
    for width in INTEGERS:
        found += [Row(StoreImmediate(DESTINATION, width, CONSTANT, form), "MOV", None) for form in FORMS]
        for rep in (False, True):
            found.append(Row(Copy(DESTINATION, SOURCE, width, rep), "MOVS" + LETTERS[width], None))
            found.append(Row(Fill(DESTINATION, width, 0, rep), "STOS" + LETTERS[width], ACCUMULATORS[width]))
        found += [Row(Alter(DESTINATION, width, 0, name), name.upper(), ACCUMULATORS[width]) for name in ALTERATIONS]
        found.append(Row(Compare(SOURCE, width), "CMP", ACCUMULATORS[width]))
    # Its operand is as wide as the stack's words.
    found.append(Row(PopFlags(SOURCE), "POPFD", None, bits=32))
    return found


def decoded(code: bytes, bits: int = 64) -> Any:
    """The one instruction that these bytes are, with nothing left over."""
    decoder = iced.Decoder(bits, code)
    instruction = decoder.decode()
    assert decoder.last_error == iced.DecoderError.NONE
    assert instruction.len == len(code)
    return instruction


def name_of(names: Any, number: int) -> str:
    """The name of a constant of the decoder."""
    return next(name for name, value in vars(names).items() if value == number and name.isupper())


def touched(instruction: Any) -> list[tuple[int, bool, bool]]:
    """(width, read, written) of each piece of memory, for one round of a REP."""
    kinds = iced.OpAccess
    reads = {kinds.READ, kinds.COND_READ, kinds.READ_WRITE, kinds.READ_COND_WRITE}
    writes = {kinds.WRITE, kinds.COND_WRITE, kinds.READ_WRITE, kinds.READ_COND_WRITE}
    size = iced.MemorySizeExt.size(instruction.memory_size)
    return [
        (size or iced.MemorySizeExt.size(one.memory_size), one.access in reads, one.access in writes)
        for one in iced.InstructionInfoFactory().info(instruction).used_memory()
    ]


@pytest.mark.parametrize("row", rows(), ids=lambda row: repr(row.instruction))
def test_the_bytes_are_the_instruction(row: Row) -> None:
    found = decoded(row.instruction.opcode, row.bits)
    assert name_of(iced.Mnemonic, found.mnemonic) == row.mnemonic
    assert found.has_rep_prefix == getattr(row.instruction, "rep", False)
    # Of a read-modify-write, operands() tells the write.
    told = sorted((one.width, one.write) for one in row.instruction.operands())
    assert sorted((width, written) for width, _, written in touched(found)) == told
    rmw = isinstance(row.instruction, Alter)
    assert all(read != written or (rmw and read) for _, read, written in touched(found))
    if row.register is not None:
        kinds = [found.op_kind(n) for n in range(found.op_count)]
        registers = [found.op_register(n) for n, kind in enumerate(kinds) if kind == iced.OpKind.REGISTER]
        assert [name_of(iced.Register, number) for number in registers] == [row.register]


@pytest.mark.parametrize("form", [None, *FORMS])
@pytest.mark.parametrize("width", INTEGERS)
def test_the_address_is_in_the_register_that_the_form_says(form: str | None, width: int) -> None:
    instruction = Store(0, width, 0) if form is None else StoreImmediate(0, width, 1, form)
    found = decoded(instruction.opcode)
    base, index = ("R12", "NONE") if form == "sib" else ("RDI", "RCX" if form == "disp" else "NONE")
    assert name_of(iced.Register, found.memory_base) == base
    assert name_of(iced.Register, found.memory_index) == index
    assert found.memory_displacement == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", INTEGERS)
@pytest.mark.parametrize("value", [0, 1, 0x7F, CONSTANT, -1, -0x80000000])
def test_the_constant_is_in_the_bytes(form: str, width: int, value: int) -> None:
    found = decoded(StoreImmediate(0, width, value, form).opcode)
    mask = (1 << 8 * width) - 1
    assert found.immediate(1) & mask == value & mask


def test_movs_reads_from_rsi_and_writes_to_rdi() -> None:
    used = iced.InstructionInfoFactory().info(decoded(Copy(DESTINATION, SOURCE, 4).opcode)).used_memory()
    bases = {name_of(iced.Register, one.base): one.access for one in used}
    assert bases == {"RSI": iced.OpAccess.READ, "RDI": iced.OpAccess.WRITE}
    source, destination = Copy(DESTINATION, SOURCE, 4).operands()
    assert (source.virt, source.write) == (SOURCE, False)
    assert (destination.virt, destination.write) == (DESTINATION, True)
