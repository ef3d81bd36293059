"""Rules of fault injection: the language in which a user says how a card shall misbehave.

    SUBJECT ACTION CONDITION...

docs/injection.md is the manual. Addresses are spelled as in filters: A-B includes both ends, A+LEN has LEN bytes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from mmiotools.engine.inject_data import (
    Action,
    Delay,
    Drop,
    Flip,
    Hold,
    Place,
    Remove,
    Replace,
    Rule,
    Spurious,
    Stuck,
    ValueTest,
    locate_place,
)
from mmiotools.errors import ExpressionError
from mmiotools.trace.header import PciDevice
from mmiotools.typed import Any, Iterable, NamedTuple

#: Longest rule, in characters.
MAX_TEXT = 1000

SUBJECTS = ("read", "write", "access", "remove", "irq")
CONDITIONS = ("after N", "at N", "every N", "once", "times N", "probability P", "width W", "if value == X")

_OPS = {"read": "R", "write": "W", "access": "RW"}
#: The words that may follow a count, by subject: what the rule counts.
_UNITS = {
    "read": ("reads", "read", "accesses", "access"),
    "write": ("writes", "write", "accesses", "access"),
    "access": ("accesses", "access"),
    "irq": ("interrupts", "interrupt"),
}
_WIDTHS = (1, 2, 4, 8)

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
  | (?P<place>(?:[0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7](?:/\w+)?)
  | (?P<number>[0-9][\w.]*)
  | (?P<word>[A-Za-z_]\w*(?:\[\w*\]|\.\w+)*)
  | (?P<sign>->|==|!=|[-+=&%])
    """,
    re.VERBOSE,
)
_INTEGER = re.compile(r"0[xX](?P<hex>[0-9a-fA-F_]+)|0[bB](?P<bin>[01_]+)|(?P<dec>[0-9]+)(?P<unit>[kKMG]?)", re.ASCII)
_SCALES = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_TIME = re.compile(r"(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?(?P<unit>s|ms|us|µs|μs|ns)", re.ASCII)
#: Powers of ten of a nanosecond.
_TIME_UNITS = {"s": 9, "ms": 6, "us": 3, "µs": 3, "μs": 3, "ns": 0}
_FRACTION = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)


def parse_rules(texts: Iterable[str]) -> tuple[Rule, ...]:
    """Every rule, in order. Raises ExpressionError for the first that cannot be understood."""
    return tuple(parse_rule(text) for text in texts)


def parse_rule(text: str) -> Rule:
    """One rule. Raises ExpressionError that points at the word that is wrong."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"the rule has {len(text)} characters; {MAX_TEXT} are the most")
    return _Parser(" ".join(text.split())).rule()


def parse_range(text: str) -> Place:
    """Registers alone, as BAR0+0x100-0x1ff. Raises ExpressionError that points at what is wrong."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"the range has {len(text)} characters; {MAX_TEXT} are the most")
    parser = _Parser(text)
    place = parser.place()
    if parser.here.sort != "end":
        raise parser.error(f"the range should end here, {parser.found(parser.here)}")
    return place


def locate_ranges(texts: Iterable[str], pci: PciDevice) -> list[tuple[int, int]]:
    """The physical addresses (first, last) of ranges on a card. Raises ExpressionError when one is not on it."""
    bases = {bar.name: bar.addr for bar in pci.bars}
    found = []
    for text in texts:
        for window in locate_place(parse_range(text), text, pci):
            if window.region not in bases:
                raise ExpressionError(f"{window.region} is not memory, and cannot be probed", text)
            found.append((bases[window.region] + window.start, bases[window.region] + window.end - 1))
    return found


class _Token(NamedTuple):
    """`sort` is place, number, word, sign or end."""

    sort: str
    text: str
    column: int


def _tokenize(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"unexpected character {text[at]!r}", text, at)
        if match.lastgroup != "blank":
            tokens.append(_Token(str(match.lastgroup), match[0], at))
        at = match.end()
    return [*tokens, _Token("end", "", len(text))]


