"""What the tracer understands of machine code: plain moves between a register and memory, with their widths.

Everything else is left undecoded on purpose: such an access is recorded as UNKNOWN, never as a guess.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

_OPERAND_SIZE = 0x66
_REX = range(0x40, 0x50)
_REX_W = 8

#: First opcode byte → is it a write, is its width one byte, does an immediate follow.
_MOVES = {
    0x8A: (False, True, False),
    0x8B: (False, False, False),
    0x88: (True, True, False),
    0x89: (True, False, False),
    0xC6: (True, True, True),
    0xC7: (True, False, True),
}

#: The one addressing form decoded: memory at rdi, register ax, no displacement.
_AT_RDI = 0x07


class Move(NamedTuple):
    """A decoded access. `immediate` is the stored value, sign-extended to `width`; None when it comes from ax."""

    write: bool
    width: int
    immediate: int | None


@lru_cache(maxsize=1024)
def decode(code: bytes) -> Move | None:
    """The move at the start of `code` (x86-64), or None when it is anything else."""
    at, short, wide = 0, False, False
    while at < len(code) and code[at] == _OPERAND_SIZE:
        short, at = True, at + 1
    if at < len(code) and code[at] in _REX:
        wide = bool(code[at] & _REX_W)
        # R, X and B select other registers than the form below.
        if code[at] & ~_REX_W & 0x0F:
            return None
        at += 1
    if at + 2 > len(code) or code[at] not in _MOVES or code[at + 1] != _AT_RDI:
        return None
    write, byte, has_immediate = _MOVES[code[at]]
    width = 1 if byte else 8 if wide else 2 if short else 4
    if not has_immediate:
        return Move(write, width, None)
    size = min(width, 4)
    raw = code[at + 2 : at + 2 + size]
    if len(raw) < size:
        return None
    return Move(write, width, int.from_bytes(raw, "little", signed=True) & (1 << 8 * width) - 1)
