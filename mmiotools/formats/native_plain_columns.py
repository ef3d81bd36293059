"""The columns of a native block in plain Python: decoded as they are asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, compress

from mmiotools.formats.native_body import address_list
from mmiotools.formats.native_layout import (
    ADDRESS,
    CONSTANT,
    DELTA,
    DICTIONARY,
    ESCAPE,
    MSGPACK,
    PLACES,
    PLAIN,
    SHARED,
    unpack,
)
from mmiotools.formats.native_stored import BITS
from mmiotools.formats.native_table import little_endian, running_sums
from mmiotools.formats.native_zstd import Corrupt, expand, expand_planes
from mmiotools.small import array
from mmiotools.trace.ranges import lies_in
from mmiotools.typed import Any, Iterable, Sequence

_BYTES = bytes(range(256))
#: Planes of codes: there are no more rows than they tell apart.
_MOST_PLANES = 2


def joined(planes: list[bytes], n: int) -> array[int]:
    """The n numbers behind byte planes, "Q". Raises Corrupt."""
    if len(planes) > 8:
        raise Corrupt("too many byte planes")
    words = bytearray(8 * n)
    for place, plane in enumerate(planes):
        words[place::8] = plane
    return little_endian(words)


def both(first: bytes, second: bytes) -> bytes:
    """Where bytes that are 0 or 1 are 1 in both of two rows of them, of one length."""
    return (int.from_bytes(first, "little") & int.from_bytes(second, "little")).to_bytes(len(first), "little")


def either(first: bytes, second: bytes) -> bytes:
    """Where they are 1 in one of them."""
    return (int.from_bytes(first, "little") | int.from_bytes(second, "little")).to_bytes(len(first), "little")


class Presence:
    """Which rows of a block have a column, and how many, `count`.

    flags  a byte for each, 1 or 0
    """

    def __init__(self, packed: bytes, n: int) -> None:
        bits = int.from_bytes(expand(packed, (n + 7) // 8), "little") & (1 << n) - 1
        self.flags = f"{bits:0{n}b}".encode()[::-1].translate(bytes(byte & 1 for byte in _BYTES))
        self.count = self.flags.count(1)
        if not self.count:
            raise Corrupt("a column that no row has")
        self._ranks: list[int] | None = None

    @property
    def ranks(self) -> list[int]:
        """How many rows before each one, it included, have it, less 1."""
        if self._ranks is None:
            self._ranks = [many - 1 for many in accumulate(self.flags)]
        return self._ranks


class Coded:
    """A column of n rows with few numbers: `table` has them, and a row's code says which.

    planes   byte planes of the codes of all rows, which are all less than the table is long; none where all have the
             first number
    present  the rows that have it; None where all do
    """

    def __init__(self, n: int, table: Sequence[int], planes: list[bytes], present: Presence | None) -> None:
        self.n, self.table, self.planes, self.present = n, table, planes, present
        self.ascends = not planes

    def held(self, rows: Sequence[int]) -> list[int]:
        """The numbers of some rows, which have one."""
        table = self.table
        return [table[code] for code in codes_at(self.planes, rows)]

    def where(self, ranges: Sequence[Any]) -> bytes:
        """The rows that have it and whose number is in ranges, as `lies_in` takes them, a byte for each, 1 or 0."""
        known = {number: lies_in(number, *ranges) for number in set(self.table)}
        found = flags_of(bytes([known[number] for number in self.table]), self.planes, self.n)
        return found if self.present is None else both(found, self.present.flags)


class Listed:
    """A column of n rows with a number for each of them that has it, times `unit`, and whether they ascend."""

    def __init__(
        self, n: int, numbers: Sequence[int], unit: int, ascends: bool, present: Presence | None
    ) -> None:
        self.n, self.numbers, self.unit, self.ascends, self.present = n, numbers, unit, ascends, present

    def held(self, rows: Sequence[int]) -> list[int]:
        """See Coded."""
        numbers, unit = self.numbers, self.unit
        if self.present is not None:
            ranks = self.present.ranks
            rows = [ranks[row] for row in rows]
        return [numbers[row] * unit for row in rows]

    def where(self, ranges: Sequence[Any]) -> bytes:
        """See Coded."""
        unit = self.unit
        found = bytes([lies_in(number * unit, *ranges) for number in self.numbers])
        if self.present is None:
            return found
        return both(bytes([found[rank] for rank in self.present.ranks]), self.present.flags)


Stored = Coded | Listed


def taken(column: Stored | None, rows: Sequence[int]) -> list[int | None]:
    """The numbers of some rows; None where one has none."""
    if column is None:
        return [None] * len(rows)
    if column.present is None:
        return [*column.held(rows)]
    flags = column.present.flags
    held = iter(column.held([row for row in rows if flags[row]]))
    return [next(held) if flags[row] else None for row in rows]


def codes_at(planes: list[bytes], rows: Sequence[int]) -> Sequence[int]:
    """The codes of some rows."""
    if not planes:
        return bytes(len(rows))
    if len(planes) == 1:
        return [planes[0][row] for row in rows]
    low, high = planes
    return [low[row] | high[row] << 8 for row in rows]


def flags_of(table: bytes, planes: list[bytes], n: int) -> bytes:
    """The byte of a table, 0 or 1, at the code of each of n rows."""
    if 0 not in table:
        return b"\1" * n
    if not planes:
        return table[:1] * n
    if len(planes) == 1:
        return planes[0].translate(table[:256].ljust(256, b"\0"))
    low, high = planes
    found = bytes(n)
    for top in range(0, len(table), 256):
        part = table[top : top + 256]
        if 1 in part:
            of_low = low.translate(part.ljust(256, b"\0"))
            of_high = high.translate(bytes(byte == top >> 8 for byte in _BYTES))
            found = either(found, both(of_low, of_high))
    return found


def _check(planes: list[bytes], size: int) -> None:
    """Raises Corrupt where a code is not less than `size`."""
    if len(planes) > _MOST_PLANES or size < 1:
        raise Corrupt("an impossible dictionary")
    # Of the plane that tells most, the bytes that are too great, and those that are only where the other one is.
    most, rest = divmod(size - 1, 256) if len(planes) == 2 else (size - 1, 255)
    beyond = bool(planes) and bool(planes[-1].translate(None, _BYTES[: most + 1]))
    if len(planes) == 2 and rest < 255 and not beyond:
        low, high = planes
        above, at_top = bytes(byte > rest for byte in _BYTES), bytes(byte == most for byte in _BYTES)
        beyond = 1 in both(low.translate(above), high.translate(at_top))
    if beyond:
        raise Corrupt("a code is beyond its dictionary")


class Columns:
    """The columns of a block of n events, by its head and its payloads. Times are multiples of `unit` nanoseconds."""

    def __init__(self, n: int, unit: int, head: dict[str, Any], payloads: dict[Any, bytes]) -> None:
        self._n, self._unit, self._head, self._payloads = n, unit, head, payloads
        self._directory: dict[Any, Any] = head["columns"]
        for entry in self._directory.values():
            _look_at(entry, n, len(head.get("present", ())))
        self._listing = [name for name, entry in self._directory.items() if entry[0] == PLACES]
        if len(self._listing) > 1:
            raise Corrupt("several lists of distinct rows")
        self._presence: dict[int, Presence] = {}
        self._words: array[int] | None = None
        self._places: list[bytes] | None = None
        self._rows = 0
        self._found: dict[str, Stored | None] = {}

    def names(self) -> list[Any]:
        """Their names."""
        return [name for name, entry in self._directory.items() if entry[0] != PLACES]

    def addresses(self) -> array[int] | None:
        """The distinct addresses in the order of their places; None where there is no list of them."""
        if self._words is None and (listed := address_list(self._head, self._n)) is not None:
            size, planes, often = listed
            steps = joined(expand_planes(planes, size), size)
            self._words = running_sums(steps[:often]) + running_sums(steps[often:])
        return self._words

    def places(self) -> list[bytes]:
        """Byte planes of the places of all events among the distinct rows."""
        if self._places is None:
            (name,) = self._listing
            size = self._directory[name][4]
            planes = expand_planes(unpack(self._payloads[name])["v"], self._n)
            _check(planes, size)
            self._places, self._rows = planes, size
        return self._places

    def get(self, name: str) -> Stored | None:
        """The column of a name; None where there is none."""
        if name not in self._found:
            self._found[name] = self._decoded(name) if name in self._directory else None
        return self._found[name]

    def _decoded(self, name: str) -> Stored:
        encoding, bits, _, _, parameter, *bitmap = self._directory[name]
        if bits != BITS[name]:
            raise Corrupt("another type")
        # Addresses that cannot be are told, whoever needs them.
        self.addresses()
        present = self._present(bitmap[0]) if bitmap else None
        count = self._n if present is None else present.count
        payload = self._payloads[name]
        if encoding == CONSTANT:
            if payload or (name == "time" and parameter % self._unit):
                raise Corrupt("its value is none")
            return Coded(self._n, _of_type([parameter], bits), [], present)
        parts = unpack(payload)
        if name == "time":
            if encoding != DELTA:
                raise Corrupt("times in an unusual encoding")
            return Listed(self._n, *_times(parts, parameter, count, self._unit), present)
        if encoding != SHARED:
            table, planes = self._numbers(encoding, parts, count, bits)
            if planes is None:
                return Listed(self._n, table, 1, False, present)
            _check(planes, len(table))
            if present is not None:
                planes = [bytes([plane[rank] for rank in present.ranks]) for plane in planes]
            return Coded(self._n, table, planes, present)
        places = self.places()
        table, planes = self._numbers(parameter, parts, self._rows, bits)
        if planes is not None:
            _check(planes, len(table))
            table = [table[code] for code in codes_at(planes, range(self._rows))]
        return Coded(self._n, table, places, present)

    def _present(self, number: int) -> Presence:
        found = self._presence.get(number)
        if found is None:
            found = self._presence[number] = Presence(self._head["present"][number], self._n)
        return found

    def _numbers(self, encoding: Any, parts: Any, n: int, bits: int) -> tuple[Sequence[int], list[bytes] | None]:
        """A table of numbers, and byte planes of the codes of n of them; None where these are the table."""
        planes = expand_planes(parts["v"], n)
        if encoding == ADDRESS and bits == 64:
            words = self.addresses()
            if words is None or len(parts) != 1:
                raise Corrupt("the address dictionary is missing")
            return words, planes
        if encoding == DICTIONARY:
            size, packed = parts["k"]
            if type(size) is not int or not 0 < size <= n or len(parts) != 2:
                raise Corrupt("its dictionary has an impossible size")
            return _typed(joined(expand_planes(packed, size), size), bits), planes
        if encoding != PLAIN or len(parts) != 1:
            raise Corrupt("another encoding")
        if len(planes) > 1:
            return _typed(joined(planes, n), bits), None
        return _typed(range(256) if planes else [0], bits), planes


def _look_at(entry: Any, n: int, bitmaps: int) -> None:
    """Raises Corrupt where an entry of a directory is none of a column that is read here, whoever asks for it."""
    encoding, bits, _, _, parameter, *bitmap = entry
    if encoding == CONSTANT:
        fits = type(parameter) is int
    elif encoding == DELTA:
        first, unit = parameter
        fits = type(first) is type(unit) is int and -1 << 63 <= first < 1 << 63 and 1 <= unit < 1 << 63
    elif encoding == SHARED:
        fits = parameter in (PLAIN, DICTIONARY, ADDRESS)
    elif encoding == PLACES:
        fits = type(parameter) is int and 0 < parameter <= n and not bitmap
    else:
        fits = encoding in (PLAIN, DICTIONARY, ADDRESS, MSGPACK) and parameter is None
    if not fits or type(encoding) is not int or type(bits) is not int or len(bitmap) > 1:
        raise Corrupt("another encoding")
    if bitmap and (type(bitmap[0]) is not int or not 0 <= bitmap[0] < bitmaps):
        raise Corrupt("no such bitmap")


def _unzigzagged(numbers: Iterable[int]) -> list[int]:
    return [number >> 1 ^ -(number & 1) for number in numbers]


def _typed(numbers: Sequence[int], bits: int) -> Sequence[int]:
    """Stored numbers as those of a type."""
    if bits == 64 or (bits > 0 and isinstance(numbers, range)):
        return numbers
    return _of_type(_unzigzagged(numbers) if bits < 0 else numbers, bits)


def _of_type(numbers: Sequence[int], bits: int) -> Sequence[int]:
    low, high = (0, (1 << bits) - 1) if bits > 0 else (-1 << -bits - 1, (1 << -bits - 1) - 1)
    if min(numbers) < low or max(numbers) > high:
        raise Corrupt("a number that is not of its type")
    return numbers


def _times(parts: Any, parameter: Any, count: int, multiple_of: int) -> tuple[list[int], int, bool]:
    """Times as numbers of a unit, that, and whether they ascend."""
    first, unit = parameter
    if unit % multiple_of:
        raise Corrupt("its times are too exact")
    small = expand(parts["v"], count)
    steps: Iterable[int] = small
    many, signed = small.count(ESCAPE), "z" in parts
    if len(parts) != (2 if many else 1):
        raise Corrupt("other steps of time")
    if many:
        words = joined(expand_planes(parts["z" if signed else "x"], many), many)
        large = iter(_unzigzagged(words) if signed else words)
        steps = [step if step != ESCAPE else next(large) for step in small]
    found = list(accumulate(steps, initial=first))
    del found[0]
    ends = (min(found), max(found)) if signed else (found[0], found[-1])
    _of_type([number * unit for number in ends], -64)
    return found, unit, not signed


def inside(column: Stored, low: int, high: int, timed: bytes | None, before: bool) -> bytes:
    """Which rows lie in a range of times, a byte each, 1 or 0; those without a time go with the row before them.

    timed   the rows whose times count, as bytes; None: all that have one
    before  whether the first rows without one are inside
    """
    n = column.n
    flags = timed if column.present is None else column.present.flags
    if timed is not None and column.present is not None:
        flags = both(timed, column.present.flags)
    rows: Sequence[int] = range(n) if flags is None else list(compress(range(n), flags))
    if not rows:
        return bytes([before]) * n
    if flags is None and isinstance(column, Listed):
        numbers, least, most = column.numbers, -(-low // column.unit), high // column.unit
    else:
        numbers, least, most = column.held(rows), low, high
    found = bytearray(n)
    found[: rows[0]] = bytes([before]) * rows[0]
    if column.ascends:
        start, stop = bisect_left(numbers, least), bisect_right(numbers, most)
        at, end = ([*rows[place : place + 1], n][0] for place in (start, stop))
        found[at:end] = b"\1" * (end - at)
        return bytes(found)
    for row, end, number in zip(rows, [*rows[1:], n], numbers, strict=True):
        found[row:end] = bytes([least <= number <= most]) * (end - row)
    return bytes(found)
