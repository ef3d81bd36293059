"""The host as a mock card and its plugin see it: absent at first, and left alone while a state is restored."""

from __future__ import annotations

from contextlib import contextmanager

from mmiotools.engine.interface import Host
from mmiotools.typed import Iterator


class CardHost:
    """Hands everything on to `host`, once there is one.

    time   what the clock says while the card is alone
    """

    def __init__(self) -> None:
        self.host: Host | None = None
        self.time = 0
        self._alone = False
        #: Lines as the card wants them, and as the host knows them.
        self._wanted: dict[int, int] = {}
        self._told: dict[int, int] = {}

    def now(self) -> int:
        """The host's clock, nanoseconds."""
        return self.time if self.host is None or self._alone else self.host.now()

    def irq(self, line: int, level: int) -> None:
        """Raise or lower a line."""
        self._wanted[line] = level
        if not self._alone:
            self._tell(line)

    def lower(self) -> None:
        """Every line goes down."""
        for line, level in list(self._wanted.items()):
            if level:
                self.irq(line, 0)

    def dma_read(self, address: int, n: int) -> bytes:
        """n bytes of memory; all ones where there is none."""
        return b"\xff" * n if self.host is None else self.host.dma_read(address, n)

    def dma_write(self, address: int, data: bytes) -> None:
        """Store bytes in memory."""
        if self.host is not None and not self._alone:
            self.host.dma_write(address, data)

    @contextmanager
    def alone(self) -> Iterator[CardHost]:
        """Cut off: the clock is `time`, memory stays as it is, and the lines go to where they are at the end."""
        self._alone = True
        try:
            yield self
        finally:
            self._alone = False
            for line in list(self._wanted):
                self._tell(line)

    def _tell(self, line: int) -> None:
        level = self._wanted[line]
        if self.host is not None and self._told.get(line, 0) != level:
            self._told[line] = level
            self.host.irq(line, level)
