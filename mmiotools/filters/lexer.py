"""Tokens of the filter language, and the numbers, times and strings in them."""

from __future__ import annotations

import re

from mmiotools.errors import ExpressionError
from mmiotools.tuples import NamedTuple

#: Longest expression, in characters, that is looked at.
MAX_TEXT = 1 << 16

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
  | (?P<string>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
  | (?P<place>(?:[0-9A-Fa-f]{4}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7](?:/\w+)?)
  | (?P<number>[0-9][\w.]*)
  | (?P<name>[^\W\d]\w*(?:\[\w*\]|\.\w+)+)
  | (?P<word>[^\W\d]\w*)
  | (?P<sign>==|!=|<=|>=|!~|&&|\|\||[<>~!&(){},+\-])
    """,
    re.VERBOSE | re.DOTALL,
)
# Compiled when there is one: few expressions have both.
_INTEGER = r"(0[xX](?P<hex>[0-9a-fA-F_]+)|0[bB](?P<bin>[01_]+)|(?P<dec>[0-9][0-9_]*))(?P<unit>[kKMG]?)"
_TIME = r"(?P<whole>[0-9][0-9_]*)(?:\.(?P<part>[0-9]+))?(?P<unit>s|ms|us|µs|μs|ns|)"
_UNITS = {"": 1, "k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
#: Powers of ten of a nanosecond.
_TIME_UNITS = {"": 9, "s": 9, "ms": 6, "us": 3, "µs": 3, "μs": 3, "ns": 0}
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t", "r": "\r"}


class Token(NamedTuple):
    """`sort` is string, place, number, name (of a register, with a dot or brackets), word, sign or end."""

    sort: str
    text: str
    column: int


def tokenize(text: str) -> list[Token]:
    """All tokens, ended by one of sort "end". Raises ExpressionError."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"the expression has {len(text)} characters; {MAX_TEXT} are the most")
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(_strange(text[at]), text, at)
        if match.lastgroup != "blank":
            tokens.append(Token(str(match.lastgroup), match[0], at))
        at = match.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


def _strange(char: str) -> str:
    if char in "'\"":
        return "this quote is never closed"
    if char == "=":
        return "'=' compares nothing; write '=='"
    if char == "|":
        return "'|' joins nothing; write 'or' or '||'"
    return f"unexpected character {char!r}"


def integer(token: Token, text: str) -> int:
    """The integer that a token spells: decimal, 0x, 0b, with _ between digits and a k, M or G (powers of 1024)."""
    match = re.fullmatch(_INTEGER, token.text)
    if match is None:
        raise ExpressionError(f"'{token.text}' is no number; write decimal, 0x… or 0b…", text, token.column)
    digits = match["hex"] or match["bin"] or match["dec"]
    if digits.startswith("_") or digits.endswith("_") or "__" in digits or len(digits) > 4000:
        raise ExpressionError(f"'{token.text[:40]}' is no number", text, token.column)
    if match["dec"] and digits[0] == "0" and digits.strip("0_"):
        raise ExpressionError(f"'{token.text}' has a leading zero; decimal or 0x… is meant?", text, token.column)
    base = 16 if match["hex"] else 2 if match["bin"] else 10
    return int(digits, base) * _UNITS[match["unit"]]


def nanoseconds(token: Token, text: str) -> int:
    """The time that a token spells, exact: seconds, or with s, ms, us or ns behind."""
    match = re.fullmatch(_TIME, token.text)
    if match is None or len(token.text) > 60:
        raise ExpressionError(f"'{token.text[:60]}' is no time; write 4.07, 10ms, 3us or 12ns", text, token.column)
    power = _TIME_UNITS[match["unit"]]
    part = (match["part"] or "").rstrip("0")
    if len(part) > power:
        raise ExpressionError(f"'{token.text}' is finer than a nanosecond", text, token.column)
    return int(match["whole"].replace("_", "") + part.ljust(power, "0"))


def unquote(token: Token, text: str) -> str:
    r"""The text of a string token: \\ \' \" \n \t \r and \xHH (a byte) are understood."""
    inner = token.text[1:-1]
    out = []
    at = 0
    while at < len(inner):
        char = inner[at]
        at += 1
        if char != "\\":
            out.append(char)
            continue
        escape = inner[at]
        at += 1
        if escape in _ESCAPES:
            out.append(_ESCAPES[escape])
            continue
        digits = inner[at : at + 2]
        if escape != "x" or not re.fullmatch("[0-9a-fA-F]{2}", digits):
            raise ExpressionError(f"unknown escape '\\{escape}'; \\\\ is a backslash", text, token.column + at - 1)
        code = int(digits, 16)
        out.append(chr(code if code < 0x80 else 0xDC00 + code))
        at += 2
    return "".join(out)


def as_bytes(text: str) -> bytes:
    r"""A text of the language as bytes: UTF-8, where \xHH and undecodable arguments stand for themselves."""
    return text.encode("utf-8", "surrogateescape")
