"""What compiled/block_tally.c does, on numpy: the functions that `native_tally` and `native_stored` call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmiotools.events import Kind
from mmiotools.formats.native_planes import Steps, from_steps, look_up
from mmiotools.formats.native_planes import join as join_planes
from mmiotools.trace.tally import HAS_ADDR, HAS_MAP, HAS_WIDTH

_ENTRIES = np.dtype(
    [("addr", "u8"), ("map", "i8"), ("counts", "u8", 3), ("width", "u1"), ("has", "u1"), ("spare", "V6")]
)
_RARE = np.dtype(
    [(name, "i8") for name in ("row", "time", "map")]
    + [("addr", "u8"), ("kind", "u1"), ("width", "u1"), ("has", "u1"), ("spare", "V5")]
)
_HAS_TIME = 16
#: The columns that are counted, behind `kind`; a row of a tally holds values of one of them.
_COUNTED = (("addr", HAS_ADDR, np.uint64), ("map", HAS_MAP, np.int64), ("width", HAS_WIDTH, np.uint8))


class Tally:
    """Values with how many reads, writes and unknown accesses each has, (m,) and (m, 3), of each of _COUNTED."""

    def __init__(self) -> None:
        self.parts: list[list[tuple[NDArray[Any], NDArray[np.int64]]]] = [[] for _ in _COUNTED]
        self.kinds: NDArray[np.int64] = np.zeros(3, np.int64)
        self.size = 0


class _Values(NamedTuple):
    """A column: places in a list of values, and the rows that have it; None for all."""

    values: NDArray[Any]
    places: NDArray[Any]
    rows: NDArray[np.bool_] | None


def new_tally() -> Tally:
    """Counts over many blocks."""
    return Tally()


def join(planes: list[Any], n: int, words: Any, zigzag: bool, size: int, out: Any) -> None:
    """Numbers behind byte planes, words of 8 bytes."""
    assert words is None and size == 8
    found = look_up(planes, n, None, np.dtype(np.int64)).view(np.uint64) if zigzag else join_planes(planes, n)
    np.frombuffer(out, np.uint64)[:] = found


def take_entries(tally: Tally) -> tuple[tuple[int, ...], bytes]:
    """What was counted: reads, writes and unknown accesses; entries of addresses alone, of maps alone and of widths
    alone. The tally is empty then.
    """
    parts, kinds = tally.parts, tuple(tally.kinds.tolist())
    tally.parts, tally.kinds, tally.size = [[] for _ in _COUNTED], np.zeros(3, np.int64), 0
    packed = []
    for (name, has, _), some in zip(_COUNTED, parts, strict=True):
        if not some:
            continue
        values, which = np.unique(np.concatenate([values for values, _ in some]), return_inverse=True)
        each = np.concatenate([counts for _, counts in some])
        entries = np.zeros(len(values), _ENTRIES)
        entries[name], entries["has"] = values, has | 1
        for kind in range(3):
            # Exact: no count comes near 2 to the 53rd.
            entries["counts"][:, kind] = np.bincount(which, each[:, kind], len(values))
        packed.append(entries.tobytes())
    return kinds, b"".join(packed)


def tally_block(tally: Tally, n: int, columns: tuple[Any, ...]) -> tuple[Any, bytes, int] | None:
    """See compiled/block_tally.c. Raises ValueError for what cannot be."""
    of_kind, *counted, of_time = columns
    _, _, planes, words, bitmap, steps = of_kind
    if words is not None or bitmap is not None or steps is not None or (isinstance(planes, list) and len(planes) > 1):
        return None
    kinds = np.full(n, planes, np.uint8) if not isinstance(planes, list) else _bytes(planes, n)
    rare = np.flatnonzero(kinds > Kind.UNKNOWN)
    if len(rare) and (int(kinds.max()) > max(Kind) or bool((kinds[rare] == Kind.LOST).any())):
        return None
    told = np.zeros(len(rare), _RARE)
    told["row"], told["kind"], told["has"] = rare, kinds[rare], 1
    found = []
    for (name, has, dtype), column in zip(_COUNTED, counted, strict=True):
        read = None if column is None else _values(column, n, np.dtype(dtype))
        found.append(None if read is None else (read, _table(read, kinds)))
        if read is not None and len(rare):
            _tell(told, name, has, read.rows, rare, read.values[read.places])
    times = None
    if of_time is not None:
        times = _times(of_time, n, told, rare)
    tally.kinds += np.bincount(kinds, minlength=3)[:3]
    for parts, made in zip(tally.parts, found, strict=True):
        if made is not None:
            used = made[1].any(axis=1)
            parts.append((made[0].values[used], made[1][used]))
            tally.size += len(parts[-1][0])
    return times, told.tobytes(), tally.size


def _bytes(planes: list[Any], n: int) -> NDArray[np.uint8]:
    return np.frombuffer(planes[0], np.uint8, n) if planes else np.zeros(n, np.uint8)


def _held(bitmap: Any, n: int) -> tuple[NDArray[np.bool_] | None, int]:
    if bitmap is None:
        return None, n
    rows = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=n, bitorder="little").view(np.bool_)
    return rows, int(np.count_nonzero(rows))


def _values(column: Any, n: int, dtype: np.dtype[Any]) -> _Values:
    _, zigzag, planes, words, bitmap, steps = column
    if steps is not None:
        raise ValueError("steps of what is no time")
    rows, count = _held(bitmap, n)
    if not isinstance(planes, list):
        return _Values(np.array([planes], dtype), np.zeros(count, np.intp), rows)
    if words is None and len(planes) > 1:
        numbers = look_up(planes, count, None, np.dtype(np.int64 if zigzag else np.uint64)).astype(dtype)
        return _Values(*np.unique(numbers, return_inverse=True), rows)
    listed = np.arange(256, dtype=np.uint64) if words is None else np.frombuffer(words, np.uint64)
    places: NDArray[Any] = join_planes(planes, count) if len(planes) > 1 else _bytes(planes, count)
    if count and int(places.max()) >= len(listed):
        raise ValueError("a code is beyond its dictionary")
    if zigzag:
        listed = (listed >> np.uint64(1)) ^ -(listed & np.uint64(1))
    return _Values(listed.astype(dtype), places.astype(np.intp), rows)


def _table(read: _Values, kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Accesses by value and kind, (m, 3)."""
    own = kinds if read.rows is None else kinds[read.rows]
    codes = read.places * 16 + own
    return np.bincount(codes, minlength=len(read.values) * 16).reshape(-1, 16)[:, :3]


