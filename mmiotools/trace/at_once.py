"""Two things at once, where most of either is done in C, which lets other threads on meanwhile."""

from __future__ import annotations

import _thread

from mmiotools.typed import Callable, TypeVar

A = TypeVar("A")
B = TypeVar("B")


def at_once(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What both give. Raises what the first raises or, once that is done, what the second does."""
    done = _thread.allocate_lock()
    found: list[B] = []
    wrong: list[BaseException] = []

    def other() -> None:
        try:
            found.append(second())
        except BaseException as error:
            wrong.append(error)
        finally:
            done.release()

    done.acquire()
    _thread.start_new_thread(other, ())
    here = first()
    done.acquire()
    if wrong:
        raise wrong[0]
    return here, found[0]
