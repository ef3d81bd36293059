"""TOML files that the user names: masks, cards, scenarios. Bounded, and every mistake in them is one line."""

from __future__ import annotations

import tomllib

from mmiotools.errors import FormatError, UsageError
from mmiotools.typed import Any

#: Largest file that is read, in bytes.
MAX_BYTES = 32 << 20
#: Largest number: in hexadecimal, TOML has no limit.
MAX_BITS = 4096


def read_toml(path: str, noun: str) -> dict[str, Any]:
    """The contents of a file. Raises UsageError where it cannot be read, FormatError where it is not TOML."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise FormatError(f"{path}: has more than {MAX_BYTES >> 20} MiB, which no {noun} file needs")
    try:
        held = tomllib.loads(data.decode())
    except RecursionError as error:
        raise FormatError(f"{path}: is nested too deep") from error
    except ValueError as error:  # not TOML, not UTF-8, or a number without end
        raise FormatError(f"{path}: is not valid TOML: {error}") from error
    pending: list[Any] = [held]
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            pending.extend(item.values() if isinstance(item, dict) else item)
        elif isinstance(item, int) and item.bit_length() > MAX_BITS:
            raise FormatError(f"{path}: holds a number of more than {MAX_BITS} bits")
    return held
