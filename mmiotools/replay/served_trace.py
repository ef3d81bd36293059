"""What a driver does to a served card, as a trace."""

from __future__ import annotations

from mmiotools.events import Event, Kind
from mmiotools.serve.function import Function
from mmiotools.serve.host import ServedHost
from mmiotools.trace.batch import Batch
from mmiotools.trace.gather import gather
from mmiotools.trace.header import PciDevice, TraceHeader
from mmiotools.trace.tape import Tape
from mmiotools.typed import Any, Callable


def served_header(tape: Tape, policy: str, transport: str) -> TraceHeader:
    """The header of such a trace."""
    options = {"policy": policy, "serve": transport}
    meta: dict[str, Any] = {"card": "mock", "recorded": {"ids": tape.pci.ids, "driver": tape.pci.driver}}
    return TraceHeader(format="mmiotrace", clock="start", time_digits=6, meta=meta | {"options": options})


class ServedTrace:
    """Makes events of accesses and interrupts. Times are whole microseconds since the card was put in its machine.

    The card is described when the first access comes, because only then its BARs are where the guest wants them; a BAR
    is a mapping from its first access on, and another one when it has moved. A port has no
    address here, because addresses in a trace are those of memory: it is a place in a region.
    """

    def __init__(self, function: Function, host: ServedHost, pci: PciDevice, sink: Callable[[Batch], None]) -> None:
        about = Event(Kind.HEADER, extra={"format": "mmiotools", "version": "1"})
        self._emit, self.flush = gather(sink, about)
        self._function = function
        self._host = host
        self._pci = pci
        self._described: PciDevice | None = None
        #: BAR → its mapping's id and address.
        self._maps: dict[int, tuple[int, int]] = {}
        self._count = 0
        self._emit(Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"}))
        function.watch = self._access
        host.watch = self._interrupt

    def _access(self, op: str, number: int, offset: int, width: int, value: int) -> None:
        start = self._address(number)
        time = self._time()
        if self._described is None or (number in self._maps and self._maps[number][1] != start):
            self._describe()
        kind = Kind.READ if op == "R" else Kind.WRITE
        if self._function.is_port(number):
            region = f"{self._pci.address}/BAR{number}"
            self._emit(Event(kind, time, width, region=region, offset=offset, value=value, pc=0, pid=0))
            return
        if self._maps.get(number, (0, -1))[1] != start:
            self._map(number, start, time)
        self._emit(Event(kind, time, width, self._maps[number][0], start + offset, value=value, pc=0, pid=0))

    def _interrupt(self, line: int, level: int) -> None:
        self._emit(Event(Kind.IRQ, self._time(), extra={"vector": line, "level": level}))

    def mark(self, text: str) -> None:
        """A MARK."""
        self._emit(Event(Kind.MARK, self._time(), extra={"text": text.encode("utf-8", "surrogateescape")}))

    def _time(self) -> int:
        now = self._host.now()
        return now - now % 1000

    def _address(self, number: int) -> int:
        """Where a BAR is; where it was recorded, for a client that needs no addresses and gives it none."""
        recorded = next((bar.addr for bar in self._pci.bars if bar.number == number), 0)
        return self._function.address(number) or recorded

    def _describe(self) -> None:
        function = self._function
        bars = tuple(bar._replace(addr=self._address(bar.number)) for bar in self._pci.bars if bar.number <= 5)
        described = self._pci._replace(bars=bars, irq=function.line or self._pci.irq)
        if described != self._described:
            self._described = described
            self._emit(Event(Kind.DEVICE, extra=described.extra()))

    def _map(self, number: int, start: int, time: int) -> None:
        if number in self._maps:
            self._emit(Event(Kind.UNMAP, time, map=self._maps[number][0], pc=0, pid=0))
        self._count += 1
        self._maps[number] = self._count, start
        extra = {"virt": start, "length": self._function.bar_size(number)}
        self._emit(Event(Kind.MAP, time, map=self._count, addr=start, pc=0, pid=0, extra=extra))
