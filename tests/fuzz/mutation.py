"""Ways to spoil an input: of bytes, of lines, of JSON, of whole files. Each is a function of (random, data, pool)."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

#: Longest input that is usually made, and the longest that is made now and then.
USUAL, MOST = 1 << 15, 1 << 20
#: Numbers that are easily taken for something else.
_NUMBERS = [
    *(0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 4095, 4096),
    *(n + d for n in (1 << 16, 1 << 20, 1 << 24, 1 << 26, 1 << 31, 1 << 32, 1 << 63, 1 << 64) for d in (-1, 0, 1)),
]
_STRANGE = [b"\0", b"\xff", b"\r", b"\r\n", b"\n", b"\t", b"\x0b", b"\x1c", b"\x85", b'"', b"'", b"\\", b"\xc3\xa9"]
_STRANGE += [b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" ", b"  ", b"-", b":", b",", b"]", b"}", b"[", b"{"]
_NUMBER = re.compile(rb"(?:0x)?[0-9a-fA-F]*\d[0-9a-fA-F]*")
_WORD = re.compile(rb"[^\s,:()\[\]{}=]+")


def number_text(rng: Random) -> bytes:
    """A number as text, likely one that does not fit."""
    number = rng.choice(_NUMBERS) if rng.random() < 0.8 else rng.getrandbits(rng.randrange(1, 300))
    style = rng.choice(["%d", "%d", "0x%x", "0x%x", "%x", "0x%X", "-%d", "0%d", "0x%016x", "%d.5", "+%d", "1e%d"])
    if rng.random() < 0.02:
        return rng.choice([b"9" * 5000, b"0x" + b"f" * 5000, b"0" * 500 + b"1", b"0x", b"nan", b"inf", b""])
    return (style % number).encode()


# -- bytes ------------------------------------------------------------------------------------------------------------


def flip(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One byte becomes another."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def cut(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(1, len(data) + 1)]


def behead(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """The beginning is missing."""
    return data[rng.randrange(len(data)) :]


def remove(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A stretch is missing."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + _length(rng, len(data)) :]


def insert(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Something comes in between."""
    at = rng.randrange(len(data) + 1)
    new = rng.choice(_STRANGE) if rng.random() < 0.6 else rng.randbytes(_length(rng, 64))
    return data[:at] + new * rng.choice([1, 1, 1, 2, 8, 100]) + data[at:]


