"""The address map: BARs before maps, changes on the way, and the bulk path against one event at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.events import Event, Kind
from mmiotools.trace.address_space import AddressSpace
from mmiotools.trace.addrmap import AddressMap
from mmiotools.trace.batch import Batch
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.trace.intervals import IntervalIndex

CARD = PciDevice(0x0018, 0x8086, 0x100E, 11, (Bar(0, 0xFEBC0000, 0x20000), Bar(1, 0xC000, 0x40, 1)))


def device(card: PciDevice) -> Event:
    return Event(Kind.DEVICE, extra=card.extra())


def mapped(map_id: int, phys: int, length: int) -> Event:
    return Event(Kind.MAP, 0, map=map_id, addr=phys, extra={"virt": 0xFFFF0000, "length": length})


def read(addr: int, map_id: int | None = None) -> Event:
    return Event(Kind.READ, 0, 4, map_id, addr, value=0)


def where(*events: Event) -> list[tuple[str | None, int, bool]]:
    addresses = AddressMap()
    batch = Batch.from_events(events)
    resolved = addresses.resolve(batch)
    return [
        (
            addresses.regions[resolved.region[row]].name if resolved.region[row] >= 0 else None,
            int(resolved.offset[row]),
            bool(resolved.mapped[row]),
        )
        for row in np.flatnonzero(batch.accesses)
    ]


def test_a_bar_names_what_lies_in_it_and_a_map_the_rest() -> None:
    found = where(
        device(CARD),
        mapped(1, 0xFEBC0000, 0x1000),
        mapped(2, 0xD0000, 0x100),
        read(0xFEBC0008, 1),
        read(0xD0010, 2),
        read(0xD0100, 2),
        read(0xFEBE0000),
    )
    assert found == [
        ("00:03.0/BAR0", 8, True),
        ("map2", 0x10, True),
        (None, 0xD0100, False),
        (None, 0xFEBE0000, False),
    ]


def test_overlapping_maps_are_told_apart_by_id_and_negative_ids_are_legal() -> None:
    found = where(mapped(1, 0x1000, 0x1000), mapped(-1, 0x1800, 0x100), read(0x1810, 1), read(0x1810, -1))
    assert found == [("map1", 0x810, True), ("map-1", 0x10, True)]


def test_a_map_ends_and_its_id_may_come_back() -> None:
    gone = Event(Kind.UNMAP, 0, map=1)
    found = where(
        read(0x1000, 1),
        mapped(1, 0x1000, 0x10),
        read(0x1000, 1),
        gone,
        read(0x1000, 1),
        mapped(1, 0xFF0, 0x20),
        read(0x1000, 1),
    )
    assert found == [(None, 0x1000, False), ("map1", 0, True), (None, 0x1000, False), ("map1", 0x10, True)]


def test_a_device_that_moves_is_followed_and_stays_the_same_device() -> None:
    moved = CARD._replace(bars=(Bar(0, 0xE0000000, 0x20000),))
    addresses = AddressMap()
    batch = Batch.from_events([device(CARD), read(0xFEBC0010), device(moved), read(0xE0000010), read(0xFEBC0010)])
    resolved = addresses.resolve(batch)
    first, second, third = (int(resolved.region[row]) for row in (1, 3, 4))
    assert addresses.regions[first].identity == addresses.regions[second].identity == ("8086:100e", 0, "BAR0")
    assert third == -1


def test_two_cards_of_one_kind_have_ordinals() -> None:
    other = CARD._replace(bdf=0x0020, bars=(Bar(0, 0xE0000000, 0x20000),))
    addresses = AddressMap()
    resolved = addresses.resolve(Batch.from_events([device(CARD), device(other), read(0xE0000000)]))
    assert addresses.regions[resolved.region[2]].identity == ("8086:100e", 1, "BAR0")


def test_the_top_of_the_address_space() -> None:
    found = where(mapped(1, 2**64 - 16, 16), read(2**64 - 1, 1), read(0, 1))
    assert found == [("map1", 15, True), (None, 0, False)]


EVENTS = st.one_of(
    st.builds(read, st.integers(0, 64), st.none() | st.integers(-1, 3)),
    st.builds(mapped, st.integers(-1, 3), st.integers(0, 64), st.integers(1, 32)),
    st.builds(lambda i: Event(Kind.UNMAP, 0, map=i), st.integers(-1, 3)),
    st.builds(
        lambda bdf, addr, size: device(PciDevice(bdf, 1, 2, 0, (Bar(0, 0x10000 + addr, size),))),
        st.integers(0, 2),
        st.integers(0, 64),
        st.integers(1, 32),
    ),
    st.builds(read, st.integers(0x10000, 0x10050), st.none()),
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=25), st.integers(1, 25))
def test_how_the_stream_is_cut_into_batches_does_not_matter(some: list[Event], size: int) -> None:
    def resolve(step: int) -> list[tuple[object, int, bool]]:
        addresses = AddressMap()
        out: list[tuple[object, int, bool]] = []
        for start in range(0, len(some), step):
            resolved = addresses.resolve(Batch.from_events(some[start : start + step]))
            out += [
                (addresses.regions[code].identity if code >= 0 else None, offset, inside)
                for code, offset, inside in zip(
                    resolved.region.tolist(), resolved.offset.tolist(), resolved.mapped.tolist(), strict=True
                )
            ]
        return out

    assert resolve(size) == resolve(1)


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 6)), max_size=5), st.booleans())
def test_bars_that_lie_apart_are_looked_up_as_any_others(spans: list[tuple[int, int]], top: bool) -> None:
    """Whether or not they overlap: a BAR covers its addresses, and of several the one that begins last."""
    space, base = AddressSpace(), (1 << 64) - 16 if top else 0x10000
    bars = tuple(Bar(number, base + start, size) for number, (start, size) in enumerate(spans))
    space.add_device(PciDevice(0x18, 1, 2, bars=bars))
    index: IntervalIndex[str] = IntervalIndex(overlaps=True)
    for bar in bars:
        index.insert(bar.addr, min(bar.addr + bar.size, 1 << 64), bar.name)
    for address in range(base, base + 16):
        covering = index.stab(address)
        found = (f"00:03.0/{covering[-1].value}", address - covering[-1].start) if covering else (None, address)
        assert space.locate(address) == found
