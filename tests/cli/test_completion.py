"""The command: its scripts, and what they get when they ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CASES = {
    "mmiotools co": ["plain,convert", "plain,completion"],
    "mmiotools replay --policy ": ["plain,window", "plain,strict", "plain,queue", "plain,model"],
    "mmiotools diff --view su": ["plain,summary"],
    "mmiotools convert -t ts": ["plain,tsv"],
    "mmiotools record nv-t": ["plain,nv-test"],
    "mmiotools record --card ": ["plain,nv-card", "plain,uart", "plain,nic", "plain,block"],
    "mmiotools info --js": ["plain,--json"],
}


@pytest.mark.parametrize("line", CASES)
def test_what_tab_offers(line: str, top: Path) -> None:
    words = line.split()
    at = len(words) if line.endswith(" ") else len(words) - 1
    asked = {"_MMIOTOOLS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(at), "PYTHONPATH": str(top)}
    done = subprocess.run(
        [sys.executable, "-m", "mmiotools"], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.splitlines(), done.stderr) == (CASES[line], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_for_its_shell(shell: str, cli) -> None:  # type: ignore[no-untyped-def]
    done = cli("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"_MMIOTOOLS_COMPLETE={shell}_complete".encode() in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_the_script(shell: str, cli) -> None:  # type: ignore[no-untyped-def]
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = cli("completion", shell).stdout
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_another_shell_is_a_usage_error(cli) -> None:  # type: ignore[no-untyped-def]
    assert cli("completion", "tcsh").returncode == 2
