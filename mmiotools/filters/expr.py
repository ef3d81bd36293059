"""The tree of a filter expression. Every node knows its column; `str(node)` parses again to an equal tree."""

from __future__ import annotations

from mmiotools.events import Kind
from mmiotools.small import operator
from mmiotools.typed import Any, Callable, ClassVar, NamedTuple, Protocol, dataclass_transform

#: Bare words → the kinds that they select. `all` and `access` are shorthands.
WORDS: dict[str, frozenset[Kind]] = {
    "read": frozenset({Kind.READ}),
    "write": frozenset({Kind.WRITE}),
    "unknown": frozenset({Kind.UNKNOWN}),
    "access": frozenset({Kind.READ, Kind.WRITE, Kind.UNKNOWN}),
    "map": frozenset({Kind.MAP}),
    "unmap": frozenset({Kind.UNMAP}),
    "mark": frozenset({Kind.MARK}),
    "lost": frozenset({Kind.LOST}),
    "irq": frozenset({Kind.IRQ}),
    "device": frozenset({Kind.DEVICE}),
    "header": frozenset({Kind.HEADER}),
    "note": frozenset({Kind.NOTE}),
    "all": frozenset(Kind),
}

#: What `op` and `kind` take, lower case.
OP_NAMES = {
    "read": Kind.READ,
    "r": Kind.READ,
    "write": Kind.WRITE,
    "w": Kind.WRITE,
    "unknown": Kind.UNKNOWN,
    "u": Kind.UNKNOWN,
}
KIND_NAMES = {kind.name.lower(): kind for kind in Kind}

#: Fields that hold numbers, and whether they are written in hexadecimal.
NUMBERS = {
    "width": False,
    "addr": True,
    "offset": True,
    "map": False,
    "value": True,
    "time": False,
    "pc": True,
    "pid": False,
    "cpu": False,
    "bar": False,
}

#: How numbers compare.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

#: Every field, in the order of the documentation.
FIELDS = (
    "op",
    "kind",
    "width",
    "addr",
    "reg",
    "offset",
    "region",
    "bar",
    "map",
    "value",
    "time",
    "pc",
    "pid",
    "cpu",
    "mark",
)

#: Names of regions that need no quotes.
_BARE_NAME = r"[A-Za-z_]\w*|[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/\w+"

#: The number that stands for the expansion ROM in `bar`.
ROM_BAR = 6


def number_text(name: str, number: int) -> str:
    """A number as the language spells it for that field: names for op and kind, exact seconds for time."""
    if name in ("op", "kind"):
        return Kind(number).name.lower()
    if name == "bar" and number == ROM_BAR:
        return "ROM"
    if name == "time":
        return seconds(number)
    return f"{number:#x}" if NUMBERS[name] else str(number)


def seconds(nanoseconds: int) -> str:
    """Nanoseconds as decimal seconds, exact, without needless zeros."""
    whole, part = divmod(abs(nanoseconds), 10**9)
    text = f"{whole}.{part:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanoseconds < 0 else text


class Span(NamedTuple):
    """Numbers `low` to `high`, both included. With `region` they are offsets in it; `high` None is its end."""

    low: int
    high: int | None
    region: str | None = None

    def text(self, name: str) -> str:
        """As the language spells it, for a field."""
        if self.region is None:
            high = self.low if self.high is None else self.high
            low_text = number_text(name, self.low)
            return low_text if high == self.low else f"{low_text}-{number_text(name, high)}"
        place = name_text(self.region)
        if self.high is None:
            return place
        if self.high == self.low:
            return f"{place}+{self.low:#x}"
        return f"{place}+{self.low:#x}-{self.high:#x}"


def name_text(name: str) -> str:
    """The name of a region: bare where the language reads it back, else quoted."""
    import re  # as in the tokens: most expressions are only read

    return name if re.fullmatch(_BARE_NAME, name) else quote(name)


def quote(text: str) -> str:
    """A text as a quoted string of the language."""
    out = []
    for char in text:
        code = ord(char)
        if char in "\\'":
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char == "\t":
            out.append("\\t")
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        else:
            out.append(char)
    return "'" + "".join(out) + "'"


def quote_pattern(pattern: str) -> str:
    """A regular expression in the quotes that it does not hold bare."""
    for mark in "'\"":
        if mark not in pattern.replace("\\" + mark, ""):
            return mark + pattern + mark
    return "'" + pattern.replace("'", "\\'") + "'"


