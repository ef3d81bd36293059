"""Ctrl-C at any moment, also while Python imports: one line, status 130, and it is never lost."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

# Interrupts the command at a call, the first one by that name in a file whose name has a word in it.
AT = """
import os, signal, sys

def called(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_name == {name!r} and {file!r} in code.co_filename:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

sys.argv[1:] = {words!r}
from mmiotools.__main__ import main
sys.setprofile(called)
main()
"""


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cb", "importlib"),  # a callback of a weak reference: what it raises is dropped
        ("<module>", "click/core"),  # before the command is known
        ("<module>", "cli/check"),
        ("<module>", "tempfile"),  # as its input is copied
        ("_read_raw", "formats/source"),
    ],
)
def test_it_ends_the_command(name: str, file: str, samples: Path, tmp_path: Path, top: Path) -> None:
    code = AT.format(name=name, file=file, words=["check", "--repair", str(tmp_path / "out.mmio"), "-"])
    interrupted(code, top, (samples / "broken" / "native-flipped.mmio").read_bytes())
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_as_the_first_is_told(tmp_path: Path, top: Path) -> None:
    code = AT.format(name="_complain", file="cli/outcome", words=["check", str(tmp_path / "none")])
    interrupted(code, top, b"")


def interrupted(code: str, top: Path, data: bytes) -> None:
    """A program ends at its interrupt while its standard input, more than is looked at to tell a format, is open."""
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, cwd=top, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(data * 5)
            process.stdin.flush()
        assert process.wait(60) == 130
        assert process.stderr.read() == b"mmiotools: interrupted\n"
