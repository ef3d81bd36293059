"""Batches → mmiotrace text. Plain accesses are printed on columns; every other row goes through `render`."""

from __future__ import annotations

from collections import Counter
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Event, Kind
from mmiotools.formats.mmiotrace_lines import render
from mmiotools.trace.batch import EOL_BYTES, EOL_NAMES, Batch

#: Lines that are printed at once.
_PAGE = 1 << 13
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


class TextWriter:
    """Writes batches as lines. `lost` counts what the dialect has no place for.

    spelled  unusual lines have their own bytes in `raw`; False where those are of another dialect
    """

    def __init__(self, out: BinaryIO, spelled: bool = True) -> None:
        self._out = out
        self._spelled = spelled
        self.lost: Counter[str] = Counter()

    def write(self, batch: Batch) -> None:
        """Print every event that the dialect can say; the others are counted in `lost`."""
        for start in range(0, len(batch), _PAGE):
            self._write(batch.slice(start, start + _PAGE))

    def close(self) -> None:
        """Nothing is held back."""

    def _write(self, batch: Batch) -> None:
        if batch.extras and not self._spelled:
            batch = _without_spelling(batch)
        regular = _regular(batch)
        self._count_losses(batch)
        if regular.all():
            text, _ = _print(batch)
            self._out.write(text)
            return
        rows = np.flatnonzero(regular)
        text, characters = _print(batch.take(rows)) if len(rows) else (b"", np.zeros((0, 0), np.uint8))
        ends = np.concatenate([[0], np.cumsum(np.count_nonzero(characters, axis=1))])
        parts: list[bytes] = []
        done = 0
        for row in np.flatnonzero(~regular).tolist():
            before = int(np.searchsorted(rows, row))
            parts.append(text[int(ends[done]) : int(ends[before])])
            done = before
            parts.append(self._line(batch.event(row)))
        parts.append(text[int(ends[done]) :])
        self._out.write(b"".join(parts))

    def _line(self, event: Event) -> bytes:
        end = EOL_BYTES[EOL_NAMES.index(event.extra.get("eol", "lf"))]
        raw = event.extra.get("raw")
        line = raw if isinstance(raw, bytes) else render(event)
        if line is None:
            what = event.kind.name
            if event.kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN, Kind.MAP):
                missing = [name for name in ("width", "addr", "value") if getattr(event, name) is None]
                if event.kind == Kind.UNKNOWN:
                    missing = ["addr"] if event.addr is None else ["opcode"]
                what += f" without {' and '.join(missing)}"
            self.lost[what] += 1
            return b""
        return line + end

    def _count_losses(self, batch: Batch) -> None:
        for name in ("region", "offset"):
            if name in batch.columns:
                self.lost[name] += int(batch.present(name).sum())
        if "cpu" in batch.columns:
            self.lost["cpu"] += int((batch.present("cpu") & (batch.kind != Kind.LOST)).sum())
        fine = np.flatnonzero(batch.data("time") % 1000)
        if len(fine):
            spelled = sum("raw" in batch.extras.get(row, {}) for row in fine.tolist())
            self.lost["time below one microsecond"] += len(fine) - spelled
        for name in [name for name, count in self.lost.items() if not count]:
            del self.lost[name]


def _without_spelling(batch: Batch) -> Batch:
    """Without the lines of another dialect: a damaged one is told in this one's own words."""
    extras = {}
    for row, extra in batch.extras.items():
        left = ("raw", "text") if extra.get("damaged") else ("raw",)
        extra = {name: item for name, item in extra.items() if name not in left}
        if extra:
            extras[row] = extra
    return Batch(batch.kind, batch.columns, extras, batch.regions)


def _regular(batch: Batch) -> Mask:
    """Rows that are printed on columns: plain R, W and UNKNOWN with all the fields that the line has."""
    regular = batch.accesses
    unknown = batch.kind == Kind.UNKNOWN
    for name in ("time", "map", "addr", "pc", "pid"):
        regular = regular & batch.present(name)
    for name in ("map", "pid", "time"):
        regular = regular & (batch.data(name) >= 0)
    plain = batch.present("width") & batch.present("value")
    three = batch.present("opcode") & (batch.data("opcode") >> np.uint64(56) == 3)
    regular = regular & np.where(unknown, three, plain)
    if "eol" in batch.columns:
        regular = regular & (batch.data("eol") == 0)
    if batch.extras:
        odd = [row for row, extra in batch.extras.items() if "raw" in extra or "value" in extra or "eol" in extra]
        regular[odd] = False
    return np.asarray(regular, np.bool_)


