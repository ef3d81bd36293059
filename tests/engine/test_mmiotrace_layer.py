"""What the tracer emits: the lines of a kernel's trace, one for every access."""

from __future__ import annotations

import pytest
from engine_card import BAR0, BAR1, Rig, run

from mmiotools.engine.instructions import Store
from mmiotools.events import Event, Kind
from mmiotools.trace.header import PciDevice


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_trace_begins_with_version_and_device() -> None:
    _, events, card = run(lambda k: 0)
    assert events[0] == Event(Kind.HEADER, extra={"format": "mmiotrace", "version": "20070824"})
    assert events[1].kind == Kind.DEVICE
    assert PciDevice.from_extra(events[1].extra) == card.pci
    assert len(events) == 2


def test_map_and_unmap(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x10000)
    rig.kernel.iounmap(virt)
    mapped, unmapped = rig.events
    assert mapped.kind == Kind.MAP and unmapped.kind == Kind.UNMAP
    assert (mapped.map, mapped.addr, mapped.pc, mapped.pid) == (1, BAR0, 0, 0)
    assert dict(mapped.extra) == {"virt": virt, "length": 0x10000}
    assert (unmapped.map, unmapped.addr, unmapped.value, unmapped.pc, unmapped.pid) == (1, None, None, 0, 0)


def test_two_maps_of_one_address_have_ids_of_their_own(rig: Rig) -> None:
    first, second = rig.kernel.ioremap(BAR0, 0x1000), rig.kernel.ioremap(BAR0, 0x1000)
    assert first != second
    rig.kernel.readl(second + 4)
    rig.kernel.readl(first + 4)
    assert [(e.map, e.addr) for e in rig.events if e.kind == Kind.READ] == [(2, BAR0 + 4), (1, BAR0 + 4)]
    rig.kernel.iounmap(first)
    third = rig.kernel.ioremap(BAR0, 0x1000)
    rig.kernel.readl(third)
    assert rig.events[-1].map == 3


def test_unmapping_what_is_not_mapped_says_minus_one(rig: Rig) -> None:
    rig.kernel.iounmap(0xDEAD000)
    assert (rig.events[0].kind, rig.events[0].map) == (Kind.UNMAP, -1)
    assert "0xdead000" in rig.kernel.log[0]


def test_unmapping_twice_says_minus_one_the_second_time(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x1000)
    rig.kernel.iounmap(virt)
    rig.kernel.iounmap(virt)
    assert [e.map for e in rig.events if e.kind == Kind.UNMAP] == [1, -1]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_reads_and_writes_have_width_address_and_value(rig: Rig, width: int) -> None:
    virt = rig.kernel.ioremap(BAR1, 0x1000)
    value = 0x8182838485868788 & (1 << 8 * width) - 1
    rig.kernel.write(virt + 0x18, width, 0xF182838485868788_8182838485868788)
    assert rig.kernel.read(virt + 0x18, width) == value
    assert rig.accesses() == [("W", BAR1 + 0x18, width, value), ("R", BAR1 + 0x18, width, value)]
    assert {(e.map, e.pc, e.pid, e.cpu) for e in rig.events[1:]} == {(1, 0, 0, None)}


def test_a_narrow_store_records_only_its_part_of_the_register(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x1000)
    rig.cpu.ax = 0x1122334455667788
    rig.machine.execute(rig.cpu, Store(virt, 2, 0))
    assert rig.accesses() == [("W", BAR0, 2, 0x7788)]
    assert rig.card.seen[0].value == 0x7788


@pytest.mark.parametrize("width, value", [(1, 0x7F), (2, 0xFFFE), (4, 0), (4, 0xDEADBEEF), (8, -2)])
def test_immediates_are_recorded_exactly(rig: Rig, width: int, value: int) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x1000)
    rig.kernel.write_immediate(virt, width, value)
    assert rig.accesses() == [("W", BAR0, width, value & (1 << 8 * width) - 1)]
    assert rig.card.seen[0].value == value & (1 << 8 * width) - 1


