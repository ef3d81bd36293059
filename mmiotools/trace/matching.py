"""When are two accesses "the same"? The one place that says so; diff, replay and poll folding all ask here.

Two accesses are the same when operation, width, register (region identity and offset) and value agree. Time,
map ids, absolute addresses, pc, pid and cpu do not count. A value that is absent equals only an absent one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.trace.addrmap import AddressMap, Region
from mmiotools.trace.batch import Batch

OP_LETTERS = {Kind.READ: "R", Kind.WRITE: "W", Kind.UNKNOWN: "U"}


@dataclass(frozen=True, slots=True)
class Access:
    """One canonical access. `identity` is the region's, the same in another recording; `region` is for display."""

    index: int
    op: str
    width: int | None
    region: str | None
    identity: tuple[Any, ...]
    offset: int
    address: int | None
    value: int | None

    @property
    def register(self) -> tuple[tuple[Any, ...], int]:
        """What names the register in any recording of the same hardware."""
        return self.identity, self.offset

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for accesses that are the same."""
        return (self.op, self.width, self.identity, self.offset, self.value)


@dataclass(frozen=True, slots=True)
class Accesses:
    """All accesses of a trace as columns, (n,) each. -1 in `identity` stands for "no region".

    op        uint8, Kind.READ, WRITE or UNKNOWN
    width     int16, -1 where absent
    identity  int32, index into `identities`
    offset    uint64
    value     uint64, with `has_value` bool (n,)
    address   uint64, with `has_address` bool (n,)
    region    int32, index into `regions` (display), -1 for none
    time      int64 nanoseconds, with `has_time` bool (n,)
    wide      values of more than 8 bytes, by index
    """

    op: NDArray[np.uint8]
    width: NDArray[np.int16]
    identity: NDArray[np.int32]
    offset: NDArray[np.uint64]
    value: NDArray[np.uint64]
    has_value: NDArray[np.bool_]
    address: NDArray[np.uint64]
    has_address: NDArray[np.bool_]
    region: NDArray[np.int32]
    time: NDArray[np.int64]
    has_time: NDArray[np.bool_]
    identities: list[tuple[Any, ...]]
    regions: list[Region]
    wide: dict[int, int]

    def __len__(self) -> int:
        return len(self.op)

    def access(self, index: int) -> Access:
        """Access number `index`, counted from 0."""
        code = int(self.region[index])
        identity = int(self.identity[index])
        has_value = bool(self.has_value[index])
        return Access(
            index,
            OP_LETTERS[Kind(int(self.op[index]))],
            int(self.width[index]) if self.width[index] >= 0 else None,
            self.regions[code].name if code >= 0 else None,
            self.identities[identity] if identity >= 0 else (),
            int(self.offset[index]),
            int(self.address[index]) if self.has_address[index] else None,
            int(self.value[index]) if has_value else self.wide.get(index),
        )

    def register_keys(self) -> NDArray[np.uint64]:
        """One 64-bit hash an access of what it touches: operation, width, region identity, offset; (n,)."""
        table = np.array([_stable_hash(identity) for identity in self.identities] or [0], np.uint64)
        region = np.where(self.identity >= 0, table[np.maximum(self.identity, 0)], np.uint64(0))
        shape = self.op.astype(np.uint64) << np.uint64(16) | self.width.astype(np.uint16).astype(np.uint64)
        return _mix(_mix(_mix(region) ^ self.offset) ^ shape)

    def keys(self) -> NDArray[np.uint64]:
        """One 64-bit hash an access of all that must agree; (n,). Equal keys are compared by field before use."""
        value = self.value
        if self.wide:
            value = value.copy()
            for index, wide in self.wide.items():
                value[index] = _stable_hash(("wide", wide))
        has = self.has_value.astype(np.uint64) + np.uint64(1)
        return _mix(_mix(self.register_keys() ^ has) ^ value)


def access_json(access: Access, side: str | None = None, register: str | None = None) -> dict[str, Any]:
    """An access as diff and replay print it; missing things are null. `side` is "a" or "b" in a diff."""
    head: dict[str, Any] = {} if side is None else {"side": side}
    return head | {
        "index": access.index,
        "op": access.op,
        "width": access.width,
        "region": access.region,
        "offset": f"{access.offset:#x}",
        "address": None if access.address is None else f"{access.address:#x}",
        "value": None if access.value is None else f"{access.value:#x}",
        "register": register,
    }


#: The columns of `Accesses`, in the order in which `collect` gathers them.
_COLUMNS = {
    "op": "u1",
    "width": "i2",
    "identity": "i4",
    "offset": "u8",
    "value": "u8",
    "has_value": "?",
    "address": "u8",
    "has_address": "?",
    "region": "i4",
    "time": "i8",
    "has_time": "?",
}


def collect(batches: Iterator[Batch]) -> Accesses:
    """All accesses of a stream, resolved. Memory: about 50 bytes an access.

    A device that is described only after its first accesses is still found: registers are named when all is read
    only if the stream's order says so, exactly as `AddressMap` does.
    """
    addresses = AddressMap()
    parts: list[tuple[Any, ...]] = []
    wide: dict[int, int] = {}
    identities: dict[tuple[Any, ...], int] = {}
    count = 0
    for batch in batches:
        resolved = addresses.resolve(batch)
        keep = np.flatnonzero(batch.accesses)
        if not len(keep):
            continue
        for row, extra in batch.extras.items():
            if "value" in extra and batch.kind[row] <= Kind.UNKNOWN:
                wide[count + int(np.searchsorted(keep, row))] = extra["value"]
        width = np.where(batch.present("width"), batch.data("width").astype(np.int16), np.int16(-1))
        code = resolved.region[keep]
        table = np.array(
            [identities.setdefault(r.identity, len(identities)) for r in addresses.regions] + [-1], np.int32
        )
        parts.append(
            (
                batch.kind[keep],
                width[keep],
                table[code],
                resolved.offset[keep],
                batch.data("value")[keep],
                batch.present("value")[keep],
                batch.data("addr")[keep],
                batch.present("addr")[keep],
                code,
                batch.data("time")[keep],
                batch.present("time")[keep],
            )
        )
        count += len(keep)
    columns: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}
    if parts:
        joined = (np.concatenate(column) for column in zip(*parts, strict=True))
        columns = dict(zip(_COLUMNS, joined, strict=True))
    return Accesses(**columns, identities=list(identities), regions=addresses.regions, wide=wide)


def register_name(region: str | None, offset: int) -> str:
    """`region+0xoffset` for display, or the bare address where there is no region."""
    return f"{offset:#x}" if region is None else f"{region}+{offset:#x}"


def _stable_hash(identity: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(identity).encode(), digest_size=8).digest(), "little")


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit finaliser (the one of splitmix64): every input bit moves every output bit."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


__all__ = ["Access", "Accesses", "access_json", "collect", "register_name"]
