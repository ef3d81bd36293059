"""The NV28 model: identity, timer, vertical blank, interrupt line, storage, and its own log."""

from __future__ import annotations

import pytest

from mmiotools.devices import DEVICES, make_device
from mmiotools.devices.nv_card import (
    BOOT_ID,
    CRTC_DATA,
    CRTC_INDEX,
    FRAME_NS,
    PCRTC_INTR,
    PCRTC_INTR_EN,
    PCRTC_RASTER,
    PMC_BOOT_0,
    PMC_INTR,
    PMC_INTR_EN,
    PROM,
    PTIMER_HIGH,
    PTIMER_LOW,
    STRAP_BITS,
    STRAPS,
    NvCard,
)
from mmiotools.engine.interface import CONFIG, Seen
from mmiotools.errors import UsageError


class FakeHost:
    def __init__(self) -> None:
        self.time = 5_000
        self.lines: list[tuple[int, int]] = []

    def now(self) -> int:
        return self.time

    def irq(self, line: int, level: int) -> None:
        self.lines.append((line, level))

    def dma_read(self, address: int, n: int) -> bytes:
        raise AssertionError("this card does no DMA")

    def dma_write(self, address: int, data: bytes) -> None:
        raise AssertionError("this card does no DMA")


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def card(host: FakeHost) -> NvCard:
    card = NvCard()
    card.attach(host)
    return card


def test_identity(card):
    assert card.pci.ids == "10de:0286"
    assert {bar.name: bar.size for bar in card.pci.bars} == {"BAR0": 1 << 24, "BAR1": 1 << 26, "ROM": 1 << 17}
    assert card.read("BAR0", PMC_BOOT_0, 4) == BOOT_ID
    assert BOOT_ID >> 20 & 0xFF == 0x28
    assert card.read("BAR0", STRAPS, 4) == STRAP_BITS
    assert card.read(CONFIG, 0, 4) == 0x028610DE
    assert card.read("BAR5", 0, 2) == 0xFFFF


@pytest.mark.parametrize("offset", [PMC_BOOT_0, PMC_INTR, PTIMER_LOW, PTIMER_HIGH, STRAPS, PROM, PCRTC_RASTER])
def test_read_only_registers_ignore_writes(card, offset):
    before = card.read("BAR0", offset, 4)
    card.write("BAR0", offset, 4, ~before)
    assert card.read("BAR0", offset, 4) == before


def test_timer_counts_with_the_host(card, host):
    assert card.read("BAR0", PTIMER_LOW, 4) == 0
    host.time += 1_000_000
    assert card.read("BAR0", PTIMER_LOW, 4) == 27_000 << 5
    host.time += 10_000_000_000
    whole = card.read("BAR0", PTIMER_HIGH, 4) << 32 | card.read("BAR0", PTIMER_LOW, 4)
    assert whole == (27_000 + 270_000_000) << 5


def test_vertical_blank_comes_with_time_and_goes_when_acknowledged(card, host):
    assert card.read("BAR0", PCRTC_INTR, 4) == 0
    host.time += FRAME_NS - 1
    assert card.read("BAR0", PCRTC_INTR, 4) == 0
    host.time += 1
    assert card.read("BAR0", PCRTC_INTR, 4) == 1
    card.write("BAR0", PCRTC_INTR, 4, 0xFFFFFFFE)
    assert card.read("BAR0", PCRTC_INTR, 4) == 1
    card.write("BAR0", PCRTC_INTR, 1, 1)
    assert card.read("BAR0", PCRTC_INTR, 4) == 0
    host.time += FRAME_NS
    assert card.read("BAR0", PCRTC_INTR, 1) == 1


