"""Keeps the C library from giving memory back between batches: the arrays of the next one are as large."""

from __future__ import annotations

from mmiotools.speed import compiled
from mmiotools.typed import Callable

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


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


def _mallopt() -> Callable[[int, int], object] | None:
    """That of the C library; None where it has none."""
    import ctypes  # takes a while, and some reading needs no arrays

    try:
        found: Callable[[int, int], object] = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return None
    return found
