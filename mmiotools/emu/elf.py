"""Relocatable objects of x86-64 (ELF, ET_REL), as `gcc -c` makes them: their sections, symbols and relocations.

Nothing in the file is trusted: whatever is wrong with it is a UsageError of one line.
"""

from __future__ import annotations

import io
from pathlib import Path

from mmiotools.errors import UsageError
from mmiotools.typed import Any, NamedTuple

#: A driver is small; what is larger than this is none, or damaged. Bytes.
MAX_FILE = 16 << 20
MAX_MEMORY = 16 << 20
MAX_SECTIONS = 4096

PAGE = 4096

_WRITE, _ALLOC, _EXECUTE, _COMPRESSED = 1, 2, 4, 0x800


class Section(NamedTuple):
    """A section. `data` is None for one that is all zeros (.bss)."""

    number: int
    name: str
    size: int
    align: int
    data: bytes | None
    alloc: bool
    writable: bool
    executable: bool


class Symbol(NamedTuple):
    """A symbol. `section` is a section's number, None when it is undefined, "abs" or "common" otherwise.

    value   offset in the section, the value itself for "abs", the alignment for "common"
    """

    name: str
    value: int
    size: int
    section: int | str | None
    function: bool
    named: bool
    weak: bool


class Relocation(NamedTuple):
    """Where in a section (its number and offset) the address of which symbol goes, in which way (R_X86_64_ number)."""

    section: int
    offset: int
    kind: int
    symbol: int
    addend: int


class ObjectFile(NamedTuple):
    """An object, read but not placed. `sections` by number; relocations index `symbols`."""

    path: str
    sections: dict[int, Section]
    symbols: list[Symbol]
    relocations: list[Relocation]


def read_object(path: str) -> ObjectFile:
    """The object in a file. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_FILE:
        raise UsageError(f"{path}: has more than {MAX_FILE >> 20} MiB, which no driver object has")
    if data[:4] != b"\x7fELF":
        raise UsageError(f"{path}: is no ELF object; compile the driver with gcc -c")
    try:
        return _parse(path, data)
    except UsageError:
        raise
    except Exception as error:  # the parser fails in many ways on a damaged file
        words = " ".join(str(error).split())[:100] or type(error).__name__
        raise UsageError(f"{path}: is a damaged object file: {words}") from error


def _parse(path: str, data: bytes) -> ObjectFile:
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(data))
    head = elf.header
    if elf.elfclass != 64 or not elf.little_endian or head["e_machine"] != "EM_X86_64":
        raise UsageError(f"{path}: is not for x86-64")
    if head["e_type"] != "ET_REL":
        raise UsageError(f"{path}: is no relocatable object; compile the driver with gcc -c")
    if elf.num_sections() > MAX_SECTIONS:
        raise UsageError(f"{path}: has {elf.num_sections()} sections, which no driver object has")
    sections: dict[int, Section] = {}
    symbols: list[Symbol] = []
    relocations: list[Relocation] = []
    tables = []
    for number, section in enumerate(elf.iter_sections()):
        table: Any = section
        kind = section["sh_type"]
        if kind == "SHT_SYMTAB":
            tables.append(number)
            symbols = [_symbol(symbol) for symbol in table.iter_symbols()]
        elif kind == "SHT_RELA":
            relocations += [
                Relocation(section["sh_info"], r["r_offset"], r["r_info_type"], r["r_info_sym"], r["r_addend"])
                for r in table.iter_relocations()
            ]
        elif kind in ("SHT_REL", "SHT_SYMTAB_SHNDX"):
            raise UsageError(f"{path}: has a section of type {kind}, which objects of x86-64 do not need")
        else:
            sections[number] = _section(path, number, section, data)
    if len(tables) != 1:
        raise UsageError(f"{path}: has {len(tables)} symbol tables, not one")
    if sum(section.size for section in sections.values() if section.alloc) > MAX_MEMORY:
        raise UsageError(f"{path}: needs more than {MAX_MEMORY >> 20} MiB of memory, which no driver does")
    return ObjectFile(path, sections, symbols, relocations)


def _section(path: str, number: int, section: Any, data: bytes) -> Section:
    name, flags, size = str(section.name), section["sh_flags"], section["sh_size"]
    align = max(1, section["sh_addralign"])
    alloc = bool(flags & _ALLOC)
    held: bytes | None = b""
    if section["sh_type"] == "SHT_NOBITS":
        held = None
    elif section["sh_type"] != "SHT_NULL" and not flags & _COMPRESSED:
        start = section["sh_offset"]
        held = data[start : start + size]
        if alloc and len(held) != size:
            raise UsageError(f"{path}: is a damaged object file: section {name} ends behind the end of the file")
    if alloc and (align & align - 1 or align > PAGE):
        raise UsageError(f"{path}: section {name} wants an alignment of {align:#x}; at most a page can be had")
    if alloc and flags & _WRITE and flags & _EXECUTE:
        raise UsageError(f"{path}: section {name} is both code and writable, which cannot be traced")
    return Section(number, name, size, align, held, alloc, bool(flags & _WRITE), bool(flags & _EXECUTE))


def _symbol(symbol: Any) -> Symbol:
    where = symbol["st_shndx"]
    section = {"SHN_UNDEF": None, "SHN_ABS": "abs", "SHN_COMMON": "common"}.get(where, where)
    kind, bind = symbol["st_info"]["type"], symbol["st_info"]["bind"]
    named = kind not in ("STT_SECTION", "STT_FILE") and bool(symbol.name)
    return Symbol(
        str(symbol.name), symbol["st_value"], symbol["st_size"], section, kind == "STT_FUNC", named, bind == "STB_WEAK"
    )


def default_name(path: str) -> str:
    """What a driver is called whose object does not say: the file's name without its suffix."""
    return Path(path).stem
