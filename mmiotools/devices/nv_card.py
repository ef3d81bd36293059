"""A graphics card of the GeForce4 Ti 4200 Go kind (NV28), as far as small drivers look: ids, straps, timer, vblank.

Modelled in BAR0; every other register is plain storage that reads as 0 until it is written:

  0x000000  PMC boot id         read-only
  0x000100  PMC interrupt       read-only; bit 24 says that PCRTC has something
  0x000140  PMC enable          bit 0 lets interrupts out
  0x009400  PTIMER low          bits 31-5 of a 27 MHz count, read-only
  0x009410  PTIMER high         read-only
  0x101000  straps              read-only; bit 22 set and bit 6 clear: a 27 MHz crystal
  0x300000  ROM image           read-only, the same bytes as the ROM region
  0x600100  PCRTC interrupt     bit 0 is set at every vertical blank; a one that is written clears it
  0x600140  PCRTC enable        bit 0 lets the vertical blank through to PMC
  0x600868  raster position     scan line in bits 15-0, read-only
  0x6013d4  CRTC index          one byte; 0x6013d5 is the register that the index names

BAR1 is 64 MiB of frame buffer, storage throughout.

References: envytools' documentation of NVIDIA hardware (PMC, PTIMER, PCRTC, straps), and the register names of
public nv and nouveau headers. The values of id, straps and ROM are this model's own choice within those layouts.
"""

from __future__ import annotations

import json

from mmiotools.devices.storage import ConfigSpace, SparseMemory
from mmiotools.engine.interface import CONFIG, Host, Seen
from mmiotools.trace.header import ROM, Bar, PciDevice
from mmiotools.trace.registry import API
from mmiotools.typed import Any, ClassVar

PMC_BOOT_0, PMC_INTR, PMC_INTR_EN = 0x000000, 0x000100, 0x000140
PTIMER_LOW, PTIMER_HIGH = 0x009400, 0x009410
STRAPS = 0x101000
PROM, PROM_SIZE = 0x300000, 0x10000
PCRTC_INTR, PCRTC_INTR_EN, PCRTC_RASTER = 0x600100, 0x600140, 0x600868
CRTC_INDEX, CRTC_DATA = 0x6013D4, 0x6013D5

BOOT_ID = 0x028000A1
STRAP_BITS = 0x00400000
VBLANK = 1
PMC_PCRTC = 1 << 24

#: One frame at 60 Hz in nanoseconds, its scan lines, and the rate of the crystal that drives PTIMER.
FRAME_NS = 16_666_667
LINES = 806
CRYSTAL_HZ = 27_000_000

_PCI = PciDevice(
    bdf=0x0100,
    vendor=0x10DE,
    device=0x0286,
    irq=11,
    bars=(
        Bar(0, 0xFD000000, 0x1000000),
        Bar(1, 0xF0000000, 0x4000000, 0x8),
        Bar(ROM, 0xFEB00000, 0x20000),
    ),
)

