"""Counts of many registers: sorted keys and run lengths, no Python per event."""

from __future__ import annotations

import numpy as np

from mmiotools.events import Kind
from mmiotools.stats.registers import Counts
from mmiotools.trace.arrays import added_up, distinct, flatnonzero, run_starts
from mmiotools.trace.batch import Batch, Regions
from mmiotools.typed import Any, Mapping, NDArray

_MERGE_AT = 1 << 17
_U64 = NDArray[np.uint64]


class KeyCounts:
    """A multiset of 64-bit keys, merged now and then. `forgotten` counts events of keys beyond the limit."""

    def __init__(self, limit: int) -> None:
        self.keys: _U64 = np.zeros(0, np.uint64)
        self.counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self.forgotten = 0
        self._limit = limit
        self._pending: list[tuple[_U64, NDArray[np.int64]]] = []
        self._size = 0

    def add(self, keys: _U64) -> None:
        """Count each of these keys once more; the array is sorted in place."""
        keys.sort()
        starts = run_starts(keys)
        self.put(keys[starts], np.diff(starts, append=len(keys)))

    def put(self, keys: _U64, counts: NDArray[np.int64]) -> None:
        """Count each of these keys so often."""
        self._pending.append((keys, counts))
        self._size += len(keys)
        if self._size > _MERGE_AT:
            self.merge()

    def extend(self, other: KeyCounts) -> None:
        """Count all that another multiset counted."""
        self._pending += [*other._pending, (other.keys, other.counts)] if len(other.keys) else other._pending
        self._size += other._size + len(other.keys)
        self.forgotten += other.forgotten
        if self._size > _MERGE_AT:
            self.merge()

    def merge(self) -> None:
        """Take what is pending into `keys` (ascending, distinct) and `counts`."""
        if not self._pending:
            return
        keys = np.concatenate([self.keys, *(k for k, _ in self._pending)])
        counts = np.concatenate([self.counts, *(c for _, c in self._pending)])
        self._pending, self._size = [], 0
        self.keys, self.counts = added_up(keys, counts)
        if len(self.keys) > self._limit:
            kept = np.sort(np.argpartition(self.counts, len(self.counts) - self._limit)[-self._limit :])
            self.forgotten += int(self.counts.sum() - self.counts[kept].sum())
            self.keys, self.counts = self.keys[kept], self.counts[kept]