def _tell(
    told: NDArray[Any],
    name: str,
    has: int,
    rows: NDArray[np.bool_] | None,
    rare: NDArray[np.intp],
    numbers: NDArray[Any],
) -> None:
    """The numbers of a column, of the rows that have it, to those that are no accesses."""
    if rows is None:
        told[name] = numbers[rare]
        told["has"] |= has
        return
    here = rows[rare]
    told[name][here] = numbers[(np.cumsum(rows) - 1)[rare[here]]]
    told["has"][here] |= has


def _times(column: Any, n: int, told: NDArray[Any], rare: NDArray[np.intp]) -> tuple[int, ...] | None:
    _, _, planes, words, bitmap, steps = column
    if words is not None or (isinstance(planes, list) and steps is None):
        raise ValueError("times are steps")
    rows, count = _held(bitmap, n)
    if not count:
        return None
    if steps is None:
        times = np.full(count, planes, np.int64)
    else:
        first, unit, large = steps
        times = from_steps(Steps(first, unit, planes[0], np.frombuffer(large, np.int64)))
    _tell(told, "time", _HAS_TIME, rows, rare, times)
    borders = (0, n - 1) if rows is None else np.flatnonzero(rows)[[0, -1]].tolist()
    return int(times[0]), int(times[-1]), *borders, int(times.min()), int(times.max())
