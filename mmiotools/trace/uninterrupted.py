"""What Ctrl-C has to wait for."""

from __future__ import annotations

from mmiotools.small import contextmanager
from mmiotools.trace.in_c import signal
from mmiotools.typed import Iterator


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is done. A process that is forked in it ignores Ctrl-C from its first instruction
    on, where it sets SIGINT to be ignored and never leaves the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
