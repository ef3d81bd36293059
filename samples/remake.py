"""Remakes the recordings that a command makes, and brings events and sha256 of INDEX.toml up to date.

    python samples/remake.py                            remake them all
    python samples/remake.py --index                    only bring INDEX.toml up to date
    python samples/remake.py --damage KIND SOURCE       write a damaged copy of SOURCE to standard output

A row of INDEX.toml with `make` is made by that shell command, run at the top of the checkout; its standard output is
the sample. The other rows are recordings or were written by hand, and are never touched. Nor is an object file: another
compiler makes other bytes, so its row's `compile` is run by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
INDEX = HERE / "INDEX.toml"
sys.path.insert(0, str(TOP))

#: The native file header's size and the place of its major version and of its CRC: see formats/native.md.
MAJOR_AT, CRC_AT = 8, 32


def damage(kind: str, data: bytes) -> bytes:
    """A damaged copy. `kind`: "cut" in the middle of something; "flip" a bit in each of two bytes; "magic" the first
    bytes; "future" the major version of a native file, with a header CRC that is right.
    """
    broken = bytearray(data)
    if kind == "cut":
        return data[: len(data) * 3 // 5]
    if kind == "flip":
        for part in (3, 4):
            broken[len(data) * part // 10] ^= 0x10
    elif kind == "magic":
        broken[:4] = b"\0\0\0\0"
    else:
        import zlib

        broken[MAJOR_AT] = 0x63
        broken[CRC_AT : CRC_AT + 4] = zlib.crc32(broken[:CRC_AT]).to_bytes(4, "little")
    return bytes(broken)


def samples() -> list[dict[str, Any]]:
    """The rows of INDEX.toml that are recordings."""
    rows: list[dict[str, Any]] = tomllib.loads(INDEX.read_text())["sample"]
    return rows


def make(row: dict[str, Any]) -> None:
    """Run a row's command, and keep what it prints if it worked."""
    # "mmiotools" and "python" mean this interpreter and this checkout, whatever else is installed.
    words = f'python() {{ "{sys.executable}" "$@"; }}; mmiotools() {{ python -m mmiotools "$@"; }}; set -o pipefail; '
    path = {"PYTHONPATH": str(TOP)}
    done = subprocess.run(["bash", "-c", words + row["make"]], cwd=TOP, stdout=subprocess.PIPE, env=os.environ | path)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{row['path']}: ended with {done.returncode}: {row['make']}")
    target = HERE / row["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(done.stdout)


def count(path: Path, format_name: str) -> int | None:
    """Events in a sample, its NOTEs included; None for one that is not read: write-only formats, refused files."""
    from mmiotools.errors import MmioToolsError
    from mmiotools.formats import FORMATS, open_trace

    if not FORMATS.get(format_name).readable:
        return None
    try:
        return sum(len(batch) for batch in open_trace(str(path)).batches)
    except MmioToolsError:
        return None


def update_index() -> None:
    """Put the events and hashes of the files into INDEX.toml, and leave everything else in it as it is."""
    head, *tables = re.split(r"^(?=\[\[(?:sample|program)\]\])", INDEX.read_text(), flags=re.MULTILINE)
    for at, table in enumerate(tables):
        (row,) = next(iter(tomllib.loads(table).values()))
        path = HERE / row["path"]
        # Comments between two tables introduce the second.
        body, _, behind = table.partition("\n\n")
        lines = [line for line in body.rstrip().split("\n") if not line.startswith(("events =", "sha256 ="))]
        events = count(path, row["format"]) if table.startswith("[[sample]]") else None
        if events is not None:
            lines.append(f"events = {events}")
        lines.append(f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"')
        tables[at] = "\n".join(lines) + "\n\n" + (f"{behind.strip()}\n\n" if behind.strip() else "")
    INDEX.write_text((head + "".join(tables)).rstrip() + "\n")


def main() -> None:
    """Do as the options say."""
    parser = argparse.ArgumentParser(description="Remake the recordings that a command makes.")
    parser.add_argument("--index", action="store_true", help="only bring INDEX.toml up to date")
    kinds = "cut|flip|magic|future"
    parser.add_argument("--damage", nargs=2, metavar=(kinds, "SOURCE"), help="write a damaged copy of SOURCE")
    chosen = parser.parse_args()
    if chosen.damage:
        kind, source = chosen.damage
        if kind not in kinds.split("|"):
            parser.error(f"there is no damage called {kind}")
        sys.stdout.buffer.write(damage(kind, Path(source).read_bytes()))
        return
    for row in samples():
        if "make" in row and not chosen.index:
            make(row)
    update_index()


if __name__ == "__main__":
    main()
