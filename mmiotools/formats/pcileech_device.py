"""A device as PCILeechGen describes it → a DEVICE event, with its BARs and configuration space."""

from __future__ import annotations

from mmiotools.events import Event, Kind
from mmiotools.typed import Any

#: Type of a BAR → its low bits in a configuration space.
_TYPES = {"io": 1, "mem32": 0, "mem64": 4}
_PREFETCHABLE = 8
_MOST_CONFIG = 4096


def describe(found: dict[str, Any]) -> Event | None:
    """The DEVICE event of a description; None when it lacks the address or the ids."""
    device = found.get("device")
    if not isinstance(device, dict):
        return None
    bdf = _address(device.get("bdf"))
    ids = {name: _small(device.get(f"{name}_id"), 16) for name in ("vendor", "device")}
    if bdf is None or None in ids.values():
        return None
    extra: dict[str, Any] = {"bdf": bdf[1], **ids, "bars": _bars(found.get("bars"))}
    if bdf[0]:
        extra["domain"] = bdf[0]
    if isinstance(device.get("driver"), str):
        extra["driver"] = device["driver"]
    config = _config(found.get("config_space_hex"))
    if config is not None:
        extra["config"] = config
    for name in ("class_code", "revision_id", "subsys_vendor_id", "subsys_device_id"):
        if _small(device.get(name), 32) is not None:
            extra[name] = device[name]
    return Event(Kind.DEVICE, extra=extra)


def _small(number: object, bits: int) -> int | None:
    return number if type(number) is int and 0 <= number < 1 << bits else None


def _address(found: object) -> tuple[int, int] | None:
    """Domain, and bus << 8 | device << 3 | function."""
    if not isinstance(found, dict):
        return None
    parts = [_small(found.get(name), bits) for name, bits in (("Bus", 8), ("Device", 5), ("Function", 3))]
    bus, device, function = parts
    if bus is None or device is None or function is None:
        return None
    return _small(found.get("Domain"), 16) or 0, bus << 8 | device << 3 | function


def _bars(found: object) -> list[dict[str, int]]:
    bars = []
    for bar in found if isinstance(found, list) else []:
        if not isinstance(bar, dict) or str(bar.get("type")) not in _TYPES:
            continue
        numbers = [_small(bar.get(name), 64) for name in ("index", "address", "size")]
        if None not in numbers and numbers[2]:
            flags = _TYPES[bar["type"]] | (_PREFETCHABLE if bar.get("prefetchable") is True else 0)
            number, addr, size = (item or 0 for item in numbers)
            bars.append({"number": number, "addr": addr, "size": size, "flags": flags})
    return bars


def _config(found: object) -> bytes | None:
    """The bytes of a list of 32-bit words in hexadecimal; None when it is none."""
    if not isinstance(found, list) or not 0 < len(found) <= _MOST_CONFIG // 4:
        return None
    try:
        return b"".join(int(word, 16).to_bytes(4, "little") for word in found)
    except (TypeError, ValueError, OverflowError):
        return None
