"""A device model of QEMU's on the bench: no guest runs, qtest makes the accesses, the recording's times its clock.

Where this QEMU has `accel=qtest`, its virtual clock stands still but for what we step it by. Elsewhere, as in Debian
12, a CPU has to be there for the clock to run: its firmware is a halt, time is real, and the accesses are made at their
recorded moments.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque

from mmiotools.engine.interface import Host, Step
from mmiotools.errors import QemuError, UsageError
from mmiotools.serve.qemu import Qemu, QemuProcess, find_qemu
from mmiotools.serve.qtest import WINDOW, QtestSocket, read_command, write_command
from mmiotools.trace.header import ROM, Bar, PciDevice
from mmiotools.typed import Iterable, Iterator, NamedTuple, Sequence

#: How a device of QEMU's is written where a device is named.
PREFIX = "qemu:"
#: A node that devices which need a disk may name, as in qemu:nvme,serial=1,drive=null0: 1 GiB of zeroes.
DISK = "null0"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_PROPERTIES = re.compile(r"(,[\w.-]+=[\x20-\x7e]*)*")
_SLOT = 3
_COMMAND, _BAR0, _ROM_BAR = 0x04, 0x10, 0x30
_ENABLE = 0x7  # port and memory space, bus mastering
#: Memory space of the machine that holds nothing else: above its 16 MiB of RAM, below the interrupt controllers.
_ROOM = {"mem": (0x1000_0000, 0xFEC0_0000), "port": (0xC000, 0x10000), "wide": (1 << 32, 1 << 39)}
#: An address with nothing behind it, for accesses beyond the end of a BAR.
_NOWHERE = 0x0F00_0000
#: The ISA bridge, where in it the slot's interrupt pin is routed, and where to.
_BRIDGE, _PIRQ_C, _IRQ = 1, 0x60, 11
#: Firmware that does nothing: 64 KiB, in which the CPU starts 16 bytes before the end, at cli; hlt; jmp back to hlt.
_HALT = bytes(0xFFF0) + b"\xfa\xf4\xeb\xfd" + bytes(12)
#: Seconds by which an access may be early: sleeping takes longer than that.
_EARLY = 1e-4


class QemuModel(NamedTuple):
    """A device of a QEMU: the name and the options that -device takes."""

    qemu: Qemu
    name: str
    options: str

    @classmethod
    def parse(cls, word: str) -> QemuModel:
        """From qemu:NAME[,PROPERTY=VALUE...]. Raises UsageError when there is no such QEMU or device."""
        name, comma, rest = word.removeprefix(PREFIX).partition(",")
        options = comma + rest
        if not _NAME.fullmatch(name) or not _PROPERTIES.fullmatch(options):
            raise UsageError(f"'{word}' is no device of QEMU; write {PREFIX}NAME[,PROPERTY=VALUE...], as qemu:e1000")
        qemu = find_qemu()
        if not qemu.has_device(name):
            raise UsageError(f"QEMU {qemu.shown} has no device '{name}'; `{qemu.path} -device help` lists them")
        return cls(qemu, name, options)


class _Window(NamedTuple):
    """A BAR of the recording, and its space and size as QEMU has them; `wide` if it may lie above 4 GiB."""

    bar: Bar
    space: str
    size: int
    wide: bool


class _Range(NamedTuple):
    """Where a BAR lies in QEMU."""

    base: int
    size: int
    space: str


class QtestCard:
    """A running QEMU with one device in it; use it as a context manager.

    model   the device
    pci     the recorded function: its BARs are set to the recorded addresses, or to others where those are taken
    used    the names of the BARs that are accessed
    pace    by what recorded times are multiplied; 0 for one access after the other, the device's clock standing still
    notes   what the user should know about how it differs from the recorded card, a line each

    Raises QemuError when QEMU does not start, and UsageError when the device has not the BARs of the recording.
    """

    def __init__(self, model: QemuModel, pci: PciDevice, used: Sequence[str], pace: float = 1.0) -> None:
        self.name = f"{PREFIX}{model.name}"
        self.notes: list[str] = []
        self._pace = pace
        self._steps_clock = model.qemu.qtest_accel
        self._windows: dict[str, _Range] = {}
        with contextlib.ExitStack() as stack:
            ends = stack.enter_context(QtestSocket())
            firmware = stack.enter_context(open(os.memfd_create("firmware"), "wb")).fileno()
            os.write(firmware, _HALT)
            words = [*self._arguments(model, f"/dev/fd/{firmware}"), *ends.arguments]
            process = stack.enter_context(QemuProcess(model.qemu, words, pass_fds=[firmware, *ends.fds]))
            self._qtest = stack.enter_context(ends.client(process))
            self._set_up(pci, used)
            self._held = stack.pop_all()

    def __enter__(self) -> QtestCard:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End QEMU."""
        self._held.close()

    def attach(self, host: Host) -> None:
        """Tell the host of the device's interrupt line."""
        high: set[int] = set()

        def changed(line: int, level: bool) -> None:
            # QEMU tells that a line is set, also when it was set before.
            if level != (line in high):
                (high.add if level else high.discard)(line)
                host.irq(line, int(level))

        self._qtest.on_irq = changed

    def answers(self, steps: Iterable[Step]) -> Iterator[int | None]:
        """What each access gave, in order: a read's value, None for a write."""
        return self._stepping(steps) if self._steps_clock or not self._pace else self._in_real_time(steps)

    def _stepping(self, steps: Iterable[Step]) -> Iterator[int | None]:
        """Each access after a step of the clock, without waiting for the answer to either."""
        qtest = self._qtest
        clocks: deque[bool] = deque()  # of each command under way, whether it only moves the clock
        last: int | None = None
        for step in steps:
            gap = 0 if last is None else int((step.time - last) * self._pace)
            if self._steps_clock and gap > 0:
                qtest.send(f"clock_step {gap}")
                clocks.append(True)
            last = step.time if last is None else max(last, step.time)
            qtest.send(self._command(step))
            clocks.append(False)
            if qtest.pending >= WINDOW - 2:
                yield from self._take(clocks, WINDOW // 2)
        yield from self._take(clocks, 0)

    def _take(self, clocks: deque[bool], left: int) -> Iterator[int | None]:
        while len(clocks) > left:
            answer = self._qtest.receive()
            if not clocks.popleft():
                yield answer

    def _in_real_time(self, steps: Iterable[Step]) -> Iterator[int | None]:
        """Each access at its time; what comes sooner than one can sleep goes without waiting for answers."""
        qtest = self._qtest
        began: float | None = None
        first = 0
        for step in steps:
            if began is None:
                began, first = time.monotonic(), step.time
            early = began + (step.time - first) * self._pace / 1e9 - time.monotonic()
            if early > _EARLY:
                while qtest.pending:
                    yield qtest.receive()
                self._wait_until(time.monotonic() + early)
            elif qtest.pending >= WINDOW:
                for _ in range(WINDOW // 2):
                    yield qtest.receive()
            qtest.send(self._command(step))
        while qtest.pending:
            yield qtest.receive()

    @staticmethod
    def _wait_until(moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))

    def _command(self, step: Step) -> str:
        base, size, space = self._windows[step.region]
        address = base + step.offset
        if step.offset + step.width > size:
            address, space = _NOWHERE, "mem"
        if space == "mem":
            if step.op == "R":
                return read_command(address, step.width)
            return write_command(address, step.width, step.value)
        suffix = {1: "b", 2: "w"}.get(step.width, "l")
        return f"in{suffix} {address:#x}" if step.op == "R" else f"out{suffix} {address:#x} {step.value:#x}"

    # -- the machine --------------------------------------------------------------------------------------

    def _arguments(self, model: QemuModel, firmware: str) -> Sequence[str]:
        accel = "qtest" if self._steps_clock else "tcg"
        held = ["-machine", f"pc,accel={accel}", "-m", "16", "-bios", firmware, "-nodefaults", "-display", "none"]
        held += ["-blockdev", f"driver=null-co,read-zeroes=on,node-name={DISK},size={1 << 30}"]
        if not self._steps_clock and not self._pace:
            held.append("-S")  # the clock stands still
        return [*held, "-device", f"{model.name}{model.options},addr={_SLOT}"]

    def _config(self, register: int, value: int | None = None, slot: int = _SLOT) -> int:
        """Read, or write, 32 bits of a function's configuration space."""
        self._qtest.port_write(0xCF8, 4, 1 << 31 | slot << 11 | register)
        if value is None:
            return self._qtest.port_read(0xCFC, 4)
        self._qtest.port_write(0xCFC, 4, value)
        return value

    def _set_up(self, pci: PciDevice, used: Sequence[str]) -> None:
        ids = self._config(0)
        if ids in (0, 0xFFFFFFFF):
            raise UsageError(f"{self.name} is no PCI device")
        found = f"{ids & 0xFFFF:04x}:{ids >> 16:04x}"
        if found != pci.ids:
            self.notes.append(f"{self.name} is {found}, the recorded card is {pci.ids}")
        windows = {bar.name: _Window(bar, *self._probe(bar.number)) for bar in pci.bars}
        missing = [name for name in used if name not in windows or not windows[name].size]
        if missing:
            raise UsageError(f"{self.name} has no {' and no '.join(missing)}, which the recording accesses")
        for name, window in _placed([window for window in windows.values() if window.size]).items():
            bar, space, size = windows[name][:3]
            if bar.size != size and name in used:
                self.notes.append(f"{name} of {self.name} has {size:#x} bytes, the recorded one {bar.size:#x}")
            self._set_bar(bar.number, window)
            self._windows[name] = _Range(window, size, space)
        self._config(_COMMAND, _ENABLE)
        self._config(_PIRQ_C, _IRQ << 16, _BRIDGE)
        with contextlib.suppress(QemuError):  # a machine without it has no less of the device
            self._qtest.watch_irqs("/machine/i440fx/ioapic")

    def _probe(self, number: int) -> tuple[str, int, bool]:
        """Space and size of a BAR as QEMU has it, and whether it has 64 bits; size 0 where there is none."""
        register = _ROM_BAR if number == ROM else _BAR0 + 4 * number
        self._config(register, 0xFFFFF800 if number == ROM else 0xFFFFFFFF)
        mask = self._config(register)
        space = "port" if mask & 1 and number != ROM else "mem"
        bits = mask & ~(0x7FF if number == ROM else 3 if space == "port" else 15)
        if space == "mem" and number < 5 and mask & 6 == 4:
            self._config(register + 4, 0xFFFFFFFF)
            bits |= self._config(register + 4) << 32
            self._config(register + 4, 0)
            self._config(register, 0)
            return space, -bits & (1 << 64) - 1, True
        self._config(register, 0)
        return space, -bits & 0xFFFFFFFF if bits else 0, False

    def _set_bar(self, number: int, base: int) -> None:
        register = _ROM_BAR if number == ROM else _BAR0 + 4 * number
        self._config(register, base & 0xFFFFFFFF | (number == ROM))
        if base >> 32:
            self._config(register + 4, base >> 32)


def _placed(windows: Sequence[_Window]) -> dict[str, int]:
    """Where each BAR goes: to its recorded address, or to a free one where that cannot be. Raises UsageError."""
    taken: list[tuple[str, int, int]] = []
    held: dict[str, int] = {}

    def beyond(window: _Window, base: int) -> int:
        """The least address from `base` on that may be free; `base` if it is."""
        low, high = _ROOM[window.space]
        if window.wide and base + window.size > high:
            low, high = _ROOM["wide"]
        base = -(-max(base, low) // window.size) * window.size
        if base + window.size > high:
            raise UsageError(f"{window.bar.name}: no room for {window.size:#x} bytes")
        ends = [b for space, a, b in taken if space == window.space and a < base + window.size and base < b]
        return max(ends, default=base)

    def put(window: _Window, base: int) -> None:
        taken.append((window.space, base, base + window.size))
        held[window.bar.name] = base

    for window in windows:
        with contextlib.suppress(UsageError):
            if beyond(window, window.bar.addr) == window.bar.addr:
                put(window, window.bar.addr)
    for window in windows:
        if window.bar.name not in held:
            base, following = -1, 0
            while base != following:
                base, following = following, beyond(window, following)
            put(window, base)
    return held
