"""Keeps the C library from giving memory back between batches: the arrays of the next one are as large."""

from __future__ import annotations

from mmiotools.speed import compiled

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Let freed arrays stay with the process (glibc only; elsewhere nothing happens).

    Without this every large array is mapped anew, and its pages are faulted in one by one: a third of the time of
    reading a large text.
    """
    if (fast := compiled()) is not None:
        fast.keep_freed_memory()
        return
    import ctypes  # takes a while, and some reading needs no arrays

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, size in ((_MMAP_THRESHOLD, 1 << 28), (_TRIM_THRESHOLD, 1 << 26), (_TOP_PAD, 1 << 24)):
        mallopt(parameter, size)
