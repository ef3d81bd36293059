"""The filter language: recursive descent over tokens, to the tree of `mmiotools.filters.expr`."""

from __future__ import annotations

from mmiotools.errors import ExpressionError
from mmiotools.filters import expr as tree
from mmiotools.filters import registers
from mmiotools.filters.lexer import Token, as_bytes, integer, nanoseconds, tokenize, unquote
from mmiotools.typed import TYPE_CHECKING, Callable, TypeVar

if TYPE_CHECKING:
    from mmiotools.trace.names import Names

S = TypeVar("S")

COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")

#: How deep parentheses and `not` may be nested.
MAX_DEPTH = 100

#: Fields that hold text.
_TEXTS = ("region", "reg", "mark")
#: BARs that have names → their numbers.
_BARS = {**{f"BAR{number}": number for number in range(6)}, "ROM": tree.ROM_BAR}


def parse(text: str, names: Names | None = None) -> tree.Expr:
    """The tree of an expression; an empty one is `all`. Words that `names` knows are registers.

    Raises ExpressionError with text and column.
    """
    parser = Parser(text, names)
    if parser.here.sort == "end":
        return tree.Word("all")
    found = parser.either()
    if parser.here.sort != "end":
        raise parser.error(_left_over(parser.here))
    return found


def parse_time(text: str) -> int:
    """One time in nanoseconds, as the language spells it. Raises ExpressionError."""
    return Parser(text).alone("time")


def parse_times(text: str) -> tuple[int | None, int | None]:
    """`A-B`, `A-`, `-B` or `A+LEN` as first and last nanosecond, None where open. Raises ExpressionError."""
    parser = Parser(text)
    if parser.take("-"):
        return None, parser.alone("time")
    low = parser.number("time")
    if parser.here.text == "-" and parser.ahead(1).sort == "end":
        return low, None
    if parser.here.sort == "end":
        raise parser.error("a range is expected: A-B, A-, -B or A+LEN")
    high = parser.range_end("time", low, 0)
    parser.expect_end()
    return low, high


def parse_duration(text: str) -> int:
    """A length of time in nanoseconds: seconds, or with s, ms, us or ns behind. Raises ExpressionError."""
    return Parser(text).alone("time")


def _left_over(token: Token) -> str:
    if token.text == ")":
        return "this parenthesis closes nothing"
    if token.sort == "word" and (token.text in tree.FIELDS or token.text in tree.WORDS):
        return "'and' or 'or' is missing before this"
    return f"'{token.text}' is not expected here"


