"""Two things at once, where most of either is done in C, which lets other threads on meanwhile."""

from __future__ import annotations

import _thread

from mmiotools.typed import Callable, TypeVar

A = TypeVar("A")
B = TypeVar("B")


def at_once(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """What both give. Raises what the first raises, whatever becomes of the second, or then what that does. Where there
    can be no thread, they are done one after the other.
    """
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
    try:
        _thread.start_new_thread(other, ())
    except RuntimeError:
        return first(), second()
    here = first()
    done.acquire()
    if wrong:
        raise wrong[0]
    return here, found[0]
