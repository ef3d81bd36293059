"""The driver's own memory in Unicorn: code, data and stack. Every other page is refused, as if it were not present.

Unicorn asks `_fill` for each page that it does not know. Device memory is never told to it, so that no access to it can
happen behind the fault engine's back; the pages of one instruction are shown as scratch pages while it is carried out.
"""

from __future__ import annotations

import ctypes

from unicorn import Uc, UcError
from unicorn.unicorn_const import (
    UC_ARCH_X86,
    UC_CTL_IO_WRITE,
    UC_CTL_TLB_FLUSH,
    UC_HOOK_INSN,
    UC_HOOK_TLB_FILL,
    UC_MEM_FETCH,
    UC_MEM_WRITE,
    UC_MODE_64,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
    UC_TLB_VIRTUAL,
)
from unicorn.x86_const import UC_X86_INS_IN, UC_X86_INS_OUT, UC_X86_REG_RIP

from mmiotools.emu.elf import PAGE
from mmiotools.engine.mmu import OFFSET_MASK, PAGE_SHIFT
from mmiotools.errors import DriverError
from mmiotools.typed import Any, Callable, Iterable, NamedTuple

#: An instruction touches at most two operands, each on at most two pages.
SCRATCH_PAGES = 4
_SCRATCH = PAGE


class Refused(NamedTuple):
    """A page that was asked for and not given. `virt` is the address of the access, as far as it is known."""

    virt: int
    fetch: bool
    write: bool


