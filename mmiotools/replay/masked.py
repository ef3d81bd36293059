"""Masks in a replay: registers that are answered and not in the books, bits that do not count, accesses that come at
any time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmiotools.events import Kind
from mmiotools.filters.masks import Mask, MaskFile
from mmiotools.replay.ledger import Done
from mmiotools.trace.accesses import ALL_BITS, Accesses, accesses_of
from mmiotools.trace.address_space import Region
from mmiotools.trace.arrays import flatnonzero
from mmiotools.trace.tape import Tape
from mmiotools.typed import NamedTuple, NDArray

_KINDS = {"R": Kind.READ, "W": Kind.WRITE, "U": Kind.UNKNOWN}


class Meaning(NamedTuple):
    """What masks say of one access: it is left out of the books, and these bits of its value count."""

    ignored: bool
    bits: int


_PLAIN = Meaning(False, int(ALL_BITS))


class Masked:
    """A tape under masks.

    counted, ignored   the two parts of it; in the first, bits of written values that do not count are 0
    any_time   which accesses of the first come at any time, (n,) bool, None for none of them
    counted_at, ignored_at   where their accesses lie on the whole tape
    """

    def __init__(self, tape: Tape, said: MaskFile) -> None:
        self._tape = tape
        self._said = said
        self._known: dict[tuple[str, str, int, int], Meaning] = {}
        ignored, bits = meanings(said.masks, tape.accesses)
        left_out = ignored[tape.rows]
        self.counted_at = flatnonzero(~left_out)
        self.ignored_at = flatnonzero(left_out)
        self.counted = tape if not left_out.any() else tape.take(self.counted_at)
        self.ignored = tape.take(self.ignored_at)
        keep = bits[self.counted.rows]
        keep[self.counted.op != Kind.WRITE] = ALL_BITS
        if (keep != ALL_BITS).any():
            self.counted = replace(self.counted, value=self.counted.value & keep, _chunks={})
        #: Register → values (None for any) of accesses that come at any time.
        self._floating: dict[tuple[str, str, int, int | None], set[int | None]] = {}
        for block in said.blocks:
            for op, width, identity, offset, value in block.accesses:
                if len(identity) == 3 and identity[0] == tape.pci.ids:
                    key = (op.name[0], str(identity[2]), offset, width)
                    self._floating.setdefault(key, set()).add(value)
        self.any_time = self._floating_rows() if self._floating else None

    def meaning(self, op: str, bar: str, offset: int, width: int) -> Meaning:
        """What the masks say of an access of the driver."""
        if not self._said.masks:
            return _PLAIN
        key = (op, bar, offset, width)
        found = self._known.get(key)
        if found is None:
            ignored, bits = meanings(self._said.masks, self._one(*key))
            found = self._known[key] = Meaning(bool(ignored[0]), int(bits[0]) if op == "W" else int(ALL_BITS))
        return found

    def _one(self, op: str, bar: str, offset: int, width: int) -> Accesses:
        """The access as if it were recorded."""
        regions = [region for region in self._tape.accesses.regions if _is_bar(region, bar, self._tape)]
        identity = regions[0].identity if regions else (self._tape.pci.ids, 0, bar)
        one = accesses_of([(_KINDS[op], width, identity, offset, None)])
        window = next((found for found in self._tape.pci.bars if found.name == bar), None)
        if window is not None and one.address is not None and one.has_address is not None:
            one.address[0], one.has_address[0] = window.addr + offset, True
        if regions:
            one.region[0] = 0
        return one._replace(regions=regions[:1])

    def floats(self, done: Done) -> bool:
        """Is this an access that comes at any time?"""
        values = self._floating.get((done.op, done.bar, done.offset, done.width), ())
        return done.value in values or None in values

    def _floating_rows(self) -> NDArray[np.bool_]:
        """Which counted accesses come at any time, (n,)."""
        tape = self.counted
        found = np.zeros(len(tape), np.bool_)
        for (op, bar, offset, width), values in self._floating.items():
            if bar not in tape.bars:
                continue
            rows = (tape.op == _KINDS[op]) & (tape.bar == tape.bars.index(bar)) & (tape.offset == np.uint64(offset))
            rows &= tape.width == (-1 if width is None else width)
            if None not in values:
                rows &= np.isin(tape.value, np.array(sorted(v for v in values if v is not None), np.uint64))
            found |= rows
        return found


def _is_bar(region: Region, bar: str, tape: Tape) -> bool:
    return region.device is not None and region.device.ids == tape.pci.ids and region.identity[2] == bar


def meanings(masks: tuple[Mask, ...], accesses: Accesses) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Which accesses are left out, and the bits of each value that count; (n,) each."""
    ignored = np.zeros(len(accesses), np.bool_)
    bits = np.full(len(accesses), ALL_BITS, np.uint64)
    for mask in masks:
        rows = mask.rows(accesses)
        if mask.ignore:
            ignored |= rows
        else:
            bits[rows] &= np.uint64(~mask.bits & int(ALL_BITS))
    return ignored, bits
