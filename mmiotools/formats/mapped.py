"""Accesses that are named by a map and an offset in it, or by a virtual address: regions for them, and back."""

from __future__ import annotations

import numpy as np

from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.arrays import distinct
from mmiotools.trace.batch import Batch, BoolArray, Regions
from mmiotools.typed import NamedTuple, NDArray

#: The region of accesses by virtual address: offsets in it are the addresses.
VIRT = "virt"
#: More maps than this get no region of their own.
MOST = 1 << 18


class MapRegions:
    """Regions `map1`, `map2`, … for the maps that accesses name. Memory is bounded by MOST."""

    def __init__(self, regions: Regions) -> None:
        self.regions = regions

    def virtual(self) -> int:
        """The code of the region of virtual addresses."""
        return self.regions.code(VIRT, "virt")

    def codes(self, numbers: NDArray[np.integer]) -> NDArray[np.uint32]:
        """The region code (n,) of each map number (n,)."""
        wanted = numbers.astype(np.int64)
        low, high = int(wanted.min()), int(wanted.max())
        if low == high:
            return np.full(len(wanted), self._code(low), np.uint32)
        different, inverse = np.unique(wanted, return_inverse=True)
        found = np.array([self._code(number) for number in different.tolist()], np.uint32)
        return found[inverse]

    def _code(self, number: int) -> int:
        if len(self.regions.names) >= MOST:
            return self.regions.code("a later map")
        return self.regions.code(f"map{number}")


class Places(NamedTuple):
    """Of each row: the offset (n,) in its map, or its virtual address where `virtual` (n,); which are `known` (n,)."""

    offset: NDArray[np.uint64]
    virtual: BoolArray
    known: BoolArray


class MapOffsets:
    """Follows a stream; where each access lies in the map that it names."""

    def __init__(self) -> None:
        self._maps = AddressMap()

    def find(self, batch: Batch) -> Places:
        """The places of a batch's rows, from their region and offset or from address and map."""
        addr, maps = batch.data("addr"), batch.data("map")
        offset = batch.data("offset").astype(np.uint64, copy=True)
        known = batch.present("offset") & batch.present("map")
        has = batch.present("addr") & batch.present("map") & ~known
        for start, stop in self._maps.spans(batch):
            part = slice(start, stop)
            for number in distinct(maps[part][has[part]]).tolist():
                live = self._maps.maps.get(number)
                if live is not None:
                    chosen = has[part] & (maps[part] == number)
                    offset[part][chosen] = addr[part][chosen] - np.uint64(live.phys)
                    known[part] |= chosen
        virtual = np.zeros(len(batch), np.bool_)
        if "region" in batch.columns and VIRT in batch.regions.names:
            code = batch.regions.names.index(VIRT)
            virtual = batch.present("region") & (batch.data("region") == code)
        return Places(offset, virtual, known | virtual)