class _Page:
    """Lines side by side: fields of characters, NUL where a row has none there; the NULs are dropped at the end."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._fields: list[Bytes] = []

    def literal(self, text: bytes, rows: Mask | None = None) -> None:
        """The same text in every row, or in some."""
        characters = np.broadcast_to(np.frombuffer(text, np.uint8), (self.n, len(text)))
        self._fields.append(characters if rows is None else characters * rows[:, None])

    def decimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None, *, fixed: int = 0) -> None:
        """Decimals without leading zeros, or with exactly `fixed` digits."""
        digits = fixed or len(str(int(numbers.max())))
        self._number(numbers, 10, digits, rows, bool(fixed))

    def hexadecimal(self, numbers: NDArray[np.uint64], rows: Mask | None = None) -> None:
        """0x and lower-case digits, without leading zeros."""
        self.literal(b"0x", rows)
        self._number(numbers, 16, max(1, (int(numbers.max()).bit_length() + 3) // 4), rows, False)

    def opcode(self, packed: NDArray[np.uint64], rows: Mask) -> None:
        """Three bytes, two digits each, with commas."""
        for place in (16, 8, 0):
            byte = packed >> np.uint64(place) & np.uint64(0xFF)
            self._number(byte, 16, 2, rows, True)
            if place:
                self.literal(b",", rows)

    def _number(self, numbers: NDArray[Any], base: int, digits: int, rows: Mask | None, fixed: bool) -> None:
        characters = np.empty((digits, self.n), np.uint8)
        if int(numbers.max()) < 1 << 32:
            numbers = numbers.astype(np.uint32)  # divides several times faster
        rest = numbers
        for place in range(digits - 1, -1, -1):
            if base == 16:
                digit, following = (rest & 15).astype(np.uint8), rest >> 4
            else:
                following = rest // 10
                digit = (rest - following * 10).astype(np.uint8)
            np.take(_HEX, digit, out=characters[place])
            if not fixed and place != digits - 1:
                characters[place] *= rest != 0
            rest = following
        if rows is not None:
            characters *= rows
        self._fields.append(characters.T)

    def join(self) -> tuple[bytes, Bytes]:
        """All rows as bytes, and the matrix (n, width) that they came from."""
        characters = np.concatenate(self._fields, axis=1)
        return characters.tobytes().translate(None, b"\0"), characters


def _print(batch: Batch) -> tuple[bytes, Bytes]:
    """Lines of a batch of regular rows, and the characters of each row with NULs between."""
    page = _Page(len(batch))
    unknown = batch.kind == Kind.UNKNOWN
    some, mixed = bool(unknown.any()), None
    known: Mask | None = None
    if some:
        mixed, known = unknown, ~unknown
        page.literal(b"UNKNOWN ", mixed)
    if not unknown.all():
        page.literal(b"W ", (batch.kind == Kind.WRITE))
        page.literal(b"R ", (batch.kind == Kind.READ))
        page.decimal(batch.data("width").astype(np.uint64), known)
        page.literal(b" ", known)
    micro = batch.data("time").astype(np.uint64) // np.uint64(1000)
    seconds = micro // np.uint64(1_000_000)
    page.decimal(seconds)
    page.literal(b".")
    page.decimal(micro - seconds * np.uint64(1_000_000), fixed=6)
    page.literal(b" ")
    page.decimal(batch.data("map").astype(np.uint64))
    page.literal(b" ")
    page.hexadecimal(batch.data("addr"))
    page.literal(b" ")
    if not unknown.all():
        page.hexadecimal(batch.data("value"), known)
    if mixed is not None:
        page.opcode(batch.data("opcode"), mixed)
    page.literal(b" ")
    page.hexadecimal(batch.data("pc"))
    page.literal(b" ")
    page.decimal(batch.data("pid").astype(np.uint64))
    page.literal(b"\n")
    return page.join()
