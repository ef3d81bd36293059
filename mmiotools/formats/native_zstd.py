"""The zstd frames in a native block: their bytes, of a length that is known before, and how hard to compress."""

from __future__ import annotations

import os
import sys

from mmiotools.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import zstandard


def _library() -> Any:
    """The package `zstandard`, or in CPython its part in C alone, which has all that is needed here: what the package
    imports besides takes longer than a small file does.
    """
    name = "zstandard.backend_c"
    usual = sys.implementation.name == "cpython" and "PYTHON_ZSTANDARD_IMPORT_POLICY" not in os.environ
    # importlib.machinery has it, too, but its import takes as long as all of this.
    finders: list[Any] = [one for one in sys.meta_path if getattr(one, "__name__", "") == "PathFinder"]
    package = finders[0].find_spec("zstandard") if usual and finders else None
    part = None if package is None else finders[0].find_spec(name, package.submodule_search_locations)
    if part is None or part.loader is None or name in sys.modules:
        return __import__("zstandard")
    # module_from_spec would do the same, but lies in a module that takes as long to import as this one.
    module = part.loader.create_module(part)
    assert module is not None
    module.__spec__ = part
    part.loader.exec_module(module)
    # So that who imports the package later has the same.
    sys.modules[name] = module
    return module


_zstd = _library()
_decompress = _zstd.ZstdDecompressor(max_window_size=1 << 27).decompress
_content_size = _zstd.frame_content_size
#: The content of a zstd frame that says how much it is. Raises one of DAMAGED.
expand_whole = _decompress
DAMAGED = (_zstd.ZstdError,)


class Corrupt(ValueError):
    """A column or a block does not decode."""


def expand(data: Any, size: int, *, exact: bool = True) -> bytes:
    """The content of a zstd frame: exactly `size` bytes, or at most. Raises Corrupt; never allocates more."""
    content = _contents([data], size)[0]
    if exact and len(content) != size:
        raise Corrupt("a compressed part has the wrong length")
    return content


def expand_planes(planes: Any, n: int) -> list[bytes]:
    """The planes of n bytes each, decompressed. Raises Corrupt."""
    if type(planes) is list and len(planes) <= 8:
        apart = _contents(planes, n)
        if any([len(plane) != n for plane in apart]):
            raise Corrupt("a compressed part has the wrong length")
        return apart
    if type(planes) is not bytes:
        raise Corrupt("byte planes are missing")
    content = _contents([planes], 8 * n)[0]
    if n and len(content) % n:
        raise Corrupt("a compressed part has the wrong length")
    return [content[at : at + n] for at in range(0, len(content), n)] if n else []


def _contents(frames: list[Any], most: int) -> list[bytes]:
    """The contents of zstd frames of at most so many bytes each."""
    found = []
    try:
        for frame in frames:
            if type(frame) is not bytes:
                raise Corrupt("a compressed part is missing")
            if _content_size(frame) > most:
                raise Corrupt("a compressed part is larger than it may be")
            found.append(_decompress(frame, most))
    except _zstd.ZstdError as error:
        raise Corrupt(f"a compressed part is damaged ({error})") from error
    return found


class Effort(NamedTuple):
    """How hard to compress: what is usual, and what comes in patterns, all numbers and codes of accesses but times."""

    usual: zstandard.ZstdCompressor
    pattern: zstandard.ZstdCompressor


#: For the blocks of a long trace, and where there is but one.
QUICK = Effort(_zstd.ZstdCompressor(level=1), _zstd.ZstdCompressor(level=3))
THOROUGH = Effort(_zstd.ZstdCompressor(level=6), _zstd.ZstdCompressor(level=12))


def squeeze(data: Any) -> bytes:
    """One zstd frame."""
    return THOROUGH.usual.compress(data)
