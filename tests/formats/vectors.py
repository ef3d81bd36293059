"""Loads test vectors: title, annotated bytes, expected events. The syntax is described in formats/README.md.

python tests/formats/vectors.py c python      write the bytes of these formats' write-only vectors anew
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import NamedTuple

from mmiotools.events import Event
from mmiotools.formats.base import read_all
from mmiotools.formats.jsonl import FORMAT as JSONL
from mmiotools.formats.jsonl_columns import SCHEMA
from mmiotools.formats.source import ByteSource
from mmiotools.trace.header import TraceHeader

ROOT = Path(__file__).parents[2] / "formats" / "vectors"
_STRING = re.compile(r'\s*"((?:[^"\\]|\\.)*)"')
_HEX = re.compile(r"\s*([0-9a-fA-F]{2})(?=[\s;]|$)")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)")
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b'"': b'"'}


class Vector(NamedTuple):
    """One case. `flags` may hold "roundtrip" and "write-only"; `header` is for writing."""

    format: str
    name: str
    title: str
    flags: frozenset[str]
    data: bytes
    events: list[Event]
    header: TraceHeader


def load(path: Path) -> Vector:
    """Parse one .vec file. Raises ValueError with file and line."""
    title: list[str] = []
    data = b""
    events: list[str] = []
    part = "title"
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line in ("--- bytes", "--- events"):
            part = line[4:]
        elif part == "title":
            if not line.startswith("# "):
                raise ValueError(f"{path}:{number}: a title line begins with '# '")
            title.append(line[2:])
        elif part == "bytes":
            try:
                data += parse_bytes(line)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from error
        elif line:
            events.append(line)
    flags = frozenset(line for line in title if line in ("roundtrip", "write-only"))
    header, expected = parse_events(events)
    return Vector(path.parent.name, path.stem, title[0], flags, data, expected, header)


def parse_bytes(line: str) -> bytes:
    """The bytes of one line of the bytes section: strings and hex pairs, up to a ";" outside a string."""
    out = b""
    at = 0
    while at < len(line) and line[at:].strip() and not line[at:].lstrip().startswith(";"):
        string, pair = _STRING.match(line, at), _HEX.match(line, at)
        if string is not None:
            out += _ESCAPE.sub(_unescape, string[1].encode())
            at = string.end()
        elif pair is not None:
            out += bytes.fromhex(pair[1])
            at = pair.end()
        else:
            raise ValueError(f"neither a string nor a hex pair: {line[at:]!r}")
    return out


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code.startswith(b"x"):
        return bytes.fromhex(code[1:].decode())
    if code not in _SIMPLE:
        raise ValueError(f"unknown escape \\{code.decode()}")
    return _SIMPLE[code]


def parse_events(lines: list[str]) -> tuple[TraceHeader, list[Event]]:
    """Events from JSON lines; a schema line of their own gives the header, else it is an empty one."""
    if not lines or not lines[0].startswith('{"schema"'):
        lines = [f'{{"schema":"{SCHEMA}"}}', *lines]
    header, batches = JSONL.read(ByteSource(io.BytesIO("\n".join([*lines, ""]).encode()), "events"))
    return header, read_all(batches)


def vectors() -> list[Vector]:
    """All vectors, by format and name."""
    return [load(path) for path in sorted(ROOT.glob("*/*.vec"))]


def rewrite(path: Path) -> None:
    """Put what the writer writes now into a write-only vector."""
    from mmiotools.formats import FORMATS
    from mmiotools.trace.batch import Batch

    vector = load(path)
    if "write-only" not in vector.flags:
        return
    out = io.BytesIO()
    writer = FORMATS.get(vector.format).writer(out, vector.header)
    writer.write(Batch.from_events(vector.events))
    writer.close()
    text = path.read_text("utf-8")
    title, events = text.partition("--- bytes\n")[0], text.partition("--- events\n")[2]
    lines = [line.replace("\\", "\\\\").replace('"', '\\"') for line in out.getvalue().decode("ascii").split("\n")]
    shown = "".join(f'"{line}\\n"\n' for line in lines[:-1]) + (f'"{lines[-1]}"\n' if lines[-1] else "")
    path.write_text(f"{title}--- bytes\n{shown}--- events\n{events}")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for found in sorted((ROOT / name).glob("*.vec")):
            rewrite(found)
