"""Runs the examples of the documents as a user would. As a script, puts their real outputs into README.md:

python tests/readme_examples.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parent.parent
README = TOP / "README.md"
UPDATE = "python tests/readme_examples.py"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EMU = "# needs the [emu] extra"


class Example(NamedTuple):
    """A shell command, the output shown below it, and the exit status that its comment names, or 0."""

    line: str
    shown: str
    status: int


def examples_of(block: str) -> Iterator[Example]:
    """The examples in a console block: each begins with "$ "."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, shown = part.partition("\n")
        status = re.search(r"# exit status (\d+)$", line)
        yield Example(line, shown, int(status[1]) if status else 0)


def needs_extra(example: Example) -> bool:
    """Does the example say that it runs only where the [emu] extra is installed?"""
    return EMU in example.line


def readme_examples() -> list[Example]:
    """Every example of the README, in order; later ones use files of earlier ones."""
    return [example for block in BLOCK.findall(README.read_text(encoding="utf-8")) for example in examples_of(block)]


def furnish(folder: Path) -> Path:
    """A folder to run examples in: the samples lie there, and what examples write stays there."""
    (folder / "samples").symlink_to(TOP / "samples")
    command = folder / "bin" / "mmiotools"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmiotools "$@"\n')
    command.chmod(0o755)
    return folder


def shell(line: str, desk: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell at such a folder."""
    environment = os.environ | {"PATH": f"{desk / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(TOP)}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=desk,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def main() -> None:
    """Rewrite the console blocks of README.md. What cannot be run here stays as it is."""
    sys.path.insert(0, str(TOP))
    from mmiotools.emu import missing_packages

    with tempfile.TemporaryDirectory() as folder:
        desk = furnish(Path(folder))

        def filled(match: re.Match[str]) -> str:
            told = ""
            for example in examples_of(match[1]):
                kept = needs_extra(example) and missing_packages()
                told += f"$ {example.line}\n{example.shown if kept else shell(example.line, desk).stdout}"
            return f"```console\n{told}```"

        README.write_text(BLOCK.sub(filled, README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
