"""What a tracer understands of machine code (x86-64): moves between ax and memory, with their widths.

`decode` is exact, or gives None: then the instruction has to be carried out to be understood. `decode_as_2007` is how
the kernel's tracer has done it ever since, with its mistakes; both read nothing but the instruction's bytes.
"""

from __future__ import annotations

from functools import lru_cache

from mmiotools.typed import NamedTuple

_OPERAND_SIZE = 0x66
_REPEAT = (0xF2, 0xF3)
_REX = range(0x40, 0x50)
_REX_W, _REX_R, _REX_B = 8, 4, 1

#: Opcode → is it a write, is its width one byte, does an immediate follow.
_MOVES = {
    0x8A: (False, True, False),
    0x8B: (False, False, False),
    0x88: (True, True, False),
    0x89: (True, False, False),
    0xC6: (True, True, True),
    0xC7: (True, False, True),
}
#: Second opcode byte after 0x0f of the loads that extend → width in memory.
_EXTENDING = {0xB6: 1, 0xB7: 2, 0xBE: 1, 0xBF: 2}
_SIGNED = (0xBE, 0xBF)
_STOS = {0xAA: 1, 0xAB: 4}


class Move(NamedTuple):
    """A decoded access. `immediate` is the stored value; None when it comes from ax or goes there.

    `register` is how many bytes of ax are taken for the value, when that is not `width`.
    """

    write: bool
    width: int
    immediate: int | None = None
    register: int | None = None


class _Head(NamedTuple):
    """Prefixes and opcode: operand size prefix, rep prefix, REX byte, opcode bytes, where ModRM would be."""

    short: bool
    repeat: bool
    rex: int
    opcode: int
    extended: bool
    after: int


def _head(code: bytes) -> _Head | None:
    at, short, repeat, rex = 0, False, False, 0
    while at < len(code) and (code[at] == _OPERAND_SIZE or code[at] in _REPEAT):
        short |= code[at] == _OPERAND_SIZE
        repeat |= code[at] in _REPEAT
        at += 1
    if at < len(code) and code[at] in _REX:
        rex, at = code[at], at + 1
    extended = code[at : at + 1] == b"\x0f"
    at += extended
    if at >= len(code):
        return None
    return _Head(short, repeat, rex, code[at], extended, at + 1)


def _address_length(code: bytes, at: int, *, sib: bool = True) -> int | None:
    """Bytes of ModRM, SIB and displacement at `at`; None for a register operand or cut code."""
    if at >= len(code) or code[at] >> 6 == 3:
        return None
    mod, rm = code[at] >> 6, code[at] & 7
    length = 1
    if rm == 4 and sib:
        length += 1
        if mod == 0 and at + 1 < len(code) and code[at + 1] & 7 == 5:
            length += 4
    return length + (4 if mod == 2 or (mod == 0 and rm == 5) else mod)


def _width(head: _Head, byte: bool) -> int:
    return 1 if byte else 8 if head.rex & _REX_W else 2 if head.short else 4


@lru_cache(maxsize=1024)
def decode(code: bytes) -> Move | None:
    """The move at the start of `code`, or None when it is anything else, or goes through another register than ax."""
    head = _head(code)
    if head is None or head.repeat:
        return None
    if not head.extended and head.opcode in _STOS:
        return Move(True, _width(head, head.opcode == 0xAA))
    length = _address_length(code, head.after)
    if length is None:
        return None
    through_ax = not head.rex & _REX_R and not code[head.after] & 0x38
    if head.extended:
        return Move(False, _EXTENDING[head.opcode]) if head.opcode in _EXTENDING and through_ax else None
    if head.opcode not in _MOVES or not through_ax:
        return None
    write, byte, has_immediate = _MOVES[head.opcode]
    width = _width(head, byte)
    if not has_immediate:
        return Move(write, width)
    at, size = head.after + length, min(width, 4)
    raw = code[at : at + size]
    if len(raw) < size:
        return None
    return Move(write, width, int.from_bytes(raw, "little", signed=True) & (1 << 8 * width) - 1)


@lru_cache(maxsize=1024)
def decode_as_2007(code: bytes) -> Move | None:
    """As the kernel's tracer reads it: register moves, stores of constants and stos, nothing else.

    Its mistakes: it does not know that a SIB byte may follow ModRM, and so takes a constant one byte early; a REX.W
    constant is taken as eight bytes, four of them the next instruction's, and its width as four; a load that extends
    a sign gives the register's four bytes as the value of one or two.
    """
    head = _head(code)
    if head is None:
        return None
    if head.extended:
        if head.opcode not in _EXTENDING:
            return None
        return Move(False, _EXTENDING[head.opcode], register=4 if head.opcode in _SIGNED else None)
    if head.opcode in _STOS:
        return Move(True, _width(head, head.opcode == 0xAA))
    if head.opcode not in _MOVES:
        return None
    write, byte, has_immediate = _MOVES[head.opcode]
    width = _width(head, byte)
    if not has_immediate:
        return Move(write, width)
    length = _address_length(code, head.after, sib=False)
    if length is None:
        return None
    at = head.after + length
    if width == 8:
        return Move(True, 4, int.from_bytes(code[at : at + 8], "little"))
    return Move(True, width, int.from_bytes(code[at : at + width], "little"))
