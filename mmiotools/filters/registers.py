"""Names of registers in filters: their nodes, and the part of the grammar that reads them."""

from __future__ import annotations

from mmiotools.errors import ExpressionError
from mmiotools.filters import expr as tree
from mmiotools.filters.expr import OPERATORS
from mmiotools.filters.lexer import Token
from mmiotools.typed import TYPE_CHECKING, Iterator, NamedTuple

if TYPE_CHECKING:
    from mmiotools.filters.grammar import Parser
    from mmiotools.trace.names import Names


# -- nodes -----------------------------------------------------------------------------------------------------


class AtRegister(tree.Expr):
    """addr OP NAME, or NAME+OFFSET: the address compares with that of the register."""

    op: str
    register: str
    offset: int = 0

    def __str__(self) -> str:
        return f"addr {self.op} {self.register}" + (f"+{self.offset:#x}" if self.offset else "")


class RegisterSpan(NamedTuple):
    """In `addr in …`: the bytes of one register, or from the start of one to the end of another."""

    register: str
    last: str | None = None

    def text(self, name: str) -> str:
        """As the language spells it."""
        return self.register if self.last is None else f"{self.register}-{self.last}"


class RegisterValue(tree.Expr):
    """NAME OP NUMBER, NAME.FIELD OP NUMBER, or with & MASK: an access to the register, and its value compares."""

    register: str
    op: str
    value: int
    mask: int | None = None

    def __str__(self) -> str:
        mask = "" if self.mask is None else f" & {self.mask:#x}"
        return f"{self.register}{mask} {self.op} {self.value:#x}"


class RegisterMember(tree.Expr):
    """NAME in RANGE, NAME.FIELD in {a, b-c}."""

    register: str
    spans: tuple[tree.Span, ...]

    def __str__(self) -> str:
        texts = [span.text("value") for span in self.spans]
        return f"{self.register} in {{{', '.join(texts)}}}" if len(texts) > 1 else f"{self.register} in {texts[0]}"


def names_in(expr: tree.Expr) -> Iterator[tuple[str, int]]:
    """Every name of a register that an expression has, with its column."""
    for node in tree.walk(expr):
        if isinstance(node, (AtRegister, RegisterValue, RegisterMember)):
            yield node.register, node.column
        elif isinstance(node, tree.Text) and node.name == "reg":
            yield from ((value, node.column) for value in node.values)
        elif isinstance(node, tree.Member):
            for span in node.named:
                if isinstance(span, RegisterSpan):
                    yield span.register, node.column
                    if span.last is not None:
                        yield span.last, node.column


def needs_names(expr: tree.Expr) -> bool:
    """Whether an expression means nothing without register maps."""
    by_pattern = any(isinstance(node, tree.Matches) and node.name == "reg" for node in tree.walk(expr))
    return by_pattern or next(names_in(expr), None) is not None


# -- grammar ---------------------------------------------------------------------------------------------------


def is_register(parser: Parser, token: Token) -> bool:
    """Whether a token is the name of a register: spelled as nothing else is, or known and no other word."""
    if token.sort == "name":
        return True
    other = token.text in tree.FIELDS or token.text in tree.WORDS
    return token.sort == "word" and not other and bool(parser.names and parser.names.places(token.text))


def known(parser: Parser, token: Token) -> str:
    """The name that a token is. Raises ExpressionError where maps are loaded and none has it."""
    names = parser.names
    if names is not None and not names.places(token.text):
        close = names.near(token.text)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise parser.error(f"no register or field is called '{token.text}'{hint}", token)
    return token.text


def condition(parser: Parser, token: Token) -> tree.Expr:
    """What follows the name of a register, which was taken: nothing, a comparison, a mask or a set."""
    name = known(parser, token)
    sign = parser.here
    if parser.take("in"):
        spans = parser.listed(lambda: _span(parser, name))
        return RegisterMember(name, tuple(spans), column=token.column)
    if parser.take("&"):
        mask = parser.number("value", signed=False)
        sign = parser.here
        if not parser.take(*OPERATORS):
            raise parser.error(f"a comparison is missing after the mask, as in '{name} & {mask:#x} != 0'")
        return RegisterValue(name, sign.text, parser.plain_number(), mask, column=token.column)
    if parser.take(*OPERATORS):
        return RegisterValue(name, sign.text, _number(parser, name), column=token.column)
    if sign.sort == "sign" and sign.text in ("~", "!~"):
        raise parser.error(f"'{sign.text}' needs a field that holds text, as in reg ~ '^{name}'", sign)
    if parser.names is not None and parser.names.places(name)[0].field is not None:
        raise parser.error(f"field '{name}' needs a comparison: == != < <= > >= in or &", token)
    return tree.Text("reg", "==", (name,), column=token.column)


def _span(parser: Parser, name: str) -> tree.Span:
    if parser.here.sort in ("word", "string"):
        number = _number(parser, name)
        return tree.Span(number, number)
    return parser.number_span("value")


def _number(parser: Parser, name: str) -> int:
    """A number, or the name of a value of the field."""
    token = parser.here
    if token.sort not in ("word", "string") or parser.names is None:
        return parser.plain_number()
    parser.next()
    word = token.text[1:-1] if token.sort == "string" else token.text
    fields = [place.field for place in parser.names.places(name) if place.field is not None]
    for item in fields:
        for number, spelled in item.values.items():
            if spelled.lower() == word.lower():
                return number
    there = ", ".join(spelled for item in fields for spelled in item.values.values()) or "none"
    raise parser.error(f"'{name}' has no value of the name '{token.text}'; there are: {there}", token)


def check_names(expr: tree.Expr, names: Names | None) -> None:
    """Raises ExpressionError for a name that nothing loaded knows."""
    if not names:
        if needs_names(expr):
            name = next(names_in(expr), ("reg", 0))[0]
            raise ExpressionError(f"'{name}' needs names of registers, and none are loaded: give --regs")
        return
    for name, _ in names_in(expr):
        if not names.places(name):
            raise ExpressionError(f"no register or field is called '{name}'")


__all__ = ["AtRegister", "RegisterMember", "RegisterSpan", "RegisterValue", "check_names", "needs_names"]
