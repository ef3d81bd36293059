"""`pickle` and `signal`, or their parts in C: what the rest of them imports takes longer than what they are asked."""

from __future__ import annotations

from mmiotools.typed import Any


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
