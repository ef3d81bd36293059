"""How the keys of models are spelled in card files: each key has one of a few forms."""

from __future__ import annotations

import re

from mmiotools.models.kinds.base import MAX_ENTRIES
from mmiotools.models.stream import Place
from mmiotools.typed import Any

_PLACE = re.compile(r"(BAR[0-5]|ROM)\+(0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20})/([1248])")
_MOST = 1 << 62


def spelled(what: str, held: Any) -> str:
    """A key's value as TOML; tables are written line by line elsewhere."""
    if what == "place":
        return f'"{held}"'
    if what == "flag":
        return "true" if held else "false"
    if what in ("count", "bit"):
        return str(held)
    if what == "values":
        return _list([f"{value:#x}" for value in held])
    if what == "runs":
        return _list([_run(*run) for run in held])
    return f"{held:#x}"


def _run(reads: int, value: int, nanoseconds: int) -> str:
    end = f", ns = {nanoseconds}" if nanoseconds else ""
    count = f"reads = {reads}, " if reads else ""
    return f"{{ {count}value = {value:#x}{end} }}"


def _list(words: list[str]) -> str:
    """On one line if it fits, else several to a line."""
    if sum(map(len, words)) + 2 * len(words) < 90:
        return f"[{', '.join(words)}]"
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > 100:
            lines.append(line)
            line = ""
        line += f" {word},"
    return "\n".join(["[", *lines, line, "]"])


def checked(what: str, held: Any, place: Place) -> Any:
    """A key's value from TOML. Raises ValueError that says what it must be."""
    if what in ("value", "mask"):
        return _number(held, place.mask)
    if what == "count":
        return _number(held, _MOST)
    if what == "bit":
        return _number(held, 8 * place.width - 1)
    if what == "flag":
        if not isinstance(held, bool):
            raise ValueError("must be true or false")
        return held
    if what == "place":
        return parse_place(held)
    if what == "values":
        if not isinstance(held, list) or not 0 < len(held) <= MAX_ENTRIES:
            raise ValueError(f"must be a list of 1 to {MAX_ENTRIES} values")
        return [_number(value, place.mask) for value in held]
    if what == "runs":
        if not isinstance(held, list) or not 0 < len(held) <= MAX_ENTRIES:
            raise ValueError(f"must be a list of 1 to {MAX_ENTRIES} tables")
        return [_checked_run(run, place) for run in held]
    if not isinstance(held, dict) or len(held) > MAX_ENTRIES:
        raise ValueError(f"must be a table of at most {MAX_ENTRIES} entries")
    if what == "sequences":
        return {_index(key): checked("runs", runs, place) for key, runs in held.items()}
    return _frames(held) if what == "frames" else _table(held, place)


def parse_place(text: Any) -> Place:
    """The register that a text like BAR0+0x20/4 names. Raises ValueError."""
    match = _PLACE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a register as BAR, offset and bytes, like 'BAR0+0x20/4'")
    return Place(match[1], int(match[2], 0 if match[2][:2] in ("0x", "0X") else 10), int(match[3]))


def _number(held: Any, most: int) -> int:
    if not isinstance(held, int) or isinstance(held, bool) or not 0 <= held <= most:
        raise ValueError(f"must be a whole number from 0 to {most:#x}")
    return held


def _checked_run(run: Any, place: Place) -> tuple[int, int, int]:
    if not isinstance(run, dict) or not run.keys() <= {"reads", "value", "ns"} or "value" not in run:
        raise ValueError("each run is a table with 'value', and may have 'reads' and 'ns'")
    return _number(run.get("reads", 0), _MOST), _number(run["value"], place.mask), _number(run.get("ns", 0), _MOST)


def _table(held: dict[str, Any], place: Place) -> dict[int, int]:
    return {_index(key): _number(value, place.mask) for key, value in held.items()}


def _index(key: str) -> int:
    if not re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20}", key):
        raise ValueError(f"'{key[:40]}' is no number that was written")
    return int(key, 16) if key[:2] in ("0x", "0X") else int(key)


def _frames(held: dict[str, Any]) -> dict[str, str]:
    for key, value in held.items():
        if not re.fullmatch("[01]{1,4096}", key):
            raise ValueError(f"'{key[:40]}' is no row of bits")
        if not isinstance(value, str) or not re.fullmatch("[01-]{1,4097}", value):
            raise ValueError(f"'{key[:40]}' has 0, 1 and - for what was read, nothing else")
    return held
