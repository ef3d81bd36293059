"""The extras of a native block: what is rare, by row and name, as one compressed msgpack map.

The writer and the reader hold well-known names to the same types: what is read may be relied on, and what does not
fit is named when it is written, not when it is read.
"""

from __future__ import annotations

from mmiotools.formats.extras import COLUMNS, EXTRA_TYPES, USUAL_TYPES, extra_fits
from mmiotools.formats.native_layout import MAX_OBJECTS, pack, unpack
from mmiotools.formats.native_zstd import Corrupt, expand, squeeze
from mmiotools.typed import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from collections import Counter

Extras = dict[int, dict[str, Any]]

#: Most bytes that a block's extras may unpack to.
MAX_EXTRAS = 1 << 26
#: What each object of the extras weighs beside its own bytes; see `weight`.
_OBJECT = 9

_UNPACKABLE = (ValueError, TypeError, OverflowError, RecursionError)
_KNOWN = EXTRA_TYPES.keys() | COLUMNS
_SCALARS = {int, str, bytes, bool, type(None)}


def encode(extras: Extras) -> tuple[bytes, Counter[str]]:
    """The payload of the extras column, and how often what could not be stored."""
    from collections import Counter  # takes a while, and who reads does without

    lost: Counter[str] = Counter()
    fitting: Extras = {}
    checked: set[int] = set()  # rows may share their extras
    objects, flat = len(extras) + 1, True
    for row, extra in extras.items():
        if id(extra) not in checked:
            if _well_formed(extra):
                checked.add(id(extra))
            else:
                extra = _without_misfits(extra, lost)
            flat = flat and _SCALARS.issuperset(map(type, extra.values()))
        objects += len(extra) + 1
        fitting[row] = extra
    try:
        packed = pack(fitting)
        # msgpack packs what it will not unpack: too many objects, or nested too deep.
        if not flat or objects > MAX_OBJECTS:
            unpack(packed)
    except _UNPACKABLE:
        packed = pack({row: _packable(extra, lost) for row, extra in fitting.items()})
    return squeeze(packed), lost


def _well_formed(extra: Mapping[str, Any]) -> bool:
    for name, item in extra.items():
        usual = type(item) is USUAL_TYPES.get(name) if name in _KNOWN else type(name) is str
        if not usual and not extra_fits(name, item):
            return False
    return True


def _without_misfits(extra: Mapping[str, Any], lost: Counter[str]) -> dict[str, Any]:
    for name, item in extra.items():
        if not extra_fits(name, item):
            lost[f"'{name}' of an unusual type"] += 1
    return {name: item for name, item in extra.items() if extra_fits(name, item)}


def _packable(extra: Mapping[str, Any], lost: Counter[str]) -> dict[str, Any]:
    kept = {}
    for name, item in extra.items():
        if not packable({0: {name: item}}):
            lost[f"'{name}' that is too large, nested too deep or of no type of msgpack"] += 1
        else:
            kept[name] = item
    return kept


def packable(content: Any) -> bool:
    """Whether a reader gets back what it is: msgpack has the types, and neither too many objects nor too deep ones."""
    try:
        unpack(pack(content))
    except _UNPACKABLE:
        return False
    return True


def decode(payload: bytes, n: int) -> Extras:
    """The extras of a block of n events. Raises Corrupt."""
    content = unpack(expand(payload, MAX_EXTRAS, exact=False))
    if not isinstance(content, dict):
        raise Corrupt("is no map")
    for row, extra in content.items():
        if type(row) is not int or not 0 <= row < n or not isinstance(extra, dict):
            raise Corrupt("names a row that is none")
        for name, item in extra.items():
            if type(item) is not USUAL_TYPES.get(name) and not extra_fits(name, item):
                raise Corrupt(f"{name!r} has the wrong type")
    return content


def weight(extras: Extras) -> int:
    """About how many bytes the extras are; never less than 9 an object, so that it bounds their number too."""
    known: dict[int, int] = {}  # rows may share their extras
    total = 0
    for extra in extras.values():
        of_one = known.get(id(extra))
        if of_one is None:
            of_one = known[id(extra)] = _of_one(extra)
        total += of_one
    return total


def _of_one(extra: Mapping[str, Any]) -> int:
    total = _OBJECT * (1 + 2 * len(extra))
    for name, item in extra.items():
        kind = type(item)
        total += len(name) if type(name) is str else 0
        if kind is str or kind is bytes:
            total += len(item)
        elif kind is not int and kind is not bool:
            total += _weight(item) - _OBJECT
    return total


def _weight(item: Any) -> int:
    total = 0
    pending = [item]
    while pending:
        item = pending.pop()
        total += _OBJECT
        if isinstance(item, bytes | str):
            total += len(item)
        elif isinstance(item, Mapping):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
    return total
