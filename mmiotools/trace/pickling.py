"""`pickle`, or where there is one its part in C: what the rest of it imports takes longer than most messages do."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from mmiotools.typed import Any


def _library() -> ModuleType:
    try:
        return import_module("_pickle")
    except ImportError:
        return import_module("pickle")


_pickle = _library()


def dumps(item: Any) -> bytes:
    """An object as bytes, for another process of this program. Raises what the object's parts raise."""
    packed: bytes = _pickle.dumps(item, 5)
    return packed


def loads(packed: bytes | bytearray) -> Any:
    """The object again."""
    return _pickle.loads(packed)
