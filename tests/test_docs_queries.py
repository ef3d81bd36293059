"""docs/queries.md: its commands and programs run, in order, and print what it shows.

python tests/test_docs_queries.py      put what they print into the page
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from readme_examples import TOP, furnish, shell

PAGE = TOP / "docs" / "queries.md"
BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Commands that are shown as an example of what only a user can do.
NOT_HERE = ("pip install", "recordings/")
MISSING = [name for name in ("pyarrow", "duckdb", "polars") if importlib.util.find_spec(name) is None]


def outputs(desk: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Every output block of the page, with what the blocks before it print."""
    printed = ""
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        sort, text = block[1], block[2]
        if sort == "text":
            yield block, printed
            printed = ""
        elif not any(word in text for word in NOT_HERE):
            if sort == "sh":
                done = shell(text, desk)
            else:
                words = [sys.executable, "-c", text]
                done = subprocess.run(words, cwd=desk, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            printed += done.stdout


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_queries_print_what_the_page_shows(tmp_path: Path) -> None:
    found = list(outputs(furnish(tmp_path)))
    assert len(found) >= 3
    for block, printed in found:
        assert block[2] == printed, f"if this is meant, run: python {Path(__file__).relative_to(TOP)}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page = PAGE.read_text(encoding="utf-8")
        for found, text in reversed(list(outputs(furnish(Path(folder))))):
            page = page[: found.start(2)] + text + page[found.end(2) :]
        PAGE.write_text(page, encoding="utf-8")
