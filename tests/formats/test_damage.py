"""Damage is a NOTE. The same word on an event of another kind is kept, and nothing takes the event for damage."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from mmiotools.cli.main import run
from mmiotools.events import Event, Kind
from mmiotools.filters.context import context_mask, lasting_mask
from mmiotools.formats import FORMATS
from mmiotools.formats.source import ByteSource
from mmiotools.stats.check import Check
from mmiotools.stats.summary import Summary
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import TraceHeader

SAID = {"damaged": True, "reason": "by hand", "events": 7, "line": 3}
OWN: dict[Kind, dict[str, Any]] = {
    Kind.MARK: {"text": b"words"},
    Kind.NOTE: {"text": b"words"},
    Kind.LOST: {"count": 2},
    Kind.DEVICE: {"bdf": 8},
}
OTHERS = [kind for kind in Kind if kind != Kind.NOTE]
HERE = [name for name in FORMATS.builtin_names() if getattr(FORMATS.get(name), "needs", None) is None]
HOLD = [name for name in HERE if name in ("jsonl", "native", "arrow", "parquet")]


def event(kind: Kind, **extra: object) -> Event:
    return Event(kind, time=5, width=4, map=1, addr=0x1000, value=9, extra={**OWN.get(kind, {}), **extra})


def through(name: str, events: list[Event]) -> list[Event]:
    """What a format reads of what it wrote."""
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, TraceHeader("jsonl"))
    writer.write(Batch.from_events(events))
    writer.close()
    assert not +writer.lost
    _, batches = FORMATS.get(name).read(ByteSource(io.BytesIO(out.getvalue()), "x"))
    return [event for batch in batches for event in batch.events()]


@pytest.mark.parametrize("name", HOLD)
def test_it_is_kept_on_every_kind(name: str) -> None:
    events = [event(kind, **said) for kind in Kind for said in (SAID, {"damaged": False}, {})]
    assert through(name, events) == events


@pytest.mark.parametrize("kind", OTHERS)
def test_only_a_note_is_damage(kind: Kind) -> None:
    assert not event(kind, **SAID).damaged
    plain, said = (Batch.from_events([event(kind, **extra)]) for extra in ({}, SAID))
    assert not list(said.damage())
    assert lasting_mask(plain).tolist() == lasting_mask(said).tolist()
    assert context_mask(plain).tolist() == context_mask(said).tolist()
    judged = []
    for batch in (plain, said):
        check, summary = Check(), Summary()
        check.add(batch)
        check.finish()
        summary.add(batch)
        judged.append(([finding.as_json() for finding in check.problems + check.remarks], summary.as_json()))
    assert judged[0] == judged[1]


def test_a_note_is_damage_where_it_says_so() -> None:
    notes = [event(Kind.NOTE, **said) for said in (SAID, {"damaged": True}, {"damaged": True, "events": -3})]
    batch = Batch.from_events([*notes, event(Kind.NOTE, damaged=False), event(Kind.NOTE)])
    assert [row for row, _ in batch.damage()] == [0, 1, 2]
    summary = Summary()
    summary.add(batch)
    assert summary.as_json()["damage"] == {"places": 3, "events": 8}


def written(name: str, events: list[Event]) -> bytes:
    out = io.BytesIO()
    writer = FORMATS.get(name).writer(out, TraceHeader("jsonl", time_digits=6))
    writer.write(Batch.from_events(events))
    writer.close()
    return out.getvalue()


@pytest.mark.parametrize("name", [name for name in HERE if name not in HOLD and FORMATS.get(name).writable])
@pytest.mark.parametrize("kind", OTHERS)
def test_no_format_writes_another_kind_otherwise_for_it(name: str, kind: Kind) -> None:
    said = event(kind, damaged=True)
    if written(name, [event(kind)]) != written(name, [said]):
        # Some show whatever an event has.
        assert name == "perfetto" or kind == Kind.HEADER
        assert b"damaged" in written(name, [said])


def test_commands_say_nothing_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    objects = [{"kind": "MAP", "map": 1, "addr": "0x1000", "virt": "0x0", "length": "0x1000"}]
    for kind in ("READ", "WRITE"):
        objects.append({"kind": kind, "map": 1, "width": 4, "addr": "0x1000", "value": "0x1", "damaged": True})
    objects.append({"kind": "MARK", "text": "here", "damaged": True, "reason": "none"})
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [{"schema": "mmiotools.trace/1"}, *objects]))
    for command in (["check"], ["info"], ["show"], ["convert", "-t", "mmiotrace"], ["filter", "-t", "jsonl", "write"]):
        assert run([*command, str(path)]) == 0, command
        out, err = capfd.readouterr()
        assert "damage" not in err
        if command[0] == "show":
            assert "MARK here" in out and "DAMAGED" not in out
        elif command[0] == "convert":
            assert "MARK 0.000000 here" in out
        elif command[0] == "filter":
            assert [json.loads(line)["kind"] for line in out.splitlines()[1:]] == ["MAP", "WRITE"]


def test_a_note_that_says_what_unfold_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.jsonl"
    note = {"kind": "NOTE", "damaged": True, "reason": "a folded poll loop is damaged"}
    path.write_text(json.dumps({"schema": "mmiotools.trace/1"}) + "\n" + json.dumps(note) + "\n")
    assert run(["filter", "--unfold", "note or read", str(path)]) == 3
    assert "events lost: 1" in capfd.readouterr().err
