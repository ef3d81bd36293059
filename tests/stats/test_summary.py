"""The summary counts what a plain loop over the events counts."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from mmiotools.events import Event, Kind
from mmiotools.formats.base import damaged
from mmiotools.stats import bulk, registers
from mmiotools.stats import summary as summary_module
from mmiotools.stats.register_table import KeyCounts
from mmiotools.stats.registers import RegisterCounts
from mmiotools.stats.summary import Summary
from mmiotools.trace.address_space import AddressSpace
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.trace.tally import ENTRY

CARD = PciDevice(0x18, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000),), "e1000")


def summarise(events: list[Event], size: int = 7) -> Summary:
    summary = Summary()
    for at in range(0, len(events), size):
        summary.add(Batch.from_events(events[at : at + size]))
    return summary


def random_events(n: int, seed: int) -> list[Event]:
    rng = random.Random(seed)
    bases = [0xFEBC0000, 0x7FFFFFFFFFFF0000, 0x8000000000000000, 0xFFFF888000000000, 0xFFFFFFFFFFFF0000, 0]
    return [
        Event(
            rng.choice([Kind.READ, Kind.WRITE, Kind.UNKNOWN]),
            1000 + at,
            rng.choice([None, 1, 2, 4, 8]),
            rng.choice([1, 2, -1, 10**12, None]),
            rng.choice([None, rng.choice(bases) + rng.randrange(6) * 4]),
            value=1,
        )
        for at in range(n)
    ]


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
@pytest.mark.parametrize("few", [registers.FEW, 5])
@pytest.mark.parametrize("seed", range(5))
def test_against_a_loop(seed: int, few: int, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registers, "FEW", few)
    monkeypatch.setattr(summary_module, "_ONE_BY_ONE", few * ENTRY.size)
    if engine == "numpy":
        monkeypatch.setattr(summary_module, "compiled", lambda: None)
        monkeypatch.setattr(bulk, "compiled", lambda: None)
    elif summary_module.compiled() is None:
        pytest.skip("the compiled engine was not built")
    events = random_events(300, seed)
    summary = summarise(events)
    assert summary.kinds[:3] == [sum(e.kind == kind for e in events) for kind in range(3)]
    widths = Counter((e.kind.name, e.width) for e in events if e.width is not None)
    assert {(k, w): n for k, by in summary.widths().items() for w, n in by.items()} == widths
    assert summary.map_accesses == Counter(e.map for e in events if e.map is not None)
    each = Counter((e.addr, e.kind) for e in events if e.addr is not None)
    found = summary.hottest(1000)
    addresses = {addr for addr, _ in each}
    # A canonical address keeps bits 60 to 63 alike; 0x7fff… and 0x8000… do not, and are counted as forgotten or kept.
    assert sum(r.accesses for r in found) + summary.registers_forgotten == sum(each.values())
    for register in found:
        assert register.address in addresses
        expected = tuple(each[register.address, kind] for kind in (Kind.READ, Kind.WRITE, Kind.UNKNOWN))
        assert (register.reads, register.writes, register.unknown) == expected
    assert summary.registers() == len(found)


def test_registers_are_named_and_ranked() -> None:
    events = [
        Event(Kind.DEVICE, extra=CARD.extra()),
        Event(Kind.MAP, 10, map=1, addr=0xA000, extra={"virt": 0, "length": 0x100}),
        *[Event(Kind.READ, 20, 4, 1, 0xFEBC0008, value=0)] * 3,
        *[Event(Kind.WRITE, 21, 4, 1, 0xA010, value=0)] * 2,
        Event(Kind.READ, 22, 4, 9, 0xB000, value=0),
        Event(Kind.READ, 23, 4, region="regs", offset=0x44, value=0),
        Event(Kind.UNMAP, 24, map=1),
    ]
    found = [(r.region, r.offset, r.reads, r.writes) for r in summarise(events).hottest()]
    assert found[:2] == [("00:03.0/BAR0", 8, 3, 0), ("map1", 0x10, 0, 2)]
    assert sorted(found[2:], key=str) == [("regs", 0x44, 1, 0), (None, 0xB000, 1, 0)]


def test_times_losses_and_damage() -> None:
    events = [
        Event(Kind.LOST, 0, extra={"count": 5}),
        Event(Kind.MARK, 100, extra={"text": b""}),
        Event(Kind.MARK, 50, extra={"text": b""}),
        Event(Kind.LOST, cpu=1, extra={"count": None}),
        Event(Kind.UNMAP, 60, map=-1),
        damaged("x", events=3),
        Event(Kind.MAP, 70, map=4, addr=0),
    ]
    summary = summarise(events, 2)
    assert (summary.first, summary.last, summary.lowest, summary.highest) == (100, 70, 50, 100)
    assert (summary.lost, summary.lost_records, summary.lost_unknown) == (5, 2, 1)
    assert (summary.damaged, summary.damaged_events, summary.unmap_unknown, summary.alive) == (1, 3, 1, 1)
    found = summary.as_json()
    assert found["maps"]["list"] == [{"id": 4, "phys": "0x0", "length": None, "accesses": 0}]
    assert Summary().as_json()["time_ns"] is None


def test_a_cap_on_registers_is_said() -> None:
    counts = KeyCounts(limit=10)
    counts.add(np.arange(30, dtype=np.uint64))
    counts.add(np.array([5] * 7, np.uint64))
    counts.merge()
    assert len(counts.keys) == 10 and counts.forgotten == 20
    assert counts.counts.sum() + counts.forgotten == 37 and 8 in counts.counts
    few = RegisterCounts(limit=1)
    few.add(Batch.from_events([Event(Kind.READ, addr=a * 4, value=0) for a in range(20)]))
    assert few.distinct() == 3 and few.forgotten == 17


def test_an_address_lies_in_a_bar_else_in_the_newest_map() -> None:
    space = AddressSpace()
    for number in (1, 2):
        space.take_in(Event(Kind.MAP, 0, map=number, addr=0x1000, extra={"length": 0x1000 * number}))
    assert space.locate(0x1004) == ("map2", 4)
    assert space.locate(0x9000) == (None, 0x9000)
    space.take_in(Event(Kind.MAP, 0, map=3, addr=0xFEBC0000, extra={}))
    assert space.locate(0xFEBC0008) == ("map3", 8)
    space.take_in(Event(Kind.DEVICE, extra=CARD.extra()))
    assert space.locate(0xFEBC0008) == ("00:03.0/BAR0", 8)
    assert space.locate(0xFEBE0000) == ("map3", 0x20000)
    space.take_in(Event(Kind.UNMAP, 0, map=3))
    assert space.locate(0xFEBE0000) == (None, 0xFEBE0000)
