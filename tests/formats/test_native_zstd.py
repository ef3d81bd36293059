"""The zstd library of native files: the package's part in C alone, or the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from mmiotools.formats import native_zstd
print("zstandard" in sys.modules)
import zstandard
print(zstandard.ZstdError is native_zstd._zstd.ZstdError)
try:
    native_zstd.expand(b"no frame", 8)
except native_zstd.Corrupt:
    print(native_zstd.expand(zstandard.compress(b"a frame!"), 8) == b"a frame!")
"""


@pytest.mark.parametrize("before", ["", "import zstandard\n"], ids=["alone", "behind the package"])
@pytest.mark.parametrize("policy", [None, "cffi_fallback"])
def test_it_is_the_same_as_the_package(monkeypatch: pytest.MonkeyPatch, before: str, policy: str | None) -> None:
    monkeypatch.delenv("PYTHON_ZSTANDARD_IMPORT_POLICY", raising=False)
    if policy is not None:
        monkeypatch.setenv("PYTHON_ZSTANDARD_IMPORT_POLICY", policy)
    done = subprocess.run([sys.executable, "-c", before + CODE], capture_output=True, text=True, check=True, timeout=60)
    whole = bool(before) or policy is not None or sys.implementation.name != "cpython"
    assert done.stdout.split() == [str(whole), "True", "True"]
