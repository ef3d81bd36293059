"""printk: the text of a format string and its arguments, as the kernel prints them."""

from __future__ import annotations

import re

from mmiotools.typed import Callable

_SPEC = re.compile(rb"%(?P<flags>[-+ #0]*)(?P<width>\*|\d{1,9})?(?:\.(?P<precision>\*|\d{1,9})?)?"
                   rb"(?P<length>hh|ll|[hlLqjzt])?(?P<kind>.)", re.DOTALL)
_BITS = {b"hh": 8, b"h": 16, None: 32}
_RADIX = {b"d": "d", b"i": "d", b"u": "d", b"x": "x", b"X": "X", b"o": "o"}
_PREFIX = {b"x": "0x", b"X": "0X", b"o": "0"}

#: The byte that begins a log level; the level itself follows.
_LEVEL = b"\x01"

#: Widths that are longer are cut: a log line is none of their size.
_MAX_WIDTH = 256


def format_text(form: bytes, argument: Callable[[], int], string: Callable[[int], bytes]) -> str:
    """The text of a printk call.

    form      the format, without its terminating zero; a log level in front is dropped
    argument  the next argument, as 64 bits
    string    the bytes at an address, up to a zero

    What follows a % and is none of d i u x X o c s p % stays as it is. A pointer is printed in full, unhashed.
    """
    if form[:1] == _LEVEL and len(form) >= 2:
        form = form[2:]

    def one(found: re.Match[bytes]) -> bytes:
        kind = found["kind"]
        if kind == b"%":
            return b"%"
        if kind not in b"diuxXocsp":
            return found[0]
        flags = found["flags"]
        width, left = _number(found["width"], argument)
        if width < 0:
            width, left = -width, True
        precision: int | None = None
        if b"." in found[0][1:-1]:
            precision = max(0, _number(found["precision"], argument)[0])
        left = left or b"-" in flags
        value = argument()
        if kind == b"s":
            text = b"(null)" if value == 0 else string(value)
            return _pad(text[:precision], width, left)
        if kind == b"c":
            return _pad(bytes([value & 0xFF]), width, left)
        if kind == b"p":
            return _pad(b"%016x" % value, width, left)
        return _integer(kind, flags, _BITS.get(found["length"], 64), value, width, precision, left)

    return _SPEC.sub(one, form).decode("utf-8", "replace")


def _number(spec: bytes | None, argument: Callable[[], int]) -> tuple[int, bool]:
    """A width or precision, and False; from the arguments when it is *."""
    if spec == b"*":
        value = argument() & 0xFFFFFFFF
        return max(-_MAX_WIDTH, min(_MAX_WIDTH, value - (value >> 31 << 32))), False
    return min(_MAX_WIDTH, int(spec or b"0")), False


def _pad(text: bytes, width: int, left: bool) -> bytes:
    return text.ljust(width) if left else text.rjust(width)


def _integer(kind: bytes, flags: bytes, bits: int, value: int, width: int, precision: int | None, left: bool) -> bytes:
    value &= (1 << bits) - 1
    sign = ""
    if kind in b"di":
        if value >> bits - 1:
            value, sign = (1 << bits) - value, "-"
        elif b"+" in flags:
            sign = "+"
        elif b" " in flags:
            sign = " "
    digits = format(value, _RADIX[kind])
    if precision is not None:
        digits = "" if precision == 0 and value == 0 else digits.rjust(precision, "0")
    if b"#" in flags and kind in _PREFIX and value:
        sign += _PREFIX[kind]
    if b"0" in flags and not left and precision is None:
        digits = digits.rjust(width - len(sign), "0")
    return _pad((sign + digits).encode(), width, left)