def field(*, default: Any, kw_only: bool) -> Any:
    """For type checkers alone: as that of dataclasses, whose import takes longer than all the rest."""
    return default


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class _Node:
    """What a frozen dataclass would be, with the fields that a class annotates; but the methods of fifteen dataclasses
    take longer to make than most traces to read. `column` does not count when two are compared.
    """

    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = [name for name in cls.__annotations__ if name not in ("column", "word")]
        cls._fields = (*cls._fields, *own)
        cls.__match_args__ = cls._fields  # type: ignore[attr-defined, misc]

    def __init__(self, *values: Any, column: int = 0, **named: Any) -> None:
        held = self.__dict__
        held.update(zip(self._fields, values, strict=False), column=column)
        held.update(named)
        if len(values) > len(self._fields) or not named.keys() <= set(self._fields[len(values) :]):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(self._fields)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot set '{name}' of an expression")

    def _key(self) -> tuple[Any, ...]:
        return (type(self), *(getattr(self, name) for name in self._fields))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Node) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"


class Expr(_Node):
    """Any node of an expression. `column` is the 0-based place in the text."""

    column: int = field(default=0, kw_only=True)


class Word(Expr):
    """A bare word: the event is of one of the word's kinds."""

    name: str

    def __str__(self) -> str:
        return self.name


class Compare(Expr):
    """FIELD OP NUMBER, or FIELD & MASK OP NUMBER. `op` is one of == != < <= > >=."""

    name: str
    op: str
    value: int
    mask: int | None = None

    def __str__(self) -> str:
        if self.mask is not None:
            return f"{self.name} & {self.mask:#x} {self.op} {self.value:#x}"
        return f"{self.name} {self.op} {number_text(self.name, self.value)}"


class Place(Expr):
    """addr OP REGION+OFFSET: the region agrees, and the offset in it compares."""

    op: str
    region: str
    offset: int

    def __str__(self) -> str:
        return f"addr {self.op} {name_text(self.region)}+{self.offset:#x}"


class AnySpan(Protocol):
    """What a set may hold besides: a span that another module of the language adds."""

    def text(self, name: str) -> str:
        """As the language spells it, for a field."""


class Member(Expr):
    """FIELD in RANGE, or FIELD in {a, b, c-d}. `named` are those spans that names of registers make."""

    name: str
    spans: tuple[Span, ...]
    named: tuple[AnySpan, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is about numbers alone: no names, no regions."""
        return not self.named and all(span.region is None for span in self.spans)

    def __str__(self) -> str:
        texts = [span.text(self.name) for span in (*self.spans, *self.named)]
        return f"{self.name} in {{{', '.join(texts)}}}" if len(texts) > 1 else f"{self.name} in {texts[0]}"


class Text(Expr):
    """region, reg or mark compared with texts; `op` is == != or in."""

    name: str
    op: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        spell = name_text if self.name == "region" else quote
        texts = list(self.values) if self.name == "reg" else [spell(value) for value in self.values]
        return f"{self.name} {self.op} " + (texts[0] if self.op != "in" else f"{{{', '.join(texts)}}}")


class Matches(Expr):
    """region, reg or mark matched by a regular expression anywhere; `negated` for !~."""

    name: str
    pattern: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.name} {'!~' if self.negated else '~'} {quote_pattern(self.pattern)}"


class Not(Expr):
    """The operand does not hold."""

    operand: Expr

    def __str__(self) -> str:
        return f"not ({self.operand})" if isinstance(self.operand, Joined) else f"not {self.operand}"


class Joined(Expr):
    """Base of `and` and `or` over two or more operands."""

    operands: tuple[Expr, ...]
    word: ClassVar[str] = ""

    def __str__(self) -> str:
        parts = []
        for operand in self.operands:
            loose = isinstance(operand, (Or, type(self)))
            parts.append(f"({operand})" if loose else str(operand))
        return f" {self.word} ".join(parts)


class And(Joined):
    """All operands hold."""

    word: ClassVar[str] = "and"


class Or(Joined):
    """At least one operand holds."""

    word: ClassVar[str] = "or"


def walk(expr: Expr) -> list[Expr]:
    """The node and all below it."""
    found = [expr]
    for node in found:
        if isinstance(node, Not):
            found.append(node.operand)
        elif isinstance(node, Joined):
            found.extend(node.operands)
    return found
