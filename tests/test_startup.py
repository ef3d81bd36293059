"""What the start of the command line imports: as little as the question needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from mmiotools.speed import compiled


def imported(top: Path, *arguments: str) -> set[str]:
    """Top-level packages that `mmiotools ARGUMENTS...` imports, without what `site` does: what is installed so that it
    can be edited has a module there with imports of its own.
    """
    code = "from mmiotools.__main__ import main; main()"
    words = [sys.executable, "-S", "-X", "importtime", "-c", code, *arguments]
    places = os.pathsep.join([str(top), *{sysconfig.get_path(name) for name in ("purelib", "platlib")}])
    environment = os.environ | {"PYTHONPATH": places}
    done = subprocess.run(words, cwd=top, env=environment, capture_output=True, text=True, check=True, timeout=60)
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "mmiotools" in names
    return {name.split(".")[0] for name in names}


def test_version_imports_no_third_party(top: Path) -> None:
    others = {"click", "numpy", "construct", "rich", "msgpack", "zstandard", "re", "typing"}
    assert not imported(top, "--version") & others


def test_help_imports_no_numpy(top: Path) -> None:
    packages = imported(top, "--help")
    assert "click" in packages
    assert not packages & {"numpy", "construct", "rich"}


def test_completion_of_commands_imports_none_of_them(top: Path) -> None:
    code = (
        "import sys; from mmiotools.cli.main import run\n"
        "try: run([])\n"
        "except SystemExit: pass\n"
        "print('numpy' in sys.modules)"
    )
    environment = {"_MMIOTOOLS_COMPLETE": "bash_complete", "COMP_WORDS": "mmiotools re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=top, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["plain,record", "plain,replay", "False"]


@pytest.mark.skipif(compiled() is None, reason="the compiled engine was not built")
@pytest.mark.parametrize("native", [False, True])
def test_counting_a_trace_needs_neither_numpy_nor_click(top: Path, tmp_path: Path, native: bool) -> None:
    path = top / "samples" / "mmiotrace" / "nvme-linux6.1.mmiotrace"
    if native:
        subprocess.run([sys.executable, "-m", "mmiotools", "convert", path, "-o", tmp_path / "x.mmio"], check=True)
        path = tmp_path / "x.mmio"
    code = (
        "import sys; from mmiotools.cli.info_screen import summarise\n"
        f"summarise(({str(path)!r},))\n"
        "print({'numpy', 'click'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_filter_from_native_to_text_imports_neither_click_nor_numpy(top: Path) -> None:
    if compiled() is None:
        pytest.skip("the compiled engine was not built")
    trace = "samples/native/nvme-linux6.1.mmio"
    packages = imported(top, "filter", "read", trace, "-t", "mmiotrace", "-o", "/dev/null")
    assert not packages & {"click", "numpy", "construct", "rich", "dataclasses", "multiprocessing", "re", "typing"}
    assert not packages & {"msgpack", "datetime"}
    # What these have is in `mmiotools.small` and `mmiotools.typed`, as far as it is needed.
    assert not packages & {"collections", "contextlib", "enum", "functools", "operator"}


def test_a_filter_from_a_small_native_file_needs_no_numpy_on_either_engine(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMIOTOOLS_ENGINE", "numpy")
    trace = "samples/native/nvme-linux6.1.mmio"
    assert "numpy" not in imported(top, "filter", "read", trace, "-t", "mmiotrace", "-o", "/dev/null")


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_a_filter_of_a_small_text_imports_neither_click_nor_numpy(
    top: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("MMIOTOOLS_ENGINE", engine)
    trace = "samples/mmiotrace/nvme-linux6.1.mmiotrace"
    packages = imported(top, "filter", "read", trace, "--time", "3-", "-o", "/dev/null")
    assert not packages & {"click", "numpy", "construct", "rich", "msgpack", "zstandard", "json", "dataclasses"}


QUICK = {
    "text": ("filter", "write and addr < 0x100000000", "samples/mmiotrace/nvme-linux6.1.mmiotrace", "--time", "3-"),
    "native": ("filter", "read or value == 1", "samples/native/nvme-linux6.1.mmio", "-t", "mmiotrace", "--time", "3-"),
    "info": ("info", "samples/native/nvme-linux6.1.mmio"),
}


@pytest.mark.parametrize("words", QUICK.values(), ids=QUICK)
def test_what_is_asked_most_has_no_annotation_compiled(top: Path, words: tuple[str, ...]) -> None:
    """As that makes the compiler ready; what makes a tuple's constructor does not."""
    if words is not QUICK["text"] and compiled() is None:
        pytest.skip("the compiled engine was not built")
    code = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, given: seen.append(given) if event == 'compile' and given[0] else None)\n"
        "from mmiotools.cli.front import plain_command\n"
        f"plain_command({list(words)!r})()\n"
        "strings = [text for text, name in seen if name == '<string>' and not text.startswith(b'lambda _cls, ')]\n"
        "print(strings, sys.modules.keys() & {'numpy', 'platform', 'pickle', 'zstandard'}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=top, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[] set()"


def test_a_plain_filter_imports_no_click(top: Path) -> None:
    packages = imported(top, "filter", "offset < 8", "samples/mmiotrace/nvme-linux6.1.mmiotrace", "-o", "/dev/null")
    assert "numpy" in packages
    assert not packages & {"click", "construct", "rich"}
