"""What the kernel's decoder makes of instructions, value by value, as logs of real kernels show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from quirk_helpers import BAR, PAGE, Row, run

from mmiotools.engine.cpu import Instruction
from mmiotools.engine.instructions import Alter, Compare, Copy, Fill, Load, LoadExtended, StoreImmediate
from mmiotools.events import Kind

OLD = ({"compat": "seed"}, {"compat": "mainline"}, {"engine": "step", "quirks": "old-decoder"})
EXACT = ({"engine": "emulate"}, {"engine": "step"}, {"engine": "stop-the-world"})
UNKNOWN: list[Row] = [("U", 0x20, None, None)]

#: What the register and the card's word hold before.
AX, WORD = 0x55667788, 0x80C0FF83
BYTES = bytes(range(16))


def recorded(make: Callable[[int], Instruction], setup: dict[str, Any]) -> list[Row]:
    """The accesses that are recorded of one instruction at offset 0x20."""

    def probe(kernel: Any) -> int:
        base = kernel.ioremap(BAR, PAGE)
        kernel.writel(WORD, base + 0x20)
        kernel.memcpy_toio(base + 0x80, BYTES)
        kernel.cpu.ax = AX
        kernel.run(make(base + 0x20))
        return 0

    here = run(probe, **setup)
    assert here.outcome.error is None
    return here.rows[5:]


#: Instruction; what the old decoder makes of it; what it is.
CASES: list[tuple[str, Callable[[int], Instruction], list[Row], list[Row]]] = [
    # Four bytes too many are taken for the constant, here nops, and the width is that of the others.
    (
        "movq $-2",
        lambda at: StoreImmediate(at, 8, -2),
        [("W", 0x20, 4, 0x90909090FFFFFFFE)],
        [("W", 0x20, 8, 0xFFFFFFFFFFFFFFFE)],
    ),
    # The constant is taken one byte early: it begins with the SIB byte, or with the displacement behind it.
    (
        "movl $,(%r12)",
        lambda at: StoreImmediate(at, 4, 0x11223344, "sib"),
        [("W", 0x20, 4, 0x22334424)],
        [("W", 0x20, 4, 0x11223344)],
    ),
    (
        "movl $,disp(b,i,4)",
        lambda at: StoreImmediate(at, 4, 0x99AABBCC, "disp"),
        [("W", 0x20, 4, 0xAABBCC00)],
        [("W", 0x20, 4, 0x99AABBCC)],
    ),
    (
        "movb $,disp(b,i)",
        lambda at: StoreImmediate(at, 1, 0x7F, "disp"),
        [("W", 0x20, 1, 0)],
        [("W", 0x20, 1, 0x7F)],
    ),
    # The value is that of the register, the width that of the memory.
    (
        "movsbl",
        lambda at: LoadExtended(at, 1, True),
        [("R", 0x20, 1, 0xFFFFFF83)],
        [("R", 0x20, 1, 0x83)],
    ),
    (
        "movswl",
        lambda at: LoadExtended(at, 2, True),
        [("R", 0x20, 2, 0xFFFFFF83)],
        [("R", 0x20, 2, 0xFF83)],
    ),
    ("or", lambda at: Alter(at, 4, AX, "or"), UNKNOWN, [("R", 0x20, 4, WORD), ("W", 0x20, 4, WORD | AX)]),
    ("add", lambda at: Alter(at, 4, AX, "add"), UNKNOWN, [("R", 0x20, 4, WORD), ("W", 0x20, 4, WORD + AX)]),
    ("xchg", lambda at: Alter(at, 4, AX, "xchg"), UNKNOWN, [("R", 0x20, 4, WORD), ("W", 0x20, 4, AX)]),
    ("cmp", lambda at: Compare(at, 4), UNKNOWN, [("R", 0x20, 4, WORD)]),
    (
        "movdqu",
        lambda at: Load(at + 0x60, 16),
        [("U", 0x80, None, None)],
        [("R", 0x80, 16, int.from_bytes(BYTES, "little"))],
    ),
    (
        "movs",
        lambda at: Copy(at + 0x40, at, 4),
        [*UNKNOWN, ("U", 0x60, None, None)],
        [("R", 0x20, 4, WORD), ("W", 0x60, 4, WORD)],
    ),
]

#: What both decoders read alike.
PLAIN: list[tuple[str, Callable[[int], Instruction], list[Row]]] = [
    ("movl load", lambda at: Load(at, 4), [("R", 0x20, 4, WORD)]),
    ("movzbl", lambda at: LoadExtended(at, 1, False), [("R", 0x20, 1, 0x83)]),
    ("movl $,(%rdi)", lambda at: StoreImmediate(at, 4, 0x11223344), [("W", 0x20, 4, 0x11223344)]),
    ("stos", lambda at: Fill(at, 4, 0), [("W", 0x20, 4, AX)]),
]


@pytest.mark.parametrize("setup", OLD, ids=["seed", "mainline", "alone"])
@pytest.mark.parametrize("name, make, old, exact", CASES, ids=[case[0] for case in CASES])
def test_old_decoder(
    name: str, make: Callable[[int], Instruction], old: list[Row], exact: list[Row], setup: dict[str, Any]
) -> None:
    assert recorded(make, setup) == old


@pytest.mark.parametrize("setup", EXACT, ids=["emulate", "step", "stop-the-world"])
@pytest.mark.parametrize("name, make, old, exact", CASES, ids=[case[0] for case in CASES])
def test_without_old_decoder(
    name: str, make: Callable[[int], Instruction], old: list[Row], exact: list[Row], setup: dict[str, Any]
) -> None:
    assert recorded(make, setup) == exact


@pytest.mark.parametrize("setup", (*OLD, *EXACT))
@pytest.mark.parametrize("name, make, wanted", PLAIN, ids=[case[0] for case in PLAIN])
def test_plain_moves_are_right_in_both(
    name: str, make: Callable[[int], Instruction], wanted: list[Row], setup: dict[str, Any]
) -> None:
    assert recorded(make, setup) == wanted


def test_an_unknown_has_the_first_bytes_of_its_instruction() -> None:
    def probe(kernel: Any) -> int:
        kernel.set_bits(kernel.ioremap(BAR, PAGE), 4, 1)
        return 0

    here = run(probe, compat="mainline")
    unknown = next(e for e in here.events if e.kind is Kind.UNKNOWN)
    assert (unknown.width, unknown.value, unknown.extra["opcode"]) == (None, None, b"\x09\x07\x90")


@pytest.mark.parametrize("setup", (*OLD, *EXACT))
def test_rep_stos_traps_once_a_round_and_has_its_values(setup: dict[str, Any]) -> None:
    def probe(kernel: Any) -> int:
        kernel.memset_io(kernel.ioremap(BAR, PAGE), 0xA5, 8)
        return 0

    assert run(probe, **setup).rows == [("W", n, 1, 0xA5) for n in range(8)]