def repeat(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A stretch comes several times."""
    at = rng.randrange(len(data))
    piece = data[at : at + _length(rng, len(data))]
    return data[:at] + piece * rng.choice([2, 2, 3, 10, 300]) + data[at + len(piece) :]


def move(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A stretch stands elsewhere."""
    at = rng.randrange(len(data))
    piece = data[at : at + _length(rng, len(data))]
    rest = data[:at] + data[at + len(piece) :]
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + piece + rest[to:]


def splice(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """The beginning of one file and the end of another, or a stretch of another in between."""
    other = rng.choice(pool)
    at, there = rng.randrange(len(data) + 1), rng.randrange(len(other) + 1)
    if rng.random() < 0.5:
        return data[:at] + other[there:]
    return data[:at] + other[there : there + _length(rng, len(other) + 1)] + data[at:]


def join(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Two files one after the other."""
    return data + rng.choice(pool)


def absurd(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """A number in the bytes, perhaps a length or a count, becomes another."""
    code = rng.choice("BHIQ")
    size = struct.calcsize(code)
    at = rng.randrange(max(len(data) - size, 0) + 1)
    order = rng.choice("<<<>")
    if rng.random() < 0.4 and len(data) >= at + size:
        number = struct.unpack_from(order + code, data, at)[0] + rng.choice([-2, -1, 1, 2, 8, 256])
    else:
        number = rng.choice(_NUMBERS)
    return data[:at] + struct.pack(order + code, number % (1 << 8 * size)) + data[at + size :]


# -- lines ------------------------------------------------------------------------------------------------------------


def lines(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Lines are gone, come again, change places, come from elsewhere, lose or change their end."""
    parts = data.split(b"\n")
    at = rng.randrange(len(parts))
    how = rng.randrange(9)
    if how == 0:
        del parts[at : at + rng.choice([1, 1, 3, 20])]
    elif how == 1:
        parts[at:at] = parts[at : at + rng.choice([1, 2, 5])] * rng.choice([1, 1, 2, 40, 400])
    elif how == 2:
        to = rng.randrange(len(parts))
        parts[at], parts[to] = parts[to], parts[at]
    elif how == 3:
        parts[at : at + 2] = [b"".join(parts[at : at + 2])]
    elif how == 4 and parts[at]:
        parts[at] = parts[at][: rng.randrange(len(parts[at]))]
    elif how == 5:
        parts[at] += rng.choice([b"\r", b" ", b"\r\r", b"\t", b"\0", b" trailing"])
    elif how == 6:
        other = rng.choice(pool).split(b"\n")
        there = rng.randrange(len(other))
        parts[at:at] = other[there : there + rng.choice([1, 1, 4, 30])]
    elif how == 7:
        return data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\n \n"]))
    else:
        where = rng.randrange(len(parts[at]) + 1)
        parts[at : at + 1] = [parts[at][:where], parts[at][where:]]
    return b"\n".join(parts)


def numbers(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One number in the text becomes another one."""
    return _replaced(rng, data, _NUMBER, number_text(rng))


def words(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One word becomes another word of this or another input, or none, or in capitals, or very long."""
    found = _WORD.findall(rng.choice([data, rng.choice(pool)]))
    word = rng.choice(found) if found else b"x"
    how = rng.random()
    if how < 0.1:
        word = word.upper()
    elif how < 0.2:
        word = b""
    elif how < 0.25:
        word *= rng.choice([2, 50, 3000])
    elif how < 0.35:
        word = rng.choice(_STRANGE)
    return _replaced(rng, data, _WORD, word)


def _replaced(rng: Random, data: bytes, what: re.Pattern[bytes], new: bytes) -> bytes:
    # Only a window is searched, so that the time does not depend on the input's length.
    start = rng.randrange(len(data) + 1)
    found = list(what.finditer(data, start, min(start + 200, len(data))))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + new + data[match.end() :]


# -- trees: JSON, msgpack ---------------------------------------------------------------------------------------------

#: JSON texts that stand in for a value, by the string that holds their place until the tree is printed.
_TEXTS = {
    f"@@{number}@@": text
    for number, text in enumerate(
        [
            *("null", "true", "false", "0", "-1", "1.5", "-0", "1e999", "NaN", "-Infinity", "[]", "{}", '""', "[null]"),
            *("9" * 5000, "1" + "0" * 400, "[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, "[" * 100000),
            *(
                '{"a":1,"a":2}',
                '"\\ud800"',
                '"\\u0000"',
                '"é"',
                '"\\n"',
                '"0x"',
                '"-0x1"',
                '"0xg"',
                '"' + "x" * 3000 + '"',
            ),
            *(f'"0x{1 << 64:x}"', f'"0x{(1 << 64) - 1:x}"', '"0X1F"', '" 0x1"', '"1_0"', '"R"', '"=="', '"AA=="'),
        ]
    )
}


def json_values(rng: Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """In one line, or in the whole text, of JSON: a value or a name becomes another, is gone, or comes twice."""
    parts = [data] if rng.random() < 0.3 else data.split(b"\n")
    at = rng.randrange(len(parts))
    text = parts[at].strip().rstrip(b",")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return words(rng, data, pool)
    tree = change_tree(rng, tree, lambda rng: _odd_json(rng))
    try:
        new = json.dumps(tree, ensure_ascii=rng.random() < 0.5, separators=rng.choice([None, (",", ":")]))
    except (ValueError, RecursionError):
        return data
    for name, value in _TEXTS.items():
        new = new.replace(f'"{name}"', value)
    parts[at] = parts[at].replace(text, new.encode("utf-8", "surrogatepass"), 1)
    return b"\n".join(parts)


def _odd_json(rng: Random) -> Any:
    how = rng.random()
    if how < 0.5:
        return rng.choice(list(_TEXTS))
    number = rng.choice(_NUMBERS) * rng.choice([1, 1, -1])
    return number if how < 0.75 else hex(number)


def change_tree(rng: Random, tree: Any, odd: Callable[[Random], Any]) -> Any:
    """The tree with one to three changes; containers are changed in place."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = _places(tree)
        if not places or rng.random() < 0.02:
            return odd(rng)
        holder, key = rng.choice(places)
        how = rng.random()
        if how < 0.55:
            holder[key] = odd(rng)
        elif how < 0.7:
            del holder[key]
        elif how < 0.8:
            other, there = rng.choice(places)
            try:
                holder[key] = other[there]
            except (LookupError, TypeError):
                continue
        elif isinstance(holder, list):
            holder[key:key] = [holder[key]] * rng.choice([1, 2, 50])
        elif isinstance(key, str):
            holder[rng.choice([key.upper(), key + "x", "", "kind", "value", "extra", "x"])] = holder[key]
        else:
            holder[rng.choice([key + 1, -1, "x", 1 << 40]) if isinstance(key, int) else "x"] = holder[key]
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container with every key or index in it; not deeper than 40."""
    found: list[tuple[Any, Any]] = []
    pending = [(tree, 0)]
    seen: set[int] = set()
    while pending and len(found) < 5000:
        item, depth = pending.pop()
        if depth > 40 or id(item) in seen:
            continue
        if isinstance(item, dict):
            keys: list[Any] = list(item)
        elif isinstance(item, list):
            keys = list(range(len(item)))
        else:
            continue
        seen.add(id(item))
        for key in keys:
            found.append((item, key))
            pending.append((item[key], depth + 1))
    return found


def _length(rng: Random, most: int) -> int:
    """A length of up to `most`, likely a small one."""
    return min(rng.choice([1, 2, 4, 8, 16, rng.randrange(1, 200), rng.randrange(1, max(most, 1) + 1)]), max(most, 1))


BYTES: tuple[Mutation, ...] = (flip, cut, behead, remove, insert, repeat, move, splice, join, absurd, absurd, flip)
TEXT: tuple[Mutation, ...] = (lines, numbers, words, lines, numbers, words, flip, cut, remove, insert, repeat, splice)
JSON: tuple[Mutation, ...] = (*TEXT, json_values, json_values, json_values, json_values, json_values, json_values)


def mutant(rng: Random, seeds: Sequence[bytes], mutations: Sequence[Mutation]) -> bytes:
    """One of the seeds, spoilt once or several times; never empty."""
    data = rng.choice(seeds)
    most = MOST if rng.random() < 0.01 else USUAL
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4, 8])):
        data = rng.choice(mutations)(rng, data, seeds)[:most] or b"\n"
    return data
