"""The loops of native columns, on either engine: byte planes, dictionaries, steps of time. Equal results on both."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.native_layout import ADDRESS, CONSTANT, DELTA, DICTIONARY, ESCAPE, PLAIN
from mmiotools.speed import compiled
from mmiotools.trace.arrays import distinct, flatnonzero, stretches
from mmiotools.trace.batch import Column
from mmiotools.typed import Any, IntEnum, NamedTuple, NDArray

U64 = NDArray[np.uint64]
Array = NDArray[Any]

#: Units that times are counted in, nanoseconds.
UNITS = (1_000_000, 1000, 1)
#: As many numbers of a dictionary come first as are told apart by the first plane of their places.
OFTEN = 256
#: As many runs of a table are compared one after the other.
_RUNS = 4
#: Bits of steps of which there may be as many as a block has events.
_SUMMABLE = 46
_BEYOND = "a code is beyond its dictionary"


class What(IntEnum):
    """What a column is: only times become steps, only addresses go to the block's dictionary, kinds to none."""

    ANY = 0
    KINDS = 1
    TIMES = 2
    ADDRESSES = 3


class Packed(NamedTuple):
    """A column ready to be compressed. The planes hold until the next column is packed.

    encoding     one of native_layout.py
    rows         that have the column; if none has, nothing else holds
    low, high    the least and the most of times and of addresses, and of a constant
    planes       byte planes of the numbers, signed ones zigzagged; of their places in the dictionary; or the steps
    words        how many numbers are in the dictionary, or how many steps are no byte
    word_planes  their byte planes: of addresses as differences, of steps zigzagged if any is negative
    first, unit  of times; `negative` whether any step is
    members      of kinds, a set of 256 bits, the lowest in the first byte
    """

    encoding: int
    rows: int
    low: int = 0
    high: int = 0
    planes: list[Any] = []
    words: int = 0
    word_planes: list[Any] = []
    first: int = 0
    unit: int = 0
    negative: bool = False
    members: bytes = bytes(32)


class Coded(NamedTuple):
    """Numbers as places in a dictionary, and the byte planes of the places. The values ascend; where they are more than
    OFTEN, as many that are used most come first, ascending, and then the others.
    """

    values: U64
    planes: list[Any]


class Steps(NamedTuple):
    """Times as differences, in a unit of `unit` ns: a byte each, and those for which ESCAPE stands, in order."""

    first: int
    unit: int
    small: Any
    large: NDArray[np.int64]


def split(numbers: U64) -> list[Any]:
    """Byte planes, lowest first, as far as any number has them: objects of n bytes each."""
    n = len(numbers)
    fast = compiled()
    if fast is not None:
        room = memoryview(bytearray(8 * n))
        used = fast.split(np.ascontiguousarray(numbers), n, room)
        return [room[place * n : (place + 1) * n] for place in range(used)]
    used = (int(numbers.max()).bit_length() + 7) // 8 if n else 0
    planes = numbers.astype("<u8", copy=False).view(np.uint8).reshape(n, 8)[:, :used]
    return [planes[:, place].tobytes() for place in range(used)]


def join(planes: list[Any], n: int) -> U64:
    """The numbers behind `split`, (n,)."""
    if len(planes) > 8:
        raise ValueError("too many byte planes")
    fast = compiled()
    if fast is not None:
        out = np.empty(n, np.uint64)
        fast.join(planes, n, None, False, 8, out)
        return out
    if len(planes) == 1:
        return np.frombuffer(planes[0], np.uint8).astype(np.uint64)
    bytes_ = np.zeros((n, 8), np.uint8)
    for place, plane in enumerate(planes):
        bytes_[:, place] = np.frombuffer(plane, np.uint8)
    return bytes_.view("<u8").reshape(n).astype(np.uint64, copy=False)


