"""A card of plain memory, drivers compiled from C, and drivers of raw machine code, for the tests of this area."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mmiotools.emu import missing_packages
from mmiotools.engine.interface import Host, Seen
from mmiotools.engine.session import Outcome, run_driver
from mmiotools.errors import DriverError
from mmiotools.events import Event
from mmiotools.trace.header import Bar, PciDevice

needs_emu = pytest.mark.skipif(bool(missing_packages()), reason=f"not installed: {', '.join(missing_packages())}")

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None or bool(missing_packages()), reason="no gcc, or no [emu] extra")

#: As the header that drivers include says.
FLAGS = [
    *("-g", "-O2", "-ffreestanding", "-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only", "-fno-pic"),
    *("-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"),
    *("-Wall", "-Wextra", "-Werror"),
]
HEADER = Path(__file__).resolve().parents[2] / "samples" / "drivers"

BAR0, BAR0_SIZE = 0xF0000000, 0x10000


class RamCard:
    """One BAR of memory, a log, and an interrupt line that a write of 4 bytes at 0xF000 sets to its value."""

    api = 1
    name = "ram"
    title = "memory"

    def __init__(self) -> None:
        self._pci = PciDevice(0x0108, 0x1234, 0x5678, 11, (Bar(0, BAR0, BAR0_SIZE),), "ram")
        self.memory = bytearray(BAR0_SIZE)
        self.config = bytearray(range(256))
        self.seen: list[Seen] = []
        self._host: Host | None = None

    @property
    def pci(self) -> PciDevice:
        return self._pci

    def attach(self, host: Host) -> None:
        self._host = host

    def read(self, region: str, offset: int, width: int) -> int:
        held = self.memory if region == "BAR0" else self.config
        value = int.from_bytes(held[offset : offset + width], "little")
        self.seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        self.seen.append(Seen("W", region, offset, width, value))
        held = self.memory if region == "BAR0" else self.config
        held[offset : offset + width] = value.to_bytes(width, "little")
        if offset == 0xF000 and region == "BAR0" and self._host is not None:
            self._host.irq(0, value & 1)

    def reset(self) -> None:
        self.memory[:] = bytes(BAR0_SIZE)
        self.seen.clear()

    def snapshot(self) -> bytes:
        return bytes(self.memory)

    def restore(self, state: bytes) -> None:
        self.memory[:] = state


def compile_c(folder: Path, source: str, *flags: str, name: str = "driver") -> str:
    """The object file of a driver whose source, without its #include, is given."""
    path = folder / f"{name}.c"
    path.write_text('#include "mmiotools.h"\n' + source)
    assert GCC is not None
    words = [GCC, "-c", *FLAGS, *flags, f"-I{HEADER}", path.name, "-o", f"{name}.o"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(folder / f"{name}.o")


def run_probe(probe: Callable[[Any], int], card: RamCard | None = None, **options: Any) -> tuple[Outcome, list[Event]]:
    """Run a probe function; a driver that was killed is an outcome with an error, however the session tells it."""
    events: list[Event] = []
    try:
        outcome = run_driver(probe, card or RamCard(), emit=events.append, **options)
    except DriverError as error:
        outcome = Outcome(error=error)
    return outcome, events


def run_object(path: str, version: str = "1", **options: Any) -> tuple[Outcome, list[Event]]:
    """Load an object and run it on memory."""
    from mmiotools.emu import load_driver

    return run_probe(load_driver(path).versions[version], **options)


def told(outcome: Outcome) -> str:
    """What killed the driver, in one line."""
    assert outcome.error is not None
    text = str(outcome.error)
    assert "\n" not in text
    return text


def raw(code: bytes, data: bytes = b"") -> Any:
    """A program of raw machine code at the usual place, with writable data behind it."""
    from mmiotools.emu.elf import PAGE, ObjectFile
    from mmiotools.emu.link import Function, Program, Segment
    from mmiotools.engine.cpu import CODE_START

    def pages(held: bytes) -> bytearray:
        return bytearray(held + bytes(-len(held) % PAGE))

    segments = [Segment(CODE_START, pages(code), False, True)]
    if data:
        segments.append(Segment(CODE_START + 0x100000, pages(data), True, False))
    held = ObjectFile("raw.o", {}, [], [])
    functions = [Function(CODE_START, len(code), "start")]
    return Program(held, segments, {"start": CODE_START}, functions, {}, {}, [])


def accesses(events: Sequence[Event]) -> list[tuple[str, int | None, int, int | None]]:
    """(kind, width, offset in BAR 0, value) of what was recorded."""
    names = {"READ": "R", "WRITE": "W", "UNKNOWN": "U"}
    return [
        (names[e.kind.name], e.width, e.addr - BAR0, e.value)
        for e in events
        if e.kind.name in names and e.addr is not None
    ]
