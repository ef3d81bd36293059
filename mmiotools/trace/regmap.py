"""A register map: what the registers of a device are called, which bits they have, and where the map holds.

Offsets are bytes from the start of what the map is bound to; bits count from 0 at the low end. Who reads the files
that maps come from is `mmiotools.regmaps`; who asks the maps is `mmiotools.trace.names`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mmiotools.errors import UsageError
from mmiotools.trace.address_space import Region
from mmiotools.typed import Mapping

#: A name that the filter language reads back: words joined by dots, each with a subscript if it likes.
NAME = re.compile(r"[A-Za-z_]\w*(\[\w*\])?(\.\w+(\[\w*\])?)*", re.ASCII)
MAX_NAME = 128
#: No register is wider, in bytes.
MAX_WIDTH = 64
#: Registers of one map, with every element of an array counted.
MAX_ELEMENTS = 1 << 20
_TOP = 1 << 64
_NOT_IN_NAMES = re.compile(r"[^\w.\[\]]+", re.ASCII)
_BINDING = re.compile(
    r"(?P<ids>[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(?:,[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4})*)?/?(?:BAR(?P<bar>[0-5])|(?P<rom>ROM))?"
    r"|(?P<address>0[xX][0-9A-Fa-f]{1,16})(?:\+(?P<size>0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20}))?"
)
_ROM = 6


@dataclass(frozen=True, slots=True)
class Field:
    """Bits `high` to `low` of a register, both included; `values` names what they may hold."""

    name: str
    high: int
    low: int
    values: Mapping[int, str] = field(default_factory=dict)

    @property
    def mask(self) -> int:
        """The bits of the field, in place."""
        return ((1 << self.high - self.low + 1) - 1) << self.low

    def get(self, value: int) -> int:
        """What the field holds in a value of the register."""
        return (value & self.mask) >> self.low

    def text(self, number: int) -> str:
        """What the field holds, for people: the name of the number, or the number."""
        known = self.values.get(number)
        return known if known is not None else str(number) if number < 10 else f"{number:#x}"


@dataclass(frozen=True, slots=True)
class Register:
    """One register of `width` bytes, or an array of `count` that lie `stride` bytes apart.

    The name of an array holds "[]" where the number of the element goes; without, it goes to the end.
    """

    name: str
    offset: int
    width: int = 4
    fields: tuple[Field, ...] = ()
    count: int = 1
    stride: int = 0
    title: str = ""

    @property
    def is_array(self) -> bool:
        """Whether there are several, or a subscript in the name."""
        return self.count > 1 or "[]" in self.name

    def element(self, index: int) -> str:
        """The name of one of the array; that of a register that is alone is its own."""
        if not self.is_array:
            return self.name
        name = self.name if "[]" in self.name else f"{self.name}[]"
        return name.replace("[]", f"[{index}]", 1)

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((item for item in self.fields if item.name == name), None)


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a map holds: in a BAR of the PCI devices of some ids, or at an address. Nothing said: BAR0 of every
    device, and every region that belongs to no device.

    ids      "8086:100e", several at will; of these devices alone
    bar      number of the BAR, 6 for the ROM; 0 when None
    address  absolute address of offset 0, and the bytes from there on, None for all
    """

    ids: tuple[str, ...] = ()
    bar: int | None = None
    address: tuple[int, int | None] | None = None

    @classmethod
    def parse(cls, text: str) -> Binding:
        """`8086:100e`, `8086:100e/BAR2`, `BAR2`, `ROM`, `0xfebc0000` or `0xfebc0000+0x1000`. Raises UsageError."""
        match = _BINDING.fullmatch(text)
        if match is None or not text or text.startswith("/") or text.endswith("/"):
            raise UsageError(f"'{text}' binds to nothing: write 8086:100e, 8086:100e/BAR2, BAR2 or an address 0x…")
        if match["address"]:
            size = int(match["size"], 0) if match["size"] else None
            return cls(address=(int(match["address"], 16), size))
        bar = int(match["bar"]) if match["bar"] else _ROM if match["rom"] else None
        return cls(tuple(match["ids"].lower().split(",")) if match["ids"] else (), bar)

    def __str__(self) -> str:
        if self.address is not None:
            start, size = self.address
            return f"{start:#x}" + ("" if size is None else f"+{size:#x}")
        bar = "" if self.bar is None else "ROM" if self.bar == _ROM else f"BAR{self.bar}"
        return "/".join(word for word in (",".join(self.ids), bar) if word)

    def shift(self, region: Region | None) -> int | None:
        """What an offset in `region` needs added to be one in the map; None where the map does not hold. Without a
        region, offsets are addresses.
        """
        if self.address is not None:
            if region is None:
                return -self.address[0]
            if region.base is None or region.space not in ("mem", "virt"):
                return None
            return region.base - self.address[0]
        if region is None:
            return None
        if region.device is None:
            bare = not self.ids and (self.bar is None or region.name.rpartition("/")[2] == self._bar_name)
            return 0 if bare and region.space != "config" else None
        if self.ids and region.device.ids not in self.ids:
            return None
        return 0 if region.bar is not None and region.bar.number == (self.bar or 0) else None

    @property
    def _bar_name(self) -> str:
        return "ROM" if self.bar == _ROM else f"BAR{self.bar or 0}"


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """Registers that belong together. `name` is for messages and listings."""

    name: str
    title: str
    binding: Binding
    registers: tuple[Register, ...]

    @property
    def elements(self) -> int:
        """How many registers there are, with every element of an array counted."""
        return sum(register.count for register in self.registers)


def clean_name(text: str) -> str:
    """A name that the filter language can spell, as near to the text as can be; empty when nothing is left."""
    name = _NOT_IN_NAMES.sub("_", text.strip())[:MAX_NAME].strip("._")
    if not name or NAME.fullmatch(name):
        return name
    name = re.sub(r"[\W]+", "_", name, flags=re.ASCII).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def fault_of(register: Register) -> str | None:
    """What is wrong with a register's numbers, in words; None when nothing is."""
    if not NAME.fullmatch(register.name) or len(register.name) > MAX_NAME:
        return f"'{register.name[:MAX_NAME]}' is no name for a register: letters, digits, _ . and [] are"
    if not 1 <= register.width <= MAX_WIDTH:
        return f"a width of {register.width} bytes; 1 to {MAX_WIDTH} can be"
    if register.count < 1 or (register.count > 1 and register.stride < 1):
        return "an array needs a count and a stride of 1 or more"
    if register.count > MAX_ELEMENTS:
        return f"an array of {register.count} registers; {MAX_ELEMENTS} are the most"
    if register.offset < 0 or register.offset + register.stride * (register.count - 1) + register.width > _TOP:
        return "it lies outside of 64 bits of address"
    for item in register.fields:
        if not 0 <= item.low <= item.high < 8 * register.width:
            return f"field '{item.name}' has bits {item.high}-{item.low}, of {8 * register.width}"
    return None


__all__ = ["MAX_ELEMENTS", "Binding", "Field", "Register", "RegisterMap", "clean_name", "fault_of"]