class _Parser:
    """Tokens with a place among them, and the conditions found so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokenize(text)
        self.at = 0

    @property
    def here(self) -> _Token:
        return self.tokens[self.at]

    def next(self) -> _Token:
        token = self.here
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def take(self, *texts: str) -> bool:
        if self.here.text in texts:
            self.next()
            return True
        return False

    def error(self, message: str, token: _Token | None = None) -> ExpressionError:
        return ExpressionError(message, self.text, (token or self.here).column)

    def found(self, token: _Token) -> str:
        """What stands here, for messages that say what should."""
        return f"not '{token.text}'" if token.sort != "end" else "but the rule ends"

    # -- the whole ----------------------------------------------------------------------------------------

    def rule(self) -> Rule:
        token = self.next()
        if token.text not in SUBJECTS:
            close = difflib.get_close_matches(token.text.lower(), SUBJECTS, 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise self.error(f"a rule begins with read, write, access, remove or irq, {self.found(token)}{hint}", token)
        ops, place, line = _OPS.get(token.text, ""), None, None
        action: Action
        if token.text == "irq":
            if self.take("line"):
                line = self.count("the number of an interrupt line", 0)
            action = self.irq_action()
            if isinstance(action, Spurious):
                ops = "RW"
        elif token.text == "remove":
            action, ops = Remove(), "RW"
            if self.here.text == "at" and not _is_count(self.tokens[self.at + 1]):
                self.next()
                if self.here.text in _OPS:
                    ops = _OPS[self.next().text]
                place = self.place()
        else:
            place = self.place()
            action = self.access_action()
        counted = "access" if isinstance(action, Spurious | Remove) else token.text
        rule = Rule(self.text, ops, action, place, line)
        return _Conditions(self, rule, _UNITS[counted]).rule()

    # -- actions ------------------------------------------------------------------------------------------

    def access_action(self) -> Action:
        token = self.next()
        if token.text == "->":
            return Replace(self.integer("a value"))
        if token.text == "flip":
            return Flip(self.bit() if self.take("bit") else None)
        if token.text == "stuck":
            at = self.here
            mask = 1 << self.bit() if self.take("bit") else self.integer("a mask, or 'bit N',")
            if not mask:
                raise self.error("a mask of 0 has no bits that could be stuck", at)
            if not self.take("="):
                raise self.error(f"'= 0' or '= 1' is expected here, {self.found(self.here)}")
            level = self.next()
            if level.text not in ("0", "1"):
                raise self.error(f"bits are stuck at 0 or at 1, {self.found(level)}", level)
            return Stuck(mask, int(level.text))
        if token.text == "drop":
            return Drop()
        if token.text == "delay":
            return self.delay()
        raise self.error(f"'-> VALUE', flip, stuck, drop or delay is expected here, {self.found(token)}", token)

    def irq_action(self) -> Action:
        token = self.next()
        if token.text in ("drop", "lose"):
            return Drop()
        if token.text == "spurious":
            return Spurious()
        if token.text == "delay":
            if not _is_count(self.here):
                return self.delay()
            number = self.here
            count = self.count("a number of accesses", 1)
            if not self.take("accesses", "access"):
                raise self.error(f"{number.text} what? write '{number.text} accesses' or '{number.text}us'", number)
            return Hold(count)
        raise self.error(f"drop, lose, delay or spurious is expected here, {self.found(token)}", token)

    def delay(self) -> Delay:
        token = self.next()
        match = _TIME.fullmatch(token.text)
        if match is None or len(token.text) > 30:
            raise self.error(f"a time with its unit, as 5ms or 3us, is expected here, {self.found(token)}", token)
        power, part = _TIME_UNITS[match["unit"]], (match["part"] or "").rstrip("0")
        if len(part) > power:
            raise self.error(f"'{token.text}' is finer than a nanosecond", token)
        return Delay(int(match["whole"] + part.ljust(power, "0")), token.text)

    # -- places -------------------------------------------------------------------------------------------

    def place(self) -> Place:
        token = self.here
        if token.sort == "number":
            if not token.text.lower().startswith("0x"):
                raise self.error("an address is written 0x…, or with its region as BAR0+0x100", token)
            low = self.integer("an address")
            return Place(None, low, self.range_end(None, low), column=token.column)
        device, region = self.region()
        if not self.take("+"):
            return Place(region, 0, None, device, token.column)
        low = self.integer("an offset")
        return Place(region, low, self.range_end((device, region), low), device, token.column)

    def region(self) -> tuple[str | None, str]:
        token = self.next()
        if token.sort == "word":
            return None, token.text
        if token.sort != "place":
            raise self.error(f"a register as BAR0+0x100 is expected here, {self.found(token)}", token)
        address, slash, region = token.text.partition("/")
        if not slash:
            raise self.error(f"a region is missing, as in '{address}/BAR0'", token)
        return address.lower().removeprefix("0000:"), region

    def range_end(self, begun: tuple[str | None, str] | None, low: int) -> int:
        """The included end after `-B` or `+LEN`, else `low`."""
        if self.take("+"):
            token = self.here
            length = self.integer("a length")
            if not length:
                raise self.error("the range is empty: its length is 0", token)
            return low + length - 1
        if not self.take("-"):
            return low
        token = self.here
        if token.sort in ("word", "place") and begun is not None:
            if self.region() != begun:
                raise self.error(f"a range ends in the region where it begins, '{begun[1]}'", token)
            if not self.take("+"):
                raise self.error(f"an offset is expected here, {self.found(self.here)}")
            token = self.here
        high = self.integer("the end of the range")
        if high < low:
            raise self.error("the range is empty: it ends before it begins", token)
        return high

    # -- numbers ------------------------------------------------------------------------------------------

    def integer(self, what: str) -> int:
        token = self.next()
        match = _INTEGER.fullmatch(token.text)
        if match is None:
            raise self.error(f"{what} is expected here, {self.found(token)}", token)
        digits = match["hex"] or match["bin"] or match["dec"]
        if not digits.strip("_"):
            raise self.error(f"'{token.text}' is no number", token)
        base = 16 if match["hex"] else 2 if match["bin"] else 10
        number = int(digits.replace("_", ""), base) * _SCALES[match["unit"] or ""]
        if number >> 64:
            raise self.error("this number has more than 64 bits", token)
        return number

    def count(self, what: str, least: int) -> int:
        token = self.next()
        if not _is_count(token):
            raise self.error(f"{what}, in decimal, is expected here, {self.found(token)}", token)
        if not least <= int(token.text) < 1 << 63:
            raise self.error(f"this must be at least {least}" if int(token.text) < least else "this is too many", token)
        return int(token.text)

    def bit(self) -> int:
        token = self.here
        number = self.count("the number of a bit", 0)
        if number > 63:
            raise self.error("bits are numbered from 0 to 63", token)
        return number


class _Conditions:
    """What stands behind the action. Each condition once, in any order."""

    def __init__(self, parser: _Parser, rule: Rule, units: tuple[str, ...]) -> None:
        self.parser = parser
        self.draft = rule
        self.units = units
        self.said: dict[str, _Token] = {}
        self.held: dict[str, Any] = {}

    def rule(self) -> Rule:
        """The rule with its conditions."""
        while self.parser.here.sort != "end":
            self.condition()
        self.check()
        return replace(self.draft, **self.held)

    def condition(self) -> None:
        parser = self.parser
        token = parser.next()
        name = token.text
        if token.sort == "number":
            self.note("probability", token)
            self.held["probability"] = self.bare_probability(token)
            return
        self.note("times" if name == "once" else name, token)
        if name in ("after", "at", "every"):
            self.held[name] = parser.count("a count", 0 if name == "after" else 1)
            self.unit()
        elif name == "times":
            self.held["times"] = parser.count("a count", 1)
        elif name == "once":
            self.held["times"] = 1
        elif name == "probability":
            self.held["probability"] = self.probability(parser.next())
        elif name == "width":
            number = parser.here
            self.held["width"] = parser.count("a width", 1)
            if self.held["width"] not in _WIDTHS:
                raise parser.error("accesses are 1, 2, 4 or 8 bytes wide", number)
        elif name == "if":
            self.held["test"] = self.value_test()
        else:
            raise parser.error(f"'{name}' is not expected here; conditions are: {', '.join(CONDITIONS)}", token)

    def note(self, name: str, token: _Token) -> None:
        if name in self.said:
            raise self.parser.error(f"'{name}' was said before", token)
        self.said[name] = token

    def unit(self) -> None:
        if not self.parser.take(*self.units) and any(self.parser.here.text in words for words in _UNITS.values()):
            raise self.parser.error(f"this rule counts {self.units[0]}")

    def bare_probability(self, token: _Token) -> float:
        if "." in token.text or self.parser.here.text == "%":
            return self.probability(token)
        raise self.parser.error(
            f"'{token.text}' alone may mean much: 'times {token.text}', 'bit {token.text}' or 0.5", token
        )

    def probability(self, token: _Token) -> float:
        if token.sort != "number" or not _FRACTION.fullmatch(token.text):
            raise self.parser.error(f"a probability as 0.01 or 1% is expected here, {self.parser.found(token)}", token)
        number = float(token.text) / 100 if self.parser.take("%") else float(token.text)
        if not 0 < number <= 1:
            raise self.parser.error("a probability is more than 0 and at most 1", token)
        return number

    def value_test(self) -> ValueTest:
        parser = self.parser
        if not parser.take("value"):
            raise parser.error(f"'value' is expected here, {parser.found(parser.here)}")
        mask = parser.integer("a mask") if parser.take("&") else None
        sign = parser.next()
        if sign.text not in ("==", "!="):
            raise parser.error(f"'==' or '!=' is expected here, {parser.found(sign)}", sign)
        return ValueTest(mask, sign.text == "==", parser.integer("a value"))

    def check(self) -> None:
        """What makes no sense together."""
        said, draft = self.said, self.draft
        for name in ("after", "every", "times"):
            if "at" in said and name in said:
                raise self.parser.error("'at' stands alone, without after, every and times", said["at"])
        for name in ("every", "times"):
            if isinstance(draft.action, Remove) and name in said:
                raise self.parser.error("a card that was removed does not come back", said[name])
        for name in ("width", "if"):
            if name in said and draft.place is None:
                raise self.parser.error(f"'{said[name].text}' needs a register to look at", said[name])
        if "if" in said and draft.early and "R" in draft.ops:
            raise self.parser.error("what is read is not known before the card was asked", said["if"])


def _is_count(token: _Token) -> bool:
    return token.sort == "number" and re.fullmatch("[0-9]+", token.text, re.ASCII) is not None