def test_interrupt_line_follows_pending_and_both_enables(card, host):
    host.time += FRAME_NS
    card.write("BAR0", PCRTC_INTR_EN, 4, 1)
    assert host.lines == []
    assert card.read("BAR0", PMC_INTR, 4) == 1 << 24
    card.write("BAR0", PMC_INTR_EN, 4, 1)
    assert host.lines == [(11, 1)]
    card.write("BAR0", PCRTC_INTR, 4, 1)
    assert host.lines == [(11, 1), (11, 0)]
    host.time += FRAME_NS
    card.read("BAR0", 0, 4)
    card.reset()
    assert host.lines[2:] == [(11, 1), (11, 0)]


def test_registers_that_are_not_modelled_are_storage(card):
    assert card.read("BAR0", 0x680600, 4) == 0
    card.write("BAR0", 0x680600, 4, 0x11223344)
    assert card.read("BAR0", 0x680602, 2) == 0x1122
    card.write("BAR0", 0x680601, 1, 0xFF)
    assert card.read("BAR0", 0x680600, 8) == 0x1122FF44
    card.write("BAR1", 0x3FFFFF8, 8, 1 << 63 | 5)
    assert card.read("BAR1", 0x3FFFFF8, 8) == 1 << 63 | 5


def test_indexed_crtc_registers(card):
    for index, value in ((3, 0x33), (4, 0x44)):
        card.write("BAR0", CRTC_INDEX, 1, index)
        card.write("BAR0", CRTC_DATA, 1, value)
    card.write("BAR0", CRTC_INDEX, 1, 3)
    assert card.read("BAR0", CRTC_DATA, 1) == 0x33
    assert card.read("BAR0", CRTC_INDEX, 2) == 0x3303


def test_rom_is_seen_through_both_windows(card):
    assert card.read("ROM", 0, 2) == 0xAA55
    assert card.read("BAR0", PROM, 4) == card.read("ROM", 0, 4)
    assert card.read("ROM", card.read("ROM", 0x18, 2), 4).to_bytes(4, "little") == b"PCIR"


def test_log_of_accesses(card):
    card.write("BAR0", 0x100140, 2, 0x12345)
    card.read("BAR0", STRAPS, 4)
    assert card.seen == [Seen("W", "BAR0", 0x100140, 2, 0x2345), Seen("R", "BAR0", STRAPS, 4, STRAP_BITS)]
    card.reset()
    assert card.seen == []
    assert card.read("BAR0", 0x100140, 2) == 0


def test_snapshot_and_restore(card, host):
    host.time += FRAME_NS
    card.write("BAR0", 0x700000, 4, 7)
    card.write("BAR1", 0, 4, 8)
    card.write("BAR0", PCRTC_INTR_EN, 4, 1)
    card.write("BAR0", PMC_INTR_EN, 4, 1)
    state = card.snapshot()
    card.write("BAR0", PCRTC_INTR, 4, 1)
    card.reset()
    card.restore(state)
    assert [card.read("BAR0", 0x700000, 4), card.read("BAR1", 0, 4), card.read("BAR0", PCRTC_INTR, 4)] == [7, 8, 1]
    assert host.lines[-1] == (11, 1)
    assert card.snapshot() == state


def test_devices_by_name_and_by_file(tmp_path):
    assert make_device("nv-card").name == "nv-card"
    assert not any(row.problem for row in DEVICES.listing() if row.origin == "built-in")
    file = tmp_path / "mine.py"
    file.write_text("from mmiotools.devices.nv_card import NvCard\nclass DEVICE(NvCard):\n    name = 'mine'\n")
    assert make_device(str(file)).name == "mine"
    with pytest.raises(UsageError, match="no device is called 'no-card'"):
        make_device("no-card")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no DEVICE"),
        ("DEVICE = 3", "cannot be called"),
        ("class DEVICE:\n    pci = seen = None\n", "its DEVICE has no name and no attach and no reset"),
        ("def DEVICE(): raise ValueError('bad')", "cannot be made"),
        ("def", "cannot be loaded"),
    ],
)
def test_broken_device_files(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        make_device(str(file))
    with pytest.raises(UsageError, match="no such device file"):
        make_device(str(tmp_path / "other.py"))