def look_up(planes: list[Any], n: int, values: U64 | None, dtype: np.dtype[Any]) -> Array:
    """The numbers behind byte planes, or the values of which they are the places, as numbers of a type, (n,): zigzagged
    ones where it is signed; higher bytes are dropped. Raises ValueError for a place beyond the values.
    """
    fast = compiled()
    if fast is not None and len(planes) <= 8:
        out = np.empty(n, dtype)
        fast.join(planes, n, values, dtype.kind == "i", dtype.itemsize, out)
        return out
    if values is None and len(planes) == 1 and dtype == np.uint8:
        return np.frombuffer(planes[0], np.uint8)
    numbers = join(planes, n)
    if values is not None:
        if n and int(numbers.max()) >= len(values):
            raise ValueError(_BEYOND)
        numbers = values[numbers.view(np.int64)]
    if dtype.kind == "i":
        return unzigzag(numbers).astype(dtype, copy=False)
    return numbers.astype(dtype, copy=False)


def place_of(planes: list[Any], n: int) -> Array:
    """The places behind byte planes, (n,) of some unsigned type: those are less than 2¹⁶, or it raises ValueError."""
    if len(planes) == 1:
        return np.frombuffer(planes[0], np.uint8)
    if len(planes) == 2:
        places = np.frombuffer(planes[1], np.uint8).astype(np.uint16)
        places <<= 8
        places |= np.frombuffer(planes[0], np.uint8)
        return places
    numbers = join(planes, n)
    if n and int(numbers.max()) >> 16:
        raise ValueError(_BEYOND)
    return numbers.astype(np.uint16)


def chosen(table: NDArray[np.bool_], places: Array) -> NDArray[np.bool_]:
    """table[places], (n,); quicker where it is true in a few runs. Raises ValueError for a place beyond it."""
    runs = stretches(table)
    most = int(np.iinfo(places.dtype).max)
    if len(places) and int(places.max()) >= len(table):
        raise ValueError(_BEYOND)
    if len(runs) > _RUNS:
        return table.take(places)
    found = np.zeros(len(places), np.bool_)
    for low, stop in runs.tolist():
        if low <= most:
            found |= places - places.dtype.type(low) <= places.dtype.type(min(stop - 1, most) - low)
    return found


def alike(data: Array) -> bool:
    """Whether all items, of which there is at least one, are the same."""
    fast = compiled()
    if fast is not None and data.flags.c_contiguous:
        return bool(fast.alike(data, data.itemsize))
    return bool((data[0] == data).all())


def code(numbers: U64, most: int) -> Coded | None:
    """A dictionary of at most `most` values; None where there are more."""
    n = len(numbers)
    fast = compiled()
    if fast is not None:
        values, room = np.empty(most, np.uint64), memoryview(bytearray(2 * n))
        count = fast.codes(np.ascontiguousarray(numbers), n, most, values, room)
        used = ((count - 1).bit_length() + 7) // 8
        return None if count < 0 else Coded(values[:count], [room[:n], room[n:]][:used])
    values = distinct(numbers)
    if len(values) > most:
        return None
    places = np.searchsorted(values, numbers)
    if len(values) > OFTEN:
        order, places = _often_first(places)
        values = values[order]
    return Coded(values, split(places.astype(np.uint64)))


