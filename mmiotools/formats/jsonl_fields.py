"""The rare things of an event as JSON and back: text, device descriptions, damage, and what nobody foresaw.

A name that `FIELDS` knows and whose value has the expected type gets its own spelling; plain JSON values keep their
own name; all else goes under "x" in a tagged spelling, so that nothing is lost.
"""

from __future__ import annotations

import base64
import binascii
import math
import re

from mmiotools.formats.extras import extra_fits
from mmiotools.typed import Any, Callable, Mapping, NamedTuple

_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,1024}\Z")
_BDF = re.compile(r"([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])\Z")
_BAR_KEYS = {"number", "addr", "size", "flags"}


class Unfit(ValueError):
    """The value has not the type or range that its name promises."""


def parse_hex(value: object) -> int:
    """The number of a string "0x…" of up to 1,024 digits. Raises Unfit."""
    if not isinstance(value, str) or _HEX.match(value) is None:
        raise Unfit("not a hexadecimal string")
    return int(value, 16)


def _natural(value: object) -> str:
    if type(value) is not int or value < 0 or value.bit_length() > 4096:
        raise Unfit("not a natural number")
    return f"{value:#x}"


def _integer(value: object) -> int:
    if type(value) is not int or value.bit_length() > 63:
        raise Unfit("not an integer of 64 bits")
    return value


def _integer_or_none(value: object) -> int | None:
    return None if value is None else _integer(value)


def _count(value: object) -> int:
    if _integer(value) < 0:
        raise Unfit("a negative count")
    return _integer(value)


def is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can spell (JSON can escape half a surrogate pair, which it cannot)."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def _string(value: object) -> str:
    if not is_text(value):
        raise Unfit("not a string")
    return str(value)


def _true(value: object) -> bool:
    if value is not True:
        raise Unfit("not true")
    return True


def _bytes_to_hex(value: object) -> str:
    if not isinstance(value, bytes):
        raise Unfit("not bytes")
    return value.hex()


def _hex_to_bytes(value: object) -> bytes:
    try:
        return bytes.fromhex(_string(value))
    except ValueError as error:
        raise Unfit("not bytes in hexadecimal") from error


def _id_to_hex(value: object) -> str:
    if type(value) is not int or not 0 <= value < 1 << 16:
        raise Unfit("not a 16-bit id")
    return f"{value:04x}"


def _hex_to_id(value: object) -> int:
    if re.fullmatch(r"[0-9a-fA-F]{4}", _string(value)) is None:
        raise Unfit("not four hexadecimal digits")
    return int(_string(value), 16)


def _bdf_to_text(value: object) -> str:
    _id_to_hex(value)
    assert isinstance(value, int)
    return f"{value >> 8:02x}:{value >> 3 & 31:02x}.{value & 7}"


def _text_to_bdf(value: object) -> int:
    match = _BDF.match(_string(value))
    if match is None or int(match[2], 16) > 31:
        raise Unfit("not a PCI address")
    return int(match[1], 16) << 8 | int(match[2], 16) << 3 | int(match[3])


