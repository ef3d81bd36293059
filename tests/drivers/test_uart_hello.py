"""`uart-hello`: the line arrives, versions differ as listed, bad ports are refused, nothing is left behind."""

from __future__ import annotations

import pytest
from driver_checks import differ_as_listed, fails_and_cleans_up, run_clean, run_watched, same_after_reset
from driver_checks import same_when_replaced as replaced

from mmiotools.cli.main import run as mmiotools
from mmiotools.devices.uart import IIR, LCR, LSR, MCR, SCR, Uart
from mmiotools.drivers import find_driver
from mmiotools.drivers import uart_hello as driver
from mmiotools.drivers.uart_hello import DRIVER


@pytest.mark.parametrize("version", DRIVER.versions)
@pytest.mark.parametrize("seed", [0, 7])
def test_the_line_arrives_at_the_other_end(version, seed):
    card = Uart()
    outcome = run_clean(DRIVER, version, card, seed=seed)
    assert card.sent == driver.LINE
    assert outcome.log == [f"uart-hello: wrote {len(driver.LINE)} bytes"]
    assert (card.ier, card.fcr, card.mcr, card.divisor) == (0, 0, 0, 1)


def test_version_2_is_driven_by_interrupts():
    polled, driven = (run_clean(DRIVER, version, Uart()) for version in "12")
    assert polled.irqs == []
    served = [seen for seen in driven.seen if seen[:3] == ("R", "BAR0", IIR) and seen.value == 0xC2]
    loads = -(-len(driver.LINE) // driver.FIFO)
    assert len(served) == loads + 1  # the last one finds nothing to write
    assert sum(irq.level for irq in driven.irqs) >= len(served)
    assert len(driven.seen) < len(polled.seen) / 2


@pytest.mark.parametrize("seed", range(4))
def test_versions_differ_in_what_is_listed(seed):
    differ_as_listed(DRIVER, Uart, driver.DIFFERENCES, seed)


@pytest.mark.parametrize(("version", "failures"), [("1", 3), ("2", 4)])
def test_failing_calls(version, failures):
    assert fails_and_cleans_up(DRIVER, version, Uart) == failures


class Broken(Uart):
    """A port with a register that reads otherwise."""

    def __init__(self, offset: int, change) -> None:
        super().__init__()
        self._where, self._change = offset, change

    def _read_byte(self, at: int) -> int:
        value = super()._read_byte(at)
        return self._change(self, value) if at == self._where else value


@pytest.mark.parametrize(
    ("offset", "change", "code", "text"),
    [
        (SCR, lambda card, value: 0xFF, -19, "no scratch register"),
        (2, lambda card, value: value & 0x3F, -19, "no 16550A"),
        (0, lambda card, value: value ^ 2 if card.lcr & 0x80 else value, -5, "the divisor is 3"),
        (0, lambda card, value: value ^ 2 if card.mcr & 0x10 else value, -5, "loopback gave 4340"),
        (6, lambda card, value: value & 0x7F, -5, "modem status 0x30"),
        (LSR, lambda card, value: 0, -5, "loopback gave nothing"),
        (LSR, lambda card, value: value if card.mcr & 0x10 else value & ~0x60, -110, "the line got stuck"),
    ],
)
@pytest.mark.parametrize("version", DRIVER.versions)
def test_ports_that_do_not_work(offset, change, code, text, version):
    card = Broken(offset, change)
    outcome, _ = run_watched(DRIVER, version, card)
    assert outcome.returned == code
    assert text in "".join(outcome.log)
    assert [card.ier, card.fcr, card.read("BAR0", MCR, 1), card.read("BAR0", LCR, 1)] == [0, 0, 0, 3] or code == -19


@pytest.mark.parametrize("version", DRIVER.versions)
def test_state_in_the_middle(version):
    replaced(DRIVER, version, Uart)
    same_after_reset(DRIVER, version, Uart())


def test_command_line(tmp_path, capfd):
    assert find_driver("uart-hello@2") == (DRIVER, "2")
    assert mmiotools(["record", "--check", "uart-hello", "-o", str(tmp_path / "x.mmio")]) == 0
    assert "471 right, 0 lost, 0 wrong, 0 invented" in capfd.readouterr().err
    assert mmiotools(["record", "uart-hello@2", "--fail", "request_irq=EBUSY", "-o", str(tmp_path / "y.mmio")]) == 0
    assert "the driver's probe returned -16" in capfd.readouterr().err
    assert mmiotools(["list", "drivers"]) == mmiotools(["list", "devices"]) == 0
    out = capfd.readouterr().out
    assert DRIVER.title in out and Uart.title in out
