"""Register maps in our own TOML: the form of the bundled maps. docs/register-maps.md describes it for people.

title = "A lamp"
ids = ["1234:b11c"]
[registers]
ID = 0x00
PERIOD = { offset = 0x04, title = "microseconds", fields = { US = "15-0", ON = 31 } }

Card files of `mmiotools learn` are maps too: a table `card`, and registers of several BARs, each with its `model`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

from mmiotools.errors import FormatError, UsageError
from mmiotools.regmaps.source import Collector, Reader, Source, distinct, number
from mmiotools.trace.regmap import NAME, Binding, Field, Register, RegisterMap
from mmiotools.typed import Any, Mapping

_KEYS = {
    "title": str,
    "ids": list,
    "bar": int,
    "address": int,
    "size": int,
    "width": int,
    "registers": dict,
    "card": dict,
}
_REGISTER_KEYS = {
    "bar": int,
    "offset": int,
    "width": int,
    "count": int,
    "stride": int,
    "title": str,
    "fields": dict,
    "model": dict,
}
_WORDS = {str: "a string", int: "a whole number", list: "a list of strings", dict: "a table"}
_KEY = re.compile(r"""\s*(?:\[registers\.)?["']?([^\s"'=\]]+(?:\[\])?[^\s"'=]*?)["']?\s*[\]=]""")
_BITS = re.compile(r"([0-9]{1,3})-([0-9]{1,3})")


def _recognises(text: str) -> bool:
    return re.search(r"^\s*\[registers\b", text, re.MULTILINE) is not None


def _read(source: Source) -> list[RegisterMap]:
    try:
        held = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+)", str(error))
        raise source.error(f"is not valid TOML: {error}", int(place[1]) if place else None) from error
    except RecursionError as error:
        raise source.error("is nested too deep") from error
    except ValueError as error:  # a number without end
        raise source.error(f"is not valid TOML: {error}") from error
    _check(source, held, _KEYS, "", None)
    if "registers" not in held:
        raise source.error("holds no table 'registers'")
    binding = _binding(source, held)
    found: dict[int | None, Collector] = {}
    lines = _lines(source.text)
    for name, entry in held["registers"].items():
        line = lines.get(name)
        if not NAME.fullmatch(name):
            raise source.error(f"'{name[:80]}' is no name for a register", line)
        if isinstance(entry, int) and not isinstance(entry, bool):
            entry = {"offset": entry}
        if not isinstance(entry, dict):
            raise source.error(f"register '{name}' must be an offset or a table", line)
        _check(source, entry, _REGISTER_KEYS, f"register '{name}': ", line)
        if "offset" not in entry:
            raise source.error(f"register '{name}': key 'offset' is missing", line)
        width = entry.get("width", held.get("width", 4))
        fields = distinct(_field(source, name, word, bits, line) for word, bits in entry.get("fields", {}).items())
        count = entry.get("count", 1)
        stride = entry.get("stride", width)
        register = Register(name, entry["offset"], width, fields, count, stride, entry.get("title", ""))
        bar = entry.get("bar", binding.bar)
        if not 0 <= (bar or 0) <= 6 or ("bar" in entry and binding.address is not None):
            raise source.error(f"register '{name}': 'bar' must be from 0 to 6, in a map without 'address'", line)
        found.setdefault(bar, Collector(source)).add(register, line)
    title = held.get("title", "")
    if not found:
        raise source.error("holds no registers")
    return [part.map(title, replace(binding, bar=bar)) for bar, part in found.items()]


def _check(source: Source, held: Mapping[str, Any], keys: Mapping[str, type], where: str, line: int | None) -> None:
    for key, value in held.items():
        if key not in keys:
            raise source.error(f"{where}unknown key '{key[:80]}'; there are: {', '.join(keys)}", line)
        wanted = keys[key]
        good = isinstance(value, wanted) and not isinstance(value, bool)
        if not good or (wanted is list and not all(isinstance(item, str) for item in value)):
            raise source.error(f"{where}key '{key}' must be {_WORDS[wanted]}", line)


def _binding(source: Source, held: Mapping[str, Any]) -> Binding:
    try:
        ids = tuple(Binding.parse(word).ids[0] for word in held.get("ids", ()) if _is_ids(word))
    except UsageError as error:
        raise source.error(str(error)) from error
    if "address" in held:
        if ids or "bar" in held:
            raise source.error("a map is bound by 'address' or by 'ids' and 'bar', not by both")
        if held["address"] < 0 or held.get("size", 1) < 1:
            raise source.error("'address' or 'size' is out of range")
        return Binding(address=(held["address"], held.get("size")))
    if "size" in held:
        raise source.error("'size' needs 'address'")
    if not 0 <= held.get("bar", 0) <= 6:
        raise source.error("'bar' must be from 0 to 6; 6 is the ROM")
    return Binding(ids, held.get("bar"))


def _is_ids(word: str) -> bool:
    if not re.fullmatch(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}", word):
        raise UsageError(f"'{word[:40]}' in 'ids' is no pair like 8086:100e")
    return True


def _field(source: Source, register: str, name: str, entry: Any, line: int | None) -> Field:
    """A field from a bit, "high-low", or a table of bits and values."""

    def bad(message: str) -> FormatError:
        return source.error(f"field '{register}.{name[:80]}': {message}", line)

    values: dict[int, str] = {}
    if not re.fullmatch(r"\w+", name, re.ASCII) or len(name) > 64:
        raise bad("a name has letters, digits and _")
    if isinstance(entry, dict):
        if (
            not entry.keys() <= {"bits", "values"}
            or "bits" not in entry
            or not isinstance(entry.get("values", {}), dict)
        ):
            raise bad("a table has 'bits' and may have a table 'values'")
        for key, word in entry.get("values", {}).items():
            numeral = number(key)
            if numeral is None or not isinstance(word, str) or not re.fullmatch(r"[\w.+-]{1,64}", word, re.ASCII):
                told = repr(word[:40]) if isinstance(word, str) else type(word).__name__
                raise bad(f"'values' has a number for a word, not '{key[:40]}' for {told}")
            values[numeral] = word
        entry = entry["bits"]
    if isinstance(entry, int) and not isinstance(entry, bool):
        return Field(name, entry, entry, values)
    match = _BITS.fullmatch(entry) if isinstance(entry, str) else None
    if match is None:
        raise bad('bits are a number, or "high-low"')
    return Field(name, int(match[1]), int(match[2]), values)


def _lines(text: str) -> dict[str, int]:
    """The line where each key is first, as near as a search can tell: tomllib does not say."""
    found: dict[str, int] = {}
    for number_of_line, line in enumerate(text.split("\n"), 1):
        if (match := _KEY.match(line)) is not None:
            found.setdefault(match[1], number_of_line)
    return found


READER = Reader("toml", "Our own TOML, the form of the bundled maps.", (".toml",), _recognises, _read)
