"""Constant expressions of C, as headers of registers use them: numbers, earlier names, BIT() and GENMASK()."""

from __future__ import annotations

import re

from mmiotools.typed import Mapping, NamedTuple

MAX_DEPTH = 40
_MASK = (1 << 64) - 1
_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9A-Fa-f]+|[0-9]+)[uUlL]*\b|(?P<name>[A-Za-z_]\w*)|(?P<sign><<|>>|[-+*|&~()/,^]))"
)
_CASTS = {"u8", "u16", "u32", "u64", "__u32", "__u64", "uint8_t", "uint16_t", "uint32_t", "uint64_t", "int"}
_CASTS |= {"unsigned", "long", "char", "short", "UINT32", "ULONG"}
_BIT = {"BIT", "BIT_ULL", "_BITUL", "_BITULL", "BIT32", "BIT64"}
_GENMASK = {"GENMASK", "GENMASK_ULL"}
#: Loosest first.
_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/"))


class Value(NamedTuple):
    """A number of 64 bits. `bits`: it was made by BIT, GENMASK or a shift, so that it says which bits are meant.
    `hexadecimal`: a hexadecimal number, or a name that stands for one, is in it.
    """

    number: int
    bits: bool = False
    hexadecimal: bool = False


class NotConstant(Exception):
    """The text is no expression that has a value here."""


def evaluate(text: str, names: Mapping[str, Value]) -> Value:
    """The value of an expression in which `names` are known. Raises NotConstant."""
    tokens = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotConstant
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    parser = _Parser(tokens, names)
    found = parser.level(0, 0)
    if parser.at != len(tokens):
        raise NotConstant
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], names: Mapping[str, Value]) -> None:
        self.tokens = tokens
        self.names = names
        self.at = 0

    def take(self, *signs: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at][1] in signs:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def expect(self, sign: str) -> None:
        if self.take(sign) is None:
            raise NotConstant

    def level(self, loose: int, depth: int) -> Value:
        if loose == len(_LEVELS):
            return self.single(depth + 1)
        left = self.level(loose + 1, depth)
        while (sign := self.take(*_LEVELS[loose])) is not None:
            left = _apply(sign, left, self.level(loose + 1, depth))
        return left

    def single(self, depth: int) -> Value:
        if depth > MAX_DEPTH or self.at >= len(self.tokens):
            raise NotConstant
        sort, text = self.tokens[self.at]
        self.at += 1
        if sort == "number":
            hexadecimal = text[:2] in ("0x", "0X")
            if len(text) > 18:
                raise NotConstant
            octal = not hexadecimal and text.startswith("0") and text.isdecimal() and len(text) > 1
            try:
                return Value(int(text, 16 if hexadecimal else 8 if octal else 10) & _MASK, False, hexadecimal)
            except ValueError as error:
                raise NotConstant from error
        if text == "~":
            value = self.single(depth + 1)
            return value._replace(number=~value.number & 0xFFFFFFFF)
        if text == "(":
            if self.cast():
                return self.single(depth + 1)
            value = self.level(0, depth + 1)
            self.expect(")")
            return value
        if sort == "name" and text in _BIT:
            self.expect("(")
            bit = self.level(0, depth + 1).number
            self.expect(")")
            return Value(1 << _place(bit), True)
        if sort == "name" and text in _GENMASK:
            self.expect("(")
            high = _place(self.level(0, depth + 1).number)
            self.expect(",")
            low = _place(self.level(0, depth + 1).number)
            self.expect(")")
            if high < low:
                raise NotConstant
            return Value((1 << high + 1) - (1 << low), True)
        if sort == "name" and text in self.names:
            return self.names[text]
        raise NotConstant

    def cast(self) -> bool:
        """Skips `u32)` behind an opening parenthesis."""
        at = self.at
        while at < len(self.tokens) and self.tokens[at][1] in _CASTS:
            at += 1
        if at > self.at and at < len(self.tokens) and self.tokens[at][1] == ")":
            self.at = at + 1
            return True
        return False


def _place(bit: int) -> int:
    if bit > 63:
        raise NotConstant
    return bit


def _apply(sign: str, left: Value, right: Value) -> Value:
    a, b = left.number, right.number
    if sign in ("<<", ">>"):
        number = a << _place(b) if sign == "<<" else a >> _place(b)
    elif sign == "/":
        if not b:
            raise NotConstant
        number = a // b
    else:
        number = {"|": a | b, "^": a ^ b, "&": a & b, "+": a + b, "-": a - b, "*": a * b}[sign]
    bits = left.bits or right.bits or sign == "<<"
    return Value(number & _MASK, bits, left.hexadecimal or right.hexadecimal)
