"""The vocabulary: kinds of events and the single-event view. Standard library only.

Bulk data lives in `mmiotools.trace.batch` as columns; `Event` is the view that engines, cards and tests use.
"""

from __future__ import annotations

from mmiotools.typed import Any, IntEnum, Mapping, MappingProxyType, NamedTuple


class Kind(IntEnum):
    """What an event is. The numbers are stored in native files and never change."""

    READ = 0
    WRITE = 1
    UNKNOWN = 2
    MAP = 3
    UNMAP = 4
    MARK = 5
    LOST = 6
    IRQ = 7
    DEVICE = 8
    HEADER = 9
    NOTE = 10


#: Kinds that touch a register: what diff and replay count, in this order of letters R, W, U.
ACCESSES = frozenset({Kind.READ, Kind.WRITE, Kind.UNKNOWN})

#: Address spaces that a region can have.
SPACES = ("mem", "virt", "port", "config", "reg", "msr")

NOTHING: Mapping[str, Any] = MappingProxyType({})


def is_damage(kind: int, extra: Mapping[str, Any]) -> bool:
    """Whether an event stands for what could not be read. Only a NOTE can; the word means nothing on other kinds."""
    return kind == Kind.NOTE and extra.get("damaged") is True


def events_lost(extra: Mapping[str, Any]) -> int:
    """How many events a damaged NOTE stands for; one where it does not say."""
    return max(int(extra.get("events", 1)), 0)


class Event(NamedTuple):
    """One event. A field that the source does not have is None; 0 is a value like any other.

    time      integer nanoseconds on the trace's clock
    width     bytes
    map       id of the mapping, may be negative
    addr      absolute address in the region's space
    region    name of a region, with `offset` in it (formats that know the region but no address)
    value     as recorded; may be wider than `width`, and is None where the source knows none
    pc pid cpu  who did it
    extra     rare things by name. By kind:
              MAP      virt, length
              UNKNOWN  opcode (bytes)
              MARK     text (bytes)
              NOTE     text (bytes); damaged (True), reason, events (how many were lost), line, offset
              LOST     count (int or None), cpu stays in its field; text when the spelling matters
              IRQ      vector, level
              DEVICE   bdf, vendor, device, irq, bars [{number, addr, size, flags}], driver, config (bytes)
              HEADER   format, version, meta
              accesses mr (int): address of the object that answered in an emulator, the same for all its accesses
              any      raw (bytes): the source's own spelling of this event, without its line end
              any      eol (str): "lf", "crlf" or "none" where it is not the usual "lf"
    """

    kind: Kind
    time: int | None = None
    width: int | None = None
    map: int | None = None
    addr: int | None = None
    region: str | None = None
    offset: int | None = None
    value: int | None = None
    pc: int | None = None
    pid: int | None = None
    cpu: int | None = None
    extra: Mapping[str, Any] = NOTHING

    @property
    def damaged(self) -> bool:
        """Whether it stands for what could not be read."""
        return is_damage(self.kind, self.extra)

    def __reduce__(self) -> tuple[Any, ...]:
        # NOTHING itself cannot be pickled.
        return _event, (*self[:-1], dict(self.extra))


def _event(*fields: Any) -> Event:
    return Event._make((*fields[:-1], fields[-1] or NOTHING))


#: Fields of `Event` that are numeric columns in a batch, in canonical order.
NUMERIC_FIELDS = ("time", "width", "map", "addr", "offset", "value", "pc", "pid", "cpu")
