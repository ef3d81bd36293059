"""A column of a native block as it is stored: decoded as far as somebody asks."""

from __future__ import annotations

import numpy as np

from mmiotools.formats.native_columns import Presence, unpack_planes
from mmiotools.formats.native_layout import ADDRESS, CONSTANT, DELTA, DICTIONARY, ESCAPE, PLAIN, unpack
from mmiotools.formats.native_planes import (
    U64,
    Array,
    Steps,
    ascending,
    chosen,
    from_steps,
    look_up,
    place_of,
    unzigzag,
)
from mmiotools.formats.native_zstd import Corrupt, expand, expand_planes
from mmiotools.trace.batch import BoolArray, Column
from mmiotools.typed import Any, Callable, NDArray

#: What a payload that checks out may still raise when it says nonsense.
_NONSENSE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
_KNOWN = (CONSTANT, PLAIN, DICTIONARY, ADDRESS, DELTA)


class StoredColumn:
    """A column of a block of n events, by its directory entry and its payload, which is what that says.

    All that it does may raise Corrupt.

    known  whether its encoding is; else nothing may be asked of it
    dtype  its type; one that is none is told when it is decoded
    """

    def __init__(self, entry: Any, payload: bytes, n: int, addresses: U64 | None, presence: Presence) -> None:
        encoding, bits, _, _, parameter, *bitmap = entry
        self.known = encoding in _KNOWN
        self._encoding, self._parameter, self._payload = encoding, parameter, payload
        self._n = self._count = n
        self._addresses, self._presence = addresses, presence
        self._bitmap = bitmap[0] if bitmap else None
        self._present: BoolArray | None = None
        self._parts: dict[str, Any] | None = None
        self._planes: list[Any] | None = None
        self._held: U64 | None = None
        self._kept: Steps | None = None
        self._whole: Column | None = None
        if not self.known:
            return
        try:
            self.dtype: np.dtype[Any] = np.dtype(f"{'i' if bits < 0 else 'u'}{abs(bits) // 8}")
            if bitmap:
                self._present, self._count = presence.get(self._bitmap, n)
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error

    def column(self) -> Column:
        """All rows."""
        if self._whole is None:
            values = self._decoded(None)
            self._whole = Column(values)
            if self._present is not None:
                data = np.zeros(self._n, self.dtype)
                data[self._present] = values
                self._whole = Column(data, self._present)
        return self._whole

    def take(self, rows: NDArray[np.intp]) -> Column | None:
        """Some rows, (m,) ascending; None where none of them has it."""
        present = None if self._present is None else self._present[rows]
        if present is not None and present.all():
            present = None
        elif present is not None and not present.any():
            return None
        if self._whole is not None or 2 * len(rows) > self._n:
            return Column(self.column().data[rows], present)
        at = rows if present is None else rows[present]
        if self._present is not None:
            at = self._presence.places(self._bitmap, at)
        values = self._decoded(at)
        if present is None:
            return Column(values)
        data = np.zeros(len(rows), self.dtype)
        data[present] = values
        return Column(data, present)

    @property
    def present(self) -> BoolArray:
        """The rows that have it, (n,)."""
        return np.ones(self._n, np.bool_) if self._present is None else self._present

    def where(self, test: Callable[[Array], BoolArray]) -> BoolArray:
        """The rows that have it and whose number passes a test, (n,); the test is asked about numbers, (m,), once for
        each that is in the column where these are known.
        """
        values = None if self._whole is not None else self._dictionary()
        if values is None:
            found = test(self.column().data)
            return found if self._present is None else found & self._present
        table = test(values)
        if not table.any():
            return np.zeros(self._n, np.bool_)
        if table.all():
            return self.present.copy()
        try:
            found = chosen(table, place_of(self._places(), self._count))
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error
        if self._present is None:
            return found
        everywhere = np.zeros(self._n, np.bool_)
        everywhere[self._present] = found
        return everywhere

    def held(self) -> Array:
        """The numbers of the rows that have it, (m,)."""
        return self._decoded(None)

    def has_all_but(self, rows: NDArray[np.intp]) -> bool:
        """Whether only some of these rows, which are distinct, lack it."""
        return self._present is None or len(rows) - np.count_nonzero(self._present[rows]) == self._n - self._count

    def borders(self) -> tuple[int, int]:
        """The first row that has it, and the last; there is one."""
        if self._present is None:
            return 0, self._n - 1
        return int(self._present.argmax()), self._n - 1 - int(self._present[::-1].argmax())

    def by_row(self, count: int) -> Array | None:
        """Its numbers for the `count` distinct rows of the block, (count,); None where it has more than these."""
        return self._decoded(np.zeros(count, np.intp)) if self._encoding == CONSTANT else None

    def span(self) -> tuple[int, int, int, int] | None:
        """The first number, the last, the least and the greatest; None where no row has it."""
        try:
            ends = ascending(self._steps()) if self._encoding == DELTA and self.dtype == np.int64 else None
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error
        if ends is not None:
            return *ends, *ends
        held = self.held()
        return (int(held[0]), int(held[-1]), int(held.min()), int(held.max())) if len(held) else None

    def numbers_at(self, places: Array) -> Array:
        """Numbers of a column that all rows have, but no times: those at some places, in any order."""
        if self._whole is not None or 2 * len(places) > self._n:
            return self.column().data[places]
        return self._decoded(places)

    def coded(self) -> tuple[Array, Array]:
        """Distinct numbers, those of the column and perhaps more; and the places there of those that it holds, (m,)."""
        values = self._dictionary()
        if values is None:
            return np.unique(self.held(), return_inverse=True)
        if self._encoding == CONSTANT:
            return values, np.zeros(self._count, np.uint8)
        try:
            places = place_of(self._places(), self._count)
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error
        if len(places) and int(places.max()) >= len(values):
            raise Corrupt("a code is beyond its dictionary")
        return values, places

    def _dictionary(self) -> Array | None:
        """The distinct numbers of the column, or more; None where they are not known."""
        if self._encoding == CONSTANT:
            return self._decoded(np.zeros(1, np.intp))
        if self._encoding == ADDRESS and self.dtype == np.uint64:
            return self._addresses
        try:
            values = None
            if self._encoding == DICTIONARY:
                values = self._values()
            elif self._encoding == PLAIN and len(self._places()) <= 1:
                values = np.arange(256, dtype=np.uint64)
            if values is not None:
                return (unzigzag(values) if self.dtype.kind == "i" else values).astype(self.dtype, copy=False)
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error
        return None

    # -- payload ------------------------------------------------------------------------------------------

    def _unpacked(self) -> dict[str, Any]:
        if self._parts is None:
            self._parts = unpack(self._payload) if self._payload else {}
        return self._parts

    def _places(self) -> list[Any]:
        if self._planes is None:
            self._planes = expand_planes(self._unpacked()["v"], self._count)
        return self._planes

    def _values(self) -> U64:
        if self._encoding == ADDRESS:
            if self._addresses is None:
                raise Corrupt("the address dictionary is missing")
            return self._addresses
        if self._held is None:
            size, packed = self._sized()
            self._held = unpack_planes(packed, size)
        return self._held

    def _decoded(self, at: NDArray[np.intp] | None) -> Array:
        """The numbers at some places of those that the payload holds, or all."""
        try:
            if self._encoding == CONSTANT:
                if type(self._parameter) is not int:
                    raise Corrupt("its value is no integer")
                return np.full(self._count if at is None else len(at), self._parameter, self.dtype)
            if self._encoding == DELTA:
                return self._times(at)
            planes, many = self._places(), self._count
            if at is not None:
                planes, many = [np.frombuffer(plane, np.uint8)[at] for plane in planes], len(at)
            if self._encoding == DICTIONARY and self._held is None and at is not None:
                return self._looked_up(planes, many)
            values = None if self._encoding == PLAIN else self._values()
            if self._encoding == ADDRESS:
                # Addresses are stored as they are, also where the type is signed.
                return look_up(planes, many, values, np.dtype(np.uint64)).astype(self.dtype, copy=False)
            return look_up(planes, many, values, self.dtype)
        except _NONSENSE as error:
            raise Corrupt(str(error)) from error

    def _looked_up(self, planes: list[Any], n: int) -> Array:
        """The numbers of a dictionary at n places, and of no others where it has more."""
        size, packed = self._sized()
        if n >= size:
            return look_up(planes, n, self._values(), self.dtype)
        places = place_of(planes, n)
        if n and int(places.max()) >= size:
            raise Corrupt("a code is beyond its dictionary")
        words = [np.frombuffer(plane, np.uint8)[places] for plane in expand_planes(packed, size)]
        return look_up(words, n, None, self.dtype)

    def _sized(self) -> tuple[int, Any]:
        """How many numbers a dictionary has, and its planes."""
        size, packed = self._unpacked()["k"]
        if type(size) is not int or not 0 < size <= max(self._count, 1):
            raise Corrupt("its dictionary has an impossible size")
        return size, packed

    def _times(self, at: NDArray[np.intp] | None) -> Array:
        return from_steps(self._steps(), at).astype(self.dtype, copy=False)

    def _steps(self) -> Steps:
        if self._kept is not None:
            return self._kept
        first, unit = self._parameter
        if not all(type(number) is int and -1 << 63 <= number < 1 << 63 for number in (first, unit)):
            raise Corrupt("its times begin nowhere")
        parts = self._unpacked()
        small = expand(parts["v"], self._count)
        large = np.zeros(0, np.int64)
        escaped = int(np.count_nonzero(np.frombuffer(small, np.uint8) == ESCAPE))
        if escaped:
            large = (
                unpack_planes(parts["x"], escaped).view(np.int64)
                if "x" in parts
                else unzigzag(unpack_planes(parts["z"], escaped))
            )
        self._kept = Steps(first, unit, small, large)
        return self._kept
