"""Names of registers: bindings, look-ups in arrays and overlaps, names back to offsets, and changed fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmiotools.errors import UsageError
from mmiotools.trace.address_space import Region
from mmiotools.trace.header import Bar, PciDevice
from mmiotools.trace.names import Change, Names
from mmiotools.trace.regmap import Binding, Field, Register, RegisterMap, clean_name

CARD = PciDevice(0x18, 0x8086, 0x100E, bars=(Bar(0, 0xFEBC0000, 0x20000), Bar(2, 0xD0000000, 0x1000)))
OTHER = PciDevice(0x20, 0x8086, 0x100F, bars=(Bar(0, 0xFE000000, 0x1000),))


def region(device: PciDevice, number: int) -> Region:
    """A BAR of a device."""
    bar = next(bar for bar in device.bars if bar.number == number)
    name = f"{device.address}/{bar.name}"
    return Region(name, (device.ids, 0, bar.name), "mem", bar.addr, bar.size, device, bar)


BAR0, BAR2, ELSEWHERE = region(CARD, 0), region(CARD, 2), region(OTHER, 0)
MAP = Region("map1", ("map", 0), "mem", 0xD0000000, 0x1000)
NAMED = Region("ports", ("named", "ports"), "port", None, None)
CONFIG = Region("config", ("named", "config"), "config", None, None)

SPEED = Field("SPEED", 9, 8, {0: "10", 2: "1000"})
CTRL = Register("CTRL", 0, 4, (Field("FD", 0, 0), SPEED, Field("RST", 26, 26)))


def names(*registers: Register, bound: str = "") -> Names:
    """One map."""
    return Names([RegisterMap("m", "m", Binding.parse(bound) if bound else Binding(), registers)])


@pytest.mark.parametrize("text", ["8086:100e", "8086:100e,8086:100f/BAR2", "BAR2", "ROM", "0xfebc0000", "0x10+0x20"])
def test_bindings_print_as_they_are_read(text):
    assert str(Binding.parse(text)) == text


@pytest.mark.parametrize("text", ["", "/", "8086", "8086:100e/", "/BAR0", "BAR6", "12", "8086:100e/BAR0x", "0x"])
def test_what_is_no_binding(text):
    with pytest.raises(UsageError):
        Binding.parse(text)


@pytest.mark.parametrize(
    ("bound", "held"),
    [
        ("", [BAR0, ELSEWHERE, MAP, NAMED]),
        ("8086:100e", [BAR0]),
        ("8086:100f,8086:100e", [BAR0, ELSEWHERE]),
        ("8086:100e/BAR2", [BAR2]),
        ("BAR2", [BAR2]),
        ("0xd0000000", [BAR2, MAP]),
    ],
)
def test_where_a_map_holds(bound, held):
    loaded = names(CTRL, bound=bound)
    for place in (BAR0, BAR2, ELSEWHERE, MAP, NAMED, CONFIG):
        assert (loaded.find(place, 0) is not None) == (place in held), place.name
        (where,) = loaded.places("CTRL")
        assert loaded.starts(where, place).tolist() == ([0] if place in held else [])


def test_addresses_without_a_region():
    loaded = names(CTRL, bound="0xd0000000+0x100")
    assert loaded.find(None, 0xD0000002).text == "CTRL+2"
    assert loaded.find(None, 0xD0000004) is loaded.find(None, 2) is None
    inner = Region("map1", ("map", 0), "mem", 0xCFFFF000, 0x2000)
    assert loaded.find(inner, 0x1000).name == "CTRL"
    behind = Region("map2", ("map", 1), "mem", 0xD0000001, 0x1000)
    assert loaded.find(behind, 0) is None  # a register that begins before its region is not in it


def test_a_window_ends_its_map():
    loaded = names(Register("A", 0, 4, (), 100, 4), Register("B", 0x40), bound="0x1000+0x40")
    assert loaded.find(None, 0x103C).name == "A[15]"
    assert loaded.find(None, 0x1040) is None


def test_arrays_and_overlaps():
    loaded = names(
        Register("SQ", 0x10, 4, (), 4, 8), Register("CQ", 0x14, 4, (), 4, 8), Register("S[].CTL", 0x80, 3, (), 2, 32),
        Register("S[].STS", 0x83, 1, (), 2, 32), Register("WIDE", 0x100, 8), Register("HIGH", 0x104, 4),
        Register("ALIAS", 0x100, 4),
    )  # fmt: skip
    expected = {
        0x0C: None, 0x10: "SQ[0]", 0x17: "CQ[0]+3", 0x28: "SQ[3]", 0x2C: "CQ[3]", 0x30: None,
        0x82: "S[0].CTL+2", 0x83: "S[0].STS", 0xA0: "S[1].CTL", 0x84: None,
        0x100: "WIDE", 0x104: "HIGH", 0x107: "HIGH+3", 0x108: None,
    }  # fmt: skip
    found = {offset: loaded.find(BAR0, offset) for offset in expected}
    assert {offset: hit and hit.text for offset, hit in found.items()} == expected
    offsets = np.array(list(expected), np.uint64)
    assert loaded.named(BAR0, offsets).tolist() == [name is not None for name in expected.values()]


def test_earlier_maps_win():
    first = RegisterMap("a", "", Binding(), (Register("A", 4),))
    second = RegisterMap("b", "", Binding(), (Register("B", 4), Register("C", 8)))
    loaded = Names([first, second])
    assert [loaded.find(BAR0, offset).name for offset in (4, 8)] == ["A", "C"]
    assert [place.map.name for place in loaded.places("B")] == ["b"]


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([1, 2, 4]), st.integers(1, 5), st.integers(4, 9)), max_size=4
    )
)
def test_look_up_agrees_with_a_search(rows):
    registers = [Register(f"R{n}", at, width, (), count, stride) for n, (at, width, count, stride) in enumerate(rows)]
    loaded = names(*registers)
    begins = {r.offset + r.stride * n for r in registers for n in range(r.count)}
    bytes_ = {
        at + n for r in registers for at in (r.offset + r.stride * k for k in range(r.count)) for n in range(r.width)
    }
    for offset in range(110):
        found = loaded.find(BAR0, offset)
        assert (found is not None) == (offset in bytes_)
        if found is not None:
            start = found.register.offset + found.register.stride * found.element
            assert offset - start == found.distance < found.register.width
            assert (found.distance == 0) == (offset in begins)


def test_names_to_places():
    loaded = names(
        CTRL, Register("RA", 0x40, 4, (Field("AV", 31, 31),), 16, 8), Register("S[].CTL", 0x80, 2, (), 2, 32)
    )
    assert [(p.register.name, p.element, p.field) for p in loaded.places("CTRL")] == [("CTRL", None, None)]
    assert [p.field for p in loaded.places("CTRL.SPEED")] == [SPEED]
    assert len(loaded.starts(loaded.places("RA")[0], BAR0)) == 16
    assert loaded.starts(loaded.places("RA[3]")[0], BAR0).tolist() == [0x58]
    assert loaded.places("RA[3].AV")[0].field.high == 31
    assert loaded.starts(loaded.places("S[1].CTL")[0], BAR0).tolist() == [0xA0]
    assert loaded.starts(loaded.places("S[].CTL")[0], BAR0).tolist() == [0x80, 0xA0]
    for unknown in ("RA[16]", "RA[x]", "CTRL[0]", "CTRL.NO", "NO", "NO.SPEED", "S[1]", "", ".", "[", "RA[", "RA[]x"):
        assert loaded.places(unknown) == []


def test_changed_fields_and_description():
    assert Names.changed_fields(CTRL, 0x4000001, 0x200) == [
        Change("RST", "1", "0"), Change("SPEED", "10", "1000"), Change("FD", "1", "0")
    ]  # fmt: skip
    assert Names.changed_fields(CTRL, 5, 5) == Names.changed_fields(CTRL, 0, 2) == []
    assert Names.describe(CTRL, 0x4000101) == "RST SPEED=1 FD"
    assert Names.describe(CTRL, 0) == "SPEED=10"
    # Seen through one byte of the register.
    assert Names.changed_fields(CTRL, 0, 2, distance=1, width=1) == [Change("SPEED", "10", "1000")]
    assert Names.describe(CTRL, 0xFF, distance=1, width=1) == "SPEED=3"
    assert Names.describe(CTRL, 4, distance=3, width=1) == "RST"


@given(st.text(max_size=40))
def test_any_text_is_cleaned_to_a_name_or_to_nothing(text):
    name = clean_name(text)
    assert not name or names(Register(name, 0)).places(name)
