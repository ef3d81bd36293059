"""Rules of fault injection as data: what each says, and which registers of a card it means."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmiotools.engine.interface import CONFIG
from mmiotools.errors import ExpressionError
from mmiotools.trace.header import PciDevice
from mmiotools.typed import NamedTuple, TypeAlias

#: Bytes of configuration space that a rule can name: those of PCI Express.
_CONFIG_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets `low` to `high` of a region, both included; `high` None is the region's end. Without a region they are
    absolute addresses. `device` is the bus address that the card must have. `column` is for error messages.
    """

    region: str | None
    low: int
    high: int | None
    device: str | None = None
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Replace:
    """Another value, cut to the width of the access."""

    value: int


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit inverted: this one, or one chosen at random."""

    bit: int | None = None


@dataclass(frozen=True, slots=True)
class Stuck:
    """The bits of a mask always 0 or always 1."""

    mask: int
    level: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The access, or the interrupt, does not arrive."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Virtual time passes before the access or the interrupt arrives. `text` is as the user wrote it."""

    nanoseconds: int
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Hold:
    """The interrupt is held back for a number of accesses."""

    accesses: int


@dataclass(frozen=True, slots=True)
class Spurious:
    """An interrupt that the card did not raise."""


@dataclass(frozen=True, slots=True)
class Remove:
    """The card is pulled out."""


Action: TypeAlias = Replace | Flip | Stuck | Drop | Delay | Hold | Spurious | Remove


@dataclass(frozen=True, slots=True)
class ValueTest:
    """`value & mask == number`, or `!=`."""

    mask: int | None
    equal: bool
    number: int

    def holds(self, value: int) -> bool:
        """Whether a value passes."""
        masked = value if self.mask is None else value & self.mask
        return (masked == self.number) == self.equal


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule says.

    text         the rule in one line, blanks squeezed
    ops          which accesses it looks at: "R", "W", "RW", or "" when it looks at interrupts
    place        their registers, None for all (`remove`, `irq`)
    line         of an irq rule: the interrupt line or vector, None for any (spurious: for the card's own)
    after every  it acts on those matches n with n > after and (n - after) a multiple of every
    at           it acts on this match alone
    times        it acts no more often than this
    probability  of acting where all else says so
    width        bytes of the accesses it looks at, None for any
    test         on the value as the card gave it, or the CPU sent it
    """

    text: str
    ops: str
    action: Action
    place: Place | None = None
    line: int | None = None
    after: int = 0
    every: int = 1
    at: int | None = None
    times: int | None = None
    probability: float | None = None
    width: int | None = None
    test: ValueTest | None = None

    @property
    def early(self) -> bool:
        """Whether it acts before the card is asked, when the value of a read is not known."""
        return isinstance(self.action, Remove | Drop | Delay)


class Window(NamedTuple):
    """Offsets [start, end) of a region."""

    region: str
    start: int
    end: int


def locate(rule: Rule, pci: PciDevice) -> list[Window]:
    """Where the registers of a rule lie on a card; nothing for a rule that looks at every access.

    Raises ExpressionError when they do not lie on it.
    """
    return [] if rule.place is None else locate_place(rule.place, rule.text, pci)


def locate_place(place: Place, text: str, pci: PciDevice) -> list[Window]:
    """Where a place that `text` names lies on a card. Raises ExpressionError when it does not lie on it."""

    def error(message: str) -> ExpressionError:
        return ExpressionError(message, text, place.column)

    bars = {bar.name: bar for bar in pci.bars if bar.size}
    if place.region is None:
        last = place.low if place.high is None else place.high
        found = [
            Window(bar.name, max(place.low - bar.addr, 0), min(last + 1 - bar.addr, bar.size))
            for bar in bars.values()
            if bar.addr <= last and place.low < bar.addr + bar.size
        ]
        if not found:
            raise error(f"no BAR of the card {pci.address} lies there")
        return found
    if place.device not in (None, pci.address):
        raise error(f"the card is {pci.address}, not {place.device}")
    sizes = {name: bar.size for name, bar in bars.items()} | {CONFIG: _CONFIG_SIZE}
    size = sizes.get(place.region)
    if size is None:
        hint = "" if place.region.startswith("BAR") else "; names of registers need --regs"
        raise error(f"the card {pci.address} has no region '{place.region}'; there are: {', '.join(sizes)}{hint}")
    end = size if place.high is None else place.high + 1
    if end > size:
        raise error(f"{place.region} has only {size:#x} bytes")
    return [Window(place.region, place.low, end)]
