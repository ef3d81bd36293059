"""Batches → mmiotrace text. Plain accesses are printed on columns; every other row goes through `render`."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Event, Kind, is_damage
from mmiotools.formats import mmiotrace_compiled
from mmiotools.formats.base import BatchTexts
from mmiotools.formats.mmiotrace_render import render
from mmiotools.formats.text_page import Bytes, Mask, Page, table_of
from mmiotools.speed import compiled
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.batch import EOL_BYTES, EOL_NAMES, Batch
from mmiotools.typed import BinaryIO, Iterator, ModuleType

#: What lines of READ, WRITE and UNKNOWN begin with; the last is longer.
_OPS = table_of([b"R ", b"W ", b"\0\0"])
#: Kinds whose lines have a time, if only 0.
_STAMPED = (Kind.READ, Kind.WRITE, Kind.UNKNOWN, Kind.MAP, Kind.UNMAP, Kind.MARK)


class TextWriter(BatchTexts):
    """Writes batches as lines. `lost` counts what the dialect has no place for.

    spelled  unusual lines have their own bytes in `raw`; False where those are of another dialect
    """

    def __init__(self, out: BinaryIO, spelled: bool = True) -> None:
        super().__init__(out)
        self._spelled = spelled

    def pieces(self, batch: Batch) -> Iterator[bytes | memoryview]:
        """Every event that the dialect can say; the others are counted in `lost`."""
        if batch.extras and not self._spelled:
            batch = without_spelling(batch)
        regular = _regular(batch)
        self._count_losses(batch)
        fast = compiled()
        if fast is not None:
            yield from self._compiled(fast, batch, regular)
            return
        if regular.all():
            yield _print(batch)[0]
            return
        rows = flatnonzero(regular)
        text, characters = _print(batch.take(rows)) if len(rows) else (b"", np.zeros((0, 0), np.uint8))
        ends = np.concatenate([[0], np.cumsum(np.count_nonzero(characters, axis=1))])
        parts: list[bytes] = []
        done = 0
        for row, event in _others(batch, regular):
            before = int(np.searchsorted(rows, row))
            parts.append(text[int(ends[done]) : int(ends[before])])
            done = before
            parts.append(self._line(event))
        parts.append(text[int(ends[done]) :])
        yield b"".join(parts)

    def _compiled(self, fast: ModuleType, batch: Batch, regular: Mask) -> Iterator[bytes | memoryview]:
        lines = mmiotrace_compiled.print_regular(fast, batch)
        done = 0
        for row, event in _others(batch, regular):
            if row > done:
                yield lines(done, row)
            yield self._line(event)
            done = row + 1
        if done < len(batch):
            yield lines(done, len(batch))

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
                what += f" without {' and '.join(missing)}" if missing else " of a value of more than 64 bits"
            self.lost[what] += 1
            return b""
        return line + end

    def _count_losses(self, batch: Batch) -> None:
        for name in ("region", "offset", "mr"):
            if name in batch.columns:
                self.lost[name] += int(batch.present(name).sum())
        if "cpu" in batch.columns:
            self.lost["cpu"] += int((batch.present("cpu") & (batch.kind != Kind.LOST)).sum())
        time, timed = batch.data("time"), batch.present("time")
        self.lost["time below zero"] += int((time < 0).sum())
        if not timed.all():
            self.lost["absent time"] += int((batch.of_kind(*_STAMPED) & ~timed).sum())
        fine = flatnonzero((time // 1000 * 1000 != time) & (time >= 0))
        if len(fine):
            spelled = sum("raw" in batch.extras.get(row, {}) for row in fine.tolist())
            self.lost["time below one microsecond"] += len(fine) - spelled
        for name in [name for name, count in self.lost.items() if not count]:
            del self.lost[name]


def _others(batch: Batch, regular: Mask) -> Iterator[tuple[int, Event]]:
    """The rows that are not regular, as events."""
    rows = flatnonzero(~regular)
    return zip(rows.tolist(), batch.take(rows).events(), strict=True) if len(rows) else iter(())


def without_spelling(batch: Batch) -> Batch:
    """Without the lines of another dialect: a damaged one is told in this one's own words."""
    extras = {}
    for row, extra in batch.extras.items():
        left = ("raw", "text") if is_damage(int(batch.kind[row]), extra) else ("raw",)
        extra = {name: item for name, item in extra.items() if name not in left}
        if extra:
            extras[row] = extra
    return Batch(batch.kind, batch.columns, extras, batch.regions)


def _regular(batch: Batch) -> Mask:
    """Rows that are printed on columns: plain R, W and UNKNOWN. What is absent is 0 in columns, as in a line."""
    regular = batch.accesses & batch.present("addr")
    unknown = batch.kind == Kind.UNKNOWN
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


def _print(batch: Batch) -> tuple[bytes, Bytes]:
    """Lines of a batch of regular rows, and the characters of each row with NULs between."""
    page = Page(len(batch))
    unknown = batch.kind == Kind.UNKNOWN
    some, mixed = bool(unknown.any()), None
    known: Mask | None = None
    if some:
        mixed, known = unknown, ~unknown
        page.literal(b"UNKNOWN ", mixed)
    if not unknown.all():
        page.words(_OPS, batch.kind)
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
