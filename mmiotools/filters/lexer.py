"""Tokens of the filter language, and the numbers, times and strings in them."""

from __future__ import annotations

from mmiotools.errors import ExpressionError
from mmiotools.typed import NamedTuple

#: Longest expression, in characters, that is looked at.
MAX_TEXT = 1 << 16

# Characters are looked at one by one: importing `re` takes longer than reading an expression.
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")
#: Longer ones before those that they begin with.
_SIGNS = ("==", "!=", "<=", ">=", "!~", "&&", "||", *"<>~!&(){},+-")
#: Prefix of an integer, lower case → its base and digits.
_BASES = {"0x": (16, _HEX), "0b": (2, frozenset("01"))}
_UNITS = {"k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
#: Powers of ten of a nanosecond; longer units before those that they end in.
_TIME_UNITS = {"ms": 6, "us": 3, "µs": 3, "μs": 3, "ns": 0, "s": 9, "": 9}
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
        if text[at].isspace():
            at += 1
            continue
        sort, end = _token(text, at)
        tokens.append(Token(sort, text[at:end], at))
        at = end
    tokens.append(Token("end", "", len(text)))
    return tokens


def _token(text: str, at: int) -> tuple[str, int]:
    """The sort of the token at a place, and where it ends."""
    char = text[at]
    if char in "'\"":
        return "string", _string_end(text, at)
    end = _place_end(text, at)
    if end:
        return "place", end
    if char in _DIGITS:
        return "number", _word_end(text, at, ".")
    if _in_word(char) and not char.isdecimal():
        word = _word_end(text, at)
        name = _name_end(text, word)
        return ("name", name) if name > word else ("word", word)
    for sign in _SIGNS:
        if text.startswith(sign, at):
            return "sign", at + len(sign)
    raise ExpressionError(_strange(char), text, at)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _word_end(text: str, at: int, others: str = "") -> int:
    """Where letters, digits, `_` and others end."""
    while at < len(text) and (_in_word(text[at]) or text[at] in others):
        at += 1
    return at


def _name_end(text: str, at: int) -> int:
    """Where what follows the first word of a name ends: `.word`, `[word]` or `[]`, as often as it goes."""
    while text[at : at + 1] in (".", "["):
        end = _word_end(text, at + 1)
        if text[at] == "[":
            if text[end : end + 1] != "]":
                break
            end += 1
        elif end == at + 1:
            break
        at = end
    return at


def _string_end(text: str, at: int) -> int:
    """Where a string ends that begins at a place: behind the same quote, unless there is a backslash before it."""
    end = at + 1
    while end < len(text) and text[end] != text[at]:
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise ExpressionError(_strange(text[at]), text, at)
    return end + 1


def _place_end(text: str, at: int) -> int:
    """Where bb:dd.f ends, with a domain before it and a name behind it or without; 0 where there is none."""
    if text[at + 4 : at + 5] == ":" and _HEX.issuperset(text[at : at + 4]):
        at += 5
    digits = text[at : at + 2] + text[at + 3 : at + 5]
    end = at + 7
    if (text[at + 2 : at + 3], text[at + 5 : at + 6]) != (":", ".") or not _HEX.issuperset(digits):
        return 0
    if text[end - 1 : end] not in tuple("01234567"):
        return 0
    name = _word_end(text, end + 1) if text[end : end + 1] == "/" else 0
    return name if name > end + 1 else end


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
    written, unit = token.text, 1
    if written[-1:] in _UNITS:
        written, unit = written[:-1], _UNITS[written[-1]]
    base, allowed = _BASES.get(written[:2].lower(), (10, _DIGITS))
    digits = written[2:] if base != 10 else written
    if not digits or not _spelled(digits, allowed) or (base == 10 and digits[0] == "_"):
        raise ExpressionError(f"'{token.text}' is no number; write decimal, 0x… or 0b…", text, token.column)
    if digits.startswith("_") or digits.endswith("_") or "__" in digits or len(digits) > 4000:
        raise ExpressionError(f"'{token.text[:40]}' is no number", text, token.column)
    if base == 10 and digits[0] == "0" and digits.strip("0_"):
        raise ExpressionError(f"'{token.text}' has a leading zero; decimal or 0x… is meant?", text, token.column)
    return int(digits, base) * unit


def _spelled(text: str, digits: frozenset[str]) -> bool:
    return all(char in digits or char == "_" for char in text)


def nanoseconds(token: Token, text: str) -> int:
    """The time that a token spells, exact: seconds, or with s, ms, us or ns behind."""
    unit = next(unit for unit in _TIME_UNITS if token.text.endswith(unit))
    whole, point, part = token.text.removesuffix(unit).partition(".")
    whole_spelled = whole[:1] in _DIGITS and _spelled(whole, _DIGITS)
    part_spelled = _DIGITS.issuperset(part) and bool(point) == bool(part)
    if not (whole_spelled and part_spelled) or len(token.text) > 60:
        raise ExpressionError(f"'{token.text[:60]}' is no time; write 4.07, 10ms, 3us or 12ns", text, token.column)
    power = _TIME_UNITS[unit]
    part = part.rstrip("0")
    if len(part) > power:
        raise ExpressionError(f"'{token.text}' is finer than a nanosecond", text, token.column)
    return int(whole.replace("_", "") + part.ljust(power, "0"))


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
        if escape != "x" or len(digits) < 2 or not _HEX.issuperset(digits):
            raise ExpressionError(f"unknown escape '\\{escape}'; \\\\ is a backslash", text, token.column + at - 1)
        code = int(digits, 16)
        out.append(chr(code if code < 0x80 else 0xDC00 + code))
        at += 2
    return "".join(out)


def as_bytes(text: str) -> bytes:
    r"""A text of the language as bytes: UTF-8, where \xHH and undecodable arguments stand for themselves."""
    return text.encode("utf-8", "surrogateescape")
