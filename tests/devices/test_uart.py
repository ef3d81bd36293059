"""The 16550A model: registers, baud rate, FIFOs, loopback, the four interrupts, state."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmiotools.devices import uart as u
from mmiotools.devices.uart import Uart
from mmiotools.engine.interface import CONFIG, Seen

#: One character of 8n1 at 115200 baud.
CHARACTER_NS = 86_805


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


def plugged() -> tuple[Uart, FakeHost]:
    card, host = Uart(), FakeHost()
    card.attach(host)
    return card, host


def get(card: Uart, offset: int) -> int:
    return card.read("BAR0", offset, 1)


def put(card: Uart, offset: int, value: int) -> None:
    card.write("BAR0", offset, 1, value)


def tuned(divisor: int = 1, lcr: int = 3, fcr: int = 1) -> tuple[Uart, FakeHost]:
    card, host = plugged()
    put(card, u.LCR, lcr | u.LCR_DLAB)
    put(card, u.DATA, divisor & 0xFF)
    put(card, u.IER, divisor >> 8)
    put(card, u.LCR, lcr)
    put(card, u.FCR, fcr)
    return card, host


def test_power_on():
    card, host = plugged()
    assert card.pci.ids == "1b36:0002"
    assert card.read(CONFIG, 8, 4) >> 8 == 0x070002
    assert [get(card, offset) for offset in range(8)] == [0, 0, u.IIR_NONE, 0, 0, 0x60, 0xB0, 0]
    assert card.read("BAR0", 8, 4) == 0xFFFFFFFF
    assert card.read("BAR3", 0, 2) == 0xFFFF
    assert host.lines == []


@pytest.mark.parametrize(("offset", "kept"), [(u.IER, 0x0F), (u.LCR, 0x7F), (u.MCR, 0x1F), (u.SCR, 0xFF)])
def test_writable_bits(offset, kept):
    card, _ = plugged()
    put(card, offset, 0xFF & ~u.LCR_DLAB if offset == u.LCR else 0xFF)
    assert get(card, offset) == kept


@pytest.mark.parametrize("offset", [u.LSR, u.MSR])
def test_status_registers_ignore_writes(offset):
    card, _ = plugged()
    before = get(card, offset)
    put(card, offset, ~before & 0xFF)
    assert get(card, offset) == before


def test_divisor_latch_hides_data_and_interrupt_enable():
    card, _ = plugged()
    put(card, u.IER, 5)
    put(card, u.LCR, u.LCR_DLAB)
    card.write("BAR0", 0, 2, 0x0C80)
    assert card.read("BAR0", 0, 2) == 0x0C80
    put(card, u.LCR, 0)
    assert get(card, u.IER) == 5
    assert card.divisor == 0x0C80


@given(st.integers(1, 0xFFFF), st.integers(0, 31))
@settings(max_examples=60)
def test_characters_take_as_long_as_their_bits(divisor, format_bits):
    """Nothing is out a nanosecond before, everything at the time: start, data, parity and stop bits."""
    card, host = tuned(divisor, format_bits)
    data = 5 + (format_bits & 3)
    stop = 1 if not format_bits & 4 else 1.5 if data == 5 else 2
    bits = 1 + data + (1 if format_bits & 8 else 0) + stop
    took = int(bits * divisor * 1_000_000_000) // 115_200
    put(card, u.DATA, 0xFF)
    assert get(card, u.LSR) == u.LSR_THRE
    host.time += took - 1
    assert get(card, u.LSR) == u.LSR_THRE
    host.time += 1
    assert get(card, u.LSR) == u.LSR_THRE | u.LSR_TEMT
    assert card.sent == bytes([(1 << data) - 1])


def test_without_a_divisor_nothing_moves():
    card, host = plugged()
    put(card, u.DATA, 0x41)
    host.time += 10**12
    assert get(card, u.LSR) & (u.LSR_THRE | u.LSR_TEMT) == 0
    put(card, u.LCR, u.LCR_DLAB | 3)
    put(card, u.DATA, 1)
    put(card, u.LCR, 3)
    host.time += CHARACTER_NS
    get(card, u.LSR)
    assert card.sent == b"A"


@given(st.lists(st.tuples(st.binary(max_size=24), st.integers(0, 3_000_000)), max_size=8))
@settings(max_examples=60)
def test_transmit_fifo_against_a_model(bursts):
    """A burst finds one place in the shift register if that is idle, and 16 in the FIFO; what is over is lost."""
    card, host = tuned()
    sent, free_at = [], []
    for data, pause in bursts:
        for byte in data:
            ends = [time for time in free_at if time > host.time]
            if len(ends) <= u.FIFO:
                start = max([host.time, *ends])
                free_at.append(start + CHARACTER_NS)
                sent.append(byte)
            put(card, u.DATA, byte)
        host.time += pause
    host.time += 20 * CHARACTER_NS
    assert get(card, u.LSR) & u.LSR_TEMT
    assert card.sent == bytes(sent)


def test_without_fifos_a_waiting_byte_is_replaced():
    card, host = tuned(fcr=0)
    for byte in b"abc":
        put(card, u.DATA, byte)
    assert not get(card, u.LSR) & u.LSR_THRE
    host.time += 2 * CHARACTER_NS
    assert get(card, u.LSR) & u.LSR_TEMT
    assert card.sent == b"ac"


@given(st.binary(max_size=40), st.sampled_from([0, 1]))
@settings(max_examples=40)
def test_loopback_and_overrun(data, fifos):
    card, host = tuned(fcr=fifos)
    put(card, u.MCR, u.MCR_LOOP)
    for byte in data:
        put(card, u.DATA, byte)
        host.time += CHARACTER_NS
    status = get(card, u.LSR)
    room = u.FIFO if fifos else 1
    assert bool(status & u.LSR_OE) == (len(data) > room)
    assert not get(card, u.LSR) & u.LSR_OE
    came = bytearray()
    while get(card, u.LSR) & u.LSR_DR:
        came.append(get(card, u.DATA))
    # The FIFO keeps the oldest, the single register the newest.
    assert came == (data[:room] if fifos else data[-1:])
    assert card.sent == b""


def test_loopback_shows_modem_outputs_and_cuts_the_cable():
    card, host = tuned()
    card.hear(b"x")
    put(card, u.MCR, u.MCR_LOOP)
    assert get(card, u.MSR) == 0x0B
    for output, wire in ((u.MCR_RTS, 0x10), (u.MCR_DTR, 0x20), (u.MCR_OUT1, 0x40), (u.MCR_OUT2, 0x80)):
        put(card, u.MCR, u.MCR_LOOP | output)
        # Rising, a ring indicator changes nothing; what fell in the turn before is told together with this rise.
        assert get(card, u.MSR) & 0xF0 == wire
    put(card, u.MCR, u.MCR_LOOP | u.MCR_OUT1)
    get(card, u.MSR)
    put(card, u.MCR, u.MCR_LOOP)
    assert get(card, u.MSR) == 0x04
    host.time += 2 * CHARACTER_NS
    assert not get(card, u.LSR) & u.LSR_DR
    put(card, u.MCR, 0)
    assert get(card, u.MSR) == 0xBB
    assert get(card, u.MSR) == 0xB0


def test_received_data_interrupts_at_the_trigger_and_after_a_timeout():
    for bits, trigger in enumerate(u.TRIGGERS):
        card, host = tuned(fcr=bits << 6 | 1)
        put(card, u.IER, u.IER_RX)
        card.hear(bytes(range(trigger)))
        host.time += (trigger - 1) * CHARACTER_NS
        assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_NONE)
        host.time += CHARACTER_NS
        assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_RX)
        assert host.lines == [(5, 1)]
        for byte in range(trigger):
            assert get(card, u.DATA) == byte
        assert host.lines == [(5, 1), (5, 0)]
    card, host = tuned(fcr=0xC1)
    put(card, u.IER, u.IER_RX)
    card.hear(b"ab")
    host.time += 2 * CHARACTER_NS + 4 * CHARACTER_NS - 1
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_NONE)
    host.time += 1
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_TIMEOUT)
    assert get(card, u.DATA) == ord("a")
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_NONE)
    host.time += 4 * CHARACTER_NS
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_TIMEOUT)


def test_transmitter_interrupt_is_lowered_by_reading_and_by_writing():
    card, host = tuned()
    put(card, u.IER, u.IER_THRE)
    assert host.lines == [(5, 1)]
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_THRE)
    assert get(card, u.IIR) == (u.IIR_FIFOS | u.IIR_NONE)
    assert host.lines == [(5, 1), (5, 0)]
    put(card, u.DATA, 1)  # goes on into the shift register, so that there is room again
    assert host.lines[2:] == [(5, 1)]
    put(card, u.DATA, 2)
    assert host.lines[3:] == [(5, 0)]
    host.time += CHARACTER_NS
    get(card, u.SCR)
    assert host.lines[4:] == [(5, 1)]
    put(card, u.IER, 0)
    put(card, u.IER, u.IER_THRE)
    assert host.lines[5:] == [(5, 0), (5, 1)]


def test_priorities():
    card, host = tuned(fcr=0)
    put(card, u.IER, 0x0F)
    put(card, u.MCR, u.MCR_LOOP)
    for byte in b"ab":
        put(card, u.DATA, byte)
        host.time += CHARACTER_NS
    seen = [get(card, u.IIR)]
    get(card, u.LSR)
    seen.append(get(card, u.IIR))
    get(card, u.DATA)
    seen += [get(card, u.IIR), get(card, u.IIR)]
    get(card, u.MSR)
    seen.append(get(card, u.IIR))
    assert seen == [u.IIR_LINE, u.IIR_RX, u.IIR_THRE, u.IIR_MODEM, u.IIR_NONE]
    assert host.lines[-1] == (5, 0)


def test_fifo_control():
    card, host = tuned(fcr=0xC1)
    put(card, u.MCR, u.MCR_LOOP)
    for byte in b"abc":
        put(card, u.DATA, byte)
    host.time += CHARACTER_NS
    put(card, u.FCR, 0x81 | u.FCR_CLEAR_TX)
    assert get(card, u.LSR) == u.LSR_DR | u.LSR_THRE
    put(card, u.FCR, 0x81 | u.FCR_CLEAR_RX)
    assert get(card, u.LSR) == u.LSR_THRE
    host.time += CHARACTER_NS
    assert get(card, u.LSR) == u.LSR_DR | u.LSR_THRE | u.LSR_TEMT
    put(card, u.FCR, 0)
    assert get(card, u.LSR) == u.LSR_THRE | u.LSR_TEMT
    assert get(card, u.IIR) == u.IIR_NONE


def test_interrupt_pin_can_be_held_down():
    card, host = tuned()
    card.write(CONFIG, 4, 2, 0x0400)
    put(card, u.IER, u.IER_THRE)
    assert host.lines == []
    card.write(CONFIG, 4, 2, 0)
    assert host.lines == [(5, 1)]


def test_log_reset_and_wide_accesses():
    card, host = tuned()
    card.reset()
    assert card.seen == []
    card.write("BAR0", u.MCR, 2, 0xFF11)
    assert card.read("BAR0", u.LCR, 4) == 0x29_60_11_00  # DSR is up; CTS and DCD have changed
    assert card.seen == [Seen("W", "BAR0", 4, 2, 0xFF11), Seen("R", "BAR0", 3, 4, 0x29601100)]
    put(card, u.IER, u.IER_THRE)
    assert host.lines == [(5, 1)]
    card.reset()
    assert host.lines == [(5, 1), (5, 0)]
    assert [get(card, offset) for offset in range(8)] == [0, 0, u.IIR_NONE, 0, 0, 0x60, 0xB0, 0]


def test_snapshot_and_restore():
    card, host = tuned()
    put(card, u.IER, 0x0F)
    card.hear(b"in")
    for byte in b"out":
        put(card, u.DATA, byte)
    host.time += CHARACTER_NS
    get(card, u.LSR)
    state = card.snapshot()
    other, elsewhere = plugged()
    elsewhere.time = host.time
    other.restore(state)
    assert other.snapshot() == state
    assert host.lines[-1] == (5, 1)
    assert elsewhere.lines == [(5, 1)]
    for each in (host, elsewhere):
        each.time += 20 * CHARACTER_NS
    for offset in (u.LSR, u.IIR, u.DATA, u.DATA, u.LSR, u.IIR, u.MSR):
        assert get(card, offset) == get(other, offset)
    assert card.sent == other.sent == b"out"
