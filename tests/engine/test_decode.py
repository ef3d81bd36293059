"""The tracer's decoder against the CPU's own encodings, and against bytes that mean nothing to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.engine.cpu import Instruction
from mmiotools.engine.decode import Move, decode, decode_as_2007
from mmiotools.engine.instructions import FORMS, Alter, Copy, Fill, Load, LoadExtended, Store, StoreImmediate

WIDTHS = (1, 2, 4, 8)


@pytest.mark.parametrize("width", WIDTHS)
def test_register_moves(width: int) -> None:
    assert decode(Load(0, width).opcode) == Move(False, width, None)
    assert decode(Store(0, width, 0).opcode) == Move(True, width, None)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0, 1, 0x7F, -1, -2])
def test_immediates(width: int, value: int) -> None:
    expected = value & (1 << 8 * width) - 1
    assert decode(StoreImmediate(0, width, value).opcode) == Move(True, width, expected)


def test_the_bytes_after_an_instruction_do_not_matter() -> None:
    assert decode(StoreImmediate(0, 4, 0x11223344).opcode + b"\x90" * 9) == Move(True, 4, 0x11223344)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [lambda w: Copy(0, 8, w), lambda w: Alter(0, w, 0)])
def test_everything_else_is_unknown(make: object, width: int) -> None:
    instruction: Instruction = make(width)  # type: ignore[operator]
    assert decode(instruction.opcode.ljust(16, b"\x90")) is None


@pytest.mark.parametrize(
    "code",
    [
        b"", b"\x66", b"\x48", b"\x8b", b"\xc7\x07\x01\x02", b"\xc6\x07",
        # A displacement that is cut off; another register than ax, also by REX; a register operand.
        b"\xc7\x47\x08\x01", b"\x89\x0f", b"\x4c\x89\x07", b"\x8b\xc0",
    ],
)  # fmt: skip
def test_cut_or_foreign_code_is_unknown(code: bytes) -> None:
    assert decode(code) is None


@given(st.binary(max_size=16))
def test_any_bytes_decode_to_something_sound_or_nothing(code: bytes) -> None:
    move = decode(code)
    if move is not None:
        assert move.width in WIDTHS
        assert move.immediate is None or (move.write and 0 <= move.immediate < 1 << 8 * move.width)


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("width", WIDTHS)
def test_constants_behind_any_address_form(form: str, width: int) -> None:
    code = StoreImmediate(0, width, 0x7A, form).opcode
    assert decode(code) == Move(True, width, 0x7A)


@pytest.mark.parametrize(
    "instruction, move",
    [
        # The kernel's tracer prints these values for these instructions; the last byte of the wide one is a nop's.
        (StoreImmediate(0, 8, -2), Move(True, 4, 0x90909090FFFFFFFE)),
        (StoreImmediate(0, 4, 0x11223344, "sib"), Move(True, 4, 0x22334424)),
        (StoreImmediate(0, 4, 0x99AABBCC, "disp"), Move(True, 4, 0xAABBCC00)),
        (StoreImmediate(0, 1, 0x7F, "disp"), Move(True, 1, 0)),
        (LoadExtended(0, 1, True), Move(False, 1, register=4)),
        (LoadExtended(0, 1, False), Move(False, 1)),
        (Fill(0, 4, 0, True), Move(True, 4)),
        (Copy(0, 8, 4, True), None),
        (Alter(0, 4, 0), None),
        (Alter(0, 4, 0, "xchg"), None),
        (Load(0, 16), None),
    ],
)
def test_the_old_decoder_and_its_mistakes(instruction: Instruction, move: Move | None) -> None:
    assert decode_as_2007(instruction.opcode.ljust(16, b"\x90")) == move
