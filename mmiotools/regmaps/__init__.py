"""Register maps from files: one reader a format, and the bundled maps under `maps/`.

`load_names` turns what the user said with --regs into the `Names` that every command asks.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

from mmiotools.errors import FormatError, UsageError
from mmiotools.regmaps.source import Reader, Source, read_text
from mmiotools.trace.names import Names
from mmiotools.trace.registry import Registry
from mmiotools.trace.regmap import Binding, RegisterMap
from mmiotools.typed import Callable, Iterable, NamedTuple

#: In the order in which they look at a file; the plain table takes the least to be recognised.
READERS: Registry[Reader] = Registry(
    "reader of register maps",
    {
        "svd": "mmiotools.regmaps.svd:READER",
        "rnndb": "mmiotools.regmaps.rnndb:READER",
        "header": "mmiotools.regmaps.header:READER",
        "toml": "mmiotools.regmaps.toml:READER",
        "table": "mmiotools.regmaps.table:READER",
    },
)

#: The word for all bundled maps.
AUTO = "auto"

_BUNDLED = Path(__file__).parent / "maps"
_BINDING = re.compile(r"@([^@/\\]*(?:/(?:BAR[0-5]|ROM))?)$")


class Listed(NamedTuple):
    """A bundled map, for listings: `ids` are the PCI ids that it is bound to."""

    name: str
    title: str
    ids: tuple[str, ...]


def bundled_names() -> list[str]:
    """The names that --regs knows."""
    return sorted(path.stem for path in _BUNDLED.glob("*.toml"))


def bundled_maps() -> list[Listed]:
    """The bundled maps, by name."""
    maps = [_bundled(name) for name in bundled_names()]
    return [Listed(regmap.name, regmap.title, regmap.binding.ids) for regmap in maps]


@cache
def _bundled(name: str) -> RegisterMap:
    path = str(_BUNDLED / f"{name}.toml")
    return READERS.get("toml").read(Source(path, read_text(path)))[0]


def load_names(words: Iterable[str], note: Callable[[str], None] = lambda text: None) -> Names:
    """The maps of some words, the earlier ones first: FILE, FILE@BINDING, NAME, NAME@BINDING or auto.

    note    told what the user should know but what is no error
    Raises UsageError and FormatError.
    """
    maps: list[RegisterMap] = []
    for word in words:
        maps += load_maps(word, note)
    return Names(maps)


def load_maps(word: str, note: Callable[[str], None] = lambda text: None) -> list[RegisterMap]:
    """The maps of one word. Raises UsageError and FormatError."""
    if word == AUTO:
        return [_bundled(name) for name in bundled_names()]
    path, binding = word, None
    match = _BINDING.search(word)
    # A file may have an @ in its name.
    if match and not os.path.exists(word):
        path, binding = word[: match.start()], Binding.parse(match[1])
    if path in bundled_names() and not os.path.exists(path):
        maps = [_bundled(path)]
    else:
        maps = read_maps(path, note)
    return maps if binding is None else _rebound(path, maps, binding)


def read_maps(path: str, note: Callable[[str], None] = lambda text: None) -> list[RegisterMap]:
    """The maps in a file, whose format is told by its content, else by its suffix; PATH#DOMAIN chooses in rnndb files.
    Raises UsageError and FormatError.
    """
    name, _, domain = (path, "", "") if os.path.exists(path) else path.partition("#")
    if not os.path.exists(name) and os.sep not in name and "." not in name:
        known = ", ".join([*bundled_names(), AUTO])
        raise UsageError(f"no register map is called '{name}'; there are: {known}; or name a file")
    source = Source(path, read_text(name))
    reader = _reader_for(name, source.text)
    if domain and reader.name != "rnndb":
        raise UsageError(f"{path}: only rnndb files have domains")
    try:
        return reader.read(source)
    finally:
        for text in source.notes:
            note(text)


def _reader_for(path: str, text: str) -> Reader:
    readers = [READERS.get(name) for name in READERS.builtin_names()]
    for reader in readers:
        if reader.recognises(text):
            return reader
    for reader in readers:
        if path.lower().endswith(reader.suffixes):
            return reader
    titles = "; ".join(reader.title.rstrip(".") for reader in readers)
    raise FormatError(f"{path}: is no register map that is known; there are: {titles}")


def _rebound(path: str, maps: list[RegisterMap], binding: Binding) -> list[RegisterMap]:
    """The maps of a file where the user says that they lie. Several, as of a whole chip, keep their distances."""
    if len(maps) == 1:
        return [replace(maps[0], binding=binding)]
    moved = []
    for regmap in maps:
        base = regmap.binding.address[0] if regmap.binding.address else 0
        registers = tuple(replace(item, offset=item.offset + base) for item in regmap.registers)
        moved.append(replace(regmap, binding=binding, registers=registers))
    return moved


__all__ = ["AUTO", "READERS", "Listed", "bundled_maps", "bundled_names", "load_maps", "load_names", "read_maps"]
