"""The 8254x model: registers, EEPROM by register and by pins, PHY, interrupts, rings, frames, counters, state."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.devices import nic as n
from mmiotools.devices import nic_frames as frames
from mmiotools.devices import nic_phy as phy
from mmiotools.devices.nic import Nic
from mmiotools.devices.nic_eeprom import BUSY_NS, Microwire, factory_words
from mmiotools.devices.nic_rings import EOP, IC, IFCS, RS, Ring
from mmiotools.engine.interface import CONFIG, Seen

RDLEN, RDH, RDT, TDLEN, TDH, TDT = 0x2808, 0x2810, 0x2818, 0x3808, 0x3810, 0x3818
RX_BASE, TX_BASE, RX_DATA, TX_DATA = 0x10000, 0x20000, 0x100000, 0x200000
RCTL_LOOP, TCTL_PAD = n.ON | n.STRIP | 1 << 15 | 1 << 6, n.ON | n.PAD
MULTICAST = bytes.fromhex("01005e000001")
OTHER = bytes.fromhex("020000000099")


class FakeHost:
    """A clock, lines, and a megabyte or more of memory."""

    def __init__(self) -> None:
        self.time = 7_000
        self.lines: list[tuple[int, int]] = []
        self.memory = bytearray(0x400000)

    def now(self) -> int:
        return self.time

    def irq(self, line: int, level: int) -> None:
        self.lines.append((line, level))

    def dma_read(self, address: int, n: int) -> bytes:
        return bytes(self.memory[address : address + n])

    def dma_write(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = data


def plugged() -> tuple[Nic, FakeHost]:
    card, host = Nic(), FakeHost()
    card.attach(host)
    return card, host


def get(card: Nic, offset: int) -> int:
    return card.read("BAR0", offset, 4)


def put(card: Nic, offset: int, value: int) -> None:
    card.write("BAR0", offset, 4, value)


def ready(rctl: int = RCTL_LOOP, tctl: int = TCTL_PAD, descriptors: int = 8) -> tuple[Nic, FakeHost]:
    """A card with both rings set up, receive buffers 16 KiB apart."""
    card, host = plugged()
    for base, bus in ((n.RX_RING, RX_BASE), (n.TX_RING, TX_BASE)):
        put(card, base, bus)
        put(card, base + 8, descriptors * 16)
    for i in range(descriptors):
        host.dma_write(RX_BASE + 16 * i, struct.pack("<QQ", RX_DATA + 0x4000 * i, 0))
    put(card, RDT, descriptors - 1)
    put(card, n.TCTL, tctl)
    put(card, n.RCTL, rctl)
    return card, host


def send(card: Nic, host: FakeHost, frame: bytes, command: int = EOP | IFCS | RS, at: int | None = None) -> None:
    """One descriptor, and the tail moved past it."""
    tail = get(card, TDT)
    buffer = TX_DATA + 0x4000 * tail if at is None else at
    host.dma_write(buffer, frame)
    host.dma_write(TX_BASE + 16 * tail, struct.pack("<QHBBBBH", buffer, len(frame), 0, command, 0, 0, 0))
    put(card, TDT, (tail + 1) % (get(card, TDLEN) // 16))


def received(host: FakeHost, index: int) -> tuple[bytes, int, int]:
    """Data, status and errors of a receive descriptor."""
    buffer, length, _, status, errors, _ = struct.unpack("<QHHBBH", host.dma_read(RX_BASE + 16 * index, 16))
    return host.dma_read(buffer, length), status, errors


def frame(length: int, to: bytes = n.STATION) -> bytes:
    return (to + n.STATION + b"\x88\xb5" + bytes(i * 7 & 0xFF for i in range(length)))[:length]


# -- registers -------------------------------------------------------------------------------------------------


def test_identity_and_power_on():
    card, host = plugged()
    assert card.pci.ids == "8086:100e"
    assert card.read(CONFIG, 8, 4) == 0x02000002
    assert get(card, n.STATUS) == n.STATUS_GIGABIT_FULL
    assert get(card, n.RAL) == int.from_bytes(n.STATION[:4], "little")
    assert get(card, n.RAL + 4) == 1 << 31 | int.from_bytes(n.STATION[4:], "little")
    assert [get(card, at) for at in (n.ICR, n.IMS, n.RCTL, n.TCTL, n.ICS, n.IMC, 0x1FFFC)] == [0] * 7
    assert card.read("BAR1", 0, 4) == 0xFFFFFFFF
    assert host.lines == []


@given(st.sampled_from([0x28, 0x410, 0x2820, 0x5000, 0x5600, 0x57FC, n.MTA, n.MTA + 508, n.RAL + 8]), st.integers(0))
@settings(max_examples=30)
def test_storage_takes_whole_registers_only(offset, value):
    card, _ = plugged()
    value &= 0xFFFFFFFF
    put(card, offset, value)
    card.write("BAR0", offset, 2, ~value & 0xFFFF)
    card.write("BAR0", offset + 2, 4, ~value & 0xFFFFFFFF)
    assert get(card, offset) == value
    assert card.read("BAR0", offset + 1, 2) == value >> 8 & 0xFFFF
    assert card.read("BAR0", offset, 8) & 0xFFFFFFFF == value


def test_reset_by_register_keeps_phy_and_eeprom():
    card, host = ready()
    host.time += phy.NEGOTIATION_NS
    put(card, n.CTRL, n.CTRL_SLU)
    put(card, n.IMS, 0xFF)
    mdic(card, host, 1, 4, 0x0123)
    put(card, n.CTRL, get(card, n.CTRL) | n.CTRL_RST)
    assert get(card, n.CTRL) == n.CTRL_DEFAULT
    assert [get(card, at) for at in (n.IMS, n.RCTL, n.TCTL, RDLEN, RDT, TDLEN)] == [0] * 6
    assert host.lines[-1] == (10, 0)
    assert mdic(card, host, 2, 4) == 0x0123


# -- EEPROM ----------------------------------------------------------------------------------------------------


def eerd(card: Nic, host: FakeHost, word: int) -> int:
    put(card, n.EERD, word << 8 | 1)
    assert not get(card, n.EERD) & n.EERD_DONE
    host.time += n.EERD_NS
    value = get(card, n.EERD)
    assert value & n.EERD_DONE
    return value >> 16


def test_factory_words():
    card, host = plugged()
    words = [eerd(card, host, word) for word in range(64)]
    assert sum(words) & 0xFFFF == 0xBABA
    assert struct.pack("<3H", *words[:3]) == n.STATION
    assert words[0x0D:0x0F] == [0x100E, 0x8086]


def pins(card: Nic, value: int) -> None:
    put(card, n.EECD, n.EE_REQ | value)


def clock_out(card: Nic, bits: str) -> None:
    for bit in bits:
        data = n.DI if bit == "1" else 0
        pins(card, n.CS | data)
        pins(card, n.CS | data | n.SK)


def clock_in(card: Nic, count: int) -> int:
    value = 0
    for _ in range(count):
        pins(card, n.CS)
        pins(card, n.CS | n.SK)
        value = value << 1 | bool(get(card, n.EECD) & n.DO)
    return value


@given(st.integers(0, 63), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=40)
def test_bits_clocked_out_of_the_eeprom(address, count, idle_zeros):
    """Any word and those behind it; zeros before the start bit change nothing; the dummy bit is 0."""
    card, _ = plugged()
    pins(card, 0)
    clock_out(card, "0" * idle_zeros + "110" + f"{address:06b}")
    assert not get(card, n.EECD) & n.DO
    for i in range(count):
        assert clock_in(card, 16) == card.eeprom.words[(address + i) % 64]
    pins(card, 0)
    assert get(card, n.EECD) & n.DO


def test_pins_need_the_grant():
    card, _ = plugged()
    assert get(card, n.EECD) == n.EE_PRES | n.DO
    for bit in "110000000":
        data = n.DI if bit == "1" else 0
        put(card, n.EECD, n.CS | data)
        put(card, n.EECD, n.CS | data | n.SK)
    assert card.eeprom.bits == 0
    pins(card, n.CS)
    assert get(card, n.EECD) == n.EE_PRES | n.EE_GNT | n.EE_REQ | n.DO | n.CS


def order(card: Nic, bits: str) -> None:
    pins(card, 0)
    clock_out(card, bits)
    pins(card, 0)


@given(st.integers(0, 63), st.integers(0, 0xFFFF))
@settings(max_examples=30)
def test_writing_and_erasing_words(address, value):
    card, host = plugged()
    before = list(card.eeprom.words)
    order(card, f"101{address:06b}{value:016b}")
    assert card.eeprom.words == before  # not enabled
    order(card, "100110000")
    order(card, f"101{address:06b}{value:016b}")
    pins(card, n.CS)
    assert not get(card, n.EECD) & n.DO  # busy
    order(card, f"111{address:06b}")  # not heard
    host.time += BUSY_NS
    pins(card, n.CS)
    assert get(card, n.EECD) & n.DO
    assert card.eeprom.words == [*before[:address], value, *before[address + 1 :]]
    order(card, f"111{address:06b}")
    host.time += BUSY_NS
    assert card.eeprom.words[address] == 0xFFFF
    order(card, "100000000")
    order(card, f"101{address:06b}{value:016b}")
    assert card.eeprom.words[address] == 0xFFFF


def test_writing_and_erasing_everything():
    chip, now = Microwire(factory_words(n.STATION, (1, 2))), 0
    for bits, word in (("100110000", None), ("100010000" + f"{0x1234:016b}", 0x1234), ("100100000", 0xFFFF)):
        now += BUSY_NS
        chip.pins(now, 0, 0, 0)
        for bit in bits:
            chip.pins(now, 1, 0, int(bit))
            chip.pins(now, 1, 1, int(bit))
        if word is not None:
            assert chip.words == [word] * 64


# -- PHY -------------------------------------------------------------------------------------------------------


def mdic(card: Nic, host: FakeHost, operation: int, register: int, value: int = 0, address: int = 1) -> int:
    put(card, n.MDIC, operation << 26 | address << 21 | register << 16 | value)
    assert not get(card, n.MDIC) & n.MDIC_READY
    host.time += n.MDIC_NS
    done = get(card, n.MDIC)
    assert done & n.MDIC_READY
    assert bool(done & n.MDIC_ERROR) == (address != 1)
    assert done >> 16 & 0x3FF == address << 5 | register
    return done & 0xFFFF


@given(st.integers(0, 31), st.integers(0, 0xFFFF), st.integers(0, 31))
@settings(max_examples=80)
def test_any_phy_register(register, value, address):
    card, host = plugged()
    fresh = {0: 0x1140, 1: 0x7949, 2: 0x0141, 3: 0x0C20, 4: 0x01E1, 9: 0x0300, 15: 0x3000, 16: 0x68, 20: 0x0CE0}
    if address != 1:
        mdic(card, host, 2, register, 0, address)
        return
    assert mdic(card, host, 2, register) == fresh.get(register, 0)
    mdic(card, host, 1, register, value)
    if register == 0:
        wanted = 0x1140 if value & 0x8000 else value & ~0x8200
    else:
        wanted = value if register in (4, 9, 16, 20) else fresh.get(register, 0)
    assert mdic(card, host, 2, register) == wanted


def test_mdic_can_interrupt():
    card, host = plugged()
    put(card, n.IMS, n.MDAC)
    put(card, n.MDIC, n.MDIC_READ | n.MDIC_INTERRUPT | 1 << 21 | 2 << 16)
    host.time += n.MDIC_NS
    assert host.lines == []
    assert get(card, n.ICR) == n.MDAC
    assert host.lines == []  # it was read away by the access that noticed it
    put(card, n.MDIC, n.MDIC_READ | n.MDIC_INTERRUPT | 1 << 21 | 2 << 16)
    host.time += n.MDIC_NS
    get(card, n.STATUS)
    assert host.lines == [(10, 1)]


def test_link_comes_up_is_lost_and_latched():
    card, host = plugged()
    put(card, n.IMS, n.LSC)
    put(card, n.CTRL, n.CTRL_SLU)
    assert not mdic(card, host, 2, phy.STATUS) & phy.STATUS_LINK
    host.time += phy.NEGOTIATION_NS
    assert get(card, n.STATUS) & n.STATUS_LU
    assert get(card, n.ICR) == n.LSC
    assert not mdic(card, host, 2, phy.STATUS) & phy.STATUS_LINK  # as it was at the last look
    assert mdic(card, host, 2, phy.STATUS) & phy.STATUS_LINK
    assert mdic(card, host, 2, phy.SPECIFIC_STATUS) == 0xAC00
    mdic(card, host, 1, phy.CONTROL, 0x1140 | phy.RESTART)
    assert mdic(card, host, 2, phy.CONTROL) == 0x1140
    assert not get(card, n.STATUS) & n.STATUS_LU
    host.time += phy.NEGOTIATION_NS
    assert not mdic(card, host, 2, phy.STATUS) & phy.STATUS_LINK
    assert mdic(card, host, 2, phy.STATUS) & phy.STATUS_LINK
    mdic(card, host, 1, phy.CONTROL, phy.POWER_DOWN)
    assert not get(card, n.STATUS) & n.STATUS_LU
    mdic(card, host, 1, phy.CONTROL, 0x1140)
    host.time += phy.NEGOTIATION_NS - 1 - n.MDIC_NS
    assert not get(card, n.STATUS) & n.STATUS_LU
    host.time += 1 + n.MDIC_NS
    assert get(card, n.STATUS) & n.STATUS_LU
    put(card, n.CTRL, 0)
    assert not get(card, n.STATUS) & n.STATUS_LU
    put(card, n.CTRL, n.CTRL_SLU | n.CTRL_PHY_RST)
    assert not get(card, n.STATUS) & n.STATUS_LU


# -- interrupts ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["ics", "ims", "imc", "icr", "read"]), st.integers(0, 0x1FFFF)), max_size=20))
@settings(max_examples=60)
def test_causes_and_mask_against_a_model(steps):
    card, host = plugged()
    causes = mask = 0
    for what, value in steps:
        if what == "ics":
            put(card, n.ICS, value)
            causes |= value
        elif what == "ims":
            put(card, n.IMS, value)
            mask |= value
        elif what == "imc":
            put(card, n.IMC, value)
            mask &= ~value
        elif what == "icr":
            put(card, n.ICR, value)
            causes &= ~value
        else:
            assert get(card, n.ICR) == causes
            causes = 0
        assert get(card, n.IMS) == mask
        assert (host.lines[-1][1] if host.lines else 0) == bool(causes & mask)


# -- frames ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(15, 1518), min_size=1, max_size=20), st.booleans(), st.integers(0, 3))
@settings(max_examples=40)
def test_loopback_of_any_lengths_around_the_ring(lengths, strip, size_code):
    """Frames come back whole, in order, spread over as many buffers as they need; short ones padded to 64 bytes."""
    rctl = RCTL_LOOP & ~n.STRIP | (n.STRIP if strip else 0) | size_code << 16
    card, host = ready(rctl=rctl, descriptors=16)
    buffer, next_rx = 2048 >> size_code, 0
    for length in lengths:
        send(card, host, frame(length))
        assert get(card, TDH) == get(card, TDT)
        assert host.memory[TX_BASE + 16 * ((get(card, TDT) - 1) % 16) + 12] & 1
        wanted = frame(length).ljust(60, b"\0")
        if not strip:
            wanted += zlib.crc32(wanted).to_bytes(4, "little")
        came, count = b"", 0
        while True:
            data, status, errors = received(host, next_rx)
            assert status & 1 and not errors
            assert len(data) <= buffer
            came += data
            host.dma_write(RX_BASE + 16 * next_rx + 8, bytes(8))
            put(card, RDT, next_rx)
            next_rx, count = (next_rx + 1) % 16, count + 1
            if status & 2:
                break
        assert came == wanted
        assert count == -(-len(wanted) // buffer)
        assert get(card, RDH) == next_rx
    assert get(card, n.ICR) & (n.TXDW | n.TXQE | n.RXT0) == n.TXDW | n.TXQE | n.RXT0
    assert get(card, frames.GPRC) == get(card, frames.GPTC) == len(lengths)
    assert get(card, frames.GPRC) == 0


@given(st.lists(st.integers(0, 400), min_size=1, max_size=7))
@settings(max_examples=30)
def test_frames_in_pieces(pieces):
    """Descriptors without end of packet add up; only those that ask for it are reported."""
    card, host = ready()
    data = frame(sum(pieces) + 20)
    cuts = [data[sum(pieces[:i]) : sum(pieces[: i + 1])] for i in range(len(pieces))]
    cuts[-1] += data[sum(pieces) :]
    for cut in cuts[:-1]:
        send(card, host, cut, command=0)
        assert get(card, frames.TPT) == 0
    assert get(card, n.ICR) & n.TXDW == 0
    send(card, host, cuts[-1])
    assert received(host, 0)[0] == (data[:1518].ljust(60, b"\0") if len(data) <= 1518 else b"")
    assert [host.memory[TX_BASE + 16 * i + 12] for i in range(len(cuts))] == [0] * (len(cuts) - 1) + [1]


def test_checksum_insertion():
    card, host = ready()
    data = frame(80)
    host.dma_write(TX_DATA, data)
    host.dma_write(TX_BASE, struct.pack("<QHBBBBH", TX_DATA, 80, 24, EOP | IFCS | IC, 0, 14, 0))
    put(card, TDT, 1)
    came = received(host, 0)[0]
    assert came[:24] + came[26:] == data[:24] + data[26:]
    # With the old contents of the field taken out of the sum, the rest and the checksum add up to all ones.
    total = sum(struct.unpack(">33H", data[14:80])) + int.from_bytes(came[24:26], "big")
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_no_room_for_a_frame():
    card, host = ready(descriptors=8)
    for _ in range(7):
        send(card, host, frame(60))
    assert get(card, RDH) == get(card, RDT) == 7
    get(card, n.ICR)
    send(card, host, frame(60))
    assert get(card, n.ICR) & (n.RXO | n.RXT0) == n.RXO
    assert [get(card, at) for at in (frames.MPC, frames.RNBC, frames.GPTC)] == [1, 1, 8]
    put(card, RDT, 6)
    send(card, host, frame(60))
    assert get(card, n.ICR) & (n.RXO | n.RXT0) == n.RXT0


@pytest.mark.parametrize(("code", "left"), [(0, 8), (1, 4), (2, 2)])
def test_few_descriptors_left(code, left):
    card, host = ready(rctl=RCTL_LOOP | code << 8, descriptors=16)
    told = []
    for _ in range(15):
        send(card, host, frame(60))
        told.append(bool(get(card, n.ICR) & n.RXDMT0))
    assert told.index(True) == 15 - left - 1
    assert sum(told) == 1


def hears(rctl: int, to: bytes, tables: dict[int, int] | None = None) -> bool:
    card, host = ready(rctl=n.ON | 1 << 6 | rctl)
    for at, value in (tables or {}).items():
        put(card, at, value)
    send(card, host, frame(60, to))
    assert get(card, frames.TPR) == 1
    return received(host, 0)[1] == 7


@given(st.integers(0), st.integers(0, 3), st.booleans())
@settings(max_examples=60)
def test_address_filter(number, select, listed):
    """A group is heard if its bit is set, a station if it is one of the sixteen, everything if promiscuous."""
    address = (number & (1 << 48) - 1).to_bytes(6, "big")
    if address[0] & 1:
        bit = int.from_bytes(address, "little") >> (36, 35, 34, 32)[select] & 0xFFF
        tables = {n.MTA + 4 * (bit >> 5): 1 << (bit & 31) if listed else ~(1 << (bit & 31)) & 0xFFFFFFFF}
    else:
        valid = 1 << 31 if listed else 0
        tables = {
            n.RAL + 8 * 15: int.from_bytes(address[:4], "little"),
            n.RAL + 8 * 15 + 4: int.from_bytes(address[4:], "little") | valid,
        }
    wanted = listed or address == n.STATION
    assert hears(select << 12, address, tables) == wanted
    assert hears(1 << (4 if address[0] & 1 else 3), address)


def test_broadcasts():
    assert hears(1 << 15, b"\xff" * 6)
    assert not hears(0, b"\xff" * 6)
    assert hears(1 << 4, b"\xff" * 6)


def test_bad_frames():
    for store in (0, n.STORE_BAD):
        card, host = ready(rctl=RCTL_LOOP | store)
        send(card, host, frame(70), command=EOP | RS)  # its last four bytes are no check sequence
        send(card, host, frame(30), command=EOP | RS)
        assert [get(card, at) for at in (frames.CRCERRS, frames.RFC, frames.GPRC, frames.TPR)] == [1, 1, 0, 2]
        assert received(host, 0) == ((frame(70)[:66], 7, 1) if store else (b"", 0, 0))
    card, host = ready(tctl=n.ON)
    send(card, host, frame(40))
    send(card, host, frame(1519))
    assert [get(card, at) for at in (frames.RUC, frames.ROC, frames.GPRC)] == [1, 1, 0]
    put(card, n.RCTL, RCTL_LOOP | n.LONG)
    send(card, host, frame(9000))
    assert [get(card, at) for at in (frames.ROC, frames.GPRC)] == [0, 1]


@given(st.integers(60, 1518), st.sampled_from([n.STATION, MULTICAST, frames.BROADCAST]))
@settings(max_examples=40)
def test_counters_of_a_frame(length, to):
    card, host = ready(rctl=RCTL_LOOP | 1 << 4)
    send(card, host, frame(length, to))
    size = length + 4
    column = sum(size > most for most in (64, 127, 255, 511, 1023))
    for first in (frames.PRC64, frames.PTC64):
        assert [get(card, first + 4 * i) for i in range(6)] == [int(i == column) for i in range(6)]
    for wide in (frames.GORC, frames.GOTC, frames.TOR, frames.TOT):
        assert [get(card, wide), get(card, wide), get(card, wide + 4), get(card, wide)] == [size, size, 0, 0]
    for group, broadcast in ((frames.MPRC, frames.BPRC), (frames.MPTC, frames.BPTC)):
        assert [get(card, group), get(card, broadcast)] == [to == MULTICAST, to == frames.BROADCAST]


def test_counters_stop_at_their_largest():
    counters = frames.Statistics()
    counters.add(frames.GPRC, 0xFFFFFFFF)
    counters.add(frames.GPRC)
    counters.add(frames.TOT, (1 << 32) + 5)
    assert counters.read(frames.GPRC) == 0xFFFFFFFF
    assert (counters.read(frames.TOT), counters.read(frames.TOT + 4)) == (5, 1)


def test_the_cable():
    card, host = ready(rctl=n.ON | n.STRIP)
    send(card, host, frame(60))
    assert (get(card, TDH), len(card.sent)) == (0, 0)  # no link yet
    card.receive(frame(60) + zlib.crc32(frame(60)).to_bytes(4, "little"))
    put(card, n.CTRL, n.CTRL_SLU)
    host.time += phy.NEGOTIATION_NS
    get(card, n.STATUS)
    assert (get(card, TDH), len(card.sent)) == (1, 1)
    assert card.sent[0] == frame(60) + zlib.crc32(frame(60)).to_bytes(4, "little")
    assert received(host, 0)[1] == 0
    put(card, n.IMS, n.RXT0)
    card.receive(card.sent[0])
    assert received(host, 0) == (frame(60), 7, 0)
    assert host.lines == [(10, 1)]
    put(card, n.RCTL, 0)
    card.receive(card.sent[0])
    assert received(host, 1)[1] == 0


def test_phy_loopback_needs_both_switches():
    card, host = ready(rctl=n.ON | n.STRIP | 3 << 6)
    send(card, host, frame(60))
    assert get(card, TDH) == 0
    mdic(card, host, 1, phy.CONTROL, 0x4140)
    put(card, TDT, get(card, TDT))
    assert get(card, TDH) == 1
    assert received(host, 0) == (frame(60), 7, 0)


def test_extended_descriptors_are_skipped():
    card, host = ready()
    send(card, host, frame(60), command=EOP | IFCS | RS | 32)
    assert get(card, TDH) == 1
    assert get(card, frames.TPT) == 0


def test_rings_that_make_no_sense_move_nothing():
    card, _ = ready()
    put(card, TDT, 8)  # outside
    assert get(card, TDH) == 0
    put(card, TDT, 0)
    put(card, TDLEN, 0)
    put(card, TDT, 5)
    assert get(card, TDH) == 0
    assert Ring().available == 0


# -- state -----------------------------------------------------------------------------------------------------


def test_log_and_reset():
    card, host = ready()
    card.reset()
    fresh = Nic()
    fresh.attach(host)
    assert card.seen == []
    assert card.snapshot() == fresh.snapshot()
    put(card, n.IMS, 1)
    assert get(card, n.IMS) == 1
    assert card.seen == [Seen("W", "BAR0", n.IMS, 4, 1), Seen("R", "BAR0", n.IMS, 4, 1)]


def test_snapshot_and_restore():
    card, host = ready()
    put(card, n.IMS, n.RXT0)
    send(card, host, frame(100), command=0)
    clock_out(card, "110000")
    put(card, n.EERD, 0x3F01)
    put(card, n.MDIC, n.MDIC_READ | 1 << 21 | 2 << 16)
    send(card, host, frame(60))
    state = card.snapshot()
    other, elsewhere = plugged()
    elsewhere.memory[:] = host.memory
    elsewhere.time = host.time
    other.restore(state)
    assert other.snapshot() == state
    assert elsewhere.lines == [(10, 1)]
    for each, its in ((card, host), (other, elsewhere)):
        its.time += phy.NEGOTIATION_NS
        clock_out(each, "000")
        send(each, its, frame(500))
    for at in (n.EERD, n.MDIC, n.ICR, n.STATUS, frames.GPRC, frames.GORC, TDH, RDH):
        assert get(card, at) == get(other, at) != 0
    assert clock_in(other, 16) == clock_in(card, 16) == card.eeprom.words[0]
    assert elsewhere.memory == host.memory