def _often_first(places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of more than OFTEN numbers is where when those that are used most come first, and the places then."""
    uses = np.bincount(places)
    rarely = np.ones(len(uses), np.bool_)
    rarely[np.argsort(-uses, kind="stable")[:OFTEN]] = False
    order = np.argsort(rarely, kind="stable")
    ranks = np.empty(len(uses), np.intp)
    ranks[order] = np.arange(len(uses))
    return order, ranks[places]


class Rows(NamedTuple):
    """Distinct rows of columns: for each the number of the last row that is this one, and the places of all rows among
    them as byte planes. They are sorted by the first column, then the next ones; but see `Coded` for those used most.
    """

    one_of: NDArray[np.int32]
    planes: list[Any]


def distinct_rows(columns: list[Array], most: int) -> Rows | None:
    """Of columns of as many rows, at least one, of uint8 or of 64 bits that are taken as unsigned; None where there are
    more than `most`.
    """
    n = len(columns[0])
    fast = compiled()
    one_of = np.empty(most, np.int32)
    if fast is not None:
        room = memoryview(bytearray(2 * n))
        pairs = tuple((np.ascontiguousarray(data), data.dtype.itemsize) for data in columns)
        count = fast.distinct_rows(pairs, n, most, one_of, room)
        used = ((count - 1).bit_length() + 7) // 8
        return None if count < 0 else Rows(one_of[:count], [room[:n], room[n:]][:used])
    rows, limit = np.zeros(n, np.uint64), 1
    for data in columns:
        numbers, size = data, 256
        if data.dtype != np.uint8:
            values = distinct(data.view(np.uint64))
            if len(values) > most:
                return None
            numbers, size = np.searchsorted(values, data.view(np.uint64)), len(values)
        if limit * size > 1 << 64:
            values = distinct(rows)
            rows, limit = np.searchsorted(values, rows).astype(np.uint64), len(values)
        rows = rows * np.uint64(size) + numbers.astype(np.uint64)
        limit *= size
    values = distinct(rows)
    count = len(values)
    if count > most:
        return None
    places = np.searchsorted(values, rows)
    if count > OFTEN:
        places = _often_first(places)[1]
    one_of[places] = np.arange(n)
    return Rows(one_of[:count], split(places.astype(np.uint64)))


def to_differences(values: U64) -> U64:
    """A dictionary as differences from the number before, the first of each part from 0."""
    steps = np.diff(values, prepend=np.uint64(0))
    steps[OFTEN : OFTEN + 1] = values[OFTEN : OFTEN + 1]
    return steps


def from_differences(steps: U64, often: int) -> U64:
    """The inverse of `to_differences`; the first part has so many numbers, 0 where there is but one."""
    values = np.cumsum(steps, dtype=np.uint64)
    if often:
        values[often:] -= values[often - 1]
    return values


def zigzag(numbers: Array) -> U64:
    """Signed → unsigned, small magnitudes small: 0 -1 1 -2 → 0 1 2 3."""
    signed = numbers.astype(np.int64, copy=False)
    return ((signed << 1) ^ (signed >> 63)).view(np.uint64)


def unzigzag(numbers: U64) -> NDArray[np.int64]:
    """Unsigned → signed, the inverse of `zigzag`."""
    return (numbers >> np.uint64(1)).view(np.int64) ^ -(numbers & np.uint64(1)).view(np.int64)


def to_steps(times: NDArray[np.int64]) -> Steps:
    """Differences of n > 0 times in the coarsest unit that is exact."""
    fast = compiled()
    if fast is not None:
        n = len(times)
        room, large = bytearray(n), np.empty(n + 1, np.int64)
        first, unit, many = fast.steps(np.ascontiguousarray(times), n, room, large)
        return Steps(first, unit, room, large[:many])
    unit = next(unit for unit in UNITS if not (times % unit).any())
    ticks = times // unit
    steps = np.diff(ticks, prepend=ticks[:1])
    small = (steps >= 0) & (steps < ESCAPE)
    return Steps(int(ticks[0]), unit, np.where(small, steps, ESCAPE).astype(np.uint8).tobytes(), steps[~small])


def from_steps(steps: Steps, rows: NDArray[np.intp] | None = None) -> NDArray[np.int64]:
    """The inverse of `to_steps`, of all times or those at some rows, ascending; modulo 2⁶⁴ where what it was given is
    no such thing.
    """
    n = len(steps.small)
    fast = compiled()
    if fast is not None:
        out = np.empty(n, np.int64)
        fast.sum_steps(steps.small, n, steps.large, len(steps.large), steps.first, steps.unit, out)
        return out if rows is None else out[rows]
    small = np.frombuffer(steps.small, np.uint8)
    escaped = flatnonzero(small == ESCAPE)
    if rows is None:
        found = small.astype(np.int64)
        found[escaped] = steps.large
        passed = found.cumsum()
    elif len(rows):
        # What lies between the rows is summed up as bytes.
        starts = np.concatenate(([0], rows[:-1] + 1))
        passed = np.add.reduceat(small[: rows[-1] + 1], starts, dtype=np.int64).cumsum()
        beyond = np.concatenate(([0], (steps.large - ESCAPE).cumsum()))
        passed += beyond[np.searchsorted(escaped, rows, "right")]
    else:
        passed = np.zeros(0, np.int64)
    return (passed + np.int64(steps.first)) * np.int64(steps.unit)


def ascending(steps: Steps) -> tuple[int, int] | None:
    """The first time and the last, where none is less than the one before; None where that takes more to know."""
    small = np.frombuffer(steps.small, np.uint8)
    least = int(steps.large.min(initial=0))
    if not len(small) or least < 0 or int(steps.large.max(initial=0)) >> _SUMMABLE or steps.unit < 1:
        return None
    at_once = int(steps.large[0]) if small[0] == ESCAPE else int(small[0])
    passed = int(small.sum(dtype=np.int64)) + int(steps.large.sum()) - ESCAPE * len(steps.large)
    first, last = ((steps.first + ticks) * steps.unit for ticks in (at_once, passed))
    return (first, last) if first >= -1 << 63 and last < 1 << 63 else None


#: Where the compiled engine puts what it made of a column.
_room = memoryview(b"")


def pack_column(column: Column, what: What) -> Packed:
    """The rows that have a column, of times as int64, of kinds as uint8, of addresses as unsigned numbers."""
    global _room
    fast = compiled()
    data, present = column
    if fast is None:
        return _packed(data if present is None else data[present], what)
    n, signed = len(data), data.dtype.kind == "i"
    part = 8 * (n + 1)
    if len(_room) < 4 * part:
        _room = memoryview(bytearray(4 * part))
    found = fast.pack_column(
        np.ascontiguousarray(data),
        n,
        data.dtype.itemsize,
        signed,
        None if present is None else np.ascontiguousarray(present),
        what,
        _room,
    )
    encoding, rows, low, high, planes, words, word_planes, first, unit, negative, members = found
    return Packed(
        encoding,
        rows,
        low,
        high,
        [_room[at : at + rows] for at in range(0, planes * rows, rows)] if planes else [],
        words,
        [_room[at : at + words] for at in range(2 * part, 2 * part + word_planes * words, words)] if words else [],
        first,
        unit,
        bool(negative),
        members,
    )


def _packed(data: Array, what: What) -> Packed:
    """The same by numpy."""
    rows = len(data)
    if not rows:
        return Packed(CONSTANT, 0)
    constant = alike(data)
    members = bytes(32)
    if what == What.KINDS:
        there = np.zeros(256, np.bool_)
        there[data] = True
        members = np.packbits(there, bitorder="little").tobytes()
    if what == What.ADDRESSES:
        coded = code(data.astype(np.uint64, copy=False), rows)
        assert coded is not None, "there are no more addresses than rows"
        low, high = int(data.min()), int(data.max())
        steps = split(to_differences(coded.values))
        encoding = CONSTANT if constant else ADDRESS
        return Packed(encoding, rows, low, high, coded.planes, len(coded.values), steps)
    if constant:
        return Packed(CONSTANT, rows, int(data[0]), int(data[0]), members=members)
    if what == What.TIMES:
        first, unit, small, large = to_steps(data)
        negative = bool((large < 0).any())
        escaped = split(zigzag(large) if negative else large.view(np.uint64))
        low, high = int(data.min()), int(data.max())
        return Packed(DELTA, rows, low, high, [small], len(large), escaped, first, unit, negative)
    numbers = zigzag(data) if data.dtype.kind == "i" else data.astype(np.uint64, copy=False)
    if what == What.ANY and int(numbers.max()) > 255:
        coded = code(numbers, rows // 4)
        if coded is not None:
            values = coded.values
            return Packed(DICTIONARY, rows, 0, 0, coded.planes, len(values), split(values))
    return Packed(PLAIN, rows, 0, 0, split(numbers), members=members)
