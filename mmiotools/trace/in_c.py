"""`pickle`, `signal` and `json`, or their parts in C: what the rest of them imports takes longer than what they are
asked.
"""

from __future__ import annotations

from mmiotools.typed import Any, Callable


def part_in_c(name: str) -> Any:
    """That of a module of the standard library; the module where Python has no such part."""
    try:
        return __import__(f"_{name}")
    except ImportError:
        return __import__(name)


def dumps(item: Any) -> bytes:
    """An object as bytes, for another process of this program. Raises what the object's parts raise."""
    packed: bytes = part_in_c("pickle").dumps(item, 5)
    return packed


def loads(packed: bytes | bytearray) -> Any:
    """The object again."""
    return part_in_c("pickle").loads(packed)


signal = part_in_c("signal")


def json_text(value: object) -> str:
    """Compact JSON in ASCII. Raises TypeError for what has no spelling there, ValueError for a number that has none."""
    global _spell
    if _spell is None:
        _spell = _spelling()
    return "".join(_spell(value))


def _spelling() -> Callable[[object], Any]:
    """What gives the parts of that."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        # See JSONEncoder.iterencode: nothing to remember, no indentation, keys as they stand, no NaN.
        encode = make_encoder(None, _unknown, encode_basestring_ascii, None, ":", ",", False, False, False)
        return lambda value: encode(value, 0)
    except (ImportError, TypeError):
        import json

        return json.JSONEncoder(separators=(",", ":"), allow_nan=False).iterencode


def _unknown(value: object) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_spell: Callable[[object], Any] | None = None