class Space:
    """One Unicorn with the driver's memory in it.

    refused     the last page that was not given, since `refused` was set to None
    """

    def __init__(self) -> None:
        self.uc: Any = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_tlb_mode(UC_TLB_VIRTUAL)
        self._word = ctypes.c_uint64()
        self._word_at = ctypes.byref(self._word)
        self._read_register: Callable[[int, Any], int] = self.uc._do_reg_read
        self.refused: Refused | None = None
        self._pages: dict[int, tuple[int, int]] = {}
        self._shown: dict[int, tuple[int, int]] = {}
        self._next = _SCRATCH + SCRATCH_PAGES * PAGE
        self.uc.mem_map(_SCRATCH, SCRATCH_PAGES * PAGE)
        self._port: int | None = None
        self.uc.hook_add(UC_HOOK_TLB_FILL, self._fill)
        self.uc.hook_add(UC_HOOK_INSN, self._input, aux1=UC_X86_INS_IN)
        self.uc.hook_add(UC_HOOK_INSN, self._output, aux1=UC_X86_INS_OUT)

    def add(self, virt: int, data: bytes | bytearray, *, writable: bool = False, executable: bool = False) -> None:
        """Put whole pages at a virtual address."""
        self.uc.mem_map(self._next, len(data))
        self.uc.mem_write(self._next, bytes(data))
        rights = UC_PROT_READ | (UC_PROT_WRITE if writable else 0) | (UC_PROT_EXEC if executable else 0)
        for n in range(len(data) // PAGE):
            self._pages[(virt >> PAGE_SHIFT) + n] = self._next + n * PAGE, rights
        self._next += len(data)

    def owns(self, virt: int) -> bool:
        """Is the address in the driver's own memory?"""
        return virt >> PAGE_SHIFT in self._pages

    def writable(self, virt: int) -> bool:
        """Is it in memory of the driver that it may write?"""
        return bool(self._pages.get(virt >> PAGE_SHIFT, (0, 0))[1] & UC_PROT_WRITE)

    def read(self, virt: int, n: int) -> bytes:
        """n bytes of the driver's own memory. Raises KeyError for a page that is not."""
        out = bytearray()
        while len(out) < n:
            at = virt + len(out)
            take = min(n - len(out), PAGE - (at & OFFSET_MASK))
            out += self.uc.mem_read(self._pages[at >> PAGE_SHIFT][0] + (at & OFFSET_MASK), take)
        return bytes(out)

    def write(self, virt: int, data: bytes) -> None:
        """Store bytes in the driver's own memory. Raises KeyError for a page that is not, or that it may not write."""
        done = 0
        while done < len(data):
            at = virt + done
            take = min(len(data) - done, PAGE - (at & OFFSET_MASK))
            phys, rights = self._pages[at >> PAGE_SHIFT]
            if not rights & UC_PROT_WRITE:
                raise KeyError(at)
            self.uc.mem_write(phys + (at & OFFSET_MASK), data[done : done + take])
            done += take

    def string(self, virt: int, limit: int = 1024) -> bytes:
        """The bytes up to a zero, at most `limit`. Raises KeyError as `read` does."""
        out = b""
        while len(out) < limit:
            take = PAGE - (virt & OFFSET_MASK)
            piece, zero, _ = self.read(virt, take).partition(b"\0")
            out, virt = out + piece, virt + take
            if zero:
                break
        return out[:limit]

    # -- one instruction on scratch pages -----------------------------------------------------------------

    def show(self, pages: Iterable[int]) -> None:
        """Show scratch pages in the place of these pages, until `hide`."""
        rights = UC_PROT_READ | UC_PROT_WRITE
        self._shown = {page: (_SCRATCH + n * PAGE, rights) for n, page in enumerate(pages)}

    def hide(self) -> None:
        """Refuse them again."""
        self._shown = {}
        self.uc.ctl(UC_CTL_TLB_FLUSH, UC_CTL_IO_WRITE)

    def put(self, virt: int, data: bytes) -> None:
        """Store bytes on scratch pages that are shown."""
        for at, piece in _by_page(virt, data):
            self.uc.mem_write(self._shown[at >> PAGE_SHIFT][0] + (at & OFFSET_MASK), piece)

    def take(self, virt: int, n: int) -> bytes:
        """Bytes from scratch pages that are shown."""
        out = b""
        for at, piece in _by_page(virt, bytes(n)):
            out += self.uc.mem_read(self._shown[at >> PAGE_SHIFT][0] + (at & OFFSET_MASK), len(piece))
        return out

    def go(self, ip: int, count: int) -> UcError | DriverError | None:
        """Run at most `count` instructions from ip, or until one is at address 0; the error that stopped it, if any.

        The count is exact only where all code was translated with one, so it must never be 0.
        """
        self._port = None
        try:
            self.uc.emu_start(ip, 0, count=count)
        except UcError as error:
            return error
        if self._port is not None:
            return DriverError(f"access to port {self._port:#x}; only memory-mapped registers are emulated")
        return None

    def register(self, number: int) -> int:
        """A register of at most 64 bits. `uc.reg_read` does the same, six times slower, and there are six an access."""
        self._word.value = 0
        self._read_register(number, self._word_at)
        return self._word.value

    @property
    def ip(self) -> int:
        """The instruction pointer."""
        return self.register(UC_X86_REG_RIP)

    def _fill(self, uc: Any, virt: int, access: int, entry: Any, data: Any) -> bool:
        page = virt >> PAGE_SHIFT
        found = self._shown.get(page) or self._pages.get(page)
        need = UC_PROT_EXEC if access == UC_MEM_FETCH else UC_PROT_WRITE if access == UC_MEM_WRITE else UC_PROT_READ
        if found is None or not found[1] & need:
            self.refused = Refused(virt, access == UC_MEM_FETCH, access == UC_MEM_WRITE)
            return False
        entry.paddr, entry.perms = found
        return True

    def _input(self, uc: Any, port: int, size: int, data: Any) -> int:
        self._output(uc, port, size, 0, data)
        return 0

    def _output(self, uc: Any, port: int, size: int, value: int, data: Any) -> None:
        self._port = port
        uc.emu_stop()


def _by_page(virt: int, data: bytes) -> Iterable[tuple[int, bytes]]:
    done = 0
    while done < len(data):
        take = min(len(data) - done, PAGE - (virt + done & OFFSET_MASK))
        yield virt + done, data[done : done + take]
        done += take
