"""Spells the accesses of a mmiotrace log as other tools do: python bench/make_dialects.py SRC DIR N.

The first N accesses, in a file for each of DIALECTS. What these say beside, such as pc and device, is made up
from the access. The same arguments always give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Access(NamedTuple):
    """One, by its number from 0; time in microseconds."""

    number: int
    is_write: bool
    width: int
    time: int
    addr: int
    value: int

    @property
    def pc(self) -> int:
        """Code that accesses a register is at few places."""
        return 0x8000000 + (self.addr * 0x9E3779B1 >> 8 & 0x3FF) * 4 + 2 * self.is_write

    @property
    def device(self) -> str:
        """There are few, a megabyte each."""
        return f"card{self.addr >> 20 & 0xF}"


def qemu_log(it: Access) -> str:
    """memory_region_ops, with the time stamp of a log."""
    op = "write" if it.is_write else "read"
    pointer = 0x55CA54D50000 + (it.addr >> 20 & 0xF) * 0xE0
    return (
        f"4711@{it.time // 1000000}.{it.time % 1000000:06d}:memory_region_ops_{op} cpu {it.number >> 9 & 3} mr "
        f"{pointer:#x} addr {it.addr:#x} value {it.value:#x} size {it.width} name '{it.device}'\n"
    )


def ftrace(it: Access) -> str:
    """rwmmio: two lines."""
    op, value = ("write", f" val={it.value:#x}") if it.is_write else ("read", "")
    task = f"          driver-{400 + (it.number >> 12 & 3)}     [00{it.number >> 9 & 3}] ..... "
    where = f"probe+{it.pc & 0xFFF:#x}/0x1000 width={8 * it.width}"
    at = 0xFFFFC90000000000 + (it.addr & (1 << 40) - 1)
    seconds, rest = divmod(it.time, 1000000)
    return (
        f"{task}{seconds:5}.{rest:06}: rwmmio_{op}: {where}{value} addr={at:#x}\n"
        f"{task}{seconds:5}.{rest:06}: rwmmio_post_{op}: {where} val={it.value:#x} addr={at:#x}\n"
    )


def serialice(it: Access) -> str:
    """Memory of a firmware in 32-bit mode."""
    digits = 2 * it.width
    op, arrow = ("write", "<=") if it.is_write else (" read", "=>")
    suffix = {1: "b", 2: "w", 4: "l", 8: "ll"}[it.width]
    value = f"{it.value:16x}" if it.width == 8 else f"{it.value % (1 << 8 * it.width):0{digits}x}"
    ids = f"{it.number:04x}.{it.number + 1:04x}"
    return f"{ids}    RH..    [0010:{it.pc & 0xFFFFFF:04x}]   MEM: {op}{suffix} {it.addr:08x} {arrow} {value}\n"


def panda(it: Access) -> str:
    """An object of the array, after its first bracket; the last one is left out."""
    return (
        f'{{ "type": "{"W" if it.is_write else "R"}", "guest_pc": "0x{it.pc:08x}", "phys_addr": "0x{it.addr:08x}", '
        f'"virt_addr": "0x{0xC0000000 + (it.addr & 0xFFFFFF):08x}", "size": "0x{it.width:08x}", '
        f'"value": "0x{it.value:08x}", "device": "{it.device}" }},\n'
    )


def conware(it: Access) -> str:
    """A row, as of a recording: repeated polls would share their number."""
    op = "WRITE" if it.is_write else "READ"
    return f"{op}\t{it.number}\t0x{it.addr:08x}\t{it.value:08x}\t\t0x{it.pc:06x}\t{it.width}\t0\t{it.device}\r\n"


def renode(it: Access) -> str:
    """A peripheral's register."""
    seconds, rest = divmod(it.time // 100, 10000)
    clock = f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:04}"
    kind = {1: "Byte", 2: "UInt16", 4: "UInt32", 8: "UInt64"}[it.width]
    what, told = (f"Write{kind} to", "value") if it.is_write else (f"Read{kind} from", "returned")
    offset = it.addr & 0xFFFFF
    return (
        f"{clock} [INFO] {it.device}: [cpu: 0x{it.pc:X}] {what} 0x{offset:X} (Register{offset >> 2 & 0x1F}), "
        f"{told} 0x{it.value:X}\n"
    )


#: By format: what prints an access, and what stands before the first and behind the last.
DIALECTS: dict[str, tuple[Callable[[Access], str], str, str]] = {
    "qemu-log": (qemu_log, "", ""),
    "ftrace": (ftrace, "", ""),
    "renode": (renode, "", ""),
    "serialice": (serialice, "", ""),
    "panda": (panda, "[\n", "]\n"),
    "conware": (conware, "Operation\tSeqn\tAddress\tValue\tValue (Model)\tPC\tSize\tTimestamp\tModel\r\n", ""),
}


def accesses(source: Path) -> Iterator[Access]:
    """Those of a log; others than R and W are passed over."""
    with open(source, encoding="latin-1") as file:
        lines = (line.split(" ") for line in file if line.startswith(("R ", "W ")))
        for number, (op, width, time, _, addr, value, *_rest) in enumerate(lines):
            seconds, rest = time.split(".")
            when = int(seconds) * 1000000 + int(rest)
            yield Access(number, op == "W", int(width), when, int(addr, 16), int(value, 16))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", metavar="SRC", type=Path)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("count", metavar="N", type=int, help="accesses")
    given = parser.parse_args()
    some = list(islice(accesses(given.source), given.count))
    for name, (spelled, before, behind) in DIALECTS.items():
        with open(given.folder / f"dialect.{name}", "w", encoding="ascii", newline="", buffering=1 << 20) as out:
            out.write(before)
            out.writelines(map(spelled, some))
            out.write(behind)


if __name__ == "__main__":
    main()
