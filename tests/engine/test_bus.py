"""Which device answers at a physical address, and what happens where none does; sparse RAM."""

from __future__ import annotations

import pytest
from engine_card import BAR0, BAR0_SIZE, BAR1, RamCard
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.engine.bus import KEEP_UNCLAIMED, Bus, Ram, Unclaimed
from mmiotools.engine.interface import Seen
from mmiotools.trace.intervals import OverlapError


@pytest.fixture
def card() -> RamCard:
    return RamCard()


@pytest.fixture
def bus(card: RamCard) -> Bus:
    bus = Bus()
    bus.attach(card)
    return bus


def test_accesses_reach_the_right_region(bus: Bus, card: RamCard) -> None:
    bus.write(BAR0 + 0x10, 4, 0x11223344)
    bus.write(BAR1 + 8, 8, 0x1122334455667788)
    assert bus.read(BAR0 + 0x10, 2) == 0x3344
    assert bus.read(BAR1 + 8, 8) == 0x1122334455667788
    assert card.seen[:2] == [Seen("W", "BAR0", 0x10, 4, 0x11223344), Seen("W", "BAR1", 8, 8, 0x1122334455667788)]


def test_values_are_cut_to_the_width(bus: Bus, card: RamCard) -> None:
    bus.write(BAR0, 2, 0x12345678)
    assert card.seen == [Seen("W", "BAR0", 0, 2, 0x5678)]


def test_nobody_home_reads_all_ones_and_is_remembered(bus: Bus, card: RamCard) -> None:
    assert bus.read(0x1000, 4) == 0xFFFFFFFF
    bus.write(0x2000, 8, 5)
    assert bus.unclaimed == [Unclaimed("R", 0x1000, 4), Unclaimed("W", 0x2000, 8)]
    assert card.seen == []


def test_an_access_over_the_end_of_a_bar_is_split(bus: Bus, card: RamCard) -> None:
    end = BAR0 + BAR0_SIZE
    bus.write(end - 1, 4, 0x44332211)
    assert card.seen == [Seen("W", "BAR0", BAR0_SIZE - 1, 1, 0x11)]
    assert bus.read(end - 1, 4) == 0xFFFFFF11
    assert bus.read(BAR0 - 2, 4) >> 16 == int.from_bytes(card.bytes["BAR0"][:2], "little")


def test_unclaimed_accesses_are_all_counted_but_not_all_kept(bus: Bus) -> None:
    for n in range(KEEP_UNCLAIMED + 5):
        bus.read(4 * n, 4)
    assert len(bus.unclaimed) == KEEP_UNCLAIMED
    assert bus.unclaimed_count == KEEP_UNCLAIMED + 5


def test_two_cards_at_one_address_are_refused(bus: Bus) -> None:
    with pytest.raises(OverlapError):
        bus.attach(RamCard())


@given(st.lists(st.tuples(st.integers(0, 20000), st.binary(max_size=9000)), max_size=6))
def test_ram_holds_what_was_written(writes: list[tuple[int, bytes]]) -> None:
    ram, model = Ram(), bytearray(40000)
    for address, data in writes:
        ram.write(address, data)
        model[address : address + len(data)] = data
    assert ram.read(0, len(model)) == bytes(model)
