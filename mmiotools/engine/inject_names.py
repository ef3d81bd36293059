"""Names of registers in rules of fault injection and in ranges to probe: spelled out as BAR and offsets of the card.

What is recorded about a run then needs no register map to be understood, and a rule that names a register does the
same as one that gives its offsets.
"""

from __future__ import annotations

import re

import numpy as np

from mmiotools.engine.interface import CONFIG
from mmiotools.errors import ExpressionError
from mmiotools.trace.address_space import Region
from mmiotools.trace.arrays import flatnonzero, split
from mmiotools.trace.header import PciDevice
from mmiotools.trace.names import Names
from mmiotools.typed import NamedTuple

_NAME = r"[A-Za-z_]\w*(?:\[\w*\]|\.\w+)*"
_PLACE = rf"(?P<first>{_NAME})(?:\s*-\s*(?P<last>{_NAME}))?(?P<rest>[^\s].*|\s.*|)"
_RANGE = re.compile(r"(?P<before>\s*)" + _PLACE, re.DOTALL)
_OP = r"(?:read|write|access)\s+"
_RULE = re.compile(rf"(?P<before>\s*(?:{_OP}|remove\s+at\s+(?:{_OP})?))" + _PLACE, re.DOTALL)


class _Bytes(NamedTuple):
    """Offsets `low` to `high` of a BAR, both included."""

    bar: str
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.bar}+{self.low:#x}" + (f"-{self.high:#x}" if self.high > self.low else "")


def spell_rule(text: str, names: Names, pci: PciDevice) -> str:
    """A rule with the offsets of the register that it names, if it names one.

    Raises ExpressionError for a name that no map knows, of a register that the card has not, or of several that do not
    lie side by side.
    """
    match = _RULE.match(text)
    if match is None or _is_region(match["first"], pci):
        return text
    found = _spell(match, names, pci)
    if "." in match["first"] and any(place.field is not None for place in names.places(match["first"])):
        raise _error(match, f"'{match['first']}' is a field; a rule is about the whole register")
    if len(found) > 1:
        raise _error(match, f"'{match['first']}' is registers that do not lie side by side; name one")
    return f"{match['before']}{found[0]}{match['rest']}"


def spell_range(text: str, names: Names, pci: PciDevice) -> list[str]:
    """A range with offsets for the names in it; an array whose elements lie apart is several ranges.

    Raises ExpressionError as `spell_rule` does.
    """
    match = _RANGE.match(text)
    if match is None or _is_region(match["first"], pci):
        return [text]
    return [f"{part}{match['rest']}" for part in _spell(match, names, pci)]


def _is_region(word: str, pci: PciDevice) -> bool:
    return word == CONFIG or re.fullmatch(r"BAR\d+|ROM", word, re.ASCII) is not None or word in _bars(pci)


def _bars(pci: PciDevice) -> dict[str, Region]:
    return {bar.name: Region(bar.name, (), bar.space, bar.addr, bar.size, pci, bar) for bar in pci.bars if bar.size}


def _spell(match: re.Match[str], names: Names, pci: PciDevice) -> list[_Bytes]:
    """The bytes of the register that is named, or from its first to the last of another; adjacent ones are joined."""
    if match["rest"].lstrip()[:1] in ("+", "/") or (match["rest"][:1] == "-" and match["rest"][1:2] != ">"):
        raise _error(match, "a name stands alone, or as NAME-NAME", "rest")
    found = _lookup(match, "first", names, pci)
    if match["last"] is None:
        return found
    begin, end = found[0], _lookup(match, "last", names, pci)[-1]
    if end.bar != begin.bar:
        raise _error(match, f"'{match['first']}' lies in {begin.bar}, '{match['last']}' in {end.bar}", "last")
    if end.high < begin.low:
        raise _error(match, "the range is empty: it ends before it begins", "last")
    return [_Bytes(begin.bar, begin.low, end.high)]


def _lookup(match: re.Match[str], group: str, names: Names, pci: PciDevice) -> list[_Bytes]:
    """Where a register lies on the card, by the first map that knows it there; at least one place."""
    places = names.places(match[group])
    if not places:
        close = names.near(match[group])
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise _error(match, f"no register or field is called '{match[group]}'{hint}", group)
    for place in places:
        for name, region in _bars(pci).items():
            starts = names.starts(place, region)
            if len(starts):
                width = place.register.width
                apart = flatnonzero(np.diff(starts) > np.uint64(width)) + 1
                return [_Bytes(name, int(run[0]), int(run[-1]) + width - 1) for run in split(starts, apart)]
    raise _error(match, f"the card {pci.address} has no register '{match[group]}'", group)


def _error(match: re.Match[str], message: str, group: str = "first") -> ExpressionError:
    return ExpressionError(message, match.string, match.start(group))
