"""An object file as a driver: its name, title, card and versions are what it says in its symbols."""

from __future__ import annotations

import re

from mmiotools.emu.calls import CALLS, PDEV
from mmiotools.emu.elf import default_name, read_object
from mmiotools.emu.link import Program, link
from mmiotools.emu.natives import NATIVES
from mmiotools.emu.run import CALLS_LIMIT, SLICES, MachineCode
from mmiotools.engine import interface
from mmiotools.engine.kernel import Kernel
from mmiotools.errors import UsageError
from mmiotools.trace.registry import API
from mmiotools.typed import Callable, ClassVar, Mapping

PROBE = "mmio_driver_probe"
_VERSION = re.compile(rf"{PROBE}(?:_([0-9A-Za-z.]+))?\Z")


class ObjectDriver:
    """A driver in machine code. `device` is empty when the object does not name a card.

    slices, calls   limits of a run, see `MachineCode`
    """

    api: ClassVar[int] = API

    def __init__(self, path: str, *, slices: int = SLICES, calls: int = CALLS_LIMIT) -> None:
        self.program: Program = link(read_object(path), CALLS.keys(), NATIVES)
        self.name: str = self.program.string("mmio_driver_name") or default_name(path)
        self.title: str = self.program.string("mmio_driver_title") or f"Machine code of {default_name(path)}."
        self.device: str = self.program.string("mmio_driver_device") or ""
        self._limits = slices, calls
        found = {m[1] or "1": m[0] for m in map(_VERSION.match, self.program.symbols) if m is not None}
        if not found:
            raise UsageError(f"{path}: defines no function {PROBE}, so it is no driver")
        self.versions: Mapping[str, Callable[[interface.Kernel], int]] = {
            version: self._probe(found[version]) for version in sorted(found)
        }

    def _probe(self, name: str) -> Callable[[interface.Kernel], int]:
        def probe(kernel: interface.Kernel) -> int:
            if not isinstance(kernel, Kernel):
                raise TypeError("machine code runs in the emulated kernel only")
            slices, calls = self._limits
            code = MachineCode(self.program, kernel, slices=slices, calls=calls)
            returned = code.call(self.program.symbols[name], PDEV) & 0xFFFFFFFF
            return returned - (returned >> 31 << 32)

        return probe
