"""The tracer's decoder against the CPU's own encodings, and against bytes that mean nothing to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.engine.cpu import Copy, Instruction, Load, Or, Store, StoreImmediate
from mmiotools.engine.decode import Move, decode

WIDTHS = (1, 2, 4, 8)


@pytest.mark.parametrize("width", WIDTHS)
def test_register_moves(width: int) -> None:
    assert decode(Load(0, width).opcode) == Move(False, width, None)
    assert decode(Store(0, width).opcode) == Move(True, width, None)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", [0, 1, 0x7F, -1, -2])
def test_immediates(width: int, value: int) -> None:
    expected = value & (1 << 8 * width) - 1
    assert decode(StoreImmediate(0, width, value).opcode) == Move(True, width, expected)


def test_the_bytes_after_an_instruction_do_not_matter() -> None:
    assert decode(StoreImmediate(0, 4, 0x11223344).opcode + b"\x90" * 9) == Move(True, 4, 0x11223344)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [lambda w: Copy(0, 8, w), lambda w: Or(0, w)])
def test_everything_else_is_unknown(make: object, width: int) -> None:
    instruction: Instruction = make(width)  # type: ignore[operator]
    assert decode(instruction.opcode.ljust(16, b"\x90")) is None


@pytest.mark.parametrize(
    "code",
    [
        b"", b"\x66", b"\x48", b"\x8b", b"\xc7\x07\x01\x02", b"\xc6\x07",
        # Other addressing forms: SIB byte, displacement, another register, r8 by REX.
        b"\x8b\x04\x24", b"\x8b\x47\x08", b"\x89\x0f", b"\x4c\x89\x07", b"\x41\x8b\x07",
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
