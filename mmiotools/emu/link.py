"""Places an object in the emulated kernel's address space and relocates it, as a kernel does with a module."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from mmiotools.emu.elf import PAGE, ObjectFile, Section
from mmiotools.engine.cpu import CODE_START
from mmiotools.errors import UsageError
from mmiotools.typed import Collection, Mapping, NamedTuple

#: Where the kernel's functions are. They lie within 2 GiB of the driver, as -mcmodel=kernel wants it.
STUBS_START = 0xFFFFFFFF81000000
STUB_SIZE = 16

_ALL = (1 << 64) - 1

#: Number → name, bytes, relative to the place?, and does it have to fit as "signed", "unsigned" or neither.
_KINDS = {
    1: ("R_X86_64_64", 8, False, None),
    2: ("R_X86_64_PC32", 4, True, "signed"),
    4: ("R_X86_64_PLT32", 4, True, "signed"),
    10: ("R_X86_64_32", 4, False, "unsigned"),
    11: ("R_X86_64_32S", 4, False, "signed"),
    24: ("R_X86_64_PC64", 8, True, None),
}
#: Those of position-independent code, for a message that helps.
_GOT_KINDS = (3, 9, 25, 26, 27, 28, 29, 30, 31, 41, 42)
_GOT = "_GLOBAL_OFFSET_TABLE_"


@dataclass(slots=True)
class Segment:
    """A section in memory: whole pages from `virt`, with what may be done to them."""

    virt: int
    data: bytearray
    writable: bool
    executable: bool


class Function(NamedTuple):
    """A function or label of the driver's code."""

    start: int
    size: int
    name: str


@dataclass(slots=True)
class Program:
    """A driver that can be put into memory and run.

    symbols     defined names → address
    functions   by start
    imports     stub address → the kernel function that is called there
    placed      number of a section → its address; those that are not in memory are at 0
    """

    object: ObjectFile
    segments: list[Segment]
    symbols: dict[str, int]
    functions: list[Function]
    imports: dict[int, str]
    placed: dict[int, int]
    addresses: list[int]

    def place(self, address: int) -> str | None:
        """"poke+0x12", or None for an address that is not in the driver's code."""
        at = bisect_right(self.functions, address, key=lambda function: function.start) - 1
        if not any(s.executable and s.virt <= address < s.virt + len(s.data) for s in self.segments) or at < 0:
            return None
        return f"{self.functions[at].name}+{address - self.functions[at].start:#x}"

    def string(self, name: str) -> str | None:
        """The text of a global `const char name[]`; None when the driver has none."""
        address = self.symbols.get(name)
        for segment in self.segments:
            if address is not None and segment.virt <= address < segment.virt + len(segment.data):
                held = segment.data[address - segment.virt :]
                text = bytes(held[:200]).partition(b"\0")[0].decode("utf-8", "replace")
                return "".join(c for c in text if c.isprintable())
        return None


def link(held: ObjectFile, calls: Collection[str], natives: Mapping[str, int]) -> Program:
    """The object, placed and relocated.

    calls    names of kernel functions that get a stub each
    natives  names of kernel functions that are machine code → address

    Raises UsageError for names that the kernel does not have, and relocations that cannot be done.
    """
    placed: dict[int, int] = {number: 0 for number in held.sections}
    segments: list[Segment] = []
    loaded: dict[int, Segment] = {}
    at = CODE_START
    for section in held.sections.values():
        if not section.alloc or not section.size:
            continue
        data = bytearray(section.data) if section.data is not None else bytearray(section.size)
        data.extend(bytes(-len(data) % PAGE))
        placed[section.number] = at
        loaded[section.number] = Segment(at, data, section.writable, section.executable)
        segments.append(loaded[section.number])
        # A page between two sections is left out, so that running over the end of one is noticed.
        at += len(data) + PAGE
    addresses, imports, common = _resolve(held, placed, calls, natives, at)
    if common:
        segments.append(Segment(at, bytearray(common + -common % PAGE), True, False))
    for relocation in held.relocations:
        segment = loaded.get(relocation.section)
        if segment is not None:
            target = held.sections[relocation.section]
            _relocate(held, relocation, segment.data, segment.virt, target, addresses)
    named = [(s, a) for s, a in zip(held.symbols, addresses, strict=True) if s.named and s.section is not None]
    symbols = {symbol.name: address for symbol, address in named}
    code = {s.number for s in held.sections.values() if s.executable}
    functions = sorted({Function(a, s.size, s.name) for s, a in named if s.section in code})
    return Program(held, segments, symbols, functions, imports, placed, addresses)