class RegisterTable:
    """What `RegisterCounts` counts, at most three times `limit` of each sort."""

    def __init__(self, limit: int) -> None:
        self._by_address = KeyCounts(3 * limit)
        self._high = KeyCounts(3 * limit)
        self._by_offset = KeyCounts(3 * limit)
        self._regions = Regions()

    @property
    def forgotten(self) -> int:
        """Accesses to registers beyond the limit: they are in no register's count."""
        return self._by_address.forgotten + self._high.forgotten + self._by_offset.forgotten

    def merge(self, other: RegisterTable) -> None:
        """Count all that another one counted, of the same stream."""
        self._by_address.extend(other._by_address)
        self._high.extend(other._high)
        # The other one may come from another process, where regions are numbered otherwise.
        other._by_offset.merge()
        keys = other._by_offset.keys
        if len(keys):
            code = self._own(keys >> np.uint64(50), other._regions)
            fits = code < 1 << 14
            other._by_offset.keys = code[fits] << np.uint64(50) | keys[fits] & np.uint64((1 << 50) - 1)
            other._by_offset.forgotten += int(other._by_offset.counts[~fits].sum())
            other._by_offset.counts = other._by_offset.counts[fits]
        self._by_offset.extend(other._by_offset)

    def _own(self, code: NDArray[Any], regions: Regions) -> _U64:
        """Codes of regions of another table as codes of this one's."""
        table: _U64 = np.zeros(len(regions.names), np.uint64)
        for used in flatnonzero(np.bincount(code.astype(np.intp))).tolist():
            table[used] = self._regions.code(regions.names[used], regions.spaces[used])
        own: _U64 = table[code]
        return own

    def add(self, batch: Batch) -> None:
        """Count the accesses of a batch."""
        access = batch.kind <= Kind.UNKNOWN
        if "region" in batch.columns:
            access = access & ~self._add_by_offset(batch)
        column = batch.columns.get("addr")
        if column is not None:
            if column.present is not None:
                access = access & column.present
            addr, kind = (column.data, batch.kind) if access.all() else (column.data[access], batch.kind[access])
            if len(addr) and int(addr.max()) >> 62:
                high = addr >> np.uint64(62) != 0
                # Two bits of the address make room for the kind: they are kept beside, by which table it is in.
                for top in (1, 2, 3):
                    part = high & (addr >> np.uint64(62) == top)
                    if part.any():
                        self._add_high(addr[part], kind[part], top)
                addr, kind = addr[~high], kind[~high]
            if len(addr):
                self._by_address.add(addr << np.uint64(2) | kind)

    def put_each(self, registers: Mapping[int, Counts]) -> None:
        """Count so many reads, writes and unknown accesses to each address."""
        addr = np.fromiter(registers, np.uint64, len(registers))
        table = np.array(list(registers.values()), np.int64)
        for kind in range(3):
            some = table[:, kind] > 0
            self.put(addr[some], kind, table[some, kind])

    def put(self, addr: _U64, kind: int, counts: NDArray[np.int64]) -> None:
        """Count so many accesses of a kind to each of some addresses."""
        top = addr >> np.uint64(62)
        low = top == 0
        self._by_address.put(addr[low] << np.uint64(2) | np.uint64(kind), counts[low])
        for bits in flatnonzero(np.bincount(top[~low].view(np.int64))).tolist():
            part = top == bits
            keys, fits = _high_keys(addr[part], bits)
            self._high.put(keys | np.uint64(kind), counts[part][fits])
            self._high.forgotten += int(counts[part][~fits].sum())

    def _add_high(self, addr: _U64, kind: NDArray[np.uint8], top: int) -> None:
        keys, fits = _high_keys(addr, top)
        self._high.add(keys | kind[fits])
        self._high.forgotten += int((~fits).sum())

    def _add_by_offset(self, batch: Batch) -> NDArray[np.bool_]:
        """Count the accesses whose region is named; which rows these are, (n,)."""
        has_offset = batch.present("offset")
        near = batch.present("addr") & (batch.data("addr") < 1 << 48)
        rows: NDArray[np.bool_] = batch.accesses & batch.present("region") & (has_offset | near)
        if not rows.any():
            return rows
        offset = np.where(has_offset, batch.data("offset"), batch.data("addr"))[rows]
        code = self._own(batch.data("region")[rows], batch.regions)
        fits = (code < 1 << 14) & (offset < 1 << 48)
        self._by_offset.forgotten += int((~fits).sum())
        key = code[fits] << np.uint64(50) | offset[fits] << np.uint64(2) | batch.kind[rows][fits]
        if len(key):
            self._by_offset.add(key)
        return rows

    def distinct(self) -> int:
        """How many registers were touched (at least, if some were forgotten)."""
        total = 0
        for table in (self._by_address, self._high, self._by_offset):
            table.merge()
            total += len(distinct(table.keys >> np.uint64(2)))
        return total

    def top(self, n: int) -> list[tuple[int, Counts]]:
        """The most used addresses, n or more."""
        found = _top(self._by_address, n)
        for key, counts in _top(self._high, n):
            top = key >> 60
            found.append((top << 62 | (3 if top == 3 else 0) << 60 | key & (1 << 60) - 1, counts))
        return found

    def top_named(self, n: int) -> list[tuple[str, int, Counts]]:
        """The n most used registers of regions that the format named: region and offset."""
        top = _top(self._by_offset, n)
        return [(self._regions.names[key >> 48], key & (1 << 48) - 1, counts) for key, counts in top]


def _high_keys(addr: _U64, top: int) -> tuple[_U64, NDArray[np.bool_]]:
    """Keys, without a kind, of addresses whose two highest bits are `top`; and which of them have one, (n,)."""
    # Canonical kernel addresses fill bits 62 and 63 alike, and have bits 60 and 61 equal to them.
    fits = addr >> np.uint64(60) == np.uint64(top << 2 | (3 if top == 3 else 0))
    return (addr[fits] << np.uint64(4)) >> np.uint64(2) | np.uint64(top) << np.uint64(62), fits


def _top(table: KeyCounts, n: int) -> list[tuple[int, Counts]]:
    table.merge()
    if not len(table.keys):
        return []
    register = table.keys >> np.uint64(2)
    starts = run_starts(register)
    totals = np.add.reduceat(table.counts, starts)
    best = starts[np.argsort(-totals, kind="stable")[:n]]
    out = []
    for start in best.tolist():
        counts = [0, 0, 0, 0]
        at = start
        while at < len(register) and register[at] == register[start]:
            counts[int(table.keys[at]) & 3] += int(table.counts[at])
            at += 1
        out.append((int(register[start]), (counts[0], counts[1], counts[2])))
    return out
