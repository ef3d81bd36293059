"""What a trace says about itself: header, PCI devices, maps; and the stream that carries it.

The events HEADER, DEVICE and MAP in the stream are the truth; the classes here are the typed view of their extras.
"""

from __future__ import annotations

from mmiotools.events import Event, Kind
from mmiotools.typed import TYPE_CHECKING, Any, Callable, Generic, Iterator, Mapping, NamedTuple, Sequence, TypeVar

if TYPE_CHECKING:
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.tally import Counted

R = TypeVar("R")

#: BAR number of the expansion ROM.
ROM = 6


class Bar(NamedTuple):
    """One address window of a PCI device. `addr` is without the flag bits; `flags` are the low 4 bits as printed."""

    number: int
    addr: int
    size: int
    flags: int = 0

    @property
    def space(self) -> str:
        """"port" for an I/O BAR, else "mem". Legacy IDE ports come without flags; no memory BAR lies that low."""
        return "port" if self.flags & 1 or self.addr < 0x10000 else "mem"

    @property
    def name(self) -> str:
        """BAR0 … BAR5, or ROM."""
        return "ROM" if self.number == ROM else f"BAR{self.number}"


class PciDevice(NamedTuple):
    """A PCI function as a DEVICE event describes it. `bdf` is bus<<8 | devfn, as mmiotrace prints it."""

    bdf: int
    vendor: int
    device: int
    irq: int = 0
    bars: tuple[Bar, ...] = ()
    driver: str = ""

    @property
    def address(self) -> str:
        """bb:dd.f"""
        return f"{self.bdf >> 8:02x}:{self.bdf >> 3 & 31:02x}.{self.bdf & 7}"

    @property
    def ids(self) -> str:
        """vvvv:dddd"""
        return f"{self.vendor:04x}:{self.device:04x}"

    def extra(self) -> dict[str, Any]:
        """The extras of a DEVICE event, msgpack and JSON fit."""
        bars = [{"number": b.number, "addr": b.addr, "size": b.size, "flags": b.flags} for b in self.bars]
        return {
            "bdf": self.bdf,
            "vendor": self.vendor,
            "device": self.device,
            "irq": self.irq,
            "bars": bars,
            "driver": self.driver,
        }

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any]) -> PciDevice:
        """The view of a DEVICE event's extras; fields that are missing take their defaults."""
        bars = tuple(
            Bar(int(b.get("number", 0)), int(b.get("addr", 0)), int(b.get("size", 0)), int(b.get("flags", 0)))
            for b in extra.get("bars", ())
        )
        return cls(
            int(extra.get("bdf", 0)),
            int(extra.get("vendor", 0)),
            int(extra.get("device", 0)),
            int(extra.get("irq", 0)),
            bars,
            str(extra.get("driver", "")),
        )


class LiveMap(NamedTuple):
    """A live ioremap: id, physical start, virtual start, length in bytes. `length` None when not known."""

    id: int
    phys: int
    virt: int | None
    length: int | None

    @classmethod
    def from_event(cls, event: Event) -> LiveMap | None:
        """The view of a MAP event, or None when it says no id or address."""
        if event.map is None or event.addr is None:
            return None
        return cls(event.map, event.addr, event.extra.get("virt"), event.extra.get("length"))


class TraceHeader:
    """What holds for the whole stream.

    format       name of the format that the trace first came in
    clock        what the times count from: "boot", "start", "wall", "unknown"
    time_digits  decimals of a second that the source had (6 for mmiotrace)
    meta         for recordings of the harness: driver, card, options, seed, scenario
    """

    # This class and Trace are no dataclasses: every command needs them, and importing that module takes a while.
    __slots__ = ("clock", "format", "meta", "time_digits")

    def __init__(
        self, format: str = "", clock: str = "unknown", time_digits: int = 9, meta: dict[str, Any] | None = None
    ) -> None:
        self.format = format
        self.clock = clock
        self.time_digits = time_digits
        self.meta: dict[str, Any] = {} if meta is None else meta

    def __repr__(self) -> str:
        return f"TraceHeader({self.format!r}, {self.clock!r}, {self.time_digits}, {self.meta!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraceHeader) and all(getattr(self, n) == getattr(other, n) for n in self.__slots__)

    __hash__ = None  # type: ignore[assignment]


class Spread(NamedTuple, Generic[R]):
    """What a function made of a batch, the batch's number of events, and its rows that are no accesses."""

    result: R
    events: int
    rare: Batch

    @classmethod
    def of(cls, function: Callable[[Batch], R], batch: Batch) -> Spread[R]:
        """Of one batch."""
        return cls(function(batch), len(batch), batch.rare)


class Tallied(NamedTuple, Generic[R]):
    """What a function made of what was counted, the number of events, and those that are no accesses."""

    result: R
    events: int
    rare: Sequence[Event]

    @classmethod
    def of(cls, function: Callable[[Counted], R], counted: Counted) -> Tallied[R]:
        """Of some events in a row."""
        rest = counted.rest if counted.batch is None else counted.batch.rare.events()
        return cls(function(counted), counted.events, [event for event in rest if event.kind > Kind.UNKNOWN])


class Trace:
    """A stream: its header and its batches, read once, in order.

    `progress` gives the bytes of input consumed so far; `size` is the input's size or None on a pipe;
    `container` names the format of the input itself, which `header.format` may not (a text trace in a native file).
    `events` is how many events the input says that it has; None where it does not, and not to be relied on.
    `spread`, where the format has it, is the other way to read the stream: a function of one batch is computed in
    several processes at once, and its results come in order. `counting` is the same for a function of what was counted.
    """

    def __init__(
        self,
        header: TraceHeader,
        batches: Iterator[Batch],
        name: str = "-",
        size: int | None = None,
        progress: Callable[[], int] = lambda: 0,
        container: str = "",
        events: int | None = None,
    ) -> None:
        self.header = header
        self.batches = batches
        self.name = name
        self.size = size
        self.progress = progress
        self.container = container
        self.events = events
        self.spread: Callable[[Callable[[Batch], Any]], Iterator[Spread[Any]]] | None = None
        self.counting: Callable[[Callable[[Counted], Any]], Iterator[Tallied[Any]]] | None = None

    def map(self, function: Callable[[Batch], R]) -> Iterator[Spread[R]]:
        """`spread`, or the same in this process for formats without it."""
        if self.spread is not None:
            yield from self.spread(function)
            return
        for batch in self.batches:
            yield Spread.of(function, batch)