class Parser:
    """Tokens with a place among them."""

    def __init__(self, text: str, names: Names | None = None) -> None:
        self.text = text
        self.names = names or None
        self.tokens = tokenize(text)
        self.at = 0
        self.depth = 0

    # -- tokens -------------------------------------------------------------------------------------------

    @property
    def here(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, count: int) -> Token:
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.here
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def take(self, *texts: str) -> bool:
        if self.here.sort in ("sign", "word") and self.here.text in texts:
            self.next()
            return True
        return False

    def error(self, message: str, token: Token | None = None) -> ExpressionError:
        return ExpressionError(message, self.text, (token or self.here).column)

    def expect_end(self) -> None:
        if self.here.sort != "end":
            raise self.error(_left_over(self.here))

    def alone(self, name: str) -> int:
        number = self.number(name)
        self.expect_end()
        return number

    # -- and, or, not, ( ) --------------------------------------------------------------------------------

    def either(self) -> tree.Expr:
        return self._joined(self.both, ("or", "||"), tree.Or)

    def both(self) -> tree.Expr:
        return self._joined(self.single, ("and", "&&"), tree.And)

    def _joined(self, part: Callable[[], tree.Expr], words: tuple[str, ...], node: type[tree.Joined]) -> tree.Expr:
        column = self.here.column
        parts = [part()]
        while self.take(*words):
            parts.append(part())
        return parts[0] if len(parts) == 1 else node(tuple(parts), column=column)

    def single(self) -> tree.Expr:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        try:
            return self._single()
        finally:
            self.depth -= 1

    def _single(self) -> tree.Expr:
        token = self.here
        if self.take("not", "!"):
            return tree.Not(self.single(), column=token.column)
        if self.take("("):
            masked = self._parenthesised_mask()
            if masked is not None:
                return masked
            inner = self.either()
            if not self.take(")"):
                what = "this parenthesis is never closed" if self.here.sort == "end" else _left_over(self.here)
                raise self.error(what, token if self.here.sort == "end" else self.here)
            return inner
        if token.sort == "end":
            raise self.error("a condition is missing here")
        if token.sort not in ("word", "name") or token.text in ("and", "or", "in"):
            raise self.error(f"a field or a word is expected here, not '{token.text}'")
        return self._condition()

    def _parenthesised_mask(self) -> tree.Expr | None:
        """C's habit: `(value & 0x80) != 0`."""
        if self.here.text in tree.NUMBERS and self.ahead(1).text == "&" and self.ahead(3).text == ")":
            name = self.next()
            self.next()
            mask = self._mask(name)
            self.next()
            return self._masked(name, mask)
        return None

    # -- conditions ---------------------------------------------------------------------------------------

    def _condition(self) -> tree.Expr:
        name = self.next()
        if registers.is_register(self, name):
            return registers.condition(self, name)
        sign = self.here
        compares = sign.sort == "sign" and sign.text in (*COMPARISONS, "~", "!~", "&")
        compares = compares or (sign.sort == "word" and sign.text == "in")
        if not compares:
            return self._word(name)
        if name.text not in tree.FIELDS:
            raise self._unknown(name, "field", tree.FIELDS)
        if name.text in _TEXTS:
            return self._text(name)
        if sign.text in ("~", "!~"):
            raise self.error(f"'{sign.text}' needs a field that holds text: {', '.join(_TEXTS)}")
        if self.take("&"):
            if name.text not in tree.NUMBERS or name.text == "time":
                raise self.error(f"'{name.text}' has no bits to mask", sign)
            return self._masked(name, self._mask(name))
        if self.take("in"):
            return self._member(name)
        return self._compare(name)

    def _word(self, name: Token) -> tree.Expr:
        if name.text in tree.WORDS:
            return tree.Word(name.text, column=name.column)
        if name.text in tree.FIELDS:
            raise self.error(f"field '{name.text}' needs a comparison: == != < <= > >= in or &")
        raise self._unknown(name, "field or word", (*tree.FIELDS, *tree.WORDS))

    def _unknown(self, name: Token, noun: str, known: tuple[str, ...]) -> ExpressionError:
        import difflib

        close = difflib.get_close_matches(name.text.lower(), known, 1)
        if self.names is not None and not close:
            close = self.names.near(name.text)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(dict.fromkeys(known))}"
        return self.error(f"unknown {noun} '{name.text}'; {hint}", name)

    def _mask(self, name: Token) -> int:
        mask = self.here
        number = self.number(name.text, signed=False)
        if number >> 64 and name.text != "value":
            raise self.error("a mask of more than 64 bits fits 'value' alone", mask)
        return number

    def _masked(self, name: Token, mask: int) -> tree.Expr:
        sign = self.here
        if not self.take(*COMPARISONS):
            raise self.error(f"a comparison is missing after the mask, as in '{name.text} & {mask:#x} != 0'")
        return tree.Compare(name.text, sign.text, self.plain_number(), mask, column=name.column)

    def _compare(self, name: Token) -> tree.Expr:
        sign = self.next()
        if name.text in ("op", "kind") and sign.text not in ("==", "!="):
            raise self.error(f"'{name.text}' has no order; write ==, != or in", sign)
        if name.text == "addr" and registers.is_register(self, self.here):
            register = registers.known(self, self.next())
            offset = self.number("offset", signed=False) if self.take("+") else 0
            return registers.AtRegister(sign.text, register, offset, column=name.column)
        if name.text == "addr" and (place := self._region_ahead()) is not None:
            region = self.region(place)
            if not self.take("+"):
                raise self.error(f"an offset is missing, as in '{region}+0x100'; or write 'addr in {region}'")
            return tree.Place(sign.text, region, self.number("offset", signed=False), column=name.column)
        if name.text == "bar" and (place := self._region_ahead()) is not None and not self._is_bar(place):
            if sign.text not in ("==", "!="):
                raise self.error("the name of a region has no order; write == or !=", sign)
            return tree.Text("region", sign.text, (self.region(place),), column=name.column)
        return tree.Compare(name.text, sign.text, self.number(name.text), column=name.column)

    def _member(self, name: Token) -> tree.Expr:
        items = self.listed(lambda: self.span(name.text))
        spans = tuple(item for item in items if isinstance(item, tree.Span))
        named = tuple(item for item in items if not isinstance(item, tree.Span))
        return tree.Member(name.text, spans, named, column=name.column)

    def listed(self, item: Callable[[], S]) -> list[S]:
        """One item, or a set of them in braces."""
        opened = self.here
        if not self.take("{"):
            return [item()]
        if self.here.text == "}":
            raise self.error("this set is empty", opened)
        items = [item()]
        while self.take(","):
            items.append(item())
        self._close_set(opened)
        return items

    def _close_set(self, opened: Token) -> None:
        if self.here.sort == "end":
            raise self.error("this brace is never closed", opened)
        if not self.take("}"):
            raise self.error(f"',' or '}}' is expected here, not '{self.here.text}'")

    def _text(self, name: Token) -> tree.Expr:
        sign = self.next()
        if sign.text in ("~", "!~"):
            return self._matches(name, sign)
        item = {"region": self._name, "reg": self._register}.get(name.text, self._string)
        if sign.text == "in":
            opened = self.here
            if not self.take("{"):
                return tree.Text(name.text, "in", (item(),), column=name.column)
            if self.here.text == "}":
                raise self.error("this set is empty", opened)
            items = [item()]
            while self.take(","):
                items.append(item())
            self._close_set(opened)
            return tree.Text(name.text, "in", tuple(items), column=name.column)
        if sign.text not in ("==", "!="):
            raise self.error(f"'{name.text}' holds text; write == != in ~ or !~", sign)
        return tree.Text(name.text, sign.text, (item(),), column=name.column)

    def _matches(self, name: Token, sign: Token) -> tree.Expr:
        from mmiotools.filters.patterns import compile_pattern

        pattern = self.next()
        if pattern.sort == "string":
            source = pattern.text[1:-1]
        elif pattern.sort == "word":
            source = pattern.text
        else:
            raise self.error("a regular expression in quotes is expected here", pattern)
        try:
            compile_pattern(as_bytes(source))
        except ValueError as error:
            raise self.error(f"bad regular expression: {error}", pattern) from error
        return tree.Matches(name.text, source, sign.text == "!~", column=name.column)

    # -- values -------------------------------------------------------------------------------------------

    def _string(self) -> str:
        token = self.next()
        if token.sort == "string":
            return unquote(token, self.text)
        if token.sort == "word":
            return token.text
        raise self.error("a text in quotes is expected here", token)

    def _name(self) -> str:
        token = self._region_ahead()
        if token is None:
            raise self.error("the name of a region is expected here, as in BAR0 or '00:03.0/BAR0'")
        return self.region(token)

    def _register(self) -> str:
        token = self.next()
        if token.sort == "string":
            token = token._replace(text=unquote(token, self.text))
        elif token.sort not in ("word", "name"):
            raise self.error("the name of a register is expected here", token)
        return registers.known(self, token)

    def _region_ahead(self) -> Token | None:
        return self.here if self.here.sort in ("place", "word", "string") else None

    def region(self, token: Token) -> str:
        """The name of a region; takes the token. PCI domain 0000 is the only one that traces know."""
        self.next()
        if token.sort == "string":
            return unquote(token, self.text)
        if token.sort == "place":
            address, slash, region = token.text.partition("/")
            if not slash:
                raise self.error(f"a region is missing, as in '{address}/BAR0'", token)
            domain, bus, slot = ["0000", *address.lower().split(":")][-3:]
            return f"{bus}:{slot}/{region}" if domain == "0000" else f"{domain}:{bus}:{slot}/{region}"
        return token.text

    def _is_bar(self, token: Token) -> bool:
        return token.sort == "word" and token.text in _BARS

    def span(self, name: str) -> tree.AnySpan:
        """A value, `A-B` or `A+LEN`; for addr also REGION, REGION+A, REGION+A-B and REGION+A+LEN, and REGISTER."""
        if name == "addr" and registers.is_register(self, self.here):
            first = registers.known(self, self.next())
            last = registers.known(self, self.next()) if self.take("-") else None
            return registers.RegisterSpan(first, last)
        token = self._region_ahead() if name == "addr" else None
        if token is None:
            return self.number_span(name)
        region = self.region(token)
        if not self.take("+"):
            return tree.Span(0, None, region)
        low = self.number("offset", signed=False)
        if self.here.text not in ("-", "+"):
            return tree.Span(low, low, region)
        if self.here.text == "-" and self.ahead(1).sort in ("place", "word", "string"):
            return tree.Span(low, self._place_end(region, low), region)
        return tree.Span(low, self.range_end("offset", low, 1), region)

    def number_span(self, name: str) -> tree.Span:
        """A value, `A-B` or `A+LEN`."""
        low = self.number(name)
        if name in ("op", "kind") or self.here.text not in ("-", "+"):
            return tree.Span(low, low)
        return tree.Span(low, self.range_end(name, low, 1))

    def _place_end(self, region: str, low: int) -> int:
        self.next()
        token = self.here
        other = self.region(token)
        if other != region:
            raise self.error(f"a range ends in the region where it begins, '{region}'", token)
        if not self.take("+"):
            raise self.error("an offset is missing")
        end = self.here
        high = self.number("offset", signed=False)
        if high < low:
            raise self.error("the range is empty: it ends before it begins", end)
        return high

    def range_end(self, name: str, low: int, least: int) -> int:
        """The included end after `-B` or `+LEN`, where LEN is at least `least`."""
        sign, end = self.here, self.ahead(1)
        if not self.take("-", "+"):
            raise self.error("a range is expected: A-B or A+LEN")
        number = self.number(name, signed=sign.text == "-")
        if sign.text == "-":
            if number < low:
                raise self.error("the range is empty: it ends before it begins", end)
            return number
        if number < max(least, 1):
            raise self.error("the range is empty: its length is 0", end)
        return low + number - 1

    def plain_number(self) -> int:
        """An integer, whatever the field."""
        return self.number("value")

    def number(self, name: str, signed: bool = True) -> int:
        """The number of a field: names for op, kind and bar, times for time, else an integer."""
        token = self.next()
        if name in ("op", "kind"):
            return self._kind(name, token)
        if name == "bar" and token.text in _BARS:
            return _BARS[token.text]
        negative = signed and token.text == "-" and token.sort == "sign"
        if negative:
            token = self.next()
        if token.sort != "number":
            what = "a time" if name == "time" else "a number"
            if token.sort == "end":
                raise self.error(f"{what} is missing here", token)
            raise self.error(f"{what} is expected here, not '{token.text}'", token)
        number = nanoseconds(token, self.text) if name == "time" else integer(token, self.text)
        return -number if negative else number

    def _kind(self, name: str, token: Token) -> int:
        names = tree.OP_NAMES if name == "op" else tree.KIND_NAMES
        found = names.get((unquote(token, self.text) if token.sort == "string" else token.text).lower())
        if found is None:
            if token.sort == "end":
                raise self.error(f"a value is missing here; '{name}' takes {', '.join(names)}", token)
            raise self._unknown(token, f"value of '{name}'", tuple(names))
        return int(found)
