"""What makes two accesses the same, and the hashes that stand for it."""

from __future__ import annotations

import numpy as np
import pytest

from mmiotools.events import Event, Kind
from mmiotools.trace.accesses import Accesses, access_json
from mmiotools.trace.batch import Batch
from mmiotools.trace.collect import collect
from mmiotools.trace.header import Bar, PciDevice


def accesses(base: int, *events: Event, map_id: int = 1) -> Accesses:
    card = PciDevice(0x18, 0x8086, 0x100E, 0, (Bar(0, base, 0x1000),))
    return collect(iter([Batch.from_events([Event(Kind.DEVICE, extra=card.extra()), *events])]))


def access(kind: Kind = Kind.READ, addr: int = 0xFEBC0010, **fields: int | None) -> Event:
    values: dict[str, int | None] = {"time": 5, "width": 4, "map": 1, "value": 7, **fields}
    return Event(kind, addr=addr, **values)


def test_time_map_id_and_absolute_address_do_not_count() -> None:
    one = accesses(0xFEBC0000, access())
    other = accesses(0xE0000000, access(addr=0xE0000010, time=99, map=4, pc=1, pid=2))
    assert one.keys().tolist() == other.keys().tolist()
    assert one.access(0).key == other.access(0).key


@pytest.mark.parametrize(
    "other",
    [
        access(Kind.WRITE),
        access(width=2),
        access(width=None),
        access(value=8),
        access(value=None),
        access(addr=0xFEBC0014),
        access(addr=0xD0000010),
        access(value=2**64 + 7),
    ],
)
def test_operation_width_register_and_value_count(other: Event) -> None:
    both = accesses(0xFEBC0000, access(), other)
    assert len(set(both.keys().tolist())) == 2
    assert both.access(0).key != both.access(1).key


def test_the_register_key_leaves_the_value_out() -> None:
    both = accesses(0xFEBC0000, access(), access(value=8), access(width=2))
    first, second, third = both.register_keys().tolist()
    assert first == second != third


def test_rows_that_are_no_accesses_do_not_count() -> None:
    found = accesses(0xFEBC0000, Event(Kind.MARK, extra={"text": b"x"}), access(), Event(Kind.LOST, 0), access())
    assert len(found) == 2
    assert found.access(1).index == 1


def test_json_has_null_for_what_is_missing() -> None:
    found = accesses(0xFEBC0000, Event(Kind.UNKNOWN, addr=0xFEBC0010), Event(Kind.READ, region="regs", offset=4))
    assert access_json(found.access(0), "a") == {
        "side": "a",
        "index": 0,
        "op": "U",
        "width": None,
        "region": "00:03.0/BAR0",
        "offset": "0x10",
        "address": "0xfebc0010",
        "value": None,
        "register": None,
    }
    assert access_json(found.access(1))["region"] == "regs"
    assert access_json(found.access(1))["address"] is None


def test_nothing_is_something() -> None:
    empty = collect(iter(()))
    assert len(empty) == 0
    assert empty.keys().dtype == np.uint64


def test_a_part_keeps_the_numbers_of_the_whole() -> None:
    whole = accesses(0xFEBC0000, access(value=1), access(value=2**70), access(value=3), access(value=2**71))
    part = whole.take(np.array([1, 3]))
    assert [(found.index, found.value) for found in part.span(0, len(part))] == [(1, 2**70), (3, 2**71)]
    assert [part.numbered(position) for position in range(3)] == [1, 3, 4]
    assert [part.position(number) for number in range(5)] == [0, 0, 1, 1, 2]
    assert part.take(np.array([1])).access(0).index == 3
    assert [whole.numbered(4), whole.position(2), whole.position(9)] == [4, 2, 4]
