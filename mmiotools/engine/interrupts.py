"""The interrupt lines of the one device: what it raised, and the driver's handler that is called for it."""

from __future__ import annotations

from mmiotools.typed import Callable, NamedTuple

#: A line that stays up through this many calls of its handler is switched off, as kernels do when nobody cares.
SPURIOUS_LIMIT = 100


class Irq(NamedTuple):
    """An interrupt that the device raised or lowered: virtual nanoseconds, line or vector, level."""

    time: int
    line: int
    level: int


class Interrupts:
    """Level-triggered lines: the handler is called as long as one is up.

    history    what the device did to its lines
    handled    calls of the handler
    pending    is a line up that a handler waits for?
    """

    def __init__(self) -> None:
        self.history: list[Irq] = []
        self.handled = 0
        self.pending = False
        self._up: set[int] = set()
        self._off: set[int] = set()
        self._handler: Callable[[], None] | None = None

    def change(self, time: int, line: int, level: int) -> None:
        """The device raises or lowers a line."""
        self.history.append(Irq(time, line, level))
        if level:
            self._up.add(line)
        else:
            self._up.discard(line)
        self._update()

    def request(self, handler: Callable[[], None]) -> None:
        """Call `handler` while a line is up."""
        self._handler = handler
        self._off.clear()
        self._update()

    def free(self) -> None:
        """Call nobody any more."""
        self._handler = None
        self._update()

    @property
    def handler(self) -> Callable[[], None] | None:
        """Who is called."""
        return self._handler

    def serve(self) -> str | None:
        """Call the handler until every line is down; what the kernel has to say about it, if anything."""
        for _ in range(SPURIOUS_LIMIT):
            if not self.pending or self._handler is None:
                return None
            self.handled += 1
            self._handler()
        lines = ", ".join(str(line) for line in sorted(self._up - self._off))
        self._off |= self._up
        self._update()
        return f"irq {lines}: nobody cared; disabled after {SPURIOUS_LIMIT} calls of the handler"

    def _update(self) -> None:
        self.pending = self._handler is not None and bool(self._up - self._off)