def relocated(program: Program, section: Section) -> bytes:
    """A section that is not loaded (debugging information) with its relocations done."""
    data = bytearray(section.data or b"")
    for relocation in program.object.relocations:
        if relocation.section == section.number:
            _relocate(program.object, relocation, data, 0, section, program.addresses)
    return bytes(data)


def _resolve(
    held: ObjectFile, placed: Mapping[int, int], calls: Collection[str], natives: Mapping[str, int], top: int
) -> tuple[list[int], dict[int, str], int]:
    """Address of each symbol, stub → name, and bytes of common symbols from `top`."""
    addresses: list[int] = []
    imports: dict[int, str] = {}
    unknown: list[str] = []
    common = 0
    for symbol in held.symbols:
        address = 0
        if isinstance(symbol.section, int):
            if symbol.section not in held.sections:
                raise UsageError(f"{held.path}: is a damaged object file: symbol '{_shown(symbol.name)}' is nowhere")
            if symbol.value > held.sections[symbol.section].size:
                raise UsageError(f"{held.path}: is a damaged object file: symbol '{_shown(symbol.name)}' is outside")
            address = placed[symbol.section] + symbol.value
        elif symbol.section == "abs":
            address = symbol.value
        elif symbol.section == "common":
            align = symbol.value if 0 < symbol.value <= PAGE else 16
            common += -common % align
            address = top + common
            common += symbol.size
            if common > PAGE << 8:
                raise UsageError(f"{held.path}: its common symbols need more than 1 MiB")
        elif symbol.section is not None:
            raise UsageError(f"{held.path}: symbol '{_shown(symbol.name)}' is in a special section")
        elif symbol.name in natives:
            address = natives[symbol.name]
        elif symbol.name in calls:
            address = STUBS_START + STUB_SIZE * (len(imports) + 1)
            imports[address] = symbol.name
        elif symbol.named and not symbol.weak and symbol.name != _GOT:
            unknown.append(_shown(symbol.name))
        addresses.append(address)
    if unknown:
        names = ", ".join(sorted(unknown)[:10])
        raise UsageError(f"{held.path}: uses what the emulated kernel does not have: {names}")
    return addresses, imports, common


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:60])


def _relocate(
    held: ObjectFile, relocation: tuple[int, int, int, int, int], data: bytearray, base: int, target: Section,
    addresses: list[int],
) -> None:
    _, offset, kind, symbol, addend = relocation
    if kind == 0:
        return
    if kind not in _KINDS:
        hint = "; compile the driver with -mcmodel=kernel -fno-pic" if kind in _GOT_KINDS else ""
        raise UsageError(f"{held.path}: has a relocation of type {kind} in {target.name}, which is not supported{hint}")
    name, size, relative, fits = _KINDS[kind]
    if offset + size > target.size or symbol >= len(addresses):
        raise UsageError(f"{held.path}: is a damaged object file: a relocation of {target.name} is outside of it")
    value = addresses[symbol] + addend - (base + offset if relative else 0) & _ALL
    short = value & 0xFFFFFFFF
    if fits == "unsigned" and value != short:
        raise UsageError(f"{held.path}: {name} in {target.name} cannot reach; compile the driver with -mcmodel=kernel")
    if fits == "signed" and value != (short - (short >> 31 << 32)) & _ALL:
        raise UsageError(f"{held.path}: {name} in {target.name} cannot reach; compile the driver with -mcmodel=kernel")
    data[offset : offset + size] = (value if size == 8 else short).to_bytes(size, "little")
