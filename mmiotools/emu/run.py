"""Runs a driver's machine code in the emulated kernel: natively in Unicorn until it leaves its own memory.

An access to any other memory goes through the fault engine as an instruction; a jump to a kernel function calls it.
"""

from __future__ import annotations

from unicorn.unicorn_const import UC_ERR_EXCEPTION, UC_ERR_INSN_INVALID
from unicorn.x86_const import (
    UC_X86_REG_EFLAGS,
    UC_X86_REG_FS_BASE,
    UC_X86_REG_GS_BASE,
    UC_X86_REG_R8,
    UC_X86_REG_R9,
    UC_X86_REG_RAX,
    UC_X86_REG_RCX,
    UC_X86_REG_RDI,
    UC_X86_REG_RDX,
    UC_X86_REG_RIP,
    UC_X86_REG_RSI,
    UC_X86_REG_RSP,
)

from mmiotools.emu.calls import make_call
from mmiotools.emu.elf import PAGE
from mmiotools.emu.instruction import CodeInstruction
from mmiotools.emu.lines import Lines
from mmiotools.emu.link import STUBS_START, Program
from mmiotools.emu.natives import NATIVE_PAGE, NATIVES_START, native_name
from mmiotools.emu.operands import LONGEST, Decoded, Touch, decode
from mmiotools.emu.space import Refused, Space
from mmiotools.engine.cpu import IF
from mmiotools.engine.kernel import AccessLimit, Kernel
from mmiotools.engine.machine import BadAccess
from mmiotools.engine.mmu import PF_PROTECTION
from mmiotools.errors import DriverError, EngineFailure
from mmiotools.typed import NoReturn

#: Instructions that are run before Python looks whether the user wants to stop.
SLICE = 1_000_000
#: Slices without an access or a call after which a driver is taken to loop, and calls of kernel functions in all.
SLICES = 300
CALLS_LIMIT = 10_000_000

STACK_TOP = 0xFFFFC8FFFFFF0000
STACK_SIZE = 16384
#: What gs and fs point to: a page of the CPU, with the canary where compilers look for it.
PER_CPU = 0xFFFF8880F1000000
_CANARY_AT, _CANARY = 0x28, 0x5BD1E995A7C3F100

#: The address that the outermost function returns to.
_RETURN = STUBS_START
_MASK = (1 << 64) - 1
_ARGUMENTS = (UC_X86_REG_RDI, UC_X86_REG_RSI, UC_X86_REG_RDX, UC_X86_REG_RCX, UC_X86_REG_R8, UC_X86_REG_R9)
_RED_ZONE = 128
#: Interrupts on; bit 1 is always set.
_FLAGS = 0x202


