"""Card files: the models of a card's registers as TOML, for people to read and edit. docs/learn.md describes them.

The file is a register map as well (`--regs card.toml`): registers with offset, width and BAR, each with its model in
a table beside.
"""

from __future__ import annotations

from mmiotools.errors import FormatError
from mmiotools.models.card import Card
from mmiotools.models.kinds import KINDS
from mmiotools.models.learn import Learned
from mmiotools.models.spell import checked, spelled
from mmiotools.models.stream import Place
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.trace.tomlfile import read_toml
from mmiotools.typed import Any, Iterable, Iterator, Mapping

SCHEMA = "mmiotools.card/1"

#: Most registers of a file.
MAX_REGISTERS = 1 << 16

_EVIDENCE = ("reads", "writes", "support", "contradict", "confidence")


# -- writing ---------------------------------------------------------------------------------------------------


def card_text(card: Card) -> str:
    """The file's text."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    pci = card.pci
    recordings = f"{card.recordings} recording{'s' * (card.recordings != 1)}"
    yield "# What a card's registers do, learned from recordings of it. Made by `mmiotools learn`; edit it at will:"
    yield "# the keys of each kind are in docs/learn.md. `pinned = true` makes a model win over a recorded path."
    yield f'title = "{pci.ids}, learned from {recordings} with {card.accesses} accesses"'
    yield f'ids = ["{pci.ids}"]'
    yield ""
    yield "[card]"
    yield f'schema = "{SCHEMA}"'
    yield f"recordings = {card.recordings}"
    yield f"accesses = {card.accesses}"
    yield f"vendor = {pci.vendor:#06x}"
    yield f"device = {pci.device:#06x}"
    yield f"bdf = {pci.bdf:#06x}"
    yield f"irq = {pci.irq}"
    yield f"driver = {_quoted(pci.driver)}"
    yield "bars = ["
    for bar in pci.bars:
        yield f"  {{ number = {bar.number}, addr = {bar.addr:#x}, size = {bar.size:#x}, flags = {bar.flags:#x} }},"
    yield "]"
    if card.left_out:
        yield f"# {card.left_out} registers were only written, and are not listed: each is plain storage."
    for learned in card.registers:
        yield from _register(learned)


def _register(learned: Learned) -> Iterator[str]:
    place, model = learned.place, learned.model
    if place.width not in (1, 2, 4, 8):
        return
    key = learned.name if learned.name.replace("_", "").isalnum() and learned.name.isascii() else f'"{learned.name}"'
    yield ""
    yield f"[registers.{key}]"
    yield f"bar = {_bar_number(place.bar)}"
    yield f"offset = {place.offset:#x}"
    yield f"width = {place.width}"
    yield f"[registers.{key}.model]"
    yield f'kind = "{model.kind}"'
    if learned.pinned:
        yield "pinned = true"
    yield f"reset = {model.reset:#x}"
    tables: list[tuple[str, Mapping[Any, Any]]] = []
    for name, held in model.keys().items():
        if isinstance(held, Mapping):
            tables.append((name, held))
        else:
            yield f"{name} = {spelled(model.KEYS[name], held)}"
    yield f"reads = {learned.reads}"
    yield f"writes = {learned.writes}"
    yield f"support = {learned.support}"
    yield f"contradict = {learned.contradict}"
    yield f"confidence = {learned.confidence:.3f}"
    for name, table in tables:
        yield f"[registers.{key}.model.{name}]"
        for entry, value in sorted(table.items()):
            left = entry if isinstance(entry, str) else f"{entry:#x}"
            yield f"{left} = {_entry(value)}"


def _entry(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return spelled("runs", value) if isinstance(value, list) else f"{value:#x}"


def _bar_number(bar: str) -> int:
    return 6 if bar == "ROM" else int(bar.removeprefix("BAR") or 0) if bar.startswith("BAR") else 0


def _quoted(text: str) -> str:
    kept = "".join(letter for letter in text if letter.isprintable())
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- reading ---------------------------------------------------------------------------------------------------


def read_card(path: str) -> Card:
    """The card in a file. Raises UsageError where it cannot be read, FormatError with the key that is wrong."""
    held = read_toml(path, "card")
    try:
        return _card(held)
    except _Wrong as error:
        raise FormatError(f"{path}: {error}") from error


class _Wrong(Exception):
    """What is wrong, with its key."""


#: What each table may hold; what else is there is a slip of the pen.
_TOP_KEYS = ("title", "ids", "card", "registers")
_CARD_KEYS = ("schema", "recordings", "accesses", "vendor", "device", "bdf", "irq", "driver", "bars")
_REGISTER_KEYS = ("bar", "offset", "width", "title", "fields", "model")


def _known(held: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in held:
        if key not in keys:
            raise _Wrong(f"{where}{key[:80]}: is no key that is known; there are: {', '.join(keys)}")


def _card(held: Mapping[str, Any]) -> Card:
    about = held.get("card")
    if not isinstance(about, dict):
        raise _Wrong("is no card file: it has no table 'card'; `mmiotools learn` makes one")
    if about.get("schema") != SCHEMA:
        raise _Wrong(f"card.schema: is {str(about.get('schema'))[:60]!r}, not '{SCHEMA}'")
    _known(held, _TOP_KEYS, "")
    _known(about, _CARD_KEYS, "card.")
    pci = _pci(about)
    registers = held.get("registers", {})
    if not isinstance(registers, dict):
        raise _Wrong("registers: must be a table")
    if len(registers) > MAX_REGISTERS:
        raise _Wrong(f"registers: there are {len(registers)}; {MAX_REGISTERS} are the most")
    found = [_read_register(name, entry) for name, entry in registers.items()]
    places: dict[Place, str] = {}
    for learned in found:
        other = places.setdefault(learned.place, learned.name)
        if other != learned.name:
            raise _Wrong(f"registers.{learned.name}: is the same register as '{other}'")
    counts = [_whole(about, key, "card", 0, 1 << 62) for key in ("recordings", "accesses")]
    return Card(pci, sorted(found, key=lambda learned: learned.place), *counts)


def _pci(about: Mapping[str, Any]) -> PciDevice:
    bars = about.get("bars", [])
    if not isinstance(bars, list) or len(bars) > 16:
        raise _Wrong("card.bars: must be a list of tables, one a BAR")
    windows = []
    for at, bar in enumerate(bars):
        where = f"card.bars[{at}]"
        if not isinstance(bar, dict):
            raise _Wrong(f"{where}: must be a table")
        number = _whole(bar, "number", where, 0, 6)
        addr, size = (_whole(bar, key, where, 0, (1 << 64) - 1) for key in ("addr", "size"))
        windows.append(Bar(number, addr, size, _whole(bar, "flags", where, 0, (1 << 64) - 1)))
    vendor, device, bdf = (_whole(about, key, "card", 0, 0xFFFF) for key in ("vendor", "device", "bdf"))
    driver = about.get("driver", "")
    if not isinstance(driver, str):
        raise _Wrong("card.driver: must be a string")
    return PciDevice(bdf, vendor, device, _whole(about, "irq", "card", 0, 0xFFFF), tuple(windows), driver)


def _read_register(name: str, entry: Any) -> Learned:
    where = f"registers.{name[:80]}"
    if not isinstance(entry, dict):
        raise _Wrong(f"{where}: must be a table with bar, offset, width and model")
    _known(entry, _REGISTER_KEYS, f"{where}.")
    bar = _whole(entry, "bar", where, 0, 6)
    width = _whole(entry, "width", where, 1, 8, 4)
    if "offset" not in entry:
        raise _Wrong(f"{where}.offset: is missing")
    place = Place("ROM" if bar == 6 else f"BAR{bar}", _whole(entry, "offset", where, 0, (1 << 63) - 1), width)
    held = entry.get("model", {"kind": "storage"})
    where += ".model"
    if not isinstance(held, dict):
        raise _Wrong(f"{where}: must be a table")
    kind = KINDS.get(str(held.get("kind")))
    if kind is None:
        raise _Wrong(f"{where}.kind: no kind is called {str(held.get('kind'))[:40]!r}; there are: {', '.join(KINDS)}")
    _known(held, ("kind", "pinned", "reset", *kind.KEYS, *_EVIDENCE), f"{where}.")
    pinned = held.get("pinned", False)
    if not isinstance(pinned, bool):
        raise _Wrong(f"{where}.pinned: must be true or false")
    keys = {}
    for key, what in kind.KEYS.items():
        if key in held:
            try:
                keys[key] = checked(what, held[key], place)
            except ValueError as error:
                raise _Wrong(f"{where}.{key}: {error}") from error
    try:
        model = kind(place, _whole(held, "reset", where, 0, place.mask), **keys)
    except ValueError as error:
        raise _Wrong(f"{where}.{error}") from error
    reads, writes, support, contradict = (_whole(held, key, where, 0, 1 << 62) for key in _EVIDENCE[:4])
    model.written_to = writes > 0
    return Learned(place, model, reads, writes, support + contradict, support, pinned, name)


def _whole(held: Mapping[str, Any], key: str, where: str, low: int, high: int, default: int = 0) -> int:
    value = held.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Wrong(f"{where}.{key}: must be a whole number")
    if not low <= value <= high:
        raise _Wrong(f"{where}.{key}: must be from {low:#x} to {high:#x}")
    return value
