"""Masks: which bits of which registers do not count in a comparison, in a file that people read, edit and keep.

TOML. `[[mask]]` has `register` (a register or a range, as BAR0+0x3800 or BAR0+0x100-0x1ff or an address), and may have
`device` (vendor:device), `op` (read or write; both if not said), `bits` (all if not said), `reason`, and `ignore`: with
it not only values do not count, but also whether, how often and where the accesses are made.

`[[block]]` has `accesses`, texts as "W 4 8086:100e/0/BAR0+0x3818 0x1", which come at any time, together and in this
order; one without a value may have any. `reason` again says why.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from mmiotools.errors import ExpressionError, UsageError
from mmiotools.events import Kind
from mmiotools.filters.expr import Member, Span
from mmiotools.filters.grammar import parse
from mmiotools.trace.accesses import ALL_BITS, OP_LETTERS, Access, Accesses
from mmiotools.trace.names import Names, Place
from mmiotools.trace.tomlfile import read_toml
from mmiotools.typed import Any, Callable, Iterable, Mapping, NamedTuple, NDArray, Sequence, TypeVar

Rows = NDArray[np.bool_]
T = TypeVar("T")

OPS = {"read": Kind.READ, "write": Kind.WRITE}
_LETTERS = {letter: kind for kind, letter in OP_LETTERS.items()}
_MASK_KEYS = {"register": str, "device": str, "op": str, "bits": int, "reason": str, "ignore": bool}
_BLOCK_KEYS = {"accesses": list, "reason": str}
IGNORED = "ignored by a mask"
MASKED = "bits that a mask sets aside"
FLOATING = "comes at other times, a mask says"


class Mask(NamedTuple):
    """A mask. `text` is the register or range as it was written; `spans`, or `places` of a name, what it means."""

    text: str
    spans: tuple[Span, ...]
    device: str | None = None
    op: Kind | None = None
    bits: int = int(ALL_BITS)
    reason: str = ""
    ignore: bool = False
    places: tuple[Place, ...] = ()

    def rows(self, accesses: Accesses) -> Rows:
        """The accesses that it is for, (n,)."""
        found = np.zeros(len(accesses), np.bool_)
        for span in self.spans:
            if span.region is None:
                # An absolute address, of accesses that have one.
                high = span.low if span.high is None else span.high
                address, present = accesses.addresses()
                found |= present & (address >= np.uint64(span.low)) & (address <= np.uint64(high))
                continue
            inside = self._named(accesses, span.region) & (accesses.offset >= np.uint64(span.low))
            if span.high is not None:
                inside &= accesses.offset <= np.uint64(span.high)
            found |= inside
        for code, region in enumerate(accesses.regions if self.places else ()):
            for place in self.places:
                starts = Names.starts(place, region)
                at = np.searchsorted(starts, accesses.offset, "right") - 1
                near = (
                    accesses.offset - starts[np.maximum(at, 0)] < np.uint64(place.register.width)
                    if len(starts)
                    else False
                )
                found |= (accesses.region == code) & (at >= 0) & near
        if self.device is not None:
            ours = [bool(identity) and identity[0] == self.device for identity in accesses.identities]
            found &= np.array([*ours, False])[accesses.identity]
        return found if self.op is None else found & (accesses.op == self.op)

    @staticmethod
    def _named(accesses: Accesses, name: str) -> Rows:
        """Accesses in a region, (n,): BAR0 means that of any device."""
        bars = [len(identity) == 3 and identity[2] == name for identity in accesses.identities]
        names = [region.name == name for region in accesses.regions]
        found = np.array([*bars, False])[accesses.identity] | np.array([*names, False])[accesses.region]
        return np.asarray(found, np.bool_)

    def why(self) -> str:
        """The reason, to be printed."""
        return self.reason or (IGNORED if self.ignore else MASKED)


#: An access as (op, width, region identity, offset, value or None).
Row = tuple[Kind, int | None, tuple[Any, ...], int, int | None]


class BlockMask(NamedTuple):
    """Accesses that come at any time. Reads and writes without a value may have any."""

    accesses: tuple[Row, ...]
    reason: str

    def any_value(self) -> Rows:
        """Which may have any value, (n,)."""
        return np.array([row[4] is None and row[0] != Kind.UNKNOWN for row in self.accesses])

    def filled(self) -> list[Row]:
        """The accesses, with some value where they may have any."""
        chosen = self.any_value().tolist()
        return [(*row[:4], 0) if free else row for row, free in zip(self.accesses, chosen, strict=True)]


class MaskFile(NamedTuple):
    """All that mask files say."""

    masks: tuple[Mask, ...] = ()
    blocks: tuple[BlockMask, ...] = ()

    def __add__(self, other: object) -> MaskFile:
        assert isinstance(other, MaskFile)
        return MaskFile(self.masks + other.masks, self.blocks + other.blocks)


NOTHING_SAID = MaskFile()


def register_mask(text: str, names: Names | None = None) -> Mask:
    """A mask of all bits of a register or a range, or of the register that has this name. Raises ValueError."""
    spans, places = _meaning(text, names)
    return Mask(text, spans, places=places)


def ignore(text: str, names: Names | None = None) -> Mask:
    """What `--ignore PLACE` means. Raises UsageError."""
    try:
        return register_mask(text, names)._replace(reason=f"ignored: {text}", ignore=True)
    except ValueError as error:
        raise UsageError(f"--ignore '{text}': {error}") from error


def read_all(paths: Iterable[str], ignored: Iterable[str] = (), names: Names | None = None) -> MaskFile:
    """What `--mask` and `--ignore` say. Raises UsageError and FormatError."""
    found = NOTHING_SAID
    for path in paths:
        found += read_masks(path, names)
    return found + MaskFile(tuple(ignore(text, names) for text in ignored))


def read_masks(path: str, names: Names | None = None) -> MaskFile:
    """The masks of a file; registers may have these names. Raises UsageError with file, entry and what is wrong, and
    FormatError where it is no TOML."""
    held = read_toml(path, "mask")
    for key in held:
        if key not in ("mask", "block"):
            raise UsageError(f"{path}: unknown key '{key}'; there are: mask, block")
    return MaskFile(_entries(path, held, "mask", partial(_mask, names)), _entries(path, held, "block", _block))


def _entries(path: str, held: dict[str, Any], name: str, make: Callable[[dict[str, Any]], T]) -> tuple[T, ...]:
    entries = held.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{path}: '{name}' has to be a list of tables: [[{name}]]")
    made = []
    for number, entry in enumerate(entries, 1):
        try:
            made.append(make(entry))
        except ValueError as error:
            raise UsageError(f"{path}: {name} {number}: {error}") from error
    return tuple(made)


def _checked(entry: dict[str, Any], keys: Mapping[str, type], needed: str) -> None:
    for key, value in entry.items():
        if key not in keys:
            raise ValueError(f"unknown key '{key}'; there are: {', '.join(keys)}")
        if not isinstance(value, keys[key]) or (isinstance(value, bool) and keys[key] is not bool):
            raise ValueError(f"key '{key}' has to be a {keys[key].__name__}, not {value!r}")
    if needed not in entry:
        raise ValueError(f"key '{needed}' is missing")


def _mask(names: Names | None, entry: dict[str, Any]) -> Mask:
    _checked(entry, _MASK_KEYS, "register")
    spans, places = _meaning(entry["register"], names)
    fields = [place.field.mask for place in places if place.field is not None]
    op, bits = entry.get("op"), entry.get("bits", fields[0] if fields else int(ALL_BITS))
    if op is not None and op not in OPS:
        raise ValueError(f"op '{op}' is not one of {', '.join(OPS)}")
    if not 0 < bits <= int(ALL_BITS):
        raise ValueError(f"bits {bits:#x} are not 1 to 64 bits")
    kind = None if op is None else OPS[op]
    return Mask(
        entry["register"], spans, entry.get("device"), kind, bits, entry.get("reason", ""), entry.get("ignore", False),
        places,
    )  # fmt: skip


def _meaning(text: str, names: Names | None) -> tuple[tuple[Span, ...], tuple[Place, ...]]:
    """What a text says: ranges, or the register that has this name. Raises ValueError."""
    places = tuple(names.places(text)) if names is not None else ()
    if places:
        return (), places
    try:
        found = parse(f"addr in {text}")
    except ExpressionError as error:
        raise ValueError(f"'{text}' is no register or range: {str(error).splitlines()[0]}") from error
    if not isinstance(found, Member) or found.name != "addr":
        raise ValueError(f"'{text}' is no register or range")
    return found.spans, ()


def _block(entry: dict[str, Any]) -> BlockMask:
    _checked(entry, _BLOCK_KEYS, "accesses")
    if not entry["accesses"]:
        raise ValueError("a block has at least one access")
    return BlockMask(tuple(_access(text) for text in entry["accesses"]), entry.get("reason", FLOATING))


def _access(text: object) -> Row:
    """An access as `access_line` wrote it."""
    words = text.split() if isinstance(text, str) else []
    try:
        op, width, place, *value = words
        region, plus, offset = place.rpartition("+")
        if op not in _LETTERS or not plus or len(value) > 1:
            raise ValueError
        parts = region.split("/")
        identity: tuple[Any, ...] = ()
        if len(parts) == 3:
            identity = (parts[0], int(parts[1]), parts[2])
        elif len(parts) == 2:
            identity = (parts[0], int(parts[1]) if parts[0] == "map" else parts[1])
        elif region:
            raise ValueError
        number = int(value[0], 16) if value else None
        return _LETTERS[op], None if width == "?" else int(width), identity, int(offset, 16), number
    except ValueError:
        raise ValueError(f"{text!r} is no access as 'W 4 8086:100e/0/BAR0+0x3818 0x1'") from None


def access_line(access: Access, value: bool) -> str:
    """An access as `[[block]]` has it, with its value or without."""
    region = "/".join(map(str, access.identity))
    width = "?" if access.width is None else access.width
    shown = "" if access.value is None or not value else f" {access.value:#x}"
    return f"{access.op} {width} {region}+{access.offset:#x}{shown}"


def mask_lines(masks: Iterable[Mask], blocks: Iterable[tuple[Sequence[str], str]]) -> Iterable[str]:
    """The lines of a mask file. `blocks` are texts of accesses, with the reason."""
    yield "# What differs from run to run, and is set aside. Read it, edit it, keep it: mmiotools diff --mask FILE"
    for mask in masks:
        yield "\n[[mask]]"
        yield f"register = {quoted(mask.text)}"
        if mask.device is not None:
            yield f"device = {quoted(mask.device)}"
        if mask.op is not None:
            yield f'op = "{mask.op.name.lower()}"'
        if mask.bits != int(ALL_BITS):
            yield f"bits = {mask.bits:#x}"
        yield f"reason = {quoted(mask.reason)}"
    for accesses, reason in blocks:
        yield "\n[[block]]"
        yield "accesses = ["
        for text in accesses:
            yield f"  {quoted(text)},"
        yield "]"
        yield f"reason = {quoted(reason)}"


def quoted(text: str) -> str:
    """A TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
