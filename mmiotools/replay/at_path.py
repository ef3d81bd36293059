"""A mock card for whoever connects to a UNIX socket at a path."""

from __future__ import annotations

import time
from contextlib import ExitStack

from mmiotools.errors import EXIT_INTERRUPTED, EXIT_USAGE
from mmiotools.replay.serving import Serving
from mmiotools.replay.under_qemu import slot_of
from mmiotools.serve import TRANSPORTS
from mmiotools.serve.injector import LateInjector
from mmiotools.serve.listen import Listener
from mmiotools.serve.loop import Stop
from mmiotools.serve.mpqemu import Mpqemu
from mmiotools.serve.stream import Stream
from mmiotools.typed import Callable

#: What is behind the path of mpqemu at the path of the socket that QEMU's qtest may connect to.
QTEST_SUFFIX = ".qtest"


def serve_at(
    path: str, transport: str, serving: Serving, stop: Stop, timeout: float | None, say: Callable[[str], None]
) -> None:
    """Listen at `path`, and serve the first who connects until that one hangs up. How it ended is in `serving`.

    timeout  seconds for all of it, None for ever
    say      told when it listens
    Raises UsageError when it cannot listen there.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with ExitStack() as stack:
        listener = stack.enter_context(Listener(path))
        injector = None
        told = path
        if transport == Mpqemu.name:
            beside = stack.enter_context(Listener(path + QTEST_SUFFIX))
            injector = LateInjector(beside, slot_of(serving.card.pci))
            stack.callback(injector.close)
            told = f"{path}, and for QEMU's qtest at {beside.path}"
        say(f"listening at {told}")
        peer = listener.wait(stop, deadline)
        if peer is None:
            if stop.asked:
                serving.fail("interrupted", EXIT_INTERRUPTED)
            else:
                serving.fail(f"nobody connected within {timeout:g} s", EXIT_USAGE)
            return
        stream = stack.enter_context(Stream(peer))
        connection = TRANSPORTS.get(transport)(stream, serving.function, serving.host)
        if isinstance(connection, Mpqemu):
            connection.injector = injector
        serving.run(connection, stop, deadline)
