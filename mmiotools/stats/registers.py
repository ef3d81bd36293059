"""How often each register was read, written or touched otherwise. Few registers are counted one by one; many, and those
in regions that the format named, on columns (`register_table`), and only these need numpy.
"""

from __future__ import annotations

from mmiotools.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mmiotools.stats.register_table import RegisterTable
    from mmiotools.trace.address_space import AddressSpace
    from mmiotools.trace.batch import Batch

#: Distinct registers that are counted; beyond this the least used ones are forgotten, and that is said.
LIMIT = 1 << 20
#: Registers that are counted one by one.
FEW = 1 << 14

#: Reads, writes and unknown ones.
Counts = tuple[int, int, int]


class Register(NamedTuple):
    """One register and its accesses. `address` is None where the format knows only region and offset."""

    region: str | None
    offset: int
    address: int | None
    reads: int
    writes: int
    unknown: int

    @property
    def accesses(self) -> int:
        """All of them."""
        return self.reads + self.writes + self.unknown


class RegisterCounts:
    """Accesses by register. `hottest` names the registers when all was seen.

    A register is an address, or a region that the format named and the offset (else the address) in it. Addresses are
    named by the devices and maps of the whole trace: one whose BAR moved during it is named by the last.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._few: dict[int, Counts] = {}
        self._many: RegisterTable | None = None
        self._forgotten = 0

    def put(self, address: int, counts: Counts) -> None:
        """Count so many accesses to an address."""
        if address >> 60 and not countable(address):
            self._forgotten += sum(counts)
            return
        before = self._few.get(address)
        if before is None:
            self._few[address] = counts
            if len(self._few) > FEW:
                self.table()
        else:
            self._few[address] = (before[0] + counts[0], before[1] + counts[1], before[2] + counts[2])

    def table(self) -> RegisterTable:
        """All counts on columns, and all that come."""
        if self._many is None:
            from mmiotools.stats.register_table import RegisterTable

            self._many = RegisterTable(self._limit)
        if self._few:
            self._many.put_each(self._few)
            self._few = {}
        return self._many

    def add(self, batch: Batch) -> None:
        """Count the accesses of a batch."""
        self.table().add(batch)

    def merge(self, other: RegisterCounts) -> None:
        """Count all that another one counted, of the same stream."""
        for address, counts in other._few.items():
            self.put(address, counts)
        self._forgotten += other._forgotten
        if other._many is not None:
            self.table().merge(other._many)

    @property
    def forgotten(self) -> int:
        """Accesses to registers beyond the limit: they are in no register's count."""
        return self._forgotten + (0 if self._many is None else self.table().forgotten)

    def distinct(self) -> int:
        """How many registers were touched (at least, if some were forgotten)."""
        return len(self._few) if self._many is None else self.table().distinct()

    def hottest(self, space: AddressSpace, n: int) -> list[Register]:
        """The n registers with most accesses, most first, then by address."""
        found: list[Register] = []
        if self._many is not None:
            table = self.table()
            found += [Register(region, offset, None, *counts) for region, offset, counts in table.top_named(n)]
            top = table.top(n)
        else:
            top = sorted(self._few.items(), key=lambda item: (-sum(item[1]), item[0]))[:n]
        found += [Register(*space.locate(address), address, *counts) for address, counts in top]
        return sorted(found, key=lambda r: (-r.accesses, r.address or 0, r.region or "", r.offset))[:n]


def countable(address: int) -> bool:
    """Whether an address can be a key of a `RegisterTable`, which has 62 bits for it: those below 1 << 62, the
    canonical ones of a kernel, where bits 60 to 63 are alike, and some others.
    """
    top = address >> 62
    return not top or address >> 60 == top << 2 | (3 if top == 3 else 0)
