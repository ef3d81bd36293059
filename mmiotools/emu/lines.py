"""From an address of the driver's code to the line of its source, when it was compiled with -g."""

from __future__ import annotations

import io
from bisect import bisect_right

from mmiotools.emu.link import Program, relocated
from mmiotools.typed import Any

_SECTIONS = ("debug_info", "debug_abbrev", "debug_str", "debug_line", "debug_line_str", "debug_str_offsets")


class Lines:
    """The line table of a program, read when it is first asked."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._starts: list[int] | None = None
        self._places: list[str | None] = []

    def find(self, address: int) -> str | None:
        """"nv-test.c:34", or None when the object does not say."""
        if self._starts is None:
            try:
                rows = sorted(_rows(self._program), key=lambda row: row[0])
            except Exception:  # it is an extra: a message without a line is better than none
                rows = []
            self._starts = [start for start, _ in rows]
            self._places = [place for _, place in rows]
        at = bisect_right(self._starts, address) - 1
        return self._places[at] if at >= 0 else None


def _rows(program: Program) -> list[tuple[int, str | None]]:
    """(first address, place) of every row; a place of None ends a sequence."""
    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

    by_name = {section.name: section for section in program.object.sections.values()}
    if ".debug_line" not in by_name or ".debug_info" not in by_name:
        return []
    held: dict[str, Any] = {}
    for name in _SECTIONS:
        section = by_name.get(f".{name}")
        if section is not None:
            data = relocated(program, section)
            held[name] = DebugSectionDescriptor(io.BytesIO(data), f".{name}", 0, len(data), 0)
    config = DwarfConfig(little_endian=True, machine_arch="x64", default_address_size=8)
    dwarf = DWARFInfo(config, **{f"{name}_sec": held.get(name) for name in _all_sections(DWARFInfo)})
    rows: list[tuple[int, str | None]] = []
    for unit in dwarf.iter_CUs():
        table = dwarf.line_program_for_CU(unit)
        if table is None:
            continue
        # Up to version 4 the first file is number 1.
        first = 0 if table["version"] >= 5 else 1
        names = [entry.name.decode("utf-8", "replace") for entry in table["file_entry"]]
        for entry in table.get_entries():
            state = entry.state
            if state is not None:
                at = state.file - first
                place = f"{names[at]}:{state.line}" if 0 <= at < len(names) and not state.end_sequence else None
                rows.append((state.address, place))
    return rows


def _all_sections(kind: Any) -> list[str]:
    """Names of the sections that this version of the parser wants to be given."""
    import inspect

    return [name.removesuffix("_sec") for name in inspect.signature(kind).parameters if name.endswith("_sec")]
