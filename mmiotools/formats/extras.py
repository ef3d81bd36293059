"""What the well-known extras of events must be. Every reader holds to this, so that all else may rely on it."""

from __future__ import annotations

from mmiotools.typed import Any

_NUMBER_OR_NONE = (int, type(None))
EXTRA_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("text", "raw", "opcode", "config"), bytes),
    **dict.fromkeys(("reason", "driver", "format"), str),
    **dict.fromkeys(("events", "line", "offset", "value"), int),
    **dict.fromkeys(("count", "virt", "length"), _NUMBER_OR_NONE),
    **dict.fromkeys(("bdf", "vendor", "device", "irq", "vector", "level"), int),
    "version": (str, int),
    "damaged": bool,
    "meta": dict,
    "bars": list,
}
#: What most are, as far as it needs no look at what is in them.
USUAL_TYPES = {name: kind if isinstance(kind, type) else int for name, kind in EXTRA_TYPES.items() if kind is not list}


#: What has an extra's name and is a column.
COLUMNS = frozenset({"eol", "region", "mr"})


def extra_fits(name: object, item: Any) -> bool:
    """Whether an extra of this name may be this; names that are not well-known may be anything."""
    if not isinstance(name, str):
        return False
    wanted = EXTRA_TYPES.get(name)
    if wanted is not None and not isinstance(item, wanted):
        return False
    if name == "bars":
        return all(isinstance(bar, dict) and all(type(number) is int for number in bar.values()) for bar in item)
    return name not in COLUMNS
