"""The register events of ftrace that come by the million, on columns: the fields of many lines at once.

Each `take` function reads the lines of its events from the right. A line that is not spelled as the kernel or trace-cmd
spells it is not good, and is left to `ftrace_lines`.
"""

from __future__ import annotations

import numpy as np

from mmiotools.formats.ftrace_lines import MAX_WIDTH, VIRTUAL, Role
from mmiotools.formats.line_columns import Lines
from mmiotools.formats.text_numbers import (
    U8,
    U32,
    Index,
    Mask,
    Words,
    characters,
    decimal_behind,
    ends_with,
    hex_behind,
    u64,
)
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Regions
from mmiotools.typed import Any, Callable, NamedTuple, NDArray

#: trace-cmd gives an event's name and colon so many characters.
_PADDED = 22


class Rows(NamedTuple):
    """Some lines: their numbers, where they begin and end, and where the colon behind the time is; (n,) each."""

    number: Index
    start: Index
    end: Index
    colon: Index


class Taken(NamedTuple):
    """What was read of some lines, and of which it is right; where there is a value if not in all.

    A mask of writes is a column of kinds: READ is 0, WRITE is 1.
    """

    good: Mask
    kind: NDArray[np.uint8]
    columns: dict[str, Any]
    role: NDArray[np.uint8] | None = None
    valued: Mask | None = None


Take = Callable[[Lines, Rows, Regions], Taken]


def _starts_with(words: Words, start: Index, text: bytes) -> Mask:
    same = np.ones(len(start), np.bool_)
    for at in range(0, len(text), 8):
        part = text[at : at + 8]
        same &= words.after(start + at) >> U8 * u64(8 - len(part)) == characters(part)
    return same


def _named(words: Words, rows: Rows, name: bytes, text: Index) -> Mask:
    """Whether the event has this name, and its text begins at these places: behind one blank, or trace-cmd's many."""
    start = rows.colon + 2
    one, many = name + b": ", (name + b":").ljust(_PADDED)
    good: Mask = (text == start + len(one)) & _starts_with(words, start, one)
    padded = (text == start + len(many)) & ~good
    if padded.any():
        good |= padded & _starts_with(words, start, many)
    return good


def _rwmmio(lines: Lines, rows: Rows, regions: Regions) -> Taken:
    words = lines.words
    first, second = words.after(rows.colon + 2), words.after(rows.colon + 10)
    third = words.after(rows.colon + 18)
    reading = (first == characters(b"rwmmio_r")) & (second >> u64(24) == characters(b"ead: "))
    writing = (first == characters(b"rwmmio_w")) & (second >> u64(16) == characters(b"rite: "))
    done = first == characters(b"rwmmio_p")
    read = done & (second == characters(b"ost_read")) & (third >> u64(48) == characters(b": "))
    wrote = done & (second == characters(b"ost_writ")) & (third >> u64(40) == characters(b"e: "))
    addr = hex_behind(words, rows.end, b"=")
    good = (reading | writing | read | wrote) & addr.good & ends_with(words, addr.blank, b" addr")
    at = addr.blank - 5
    value = hex_behind(words, at, b"=")
    good &= reading | value.good & ends_with(words, value.blank, b" val")
    at = np.where(reading, at, value.blank - 4)
    width = decimal_behind(words, at, b"=")
    good &= width.good & ends_with(words, width.blank, b" width") & (at - width.blank <= 5)
    good &= (width.value & u64(7) == 0) & (width.value > 0) & (width.value <= 8 * MAX_WIDTH)
    # The name ends before " width=" begins.
    good &= width.blank - 6 >= rows.colon + np.where(done, 19, 14) + (writing | wrote)
    columns = {"width": (width.value >> u64(3)).astype(np.uint8), "value": value.value}
    columns["addr"] = columns["offset"] = addr.value
    columns["region"] = np.full(len(good), regions.code(*VIRTUAL), np.uint32)
    role = np.where(done, np.uint8(Role.DONE), np.uint8(Role.BEFORE))
    return Taken(good, (writing | wrote).astype(np.uint8), columns, role, ~reading)


