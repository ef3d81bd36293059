"""Columns of accesses in a file that two processes have open: where each is. `sharing` has them as arrays."""

from __future__ import annotations

import marshal

from mmiotools.trace.address_space import Region
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.typed import Any, NamedTuple, Self

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

    def packed(self) -> bytes:
        """It as bytes. Raises ValueError for fields that consist of more than there is a way to say: see _SAID."""
        return marshal.dumps(_told(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Self:
        """What another process of this program has packed."""
        found: Self = _held(marshal.loads(packed))
        return found


#: The classes of tuples of which a description consists, beside what `marshal` knows: importing `pickle` takes as long
#: as reading some hundred thousand accesses.
_SAID = (tuple, Description, Place, Same, Region, PciDevice, Bar)


def _told(item: Any) -> Any:
    """Without classes: a tuple begins with the number of its class."""
    if isinstance(item, tuple):
        return (_SAID.index(type(item)), *map(_told, item))
    if isinstance(item, dict):
        return {key: _told(value) for key, value in item.items()}
    if isinstance(item, list):
        return [*map(_told, item)]
    if item is not None and type(item) not in (int, bool, str, bytes):
        # Of what else there is, marshal would take some for something else.
        raise ValueError(f"no way to say {item!r}")
    return item


def _held(told: Any) -> Any:
    """The inverse of `_told`."""
    if isinstance(told, tuple):
        return tuple.__new__(_SAID[told[0]], map(_held, told[1:]))
    if isinstance(told, dict):
        return {key: _held(value) for key, value in told.items()}
    return [*map(_held, told)] if isinstance(told, list) else told
