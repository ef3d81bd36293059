"""Columns of accesses in a file that two processes have open: where each is. `sharing` has them as arrays."""

from __future__ import annotations

from mmiotools.typed import Any, NamedTuple

#: Each column has a TiB of the file, so that it can grow where it is. What nobody writes to takes no memory.
APART = 1 << 40


class Place(NamedTuple):
    """A column of `length` numbers of a type of numpy's, from byte `at` of the file on."""

    dtype: str
    at: int
    length: int


class Same(NamedTuple):
    """A column in which every row has the same."""

    dtype: str
    value: Any


class Description(NamedTuple):
    """What `sharing.map_accesses` makes accesses of: the number of rows, and the fields of `Accesses`, columns as
    Places and Sames; and the row that each access is, where several may be one.
    """

    length: int
    fields: dict[str, Any]
    codes: Place | None = None
