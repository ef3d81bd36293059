"""Memory that is quicker to have than what the C library and the system give by themselves."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from mmiotools.speed import compiled

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
#: Bytes from which on some may be left over at the end of a large page.
_LARGE = 1 << 22


def keep_freed_memory() -> None:
    """Let freed arrays stay with the process (glibc only; elsewhere nothing happens).

    Without this every large array is mapped anew, and its pages are faulted in one by one: a third of the time of
    reading a large text.
    """
    fast = compiled()
    set_malloc = _mallopt() if fast is None else fast.set_malloc
    if set_malloc is not None:
        for parameter, size in ((_MMAP_THRESHOLD, 1 << 28), (_TRIM_THRESHOLD, 1 << 26), (_TOP_PAD, 1 << 24)):
            set_malloc(parameter, size)


def fresh_memory(size: int) -> mmap.mmap:
    """So many bytes of 0, which take no room before they are written to. A long column has large pages where the system
    has some: to get a page takes longer than to fill it.
    """
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _LARGE:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except (AttributeError, OSError):  # it has none
            pass
    return memory


def _mallopt() -> Callable[[int, int], object] | None:
    """That of the C library; None where it has none."""
    import ctypes  # takes a while, and some reading needs no arrays

    try:
        found: Callable[[int, int], object] = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return None
    return found