def _kvm_mmio(lines: Lines, rows: Rows, _: Regions) -> Taken:
    words = lines.words
    value = hex_behind(words, rows.end, b" ")
    good = value.good & ends_with(words, value.blank, b" val")
    addr = hex_behind(words, value.blank - 4, b" ")
    good &= addr.good & ends_with(words, addr.blank, b" gpa")
    width = decimal_behind(words, addr.blank - 4, b" ")
    good &= width.good & ends_with(words, width.blank, b" len") & (width.value <= MAX_WIDTH)
    good &= addr.blank - 4 - width.blank <= 6
    at = width.blank - 4
    write, read = ends_with(words, at, b" write"), ends_with(words, at, b"io read")
    before = ends_with(words, at, b"ied-read")
    text = at - np.where(before, 21, np.where(write, 10, 9))
    good &= (write | read | before) & _starts_with(words, text, b"mmio ")
    good &= ~before | _starts_with(words, text + 5, b"unsatisf")
    good &= _named(words, rows, b"kvm_mmio", text)
    columns = {"width": width.value.astype(np.uint8), "addr": addr.value, "value": value.value}
    role = np.where(before, np.uint8(Role.BEFORE), np.where(read, np.uint8(Role.DONE), np.uint8(Role.NONE)))
    return Taken(good, write.astype(np.uint8), columns, role, ~before)


def _msr(lines: Lines, rows: Rows, regions: Regions) -> Taken:
    words = lines.words
    value = hex_behind(words, rows.end, b" ", prefixed=False)
    good = value.good & ends_with(words, value.blank, b", value")
    register = hex_behind(words, value.blank - 7, b" ", prefixed=False)
    good &= register.good & (register.value >> U32 == 0) & (value.blank - 7 - register.blank <= 9)
    text = register.blank + 1
    write = words.after(rows.colon + 2) == characters(b"write_ms")
    good &= np.where(write, _named(words, rows, b"write_msr", text), _named(words, rows, b"read_msr", text))
    n = len(good)
    columns = {"offset": register.value, "value": value.value, "width": np.full(n, 8, np.uint8)}
    columns["region"] = np.full(n, regions.code("msr", "msr"), np.uint32)
    return Taken(good, write.astype(np.uint8), columns)


def _regmap(lines: Lines, rows: Rows, regions: Regions) -> Taken:
    words = lines.words
    value = hex_behind(words, rows.end, b"=", prefixed=False)
    good = value.good & ends_with(words, value.blank, b" val")
    register = hex_behind(words, value.blank - 4, b"=", prefixed=False)
    good &= register.good & ends_with(words, register.blank, b" reg")
    read = _starts_with(words, rows.colon + 2, b"regmap_reg_read: ")
    write = _starts_with(words, rows.colon + 2, b"regmap_reg_write: ")
    good &= read | write
    start, end = rows.colon + np.where(write, 20, 19), register.blank - 4
    good &= start <= end
    code = np.zeros(len(good), np.uint32)
    known: dict[bytes, int] = {}
    at = flatnonzero(good)
    for row, first, last in zip(at.tolist(), start[at].tolist(), end[at].tolist(), strict=True):
        name = lines.block[first:last]
        if name not in known:
            known[name] = regions.code(name.lstrip(b" ").decode("utf-8", "backslashreplace"), "reg")
        code[row] = known[name]
    return Taken(good, write.astype(np.uint8), {"offset": register.value, "value": value.value, "region": code})


def _i915(lines: Lines, rows: Rows, regions: Regions) -> Taken:
    words = lines.words
    high = hex_behind(words, rows.end - 1, b" ")
    good = ends_with(words, rows.end, b")") & high.good & ends_with(words, high.blank, b",")
    low = hex_behind(words, high.blank - 1, b"(")
    good &= low.good & ends_with(words, low.blank, b", val=") & ((low.value | high.value) >> U32 == 0)
    width = decimal_behind(words, low.blank - 6, b"=")
    good &= width.good & ends_with(words, width.blank, b", len") & (width.value <= MAX_WIDTH)
    good &= low.blank - 6 - width.blank <= 6
    register = hex_behind(words, width.blank - 5, b"=")
    at = register.blank - 4
    write, read = ends_with(words, at, b"write"), ends_with(words, at, b"read")
    good &= register.good & ends_with(words, register.blank, b" reg") & (write | read)
    good &= _named(words, rows, b"i915_reg_rw", at - 4 - write)
    n = len(good)
    columns = {"offset": register.value, "value": high.value << U32 | low.value}
    columns["width"] = width.value.astype(np.uint8)
    columns["region"] = np.full(n, regions.code("i915"), np.uint32)
    return Taken(good, write.astype(np.uint8), columns)


#: The first eight characters of names, and who reads these events.
TAKERS: tuple[tuple[tuple[bytes, ...], Take], ...] = (
    ((b"rwmmio_r", b"rwmmio_w", b"rwmmio_p"), _rwmmio),
    ((b"kvm_mmio",), _kvm_mmio),
    ((b"read_msr", b"write_ms"), _msr),
    ((b"regmap_r",), _regmap),
    ((b"i915_reg",), _i915),
)
