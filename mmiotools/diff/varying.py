"""Values that vary from run to run: in which registers, where among the other accesses, and in which bits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmiotools.events import Kind
from mmiotools.trace.accesses import ALL_BITS, Accesses
from mmiotools.trace.arrays import among, distinct, flatnonzero, split
from mmiotools.typed import NamedTuple, NDArray

Keys = NDArray[np.uint64]
Indexes = NDArray[np.int64]

#: Values of a register that are looked at, of each pair of runs; one that takes more is a number in any case.
_REMEMBERED = 64
#: So many bits that vary make a number, and so do so many values close together; else they are flags.
_NUMBER_BITS, _NUMBER_VALUES = 3, 4
_PAGE_SHIFT = 12
#: Below this a page-aligned value is rather a number than an address.
_LOWEST_ADDRESS = 0x100000


class Varying(NamedTuple):
    """What varies in a register with one operation: `bits`, and what they look like in words."""

    bits: int
    why: str


@dataclass(slots=True)
class _Observed:
    """Values of one register that were seen to differ, and the bits in which they did."""

    read: bool
    bits: int = 0
    values: set[int] = field(default_factory=set)
    wide: bool = False

    def verdict(self) -> Varying:
        """Of what a driver writes, flags: just the bits that were seen to vary. A number: all bits, of an address
        those above the page.
        """
        if self.read:
            return Varying(int(ALL_BITS), "the device answers otherwise from run to run")
        if self.wide or not self.bits:
            return Varying(int(ALL_BITS), "a value that differs from run to run")
        counts = len(self.values) >= _NUMBER_VALUES and max(self.values) - min(self.values) < 2 * len(self.values)
        if self.bits.bit_count() < _NUMBER_BITS and not counts:
            return Varying(self.bits, f"bits {self.bits:#x} differ from run to run")
        lowest = (self.bits & -self.bits).bit_length() - 1
        if lowest >= _PAGE_SHIFT and all(value >= _LOWEST_ADDRESS or not value for value in self.values):
            return Varying(int(ALL_BITS) >> _PAGE_SHIFT << _PAGE_SHIFT, "an address in memory, another one in each run")
        return Varying(int(ALL_BITS), "a number that differs from run to run")


class Values:
    """The registers whose values vary, each with one operation and in the company of certain other accesses.

    A value that varies in an interrupt handler may be a constant where the device is set up. So what counts is the
    register together with the one before it or the one behind it.
    """

    def __init__(self) -> None:
        self._observed: dict[int, _Observed] = {}
        self._company: set[int] = set()
        self._registers: Keys = np.zeros(0, np.uint64)
        self._bits: Keys = np.zeros(0, np.uint64)
        self._whys: list[str] = []
        self._companies: Keys = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        """How much was learned: it grows with everything new."""
        return len(self._observed) + len(self._company)

    def observe(self, a: Accesses, rows_a: Indexes, b: Accesses, rows_b: Indexes) -> None:
        """Accesses rows_a[i] of a and rows_b[i] of b are the same one in two runs, with different values."""
        if not len(rows_a):
            return
        for side, rows in ((a, rows_a), (b, rows_b)):
            before, behind = _company(side, rows)
            self._company.update(before.tolist(), behind.tolist())
        every = a.register_keys()
        registers = every[rows_a]
        order = np.argsort(registers, kind="stable")
        keys, first = np.unique(registers[order], return_index=True)
        for register, rows in zip(keys.tolist(), split(order, first[1:]), strict=True):
            seen = self._observed.setdefault(register, _Observed(bool(a.op[rows_a[rows[0]]] == Kind.READ)))
            old, new = a.value[rows_a[rows]], b.value[rows_b[rows]]
            seen.bits |= int(np.bitwise_or.reduce(old ^ new))
            # Also the values that it has elsewhere tell whether it holds a number.
            whole = a.value[every == np.uint64(register)]
            seen.values.update(distinct(np.concatenate((old, new, whole)))[:_REMEMBERED].tolist())
            seen.wide |= bool(np.isin(rows_a[rows], list(a.wide)).any() or np.isin(rows_b[rows], list(b.wide)).any())

    def settle(self) -> None:
        """To be called after `observe`, before anything is asked."""
        order = sorted(self._observed)
        found = [self._observed[register].verdict() for register in order]
        self._registers = np.array(order, np.uint64)
        self._bits = np.array([one.bits for one in found], np.uint64)
        self._whys = [one.why for one in found]
        self._companies = np.array(sorted(self._company), np.uint64)

    def keep(self, accesses: Accesses) -> Keys:
        """The bits of each value that count, (n,)."""
        kept = np.full(len(accesses), ALL_BITS)
        if not len(self._registers) or not len(accesses):
            return kept
        registers = accesses.register_keys()
        rows = flatnonzero(among(registers, self._registers))
        before, behind = _company(accesses, rows)
        rows = rows[among(before, self._companies) | among(behind, self._companies)]
        kept[rows] = ~self._bits[np.searchsorted(self._registers, registers[rows])]
        return kept

    def why(self, register: int) -> str:
        """What varies in a register (a key of `Accesses.register_keys`); "" for one in which nothing does."""
        at = int(np.searchsorted(self._registers, np.uint64(register)))
        return self._whys[at] if at < len(self._registers) and int(self._registers[at]) == register else ""

    def registers(self) -> dict[int, Varying]:
        """All that vary, by key."""
        whys = zip(self._bits.tolist(), self._whys, strict=True)
        return dict(zip(self._registers.tolist(), (Varying(bits, why) for bits, why in whys), strict=True))


def _company(accesses: Accesses, rows: Indexes) -> tuple[Keys, Keys]:
    """A key for each access and the register before it, and one for it and the register behind it."""
    registers = np.concatenate((np.zeros(1, np.uint64), accesses.register_keys(), np.zeros(1, np.uint64)))
    own, before, behind = registers[rows + 1], registers[rows], registers[rows + 2]
    return own * np.uint64(3) ^ before, own * np.uint64(5) ^ behind