def _bars_to_json(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or any(not isinstance(b, dict) or set(b) != _BAR_KEYS for b in value):
        raise Unfit("not a list of BARs")
    return [
        {
            "number": _integer(b["number"]),
            "addr": _natural(b["addr"]),
            "size": _natural(b["size"]),
            "flags": _integer(b["flags"]),
        }
        for b in value
    ]


def _json_to_bars(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or any(not isinstance(b, dict) or set(b) != _BAR_KEYS for b in value):
        raise Unfit("not a list of BARs")
    return [
        {
            "number": _integer(b["number"]),
            "addr": parse_hex(b["addr"]),
            "size": parse_hex(b["size"]),
            "flags": _integer(b["flags"]),
        }
        for b in value
    ]


def _plain_dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not is_plain(value):
        raise Unfit("not a JSON object")
    return value


class Codec(NamedTuple):
    """How one extra is spelt: its key in JSON, value → JSON, JSON → value. Both raise Unfit."""

    key: str
    encode: Callable[[object], Any]
    decode: Callable[[object], Any]


#: Name in `Event.extra` → spelling.
FIELDS: dict[str, Codec] = {
    "virt": Codec("virt", _natural, parse_hex),
    "length": Codec("length", _natural, parse_hex),
    "opcode": Codec("opcode", _bytes_to_hex, _hex_to_bytes),
    "damaged": Codec("damaged", _true, _true),
    "reason": Codec("reason", _string, _string),
    "events": Codec("events", _count, _count),
    "line": Codec("source_line", _integer, _integer),
    "offset": Codec("source_offset", _integer, _integer),
    "count": Codec("count", _integer_or_none, _integer_or_none),
    "vector": Codec("vector", _integer, _integer),
    "level": Codec("level", _integer, _integer),
    "bdf": Codec("bdf", _bdf_to_text, _text_to_bdf),
    "vendor": Codec("vendor", _id_to_hex, _hex_to_id),
    "device": Codec("device", _id_to_hex, _hex_to_id),
    "irq": Codec("irq", _integer, _integer),
    "bars": Codec("bars", _bars_to_json, _json_to_bars),
    "driver": Codec("driver", _string, _string),
    "config": Codec("config", _bytes_to_hex, _hex_to_bytes),
    "format": Codec("format", _string, _string),
    "version": Codec("version", _string, _string),
    "meta": Codec("meta", _plain_dict, _plain_dict),
}
#: Extras that are bytes and readable: `text` where they are UTF-8, else `text_b64`.
TEXTS = ("text", "raw")
#: JSON keys that stand for columns; see `jsonl`.
COLUMN_KEYS = frozenset(
    {"kind", "time_ns", "width", "map", "addr", "region", "space", "offset", "value", "pc", "pid", "cpu", "eol"}
)
_BY_KEY = {codec.key: (name, codec) for name, codec in FIELDS.items()}
_RESERVED = COLUMN_KEYS | _BY_KEY.keys() | {"schema", "x", "col"} | {f"{t}{s}" for t in TEXTS for s in ("", "_b64")}

#: No text is longer in a line; a longer one is cut there and the writer says so.
TEXT_LIMIT = 1 << 20


def encode_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The extras of an event as a JSON-fit dict, to be merged into the event's object."""
    out: dict[str, Any] = {}
    odd: dict[str, Any] = {}
    for name, value in extra.items():
        if name in TEXTS and isinstance(value, bytes):
            try:
                out[name] = value.decode()
            except UnicodeDecodeError:
                out[f"{name}_b64"] = base64.b64encode(value).decode()
            continue
        if name == "value" and type(value) is int and value >= 1 << 64 and value.bit_length() <= 4096:
            out["value"] = f"{value:#x}"
            continue
        codec = FIELDS.get(name)
        if codec is not None:
            try:
                out[codec.key] = codec.encode(value)
                continue
            except Unfit:
                pass
        elif name not in _RESERVED and is_plain(value):
            out[name] = value
            continue
        odd[name] = tag(value)
    if odd:
        out["x"] = odd
    return out


def decode_extra(found: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `encode_extra`, for the keys of an object that are no columns. Raises Unfit."""
    extra: dict[str, Any] = {}
    for key, value in found.items():
        known = _BY_KEY.get(key)
        if known is not None:
            name, codec = known
            try:
                extra[name] = codec.decode(value)
            except Unfit as error:
                raise Unfit(f"'{key}' is {error}") from error
        elif key in TEXTS:
            try:
                extra[key] = _string(value).encode()
            except ValueError as error:
                raise Unfit(f"'{key}' is no text") from error
        elif key.endswith("_b64") and key[:-4] in TEXTS:
            extra[key[:-4]] = _unbase64(key, value)
        elif not is_plain(value):
            raise Unfit(f"'{key}' is no plain JSON value")
        elif key == "x":
            if not isinstance(value, dict):
                raise Unfit("'x' is no object")
            for name, item in value.items():
                extra[name] = untag(item)
                if not extra_fits(name, extra[name]):
                    raise Unfit(f"'{name}' in 'x' has the wrong type")
        elif key != "col":
            extra[key] = value
    return extra


def _unbase64(key: str, value: object) -> bytes:
    try:
        return base64.b64decode(_string(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unfit(f"'{key}' is no base64") from error


# -- what nobody foresaw ---------------------------------------------------------------------------------------


def is_plain(value: object, depth: int = 64) -> bool:
    """Whether JSON gives the value back as it is: numbers of up to 64 bits, nested no deeper than `depth`."""
    if value is None or isinstance(value, bool) or is_text(value):
        return True
    if type(value) is int:
        return value.bit_length() <= 64
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return depth > 0 and all(is_plain(item, depth - 1) for item in value)
    if isinstance(value, dict):
        return depth > 0 and all(is_text(key) and is_plain(item, depth - 1) for key, item in value.items())
    return False


def tag(value: object) -> Any:
    """Any value of numbers, strings, bytes, lists and dicts as JSON: what JSON lacks becomes {"$type": …}."""
    if isinstance(value, (bytes, bytearray)):
        return {"$b64": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [tag(item) for item in value]
    if isinstance(value, dict):
        if all(is_text(key) and not key.startswith("$") for key in value):
            return {key: tag(item) for key, item in value.items()}
        return {"$dict": [[tag(key), tag(item)] for key, item in value.items()]}
    if is_plain(value):
        return value
    if isinstance(value, int):
        return {"$int": f"{value:#x}"}
    if isinstance(value, str):
        return {"$utf8": base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()}
    if isinstance(value, float):
        return {"$float": repr(value)}
    return {"$repr": repr(value)}


def untag(value: Any) -> Any:
    """The inverse of `tag`; raises Unfit."""
    if isinstance(value, list):
        return [untag(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not next(iter(value)).startswith("$"):
        return {key: untag(item) for key, item in value.items()}
    name, content = next(iter(value.items()))
    try:
        if name == "$b64":
            return _unbase64("$b64", content)
        if name == "$utf8":
            return _unbase64("$utf8", content).decode("utf-8", "surrogatepass")
        if name == "$int":
            return int(_string(content), 16)
        if name == "$float":
            return float(_string(content))
        if name == "$repr":
            return _string(content)
        if name == "$dict":
            return {untag(key): untag(item) for key, item in content}
    except (TypeError, ValueError) as error:
        raise Unfit(f"'{name}' is malformed") from error
    raise Unfit(f"'{name}' is not known")
