"""What is a problem, what is a remark, and where each was met first."""

from __future__ import annotations

import pytest

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.stats.check import PROBLEMS, REMARKS, Check, Finding
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import PciDevice

DEVICE = Event(Kind.DEVICE, extra=PciDevice(0, 1, 2).extra())
MAP = Event(Kind.MAP, 10, map=1, addr=0x1000, extra={"virt": 0xF000, "length": 0x1000})
READ = Event(Kind.READ, 20, 4, 1, 0x1004, value=0)
UNMAP = Event(Kind.UNMAP, 30, map=1)


def check(events: list[Event], size: int) -> dict[str, Finding]:
    checker = Check()
    for at in range(0, len(events), size):
        checker.add(Batch.from_events(events[at : at + size]))
    checker.finish()
    assert checker.events == len(events)
    for finding in (*checker.problems, *checker.remarks):
        assert finding.as_json()["count"] > 0
    return {finding.name: finding for finding in (*checker.problems, *checker.remarks)}


CASES: dict[str, tuple[list[Event], str, int, int | None]] = {
    "damage": ([DEVICE, damaged("torn", line=7, events=2), damaged("torn", line=9)], "damaged", 2, 1),
    "lost": ([DEVICE, Event(Kind.LOST, 0, extra={"count": 3}), Event(Kind.LOST, cpu=1)], "lost", 2, 1),
    "no such map": ([DEVICE, READ], "unmapped", 1, 1),
    "after its unmap": ([DEVICE, MAP, READ, UNMAP, READ._replace(time=40)], "unmapped", 1, 4),
    "past its end": ([DEVICE, MAP, READ._replace(addr=0x2000), UNMAP], "unmapped", 1, 2),
    "before its start": ([DEVICE, MAP, READ._replace(addr=0xFFF), UNMAP], "unmapped", 1, 2),
    "backwards": ([DEVICE, MAP, READ._replace(time=9), UNMAP], "backwards", 1, 2),
    "unknown": ([DEVICE, MAP, READ._replace(kind=Kind.UNKNOWN, value=None), UNMAP], "unknown", 1, 2),
    "wide": ([DEVICE, MAP, READ._replace(width=1, value=0x100), UNMAP], "wide", 1, 2),
    "very wide": ([DEVICE, MAP, READ._replace(width=8, value=1 << 64), UNMAP], "wide", 1, 2),
    "unaligned": ([DEVICE, MAP._replace(addr=0x1004), UNMAP], "unaligned-map", 1, 1),
    "tail": ([DEVICE, MAP._replace(extra={"length": 0x201000}), UNMAP], "huge-tail-map", 1, 1),
    "alive": ([DEVICE, MAP], "alive", 1, None),
    "unmap -1": ([DEVICE, Event(Kind.UNMAP, 5, map=-1)], "unmap-unknown", 1, 1),
    "no devices": ([MAP, READ, UNMAP], "no-devices", 1, None),
    "notes": ([Event(Kind.NOTE, extra={"text": b"?"})] * 3, "only-notes", 3, None),
}


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(("events", "name", "count", "index"), CASES.values(), ids=list(CASES))
def test_one_finding(events: list[Event], name: str, count: int, index: int | None, size: int) -> None:
    found = check(events, size)
    assert list(found) == [name]
    assert (found[name].count, found[name].index) == (count, index)
    assert found[name].meaning in (*PROBLEMS.values(), *REMARKS.values())


@pytest.mark.parametrize(
    "events",
    [
        [],
        [DEVICE, MAP, READ, UNMAP],
        [DEVICE, MAP, READ, Event(Kind.LOST, extra={"count": 0})._replace(kind=Kind.NOTE), UNMAP],
        [DEVICE, READ._replace(map=None)],
        [DEVICE, MAP, READ, READ, UNMAP, Event(Kind.HEADER, extra={}), MAP, READ, UNMAP],
        [DEVICE, MAP, READ._replace(value=0xFFFFFFFF), READ._replace(width=8, value=2**64 - 1), UNMAP],
    ],
)
def test_clean(events: list[Event]) -> None:
    assert check(events, 2) == {}


def test_counts_of_lost_events() -> None:
    lost = check([DEVICE, Event(Kind.LOST, 0, extra={"count": 3}), Event(Kind.LOST, extra={"count": 4})], 1)["lost"]
    assert lost.events == 7 and not lost.detail
    unknown = check([DEVICE, Event(Kind.LOST, 0), Event(Kind.LOST, extra={"count": 4})], 1)["lost"]
    assert unknown.events == 4 and "at least" in unknown.detail
    damage = check([DEVICE, damaged("torn", line=7, events=2), damaged("other", offset=9)], 1)["damaged"]
    assert (damage.events, damage.line, damage.offset, damage.detail) == (3, 7, None, "torn")


def test_lost_at_zero_is_not_backwards() -> None:
    found = check([DEVICE, MAP, Event(Kind.LOST, 0, extra={"count": 1}), READ, UNMAP], 100)
    assert list(found) == ["lost"]
