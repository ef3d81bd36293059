"""The kernel's functions that are machine code themselves: what they do to device memory is done by instructions.

A compiler calls the mem… functions for structure copies even when the source does not name them.
"""

from __future__ import annotations

from mmiotools.emu.elf import PAGE
from mmiotools.emu.link import STUBS_START

NATIVES_START = STUBS_START - 16 * PAGE

#: Name → code; hand-written, in the AT&T syntax of the comments.
_CODE = {
    # mov %rdi,%rax; mov %rdx,%rcx; rep movsb; ret
    "memcpy": "4889f8 4889d1 f3a4 c3",
    # As memcpy, but backwards (lea -1(%rdi,%rcx),%rdi; lea -1(%rsi,%rcx),%rsi; std; rep movsb; cld; ret) when the
    # distance rdi - rsi, unsigned, is below the length.
    "memmove": "4889f8 4889d1 4889fa 4829f2 4839ca 7203 f3a4 c3 488d7c0fff 488d740eff fd f3a4 fc c3",
    # mov %rdi,%r8; mov %esi,%eax; mov %rdx,%rcx; rep stosb; mov %r8,%rax; ret
    "memset": "4989f8 89f0 4889d1 f3aa 4c89c0 c3",
    # mov %rdx,%rcx; xor %eax,%eax; cmp %eax,%eax; repe cmpsb; je 1f; movzbl -1(%rdi),%eax; movzbl -1(%rsi),%ecx;
    # sub %ecx,%eax; 1: ret
    "memcmp": "4889d1 31c0 39c0 f3a6 740a 0fb647ff 0fb64eff 29c8 c3",
    # xor %eax,%eax; jmp 2f; 1: inc %rax; 2: cmpb $0,(%rdi,%rax); jne 1b; ret
    "strlen": "31c0 eb03 48ffc0 803c0700 75f7 c3",
    # ret: what a kernel's compiler options call at the start and the end of a function.
    "__fentry__": "c3",
    "__x86_return_thunk": "c3",
}
_ALIGN = 16


def _place() -> tuple[dict[str, int], bytes]:
    addresses: dict[str, int] = {}
    code = b""
    for name, words in _CODE.items():
        addresses[name] = NATIVES_START + len(code)
        code += bytes.fromhex(words)
        code += b"\xcc" * (-len(code) % _ALIGN)
    return addresses, code.ljust(PAGE, b"\xcc")


#: Name → address, and the page that they are on.
NATIVES, NATIVE_PAGE = _place()


def native_name(address: int) -> str | None:
    """"memcpy" for an address in it; None when it is in none of them."""
    if not NATIVES_START <= address < NATIVES_START + PAGE:
        return None
    return max((start, name) for name, start in NATIVES.items() if start <= address)[1]
