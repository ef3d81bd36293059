"""VCD for GTKWave: a variable for each register, and what happens on the bus of each region. Written only."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from itertools import groupby

import numpy as np

from mmiotools.events import Kind, is_damage
from mmiotools.formats.base import count_fields
from mmiotools.formats.text_page import Mask, Page, spliced, table_of
from mmiotools.formats.viewed import Clock, Places, ViewFormat, values_of
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader
from mmiotools.trace.names import Names
from mmiotools.typed import Any, BinaryIO, NDArray

#: Events that are printed at once.
_PAGE = 1 << 13
#: Bytes of a text that are shown.
_SHOWN = 200
#: Bits of a value that are shown; none is wider but by mistake.
_MAX_BITS = 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9_$]+")
_UNITS = ("1 s", "100 ms", "10 ms", "1 ms", "100 us", "10 us", "1 us", "100 ns", "10 ns", "1 ns")
#: What a variable holds: nothing yet, a number, unknown, more than 64 bits.
_NOTHING, _NUMBER, _UNKNOWN, _WIDE = range(4)
#: Variables of a region beside its registers: what they are in VCD, and their names.
_BUS = (("wire", "offset"), ("wire", "value"), ("event", "read"), ("event", "write"), ("event", "unknown"))
_OFFSET, _VALUE, _READ = range(3)
_TOLD = {
    Kind.MARK: ("string", "mark"),
    Kind.LOST: ("integer", "lost"),
    Kind.IRQ: ("integer", "irq"),
    Kind.NOTE: ("string", "damaged"),
}
_LOST = {
    "pc": "pc",
    "pid": "pid",
    "cpu": "cpu",
    "opcode": "opcodes",
    "map": "ids of maps",
    "mr": "mr",
}


# The numbers of variables, or arrays of them: those of kinds, and then by turns those of regions and of registers, in
# the order in which these appear. So they are the same however a trace comes in batches.


def _of_kind(kind: Kind) -> int:
    return list(_TOLD).index(kind)


def _of_bus(region: Any, which: Any) -> Any:
    return len(_TOLD) + 2 * (region * len(_BUS) + which)


def _of_register(register: Any) -> Any:
    return len(_TOLD) + 2 * register + 1


def identifier(number: int) -> bytes:
    """The short name of a variable: printable characters, fewest for the first."""
    out = bytearray()
    while True:
        out.append(33 + number % 94)
        number = number // 94 - 1
        if number < 0:
            return bytes(out)


class VcdWriter:
    """Writes value changes into a temporary file while it gathers the variables, which have to stand before them.

    names  registers are called by these; set it before the end
    """

    def __init__(self, out: BinaryIO, header: TraceHeader) -> None:
        self.lost: Counter[str] = Counter()
        self.names = Names()
        self._out, self._header = out, header
        self._digits = min(max(header.time_digits, 0), 9)
        self._unit = 10 ** (9 - self._digits)
        self._changes = tempfile.TemporaryFile()  # noqa: SIM115 - it ends with the writer
        self._clock, self._places = Clock(), Places()
        self._tick = -1
        #: Kinds of what is no access and was told.
        self._kinds: set[Kind] = set()
        self._state = np.zeros(64, np.uint8)
        self._last = np.zeros(64, np.uint64)
        self._bits = np.zeros(64, np.int64)

    def write(self, batch: Batch) -> None:
        """Append a batch."""
        for start in range(0, len(batch), _PAGE):
            self._write(batch.slice(start, start + _PAGE))

    def close(self) -> None:
        """Write the variables, then the changes."""
        self._out.write(self._head())
        if self._tick >= 0:
            self._changes.write(b"#%d\n" % (self._tick + 1))
        self._changes.seek(0)
        shutil.copyfileobj(self._changes, self._out, 1 << 20)
        self._changes.close()

    # -- changes ------------------------------------------------------------------------------------------

    def _write(self, batch: Batch) -> None:
        ticks = self._ticks(batch)
        shown = flatnonzero(batch.accesses | batch.of_kind(*_TOLD))
        told = dict(self._told(batch))
        shown = shown[batch.accesses[shown] | np.isin(shown, list(told))]
        rows = flatnonzero(batch.accesses)
        region, register, offset = self._places.of(batch, rows)
        self._count(batch, rows, register)
        if not len(shown):
            return
        page = Page(len(shown))
        moments = ticks[shown]
        new = np.diff(moments, prepend=self._tick) > 0
        self._tick = int(moments[-1])
        page.literal(b"#", new)
        page.decimal(moments.astype(np.uint64), new)
        page.literal(b"\n", new)
        at = np.searchsorted(shown, rows)
        behind = [(int(np.searchsorted(shown, row)) + 1, text) for row, text in told.items()]
        if len(rows):
            behind += self._accesses(page, batch, rows, at, region, register, offset)
        text, characters = page.join()
        self._changes.write(spliced(text, characters, sorted(behind)))

    def _ticks(self, batch: Batch) -> NDArray[np.int64]:
        times = self._clock.times(batch)
        if self._clock.ordinal:
            return times
        low = times < 0
        ticks = np.where(low, 0, times) // self._unit
        if self._unit > 1:
            self._lose(f"time finer than {_UNITS[self._digits]}", (times % self._unit != 0) & batch.present("time"))
        self._lose("times before 0", low)
        steady = np.maximum(np.maximum.accumulate(ticks), self._tick)
        self._lose("times that run backwards", ticks < steady)
        return steady

    def _accesses(
        self,
        page: Page,
        batch: Batch,
        rows: NDArray[np.intp],
        at: NDArray[np.intp],
        region: NDArray[np.int64],
        register: NDArray[np.int64],
        offset: NDArray[np.uint64],
    ) -> list[tuple[int, bytes]]:
        """Print what accesses change; values of more than 64 bits are given back, to be put between the lines."""
        value, known, wide = values_of(batch, rows)
        state = np.where(known, _NUMBER, _UNKNOWN).astype(np.uint8)
        state[list(wide)] = _WIDE
        what = np.where(batch.kind[rows] == Kind.READ, 0, np.where(batch.kind[rows] == Kind.WRITE, 1, 2))
        seen = _of_bus(region, _VALUE)
        held = np.where(register >= 0, _of_register(register), -1)
        self._make_room()
        self._line(page, at, _of_bus(region, _READ + what), None, None)
        self._line(page, at, _of_bus(region, _OFFSET), offset, np.full(len(rows), _NUMBER, np.uint8))
        self._line(page, at, seen, value, state)
        self._line(page, at, held, value, state)
        self._widen(batch, rows, held)
        between = []
        for row, number in wide.items():
            bits = f"{number & (1 << _MAX_BITS) - 1:b}".encode()
            variables = [int(item[row]) for item in (seen, held) if item[row] >= 0]
            self._bits[variables] = np.maximum(self._bits[variables], len(bits))
            text = b"".join(b"b%s %s\n" % (bits, identifier(item)) for item in variables)
            between.append((int(at[row]) + 1, text))
        return between

    def _line(
        self,
        page: Page,
        at: NDArray[np.intp],
        variable: NDArray[np.int64],
        value: NDArray[np.uint64] | None,
        state: NDArray[np.uint8] | None,
    ) -> None:
        """A line for each access that changes its variable (-1: it has none); without a value, for each access."""
        n = page.n
        used, which = np.unique(variable, return_inverse=True)
        words = table_of([b"", *(b"%s\n" % identifier(number) if number >= 0 else b"" for number in used.tolist())])
        labels = np.zeros(n, np.int64)
        if value is None or state is None:
            labels[at] = which + 1
            page.literal(b"1", _spread(n, at, np.ones(len(at), np.bool_)))
            page.words(words, labels)
            return
        changed = self._changed(variable, value, state) & (variable >= 0) & (state != _WIDE)
        labels[at] = np.where(changed, which + 1, 0)
        number = changed & (state == _NUMBER)
        page.literal(b"b", _spread(n, at, changed))
        values = np.zeros(n, np.uint64)
        values[at] = value
        page.binary(values, _spread(n, at, number))
        page.literal(b"x", _spread(n, at, changed & ~number))
        page.literal(b" ", _spread(n, at, changed))
        page.words(words, labels)

    def _changed(self, variable: NDArray[np.int64], value: NDArray[np.uint64], state: NDArray[np.uint8]) -> Mask:
        """Which rows give their variable something that it did not hold, (m,); remembers what each holds then."""
        order = np.argsort(variable, kind="stable")
        which, now, how = variable[order], value[order], state[order]
        first = np.concatenate([[True], which[1:] != which[:-1]])
        before = np.concatenate([now[:1], now[:-1]])
        before_how = np.concatenate([how[:1], how[:-1]])
        before[first], before_how[first] = self._last[which[first]], self._state[which[first]]
        differs = (how != before_how) | ((how == _NUMBER) & (now != before)) | (how == _WIDE)
        last = np.concatenate([first[1:], [True]])
        self._last[which[last]], self._state[which[last]] = now[last], how[last]
        changed = np.empty(len(order), np.bool_)
        changed[order] = differs
        largest = np.maximum.reduceat(now, flatnonzero(first))
        for number, most in zip(which[first].tolist(), largest.tolist(), strict=True):
            self._bits[number] = max(self._bits[number], most.bit_length())
        return changed

    def _widen(self, batch: Batch, rows: NDArray[np.intp], held: NDArray[np.int64]) -> None:
        """A register is at least as wide as its accesses."""
        width = batch.data("width")[rows].astype(np.int64)
        used = held >= 0
        np.maximum.at(self._bits, held[used], 8 * width[used])

    def _make_room(self) -> None:
        """For what all variables hold. The last place is that of no variable, -1."""
        buses, registers = len(self._places.regions), len(self._places.registers)
        most = max(_of_bus(buses, 0), _of_register(registers))
        while most + 2 >= len(self._state):
            self._state, self._last, self._bits = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self._state, self._last, self._bits)
            )

    # -- what is no access --------------------------------------------------------------------------------

    def _told(self, batch: Batch) -> list[tuple[int, bytes]]:
        said = []
        for row in batch.rows(*_TOLD).tolist():
            kind, extra = Kind(int(batch.kind[row])), batch.extras.get(row, {})
            if kind == Kind.NOTE and not is_damage(kind, extra):
                self.lost["NOTE"] += 1
                continue
            self._kinds.add(kind)
            name = identifier(_of_kind(kind))
            if kind in (Kind.MARK, Kind.NOTE):
                text = extra.get("text", b"") if kind == Kind.MARK else extra.get("reason", "")
                said.append((row, b"s%s %s\n" % (escaped(text), name)))
            else:
                number = extra.get("count") if kind == Kind.LOST else extra.get("vector")
                bits = (
                    b"x" if not isinstance(number, int) or number < 0 else b"%s" % f"{number & 0xFFFFFFFF:b}".encode()
                )
                said.append((row, b"b%s %s\n" % (bits, name)))
        return said

    def _count(self, batch: Batch, rows: NDArray[np.intp], register: NDArray[np.int64]) -> None:
        count_fields(self.lost, batch.take(rows) if len(rows) < len(batch) else batch, _LOST)
        self._lose("registers of accesses without an address, or beyond the first 65536", register < 0)
        for kind in (Kind.MAP, Kind.UNMAP, Kind.DEVICE, Kind.HEADER):
            self._lose(kind.name, batch.kind == kind)

    def _lose(self, phrase: str, rows: Mask) -> None:
        count = int(np.count_nonzero(rows))
        if count:
            self.lost[phrase] += count

    # -- the variables ------------------------------------------------------------------------------------

    def _head(self) -> bytes:
        clock = "the number of the event" if self._clock.ordinal else f"clock {self._header.clock}"
        lines = ["$version mmiotools $end"]
        lines.append(f"$comment {_clean(self._header.format) or 'trace'}, times are {clock} $end")
        lines.append(f"$timescale {'1 ns' if self._clock.ordinal else _UNITS[self._digits]} $end")
        if self._kinds:
            lines.append("$scope module trace $end")
            lines += [
                _declared(*_TOLD[kind], 32 if "integer" in _TOLD[kind] else 1, _of_kind(kind))
                for kind in sorted(self._kinds)
            ]
            lines.append("$upscope $end")
        registers = [(register, _of_register(number)) for number, register in enumerate(self._places.registers)]
        # Of several widths at one offset the widest comes first, and has the plain name.
        registers.sort(key=lambda pair: (pair[0].region, pair[0].offset, -pair[0].width))
        by_region = {key: list(held) for key, held in groupby(registers, key=lambda pair: pair[0].region)}
        for number in range(len(self._places.regions)):
            lines.append(f"$scope module {_clean(self._places.region_name(number))} $end")
            for which, (sort, name) in enumerate(_BUS):
                code = _of_bus(number, which)
                lines.append(_declared(sort, name, 1 if sort == "event" else self._size(code), code))
            taken: set[str] = {name for _, name in _BUS}
            for register, code in by_region.get(number, ()):
                name = _clean(self._places.register_name(register, self.names))
                name = f"reg_{name}" if name[0].isdigit() else name
                name = f"{name}_w{register.width}" if name in taken else name
                name = f"{name}_{register.offset:x}" if name in taken else name
                taken.add(name)
                lines.append(_declared("wire", name, self._size(code), code))
            lines.append("$upscope $end")
        return ("\n".join([*lines, "$enddefinitions $end"]) + "\n").encode()

    def _size(self, code: int) -> int:
        return max(1, int(self._bits[code]))


def _spread(n: int, at: NDArray[np.intp], some: Mask) -> Mask:
    """A mask over all rows of a page, from one over the rows `at`."""
    found = np.zeros(n, np.bool_)
    found[at] = some
    return found


def _declared(sort: str, name: str, size: int, code: int) -> str:
    bits = f" [{size - 1}:0]" if sort == "wire" and size > 1 else ""
    return f"$var {sort} {size} {identifier(code).decode()} {name}{bits} $end"


def _clean(text: str) -> str:
    """A name that no viewer takes for a path, a range of bits, or the end of a declaration."""
    return _UNSAFE.sub("_", text[:_SHOWN]).strip("_$") or "unnamed" if text else ""


def escaped(text: bytes | str) -> bytes:
    r"""A text as a string value: what is no printable character, and blanks, as \xHH."""
    held = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    shown = re.sub(rb"[^!-\[\]-~]", lambda match: b"\\x%02x" % match[0][0], held[:_SHOWN])
    return shown + (b"..." if len(held) > _SHOWN else b"")


FORMAT = ViewFormat(
    "vcd",
    "Value change dump for GTKWave: a variable for each register.",
    (".vcd",),
    frozenset(
        {
            "time",
            "width",
            "addr",
            "region",
            "offset",
            "value",
            "text",
            "READ",
            "WRITE",
            "UNKNOWN",
            "MARK",
            "LOST",
            "IRQ",
        }
    ),
    VcdWriter,
)