def test_copies_and_changes_are_recorded_as_what_they_are(rig: Rig) -> None:
    a, b = rig.kernel.ioremap(BAR0, 0x1000), rig.kernel.ioremap(BAR1, 0x1000)
    rig.kernel.copy(b + 4, a + 8, 4)
    rig.kernel.set_bits(a, 2, 1)
    base = {"BAR0": BAR0, "BAR1": BAR1}
    assert rig.accesses() == [(s.op, base[s.region] + s.offset, s.width, s.value) for s in rig.card.seen]
    assert [s.op for s in rig.card.seen] == ["R", "W", "R", "W"]


def test_what_cannot_be_decoded_has_opcode_bytes_and_no_value() -> None:
    rig = Rig("step", ["old-decoder"])
    a, b = rig.kernel.ioremap(BAR0, 0x1000), rig.kernel.ioremap(BAR1, 0x1000)
    rig.kernel.copy(b + 4, a + 8, 4)
    rig.kernel.set_bits(a, 2, 1)
    unknown = [e for e in rig.events if e.kind != Kind.MAP]
    assert [(e.kind, e.map, e.addr, e.width, e.value) for e in unknown] == [
        (Kind.UNKNOWN, 1, BAR0 + 8, None, None),
        (Kind.UNKNOWN, 2, BAR1 + 4, None, None),
        (Kind.UNKNOWN, 1, BAR0, None, None),
    ]
    assert [e.extra["opcode"] for e in unknown] == [b"\xa5\x90\x90", b"\xa5\x90\x90", b"\x66\x09\x07"]
    assert [s.op for s in rig.card.seen] == ["R", "W", "R", "W"]


@pytest.mark.parametrize("shift, length", [(0x800, 0x1000), (8, 0x10), (0xFFC, 8), (0x123, 0x3456)])
def test_an_unaligned_mapping_is_traced_from_first_to_last_byte(rig: Rig, shift: int, length: int) -> None:
    virt = rig.kernel.ioremap(BAR0 + shift, length)
    assert virt & 0xFFF == shift & 0xFFF
    offsets = sorted({0, 1, 4, length // 2, length - 4, length - 1})
    for offset in offsets:
        rig.kernel.readb(virt + offset)
    assert [a[1] for a in rig.accesses()] == [BAR0 + shift + offset for offset in offsets]
    assert (rig.events[0].addr, rig.events[0].extra["length"]) == (BAR0 + shift, length)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_an_access_over_a_page_border_is_recorded_once(rig: Rig, width: int) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x3000)
    for start in range(0x1001 - width, 0x1000):
        rig.kernel.write(virt + start, width, 0x0123456789ABCDEF)
        value = 0x0123456789ABCDEF & (1 << 8 * width) - 1
        assert rig.kernel.read(virt + start, width) == value
        assert rig.accesses()[-2:] == [("W", BAR0 + start, width, value), ("R", BAR0 + start, width, value)]
    assert len(rig.accesses()) == 2 * (width - 1)
    assert len(rig.card.seen) == 2 * (width - 1)


def test_an_access_beside_the_mapping_in_its_page_is_not_recorded_but_counted(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0 + 0x800, 0x10)
    rig.kernel.readl(virt + 0x20)
    assert rig.accesses() == []
    assert rig.kmmio.missed == 1


def test_times_are_whole_microseconds_and_do_not_run_backwards(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x1000)
    for n in range(100):
        rig.kernel.writel(n, virt)
    before = rig.events[-1].time
    rig.kernel.udelay(50)
    rig.kernel.readl(virt)
    times = [e.time for e in rig.events]
    assert times == sorted(times)
    assert all(t % 1000 == 0 for t in times)
    assert times[-1] >= before + 50_000


def test_marks(rig: Rig) -> None:
    rig.kernel.trace_marker("phase äöü \n 2")
    mark = rig.events[0]
    assert (mark.kind, dict(mark.extra)) == (Kind.MARK, {"text": "phase äöü \n 2".encode()})
    assert mark.time == rig.machine.now // 1000 * 1000


def test_an_access_that_the_device_refused_is_not_recorded(rig: Rig) -> None:
    virt = rig.kernel.ioremap(BAR0, 0x1000)

    def refuse(region: str, offset: int, width: int) -> int:
        raise ZeroDivisionError

    rig.card.read = refuse  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        rig.kernel.readl(virt)
    assert rig.accesses() == []
    del rig.card.read
    rig.kernel.oops = None
    rig.kernel.writel(1, virt + 4)
    assert rig.accesses() == [("W", BAR0 + 4, 4, 1)]
