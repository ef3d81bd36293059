"""What inputs are made from: samples, test vectors, and what hypothesis builds where a test has a strategy for it."""

from __future__ import annotations

import io
import lzma
import sys
import tomllib
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TOP = Path(__file__).resolve().parents[2]
SAMPLES = TOP / "samples"
sys.path.insert(0, str(TOP / "tests" / "formats"))

#: A seed is at most so long: the beginning of a sample, or its beginning and a stretch from the middle.
LONGEST = 1 << 12


def samples(form: str) -> list[bytes]:
    """The samples of a format, uncompressed and whole."""
    rows = tomllib.loads((SAMPLES / "INDEX.toml").read_text("utf-8"))["sample"]
    found = []
    for row in rows:
        if row["format"] == form:
            data = (SAMPLES / row["path"]).read_bytes()
            found.append(lzma.decompress(data) if row["path"].endswith(".xz") else data)
    return found


def seeds(form: str, number: int, built: int) -> list[bytes]:
    """Inputs of a format: of its samples no more than is read quickly, its vectors, and some that hypothesis builds."""
    from vectors import vectors

    rng = Random(number)
    found = [vector.data for vector in vectors() if vector.format == form and vector.data]
    for data in samples(form):
        found += _windows(rng, data, whole=form in ("native", "arrow", "parquet"))
    return found + _built(form, number, built)


def _windows(rng: Random, data: bytes, *, whole: bool) -> list[bytes]:
    if len(data) <= LONGEST or (whole and len(data) <= 1 << 14):
        return [data]
    if whole:
        return []
    found = [data[:LONGEST]]
    for _ in range(3):
        at = rng.randrange(len(data))
        at = data.rfind(b"\n", 0, at) + 1 or at
        found.append(data[: LONGEST // 8] + data[at : at + LONGEST // 2])
    return found


def _built(form: str, number: int, count: int) -> list[bytes]:
    """Inputs made of the strategies that the tests of a format have."""
    from mmiotools.formats import FORMATS
    from mmiotools.trace.batch import Batch
    from mmiotools.trace.header import TraceHeader

    if not count:
        return []
    if form in ("mmiotrace", "ftrace", "qemu-log"):
        module: Any = __import__(f"test_{form.replace('-', '_')}")
        return [b"# head\n" + b"".join(some) for some in _examples(st.lists(module.lines(), min_size=1), number, count)]
    if form in ("renode", "mmt-text"):
        import test_tool_texts as texts

        line = texts.RENODE_LINE if form == "renode" else texts.MMT_LINE
        return ["".join(some).encode() for some in _examples(st.lists(line, min_size=1), number, count)]
    if form in ("native", "jsonl", "arrow", "parquet"):
        import test_arrow
        import test_jsonl
        import test_native

        one = {"native": test_native.EVENT, "jsonl": test_jsonl.EVENTS}.get(form, test_arrow.EVENT | test_arrow.RARE)
        found = []
        for events in _examples(st.lists(one, min_size=1, max_size=40), number, count):
            if form == "native" and len(found) % 2:
                found.append(test_native.write(events, 1 + len(found) % 5))
                continue
            out = io.BytesIO()
            writer = FORMATS.get(form).writer(out, TraceHeader("mmiotrace", "boot", 6, {"driver": "x"}))
            writer.write(Batch.from_events(events))
            writer.close()
            found.append(out.getvalue())
        return found
    return []


def _examples(strategy: st.SearchStrategy[Any], number: int, count: int) -> list[Any]:
    found: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


#: What the readers of settings begin with, by target.
SETTINGS = {
    "masks": [
        b'[[mask]]\nregister = "BAR0+0x3800"\ndevice = "8086:100e"\nop = "read"\nbits = 0xff00\nreason = "counter"\n'
        b'[[mask]]\nregister = "0x1000-0x1fff"\nignore = true\n'
        b'[[block]]\naccesses = ["R 4 8086:100e/0/BAR0+0x8 0x1", "W 4 map/1+0xc"]\nreason = "poll"\n',
    ],
    "filters": [
        b"write and offset in 0x100-0x1ff",
        b"addr == 0xfebc0008 and value & 0x80000000 != 0",
        b"not (read and width == 1)",
        b"mark ~ 'load .*' or lost",
        b"bar == 0 and (offset in {0x10, 0x20-0x2f, 0x40+8}) or op in {R, write}",
        b"time >= 1.5 and time < 2s and region == '00:03.0/BAR0'",
        b"addr in BAR0+0x100 or addr in 01:00.0/BAR0+0x100",
        b"value in 0-0xff and pid != 0 and cpu <= 3 and pc > 0",
    ],
}


def settings_seeds(target: str, number: int, built: int) -> list[bytes]:
    """What is read besides traces: register maps, masks, cards, scenarios, expressions."""
    if target == "register-maps":
        return [path.read_bytes() for path in sorted((SAMPLES / "regmaps").iterdir())]
    if target == "scenarios":
        bundled = TOP / "mmiotools" / "record" / "scenarios"
        return [
            path.read_bytes() for folder in (bundled, SAMPLES / "scenarios") for path in sorted(folder.glob("*.toml"))
        ]
    if target == "cards":
        sys.path.insert(0, str(TOP / "tests" / "models"))
        from test_cardfile import all_kinds

        from mmiotools.models.cardfile import card_text

        return [card_text(all_kinds()).encode()]
    return SETTINGS[target]