class MachineCode:
    """One run of a program in one kernel.

    slices, calls   limits of what it may do without coming to an end
    """

    def __init__(self, program: Program, kernel: Kernel, *, slices: int = SLICES, calls: int = CALLS_LIMIT) -> None:
        self.program = program
        self.kernel = kernel
        self.slices = slices
        self.calls = calls
        self.space = Space()
        self._lines = Lines(program)
        self._decoded: dict[int, Decoded] = {}
        self._registers = self.space.register
        for segment in program.segments:
            self.space.add(segment.virt, segment.data, writable=segment.writable, executable=segment.executable)
        self.space.add(NATIVES_START, NATIVE_PAGE, executable=True)
        self.space.add(STACK_TOP - STACK_SIZE, bytes(STACK_SIZE), writable=True)
        per_cpu = bytearray(PAGE)
        per_cpu[_CANARY_AT : _CANARY_AT + 8] = _CANARY.to_bytes(8, "little")
        self.space.add(PER_CPU, per_cpu, writable=True)
        uc = self.space.uc
        uc.reg_write(UC_X86_REG_RSP, STACK_TOP)
        uc.reg_write(UC_X86_REG_GS_BASE, PER_CPU)
        uc.reg_write(UC_X86_REG_FS_BASE, PER_CPU)
        uc.reg_write(UC_X86_REG_EFLAGS, _FLAGS)

    # -- what kernel functions need -----------------------------------------------------------------------

    def argument(self, number: int) -> int:
        """The argument of that number from 0, 64 bits: from a register, or from the stack from number 6 on."""
        if number < len(_ARGUMENTS):
            return self._registers(_ARGUMENTS[number])
        at = self._registers(UC_X86_REG_RSP) + 8 * (number - len(_ARGUMENTS) + 1)
        return self._stacked(at)

    def call(self, address: int, *arguments: int) -> int:
        """Call a function of the driver, also out of another one (an interrupt); what it returned in rax.

        Raises DriverError, which says where in the driver's code it happened.
        """
        uc = self.space.uc
        saved = uc.context_save()
        # As an interrupt does: below what the running function may use without saying so, and aligned for a call.
        stack = (self._registers(UC_X86_REG_RSP) - _RED_ZONE & ~0xF) - 8
        for register, value in zip(_ARGUMENTS, arguments, strict=False):
            uc.reg_write(register, value & _MASK)
        uc.reg_write(UC_X86_REG_RSP, stack)
        try:
            self.space.write(stack, _RETURN.to_bytes(8, "little"))
        except KeyError:
            self._fail(address, "the stack is full")
        self._run(address)
        result = self._registers(UC_X86_REG_RAX)
        uc.context_restore(saved)
        return result

    # -- inside -------------------------------------------------------------------------------------------

    def _run(self, ip: int) -> None:
        """Run from ip until the function returns."""
        space = self.space
        slices = 0
        while True:
            space.refused = None
            error = space.go(ip, SLICE)
            ip = space.ip
            if ip == _RETURN:
                return
            refused = space.refused
            if error is None:
                if not ip:
                    self._fail(self._caller(ip), "jumped to 0, which is no code")
                slices += 1
                if slices >= self.slices:
                    self._fail(ip, f"ran {slices * SLICE // 1_000_000} million instructions in a row without an access")
                self._not_halted(ip)
                continue
            slices = 0
            if refused is None:
                self._fail(ip, _TRAPS.get(getattr(error, "errno", 0), str(error)))
            if not refused.fetch:
                ip = self._access(ip, refused)
            elif ip in self.program.imports:
                ip = self._kernel_function(self.program.imports[ip])
            else:
                self._fail(self._caller(ip), f"jumped to {self._target(ip, refused):#x}, which is no code")

    def _kernel_function(self, name: str) -> int:
        """Call it, and return to the driver: the address there."""
        uc = self.space.uc
        stack = self._registers(UC_X86_REG_RSP)
        back = self._stacked(stack)
        self.calls -= 1
        if self.calls < 0:
            self._fail(back, "called the kernel again and again and did not come to an end")
        self.kernel.cpu.ip = back
        try:
            result = make_call(self, name)
        except DriverError as error:
            self._fail(back, str(error))
        uc.reg_write(UC_X86_REG_RAX, result)
        uc.reg_write(UC_X86_REG_RSP, stack + 8 & _MASK)
        uc.reg_write(UC_X86_REG_RIP, back)
        return back

    def _access(self, ip: int, refused: Refused) -> int:
        """The instruction at ip touches memory that is not the driver's own: the fault engine runs it. The next ip."""
        space, kernel, registers = self.space, self.kernel, self._registers
        try:
            decoded = self._decode(ip)
            while True:
                touched = decoded.touches(registers)
                instruction = CodeInstruction(space, decoded, ip, touched)
                if not instruction.operands():
                    self._fail(ip, self._objection(decoded, touched, refused))
                cpu = kernel.cpu
                cpu.ip, cpu.ax = ip, registers(UC_X86_REG_RAX)
                cpu.flags = cpu.flags & ~IF | registers(UC_X86_REG_EFLAGS) & IF
                kernel.run(instruction)
                cpu.ip = space.ip
                if not decoded.counter or cpu.ip != ip or not self._still_foreign(decoded):
                    return cpu.ip
        except BadAccess as error:
            if kernel.mapped(error.addr) and not error.code & PF_PROTECTION:
                # The driver may do that: it is the fault engine that left the page absent.
                error.add_note(self._where(ip))
                raise
            place = kernel.place(error.addr)
            self._fail(ip, f"{error} ({place})" if place else str(error))
        except (AccessLimit, DriverError) as error:
            self._fail(ip, str(error))
        except EngineFailure as error:
            error.add_note(self._where(ip))
            raise

    def _still_foreign(self, decoded: Decoded) -> bool:
        """Does the next round of a REP leave the driver's memory, too?"""
        if not self._registers(decoded.counter):
            return False
        touched = decoded.touches(self._registers)
        return not all(self.space.owns(t.virt) and self.space.owns(t.virt + t.width - 1) for t in touched)

    def _objection(self, decoded: Decoded, touched: list[Touch], refused: Refused) -> str:
        for touch in touched:
            if touch.write and not self.space.writable(touch.virt):
                return f"write at {touch.virt:#x}, which is not writable"
        return f"'{decoded.text}' touches {refused.virt:#x} in a way that is not understood"

    def _decode(self, ip: int) -> Decoded:
        decoded = self._decoded.get(ip)
        if decoded is None:
            code = self.space.read(ip, min(LONGEST, PAGE - ip % PAGE))
            if len(code) < LONGEST and self.space.owns(ip + len(code)):
                code += self.space.read(ip + len(code), LONGEST - len(code))
            decoded = self._decoded[ip] = decode(code, ip)
        return decoded

    def _stacked(self, at: int) -> int:
        try:
            return int.from_bytes(self.space.read(at, 8), "little")
        except KeyError:
            raise DriverError(f"the stack pointer is {at:#x}, which is not the driver's memory") from None

    def _not_halted(self, ip: int) -> None:
        """hlt stops Unicorn without an error; nothing would ever wake the CPU."""
        if self.space.owns(ip - 1) and self.space.read(ip - 1, 1) == b"\xf4":
            self._fail(ip - 1, "halted the CPU")

    def _target(self, ip: int, refused: Refused) -> int:
        """Where the CPU wanted to go; the address of a fetch is only that of its page."""
        return refused.virt if self.program.place(ip) is not None else ip

    def _caller(self, ip: int) -> int:
        """Of a jump into nowhere: the place that it was called from, if it was a call."""
        if self.program.place(ip) is not None or native_name(ip) is not None:
            return ip
        try:
            return self._stacked(self._registers(UC_X86_REG_RSP))
        except DriverError:
            return ip

    def _fail(self, ip: int, what: str) -> NoReturn:
        """The driver ends here, and cannot go on after that."""
        error = DriverError(f"{self._where(ip)}{what}")
        self.kernel.oops = error
        raise error

    def _where(self, ip: int) -> str:
        """"nv-test.c:34: poke+0x12: ", as far as it is known."""
        name = native_name(ip)
        if name is not None:
            try:
                return f"{self._where(self._stacked(self._registers(UC_X86_REG_RSP)))}{name}: "
            except DriverError:
                return f"{name}: "
        place, line = self.program.place(ip), self._lines.find(ip)
        if place is None:
            return f"{self.program.object.path}: "
        return f"{line}: {place}: " if line is not None else f"{self.program.object.path}: {place}: "


_TRAPS = {
    UC_ERR_EXCEPTION: "the CPU raised an exception that no kernel handles",
    UC_ERR_INSN_INVALID: "illegal instruction",
}