#: The expansion ROM's first bytes: its mark, its length in units of 512 bytes, and the PCI data structure.
_ROM_HEAD = {0x00: 0xAA55, 0x02: PROM_SIZE // 512, 0x18: 0x40}
_ROM_PCIR = {0x40: 0x4350, 0x42: 0x5249, 0x44: 0x10DE, 0x46: 0x0286, 0x4A: 0x18, 0x4F: 0x03, 0x50: PROM_SIZE // 512}


class NvCard:
    """The model. Time comes from the host alone; a frame begins when the card is attached or reset."""

    api: ClassVar[int] = API
    name = "nv-card"
    title = "Graphics card like a GeForce4 Ti 4200 Go (NV28)."

    def __init__(self, pci: PciDevice = _PCI) -> None:
        self._pci = pci
        self._host: Host | None = None
        self._seen: list[Seen] = []
        self._registers = SparseMemory()
        self._frame_buffer = SparseMemory()
        self._rom = SparseMemory()
        for offset, value in (_ROM_HEAD | _ROM_PCIR).items():
            self._rom.write(offset, 2, value)
        self._config = ConfigSpace(pci, class_code=0x030000, revision=0xA1)
        self._crtc = bytearray(256)
        self._began = 0
        self._frames = 0
        self._pending = 0
        self._line = 0

    @property
    def pci(self) -> PciDevice:
        """10de:0286 with registers, frame buffer and ROM."""
        return self._pci

    @property
    def seen(self) -> list[Seen]:
        """Every access since reset."""
        return self._seen

    def attach(self, host: Host) -> None:
        """Sit in a machine; the first frame begins now."""
        self._host = host
        self._began = host.now()
        self._frames = 0

    # -- the bus ------------------------------------------------------------------------------------------

    def read(self, region: str, offset: int, width: int) -> int:
        """The value of `width` bytes at `offset`."""
        self._pass_time()
        if region == CONFIG:
            value = self._config.read(offset, width)
        elif region == "BAR0":
            value = self._read_registers(offset, width)
        elif region == "BAR1":
            value = self._frame_buffer.read(offset, width)
        elif region == "ROM":
            value = self._rom.read(offset, width)
        else:
            value = (1 << 8 * width) - 1
        self._seen.append(Seen("R", region, offset, width, value))
        return value

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Store `width` bytes; read-only registers ignore it."""
        value &= (1 << 8 * width) - 1
        self._pass_time()
        self._seen.append(Seen("W", region, offset, width, value))
        if region == CONFIG:
            self._config.write(offset, width, value)
        elif region == "BAR0":
            for i in range(width):
                self._write_byte(offset + i, value >> 8 * i & 0xFF)
            self._drive_line()
        elif region == "BAR1":
            self._frame_buffer.write(offset, width, value)

    def _read_registers(self, offset: int, width: int) -> int:
        if width == 4 and offset & 3 == 0:
            return self._register(offset)
        value = 0
        for i in range(width):
            at = offset + i
            value |= (self._register(at & ~3) >> 8 * (at & 3) & 0xFF) << 8 * i
        return value

    def _register(self, offset: int) -> int:
        """The 32 bits of the aligned register at `offset`."""
        if offset == PMC_BOOT_0:
            return BOOT_ID
        if offset == PMC_INTR:
            return PMC_PCRTC if self._pending & self._registers.read(PCRTC_INTR_EN, 4) else 0
        if offset in (PTIMER_LOW, PTIMER_HIGH):
            ticks = (self._now() - self._began) * CRYSTAL_HZ // 1_000_000_000 << 5
            return ticks & 0xFFFFFFE0 if offset == PTIMER_LOW else ticks >> 32 & 0xFFFFFFFF
        if offset == STRAPS:
            return STRAP_BITS
        if PROM <= offset < PROM + PROM_SIZE:
            return self._rom.read(offset - PROM, 4)
        if offset == PCRTC_INTR:
            return self._pending
        if offset == PCRTC_RASTER:
            return (self._now() - self._began) % FRAME_NS * LINES // FRAME_NS
        if offset == CRTC_INDEX:
            index = self._registers.read(CRTC_INDEX, 1)
            return index | self._crtc[index] << 8
        return self._registers.read(offset, 4)

    def _write_byte(self, offset: int, byte: int) -> None:
        aligned = offset & ~3
        if aligned == PCRTC_INTR:
            self._pending &= ~(byte << 8 * (offset & 3))
        elif offset == CRTC_DATA:
            self._crtc[self._registers.read(CRTC_INDEX, 1)] = byte
        elif aligned in (PMC_BOOT_0, PMC_INTR, PTIMER_LOW, PTIMER_HIGH, STRAPS, PCRTC_RASTER):
            pass
        elif not PROM <= aligned < PROM + PROM_SIZE:
            self._registers.write(offset, 1, byte)

    # -- time and interrupts ------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._host.now() if self._host is not None else self._began

    def _pass_time(self) -> None:
        """Catch up with the vertical blanks since the last access."""
        frames = (self._now() - self._began) // FRAME_NS
        if frames > self._frames:
            self._frames = frames
            self._pending |= VBLANK
            self._drive_line()

    def _drive_line(self) -> None:
        wanted = self._pending & self._registers.read(PCRTC_INTR_EN, 4) and self._registers.read(PMC_INTR_EN, 4) & 1
        level = 1 if wanted else 0
        if level != self._line:
            self._line = level
            if self._host is not None:
                self._host.irq(self._pci.irq, level)

    # -- state --------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Power-on state; a frame begins now."""
        for memory in (self._registers, self._frame_buffer):
            memory.clear()
        self._config.reset()
        self._crtc = bytearray(256)
        self._began = self._now()
        self._frames = self._pending = 0
        self._drive_line()
        self._seen = []

    def snapshot(self) -> bytes:
        """The whole state but the log of accesses, as JSON."""
        state: dict[str, Any] = {
            "registers": self._registers.dump(),
            "frame_buffer": self._frame_buffer.dump(),
            "config": self._config.dump(),
            "crtc": self._crtc.hex(),
            "began": self._began,
            "frames": self._frames,
            "pending": self._pending,
            "line": self._line,
        }
        return json.dumps(state).encode()

    def restore(self, state: bytes) -> None:
        """Back to a state that `snapshot` gave."""
        held = json.loads(state)
        self._registers.load(held["registers"])
        self._frame_buffer.load(held["frame_buffer"])
        self._config.load(held["config"])
        self._crtc = bytearray.fromhex(held["crtc"])
        self._began = held["began"]
        self._frames = held["frames"]
        self._pending = held["pending"]
        if held["line"] != self._line:
            self._line = held["line"]
            if self._host is not None:
                self._host.irq(self._pci.irq, self._line)
