"""Every form of instruction does to device memory what it does to RAM, and the device sees the accesses it should."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from emu_helpers import RamCard, accesses, needs_emu, raw, run_probe
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = needs_emu

RAM_AT = 0x100000  # of `raw`, behind its code
AT = 0x840  # where in device memory or RAM rdi points to
SIZE = 0x2000

R1, R2, R4, R8, R16 = (("R", n) for n in (1, 2, 4, 8, 16))
W1, W2, W4, W8, W16 = (("W", n) for n in (1, 2, 4, 8, 16))


class Form(NamedTuple):
    """Machine code with memory at rdi (and rsi = rdi + 0x80), and what the device should see, by hand."""

    name: str
    code: str
    seen: tuple[tuple[str, int], ...]
    rcx: int | None = None


FORMS = [
    Form("mov r8,m", "8a1f", (R1,)),
    Form("mov ah,m", "8a27", (R1,)),
    Form("mov sil,m", "408a37", (R1,)),
    Form("mov r16,m", "668b1f", (R2,)),
    Form("mov r32,m", "8b1f", (R4,)),
    Form("mov r9d,m", "448b0f", (R4,)),
    Form("mov r64,m", "488b1f", (R8,)),
    Form("mov r64,m disp32", "488b9f10000000", (R8,)),
    Form("mov r32,m sib", "8b5c8f04", (R4,), rcx=3),
    Form("mov m,r8", "881f", (W1,)),
    Form("mov m,ah", "8827", (W1,)),
    Form("mov m,r16", "66891f", (W2,)),
    Form("mov m,r32", "891f", (W4,)),
    Form("mov m,r64", "48891f", (W8,)),
    Form("mov m,i8", "c6077f", (W1,)),
    Form("mov m,i16", "66c7073412", (W2,)),
    Form("mov m,i32", "c70778563412", (W4,)),
    Form("mov m,i32 sign-extended", "48c707feffffff", (W8,)),
    Form("movzx r32,m8", "0fb61f", (R1,)),
    Form("movzx r32,m16", "0fb71f", (R2,)),
    Form("movsx r32,m8", "0fbe1f", (R1,)),
    Form("movsx r64,m8", "480fbe1f", (R1,)),
    Form("movsxd r64,m32", "48631f", (R4,)),
    Form("movbe r32,m", "0f38f01f", (R4,)),
    Form("movnti m,r32", "0fc31f", (W4,)),
    Form("cmovz r32,m", "0f441f", (R4,)),
    Form("setc m", "0f9207", (W1,)),
    Form("add r32,m", "031f", (R4,)),
    Form("add m,r32", "011f", (R4, W4)),
    Form("or m,r8", "081f", (R1, W1)),
    Form("and m,i32", "8127f0f0f0f0", (R4, W4)),
    Form("sub m,r64", "48291f", (R8, W8)),
    Form("adc m,i8", "831701", (R4, W4)),
    Form("not m", "f717", (R4, W4)),
    Form("neg m8", "f61f", (R1, W1)),
    Form("inc m", "ff07", (R4, W4)),
    Form("shl m,cl", "d327", (R4, W4), rcx=3),
    Form("cmp m,r32", "391f", (R4,)),
    Form("cmp m8,i8", "803f00", (R1,)),
    Form("test m,r32", "851f", (R4,)),
    Form("test m8,i8", "f60780", (R1,)),
    Form("imul r32,m", "0faf1f", (R4,)),
    Form("mul m", "f727", (R4,)),
    Form("xchg m,r32", "871f", (R4, W4)),
    Form("lock xadd m,r32", "f00fc11f", (R4, W4)),
    Form("lock cmpxchg m,r32", "f00fb11f", (R4, W4)),
    Form("lock cmpxchg8b", "f00fc70f", (R8, W8)),
    Form("lock cmpxchg16b", "f0480fc70f", (R16, W16)),
    Form("bt m,i", "0fba2705", (R4,)),
    Form("bts m,i", "0fba2f05", (R4, W4)),
    Form("bt m,r near", "0fa30f", (R4,), rcx=77),
    Form("btr m,r before", "0fb30f", (R4, W4), rcx=-100),
    Form("btc m64,r", "480fbb0f", (R8, W8), rcx=129),
    Form("bsf r32,m", "0fbc1f", (R4,)),
    Form("push m", "ff37 58", (R8,)),
    Form("pop m", "50 8f07", (W8,)),
    Form("stosb", "aa", (W1,)),
    Form("stosd", "ab", (W4,)),
    Form("stosq", "48ab", (W8,)),
    Form("rep stosb", "f3aa", (W1,) * 5, rcx=5),
    Form("rep stosw", "f366ab", (W2,) * 3, rcx=3),
    Form("rep stosd", "f3ab", (W4,) * 3, rcx=3),
    Form("rep stosb of nothing", "f3aa", (), rcx=0),
    Form("std; rep stosb; cld", "fd f3aa fc", (W1,) * 5, rcx=5),
    Form("lodsb", "488d37 ac", (R1,)),
    Form("lodsd", "488d37 ad", (R4,)),
    Form("movsb", "a4", (R1, W1)),
    Form("movsd", "a5", (R4, W4)),
    Form("movsq", "48a5", (R8, W8)),
    Form("rep movsb", "f3a4", (R1, W1) * 4, rcx=4),
    Form("rep movsd", "f3a5", (R4, W4) * 4, rcx=4),
    Form("rep movsb over itself", "488d7701 f3a4", (R1, W1) * 4, rcx=4),
    Form("cmpsb", "a6", (R1, R1)),
    Form("scasd", "af", (R4,)),
    Form("repne scasb", "b000 f2ae", (R1,) * 3, rcx=3),
    Form("xlat", "488d1f b003 d7", (R1,)),
    Form("movd xmm,m", "660f6e07", (R4,)),
    Form("movq xmm,m", "f30f7e07", (R8,)),
    Form("movss m,xmm", "f30f1107", (W4,)),
    Form("movsd xmm,m", "f20f1007", (R8,)),
    Form("movsd m,xmm", "f20f1107", (W8,)),
    Form("movups xmm,m", "0f1007", (R16,)),
    Form("movups m,xmm", "0f1107", (W16,)),
    Form("movdqu xmm,m", "f30f6f07", (R16,)),
    Form("movdqu m,xmm", "f30f7f07", (W16,)),
    Form("movaps m,xmm", "0f2907", (W16,)),
    Form("movntdq m,xmm", "660fe707", (W16,)),
    Form("pxor xmm,m", "660fef07", (R16,)),
    Form("fstp m80", "d9e8 db3f", (W8, W2)),
    Form("fld m80; fstp", "db2f ddd8", (R8, R2)),
    Form("fild m32; fistp m32", "db07 db1f", (R4, W4)),
]


def run_form(form: Form, device: bool, at: int, seed: bytes, ax: int, bx: int) -> tuple[dict[str, int], bytes, RamCard]:
    """Registers and memory after the form ran on the device or on RAM; the card with what it saw."""
    from unicorn import x86_const

    from mmiotools.emu.run import MachineCode
    from mmiotools.engine.cpu import CODE_START

    card = RamCard()
    card.memory[:SIZE] = seed
    code = bytes.fromhex(form.code) + b"\xc3"
    program = raw(code, seed)
    after: dict[str, int] = {}
    memory = b""

    def probe(kernel: Any) -> int:
        nonlocal memory
        base = kernel.ioremap(card.pci.bars[0].addr, SIZE)
        start = base if device else CODE_START + RAM_AT
        machine = MachineCode(program, kernel)
        uc = machine.space.uc
        rcx = 0x1122334455667788 if form.rcx is None else form.rcx & (1 << 64) - 1
        given = {"RAX": ax, "RBX": bx, "RDX": 0x99AABBCCDDEEFF00, "R9": 7, "R14": bx}
        for name, value in given.items():
            uc.reg_write(getattr(x86_const, f"UC_X86_REG_{name}"), value)
        uc.reg_write(x86_const.UC_X86_REG_XMM0, bx << 64 | ax)
        original = uc.context_restore
        # The state that the function leaves, before the caller's is put back.
        names = ["RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "RSP", "R8", "R9", "R10", "R14", "XMM0", "EFLAGS"]

        def keep(context: Any) -> None:
            for name in names:
                after[name] = uc.reg_read(getattr(x86_const, f"UC_X86_REG_{name}"))
            original(context)

        uc.context_restore = keep
        machine.call(CODE_START, start + at, start + at + 0x80, 0x99AABBCCDDEEFF00, rcx)
        for name in ("RSI", "RDI", "RBX"):
            if start <= after[name] < start + SIZE:
                after[name] -= start
        memory = bytes(card.memory[:SIZE]) if device else machine.space.read(start, SIZE)
        return 0

    outcome, events = run_probe(probe, card)
    assert outcome.error is None, f"{form.name}: {outcome.error}"
    recorded = [(op, width, offset, value) for op, width, offset, value in accesses(events)]
    assert recorded == [(s.op, s.width, s.offset, s.value) for s in card.seen], form.name
    return after, memory, card


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_device_memory_is_touched_as_ram_is(form: Form) -> None:
    seed = bytes((7 * n + 13 * (n >> 8)) & 0xFF for n in range(SIZE))
    on_ram = run_form(form, False, AT, seed, 0x0123456789ABCDEF, 0xFEDCBA9876543210)
    on_device = run_form(form, True, AT, seed, 0x0123456789ABCDEF, 0xFEDCBA9876543210)
    assert on_device[0] == on_ram[0]
    assert on_device[1] == on_ram[1]
    assert [(s.op, s.width) for s in on_device[2].seen] == list(form.seen)
    assert not on_ram[2].seen


@settings(max_examples=60)
@given(
    form=st.sampled_from(FORMS),
    at=st.sampled_from([0x100, 0x841, 0xFFE, 0xFF9, 0x1000]),
    seed=st.integers(0, 1 << 32),
    ax=st.integers(0, (1 << 64) - 1),
    bx=st.integers(0, (1 << 64) - 1),
)
def test_also_with_random_values_and_across_pages(form: Form, at: int, seed: int, ax: int, bx: int) -> None:
    # It faults unless its operand is aligned.
    assume("cmpxchg16b" not in form.name or at % 16 == 0)
    held = random.Random(seed).randbytes(SIZE)
    assert run_form(form, True, at, held, ax, bx)[:2] == run_form(form, False, at, held, ax, bx)[:2]
