"""Every test vector of every format: bytes → events, and events → bytes where the case says so."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vectors import ROOT, Vector, load, parse_bytes, vectors

from mmiotools.formats import FORMATS
from mmiotools.formats.base import read_all
from mmiotools.formats.source import ByteSource
from mmiotools.trace.batch import Batch

#: Formats whose page has another name.
PAGES = {"parquet": "arrow", "tsv": "csv", **dict.fromkeys(("c", "python", "qtest", "devmem"), "programs")}
ALL = vectors()
IDS = [f"{vector.format}/{vector.name}" for vector in ALL]


@pytest.mark.parametrize("vector", ALL, ids=IDS)
def test_vector(vector: Vector) -> None:
    chosen = FORMATS.get(vector.format)
    needs = getattr(chosen, "needs", None)
    if needs:
        pytest.skip(f"needs {needs}")
    assert "roundtrip" in vector.flags or "write-only" in vector.flags or chosen.readable
    header = vector.header
    if "write-only" not in vector.flags:
        header, batches = chosen.read(ByteSource(io.BytesIO(vector.data), vector.name))
        assert read_all(batches) == vector.events
    if vector.flags:
        out = io.BytesIO()
        writer = chosen.writer(out, header)
        writer.write(Batch.from_events(vector.events))
        writer.close()
        assert out.getvalue() == vector.data


@pytest.mark.parametrize("name", FORMATS.builtin_names())
def test_every_format_has_a_page_and_a_vector(name: str) -> None:
    page = ROOT.parent / f"{PAGES.get(name, name)}.md"
    assert page.exists(), f"write {page}, after formats/TEMPLATE.md"
    assert any(vector.format == name for vector in ALL), f"write {ROOT / name}/CASE.vec, as formats/README.md says"


def test_syntax() -> None:
    assert parse_bytes(r'"a\n\x00\"\\" 00 fF ; "not this"') == b'a\n\x00"\\\x00\xff'
    assert parse_bytes('; "only a comment"') == parse_bytes("") == b""
    for wrong in ("0", "abc", '"open', r'"\q"', "00 zz"):
        with pytest.raises(ValueError):
            parse_bytes(wrong)


def test_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.vec"
    path.write_text("# title\n--- bytes\n0g\n--- events\n")
    with pytest.raises(ValueError, match=r"x\.vec:3"):
        load(path)
